//! The webhook and the routes of a GitHub App, against a GitHub, a store and a provider in memory.

#[cfg(test)]
mod github {
    use std::sync::Arc;
    use std::time::Duration;

    use axum::Router;
    use axum::body::Body;
    use bytes::Bytes;
    use http::{HeaderValue, Method, Request};
    use http_body_util::BodyExt as _;
    use sam_agent::controller::{Controller, ControllerConfig};
    use sam_core::auth::ChallengeKey;
    use sam_core::compute::MemoryCompute;
    use sam_core::delivery::{DeliveryHandler, DeliveryRecord, DeliveryState, MemoryDeliveries};
    use sam_core::engine::Stepped;
    use sam_core::entropy::SeededEntropy;
    use sam_core::keys::Ed25519Signer;
    use sam_core::replica::{ControlUrls, Replica};
    use sam_core::store::MemoryStore;
    use sam_core::time::{Clock, ManualClock, Timestamp};
    use sam_core::{ErrorKind, Sam, Secret};
    use sam_github::testkit::{FakeApp, FakeGithub, FakeInstallation, FakeRepository, Sent};
    use sam_github::webhook::WEBHOOK_BYTES_MAX;
    use sam_github::{
        GithubApp, InstallationId, Level, Permissions, PrivateKey, RepositoryId, Rs256Signer,
        TokenScope, WebhookSecrets,
    };
    use sam_server::github::GithubDeliveries;
    use sam_server::{Access, App, AppParts};
    use serde_json::{Value, json};
    use sha2::{Digest as _, Sha256};
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt as _;

    const TOKEN: &str = "sam_admin_test";
    const PEM: &str = include_str!("../../../sam-github/tests/keys/rsa2048.pkcs1.pem");
    const WEBHOOK: &str = "http://sam.example/api/github/webhook";

    /// A GitHub with an App that is installed at `octo`, number 42, and its repository, number 1000.
    fn world(clock: &Arc<dyn Clock>) -> (FakeGithub, GithubApp) {
        let key: PrivateKey = PEM.parse().unwrap();
        let signer = Rs256Signer::new(&key).unwrap();
        let github = FakeGithub::new(FakeApp::new(7, signer.public_key()), Arc::clone(clock));
        github.put_repository(FakeRepository::new(1_000, "octo", "hello"));
        let write = Permissions::new().with("contents", Level::Write);
        github.put_installation(FakeInstallation::new(42, "octo", write));
        let app = GithubApp::builder("7".parse().unwrap(), Arc::new(signer))
            .endpoints(github.endpoints())
            .build(Arc::new(github.clone()), Arc::clone(clock));
        (github, app)
    }

    struct Bench {
        clock: ManualClock,
        store: Arc<MemoryStore>,
        github: FakeGithub,
        app: GithubApp,
        sam: Sam,
        router: Router,
    }

    impl Bench {
        fn new() -> Self {
            Self::with(|app| Arc::new(GithubDeliveries::new(Some(app))))
        }

        /// With a handler of one's own.
        fn with(handler: impl FnOnce(GithubApp) -> Arc<dyn DeliveryHandler>) -> Self {
            let clock = ManualClock::new(Timestamp::EPOCH.plus(Duration::from_hours(1)));
            let shared: Arc<dyn Clock> = Arc::new(clock.clone());
            let (github, app) = world(&shared);
            let store = Arc::new(MemoryStore::new(Arc::clone(&shared)));
            let sam = sam(&store, &clock, handler(app.clone()), 1);
            let secret = Secret::new("fake-webhook-secret".to_owned());
            let secrets = WebhookSecrets::new(&secret).unwrap();
            let router = router(&sam, &clock, Some(app.clone()), secrets);
            Self { clock, store, github, app, sam, router }
        }

        async fn deliver(&self, sent: &Sent) -> (u16, Value) {
            let request = self.github.delivery(sent, WEBHOOK).unwrap();
            send(&self.router, request).await
        }

        /// Sends a webhook that must be accepted, and returns its id.
        async fn accepted(&self, event: &str, payload: &Value) -> String {
            let sent = self.github.event(event, payload);
            let (status, receipt) = self.deliver(&sent).await;
            assert_eq!((status, &receipt["id"]), (202, &json!(sent.guid)), "{receipt}");
            sent.guid
        }

