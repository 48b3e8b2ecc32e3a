//! A server in the process, a GitHub on a socket, and browsers with cookie jars.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use sam_agent::controller::{Controller, ControllerConfig};
use sam_core::auth::ChallengeKey;
use sam_core::compute::MemoryCompute;
use sam_core::engine::Stepped;
use sam_core::entropy::SeededEntropy;
use sam_core::keys::Ed25519Signer;
use sam_core::replica::{ControlUrls, Replica};
use sam_core::store::{Changes, Cursor, Feed, MemoryStore, Rev, Store as _};
use sam_core::time::{Clock, ManualClock, Timestamp};
use sam_core::{Sam, Secret};
use sam_github::sign_in::SignIn;
use sam_github::testkit::{
    FakeApp, FakeGithub, FakeInstallation, FakeRepository, FakeUser, LoopbackHttp, Served,
};
use sam_github::{GithubApp, Level, Permissions, PrivateKey, Rs256Signer, WebhookSecrets};
use sam_server::{Access, App, AppParts, SignInDesk, SignInParts, Site};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub(crate) const TOKEN: &str = "sam_admin_test";
pub(crate) const ORIGIN: &str = "https://api.example.com";
pub(crate) const CALLBACK: &str = "/api/auth/callback/github";
/// Who may sign in.
const LIST: &str = "mona, hub";
const PEM: &str = include_str!("../../../../sam-github/tests/keys/rsa2048.pkcs1.pem");

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub(crate) fn location(&self) -> &str {
        assert_eq!(self.status, 302, "{}", self.text);
        self.headers["location"].to_str().unwrap()
    }

    pub(crate) fn cookies(&self) -> Vec<&str> {
        self.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect()
    }
}

pub(crate) struct Bench {
    pub(crate) clock: ManualClock,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) github: FakeGithub,
    pub(crate) sam: Sam,
    pub(crate) router: Router,
    app: GithubApp,
    _served: Served,
}

impl Bench {
    /// As where people sign in with an OAuth App: the GitHub App itself is another client.
    pub(crate) async fn with_oauth_app() -> Self {
        let bench = Self::new().await;
        let told = br#"{"id": 7, "slug": "fake-app", "client_id": "Iv23liOther"}"#;
        let told = http::Response::new(bytes::Bytes::from_static(told));
        bench.github.answer_next("GET", "/app", told);
        bench
    }

    /// Only mona and hub may sign in.
    pub(crate) async fn new() -> Self {
        Log::of_all();
        let clock = ManualClock::new(Timestamp::EPOCH.plus(Duration::from_hours(1)));
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let key: PrivateKey = PEM.parse().unwrap();
        let signer = Rs256Signer::new(&key).unwrap();
        let fake = FakeApp::new(7, signer.public_key());
        let github = FakeGithub::new(fake, Arc::clone(&shared));
        let served = github.serve().await.unwrap();
        for (id, login) in [(1, "mona"), (2, "hub"), (3, "eve")] {
            let emails = vec![(format!("{login}@example.com"), true, true)];
            let login = login.to_owned();
            github.put_user(FakeUser { id, login, emails, ..FakeUser::default() });
        }
        let org =
            FakeUser { id: 9, login: "octo".into(), is_organization: true, ..FakeUser::default() };
        github.put_user(org);
        let write = Permissions::new().with("contents", Level::Write);
        let mut installation = FakeInstallation::new(42, "octo", write.clone());
        installation.seen_by = vec!["mona".to_owned(), "hub".to_owned()];
        github.put_installation(installation);
        github.put_installation(FakeInstallation::new(43, "eve", write));
        let seen_by = |id, name: &str, who: &[&str]| {
            let mut repository = FakeRepository::new(id, "octo", name);
            repository.seen_by = who.iter().map(|who| (*who).to_owned()).collect();
            repository
        };
        github.put_repository(seen_by(1_000, "hello", &["mona"]));
        github.put_repository(seen_by(1_001, "secret", &[]));
        let mut read_only = seen_by(1_002, "reading", &["mona"]);
        read_only.read_only_for = vec!["mona".to_owned()];
        github.put_repository(read_only);
        let mut public = seen_by(1_003, "public", &[]);
        public.is_private = false;
        github.put_repository(public);
        let app = GithubApp::builder("7".parse().unwrap(), Arc::new(signer))
            .endpoints(github.endpoints())
            .build(Arc::new(LoopbackHttp::new()), Arc::clone(&shared));
        let store = Arc::new(MemoryStore::new(Arc::clone(&shared)));
        let sam = Sam::builder(Arc::clone(&store) as _, Arc::new(MemoryCompute::new()))
            .clock(shared)
            .entropy(Arc::new(SeededEntropy::new(1)))
            .build()
            .unwrap();
        let desk = desk(&github, &clock, LIST);
        let router = router(&sam, &clock, Some(app.clone()), Some(desk));
        Self { clock, store, github, sam, router, app, _served: served }
    }

    /// Another server with the same store and keys, and maybe another list of people.
    pub(crate) fn replica(&self, list: Option<&'static str>) -> Router {
        let list = list.unwrap_or(LIST);
        let desk = desk(&self.github, &self.clock, list);
        router(&self.sam, &self.clock, Some(self.app.clone()), Some(desk))
    }

