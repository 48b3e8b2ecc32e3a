//! Over real sockets: the fake as a server, webhooks it sends, and connections that are cut.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use sam_core::http::HttpTransport as _;
use sam_core::time::ManualClock;
use sam_core::{Effect, ErrorKind, Secret};
use sam_github::testkit::{FakeGithub, LoopbackHttp};
use sam_github::webhook::WEBHOOK_BYTES_MAX;
use sam_github::{
    Delivery, Endpoints, Event, GithubApp, Level, Permissions, TokenScope, WebhookSecrets,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::contract::{Checked, Contract};
use crate::support::keys::{START, signer};
use crate::support::{INSTALLATION, app_by, github};

async fn served() -> (ManualClock, FakeGithub, sam_github::testkit::Served, GithubApp) {
    let clock = ManualClock::new(START);
    let github = github(&clock);
    let served = github.serve().await.unwrap();
    let checked = Checked::new(LoopbackHttp::new(), Contract::read());
    let app = app_by(checked, &github, &clock);
    (clock, github, served, app)
}

#[tokio::test]
async fn the_fake_is_the_same_on_a_socket() {
    let (_, github, served, app) = served().await;
    let first = app.repositories(INSTALLATION, None).await.unwrap();
    let second = app.repositories(INSTALLATION, first.next.as_deref()).await.unwrap();
    assert_eq!((first.items.len(), second.items.len()), (100, 50));
    assert!(github.endpoints().api().contains(&served.address().to_string()));
    let elsewhere = http::Request::get("https://api.github.com/").body(Bytes::new()).unwrap();
    let refused = LoopbackHttp::new().send(elsewhere).await.unwrap_err();
    assert_eq!((refused.kind(), refused.effect()), (ErrorKind::BadInput, Effect::NotApplied));
    drop(served);
    let error = app.info().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

/// A server that says this to whoever comes, and hangs up.
async fn says(text: &'static str) -> (String, tokio::task::JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4_096];
            let _read = stream.read(&mut request).await;
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    });
    (address, tasks)
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_a_body_leaves_the_effect_unknown() {
    for text in [
        "HTTP/1.1 201 Created\r\ncontent-length: 500\r\n\r\n{\"token\":\"ghs_can",
        "HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n10\r\n{\"token\":",
        "HTTP/1.1 201 Cre",
        "",
    ] {
        let (address, _server) = says(text).await;
        let clock = ManualClock::new(START);
        let app = GithubApp::builder("7".parse().unwrap(), signer())
            .endpoints(Endpoints::enterprise(&address).unwrap())
            .build(Arc::new(LoopbackHttp::new()), Arc::new(clock));
        let permissions = Permissions::new().with("contents", Level::Read);
        let scope = TokenScope::all_repositories(INSTALLATION, permissions).unwrap();
        let error = app.installation_token(&scope, Duration::ZERO).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
        assert_eq!(error.operation(), Some("installation_token"));
        assert!(!format!("{error:?}").contains("ghs_can"));
        // Looking changes nothing, whatever became of the answer.
        assert_eq!(app.info().await.unwrap_err().effect(), Effect::NotApplied);
    }
}

/// A host's receiver, as thin as its route is: it checks, keeps, and answers.
#[derive(Debug, Default, Clone)]
struct Receiver {
    is_down: Arc<Mutex<bool>>,
    kept: Arc<Mutex<Vec<Delivery>>>,
}

#[async_trait::async_trait]
impl sam_core::http::HttpTransport for Receiver {
    async fn send(&self, request: http::Request<Bytes>) -> sam_core::Result<http::Response<Bytes>> {
        let secrets = WebhookSecrets::new(&Secret::new("fake-webhook-secret".to_owned())).unwrap();
        let mut response = http::Response::new(Bytes::new());
        *response.status_mut() = match secrets.delivery(request.headers(), request.body()) {
            _ if *self.is_down.lock().unwrap() => http::StatusCode::BAD_GATEWAY,
            Ok(delivery) => {
                let mut kept = self.kept.lock().unwrap();
                if kept.iter().all(|known| known.id != delivery.id) {
                    kept.push(delivery);
                }
                http::StatusCode::ACCEPTED
            }
            Err(error) => http::StatusCode::from_u16(error.http_status()).unwrap(),
        };
        Ok(response)
    }
}

#[tokio::test]
async fn what_was_sent_while_the_host_was_away_is_asked_for_again_and_kept_once() {
    let (_, github, _served, app) = served().await;
    let config = app.hook_config().await.unwrap();
    assert!(config.has_secret() && config.content_type.as_deref() == Some("json"));
    let receiver = Receiver::default();
    let address = config.url.unwrap();
    let repository = serde_json::json!({ "id": 1_000, "name": "r000", "full_name": "octo/r000" });
    let push = serde_json::json!({
        "ref": "refs/heads/main", "before": "0".repeat(40), "after": "b".repeat(40),
        "repository": repository, "installation": { "id": 1 },
    });
    *receiver.is_down.lock().unwrap() = true;
    let sent = github.event("push", &push);
    assert_eq!(github.deliver(&sent, &address, &receiver).await.unwrap(), 502);
    *receiver.is_down.lock().unwrap() = false;
    let page = app.hook_deliveries(None).await.unwrap();
    let failed: Vec<_> = page.items.iter().filter(|sent| !sent.was_taken()).collect();
    assert_eq!((failed.len(), failed[0].guid.as_str()), (1, sent.guid.as_str()));
    // Twice, as after a crash: the receiver keeps it once.
    for _ in 0..2 {
        app.redeliver(failed[0].id).await.unwrap();
    }
    let again = github.redeliveries();
    assert_eq!(again.len(), 2);
    for sent in again {
        assert_eq!(github.deliver(&sent, &address, &receiver).await.unwrap(), 202);
    }
    let kept = receiver.kept.lock().unwrap().clone();
    assert_eq!(kept.len(), 1);
    let Event::Push(push) = kept[0].event().unwrap() else { panic!("it is a push") };
    assert_eq!((push.branch(), push.commit()), (Some("main"), Some("b".repeat(40).as_str())));
    assert!(app.redeliver(999).await.unwrap_err().kind() == ErrorKind::NotFound);
    let large = Bytes::from(vec![b' '; WEBHOOK_BYTES_MAX + 1]);
    let mut request = github.delivery(&sent, &address).unwrap();
    *request.body_mut() = large;
    assert_eq!(receiver.send(request).await.unwrap().status(), 413);
}