        async fn ask(&self, method: Method, path: &str) -> (u16, Value) {
            ask(&self.router, method, path, TOKEN).await
        }

        async fn deliveries(&self) -> Vec<Value> {
            let (status, page) = self.ask(Method::GET, "/api/github/deliveries").await;
            assert_eq!(status, 200, "{page}");
            page["items"].as_array().unwrap().clone()
        }

        async fn work(&self) {
            work(&self.sam).await;
        }
    }

    async fn work(sam: &Sam) {
        for _ in 0..1_000 {
            if sam.step().await.unwrap() != Stepped::Worked {
                return;
            }
        }
        panic!("there is no end to it");
    }

    fn sam(
        store: &Arc<MemoryStore>,
        clock: &ManualClock,
        handler: Arc<dyn DeliveryHandler>,
        seed: u64,
    ) -> Sam {
        let store = Arc::clone(store);
        Sam::builder(store, Arc::new(MemoryCompute::new()))
            .clock(Arc::new(clock.clone()))
            .entropy(Arc::new(SeededEntropy::new(seed)))
            .deliveries(handler)
            .build()
            .unwrap()
    }

    fn router(
        sam: &Sam,
        clock: &ManualClock,
        github: Option<GithubApp>,
        webhook_secrets: WebhookSecrets,
    ) -> Router {
        let signer = Arc::new(Ed25519Signer::from_seed(&Secret::new([1; 32])));
        let config = ControllerConfig::new("home".into(), signer, Arc::new(clock.clone()));
        sam_server::router(App::new(AppParts {
            sam: sam.clone(),
            controller: Controller::new(config),
            challenge: ChallengeKey::new(Secret::new([2; 32])),
            server_keys: Vec::new(),
            access: Access::Token { sha256: Sha256::digest(TOKEN).into() },
            replica: Replica::new("t", ""),
            control_urls: ControlUrls::new(["memory:"]),
            upkeep: None,
            started_at: clock.now(),
            github,
            sign_in: None,
            webhook_secrets,
            base_domain: None,
            local_repos: false,
            shutdown: CancellationToken::new(),
            daemon: None,
        }))
    }

    async fn send(router: &Router, request: Request<Bytes>) -> (u16, Value) {
        let response = router.clone().oneshot(request.map(Body::from)).await.unwrap();
        let status = response.status().as_u16();
        if status >= 400 {
            let sort = response.headers().get("content-type").unwrap();
            assert_eq!(sort, "application/problem+json");
        }
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    async fn ask(router: &Router, method: Method, path: &str, token: &str) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {token}"));
        send(router, request.body(Bytes::new()).unwrap()).await
    }

    fn push(branch: &str, after: u64) -> Value {
        json!({
            "ref": format!("refs/heads/{branch}"), "before": "0".repeat(40),
            "after": format!("{after:040x}"), "installation": {"id": 42},
            "repository": {"id": 1000, "name": "hello", "full_name": "octo/hello"},
        })
    }

    #[tokio::test]
    async fn a_webhook_is_kept_before_it_is_acknowledged_and_a_replay_changes_nothing() {
        let bench = Bench::new();
        let sent = bench.github.event("push", &push("main", 1));
        let first = bench.deliver(&sent).await;
        assert_eq!((first.0, &first.1["id"]), (202, &json!(sent.guid)));
        let kept = bench.deliveries().await;
        assert_eq!(kept.len(), 1);
        let told = ["state", "event", "repository", "installation", "branch"];
        let told: Vec<_> = told.iter().map(|member| kept[0][member].as_str().unwrap()).collect();
        assert_eq!(told, ["received", "push", "1000", "42", "refs/heads/main"]);
        let hash = Sha256::digest(&sent.body);
        let kept_hash = kept[0]["body_sha256"].as_str().unwrap();
        assert_eq!(kept_hash.len(), 64);
        assert!(kept_hash.starts_with(&format!("{:02x}{:02x}", hash[0], hash[1])), "{kept_hash}");
        assert!(kept_hash.ends_with(&format!("{:02x}", hash[31])), "{kept_hash}");
        assert_eq!(kept[0]["is_whole"], json!(true));
        assert_eq!(bench.deliver(&sent).await, first);
        assert_eq!(bench.deliveries().await, kept);
        bench.work().await;
        let done = bench.deliveries().await;
        assert_eq!((&done[0]["state"], &done[0]["outcome"]), (&json!("done"), &json!("handled")));
        // Also after it was handled, and at the other address.
        let other = "http://sam.example/api/integrations/github/webhook";
        let again = bench.github.delivery(&sent, other).unwrap();
        assert_eq!(send(&bench.router, again).await, first);
        assert_eq!(bench.deliveries().await, done);
    }

