//! Opening a WebSocket over the same transports as every other call.
//!
//! The handshake is an ordinary request, so that a refusal arrives whole, as a problem.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use reqwest::{StatusCode, Upgraded, Url};
use tokio::sync::Mutex;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use sam_core::{Effect, Error, ErrorKind, Result};

use super::Client;
use super::send::{accept, not_sam};
use crate::{deadline, wire};

/// Largest message; text messages are small, binary ones hold one frame.
const MESSAGE_BYTES_MAX: usize = wire::FRAME_PAYLOAD_BYTES_MAX + 64 * 1024;

type Socket = WebSocketStream<Upgraded>;
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
    /// Opens a WebSocket.
    pub(super) async fn open_socket(&self, url: Url) -> Result<(Outgoing, Incoming)> {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX))
            // Each message is sent at once; the sender waits while the network does not take it.
            .write_buffer_size(0)
            .max_write_buffer_size(4 * MESSAGE_BYTES_MAX);
        let late =
            || Error::new(ErrorKind::Timeout, format!("{} did not answer in time", self.target()));
        let upgraded =
            deadline::within(deadline::READ, self.upgrade(url)).await.ok_or_else(late)??;
        let socket = Socket::from_raw_socket(upgraded, Role::Client, Some(config)).await;
        let (sink, incoming) = socket.split();
        Ok((Outgoing(Arc::new(Mutex::new(sink))), incoming))
    }

    async fn upgrade(&self, url: Url) -> Result<Upgraded> {
        let key = generate_key();
        let request = self
            .authorized(self.http.get(url))
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        let response = request.send().await.map_err(|cause| self.failure(cause))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            accept(response).await?;
            return Err(not_sam("the server opened no WebSocket"));
        }
        let expected = derive_accept_key(key.as_bytes());
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT);
        if accepted.is_none_or(|value| value.as_bytes() != expected.as_bytes()) {
            return Err(not_sam("the server opened something that is no WebSocket"));
        }
        response.upgrade().await.map_err(|cause| self.failure(cause))
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
