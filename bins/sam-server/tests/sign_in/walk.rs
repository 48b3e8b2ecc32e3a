//! Every route with every kind of credential: what is not for somebody is refused.

use std::collections::BTreeSet;

use axum::body::Body;
use http::{Method, Request};
use serde_json::json;

use crate::bench::{Bench, TOKEN, send};

/// Who a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// Anybody, for it tells of nobody, or because that is how people become known.
    All,
    /// Administrators.
    Administrators,
    /// Whoever is known, each of their own.
    Known,
    /// Those who own the workspace of the path; for others it does not exist.
    Owner,
}

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const DELETE: Method = Method::DELETE;

/// All routes that people ask, as `routes/mod.rs` has them.
const ROUTES: &[(&str, &[Method], For)] = &[
    ("/healthz", &[GET], For::All),
    ("/readyz", &[GET], For::All),
    ("/api/health", &[GET], For::All),
    ("/api/auth/device", &[POST], For::All),
    ("/api/auth/device/poll", &[POST], For::All),
    ("/api/workspaces", &[GET, POST], For::Known),
    ("/api/events", &[GET], For::Known),
    ("/api/providers", &[GET], For::Known),
    ("/api/credentials", &[GET, POST], For::Known),
    ("/api/credentials/validate", &[POST], For::Known),
    ("/api/credentials/{credential}", &[GET, DELETE], For::Known),
    ("/api/credentials/{credential}/token", &[PUT], For::Known),
    ("/api/github/installations", &[GET], For::Known),
    ("/api/github/installations/{installation}/repositories", &[GET], For::Known),
    ("/api/github/repositories/{repository}/branches", &[GET], For::Known),
    ("/api/github/install-url", &[GET], For::Known),
    ("/api/auth/me", &[GET], For::Known),
    ("/api/auth/sign-out", &[POST], For::Known),
    ("/api/auth/sessions", &[DELETE], For::Known),
    ("/api/workspaces/{workspace}", &[GET, DELETE], For::Owner),
    ("/api/workspaces/{workspace}/start", &[POST], For::Owner),
    ("/api/workspaces/{workspace}/stop", &[POST], For::Owner),
    ("/api/workspaces/{workspace}/lease", &[PUT], For::Owner),
    ("/api/workspaces/{workspace}/terminals", &[GET, POST], For::Owner),
    ("/api/workspaces/{workspace}/terminals/{terminal}", &[DELETE], For::Owner),
    ("/api/workspaces/{workspace}/terminals/{terminal}/attach", &[GET], For::Owner),
    ("/api/workspaces/{workspace}/exec", &[GET], For::Owner),
    ("/api/workspaces/{workspace}/activity", &[GET], For::Owner),
    ("/api/workspaces/{workspace}/work/{name}", &[PUT, DELETE], For::Owner),
    ("/api/nodes", &[GET], For::Administrators),
    ("/api/nodes/{node}", &[GET, DELETE], For::Administrators),
    ("/api/sweeps", &[GET], For::Administrators),
    ("/api/sweeps/{sweep}/run", &[POST], For::Administrators),
    ("/api/orphans", &[GET], For::Administrators),
    ("/api/orphans/{orphan}", &[GET, DELETE], For::Administrators),
    ("/api/replicas", &[GET], For::Administrators),
    ("/api/deletion-hold", &[GET, PUT], For::Administrators),
    ("/api/github/deliveries", &[GET], For::Administrators),
    ("/api/github/deliveries/{delivery}/retry", &[POST], For::Administrators),
    ("/api/daemon", &[GET], For::Administrators),
    ("/api/daemon/stop", &[POST], For::Administrators),
    ("/api/accounts", &[GET], For::Administrators),
];

/// Routes of agents, replicas and GitHub, which prove who they are in ways of their own, and those
/// that are named by constants: each has tests of its own.
const APART: [&str; 6] = [
    "/api/nodes/boot-report",
    "/api/bootstrap",
    "/api/agent/challenge",
    "/api/agent/link",
    "/api/github/webhook",
    "/api/integrations/github/webhook",
];

#[test]
fn the_table_has_every_route() {
    let sources =
        [include_str!("../../src/routes/mod.rs"), include_str!("../../src/routes/github.rs")];
    let texts = sources.iter().flat_map(|text| text.split(".route(").skip(1));
    let literal = texts.filter_map(|rest| rest.trim_start().strip_prefix('"'));
    let found: BTreeSet<&str> = literal.map(|rest| rest.split('"').next().unwrap()).collect();
    let known: BTreeSet<&str> = ROUTES.iter().map(|(path, ..)| *path).chain(APART).collect();
    assert_eq!(found, known);
}