    #[tokio::test]
    async fn a_ping_is_done_at_once_and_an_unknown_event_is_kept_and_ignored() {
        let bench = Bench::new();
        bench.accepted("ping", &json!({"zen": "x", "hook_id": 1})).await;
        let done = bench.deliveries().await;
        assert_eq!((&done[0]["state"], &done[0]["outcome"]), (&json!("done"), &json!("nothing")));
        bench.accepted("sponsorship_of_tomorrow", &json!({"action": "begun"})).await;
        bench.work().await;
        let all = bench.deliveries().await;
        assert_eq!(all.iter().filter(|one| one["outcome"] == "handled").count(), 1, "{all:?}");
    }

    #[tokio::test]
    async fn what_is_not_githubs_is_refused_and_nothing_is_kept() {
        let bench = Bench::new();
        let sent = bench.github.event("push", &push("main", 1));
        let unreadable = bench.github.event("push", &json!({"ref": 7}));
        let good = || bench.github.delivery(&sent, WEBHOOK).unwrap();
        let without = |name: &str| {
            let mut request = good();
            request.headers_mut().remove(name);
            request
        };
        let with = |name: &'static str, value: &'static str| {
            let mut request = good();
            request.headers_mut().insert(name, HeaderValue::from_static(value));
            request
        };
        let mut doubled = good();
        let signature = doubled.headers()["x-hub-signature-256"].clone();
        doubled.headers_mut().append("x-hub-signature-256", signature);
        let mut changed = good();
        *changed.body_mut() = Bytes::from(push("main", 2).to_string());
        for (what, request, status, code) in [
            ("changed", changed, 401, "unauthenticated"),
            ("unsigned", without("x-hub-signature-256"), 401, "unauthenticated"),
            ("old", with("x-hub-signature-256", "sha1=00"), 401, "unauthenticated"),
            ("doubled", doubled, 400, "bad_input"),
            ("no event", without("x-github-event"), 400, "bad_input"),
            ("no id", without("x-github-delivery"), 400, "bad_input"),
            ("bad id", with("x-github-delivery", "a/b"), 400, "bad_input"),
            ("text", with("content-type", "text/plain"), 415, "bad_input"),
            ("unreadable", bench.github.delivery(&unreadable, WEBHOOK).unwrap(), 400, "bad_input"),
        ] {
            let (found, problem) = send(&bench.router, request).await;
            assert_eq!((found, &problem["code"]), (status, &json!(code)), "{what}: {problem}");
            assert_eq!(problem["status"], json!(status), "{what}: {problem}");
        }
        assert!(bench.deliveries().await.is_empty());
        // And everything, where there is no secret.
        let closed = router(&bench.sam, &bench.clock, None, WebhookSecrets::none());
        let (status, problem) = send(&closed, good()).await;
        assert_eq!((status, problem["hint"].is_string()), (503, true), "{problem}");
        assert!(bench.deliveries().await.is_empty());
    }

    #[tokio::test]
    async fn a_webhook_may_have_25_mib_and_other_requests_may_not() {
        let bench = Bench::new();
        let mut payload = push("main", 1);
        payload["commits"] = json!("");
        let empty = payload.to_string().len();
        payload["commits"] = json!("x".repeat(WEBHOOK_BYTES_MAX - empty));
        let largest = bench.github.event("push", &payload);
        assert_eq!(largest.body.len(), WEBHOOK_BYTES_MAX);
        assert_eq!(bench.deliver(&largest).await.0, 202);
        let kept = bench.deliveries().await;
        let bytes = (&kept[0]["body_bytes"], &kept[0]["is_whole"]);
        assert_eq!(bytes, (&json!(WEBHOOK_BYTES_MAX), &json!(false)));
        bench.work().await;
        assert_eq!(bench.deliveries().await[0]["outcome"], "handled");
        payload["commits"] = json!("x".repeat(WEBHOOK_BYTES_MAX - empty + 1));
        let (status, problem) = bench.deliver(&bench.github.event("push", &payload)).await;
        assert_eq!((status, &problem["code"]), (413, &json!("bad_input")), "{problem}");
        assert_eq!(bench.deliveries().await.len(), 1);
        let request = Request::post("/api/workspaces").header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {TOKEN}"));
        let large = request.body(Bytes::from(vec![b' '; 128 * 1024])).unwrap();
        assert_eq!(send(&bench.router, large).await.0, 413);
    }

