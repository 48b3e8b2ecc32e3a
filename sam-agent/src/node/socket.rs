//! What the two WebSocket routes share: limits, how they close, and what a bad message earns.

use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Serialize;

use sam_core::{Error, ErrorKind};

use crate::deadline;
use crate::wire::{FRAME_PAYLOAD_BYTES_MAX, Frame, ParseFrameError};

pub(super) type Sink = SplitSink<WebSocket, Message>;
pub(super) type Source = SplitStream<WebSocket>;

/// The library's default of 128 KiB stays resident for every open terminal.
const READ_BUFFER_BYTES: usize = 4_096;
/// A frame and its head, with room to say that it is too long instead of breaking off.
const MESSAGE_BYTES_MAX: usize = FRAME_PAYLOAD_BYTES_MAX + 4_096;
/// How long a client that does not read may hold up its own end.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);
/// The close frame allows 123 bytes of reason.
const REASON_BYTES_MAX: usize = 120;

pub(super) const CLOSE_NORMAL: u16 = 1000;
pub(super) const CLOSE_PROTOCOL: u16 = 1002;
pub(super) const CLOSE_UNSUPPORTED: u16 = 1003;
pub(super) const CLOSE_INTERNAL: u16 = 1011;

/// Why a WebSocket ends.
#[derive(Debug)]
pub(super) enum End {
    /// The client is gone or said so.
    Client,
    /// We close, with a code and a reason.
    Close(u16, String),
}

/// Why nothing more is taken from a client.
#[derive(Debug)]
pub(super) enum Stop {
    /// The client's doing.
    Client(End),
    /// The program takes no more: it may have ended, and its last words are still to be sent.
    Program(Error),
}

impl From<ParseFrameError> for End {
    fn from(error: ParseFrameError) -> Self {
        Self::Close(CLOSE_PROTOCOL, error.to_string())
    }
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Close(CLOSE_INTERNAL, error.public_message().to_owned())
    }
}

impl From<axum::Error> for End {
    fn from(_: axum::Error) -> Self {
        Self::Client
    }
}

/// Accepts a WebSocket request, or says why it is none.
pub(super) fn upgrade(
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> sam_core::Result<WebSocketUpgrade> {
    let socket = socket.map_err(|rejection| {
        Error::new(ErrorKind::BadInput, "this is a WebSocket").with_source(rejection)
    })?;
    Ok(socket
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX))
}

/// What a client sent, as far as both routes care.
pub(super) enum Received {
    Input(axum::body::Bytes),
    Text(Utf8Bytes),
}

/// Returns the next message that means something. The input is the payload of its frame.
pub(super) async fn receive(source: &mut Source) -> Result<Received, End> {
    while let Some(message) = source.next().await {
        match message.map_err(|_| lost())? {
            Message::Binary(bytes) => match Frame::parse(&bytes)? {
                Frame::Input(payload) => return Ok(Received::Input(bytes.slice_ref(payload))),
                Frame::Output { .. } | Frame::Stderr(_) | Frame::Stdout(_) => {
                    let reason = "only input frames go this way".to_owned();
                    return Err(End::Close(CLOSE_UNSUPPORTED, reason));
                }
            },
            Message::Close(_) => return Err(End::Client),
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Text(text) => return Ok(Received::Text(text)),
        }
    }
    Err(End::Client)
}

/// The library does not tell a client that vanished from one that broke a rule, so both get a
/// close frame; the first will not read it.
fn lost() -> End {
    End::Close(CLOSE_PROTOCOL, "the message is too long or malformed".to_owned())
}

pub(super) fn unknown_text(kind: &str) -> End {
    End::Close(CLOSE_PROTOCOL, format!("the text is no {kind}"))
}

/// Sends a value as JSON.
pub(super) async fn say(sink: &mut Sink, value: &(impl Serialize + Sync)) -> Result<(), End> {
    let text = serde_json::to_string(value)
        .map_err(|_| End::Close(CLOSE_INTERNAL, "the event cannot be written".to_owned()))?;
    Ok(sink.send(Message::Text(text.into())).await?)
}

/// Ends a WebSocket in good order, but not at any price.
pub(super) async fn close(mut sink: Sink, source: Source, end: End) {
    let End::Close(code, reason) = end else { return };
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    let frame = CloseFrame { code, reason: reason.get(..end).unwrap_or_default().into() };
    let closing = async {
        sink.send(Message::Close(Some(frame))).await?;
        // Reading on until the client agrees keeps the frame from being lost with the connection.
        let mut source = source;
        while let Some(Ok(_)) = source.next().await {}
        Ok::<_, axum::Error>(())
    };
    if !matches!(deadline::within(CLOSE_DEADLINE, closing).await, Ok(Ok(()))) {
        tracing::debug!("a client was gone before its WebSocket was closed");
    }
}
