//! A terminal one is attached to.

use std::fmt;

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio_tungstenite::tungstenite::Message;

use sam_core::{Error, ErrorKind, Result, TerminalId};

use super::Client;
use super::api::add;
use super::socket::{Incoming, Outgoing, broken, nonsense};
use crate::deadline;
use crate::wire::{FRAME_PAYLOAD_BYTES_MAX, Frame, TerminalEvent, TerminalRequest, TerminalSize};

/// What a terminal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TerminalMessage {
    /// Something other than output.
    Event(TerminalEvent),
    /// Bytes its program printed.
    Output {
        /// Offset of the first byte.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
}

/// An attached terminal.
#[derive(Debug)]
pub struct TerminalSocket {
    /// The half that is written.
    pub sender: TerminalSender,
    /// The half that is read.
    pub receiver: TerminalReceiver,
}

/// The half of a terminal that is written. Clones write to the same terminal.
#[derive(Clone)]
pub struct TerminalSender(Outgoing);

/// The half of a terminal that is read.
pub struct TerminalReceiver {
    incoming: Incoming,
    outgoing: Outgoing,
    pinged: bool,
}

impl fmt::Debug for TerminalSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TerminalSender").finish_non_exhaustive()
    }
}

impl fmt::Debug for TerminalReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TerminalReceiver").finish_non_exhaustive()
    }
}

impl Client {
    /// Attaches to a terminal. Output begins at `offset`, or at the oldest byte still kept, which
    /// a [`TerminalEvent::Gap`] then says.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when the workspace does not run, and those of every call.
    pub async fn attach(
        &self,
        workspace: &str,
        terminal: TerminalId,
        offset: u64,
    ) -> Result<TerminalSocket> {
        let terminal = terminal.to_string();
        let segments = ["api", "workspaces", workspace, "terminals", &terminal, "attach"];
        self.attach_at(&segments, offset).await
    }

    /// Attaches to a terminal of the workspace whose published name this client was given as the server:
    /// `http://ws-….example.com`. Otherwise as [`Client::attach`].
    ///
    /// # Errors
    /// As [`Client::attach`].
    pub async fn attach_published(
        &self,
        terminal: TerminalId,
        offset: u64,
    ) -> Result<TerminalSocket> {
        self.attach_at(&["terminals", &terminal.to_string(), "attach"], offset).await
    }

    async fn attach_at(&self, segments: &[&str], offset: u64) -> Result<TerminalSocket> {
        let mut url = self.url(segments)?;
        add(&mut url, "offset", Some(&offset.to_string()));
        let opened = Box::pin(self.open_socket(url)).await;
        let (outgoing, incoming) = opened.map_err(|error| error.with_operation("attach"))?;
        Ok(TerminalSocket {
            sender: TerminalSender(outgoing.clone()),
            receiver: TerminalReceiver { incoming, outgoing, pinged: false },
        })
    }
}

impl TerminalSender {
    /// Types bytes into the terminal.
    ///
    /// # Errors
    /// `Unavailable` when the connection broke.
    pub async fn input(&self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(FRAME_PAYLOAD_BYTES_MAX) {
            self.0.send(Message::binary(Frame::Input(piece).encode())).await?;
        }
        Ok(())
    }

    /// Gives the terminal another size.
    ///
    /// # Errors
    /// `Unavailable` when the connection broke.
    pub async fn resize(&self, size: TerminalSize) -> Result<()> {
        self.0.send_text(&TerminalRequest::Resize(size.clamped())).await
    }

    /// Detaches; the terminal and its program go on.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

impl TerminalReceiver {
    /// Returns the next message, or `None` when the server ended the connection.
    ///
    /// May be dropped while it waits; nothing is lost.
    ///
    /// # Errors
    /// `Unavailable` when the connection broke or the other side says nothing for 40 seconds,
    /// not even to a ping; `Corrupt` for a message that is none.
    pub async fn next(&mut self) -> Result<Option<TerminalMessage>> {
        loop {
            let span = if self.pinged { deadline::PONG_WITHIN } else { deadline::PING_AFTER };
            let Some(message) = deadline::within(span, self.incoming.next()).await else {
                if self.pinged {
                    return Err(Error::new(ErrorKind::Unavailable, "the terminal went silent"));
                }
                self.pinged = self.outgoing.ping().await?;
                continue;
            };
            self.pinged = false;
            let Some(message) = message else { return Ok(None) };
            match message.map_err(broken)? {
                Message::Text(text) => {
                    let event = serde_json::from_str(&text).map_err(|cause| {
                        nonsense("the terminal sent no event").with_source(cause)
                    })?;
                    return Ok(Some(TerminalMessage::Event(event)));
                }
                Message::Binary(bytes) => return output(&bytes).map(Some),
                Message::Close(_) => return Ok(None),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}

fn output(bytes: &Bytes) -> Result<TerminalMessage> {
    match Frame::parse(bytes) {
        Ok(Frame::Output { offset, bytes: payload }) => {
            Ok(TerminalMessage::Output { offset, bytes: bytes.slice_ref(payload) })
        }
        Ok(_) => Err(nonsense("the terminal sent a frame that is not output")),
        Err(cause) => Err(nonsense("the terminal sent no frame").with_source(cause)),
    }
}
