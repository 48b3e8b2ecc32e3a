//! Two replicas and one agent: whatever can be asked of the replica that holds the link can be asked
//! of the other one.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::SinkExt as _;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use sam_core::Effect;
use sam_core::auth::{HopToken, sign_hop_token};
use sam_core::keys::Ed25519Verifier;
use sam_core::node_link::NodeLink as _;
use sam_core::replica::Replica;

use super::fake::{ECHO, FLOOD, SHORT};
use super::link::{attach_path, echo, next};
use super::*;
use crate::controller::{LinkDirectory, Replicas};
use crate::wire::{ExecEvent, ExitStatus, Frame};

/// What the replicas share, as a store would.
#[derive(Debug, Default)]
struct Shared {
    holders: Mutex<BTreeMap<NodeId, Replica>>,
    gone: Mutex<Vec<Replica>>,
    questions: AtomicUsize,
}

#[async_trait]
impl LinkDirectory for Shared {
    async fn holder(&self, node: NodeId) -> Result<Option<Replica>> {
        self.questions.fetch_add(1, Ordering::SeqCst);
        Ok(self.holders.lock().unwrap().get(&node).cloned())
    }

    async fn gone(&self, node: NodeId, holder: &Replica) {
        self.gone.lock().unwrap().push(holder.clone());
        self.holders.lock().unwrap().remove(&node);
    }
}

impl Shared {
    fn say(&self, holder: &Replica) {
        self.holders.lock().unwrap().insert(NODE, holder.clone());
    }
}

fn sharing(id: &str, shared: &Arc<Shared>) -> impl FnOnce(ControllerConfig) -> ControllerConfig {
    let verifier = Arc::new(Ed25519Verifier::new([server_signer().public_key()]).unwrap());
    let replicas = Replicas::new(id, verifier, Arc::clone(shared) as _);
    move |config| config.with_replicas(replicas)
}

/// Two replicas; the agent dials `a` and is asked through `b`.
struct Pair {
    a: Rig,
    b: Rig,
    shared: Arc<Shared>,
}

impl Pair {
    async fn new() -> Self {
        let shared = Arc::new(Shared::default());
        let a = Rig::server_with(sharing("a", &shared)).await;
        let b = Rig::server_with(sharing("b", &shared)).await;
        Self { a, b, shared }
    }

    async fn connected() -> Self {
        let mut pair = Self::new().await;
        pair.a.write_boot(&pair.a.url());
        pair.a.fake_checkout();
        pair.a.start_agent();
        pair.a.wait_until_connected().await;
        pair.shared.say(&Replica::new("a", pair.a.url()));
        pair
    }
}

#[tokio::test]
async fn the_engine_reaches_an_agent_whose_link_another_replica_holds() {
    let pair = Pair::connected().await;
    assert!(!pair.b.server.controller.is_connected(NODE));
    let readiness = pair.b.server.controller.readiness(NODE).await.unwrap().unwrap();
    assert_eq!(readiness.instance, "first");
    pair.b.server.controller.stop(NODE, WORKSPACE).await.unwrap();
    pair.b.server.controller.drain(NODE).await.unwrap();
    // What the agent answers arrives as it is, refusals too.
    let path = format!("/v1/workspaces/{WORKSPACE}/terminals");
    for (method, path, rights) in [
        ("GET", path.as_str(), [NodeRight::Terminal]),
        ("GET", path.as_str(), [NodeRight::Exec]),
        ("POST", path.as_str(), [NodeRight::Terminal]),
        ("GET", "/v1/nothing?x=1", [NodeRight::Terminal]),
    ] {
        let body = serde_json::json!({"nope": 1});
        let direct = pair.a.ask(method, path, &body, rights).await;
        assert_eq!(pair.b.ask(method, path, &body, rights).await, direct, "{method} {path}");
    }
}

#[tokio::test]
async fn a_terminal_through_another_replica_is_the_same_byte_for_byte() {
    let pair = Pair::connected().await;
    let mut client = pair.b.open(&attach_path(ECHO)).await.unwrap();
    let mut at = 10;
    for length in [1, 100, crate::wire::FRAME_PAYLOAD_BYTES_MAX, 4_097] {
        let bytes: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
        echo(&mut client, &bytes, at).await;
        at += bytes.len() as u64;
    }
    let mut client = pair.b.open(&attach_path(SHORT)).await.unwrap();
    assert!(next(&mut client).await.is_binary());
    assert!(next(&mut client).await.is_text());
    let Message::Close(Some(frame)) = next(&mut client).await else { panic!("it closes") };
    assert_eq!(u16::from(frame.code), 1000);
}