    #[tokio::test]
    async fn of_a_burst_of_pushes_the_newest_is_handled() {
        let handler = Arc::new(MemoryDeliveries::new());
        let bench = Bench::with(|_| Arc::clone(&handler) as _);
        for commit in 1..=20 {
            bench.accepted("push", &push("main", commit)).await;
        }
        let other = bench.accepted("push", &push("other", 1)).await;
        bench.work().await;
        let calls = handler.handled();
        let payloads: Vec<Value> =
            calls.iter().map(|one| serde_json::from_str(&one.payload).unwrap()).collect();
        assert_eq!(payloads.len(), 2);
        assert_eq!(payloads[0]["after"], format!("{:040x}", 20));
        assert_eq!(calls[1].record.id, other);
        let all = bench.deliveries().await;
        assert_eq!(all.iter().filter(|one| one["outcome"] == "superseded").count(), 19);
    }

    #[tokio::test]
    async fn a_handler_that_fails_is_asked_again_and_one_that_fails_for_good_waits_for_a_person() {
        let handler = Arc::new(MemoryDeliveries::new());
        let bench = Bench::with(|_| Arc::clone(&handler) as _);
        handler.fail_next([ErrorKind::Unavailable, ErrorKind::Timeout]);
        let id = bench.accepted("push", &push("main", 1)).await;
        for _ in 0..3 {
            bench.work().await;
            bench.clock.advance(Duration::from_secs(30));
        }
        let done = bench.deliveries().await.remove(0);
        assert_eq!((&done["state"], &done["attempts"]), (&json!("done"), &json!(3)), "{done}");
        let retry = format!("/api/github/deliveries/{id}/retry");
        assert_eq!(bench.ask(Method::POST, &retry).await.0, 409);

        handler.fail_next([ErrorKind::Unavailable; DeliveryRecord::ATTEMPTS_MAX as usize]);
        let id = bench.accepted("push", &push("main", 2)).await;
        for _ in 0..DeliveryRecord::ATTEMPTS_MAX {
            bench.work().await;
            bench.clock.advance(Duration::from_mins(5));
        }
        let (_, failed) = bench.ask(Method::GET, "/api/github/deliveries?state=failed").await;
        let failed = &failed["items"][0];
        assert_eq!((&failed["id"], &failed["attempts"]), (&json!(id), &json!(12)), "{failed}");
        assert_eq!(failed["error"]["kind"], "unavailable");
        let retry = format!("/api/github/deliveries/{id}/retry");
        let (status, again) = bench.ask(Method::POST, &retry).await;
        assert_eq!((status, &again["state"]), (202, &json!("received")), "{again}");
        bench.work().await;
        let (_, failed) = bench.ask(Method::GET, "/api/github/deliveries?state=failed").await;
        assert_eq!(failed["items"], json!([]));
        for (path, status) in [
            ("/api/github/deliveries/none/retry".to_owned(), 404),
            (format!("/api/github/deliveries/{}/retry", "x".repeat(500)), 404),
        ] {
            assert_eq!(bench.ask(Method::POST, &path).await.0, status, "{path}");
        }
        assert_eq!(bench.ask(Method::GET, "/api/github/deliveries?state=lost").await.0, 400);
    }

    #[tokio::test]
    async fn what_was_acknowledged_before_a_restart_is_handled_once_after_it() {
        let before = Arc::new(MemoryDeliveries::new());
        let bench = Bench::with(|_| Arc::clone(&before) as _);
        let id = bench.accepted("push", &push("main", 1)).await;
        let after = Arc::new(MemoryDeliveries::new());
        let restarted = sam(&bench.store, &bench.clock, Arc::clone(&after) as _, 2);
        work(&restarted).await;
        bench.work().await;
        assert!(before.handled().is_empty());
        assert_eq!(after.handled().len(), 1);
        let record = restarted.delivery(&id).await.unwrap().unwrap().record;
        assert_eq!((record.state, record.attempts), (DeliveryState::Done, 1));
    }

