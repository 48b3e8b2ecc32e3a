//! Signing in, by browser and by device; tokens that are refreshed; who it is.

use std::sync::Arc;
use std::time::Duration;

use sam_core::entropy::SeededEntropy;
use sam_core::time::ManualClock;
use sam_core::{Effect, ErrorKind, Secret};
use sam_github::InstallationId;
use sam_github::sign_in::{Callback, DevicePoll, SignIn, UserToken};
use sam_github::testkit::FakeGithub;

use crate::support::contract::{Checked, Contract};
use crate::support::keys::START;
use crate::support::{APP_ID, INSTALLATION, github};

const BACK: &str = "https://app.example.com/api/auth/github/callback?layout=1";

fn parts() -> (ManualClock, FakeGithub, SignIn) {
    let clock = ManualClock::new(START);
    let github = github(&clock);
    let secret = Secret::new("fake-client-secret".to_owned());
    let sign_in =
        SignIn::builder(format!("Iv23liFake{APP_ID}"), secret).endpoints(github.endpoints()).build(
            Arc::new(Checked::new(github.clone(), Contract::read())),
            Arc::new(clock.clone()),
            Arc::new(SeededEntropy::new(5)),
        );
    (clock, github, sign_in)
}

/// Signs in as far as the browser comes back.
fn came_back(github: &FakeGithub, url: &str, login: &str) -> (Secret<String>, Secret<String>) {
    let back = github.approve(url, login).unwrap();
    assert!(back.starts_with(BACK));
    let query = back.split_once("layout=1&").unwrap().1;
    match Callback::read(query).unwrap() {
        Callback::Code { code, state } => (code, state),
        other => panic!("{other:?}"),
    }
}

async fn signed_in(github: &FakeGithub, sign_in: &SignIn, login: &str) -> UserToken {
    let pending = sign_in.begin(BACK);
    let (code, state) = came_back(github, &pending.url, login);
    sign_in.finish(&pending, &code, &state).await.unwrap()
}

#[tokio::test]
async fn a_code_is_good_once_and_in_the_browser_that_began() {
    let (_, github, sign_in) = parts();
    let (mine, his) = (sign_in.begin(BACK), sign_in.begin(BACK));
    assert_ne!(mine.state.expose(), his.state.expose());
    assert_eq!((mine.state.expose().len(), mine.verifier.expose().len()), (43, 43));
    assert!(!mine.url.contains(mine.verifier.expose()));
    let (code, state) = came_back(&github, &mine.url, "mona");
    // Somebody's code in another one's browser: nothing is sent.
    let error = sign_in.finish(&his, &code, &state).await.unwrap_err();
    assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Denied, Some("state_mismatch")));
    assert_eq!(github.count("POST /login/oauth/access_token"), 0);
    // The right state with another one's verifier: GitHub refuses, and the code is gone.
    let mut wrong = mine.clone();
    wrong.verifier = his.verifier.clone();
    for pending in [&wrong, &mine] {
        let error = sign_in.finish(pending, &code, &state).await.unwrap_err();
        assert_eq!(error.provider_code(), Some("bad_verification_code"));
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert!(error.hint().is_some());
    }
    let token = signed_in(&github, &sign_in, "mona").await;
    let shown = format!("{token:?} {mine:?} {sign_in:?}");
    for secret in [&token.access, &mine.verifier, &Secret::new("fake-client-secret".to_owned())] {
        assert!(!shown.contains(secret.expose().as_str()));
    }
}

