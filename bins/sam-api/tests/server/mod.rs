//! Servers to try the client on.

use std::path::Path;

use futures_util::{SinkExt as _, StreamExt as _};
use sam_api::wire::Frame;
use sam_api::{PROBLEM_CONTENT_TYPE, Problem, SocketPath};
use sam_core::{Error, ErrorKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use wiremock::ResponseTemplate;

/// A workspace as a server writes it.
pub(crate) const WORKSPACE: &str = "{\"id\":\"ws-00000000000000000000000001\",\"name\":\"hello\",\
    \"state\":\"running\",\"wish\":\"running\",\"repo\":\"/srv/hello\",\"size\":\"small\",\
    \"created_at\":\"2026-01-01T00:00:00Z\",\"changed_at\":\"2026-01-01T00:00:01Z\",\"version\":3}";

/// An answer that is a problem.
pub(crate) fn problem(kind: ErrorKind, detail: &str) -> ResponseTemplate {
    let error = Error::new(kind, detail).with_hint("do this").with_operation("placing");
    let body = serde_json::to_vec(&Problem::new(&error, "r1")).unwrap();
    ResponseTemplate::new(kind.http_status()).set_body_raw(body, PROBLEM_CONTENT_TYPE)
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}

async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
}

/// Sends chunks until nobody takes them.
pub(crate) async fn endless(media_type: &str) -> String {
    let (listener, address) = listen().await;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        while stream.write_all(chunk.as_bytes()).await.is_ok() {}
    });
    address
}

/// Reads each request and hangs up.
pub(crate) async fn hangs_up() -> String {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_head(&mut stream).await;
        }
    });
    address
}

/// Answers one request on a Unix socket.
pub(crate) fn on_socket(path: &Path, body: &str) -> JoinHandle<()> {
    let path = SocketPath::new(path).unwrap();
    let listener = UnixListener::bind(path.as_path()).unwrap();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
}

/// The server's end of a WebSocket.
pub(crate) struct Peer {
    socket: WebSocketStream<TcpStream>,
    pub(crate) uri: String,
    pub(crate) authorization: String,
}

impl Peer {
    pub(crate) async fn text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn say(&mut self, value: &(impl serde::Serialize + Sync)) {
        self.text(serde_json::to_string(value).unwrap()).await;
    }

    pub(crate) async fn send(&mut self, frame: &Frame<'_>) {
        self.socket.send(Message::binary(frame.encode())).await.unwrap();
    }

    pub(crate) async fn hear<T: serde::de::DeserializeOwned>(&mut self) -> T {
        let message = self.socket.next().await.unwrap().unwrap();
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }

    pub(crate) async fn receive(&mut self) -> Vec<u8> {
        self.socket.next().await.unwrap().unwrap().into_data().to_vec()
    }
}

/// Takes one WebSocket and lets `talk` have it; the task fails where `talk` does.
pub(crate) async fn websocket<F: Future<Output = ()> + Send + 'static>(
    talk: impl FnOnce(Peer) -> F + Send + 'static,
) -> (String, JoinHandle<()>) {
    let (listener, address) = listen().await;
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut uri, mut authorization) = (String::new(), String::new());
        #[expect(clippy::result_large_err, reason = "the shape is the library's")]
        let note = |request: &Request, response: Response| {
            uri = request.uri().to_string();
            let value = request.headers().get("authorization");
            authorization = value.map_or("", |value| value.to_str().unwrap()).to_owned();
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, note).await.unwrap();
        talk(Peer { socket, uri, authorization }).await;
    });
    (address, serving)
}
