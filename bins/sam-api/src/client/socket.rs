//! Opening a WebSocket over TCP, TLS or a Unix socket.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::AUTHORIZATION;
use reqwest::Url;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Mutex;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use sam_core::{Effect, Error, ErrorKind, Result};

use super::Client;
use super::send::{problem_error, unreachable_error};
use crate::{PROBLEM_CONTENT_TYPE, deadline, wire};

/// Largest message; text messages are small, binary ones hold one frame.
const MESSAGE_BYTES_MAX: usize = wire::FRAME_PAYLOAD_BYTES_MAX + 64 * 1024;

/// Any byte stream a WebSocket runs over.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

type Socket = WebSocketStream<MaybeTlsStream<Box<dyn Duplex>>>;
type Sink = SplitSink<Socket, Message>;

/// The half that is read. Pings of the server are answered on the way.
pub(super) type Incoming = SplitStream<Socket>;

/// The half that is written, shared by those who write.
#[derive(Clone)]
pub(super) struct Outgoing(Arc<Mutex<Sink>>);

impl Outgoing {
    /// Sends a message; waits while the other side takes nothing.
    pub(super) async fn send(&self, message: Message) -> Result<()> {
        self.0.lock().await.send(message).await.map_err(broken)
    }

    pub(super) async fn send_text(&self, value: &(impl serde::Serialize + Sync)) -> Result<()> {
        let text = serde_json::to_string(value).map_err(|cause| {
            Error::new(ErrorKind::Bug, "the message cannot be written as JSON").with_source(cause)
        })?;
        self.send(Message::text(text)).await
    }

    /// Asks whether the other side is there, unless a message is on its way already.
    pub(super) async fn ping(&self) -> Result<bool> {
        let Ok(mut sink) = self.0.try_lock() else { return Ok(false) };
        sink.send(Message::Ping(Bytes::new())).await.map_err(broken)?;
        Ok(true)
    }

    /// Says goodbye, as far as that is possible.
    pub(super) async fn close(&self) {
        let closing = async { self.0.lock().await.close().await };
        // A peer that is gone cannot be told so.
        let _outcome = deadline::within(deadline::CONNECT, closing).await;
    }
}

impl Client {
    /// Opens a WebSocket, with the token in the `Authorization` header.
    pub(super) async fn open_socket(&self, mut url: Url) -> Result<(Outgoing, Incoming)> {
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        if url.set_scheme(scheme).is_err() {
            return Err(Error::new(ErrorKind::BadInput, "the server's URL cannot be used"));
        }
        let mut request = url.as_str().into_client_request().map_err(|cause| {
            Error::new(ErrorKind::BadInput, "the server's URL cannot be used").with_source(cause)
        })?;
        if let Some(value) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, value.as_ref().clone());
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX))
            // Each message is sent at once; the sender waits while the network does not take it.
            .write_buffer_size(0)
            .max_write_buffer_size(4 * MESSAGE_BYTES_MAX);
        let opening = async {
            let stream = self.connect(&url).await?;
            client_async_tls_with_config(request, stream, Some(config), None).await.map_err(refused)
        };
        let late =
            || Error::new(ErrorKind::Timeout, format!("{} did not answer in time", self.target()));
        let (socket, _response) =
            deadline::within(deadline::READ, Box::pin(opening)).await.ok_or_else(late)??;
        let (sink, incoming) = socket.split();
        Ok((Outgoing(Arc::new(Mutex::new(sink))), incoming))
    }

    async fn connect(&self, url: &Url) -> Result<Box<dyn Duplex>> {
        let unreachable = || unreachable_error(self.target());
        let connecting = async {
            if let Some(path) = &self.socket {
                let stream = UnixStream::connect(path.as_path()).await?;
                return Ok::<Box<dyn Duplex>, std::io::Error>(Box::new(stream));
            }
            let host = url.host_str().unwrap_or_default();
            // `host_str` keeps the brackets of an IPv6 address, which the resolver rejects.
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let port = url.port_or_known_default().unwrap_or(80);
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            keep_alive(&stream)?;
            Ok(Box::new(stream))
        };
        match deadline::within(deadline::CONNECT, connecting).await {
            Some(Ok(stream)) => Ok(stream),
            Some(Err(cause)) => Err(unreachable().with_source(cause)),
            None => Err(unreachable()),
        }
    }
}

/// Lets the kernel notice, within about a minute, that the peer of a silent connection is gone.
fn keep_alive(stream: &TcpStream) -> std::io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, std::time::Duration::from_secs(30))?;
    sockopt::set_tcp_keepintvl(stream, std::time::Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(stream, 3)?;
    Ok(())
}

fn refused(cause: WsError) -> Error {
    match cause {
        WsError::Http(response) => {
            let is_problem = super::send::media_type(response.headers()) == PROBLEM_CONTENT_TYPE;
            let body = response.body().as_deref().unwrap_or_default();
            problem_error(response.status(), is_problem, body)
        }
        other => broken(other),
    }
}

/// Says that the connection is gone; what was sent last may or may not have arrived.
pub(super) fn broken(cause: WsError) -> Error {
    Error::new(ErrorKind::Unavailable, "the connection broke")
        .with_effect(Effect::Unknown)
        .with_source(cause)
}

pub(super) fn nonsense(message: &str) -> Error {
    Error::new(ErrorKind::Corrupt, message).with_hint("compare the versions of client and server")
}
