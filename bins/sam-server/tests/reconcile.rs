//! Sweeps, orphans, nodes and the hold over HTTP, on a store and a provider in memory.

#[cfg(test)]
mod reconcile {
    use std::sync::Arc;
    use std::time::Duration;

    use axum::Router;
    use axum::body::Body;
    use http::{Method, Request};
    use http_body_util::BodyExt as _;
    use sam_agent::controller::{Controller, ControllerConfig};
    use sam_core::auth::ChallengeKey;
    use sam_core::compute::{
        BootData, ComputeProvider as _, CreateMachine, Labels, MachineKey, MemoryCompute,
    };
    use sam_core::engine::Stepped;
    use sam_core::keys::Ed25519Signer;
    use sam_core::replica::{ControlUrls, Replica};
    use sam_core::store::MemoryStore;
    use sam_core::time::{Clock, ManualClock, Timestamp};
    use sam_core::workspace::NewWorkspace;
    use sam_core::{Caller, NodeId, Sam, Secret};
    use sam_github::WebhookSecrets;
    use sam_server::{Access, App, AppParts};
    use serde_json::{Value, json};
    use sha2::{Digest as _, Sha256};
    use tokio_util::sync::CancellationToken;
    use tower::ServiceExt as _;

    const TOKEN: &str = "sam_admin_test";

    struct Bench {
        clock: ManualClock,
        compute: Arc<MemoryCompute>,
        sam: Sam,
        router: Router,
    }

    impl Bench {
        fn new() -> Self {
            let clock = ManualClock::new(Timestamp::EPOCH.plus(Duration::from_hours(1)));
            let shared: Arc<dyn Clock> = Arc::new(clock.clone());
            let store = Arc::new(MemoryStore::new(Arc::clone(&shared)));
            let compute = Arc::new(MemoryCompute::new());
            let sam = Sam::builder(store, Arc::clone(&compute) as _)
                .clock(Arc::clone(&shared))
                .installation("home")
                .build()
                .unwrap();
            let signer = Arc::new(Ed25519Signer::from_seed(&Secret::new([1; 32])));
            let config = ControllerConfig::new("home".into(), signer, Arc::clone(&shared));
            let app = App::new(AppParts {
                sam: sam.clone(),
                controller: Controller::new(config),
                challenge: ChallengeKey::new(Secret::new([2; 32])),
                server_keys: Vec::new(),
                access: Access::Token { sha256: Sha256::digest(TOKEN).into() },
                replica: Replica::new("t", ""),
                control_urls: ControlUrls::new(["memory:"]),
                upkeep: None,
                started_at: clock.now(),
                github: None,
                sign_in: None,
                webhook_secrets: WebhookSecrets::none(),
                base_domain: None,
                local_repos: false,
                shutdown: CancellationToken::new(),
                daemon: None,
            });
            Self { clock, compute, sam, router: sam_server::router(app) }
        }

        async fn send(&self, method: Method, path: &str, token: &str, body: Body) -> (u16, Value) {
            let request = Request::builder().method(method).uri(path);
            let request = request.header("authorization", format!("Bearer {token}"));
            let request = request.header("content-type", "application/json").body(body).unwrap();
            let response = self.router.clone().oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            (status, serde_json::from_slice(&bytes).unwrap())
        }

        async fn ask(&self, method: Method, path: &str) -> (u16, Value) {
            self.send(method, path, TOKEN, Body::empty()).await
        }

        async fn put_hold(&self, body: Value) -> (u16, Value) {
            let body = Body::from(serde_json::to_vec(&body).unwrap());
            self.send(Method::PUT, "/api/deletion-hold", TOKEN, body).await
        }

        /// Makes a machine behind the records' back.
        async fn plant(&self, node: NodeId, labels: &[(&str, &str)]) {
            let labels = labels
                .iter()
                .fold(Labels::default(), |labels, (name, value)| labels.with(name, value).unwrap());
            let boot = BootData::new(node, "memory:".into(), Secret::new("t".into()));
            let request = CreateMachine::new(MachineKey::of(node), boot).with_labels(labels);
            self.compute.create_machine(&request).await.unwrap();
        }

