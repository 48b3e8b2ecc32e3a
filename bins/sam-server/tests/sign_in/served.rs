//! The server as its program runs it: from settings to a login that outlives a restart.

use std::path::Path;
use std::sync::Arc;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use sam_core::{ErrorKind, Result};
use sam_github::testkit::{FakeApp, FakeGithub, FakeUser};
use sam_github::{PrivateKey, Rs256Signer};
use sam_providers::sqlite::{SqliteOptions, SqliteStore};
use sam_providers::system::{OsEntropy, SystemClock};
use sam_server::config::ServerConfig;
use sam_server::github::GithubSettings;
use sam_server::server::{Started, run_on};
use sam_server::{Backing, SignInSettings};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const PEM: &str = include_str!("../../../../sam-github/tests/keys/rsa2048.pkcs1.pem");

fn config(data_dir: &Path, github: &FakeGithub, client_secret: &str) -> ServerConfig {
    let address = "127.0.0.1:0".parse().unwrap();
    let mut config = ServerConfig::new(address, data_dir.to_owned(), vec!["/bin/false".into()]);
    let base = github.endpoints().web().to_owned();
    let variables = [
        ("GITHUB_APP_ID", "7"),
        ("GITHUB_APP_PRIVATE_KEY", PEM),
        ("GITHUB_CLIENT_ID", "Iv23liFake7"),
        ("GITHUB_CLIENT_SECRET", client_secret),
        ("SAM_GITHUB_BASE_URL", &base),
    ];
    config.github = GithubSettings::from_environment(|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })
    .unwrap();
    config.sign_in = SignInSettings::read(Some("mona".to_owned()), None, None, None).unwrap();
    config
}

struct Server {
    url: String,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<()>>,
}

impl Server {
    async fn start(backing: &Backing, config: ServerConfig) -> Result<Self> {
        let (tell, told) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let started = |started: Started| {
            // Nobody waits for it where the start failed.
            let _told = tell.send(started.address);
        };
        let shutdown = async move {
            let _stopped = stopped.await;
        };
        let ended = tokio::spawn(run_on(backing.clone(), config, started, shutdown));
        match told.await {
            Ok(address) => Ok(Self { url: format!("http://{address}"), stop, ended }),
            Err(_) => Err(ended.await.unwrap().unwrap_err()),
        }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap().unwrap();
    }
}

async fn get(url: &str, cookie: &str) -> Response {
    let client = Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
    client.get(url).header(COOKIE, cookie).send().await.unwrap()
}

/// Returns what the server set a cookie to.
fn set(response: &Response, name: &str) -> String {
    let lines = response.headers().get_all(SET_COOKIE).iter();
    let mut pairs = lines.map(|line| line.to_str().unwrap().split(';').next().unwrap());
    pairs.find(|pair| pair.starts_with(&format!("{name}="))).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_outlives_the_server_that_began_it() {
    let key: PrivateKey = PEM.parse().unwrap();
    let signer = Rs256Signer::new(&key).unwrap();
    let clock = Arc::new(SystemClock::new());
    let github = FakeGithub::new(FakeApp::new(7, signer.public_key()), Arc::clone(&clock) as _);
    let _served = github.serve().await.unwrap();
    github.put_user(FakeUser { id: 1, login: "mona".to_owned(), ..FakeUser::default() });
    let dir = tempfile::tempdir().unwrap();
    // The process has one, as a program would open it anew.
    let options = SqliteOptions::new(Arc::new(OsEntropy::new()));
    let store = SqliteStore::open(dir.path().join("sam.db"), Arc::clone(&clock) as _, options);
    let store = Arc::new(store.unwrap());
    let backing = Backing::exclusive(Arc::clone(&store) as _, store);
    let usual = || config(dir.path(), &github, "fake-client-secret");
    let server = Server::start(&backing, usual()).await.unwrap();
    let begun = get(&format!("{}/api/auth/github", server.url), "").await;
    assert_eq!(begun.status(), 302);
    let to = begun.headers()[LOCATION].to_str().unwrap();
    let back = github.approve(to, "mona").unwrap();
    // Without a domain it is where the server listens, and without https the cookies say no Secure.
    assert!(back.starts_with(&format!("{}/api/auth/callback/github?", server.url)), "{back}");
    let done = get(&back, &set(&begun, "sam_sign_in")).await;
    assert_eq!((done.status().as_u16(), &done.headers()[LOCATION]), (302, &"/".parse().unwrap()));
    let login = set(&done, "sam_login");
    server.stop().await;
    let server = Server::start(&backing, usual()).await.unwrap();
    let me: Value = get(&format!("{}/api/auth/me", server.url), &login).await.json().await.unwrap();
    // The fake gives no address: GitHub's own form is taken.
    let email = me["account"]["email"].as_str().unwrap();
    assert!(email.starts_with("1+mona@users.noreply."), "{me}");
    let asked = get(&format!("{}/api/github/installations", server.url), &login).await;
    assert_eq!(asked.status(), 401);
    server.stop().await;
    // Who may sign in is said, and by which App is not: that stops the start.
    let untold = config(dir.path(), &github, " ");
    let error = Server::start(&backing, untold).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadInput);
    assert!(error.hint().unwrap().contains("GITHUB_CLIENT_SECRET"), "{error}");
}
