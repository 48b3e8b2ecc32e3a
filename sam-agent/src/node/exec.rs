//! A command in a workspace: `…/exec`. The first text frame is the command, the last one says how
//! it ended.

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderMap;

use sam_core::auth::NodeRight;
use sam_core::{ErrorRecord, WorkspaceId};

use super::holder::{ExecSink, ExecSource};
use super::router::{Answer, Shared, parse_id};
use super::socket::{self, CLOSE_NORMAL, CLOSE_PROTOCOL, End, Received, Sink, Source, Stop};
use crate::deadline;
use crate::terminal::ExecOutput;
use crate::wire::{ExecEvent, ExecInput, ExecRequest, FRAME_PAYLOAD_BYTES_MAX, Frame};

/// How long a client may take to say what it wants.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

pub(super) async fn exec(
    State(parts): State<Shared>,
    Path(workspace): Path<String>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer {
    let workspace = parse_id(&workspace)?;
    parts.authorize(&headers, NodeRight::Exec, Some(workspace))?;
    let upgrade = socket::upgrade(upgrade)?;
    let directory = parts.workspaces.directory(workspace)?;
    parts.workspaces.check_not_draining()?;
    Ok(upgrade.on_upgrade(move |client| run(client, parts, workspace, directory)))
}

async fn run(client: WebSocket, parts: Shared, workspace: WorkspaceId, directory: PathBuf) {
    let (mut sink, mut source) = client.split();
    let end = match first(&mut source).await {
        Ok(request) => match parts.holder.exec(workspace, &directory, &request).await {
            Ok((output, input)) => pass(&mut source, &mut sink, output, input).await,
            Err(error) => {
                let event = ExecEvent::Failed { error: ErrorRecord::from(&error) };
                match socket::say(&mut sink, &event).await {
                    Ok(()) => End::Close(CLOSE_NORMAL, String::new()),
                    Err(end) => end,
                }
            }
        },
        Err(end) => end,
    };
    socket::close(sink, source, end).await;
}

/// Passes input and output until the command has ended or the client has.
async fn pass(
    source: &mut Source,
    sink: &mut Sink,
    mut command: Box<dyn ExecSource>,
    mut input: Box<dyn ExecSink>,
) -> End {
    let mut output = std::pin::pin!(give_output(command.as_mut(), sink));
    tokio::select! {
        biased;
        stop = take_input(source, input.as_mut()) => match stop {
            Stop::Client(end) => end,
            Stop::Program(error) => {
                tracing::debug!(%error, "a command takes no more input");
                output.await
            }
        },
        end = &mut output => end,
    }
}

async fn first(source: &mut Source) -> Result<ExecRequest, End> {
    let late = || End::Close(CLOSE_PROTOCOL, "no command came".to_owned());
    match deadline::within(REQUEST_DEADLINE, socket::receive(source))
        .await
        .map_err(|_| late())??
    {
        Received::Input(_) => {
            Err(End::Close(CLOSE_PROTOCOL, "the command comes before its input".to_owned()))
        }
        Received::Text(text) => {
            serde_json::from_str(text.as_str()).map_err(|_| socket::unknown_text("command"))
        }
    }
}

async fn give_output(command: &mut dyn ExecSource, sink: &mut Sink) -> End {
    loop {
        let sent = match command.next().await {
            Ok(Some(ExecOutput::Event(event))) => socket::say(sink, &event).await,
            Ok(Some(ExecOutput::Stderr(bytes))) => {
                send(sink, &bytes, |bytes| Frame::Stderr(bytes)).await
            }
            Ok(Some(ExecOutput::Stdout(bytes))) => {
                send(sink, &bytes, |bytes| Frame::Stdout(bytes)).await
            }
            Ok(None) => return End::Close(CLOSE_NORMAL, String::new()),
            Err(error) => return error.into(),
        };
        if let Err(end) = sent {
            return end;
        }
    }
}

async fn send(sink: &mut Sink, bytes: &[u8], frame: fn(&[u8]) -> Frame<'_>) -> Result<(), End> {
    for chunk in bytes.chunks(FRAME_PAYLOAD_BYTES_MAX) {
        sink.send(Message::Binary(Bytes::from(frame(chunk).encode()))).await?;
    }
    Ok(())
}

async fn take_input(source: &mut Source, command: &mut dyn ExecSink) -> Stop {
    loop {
        let done = match socket::receive(source).await {
            Ok(Received::Input(bytes)) => command.stdin(&bytes).await,
            Ok(Received::Text(text)) => match serde_json::from_str(text.as_str()) {
                Ok(ExecInput::Eof) => command.eof().await,
                Ok(ExecInput::Signal { number }) => command.signal(number).await,
                Err(_) => return Stop::Client(socket::unknown_text("input of a command")),
            },
            Err(end) => return Stop::Client(end),
        };
        if let Err(error) = done {
            return Stop::Program(error);
        }
    }
}