        /// Works until nothing is due, a minute at a time.
        async fn pass(&self, minutes: u32) {
            for _ in 0..minutes {
                for _ in 0..1_000 {
                    if self.sam.step().await.unwrap() != Stepped::Worked {
                        break;
                    }
                }
                self.clock.advance(Duration::from_mins(1));
            }
        }
    }

    #[tokio::test]
    async fn nobody_is_answered_without_the_token() {
        let bench = Bench::new();
        for (method, path) in [
            (Method::GET, "/api/nodes"),
            (Method::GET, "/api/nodes/x"),
            (Method::DELETE, "/api/nodes/x"),
            (Method::GET, "/api/sweeps"),
            (Method::POST, "/api/sweeps/compute.memory/run"),
            (Method::GET, "/api/orphans"),
            (Method::GET, "/api/orphans/x"),
            (Method::DELETE, "/api/orphans/x"),
            (Method::GET, "/api/replicas"),
            (Method::GET, "/api/deletion-hold"),
            (Method::PUT, "/api/deletion-hold"),
        ] {
            let (status, body) = bench.send(method.clone(), path, "wrong", Body::empty()).await;
            assert_eq!(
                (status, &body["code"]),
                (401, &json!("unauthenticated")),
                "{method} {path}"
            );
            assert_eq!(body["request_id"].as_str().unwrap().len(), 16);
        }
    }

