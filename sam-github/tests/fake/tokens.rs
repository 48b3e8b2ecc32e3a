//! Tokens: made once, kept, replaced, refused, revoked.

use std::sync::Arc;
use std::time::Duration;

use sam_core::http::HttpTransport;
use sam_core::time::ManualClock;
use sam_core::{Effect, ErrorKind, Retry};
use sam_github::testkit::FakeGithub;
use sam_github::{GithubApp, InstallationId, Level, Permissions, RepositoryId, TokenScope};

use crate::support::keys::START;
use crate::support::{INSTALLATION, app, app_by, github};

const MINTED: &str = "POST /app/installations/1/access_tokens";

fn scope(ids: &[u64], level: Level) -> TokenScope {
    let ids = ids.iter().copied().map(RepositoryId::new);
    TokenScope::new(INSTALLATION, ids, Permissions::new().with("contents", level)).unwrap()
}

fn parts() -> (ManualClock, FakeGithub, GithubApp) {
    let clock = ManualClock::new(START);
    let github = github(&clock);
    let app = app(&github, &clock);
    (clock, github, app)
}

async fn token(app: &GithubApp, scope: &TokenScope) -> String {
    let token = app.installation_token(scope, Duration::ZERO).await.unwrap();
    token.token.expose().clone()
}

fn answer(status: u16, headers: &[(&str, &str)], message: &str) -> http::Response<bytes::Bytes> {
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    let body = serde_json::json!({
        "message": message, "documentation_url": "https://docs.github.com/rest",
        "status": status.to_string(),
    });
    response.body(body.to_string().into()).unwrap()
}

/// Moves the clock to whatever is waited for until the work is done.
async fn with_time<T>(clock: &ManualClock, work: impl Future<Output = T>) -> T {
    futures_util::pin_mut!(work);
    for _ in 0..1_000 {
        if let Some(done) = futures_util::future::poll_immediate(work.as_mut()).await {
            return done;
        }
        if let Some(next) = clock.next_deadline_in() {
            clock.advance(next);
        }
    }
    panic!("it does not end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_callers_on_a_cold_cache_send_one_request() {
    let (_, github, app) = parts();
    let scope = scope(&[1_000], Level::Read);
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (app, scope) = (app.clone(), scope.clone());
            tokio::spawn(async move { token(&app, &scope).await })
        })
        .collect();
    let mut tokens = Vec::new();
    for caller in callers {
        tokens.push(caller.await.unwrap());
    }
    tokens.dedup();
    assert_eq!((tokens.len(), github.count(MINTED)), (1, 1));
}

#[tokio::test]
async fn each_scope_has_a_token_of_its_own_with_nothing_more() {
    let (_, github, app) = parts();
    let read = token(&app, &scope(&[1_000], Level::Read)).await;
    let write = token(&app, &scope(&[1_000], Level::Write)).await;
    let both = token(&app, &scope(&[1_000, 1_001], Level::Read)).await;
    let allows = |token: &str, id, level| github.allows(token, id, "contents", level);
    assert!(allows(&read, 1_000, Level::Read) && !allows(&read, 1_000, Level::Write));
    assert!(!allows(&read, 1_001, Level::Read) && allows(&both, 1_001, Level::Read));
    assert!(allows(&write, 1_000, Level::Write));
    assert!(read.len() > 40 && github.count(MINTED) == 3);
}

#[tokio::test]
async fn a_token_is_kept_until_five_minutes_before_its_end_and_by_both_clocks() {
    let (clock, github, app) = parts();
    let scope = scope(&[1_000], Level::Read);
    let first = token(&app, &scope).await;
    clock.advance(Duration::from_secs(54 * 60 + 59));
    assert_eq!(token(&app, &scope).await, first);
    clock.advance(Duration::from_secs(2));
    let second = token(&app, &scope).await;
    assert_ne!(second, first);
    // Who needs one for long gets a new one sooner.
    clock.advance(Duration::from_mins(10));
    let long = app.installation_token(&scope, Duration::from_mins(55)).await.unwrap();
    assert_ne!(*long.token.expose(), second);
    // A wall clock set back does not make a token live longer.
    clock.advance(Duration::from_mins(56));
    clock.jump_wall(-3_600_000_000);
    assert_ne!(token(&app, &scope).await, *long.token.expose());
    assert_eq!(github.count(MINTED), 4);
}

