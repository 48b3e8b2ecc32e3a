//! A command that runs in a workspace.

use std::fmt;

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio_tungstenite::tungstenite::Message;

use sam_core::{Error, ErrorKind, Result};

use super::Client;
use super::socket::{Incoming, Outgoing, broken, nonsense};
use crate::wire::{ExecEvent, ExecInput, ExecRequest, ExitStatus, FRAME_PAYLOAD_BYTES_MAX, Frame};

/// What a running command says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecMessage {
    /// Bytes of its standard error.
    Stderr(Bytes),
    /// Bytes of its standard output.
    Stdout(Bytes),
    /// It ended; the last message.
    Exit(ExitStatus),
}

/// A running command.
#[derive(Debug)]
pub struct ExecSocket {
    /// The half that is written.
    pub sender: ExecSender,
    /// The half that is read; read it while writing, or both sides may wait for each other.
    pub receiver: ExecReceiver,
}

/// The half of a command that is written. Clones write to the same command.
#[derive(Clone)]
pub struct ExecSender(Outgoing);

/// The half of a command that is read.
pub struct ExecReceiver(Incoming);

impl fmt::Debug for ExecSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecSender").finish_non_exhaustive()
    }
}

impl fmt::Debug for ExecReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecReceiver").finish_non_exhaustive()
    }
}

impl Client {
    /// Starts a command in a workspace. It ends when the connection does.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when the workspace does not run, and those of every call. That the
    /// command cannot be started is said by [`ExecReceiver::next`].
    pub async fn exec(&self, workspace: &str, request: &ExecRequest) -> Result<ExecSocket> {
        let url = self.url(&["api", "workspaces", workspace, "exec"])?;
        let opened = Box::pin(self.open_socket(url)).await;
        let (outgoing, incoming) = opened.map_err(|error| error.with_operation("exec"))?;
        outgoing.send_text(request).await?;
        Ok(ExecSocket { sender: ExecSender(outgoing), receiver: ExecReceiver(incoming) })
    }
}

impl ExecSender {
    /// Sends bytes to the command's standard input; waits while the command reads nothing.
    ///
    /// # Errors
    /// `Unavailable` when the connection broke.
    pub async fn input(&self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(FRAME_PAYLOAD_BYTES_MAX) {
            self.0.send(Message::binary(Frame::Input(piece).encode())).await?;
        }
        Ok(())
    }

    /// Ends the command's standard input.
    ///
    /// # Errors
    /// `Unavailable` when the connection broke.
    pub async fn eof(&self) -> Result<()> {
        self.0.send_text(&ExecInput::Eof).await
    }

    /// Sends a signal to the command's process group.
    ///
    /// # Errors
    /// `Unavailable` when the connection broke.
    pub async fn signal(&self, number: u8) -> Result<()> {
        self.0.send_text(&ExecInput::Signal { number }).await
    }

    /// Ends the connection.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

impl ExecReceiver {
    /// Returns the next message. [`ExecMessage::Exit`] is the last.
    ///
    /// May be dropped while it waits; nothing is lost.
    ///
    /// # Errors
    /// Why the command could not be started; `Unavailable` when the connection ended before the
    /// command did; `Corrupt` for a message that is none.
    pub async fn next(&mut self) -> Result<ExecMessage> {
        loop {
            let gone = || {
                Error::new(ErrorKind::Unavailable, "the connection ended before the command did")
                    .with_hint("the command may have been ended; run it again")
            };
            match self.0.next().await.ok_or_else(gone)?.map_err(broken)? {
                Message::Text(text) => {
                    let event = serde_json::from_str(&text).map_err(|cause| {
                        nonsense("the command sent no event").with_source(cause)
                    })?;
                    return match event {
                        ExecEvent::Exit { status } => Ok(ExecMessage::Exit(status)),
                        ExecEvent::Failed { error } => Err(error.to_error()),
                    };
                }
                Message::Binary(bytes) => return output(&bytes),
                Message::Close(_) => return Err(gone()),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}

fn output(bytes: &Bytes) -> Result<ExecMessage> {
    match Frame::parse(bytes) {
        Ok(Frame::Stdout(payload)) => Ok(ExecMessage::Stdout(bytes.slice_ref(payload))),
        Ok(Frame::Stderr(payload)) => Ok(ExecMessage::Stderr(bytes.slice_ref(payload))),
        Ok(_) => Err(nonsense("the command sent a frame that is not output")),
        Err(cause) => Err(nonsense("the command sent no frame").with_source(cause)),
    }
}
