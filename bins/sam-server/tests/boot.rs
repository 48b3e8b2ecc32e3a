//! Boot reports over HTTP: who may send them, and what people see of them.

#[cfg(test)]
mod boot {
    use std::sync::Arc;
    use std::time::Duration;

    use axum::Router;
    use axum::body::Body;
    use http::{Method, Request};
    use http_body_util::BodyExt as _;
    use sam_agent::controller::{Controller, ControllerConfig};
    use sam_core::auth::{BOOT_PROOF_HEADER, BootKey, BootReportKey, ChallengeKey};
    use sam_core::boot::{BootPhase, BootReport, PhaseState};
    use sam_core::compute::MemoryCompute;
    use sam_core::entropy::SeededEntropy;
    use sam_core::keys::Ed25519Signer;
    use sam_core::node_link::MemoryLink;
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
    const BOOT_KEY: [u8; 32] = [3; 32];
    /// Every node has this generation of boot data.
    const GENERATION: u32 = 1;

    struct Bench {
        clock: ManualClock,
        link: Arc<MemoryLink>,
        sam: Sam,
        router: Router,
    }

    impl Bench {
        fn new() -> Self {
            let clock = ManualClock::new(Timestamp::EPOCH.plus(Duration::from_hours(1)));
            let shared: Arc<dyn Clock> = Arc::new(clock.clone());
            let store = Arc::new(MemoryStore::new(Arc::clone(&shared)));
            let link = Arc::new(MemoryLink::new());
            let sam = Sam::builder(store, Arc::new(MemoryCompute::new()))
                .clock(Arc::clone(&shared))
                .entropy(Arc::new(SeededEntropy::new(7)))
                .boot_key(Secret::new(BOOT_KEY))
                .link(Arc::clone(&link) as _)
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
                base_domain: None,
                webhook_secrets: WebhookSecrets::none(),
                local_repos: false,
                shutdown: CancellationToken::new(),
                daemon: None,
            });
            Self { clock, link, sam, router: sam_server::router(app) }
        }

        async fn ask(&self, request: Request<Body>) -> (u16, Value) {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            (status, serde_json::from_slice(&bytes).unwrap_or_default())
        }

        async fn show(&self, node: NodeId) -> Value {
            let request = Request::builder()
                .uri(format!("/api/nodes/{node}"))
                .header("authorization", format!("Bearer {TOKEN}"));
            self.ask(request.body(Body::empty()).unwrap()).await.1
        }

        /// Sends a report as a machine does.
        async fn report(&self, body: Vec<u8>, proof: &str) -> (u16, Value) {
            let request = Request::builder().method(Method::POST).uri("/api/nodes/boot-report");
            let request = request.header(BOOT_PROOF_HEADER, proof);
            self.ask(request.body(body.into()).unwrap()).await
        }

        /// A node whose machine is there, and whose agent does not call.
        async fn booting(&self) -> NodeId {
            let new = NewWorkspace::new("octo/hello".parse().unwrap());
            let made = self.sam.create_workspace(new, &Caller::named("ann")).await.unwrap();
            for _ in 0..100 {
                let found = self.sam.workspace(made.record.id).await.unwrap().unwrap();
                if let Some(node) = found.record.node {
                    self.link.disconnect(node);
                    if self.show(node).await["state"] == "booting" {
                        return node;
                    }
                }
                self.sam.step().await.unwrap();
            }
            panic!("no node is booting");
        }
    }

    fn token(node: NodeId) -> Secret<String> {
        BootKey::new(Secret::new(BOOT_KEY)).token(node, GENERATION)
    }

    fn sent(report: &BootReport) -> (Vec<u8>, String) {
        let body = serde_json::to_vec(report).unwrap();
        let proof = BootReportKey::of(&token(report.node_id), report.node_id).proof(&body);
        (body, proof)
    }

    #[tokio::test]
    async fn people_see_where_a_boot_is_and_why_it_failed() {
        let bench = Bench::new();
        let node = bench.booting().await;
        let shown = bench.show(node).await;
        assert_eq!(shown["boot_phase"], "the machine is there, its agent has not called");
        let (body, proof) = sent(&BootReport::new(node, BootPhase::Docker, PhaseState::Started));
        assert_eq!(bench.report(body.clone(), &proof).await.0, 204);
        let version = bench.show(node).await["version"].clone();
        // Heard twice, and one of an earlier phase: nothing changes.
        let late = sent(&BootReport::new(node, BootPhase::Start, PhaseState::Done));
        for (body, proof) in [(body, proof), late] {
            assert_eq!(bench.report(body, &proof).await.0, 204);
        }
        let shown = bench.show(node).await;
        assert_eq!(
            (&shown["boot_phase"], &shown["version"]),
            (&json!("installing docker"), &version)
        );

        let message = format!("no space left, {} was the token", token(node).expose());
        let failed = BootReport::new(node, BootPhase::Docker, PhaseState::Failed);
        let (body, proof) = sent(&failed.with_message(message));
        assert_eq!(bench.report(body.clone(), &proof).await.0, 204);
        let told = "installing docker (failed: no space left, [redacted] was the token)";
        assert_eq!(bench.show(node).await["boot_phase"], told);
        // The node does not wait for its deadline.
        bench.clock.advance(Duration::from_secs(1));
        bench.sam.step().await.unwrap();
        let shown = bench.show(node).await;
        assert_eq!((&shown["state"], &shown["boot_phase"]), (&json!("failed"), &json!(told)));
        assert_eq!(shown["error"]["message"], format!("its machine did not start: {told}"));
        // The machine is told that nobody listens any more.
        let (status, refused) = bench.report(body, &proof).await;
        assert_eq!((status, &refused["code"]), (409, &json!("conflict")), "{refused}");
    }

    #[tokio::test]
    async fn a_report_proves_that_its_machine_was_given_the_token() {
        let bench = Bench::new();
        let node = bench.booting().await;
        let version = bench.show(node).await["version"].clone();
        let report = BootReport::new(node, BootPhase::Docker, PhaseState::Failed);
        let (body, proof) = sent(&report);
        let other = NodeId::from_bits(9);
        let (of_other, proof_of_other) = sent(&BootReport::new(other, report.phase, report.state));
        let altered = String::from_utf8(body.clone()).unwrap().replace("docker", "journal");
        for (body, proof, status) in [
            (body.clone(), "", 401),
            (body.clone(), token(node).expose().as_str(), 401),
            (body.clone(), &proof_of_other, 401),
            (altered.into_bytes(), &proof, 401),
            // There is no such node.
            (of_other, &proof_of_other, 403),
            (b"{}".to_vec(), &proof, 400),
            (vec![b' '; BootReport::BYTES_MAX + 1], &proof, 400),
        ] {
            let (found, refused) = bench.report(body, proof).await;
            assert_eq!(found, status, "{refused}");
        }
        assert_eq!(bench.show(node).await["version"], version);
        assert_eq!(bench.report(body, &proof).await.0, 204);
        // The token was not used up by it.
        bench.sam.bootstrap_node(node, token(node).expose(), "the agent's own key").await.unwrap();
    }
}