#[tokio::test]
async fn a_revoked_token_ends_and_is_not_given_out_again() {
    let (_, github, app) = parts();
    let scope = scope(&[1_000], Level::Read);
    let given = app.installation_token(&scope, Duration::ZERO).await.unwrap();
    for _ in 0..2 {
        app.revoke_token(&given.token).await.unwrap();
    }
    assert!(!github.allows(given.token.expose(), 1_000, "contents", Level::Read));
    assert_ne!(token(&app, &scope).await, *given.token.expose());
}

#[tokio::test]
async fn a_token_github_refuses_is_dropped_and_replaced_once() {
    let (clock, github, app) = parts();
    app.repositories(INSTALLATION, None).await.unwrap();
    clock.advance(Duration::from_mins(1));
    github.revoke_all_tokens();
    app.repositories(INSTALLATION, None).await.unwrap();
    assert_eq!(github.count(MINTED), 2);
}

#[tokio::test]
async fn a_fresh_token_that_is_not_known_everywhere_yet_is_tried_again() {
    let (clock, github, app) = parts();
    github.delay_tokens(2_500);
    with_time(&clock, app.repositories(INSTALLATION, None)).await.unwrap();
    assert_eq!(github.count(MINTED), 1);
    assert_eq!(github.count("GET /installation/repositories"), 4);
    // One that never comes to life ends it.
    let (clock, github, app) = parts();
    github.delay_tokens(60_000);
    let error = with_time(&clock, app.repositories(INSTALLATION, None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert_eq!((github.count(MINTED), github.count("GET /installation/rep")), (1, 6));
}

#[tokio::test]
async fn a_clock_ten_minutes_off_is_noticed_and_made_good() {
    for minutes in [-10, 10] {
        let theirs = ManualClock::new(START);
        let ours = ManualClock::new(START);
        ours.jump_wall(minutes * 60_000_000);
        let github = github(&theirs);
        let app = app(&github, &ours);
        app.info().await.unwrap();
        assert_eq!(github.count("GET /app"), 2);
        // From then on it is known.
        token(&app, &scope(&[1_000], Level::Read)).await;
        token(&app, &scope(&[1_000], Level::Read)).await;
        assert_eq!(github.count(MINTED), 1);
    }
}

/// A key service that is slow, and counts.
#[derive(Debug)]
struct Service(Arc<sam_github::Rs256Signer>, std::sync::atomic::AtomicUsize);

#[async_trait::async_trait]
impl sam_core::keys::Signer for Service {
    fn key_id(&self) -> &str {
        self.0.key_id()
    }

    async fn sign(&self, message: &[u8]) -> sam_core::Result<Vec<u8>> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.0.sign(message).await
    }
}

#[tokio::test]
async fn a_key_service_signs_once_for_all_who_wait() {
    let clock = ManualClock::new(START);
    let github = github(&clock);
    let service = Arc::new(Service(crate::support::keys::signer(), 0.into()));
    let signer = Arc::clone(&service) as Arc<dyn sam_core::keys::Signer>;
    let app = GithubApp::builder(crate::support::APP_ID.to_string().parse().unwrap(), signer)
        .endpoints(github.endpoints())
        .build(Arc::new(github.clone()), Arc::new(clock));
    let scopes: Vec<_> = (1_000..1_032).map(|id| scope(&[id], Level::Read)).collect();
    let tokens = scopes.iter().map(|scope| app.installation_token(scope, Duration::ZERO));
    let tokens = futures_util::future::join_all(tokens).await;
    assert!(tokens.iter().all(Result::is_ok) && github.count(MINTED) == 32);
    assert_eq!(service.1.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_apps_own_token_is_kept_for_eight_minutes() {
    let (clock, _, app) = parts();
    let first = app.jwt().await.unwrap();
    clock.advance(Duration::from_secs(7 * 60 + 59));
    assert_eq!(app.jwt().await.unwrap().expose(), first.expose());
    clock.advance(Duration::from_secs(2));
    assert_ne!(app.jwt().await.unwrap().expose(), first.expose());
    clock.jump_wall(-3_600_000_000);
    assert_ne!(app.jwt().await.unwrap().expose(), first.expose());
}

#[tokio::test]
async fn what_the_installation_does_not_hold_is_denied() {
    let (_, github, app) = parts();
    let none = TokenScope::all_repositories(
        InstallationId::new(77),
        Permissions::new().with("contents", Level::Read),
    );
    let issues = Permissions::new().with("issues", Level::Write);
    let issues = TokenScope::all_repositories(INSTALLATION, issues);
    github.suspend_installation(2, Some("2026-01-01T00:00:00Z"));
    let suspended = TokenScope::all_repositories(
        InstallationId::new(2),
        Permissions::new().with("contents", Level::Read),
    );
    for (scope, kind, code) in [
        (scope(&[1_000, 9_000], Level::Read), ErrorKind::Denied, "repository_outside"),
        (issues.unwrap(), ErrorKind::Denied, "permissions_not_granted"),
        (suspended.unwrap(), ErrorKind::Denied, "installation_suspended"),
        (none.unwrap(), ErrorKind::NotFound, "404"),
    ] {
        let error = app.installation_token(&scope, Duration::ZERO).await.unwrap_err();
        assert_eq!((error.kind(), error.provider_code()), (kind, Some(code)), "{error:?}");
        assert_eq!((error.effect(), error.retry()), (Effect::NotApplied, Retry::Never));
        assert!(code == "404" || error.hint().is_some(), "{code} has no hint");
    }
}

#[tokio::test]
async fn an_announced_limit_is_kept_without_asking() {
    let (clock, github, app) = parts();
    let reset = (START.as_secs_unsigned() + 90).to_string();
    let primary = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", reset.as_str())];
    for (headers, wait) in [
        (&[("retry-after", "30"), ("x-ratelimit-remaining", "4987")][..], 30),
        (&primary, 61),
        (&[("x-ratelimit-remaining", "12")], 60),
    ] {
        github.answer_next(
            "GET",
            "/app",
            answer(403, headers, "You have exceeded a secondary rate limit."),
        );
        let before = github.asked().len();
        for _ in 0..2 {
            let error = app.info().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::RateLimited, "{headers:?}");
            assert_eq!(error.retry(), Retry::After(Duration::from_secs(wait)), "{headers:?}");
        }
        assert_eq!(github.asked().len(), before + 1);
        clock.advance(Duration::from_secs(wait));
        app.info().await.unwrap();
    }
}

#[tokio::test]
async fn after_the_last_request_of_an_hour_none_is_sent_until_the_next() {
    let (clock, github, app) = parts();
    let reset = (START.as_secs_unsigned() + 600).to_string();
    let last = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", reset.as_str())];
    let mut good = answer(200, &last, "");
    *good.body_mut() = github.answer(&own_request(&app, "/app").await).into_body();
    github.answer_next("GET", "/app", good);
    app.info().await.unwrap();
    let asked = github.asked().len();
    let error = app.info().await.unwrap_err();
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(601)));
    // A token that is not there yet cannot be made meanwhile.
    let error = app.repositories(INSTALLATION, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(github.asked().len(), asked);
    clock.advance(Duration::from_secs(601));
    app.info().await.unwrap();
    app.repositories(INSTALLATION, None).await.unwrap();
}

/// A request of the App's own, by hand.
async fn own_request(app: &GithubApp, path: &str) -> http::Request<bytes::Bytes> {
    let token = app.jwt().await.unwrap();
    http::Request::get(format!("{}{path}", app.endpoints().api()))
        .header("authorization", format!("Bearer {}", token.expose()))
        .body(bytes::Bytes::new())
        .unwrap()
}

#[tokio::test]
async fn each_status_is_an_error_that_says_what_to_do() {
    let (clock, github, app) = parts();
    for (status, kind, retry) in [
        (401, ErrorKind::Unauthenticated, Retry::Never),
        (403, ErrorKind::Denied, Retry::Never),
        (404, ErrorKind::NotFound, Retry::Never),
        (409, ErrorKind::Conflict, Retry::Backoff),
        (422, ErrorKind::BadInput, Retry::Never),
        (500, ErrorKind::Unavailable, Retry::Backoff),
        (502, ErrorKind::Unavailable, Retry::Backoff),
        (504, ErrorKind::Timeout, Retry::Backoff),
    ] {
        github.answer_next("POST", "/app", answer(status, &[], "no\nway"));
        let wanted = scope(&[1_000], Level::Read);
        let error = app.installation_token(&wanted, Duration::ZERO).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{status}");
        let effect = if status >= 500 { Effect::Unknown } else { Effect::NotApplied };
        assert_eq!(error.effect(), effect, "{status}");
        assert_eq!(error.public_message(), format!("GitHub answered {status}: no way"));
        assert_eq!(error.operation(), Some("installation_token"));
        github.answer_next("GET", "/app", answer(status, &[], ""));
        assert_eq!(app.info().await.unwrap_err().effect(), Effect::NotApplied);
        clock.advance(Duration::from_mins(1));
    }
    // Not JSON at all, from something in between.
    let mut page = http::Response::new("<html>".into());
    *page.status_mut() = http::StatusCode::BAD_GATEWAY;
    github.answer_next("GET", "/app", page);
    assert_eq!(app.info().await.unwrap_err().kind(), ErrorKind::Unavailable);
    github.answer_next("GET", "/app", http::Response::new("<html>".into()));
}

#[tokio::test]
async fn a_redirect_elsewhere_is_not_followed() {
    let (_, github, app) = parts();
    for to in ["https://evil.example/app", "https://github.test.evil.example/api/v3/app", "/app"] {
        let mut moved = http::Response::new(bytes::Bytes::new());
        *moved.status_mut() = http::StatusCode::TEMPORARY_REDIRECT;
        moved.headers_mut().insert("location", to.parse().unwrap());
        github.answer_next("GET", "/app", moved);
        assert_eq!(app.info().await.unwrap_err().kind(), ErrorKind::Corrupt, "{to}");
    }
    assert_eq!(github.asked().len(), 3);
}

/// Echoes whatever it is sent, as a bad proxy would.
#[derive(Debug)]
struct Echo;

#[async_trait::async_trait]
impl HttpTransport for Echo {
    async fn send(
        &self,
        request: http::Request<bytes::Bytes>,
    ) -> sam_core::Result<http::Response<bytes::Bytes>> {
        let told = request.headers()["authorization"].to_str().unwrap().to_owned();
        Ok(answer(400, &[], &format!("cannot serve {told}")))
    }
}

#[tokio::test]
async fn no_credential_is_shown_in_any_form() {
    let (clock, github, app) = parts();
    let given =
        app.installation_token(&scope(&[1_000], Level::Read), Duration::ZERO).await.unwrap();
    let jwt = app.jwt().await.unwrap();
    let echoed = app_by(Echo, &github, &clock);
    let error = echoed.info().await.unwrap_err();
    let own = echoed.jwt().await.unwrap();
    let shown =
        format!("{app:?} {app} {given:?} {error:?} {error} {:?} {:?}", error.context(), github);
    for secret in [given.token.expose(), jwt.expose(), own.expose()] {
        assert!(!shown.contains(secret.as_str()), "{shown}");
    }
    let refused = Arc::new(app).installation(InstallationId::new(5)).await.unwrap();
    assert!(refused.is_none());
}
