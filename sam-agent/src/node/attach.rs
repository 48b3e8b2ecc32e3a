//! People on a terminal: `…/terminals/{id}/attach?offset=N`.
//!
//! Output and input run apart. A client that stops reading stops its own output and nothing else:
//! its connection to the holder fills, and the holder drops what it can no longer keep.

use axum::body::Bytes;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderMap;
use serde::Deserialize;

use sam_core::auth::NodeRight;
use sam_core::{Error, ErrorKind};

use super::holder::{TerminalSink, TerminalSource};
use super::router::{Answer, Shared, parse_id};
use super::socket::{self, CLOSE_NORMAL, End, Received, Sink, Source, Stop};
use crate::terminal::TerminalOutput;
use crate::wire::{FRAME_PAYLOAD_BYTES_MAX, Frame, TerminalRequest};

#[derive(Deserialize)]
pub(super) struct From {
    offset: Option<u64>,
}

pub(super) async fn attach(
    State(parts): State<Shared>,
    Path((workspace, terminal)): Path<(String, String)>,
    from: Result<Query<From>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer {
    let (workspace, terminal) = (parse_id(&workspace)?, parse_id(&terminal)?);
    parts.authorize(&headers, NodeRight::Terminal, Some(workspace))?;
    let Query(from) = from.map_err(|_| Error::new(ErrorKind::BadInput, "offset is no number"))?;
    let upgrade = socket::upgrade(upgrade)?;
    parts.workspaces.directory(workspace)?;
    // Attached before the upgrade, so that a terminal that is gone is a 404 and not a WebSocket
    // that closes.
    let (source, sink) = parts.holder.attach(workspace, terminal, from.offset).await?;
    Ok(upgrade.on_upgrade(move |client| run(client, source, sink)))
}

async fn run(
    client: WebSocket,
    mut terminal: Box<dyn TerminalSource>,
    mut input: Box<dyn TerminalSink>,
) {
    let (mut sink, mut source) = client.split();
    let end = {
        let mut output = std::pin::pin!(give_output(terminal.as_mut(), &mut sink));
        tokio::select! {
            biased;
            stop = take_input(&mut source, input.as_mut()) => match stop {
                Stop::Client(end) => end,
                Stop::Program(error) => {
                    tracing::debug!(%error, "a terminal takes no more input");
                    output.await
                }
            },
            end = &mut output => end,
        }
    };
    drop((terminal, input));
    socket::close(sink, source, end).await;
}

async fn give_output(terminal: &mut dyn TerminalSource, sink: &mut Sink) -> End {
    loop {
        let sent = match terminal.next().await {
            Ok(Some(TerminalOutput::Bytes { offset, bytes })) => output(sink, offset, &bytes).await,
            Ok(Some(TerminalOutput::Event(event))) => socket::say(sink, &event).await,
            Ok(None) => return End::Close(CLOSE_NORMAL, String::new()),
            Err(error) => return error.into(),
        };
        if let Err(end) = sent {
            return end;
        }
    }
}

async fn output(sink: &mut Sink, mut offset: u64, bytes: &[u8]) -> Result<(), End> {
    for bytes in bytes.chunks(FRAME_PAYLOAD_BYTES_MAX) {
        let frame = Frame::Output { offset, bytes }.encode();
        sink.send(Message::Binary(Bytes::from(frame))).await?;
        offset = offset.saturating_add(bytes.len() as u64);
    }
    Ok(())
}

async fn take_input(source: &mut Source, terminal: &mut dyn TerminalSink) -> Stop {
    loop {
        let done = match socket::receive(source).await {
            Ok(Received::Input(bytes)) => terminal.input(&bytes).await,
            Ok(Received::Text(text)) => match serde_json::from_str(text.as_str()) {
                Ok(TerminalRequest::Resize(size)) => terminal.resize(size.clamped()).await,
                Err(_) => return Stop::Client(socket::unknown_text("terminal request")),
            },
            Err(end) => return Stop::Client(end),
        };
        if let Err(error) = done {
            return Stop::Program(error);
        }
    }
}
