//! The link as a whole: how it comes up, who may open it, what runs over it and how it ends.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use sam_core::Effect;
use sam_core::node_link::NodeLink as _;

use super::fake::{ECHO, FLOOD, SHORT};
use super::*;
use crate::wire::{Frame, TerminalEvent, TerminalRequest, TerminalSize};

pub(super) type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(super) fn attach_path(terminal: sam_core::TerminalId) -> String {
    format!("v1/workspaces/{WORKSPACE}/terminals/{terminal}/attach?offset=10")
}

impl Rig {
    pub(super) async fn open(&self, path: &str) -> Result<Client, WsError> {
        let url = format!("ws://{}/proxy/{path}", self.address);
        let opened = deadline::within(SOON, Box::pin(connect_async(url))).await;
        opened.expect("a WebSocket is answered in time").map(|(client, _)| client)
    }
}

pub(super) async fn next(client: &mut Client) -> Message {
    let next = deadline::within(SOON, client.next()).await.expect("a message comes in time");
    next.expect("the WebSocket is open").expect("the message is well formed")
}

pub(super) async fn say(client: &mut Client, bytes: &[u8]) {
    client.send(Message::Binary(Frame::Input(bytes).encode().into())).await.unwrap();
}

pub(super) async fn echo(client: &mut Client, text: &[u8], at: u64) {
    say(client, text).await;
    let Message::Binary(found) = next(client).await else { panic!("a binary message is expected") };
    assert_eq!(Frame::parse(&found), Ok(Frame::Output { offset: at, bytes: text }));
}

#[tokio::test]
async fn an_agent_trades_its_token_connects_and_answers() {
    let rig = Rig::connected().await;
    let readiness = rig.server.controller.readiness(NODE).await.unwrap().unwrap();
    assert_eq!(readiness.instance, "first");
    assert_eq!(readiness.agent_version, env!("CARGO_PKG_VERSION"));
    let boot = std::fs::read_to_string(rig.directory.path().join("boot.json")).unwrap();
    assert!(!boot.contains("token"), "{boot}");
    assert_eq!(rig.server.controller.connected(), [NODE]);
}