    /// A server where nobody can sign in.
    pub(crate) fn closed(&self) -> Router {
        router(&self.sam, &self.clock, Some(self.app.clone()), None)
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser { router: self.router.clone(), jar: BTreeMap::new(), origin: Some(ORIGIN) }
    }

    /// A browser whose user has signed in.
    pub(crate) async fn signed_in(&self, login: &str) -> Browser {
        let mut browser = self.browser();
        let back = browser.through_github(&self.github, login, "/api/auth/github").await;
        let answer = browser.get(&back).await;
        assert_eq!(answer.location(), "https://app.example.com/");
        browser
    }

    /// Asks as a program does, with a token.
    pub(crate) async fn ask(&self, method: Method, path: &str, token: &str) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {token}"));
        send(&self.router, request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn work(&self) {
        while self.sam.step().await.unwrap() == Stepped::Worked {}
    }

    /// Everything that was ever written.
    pub(crate) async fn feed(&self) -> String {
        let mut cursor: Cursor = self.sam.head().await.unwrap();
        cursor.rev = Rev::default();
        let mut all = String::new();
        loop {
            let feed = self.store.changes(Some(&cursor), Changes::LIMIT_MAX).await.unwrap();
            let Feed::Changes(page) = feed else { panic!("it is all kept") };
            let Some(last) = page.changes.last() else { return all };
            cursor.rev = last.rev;
            all.extend(page.changes.iter().map(|change| format!("{change:?}\n")));
        }
    }
}

fn desk(github: &FakeGithub, clock: &ManualClock, list: &str) -> SignInDesk {
    let sign_in = SignIn::builder("Iv23liFake7", Secret::new("fake-client-secret".to_owned()))
        .endpoints(github.endpoints())
        .build(
            Arc::new(LoopbackHttp::new()),
            Arc::new(clock.clone()),
            Arc::new(SeededEntropy::new(2)),
        );
    SignInDesk::new(SignInParts {
        github: sign_in,
        forge: "github.com".to_owned(),
        admission: list.parse().unwrap(),
        site: Site::of_domain("example.com").unwrap(),
        callback_path: CALLBACK.to_owned(),
        key: Secret::new([7; 32]),
        entropy: Arc::new(SeededEntropy::new(3)),
    })
    .unwrap()
}

fn router(
    sam: &Sam,
    clock: &ManualClock,
    github: Option<GithubApp>,
    sign_in: Option<SignInDesk>,
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
        sign_in,
        base_domain: None,
        webhook_secrets: WebhookSecrets::none(),
        local_repos: true,
        shutdown: CancellationToken::new(),
        daemon: None,
    }))
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let status = parts.status.as_u16();
    if status >= 400 {
        assert_eq!(parts.headers["content-type"], "application/problem+json");
    }
    let is_stream =
        parts.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
    // A stream has no end.
    let bytes =
        if is_stream { bytes::Bytes::new() } else { body.collect().await.unwrap().to_bytes() };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Answer { status, headers: parts.headers, text }
}

/// A browser: it keeps cookies, and says which page a request comes from.
#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) router: Router,
    pub(crate) jar: BTreeMap<String, String>,
    pub(crate) origin: Option<&'static str>,
}

impl Browser {
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn send(&mut self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let path = path.strip_prefix(ORIGIN).unwrap_or(path);
        let mut request = Request::builder().method(method.clone()).uri(path);
        if let Some(origin) = self.origin.filter(|_| method != Method::GET) {
            request = request.header("origin", origin);
        }
        let jar: Vec<String> =
            self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !jar.is_empty() {
            request = request.header("cookie", jar.join("; "));
        }
        let body = match body {
            None => Body::empty(),
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
        };
        let answer = send(&self.router, request.body(body).unwrap()).await;
        for cookie in answer.cookies() {
            let (pair, attributes) = cookie.split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            assert!(name.starts_with("__Host-sam_"), "{cookie}");
            for needed in ["Path=/", "HttpOnly", "SameSite=Lax", "Secure"] {
                assert!(attributes.split("; ").any(|found| found == needed), "{cookie}");
            }
            if attributes.contains("Max-Age=0;") {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Begins a sign-in, agrees at GitHub, and returns where that sends the browser.
    pub(crate) async fn through_github(
        &mut self,
        github: &FakeGithub,
        login: &str,
        path: &str,
    ) -> String {
        let begun = self.get(path).await;
        github.approve(begun.location(), login).unwrap()
    }

    pub(crate) fn login(&self) -> Option<&String> {
        self.jar.get("__Host-sam_login")
    }
}

/// What all tests of this program log.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

static LOG: OnceLock<Log> = OnceLock::new();

impl Log {
    /// Begins with the first caller. A subscriber for each thread would miss what other threads were
    /// the first to log.
    pub(crate) fn of_all() -> Self {
        let begun = LOG.get_or_init(|| {
            let log = Self::default();
            let writer = log.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_env_filter("sam_server=trace,sam_core=trace,sam_github=trace")
                .with_writer(move || writer.clone())
                .finish();
            tracing::subscriber::set_global_default(subscriber).unwrap();
            log
        });
        begun.clone()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
