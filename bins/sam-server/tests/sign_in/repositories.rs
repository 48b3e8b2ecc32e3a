//! What a person's workspaces are made of: what both the person sees and the App reaches.

use std::time::Duration;

use http::Method;
use sam_core::WorkspaceId;
use sam_core::workspace::ForgeRepository;
use serde_json::{Value, json};

use crate::bench::{Answer, Bench, Browser, TOKEN};

fn repo(bench: &Bench, name: &str) -> Value {
    json!({ "repo": format!("{}/octo/{name}.git", bench.github.endpoints().web()) })
}

async fn forge(bench: &Bench, made: &Answer) -> Option<ForgeRepository> {
    assert_eq!(made.status, 201, "{}", made.text);
    let id: WorkspaceId = made.json()["id"].as_str().unwrap().parse().unwrap();
    bench.sam.workspace(id).await.unwrap().unwrap().record.forge
}

async fn made_by(bench: &Bench, browser: &mut Browser, name: &str) -> Answer {
    browser.post("/api/workspaces", repo(bench, name)).await
}

/// As both layouts have it.
async fn makes_what_both_reach(bench: &Bench) {
    let mut mona = bench.signed_in("mona").await;
    let own = forge(bench, &made_by(bench, &mut mona, "hello").await).await.unwrap();
    assert_eq!((own.grant.as_str(), own.number, own.read_only), ("42", 1_000, false));
    let reading = forge(bench, &made_by(bench, &mut mona, "reading").await).await.unwrap();
    assert_eq!((reading.number, reading.read_only), (1_002, true));
    // What the App reaches and she does not is not there, like what nobody has.
    let secret = made_by(bench, &mut mona, "secret").await;
    assert_eq!((secret.status, &secret.json()["code"]), (404, &json!("not_found")));
    // Nothing is written of a workspace that is refused.
    assert!(!bench.feed().await.contains("octo/secret"));
    // Other hosts are git's own affair, and the server's disk is nobody's who signed in.
    let elsewhere = json!({ "repo": "https://elsewhere.example/a/b.git" });
    let elsewhere = mona.post("/api/workspaces", elsewhere).await;
    assert_eq!(forge(bench, &elsewhere).await, None);
    for path in ["/etc", "file:///etc"] {
        let refused = mona.post("/api/workspaces", json!({ "repo": path })).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
    }
}

#[tokio::test]
async fn a_workspace_is_made_of_what_both_the_person_and_the_app_reach() {
    let bench = Bench::new().await;
    makes_what_both_reach(&bench).await;
    // Somebody else sees none of them, and a public one without a right to push.
    let mut hub = bench.signed_in("hub").await;
    for name in ["hello", "secret", "reading"] {
        assert_eq!(made_by(&bench, &mut hub, name).await.status, 404, "{name}");
    }
    let public = forge(&bench, &made_by(&bench, &mut hub, "public").await).await;
    assert!(public.is_none_or(|public| public.read_only));
    // The administrator reaches all; which it is, is found when git asks.
    for name in ["hello", "secret"] {
        let body = axum::body::Body::from(repo(&bench, name).to_string());
        let request = http::Request::post("/api/workspaces")
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", "application/json");
        let made = crate::bench::send(&bench.router, request.body(body).unwrap()).await;
        assert_eq!(forge(&bench, &made).await, None);
    }
}

#[tokio::test]
async fn an_oauth_app_beside_the_github_app_does_as_well() {
    // The App's own client id is another one, so that people sign in with something else.
    let bench = Bench::with_oauth_app().await;
    makes_what_both_reach(&bench).await;
    assert_eq!(bench.github.count("GET /user/installations"), 0);
    let mut mona = bench.signed_in("mona").await;
    let listed = mona.get("/api/github/installations").await;
    assert_eq!(listed.json()["code"], "unsupported", "{}", listed.text);
    let set_up = "/api/github/callback?setup_action=install&installation_id=";
    assert_eq!(mona.get(&format!("{set_up}42")).await.status, 404);
}

#[tokio::test]
async fn lists_show_what_both_see_and_the_administrator_all() {
    let bench = Bench::new().await;
    let mut mona = bench.signed_in("mona").await;
    let ids = |answer: &Answer| -> Vec<u64> {
        let items = answer.json()["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| item["id"].as_u64().unwrap()).collect()
    };
    let (installations, repositories, branches) = (
        "/api/github/installations",
        "/api/github/installations/42/repositories",
        "/api/github/repositories/1001/branches?installation=42",
    );
    let all = async |path: &str| bench.ask(Method::GET, path, TOKEN).await;
    assert_eq!(ids(&mona.get(installations).await), [42]);
    assert_eq!(ids(&all(installations).await), [42, 43]);
    assert_eq!(ids(&mona.get(repositories).await), [1_000, 1_002, 1_003]);
    assert_eq!(ids(&all(repositories).await), [1_000, 1_001, 1_002, 1_003]);
    assert_eq!(mona.get("/api/github/installations/43/repositories").await.status, 404);
    assert_eq!(mona.get(branches).await.status, 404);
    assert_eq!(all(branches).await.status, 200);
    let own = mona.get("/api/github/repositories/1000/branches?installation=42").await;
    assert_eq!(own.json()["items"][0]["name"], "main", "{}", own.text);
    for _ in 0..3 {
        let url = mona.get("/api/github/install-url").await.json();
        assert!(url["url"].as_str().unwrap().ends_with("/fake-app/installations/new"));
    }
    assert_eq!(bench.github.asked().iter().filter(|line| *line == "GET /app").count(), 1);
    assert_eq!(mona.get("/api/github/deliveries").await.status, 403);
}

#[tokio::test]
async fn a_users_token_is_refreshed_once_however_many_ask_and_its_loss_means_to_sign_in_again() {
    let bench = Bench::new().await;
    let mut mona = bench.signed_in("mona").await;
    let asked = || bench.github.count("POST /login/oauth/access_token");
    let before = asked();
    bench.clock.advance(Duration::from_hours(9));
    let many = (0..16).map(|_| {
        let mut browser = mona.clone();
        async move { browser.get("/api/github/installations").await.status }
    });
    let statuses = futures_util::future::join_all(many).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(asked(), before + 1);
    // A process that was started again does not know it.
    let mut elsewhere = mona.clone();
    elsewhere.router = bench.replica(None);
    assert_eq!(elsewhere.get("/api/auth/me").await.status, 200);
    let lost = elsewhere.get("/api/github/installations").await;
    assert_eq!(lost.status, 401);
    assert!(lost.json()["hint"].as_str().unwrap().starts_with("sign in again"), "{}", lost.text);
    // So does one whose token GitHub ended.
    let gone = http::Response::builder().status(401);
    let gone = gone.body(r#"{"message":"Bad credentials"}"#.into()).unwrap();
    bench.github.answer_next("GET", "/user/installations", gone);
    let ended = mona.get("/api/github/installations?after=").await;
    let ended =
        if ended.status == 401 { ended } else { mona.get("/api/github/installations").await };
    assert_eq!(ended.status, 401, "{}", ended.text);
    let back = mona.through_github(&bench.github, "mona", "/api/auth/github").await;
    assert_eq!(mona.get(&back).await.status, 302);
    assert_eq!(mona.get("/api/github/installations").await.status, 200);
}