#[tokio::test]
async fn a_command_through_another_replica_gets_its_input_and_says_how_it_ended() {
    let pair = Pair::connected().await;
    let path = format!("v1/workspaces/{WORKSPACE}/exec");
    let mut client = pair.b.open(&path).await.unwrap();
    client.send(Message::Text(r#"{"command":["cat"]}"#.into())).await.unwrap();
    client.send(Message::Binary(Frame::Input(b"\x00\xff").encode().into())).await.unwrap();
    let Message::Binary(bytes) = next(&mut client).await else { panic!("output comes first") };
    assert_eq!(Frame::parse(&bytes), Ok(Frame::Stdout(b"\x00\xff")));
    client.send(Message::Text(r#"{"type":"eof"}"#.into())).await.unwrap();
    let Message::Text(event) = next(&mut client).await else { panic!("then the end") };
    let event: ExecEvent = serde_json::from_str(event.as_str()).unwrap();
    assert_eq!(event, ExecEvent::Exit { status: ExitStatus::Code(0) });
    // A refusal by the agent is one here, too, and not a socket that closes at once.
    let refused = pair.b.open("v1/workspaces/nonsense/exec").await.unwrap_err();
    assert!(refused.to_string().contains("400"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_on_another_replica_that_do_not_read_stop_nobody_else() {
    let pair = Pair::connected().await;
    let mut stalled = Vec::new();
    for _ in 0..8 {
        let mut client = pair.b.open(&attach_path(FLOOD)).await.unwrap();
        assert!(next(&mut client).await.is_binary());
        stalled.push(client);
    }
    for _ in 0..10 {
        let mut client = pair.b.open(&attach_path(ECHO)).await.unwrap();
        echo(&mut client, b"still here", 10).await;
        assert!(pair.b.server.controller.readiness(NODE).await.unwrap().is_some());
    }
    drop(stalled);
}

#[tokio::test]
async fn an_agent_whose_replica_dies_comes_back_through_the_other_one() {
    let Pair { mut a, mut b, shared } = Pair::new().await;
    // The boot data know one replica; the other is learned from it.
    *a.server.control_urls.lock().unwrap() = vec![b.url()];
    b.write_boot(&a.url());
    b.start_agent();
    a.wait_until_connected().await;
    *b.server.public_key.lock().unwrap() = *a.server.public_key.lock().unwrap();
    shared.say(&Replica::new("a", a.url()));
    assert!(b.server.controller.readiness(NODE).await.unwrap().is_some());
    drop(a);
    b.wait_until_connected().await;
    assert!(b.server.controller.readiness(NODE).await.unwrap().is_some());
    let kept = std::fs::read_to_string(b.directory.path().join("control.json")).unwrap();
    assert!(kept.contains(&b.url()), "{kept}");
}

#[tokio::test]
async fn a_request_is_never_passed_on_twice() {
    let pair = Pair::new().await;
    // Each is said to hold the link, and neither does.
    pair.shared.say(&Replica::new("a", pair.a.url()));
    let error = pair.b.server.controller.stop(NODE, WORKSPACE).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    assert_eq!(pair.b.server.controller.readiness(NODE).await.unwrap(), None);
    pair.shared.say(&Replica::new("b", pair.b.url()));
    let error = pair.a.server.controller.stop(NODE, WORKSPACE).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    let refused = pair.a.open(&attach_path(ECHO)).await.unwrap_err();
    assert!(refused.to_string().contains("503"), "{refused}");
    // Only those who were asked first asked who holds it.
    assert_eq!(pair.shared.questions.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_holder_that_is_not_there_is_unavailable_and_reported_as_gone() {
    let pair = Pair::new().await;
    // One whose port nobody has, and one that was started anew under its old address.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = Replica::new("c", format!("http://{}", closed.local_addr().unwrap()));
    drop(closed);
    let renamed = Replica::new("older", pair.a.url());
    for holder in [nobody, renamed] {
        pair.shared.say(&holder);
        let error = pair.b.server.controller.stop(NODE, WORKSPACE).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
        assert_eq!(pair.shared.gone.lock().unwrap().last(), Some(&holder));
        assert_eq!(pair.b.server.controller.readiness(NODE).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_foreign_an_expired_and_a_misdirected_hop_token_are_refused() {
    let pair = Pair::new().await;
    let alone = Rig::server().await;
    let now = wall_clock();
    let token = async |issuer: &str, to: &str, at: Timestamp, signer: &Ed25519Signer| {
        let token = HopToken::new(issuer.into(), "b".into(), to.into(), at);
        Some(sign_hop_token(&token, signer).await.unwrap().expose().clone())
    };
    let (mine, foreigner) = (server_signer(), Ed25519Signer::from_seed(&Secret::new([1; 32])));
    let long_ago = Timestamp::from_micros(now.as_micros() - 120_000_000);
    for (name, rig, token, admitted) in [
        ("good", &pair.a, token("rig", "a", now, &mine).await, true),
        ("none", &pair.a, None, false),
        ("foreign", &pair.a, token("rig", "a", now, &foreigner).await, false),
        ("expired", &pair.a, token("rig", "a", long_ago, &mine).await, false),
        ("misdirected", &pair.a, token("rig", "b", now, &mine).await, false),
        ("of another installation", &pair.a, token("gir", "a", now, &mine).await, false),
        ("where there is one replica", &alone, token("rig", "a", now, &mine).await, false),
    ] {
        let mut request = format!("ws://{}{HOP_PATH}", rig.address).into_client_request().unwrap();
        if let Some(token) = token {
            request.headers_mut().insert(HOP_HEADER, token.parse().unwrap());
        }
        match connect_async(request).await {
            Ok(_) => assert!(admitted, "{name}"),
            Err(WsError::Http(response)) => {
                assert_eq!((response.status().as_u16(), admitted), (401, false), "{name}");
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
}
