//! Two servers on one store, in one process: what each tells of itself, and what the other makes of it.
//! (Nodes are shared end to end in the tests of `sam`.)

#[cfg(test)]
mod replicas {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::sync::{Arc, Mutex, OnceLock};
    use std::time::{Duration, Instant};

    use async_trait::async_trait;
    use axum::body::Body;
    use futures_util::StreamExt as _;
    use reqwest::{Client, Method, Response};
    use sam_agent::controller::{Controller, ControllerConfig, HOP_PATH};
    use sam_core::auth::ChallengeKey;
    use sam_core::compute::MemoryCompute;
    use sam_core::keys::Ed25519Signer;
    use sam_core::node::{NodeRecord, NodeState};
    use sam_core::replica::{ControlUrls, Replica, ReplicaRecord};
    use sam_core::store::{
        ClaimRequest, Claims, Commit, CommitError, Committed, Cursor, Due, Feed, Lease, ListQuery,
        MemoryStore, Record, RecordKey, Store,
    };
    use sam_core::time::{Clock as _, ManualClock};
    use sam_core::workspace::{NewWorkspace, WorkspaceState};
    use sam_core::{Caller, CommitId, Error, ErrorKind, Page, Policy, Result, Sam, Secret};
    use sam_github::WebhookSecrets;
    use sam_providers::system::SystemClock;
    use sam_server::config::ServerConfig;
    use sam_server::{Access, App, AppParts, Backing, Schema, Upkeep, server};
    use serde_json::{Value, json};
    use tokio::sync::oneshot;
    use tokio_util::sync::{CancellationToken, DropGuard};
    use tower::ServiceExt as _;

    /// Longest wait for anything.
    const LIMIT: Duration = Duration::from_mins(1);

    async fn within<F: Future>(what: &str, work: F) -> F::Output {
        #[expect(clippy::disallowed_methods, reason = "every wait of a test has an end")]
        let done = tokio::time::timeout(LIMIT, work).await;
        done.unwrap_or_else(|_| panic!("waited in vain: {what}"))
    }

    /// A client whose requests may last as long as a test does.
    fn http() -> Client {
        Client::builder().build().unwrap()
    }

    /// A schema that is what the test says.
    #[derive(Debug)]
    struct Care(Mutex<Schema>);

    #[async_trait]
    impl Upkeep for Care {
        async fn trim(&self) -> Result<()> {
            Ok(())
        }

        async fn schema(&self) -> Result<Schema> {
            Ok(*self.0.lock().unwrap())
        }

        async fn migrate(&self) -> Result<()> {
            *self.0.lock().unwrap() = Schema::Current;
            Ok(())
        }
    }

    /// How long after the start nodes cannot be listed: a second longer than a server waits before it
    /// looks which of them have no link.
    const AWAY_FOR: Duration = Duration::from_secs(4);

    /// A store that does not list nodes for a while.
    #[derive(Debug)]
    struct Away {
        store: MemoryStore,
        since: OnceLock<Instant>,
        refusals: AtomicU32,
    }

    #[async_trait]
    #[deny(clippy::missing_trait_methods)]
    impl Store for Away {
        async fn load(&self, key: &RecordKey) -> Result<Option<Record>> {
            self.store.load(key).await
        }

        async fn list(&self, query: &ListQuery) -> Result<Page<Record>> {
            let is_away = || self.since.get().is_some_and(|since| since.elapsed() < AWAY_FOR);
            if query.kind == NodeRecord::KIND && is_away() {
                self.refusals.fetch_add(1, Relaxed);
                return Err(Error::new(ErrorKind::Unavailable, "the store is away"));
            }
            self.store.list(query).await
        }

        async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
            self.store.commit(commit).await
        }

        async fn outcome(&self, id: CommitId) -> Result<Option<Committed>> {
            self.store.outcome(id).await
        }

        async fn claim_due(&self, request: &ClaimRequest) -> Result<Claims> {
            self.store.claim_due(request).await
        }

        async fn renew(&self, lease: &Lease, span: Duration) -> Result<bool> {
            self.store.renew(lease, span).await
        }

        async fn release(&self, lease: &Lease, due: Due) -> Result<()> {
            self.store.release(lease, due).await
        }

