//! Running one command in a workspace as if it ran here: bytes, signals and status unchanged.

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use sam_api::Client;
use sam_api::client::{ExecMessage, ExecReceiver, ExecSender, ExecSocket};
use sam_api::wire::ExecRequest;

use crate::deadline;
use crate::failure::{Failure, PIPE_STATUS};
use crate::input;
use crate::signals::{self, Signals};

/// Signals after which the command is left alone and its connection ended, which ends it.
const SIGNALS_MAX: u32 = 3;

/// Runs a command and returns the status to exit with.
pub(crate) async fn exec(
    client: &Client,
    workspace: &str,
    command: Vec<String>,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    let request = ExecRequest { command, env: Vec::new(), directory: None };
    let ExecSocket { sender, receiver } = client.exec(workspace, &request).await?;
    // A task of its own: a command that reads nothing must not keep us from showing its output.
    let feeding = tokio::spawn(feed(sender.clone(), input::pieces()));
    let outcome = pass(
        &sender,
        receiver,
        signals,
        Outputs { out: tokio::io::stdout(), err: tokio::io::stderr() },
    )
    .await;
    feeding.abort();
    sender.close().await;
    match outcome {
        // Like a command of this machine that writes to a pipe nobody reads.
        Err(Failure::Pipe) => Ok(PIPE_STATUS),
        other => other,
    }
}

async fn feed(sender: ExecSender, mut input: mpsc::Receiver<Bytes>) {
    while let Some(piece) = input.recv().await {
        if sender.input(&piece).await.is_err() {
            // The command's end, or a broken connection: reading tells which.
            return;
        }
    }
    let _outcome = sender.eof().await;
}

struct Outputs<O, E> {
    out: O,
    err: E,
}

impl<O: AsyncWrite + Unpin, E: AsyncWrite + Unpin> Outputs<O, E> {
    async fn write(&mut self, message: ExecMessage) -> Result<Option<u8>, Failure> {
        match message {
            ExecMessage::Stdout(bytes) => {
                self.out.write_all(&bytes).await?;
                self.out.flush().await?;
            }
            ExecMessage::Stderr(bytes) => {
                self.err.write_all(&bytes).await?;
                self.err.flush().await?;
            }
            ExecMessage::Exit(status) => return Ok(Some(status.shell_code())),
        }
        Ok(None)
    }
}

async fn pass<O: AsyncWrite + Unpin, E: AsyncWrite + Unpin>(
    sender: &ExecSender,
    mut receiver: ExecReceiver,
    signals: &mut Signals,
    mut outputs: Outputs<O, E>,
) -> Result<u8, Failure> {
    let mut told = 0;
    loop {
        tokio::select! {
            biased;
            signal = signals.next() => {
                told += 1;
                if told == SIGNALS_MAX {
                    return Ok(signals::status(signal));
                }
                // Behind input that the command does not read it may wait for long.
                let sender = sender.clone();
                let _sending = tokio::spawn(async move {
                    deadline::within(deadline::LAST_ANSWER, sender.signal(signal)).await
                });
            }
            message = receiver.next() => {
                if let Some(status) = outputs.write(message?).await? {
                    return Ok(status);
                }
            }
        }
    }
}