#[tokio::test]
async fn the_address_is_the_primary_one_else_the_public_one_else_github_s() {
    let (_, github, sign_in) = parts();
    let token = signed_in(&github, &sign_in, "mona").await;
    let profile = sign_in.profile(&token).await.unwrap();
    assert_eq!((profile.login.as_str(), profile.email.as_str()), ("mona", "mona@private.example"));
    assert!(profile.email_is_verified && profile.id.as_u64() == 11);
    let mut refused = http::Response::new(bytes::Bytes::from_static(
        b"{\"message\":\"Resource not accessible by integration\"}",
    ));
    *refused.status_mut() = http::StatusCode::FORBIDDEN;
    github.answer_next("GET", "/user/emails", refused);
    let profile = sign_in.profile(&token).await.unwrap();
    assert_eq!((profile.email.as_str(), profile.email_is_verified), ("mona@example.com", false));
    let token = signed_in(&github, &sign_in, "other").await;
    let profile = sign_in.profile(&token).await.unwrap();
    assert_eq!(profile.email, "12+other@users.noreply.github.test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_near_its_end_is_refreshed_once_for_all() {
    let (clock, github, sign_in) = parts();
    let token = signed_in(&github, &sign_in, "mona").await;
    assert!(sign_in.refreshed(&token).await.unwrap().is_none());
    clock.advance(Duration::from_secs(8 * 3_600 - 299));
    let before = github.count("POST /login/oauth/access_token");
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (sign_in, token) = (sign_in.clone(), token.clone());
            tokio::spawn(async move { sign_in.refreshed(&token).await.unwrap().unwrap() })
        })
        .collect();
    let mut fresh = Vec::new();
    for caller in callers {
        fresh.push(caller.await.unwrap().access.expose().clone());
    }
    fresh.dedup();
    assert_eq!((fresh.len(), github.count("POST /login/oauth/access_token")), (1, before + 1));
    // One who comes late with the old one gets the new one; after two minutes, GitHub's refusal.
    clock.advance(Duration::from_mins(1));
    let late = sign_in.refreshed(&token).await.unwrap().unwrap();
    assert_eq!(*late.access.expose(), fresh[0]);
    sign_in.profile(&late).await.unwrap();
    clock.advance(Duration::from_mins(2));
    let error = sign_in.refreshed(&token).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.provider_code()),
        (ErrorKind::Unauthenticated, Some("bad_refresh_token"))
    );
    assert_eq!(sign_in.profile(&token).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn a_refresh_whose_caller_went_away_is_gone_on_with() {
    let (clock, github, sign_in) = parts();
    let token = signed_in(&github, &sign_in, "mona").await;
    clock.advance(Duration::from_hours(8));
    let mut first = Box::pin(sign_in.refreshed(&token));
    assert!(futures_util::future::poll_immediate(&mut first).await.is_none());
    drop(first);
    let fresh = sign_in.refreshed(&token).await.unwrap().unwrap();
    sign_in.profile(&fresh).await.unwrap();
    assert_eq!(github.count("POST /login/oauth/access_token"), 2);
    // A token of an OAuth App does not end, and one without a way on is not sent anywhere.
    let mut lasting = UserToken::new(Secret::new("gho_x".to_owned()));
    assert!(sign_in.refreshed(&lasting).await.unwrap().is_none());
    lasting.expires_at = Some(START);
    assert_eq!(sign_in.refreshed(&lasting).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn a_device_waits_as_long_as_github_says() {
    let (clock, github, sign_in) = parts();
    let mut device = sign_in.begin_device().await.unwrap();
    assert_eq!(device.interval, Duration::from_secs(5));
    assert!(device.verification_uri.ends_with("/login/device"));
    assert!(matches!(sign_in.poll_device(&mut device).await.unwrap(), DevicePoll::Pending));
    // Too soon: GitHub adds five seconds.
    clock.advance(Duration::from_secs(1));
    assert!(matches!(sign_in.poll_device(&mut device).await.unwrap(), DevicePoll::Pending));
    assert_eq!(device.interval, Duration::from_secs(10));
    assert!(github.approve_device(&device.user_code, "mona"));
    clock.advance(device.interval);
    let DevicePoll::Done(token) = sign_in.poll_device(&mut device).await.unwrap() else {
        panic!("the person has agreed")
    };
    assert_eq!(sign_in.profile(&token).await.unwrap().login, "mona");
    let mut late = sign_in.begin_device().await.unwrap();
    clock.advance(Duration::from_mins(16));
    let error = sign_in.poll_device(&mut late).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.provider_code()),
        (ErrorKind::Unauthenticated, Some("expired_token"))
    );
    assert!(late.expires_at < clock_now(&clock));
}

fn clock_now(clock: &ManualClock) -> sam_core::time::Timestamp {
    use sam_core::time::Clock as _;
    clock.now()
}

#[tokio::test]
async fn a_user_sees_what_both_he_and_the_installation_see() {
    let (_, github, sign_in) = parts();
    let mona = signed_in(&github, &sign_in, "mona").await;
    let page = sign_in.installations(&mona, None).await.unwrap();
    assert_eq!(page.items.len(), 1);
    let first = sign_in.repositories(&mona, INSTALLATION, None).await.unwrap();
    assert_eq!((first.items.len(), first.next), (75, None));
    assert!(first.items.iter().all(|repo| repo.id.as_u64() % 2 == 0));
    let foreign = InstallationId::new(2);
    let error = sign_in.repositories(&mona, foreign, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(sign_in.installation(&mona, INSTALLATION).await.unwrap().is_some());
    assert!(sign_in.installation(&mona, foreign).await.unwrap().is_none());
    // What was remembered for one user is not shown to another.
    let other = signed_in(&github, &sign_in, "other").await;
    let page = sign_in.installations(&other, None).await.unwrap();
    assert_eq!(page.items[0].id, foreign);
}

#[tokio::test]
async fn signing_out_ends_the_token() {
    let (_, github, sign_in) = parts();
    let token = signed_in(&github, &sign_in, "mona").await;
    sign_in.profile(&token).await.unwrap();
    for _ in 0..2 {
        sign_in.revoke(&token).await.unwrap();
    }
    assert_eq!(sign_in.profile(&token).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
    assert!(!sign_in.begin(BACK).url.contains("scope"));
}

#[tokio::test]
async fn an_oauth_app_asks_for_what_it_needs_and_the_app_finds_the_installation() {
    let (clock, github, _) = parts();
    let oauth = SignIn::builder("Ov23liOther", Secret::new("s".to_owned()))
        .scope("read:user user:email")
        .build(Arc::new(github.clone()), Arc::new(clock.clone()), Arc::new(SeededEntropy::new(5)));
    assert!(oauth.begin(BACK).url.ends_with("&scope=read%3Auser%20user%3Aemail"));
    let app = crate::support::app(&github, &clock);
    let found = app.installation_of_user("Octo").await.unwrap().unwrap();
    assert_eq!(found.id, INSTALLATION);
    assert!(app.installation_of_user("mona").await.unwrap().is_none());
}

#[tokio::test]
async fn trouble_at_github_is_no_answer() {
    let (clock, github, sign_in) = parts();
    let token = signed_in(&github, &sign_in, "mona").await;
    clock.advance(Duration::from_hours(8));
    for (status, kind, effect) in [
        (503, ErrorKind::Unavailable, Effect::Unknown),
        (429, ErrorKind::RateLimited, Effect::NotApplied),
        (404, ErrorKind::NotFound, Effect::NotApplied),
    ] {
        // What it says beside the status does not count.
        let body = "{\"access_token\":\"ghu_forged\",\"token_type\":\"bearer\"}";
        let mut answer = http::Response::new(bytes::Bytes::from_static(body.as_bytes()));
        *answer.status_mut() = http::StatusCode::from_u16(status).unwrap();
        github.answer_next("POST", "/login/oauth/access_token", answer);
        let error = sign_in.refreshed(&token).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (kind, effect), "{status}");
    }
    // A failure is not kept: the refresh token is still good.
    sign_in.refreshed(&token).await.unwrap().unwrap();
    let unreadable = http::Response::new(bytes::Bytes::from_static(b"access_token=ghu_x"));
    github.answer_next("POST", "/login/device/code", unreadable);
    assert_eq!(sign_in.begin_device().await.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_wrong_client_secret_is_named() {
    let (clock, github, _) = parts();
    let sign_in = SignIn::builder(format!("Iv23liFake{APP_ID}"), Secret::new("wrong".to_owned()))
        .endpoints(github.endpoints())
        .build(Arc::new(github.clone()), Arc::new(clock.clone()), Arc::new(SeededEntropy::new(5)));
    let pending = sign_in.begin(BACK);
    let (code, state) = came_back(&github, &pending.url, "mona");
    let error = sign_in.finish(&pending, &code, &state).await.unwrap_err();
    assert_eq!(error.provider_code(), Some("incorrect_client_credentials"));
    assert_eq!(error.kind(), ErrorKind::BadInput);
}