        async fn changes(&self, after: Option<&Cursor>, limit: usize) -> Result<Feed> {
            self.store.changes(after, limit).await
        }

        async fn wait(&self, after: &Cursor) -> Result<()> {
            self.store.wait(after).await
        }
    }

    /// What the replicas of one test share.
    struct Home {
        dir: tempfile::TempDir,
        backing: Backing,
        care: Arc<Care>,
    }

    struct Server {
        url: String,
        token: Option<String>,
        _stop: DropGuard,
    }

    impl Home {
        fn new(schema: Schema) -> Self {
            let care = Arc::new(Care(Mutex::new(schema)));
            let store = Arc::new(MemoryStore::new(Arc::new(SystemClock::new())));
            let backing = Backing::shared(store, Arc::clone(&care) as _);
            Self { dir: tempfile::tempdir().unwrap(), backing, care }
        }

        fn config(&self, name: &str) -> ServerConfig {
            let data = self.dir.path().join(name);
            let listen = "127.0.0.1:0".parse().unwrap();
            let mut config = ServerConfig::new(listen, data, vec!["/bin/false".into()]);
            config.keys_file = self.dir.path().join("keys.json");
            config.nodes_dir = self.dir.path().join("nodes");
            config
        }

        async fn start(&self, config: ServerConfig) -> Result<Server> {
            let (teller, told) = oneshot::channel();
            let stop = CancellationToken::new();
            let started = move |started: server::Started| drop(teller.send(started));
            let running = server::run_on(
                self.backing.clone(),
                config,
                started,
                stop.clone().cancelled_owned(),
            );
            let running = tokio::spawn(running);
            let Ok(started) = within("a replica starts", told).await else {
                return Err(running.await.unwrap().expect_err("it did not start"));
            };
            let token = started.fresh_admin_token.map(|token| token.expose().clone());
            let url = format!("http://{}", started.address);
            Ok(Server { url, token, _stop: stop.drop_guard() })
        }
    }

    impl Server {
        async fn ask(&self, method: Method, path: &str, token: &str, body: &Value) -> Response {
            let client = Client::builder().timeout(LIMIT).build().unwrap();
            let request = client.request(method, format!("{}{path}", self.url)).bearer_auth(token);
            request.json(body).send().await.unwrap()
        }

        /// Reads from the feed until so many changes were seen; each is its id and its data.
        async fn changes(&self, token: &str, after: &str, enough: usize) -> Vec<(String, String)> {
            let request = http().get(format!("{}/api/events", self.url));
            let request = request.bearer_auth(token).header("last-event-id", after);
            let mut pieces = request.send().await.unwrap().bytes_stream();
            let mut text = String::new();
            let reading = async {
                loop {
                    let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
                    let events =
                        whole.split("\n\n").filter(|event| event.contains("event: change"));
                    let field = |event: &str, name: &str| {
                        let found = event.lines().find_map(|line| line.strip_prefix(name));
                        found.unwrap().to_owned()
                    };
                    let found: Vec<_> = events
                        .map(|event| (field(event, "id: "), field(event, "data: ")))
                        .collect();
                    if found.len() >= enough {
                        return found;
                    }
                    let piece = pieces.next().await.expect("the stream goes on").unwrap();
                    text.push_str(std::str::from_utf8(&piece).unwrap());
                }
            };
            within("changes come", reading).await
        }

        async fn head(&self, token: &str) -> String {
            let request = http().get(format!("{}/api/events", self.url)).bearer_auth(token);
            let mut response = request.send().await.unwrap();
            let first = within("the stream begins", response.chunk()).await.unwrap().unwrap();
            let first = String::from_utf8(first.to_vec()).unwrap();
            first.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned()
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_stream_goes_on_at_another_replica_after_the_last_event_seen() {
        let home = Home::new(Schema::Current);
        let a = home.start(home.config("a")).await.unwrap();
        let b = home.start(home.config("b")).await.unwrap();
        let token = a.token.clone().expect("the first one makes the keys");
        assert_eq!(b.token, None);
        let start = a.head(&token).await;
        let body = json!({"repo": "octo/hello", "name": "one"});
        let made = a.ask(Method::POST, "/api/workspaces", &token, &body).await;
        assert_eq!(made.status(), 201);
        let all = a.changes(&token, &start, 3).await;
        assert_eq!(b.changes(&token, &start, 3).await[..3], all[..3]);
        let rest = b.changes(&token, &all[0].0, 2).await;
        assert_eq!(rest[..2], all[1..3]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nodes_without_a_link_are_missed_although_the_store_is_away_at_first() {
        let mut home = Home::new(Schema::Current);
        let store = MemoryStore::new(Arc::new(SystemClock::new()));
        let (since, refusals) = (OnceLock::new(), AtomicU32::new(0));
        let store = Arc::new(Away { store, since, refusals });
        // A node that was ready when everything ended, and whose agent is not there any more.
        let before = Sam::builder(Arc::clone(&store) as _, Arc::new(MemoryCompute::new()));
        let before = before.clock(Arc::new(SystemClock::new())).build().unwrap();
        let new = NewWorkspace::new("octo/hello".parse().unwrap());
        let made = before.create_workspace(new, &Caller::named("ann")).await.unwrap();
        let state = async || {
            let workspace = before.workspace(made.record.id).await.unwrap().unwrap().record;
            let node = before.node(workspace.node?).await.unwrap().unwrap();
            Some((workspace.state, node.record.state))
        };
        while state().await != Some((WorkspaceState::Running, NodeState::Ready)) {
            before.step().await.unwrap();
        }

        let since = *store.since.get_or_init(Instant::now);
        home.backing = Backing::shared(Arc::clone(&store) as _, Arc::clone(&home.care) as _);
        let _server = home.start(home.config("a")).await.unwrap();
        let missed = async {
            while state().await.is_none_or(|(_, node)| node == NodeState::Ready) {
                tokio::task::yield_now().await;
            }
        };
        within("the node is missed", missed).await;
        assert!(store.refusals.load(Relaxed) > 0, "it was not away when it mattered");
        assert!(since.elapsed() < Policy::default().ready_poll / 2, "{:?}", since.elapsed());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn while_the_schema_is_behind_a_server_is_not_ready_and_does_no_work() {
        let home = Home::new(Schema::Behind { found: 1, wanted: 2 });
        let server = home.start(home.config("a")).await.unwrap();
        let token = server.token.clone().unwrap();
        let ready = server.ask(Method::GET, "/readyz", &token, &Value::Null).await;
        assert_eq!(ready.status(), 503);
        assert_eq!(ready.headers()["content-type"], "application/problem+json");
        let problem: Value = ready.json().await.unwrap();
        assert_eq!(problem["code"], "unavailable");
        assert!(problem["hint"].as_str().unwrap().contains("sam-server migrate"), "{problem}");
        let alive = server.ask(Method::GET, "/healthz", &token, &Value::Null).await;
        assert_eq!(alive.status(), 200);
        let body = json!({"repo": "octo/hello", "name": "one"});
        let made = server.ask(Method::POST, "/api/workspaces", &token, &body).await;
        assert_eq!(made.status(), 201);
        let state = async || {
            let shown = server.ask(Method::GET, "/api/workspaces/one", &token, &Value::Null).await;
            shown.json::<Value>().await.unwrap()["state"].as_str().unwrap().to_owned()
        };
        assert_eq!(state().await, "requested");
        home.care.migrate().await.unwrap();
        let ready = server.ask(Method::GET, "/readyz", &token, &Value::Null).await;
        assert_eq!(ready.status(), 200);
        let begun = async { while state().await == "requested" {} };
        within("work begins", begun).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_replica_with_other_keys_or_other_nodes_is_refused_and_told_what_to_do() {
        let home = Home::new(Schema::Current);
        let _a = home.start(home.config("a")).await.unwrap();
        let mut foreign = home.config("b");
        foreign.keys_file = home.dir.path().join("other.json");
        let mut elsewhere = home.config("b");
        elsewhere.nodes_dir = home.dir.path().join("elsewhere");
        for (config, word) in [(foreign, "SAM_KEYS_FILE"), (elsewhere, "SAM_NODES_DIR")] {
            let error = home.start(config).await.err().expect("it is refused");
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert!(error.hint().unwrap().contains(word), "{error}");
        }
        home.start(home.config("b")).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_door_for_replicas_is_shut_for_everybody_else() {
        let home = Home::new(Schema::Current);
        let server = home.start(home.config("a")).await.unwrap();
        let token = server.token.clone().unwrap();
        for method in [Method::GET, Method::POST] {
            let answer = server.ask(method, HOP_PATH, &token, &Value::Null).await;
            assert_eq!(answer.status(), 401);
            assert_eq!(answer.json::<Value>().await.unwrap()["code"], "unauthenticated");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_missed_says_that_it_lives_and_one_that_is_gone_is_forgotten() {
        let clock = ManualClock::new(SystemClock::new().now());
        let care = Arc::new(Care(Mutex::new(Schema::Current)));
        let store = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
        let backing = Backing::shared(store, Arc::clone(&care) as _);
        let home = Home { dir: tempfile::tempdir().unwrap(), backing, care };
        let server = home.start(home.config("a")).await.unwrap();
        let token = server.token.clone().unwrap();
        // One that was killed: it wrote its record and does nothing more.
        let other = Sam::builder(Arc::clone(&home.backing.store), Arc::new(MemoryCompute::new()));
        let entropy = Arc::new(sam_core::entropy::SeededEntropy::new(7));
        let other = other.entropy(entropy).build().unwrap();
        other.join_replica(&Replica::new("zz", "http://gone")).await.unwrap();
        // How often each was missed, and whether the server has said that it lives.
        let listed = async |number: u64| {
            // A change wakes the engine, which sleeps by another clock than the store's.
            let hold = json!({"held": number.is_multiple_of(2), "reason": "to be woken"});
            server.ask(Method::PUT, "/api/deletion-hold", &token, &hold).await;
            let listed = server.ask(Method::GET, "/api/replicas", &token, &json!(null)).await;
            let listed: Value = listed.json().await.unwrap();
            let of = |answers: bool| {
                let mut items = listed["items"].as_array().unwrap().iter();
                items.find(|item| item["answers"] == answers).cloned()
            };
            let own =
                of(true).is_some_and(|own| own["missed"] == 0 && own["renewed_at"].is_string());
            (own, of(false).map(|other| other["missed"].as_u64().unwrap()))
        };
        for (span, expected) in [
            (ReplicaRecord::LAPSES_AFTER, Some(1)),
            (ReplicaRecord::LOOK_AGAIN, Some(2)),
            (ReplicaRecord::LOOK_AGAIN, None),
        ] {
            clock.advance(span);
            let reached = async {
                for number in 0.. {
                    if listed(number).await == (true, expected) {
                        return;
                    }
                }
            };
            within("both are as they should be", reached).await;
        }
    }

    #[tokio::test]
    async fn a_server_that_is_shutting_down_is_alive_and_not_ready() {
        let clock = Arc::new(SystemClock::new());
        let store = Arc::new(MemoryStore::new(Arc::<SystemClock>::clone(&clock)));
        let sam = Sam::builder(store, Arc::new(MemoryCompute::new())).build().unwrap();
        let signer = Arc::new(Ed25519Signer::from_seed(&Secret::new([1; 32])));
        let shutdown = CancellationToken::new();
        let app = App::new(AppParts {
            sam,
            controller: Controller::new(ControllerConfig::new(
                "t".into(),
                signer,
                Arc::<SystemClock>::clone(&clock),
            )),
            challenge: ChallengeKey::new(Secret::new([2; 32])),
            server_keys: Vec::new(),
            access: Access::Owner,
            replica: Replica::new("t", ""),
            control_urls: ControlUrls::new(["memory:"]),
            upkeep: None,
            started_at: clock.now(),
            github: None,
            sign_in: None,
            webhook_secrets: WebhookSecrets::none(),
            base_domain: None,
            local_repos: false,
            shutdown: shutdown.clone(),
            daemon: None,
        });
        let router = sam_server::router(app);
        let status = async |path: &str| {
            let request = http::Request::get(path).body(Body::empty()).unwrap();
            router.clone().oneshot(request).await.unwrap().status().as_u16()
        };
        assert_eq!((status("/healthz").await, status("/readyz").await), (200, 200));
        shutdown.cancel();
        assert_eq!((status("/healthz").await, status("/readyz").await), (200, 503));
    }
}