    #[tokio::test]
    async fn a_person_sees_what_a_sweep_found_and_deletes_it() {
        let bench = Bench::new();
        let (unknown, nameless) = (NodeId::from_bits(1), NodeId::from_bits(2));
        let name = unknown.to_string();
        let ours = (Labels::INSTALLATION, "home");
        bench.plant(unknown, &[ours, (Labels::NODE, &name), (Labels::OWNER, "bob")]).await;
        bench.plant(nameless, &[ours]).await;
        bench.plant(NodeId::from_bits(3), &[(Labels::INSTALLATION, "work")]).await;

        // Known before anything was swept, so that there is something to run.
        let (_, sweeps) = bench.ask(Method::GET, "/api/sweeps").await;
        assert_eq!(sweeps["items"][0]["name"], "compute.memory", "{sweeps}");
        let (status, sweep) = bench.ask(Method::POST, "/api/sweeps/compute.memory/run").await;
        assert_eq!((status, &sweep["swept_at"]), (202, &Value::Null), "{sweep}");
        bench.pass(1).await;
        let (_, sweeps) = bench.ask(Method::GET, "/api/sweeps").await;
        let tally = &sweeps["items"][0]["tally"];
        assert_eq!((&tally["orphans"], &tally["recovered"]), (&json!(1), &json!(1)), "{sweeps}");

        let (_, orphans) = bench.ask(Method::GET, "/api/orphans").await;
        let orphan = &orphans["items"][0];
        assert_eq!((&orphan["state"], &orphan["reason"]), (&json!("held"), &json!("unclear")));
        assert_eq!(orphan["labels"]["sam-installation"], "home");
        let at = format!("/api/orphans/{}", orphan["id"].as_str().unwrap());
        assert_eq!(bench.ask(Method::GET, &at).await.1, *orphan);
        let (status, asked) = bench.ask(Method::DELETE, &at).await;
        assert_eq!((status, &asked["delete_wished"]), (202, &json!(true)), "{asked}");

        // Of another owner, and an administrator's to decide on.
        let (_, nodes) = bench.ask(Method::GET, "/api/nodes").await;
        let node = &nodes["items"][0];
        assert_eq!((&node["state"], &node["owner"]), (&json!("recovered"), &json!("bob")));
        let at_node = format!("/api/nodes/{name}");
        assert_eq!(bench.ask(Method::DELETE, &at_node).await.0, 202);
        bench.pass(5).await;
        let (status, gone) = bench.ask(Method::GET, &at).await;
        assert_eq!((status, &gone["code"]), (404, &json!("not_found")), "{gone}");
        assert_eq!(bench.ask(Method::DELETE, &at).await.0, 404);
        assert_eq!(bench.ask(Method::GET, &at_node).await.1["state"], "deleted");
        assert_eq!(bench.ask(Method::GET, "/api/nodes").await.1["items"], json!([]));
        let (_, all) = bench.ask(Method::GET, "/api/nodes?all=true").await;
        assert_eq!(all["items"].as_array().unwrap().len(), 1);
        // What is another installation's is there still.
        assert!(
            bench.compute.machine(&MachineKey::of(NodeId::from_bits(3))).await.unwrap().is_some()
        );
        assert!(bench.compute.machine(&MachineKey::of(nameless)).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn servers_are_listed_with_the_one_that_answers_and_those_that_are_missed() {
        let bench = Bench::new();
        bench.sam.join_replica(&Replica::new("t", "http://a")).await.unwrap();
        bench.sam.join_replica(&Replica::new("u", "http://b")).await.unwrap();
        bench.pass(1).await;
        bench.sam.renew_replica(&Replica::new("t", "http://a")).await.unwrap();
        bench.pass(2).await;
        let (_, listed) = bench.ask(Method::GET, "/api/replicas").await;
        let items = listed["items"].as_array().unwrap();
        let told: Vec<_> = items
            .iter()
            .map(|item| (item["id"].as_str().unwrap(), item["answers"] == true, &item["missed"]))
            .collect();
        assert_eq!(told, [("t", true, &json!(0)), ("u", false, &json!(1))], "{listed}");
        assert!(items[0]["renewed_at"].is_string() && items[1]["renewed_at"].is_null(), "{listed}");
    }

    #[tokio::test]
    async fn what_is_not_there_or_in_use_is_refused_with_what_to_do() {
        let bench = Bench::new();
        let caller = Caller::named("admin");
        let new = NewWorkspace::new("octo/hello".parse().unwrap());
        let made = bench.sam.create_workspace(new, &caller).await.unwrap().record.id;
        bench.pass(1).await;
        let node = bench.sam.workspace(made).await.unwrap().unwrap().record.node.unwrap();
        for (method, path, status, code) in [
            (Method::DELETE, format!("/api/nodes/{node}"), 409, "conflict"),
            (Method::DELETE, "/api/nodes/nope".to_owned(), 404, "not_found"),
            (Method::GET, format!("/api/nodes/{}", NodeId::from_bits(7)), 404, "not_found"),
            (Method::POST, "/api/sweeps/compute.other/run".to_owned(), 404, "not_found"),
            (Method::DELETE, "/api/orphans/compute.memory.00".to_owned(), 404, "not_found"),
            (Method::GET, format!("/api/orphans/{}", "x".repeat(500)), 404, "not_found"),
            (Method::GET, "/api/orphans/a%2F..%2Fb".to_owned(), 404, "not_found"),
        ] {
            let (found, body) = bench.ask(method, &path).await;
            assert_eq!((found, &body["code"]), (status, &json!(code)), "{path}: {body}");
            assert!(body["hint"].is_string(), "{path}: {body}");
        }
        assert_eq!(bench.ask(Method::GET, "/api/orphans?limit=1").await.0, 400);
    }

    #[tokio::test]
    async fn a_hold_has_a_reason_and_keeps_its_first() {
        let bench = Bench::new();
        let (status, never) = bench.ask(Method::GET, "/api/deletion-hold").await;
        assert_eq!((status, never), (200, json!({"held": false})));
        for (body, status) in [
            (json!({"held": true, "reason": " "}), 400),
            (json!({"held": true, "reason": "x".repeat(201)}), 400),
            (json!({"held": true}), 422),
            (json!({"held": true, "reason": "x", "until": "noon"}), 422),
        ] {
            let (found, refused) = bench.put_hold(body).await;
            assert_eq!((found, &refused["code"]), (status, &json!("bad_input")), "{refused}");
        }
        let (status, held) = bench.put_hold(json!({"held": true, "reason": " audit "})).await;
        let expected = (json!(true), json!("audit"), json!("admin"));
        assert_eq!(status, 200);
        assert_eq!(
            (&held["held"], &held["reason"], &held["by"]),
            (&expected.0, &expected.1, &expected.2)
        );
        let (_, again) = bench.put_hold(json!({"held": true, "reason": "another"})).await;
        assert_eq!(again, held);
        assert_eq!(bench.ask(Method::GET, "/api/deletion-hold").await.1, held);
        let (_, lifted) = bench.put_hold(json!({"held": false, "reason": "done"})).await;
        assert_eq!((&lifted["held"], &lifted["reason"]), (&json!(false), &json!("done")));
    }
}