fn filled(path: &str, workspace: &str) -> String {
    let path = path.replace("{workspace}", workspace).replace("{installation}", "42");
    let path = path.replace("{terminal}", "tm-00000000000000000000000001");
    let path = path.replace("{repository}/branches", "1000/branches?installation=42");
    ["{node}", "{sweep}", "{orphan}", "{delivery}", "{name}", "{credential}"]
        .iter()
        .fold(path, |path, part| path.replace(part, "none"))
}

/// What a request carries.
#[derive(Debug, Clone)]
enum Credential {
    Bearer(String),
    Cookie(String),
    Header(&'static str),
    None,
}

async fn status(bench: &Bench, method: &Method, path: &str, credential: &Credential) -> u16 {
    let mut request = Request::builder().method(method).uri(path);
    request = match credential {
        Credential::Bearer(token) => request.header("authorization", format!("Bearer {token}")),
        Credential::Cookie(token) => request
            .header("cookie", format!("__Host-sam_login={token}"))
            .header("origin", "https://api.example.com"),
        Credential::Header(line) => request.header("authorization", *line),
        Credential::None => request,
    };
    let body = if path.ends_with("/poll") { json!({"device": "x"}) } else { json!({}) };
    let request = request.header("content-type", "application/json");
    send(&bench.router, request.body(Body::from(body.to_string())).unwrap()).await.status
}

#[tokio::test]
async fn every_route_refuses_who_it_is_not_for() {
    let bench = Bench::new().await;
    let mut mona = bench.signed_in("mona").await;
    let body = json!({"repo": "https://elsewhere.example/a/b.git", "name": "hers"});
    assert_eq!(mona.post("/api/workspaces", body).await.status, 201);
    let hers = mona.get("/api/workspaces/hers").await.json()["id"].as_str().unwrap().to_owned();
    let mut ended = bench.signed_in("mona").await;
    let ended_token = ended.login().unwrap().clone();
    ended.post("/api/auth/sign-out", json!({})).await;
    let strangers = [
        Credential::None,
        Credential::Bearer(String::new()),
        Credential::Bearer("wrong".to_owned()),
        Credential::Bearer(format!("{TOKEN}x")),
        Credential::Bearer(format!("sam_login_{}", "A".repeat(43))),
        Credential::Bearer(ended_token.clone()),
        Credential::Cookie(ended_token),
        Credential::Cookie("wrong".to_owned()),
        // The administrator's token is none of a browser's.
        Credential::Cookie(TOKEN.to_owned()),
        Credential::Header("Basic c2FtX2FkbWluX3Rlc3Q="),
        Credential::Header(TOKEN),
    ];
    for (path, methods, who) in ROUTES {
        for method in *methods {
            let at = filled(path, &hers);
            for stranger in &strangers {
                let status = status(&bench, method, &at, stranger).await;
                let is_refused = status == 401;
                assert_eq!(
                    is_refused,
                    *who != For::All || path.ends_with("/poll"),
                    "{method} {path} with {stranger:?}: {status}"
                );
            }
            // Somebody else who signed in.
            let hub = bench.signed_in("hub").await.login().unwrap().clone();
            for credential in [Credential::Bearer(hub.clone()), Credential::Cookie(hub)] {
                let status = status(&bench, method, &at, &credential).await;
                match who {
                    For::Administrators => assert_eq!(status, 403, "{method} {path}"),
                    For::Owner => {
                        // A body that is none of the route's is told of first.
                        assert!(matches!(status, 404 | 422), "{method} {path}: {status}");
                    }
                    For::Known => {
                        assert!(!matches!(status, 403 | 500), "{method} {path}: {status}");
                    }
                    For::All => assert_ne!(status, 403, "{method} {path}"),
                }
            }
        }
    }
    // Nothing of what was tried happened.
    let still = mona.get(&format!("/api/workspaces/{hers}")).await.json();
    assert_eq!((&still["wish"], &still["version"]), (&json!("running"), &json!(1)), "{still}");
    // Others see none of it, in lists neither.
    let mut hub = bench.signed_in("hub").await;
    let listed = hub.get("/api/workspaces?all=true").await.json();
    assert_eq!(listed["items"], json!([]), "{listed}");
    let followed = hub.get(&format!("/api/events?workspace={hers}")).await;
    assert_eq!(followed.status, 404);
    // An administrator signs out of nothing.
    for (method, path) in [(POST, "/api/auth/sign-out"), (DELETE, "/api/auth/sessions")] {
        assert_eq!(bench.ask(method, path, TOKEN).await.status, 400, "{path}");
    }
}