    #[tokio::test]
    async fn what_changed_at_github_is_forgotten_here() {
        let bench = Bench::new();
        let read = Permissions::new().with("contents", Level::Read);
        let scope =
            TokenScope::new(InstallationId::new(42), [RepositoryId::new(1_000)], read).unwrap();
        let made = async || {
            bench.app.installation_token(&scope, Duration::ZERO).await.unwrap();
            bench.github.count("POST /app/installations/42/access_tokens")
        };
        assert_eq!((made().await, made().await), (1, 1));
        let installation = json!({"id": 42, "account": {"id": 1, "login": "octo"}});
        let repository = json!({"id": 1000, "name": "hello", "full_name": "octo/hello"});
        for (number, (event, payload)) in [
            (
                "installation",
                json!({"action": "new_permissions_accepted", "installation": installation}),
            ),
            (
                "installation_repositories",
                json!({"action": "removed", "installation": installation,
                       "repositories_removed": [repository]}),
            ),
            (
                "repository",
                json!({"action": "renamed", "repository": repository, "installation": {"id": 42},
                       "changes": {"repository": {"name": {"from": "hi"}}}}),
            ),
        ]
        .into_iter()
        .enumerate()
        {
            bench.accepted(event, &payload).await;
            bench.work().await;
            assert_eq!(made().await, number + 2, "{event}");
        }
        bench.accepted("push", &push("main", 1)).await;
        bench.work().await;
        assert_eq!(made().await, 4);
    }

    #[tokio::test]
    async fn an_administrator_sees_where_the_app_is_installed() {
        let bench = Bench::new();
        let (_, found) = bench.ask(Method::GET, "/api/github/installations").await;
        let found = &found["items"][0];
        assert_eq!((&found["id"], &found["account"]), (&json!(42), &json!("octo")), "{found}");
        let repositories = "/api/github/installations/42/repositories";
        let (_, found) = bench.ask(Method::GET, repositories).await;
        let found = &found["items"][0];
        let told = (&found["id"], &found["full_name"], &found["is_private"]);
        assert_eq!(told, (&json!(1000), &json!("octo/hello"), &json!(true)));
        let branches = "/api/github/repositories/1000/branches?installation=42";
        let (_, found) = bench.ask(Method::GET, branches).await;
        assert_eq!(found["items"][0]["name"], "main", "{found}");
        let (_, found) = bench.ask(Method::GET, "/api/github/install-url").await;
        let url = found["url"].as_str().unwrap();
        assert!(url.ends_with("/fake-app/installations/new"), "{url}");
        for (path, status) in [
            ("/api/github/installations/43/repositories", 404),
            ("/api/github/repositories/1001/branches?installation=42", 404),
            ("/api/github/repositories/1000/branches", 400),
            ("/api/github/installations?after=https://elsewhere.example/", 400),
        ] {
            assert_eq!(bench.ask(Method::GET, path).await.0, status, "{path}");
        }
    }

    #[tokio::test]
    async fn only_the_webhook_asks_nobody_who_they_are_and_without_an_app_there_is_nothing() {
        let bench = Bench::new();
        let bare = router(&bench.sam, &bench.clock, None, WebhookSecrets::none());
        for path in [
            "/api/github/installations",
            "/api/github/installations/42/repositories",
            "/api/github/repositories/1000/branches?installation=42",
            "/api/github/install-url",
        ] {
            assert_eq!(ask(&bench.router, Method::GET, path, "wrong").await.0, 401, "{path}");
            let (status, problem) = ask(&bare, Method::GET, path, TOKEN).await;
            assert_eq!((status, &problem["code"]), (404, &json!("not_found")), "{path}");
            assert!(problem["detail"].as_str().unwrap().contains("not configured"), "{problem}");
        }
        for (method, path) in [
            (Method::GET, "/api/github/deliveries"),
            (Method::POST, "/api/github/deliveries/a/retry"),
        ] {
            assert_eq!(ask(&bench.router, method, path, "wrong").await.0, 401, "{path}");
        }
    }
}