#[tokio::test]
async fn a_lost_answer_to_the_token_is_asked_for_again_with_the_same_key() {
    let mut rig = Rig::server().await;
    rig.server.answers_to_lose.store(2, Ordering::SeqCst);
    rig.write_boot(&rig.url());
    rig.start_agent();
    rig.wait_until_connected().await;
    assert_eq!(rig.server.bootstraps.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_agent_that_restarts_comes_back_without_a_token() {
    let mut rig = Rig::server().await;
    rig.write_boot(&rig.url());
    let agent = rig.start_agent();
    rig.wait_until_connected().await;
    agent.cancel();
    let controller = rig.server.controller.clone();
    let down = rig.changes.wait_for(|_| !controller.is_connected(NODE));
    drop(deadline::within(SOON, down).await.unwrap().unwrap());
    rig.start_agent();
    rig.wait_until_connected().await;
    assert_eq!(rig.server.bootstraps.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_socket_with_a_path_too_long_for_an_address_is_reached() {
    let mut rig = Rig::server().await;
    let deep = rig.directory.path().join("d".repeat(60)).join("e".repeat(60));
    std::fs::create_dir_all(&deep).unwrap();
    // Bound by a short name, as the server would.
    let directory = std::fs::File::open(&deep).unwrap();
    let short = format!("/proc/self/fd/{}/s", std::os::fd::AsRawFd::as_raw_fd(&directory));
    let listener = UnixListener::bind(short).unwrap();
    let app = rig.app();
    rig.background(async move { axum::serve(listener, app).await.unwrap() });
    rig.write_boot(&format!("unix:{}", deep.join("s").display()));
    rig.start_agent();
    rig.wait_until_connected().await;
    assert!(rig.server.controller.readiness(NODE).await.unwrap().is_some());
}

#[tokio::test]
async fn a_node_that_is_not_connected_is_unavailable_and_nothing_happened() {
    let rig = Rig::server().await;
    assert_eq!(rig.server.controller.readiness(NODE).await.unwrap(), None);
    let error = rig.server.controller.stop(NODE, WORKSPACE).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
}

#[tokio::test]
async fn a_terminal_runs_through_the_link() {
    let rig = Rig::connected().await;
    rig.fake_checkout();
    let mut client = rig.open(&attach_path(ECHO)).await.unwrap();
    echo(&mut client, b"hello", 10).await;
    let long = vec![7; crate::wire::FRAME_PAYLOAD_BYTES_MAX];
    echo(&mut client, &long, 15).await;
    let size = TerminalSize { cols: 120, rows: 40 };
    let resize = serde_json::to_string(&TerminalRequest::Resize(size)).unwrap();
    client.send(Message::Text(resize.into())).await.unwrap();
    let Message::Text(event) = next(&mut client).await else { panic!("an event is expected") };
    assert_eq!(
        serde_json::from_str::<TerminalEvent>(event.as_str()).unwrap(),
        TerminalEvent::Resized(size)
    );
}

#[tokio::test]
async fn the_end_of_a_terminal_closes_its_socket_in_good_order() {
    let rig = Rig::connected().await;
    rig.fake_checkout();
    let mut client = rig.open(&attach_path(SHORT)).await.unwrap();
    assert!(next(&mut client).await.is_binary());
    assert!(next(&mut client).await.is_text());
    let Message::Close(Some(frame)) = next(&mut client).await else { panic!("it closes") };
    assert_eq!(u16::from(frame.code), 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_that_do_not_read_stop_nobody_else() {
    let rig = Rig::connected().await;
    rig.fake_checkout();
    let mut stalled = Vec::new();
    for _ in 0..8 {
        let mut client = rig.open(&attach_path(FLOOD)).await.unwrap();
        // One message proves that the flood has begun; from then on nobody reads.
        assert!(next(&mut client).await.is_binary());
        stalled.push(client);
    }
    for _ in 0..20 {
        let mut client = rig.open(&attach_path(ECHO)).await.unwrap();
        echo(&mut client, b"still here", 10).await;
        assert!(rig.server.controller.readiness(NODE).await.unwrap().is_some());
    }
    drop(stalled);
}

#[tokio::test]
async fn a_peer_that_froze_is_noticed_and_the_agent_dials_again() {
    let mut rig = Rig::server().await;
    // Between agent and server, a pipe that passes bytes until it is told to freeze. Connections
    // stay open, as those of a machine that was suspended or unplugged do.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let middle = listener.local_addr().unwrap();
    let (freeze, target) = (CancellationToken::new(), rig.address);
    let frozen = freeze.clone();
    rig.background(async move {
        let mut kept = Vec::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(target).await.unwrap();
            let frozen = frozen.clone();
            kept.push(tokio::spawn(async move {
                if frozen.is_cancelled() {
                    drop(copy_bidirectional(&mut near, &mut far).await);
                    return;
                }
                tokio::select! {
                    biased;
                    () = frozen.cancelled() => {
                        // Keeps both ends open and moves nothing.
                        std::future::pending::<()>().await;
                    }
                    result = copy_bidirectional(&mut near, &mut far) => drop(result),
                }
            }));
        }
    });
    rig.write_boot(&format!("http://{middle}"));
    rig.start_agent();
    rig.wait_until_connected().await;
    let mut ended = rig.server.ended.subscribe();
    freeze.cancel();
    let noticed = deadline::within(Duration::from_secs(12), ended.wait_for(|count| *count > 0));
    drop(noticed.await.expect("a frozen agent is noticed within 12 seconds").unwrap());
    rig.wait_until_connected().await;
}

/// Connects an agent's router to a controller without sockets in between.
async fn bare_link(rig: &mut Rig, instance: NodeId) -> tokio::task::JoinHandle<Result<()>> {
    let before = *rig.changes.borrow_and_update();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let router = api::bare_router(rig.directory.path(), instance).await;
    rig.background(async move {
        let service = TowerToHyperService::new(router);
        drop(crate::link::server_builder().serve_connection(TokioIo::new(far), service).await);
    });
    let controller = rig.server.controller.clone();
    let running = tokio::spawn(async move { controller.run_link(NODE, near).await });
    let up = rig.changes.wait_for(|count| *count > before);
    drop(deadline::within(SOON, up).await.expect("the link comes up").unwrap());
    running
}

#[tokio::test]
async fn a_newer_link_replaces_the_older_with_everything_open_on_it() {
    let mut rig = Rig::server().await;
    rig.fake_checkout();
    let older = bare_link(&mut rig, NODE).await;
    let grant = Grant::on_node(NODE, "tester", [NodeRight::Terminal]).with_workspace(WORKSPACE);
    let path = format!("/{}", attach_path(ECHO));
    let mut tunnel = rig.server.controller.connect(&grant, &path).await.unwrap();
    let newer = bare_link(&mut rig, NODE).await;
    deadline::within(SOON, older).await.expect("the older link ends").unwrap().unwrap();
    let rest = deadline::within(SOON, tunnel.read_u8()).await.expect("its terminals end");
    rest.unwrap_err();
    let changes = *rig.changes.borrow_and_update();
    assert!(rig.server.controller.readiness(NODE).await.unwrap().is_some());
    assert_eq!(changes, 2, "up, then replaced; never down");
    newer.abort();
    let down = rig.changes.wait_for(|count| *count > changes);
    drop(deadline::within(SOON, down).await.unwrap().unwrap());
    assert!(!rig.server.controller.is_connected(NODE));
}

#[tokio::test]
async fn a_peer_that_never_speaks_is_not_let_in() {
    let rig = Rig::server().await;
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let controller = rig.server.controller.clone();
    let running = tokio::spawn(async move { controller.run_link(NODE, near).await });
    far.write_all(b"this is not HTTP/2, not at all, whatever it is").await.unwrap();
    let error = deadline::within(SOON, running).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!rig.server.controller.is_connected(NODE));
}

#[tokio::test]
async fn a_stranger_and_an_old_agent_do_not_get_a_link() {
    let rig = Rig::connected().await;
    for (version, assertion, status) in
        [("1-1", "nonsense", 401), ("9-9", "nonsense", 426), ("", "", 426)]
    {
        use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
        let url = format!("ws://{}/api/agent/link", rig.address);
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert(LINK_VERSION_HEADER, version.parse().unwrap());
        request.headers_mut().insert(ASSERTION_HEADER, assertion.parse().unwrap());
        let refused = connect_async(request).await.unwrap_err();
        let WsError::Http(response) = refused else { panic!("an answer is expected: {refused}") };
        assert_eq!(response.status().as_u16(), status);
    }
}
