//! One connection to the holder: its first frame says what it is for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use sam_core::{Error, ErrorKind, Result, TerminalId, WorkspaceId};

use super::exec;
use super::peer::reply;
use super::protocol::{self, FrameReader, Kind, Reply, Request};
use super::viewer;
use super::workspaces::Workspaces;
use crate::deadline::within;
use crate::wire::{ExecEvent, ExecRequest};

/// How long a connection may take to say what it is for.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// Serves a connection to its end.
///
/// # Errors
/// What the connection says, and `InvalidData` for a frame that breaks the rules.
pub(super) async fn connection(workspaces: Arc<Workspaces>, stream: UnixStream) -> io::Result<()> {
    if stream.peer_cred()?.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let (read, mut out) = stream.into_split();
    let mut frames = FrameReader::new(read);
    let first =
        within(REQUEST_LIMIT, frames.next()).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let Some((Kind::Request, payload)) = first else {
        return Err(protocol::malformed("the first frame is no request"));
    };
    let Ok(request) = protocol::parse::<Request>(&payload) else {
        let error = Error::new(ErrorKind::BadInput, "the holder does not know this request")
            .with_hint("the agent is newer than its holder: stop and start the node");
        return reply(&mut out, &failed(&error)).await;
    };
    drop(payload);
    match request {
        Request::Attach { workspace_id, terminal_id, offset } => {
            attach(&workspaces, (workspace_id, terminal_id), offset, (frames, out)).await
        }
        Request::Exec { workspace_id, directory, request } => {
            run(&workspaces, (workspace_id, directory), request, (frames, out)).await
        }
        request => {
            let answer = answer(&workspaces, request).await;
            reply(&mut out, &answer.unwrap_or_else(|error| failed(&error))).await
        }
    }
}

type Halves = (FrameReader<OwnedReadHalf>, OwnedWriteHalf);

async fn answer(workspaces: &Workspaces, request: Request) -> Result<Reply> {
    match request {
        Request::Activity { workspace_id } => {
            Ok(Reply::Activity(workspaces.activity(workspace_id)))
        }
        Request::Declare { workspace_id, name, request } => {
            workspaces.declare(workspace_id, name, &request).map(|()| Reply::Done)
        }
        Request::EndWork { workspace_id, name } => {
            workspaces.end_work(workspace_id, &name);
            Ok(Reply::Done)
        }
        Request::StopIdle { workspace_id } => {
            workspaces.stop_idle(workspace_id).await.map(Reply::IdleEnd)
        }
        Request::Warn { workspace_id, notice } => {
            workspaces.warn(workspace_id, &notice);
            Ok(Reply::Done)
        }
        // Streams are served apart.
        Request::Attach { .. } | Request::Exec { .. } | Request::Info => {
            Ok(Reply::Info(workspaces.info()))
        }
        Request::Close { workspace_id, terminal_id } => {
            workspaces.close(workspace_id, terminal_id).await.map(|()| Reply::Done)
        }
        Request::List { workspace_id } => Ok(Reply::Terminals(workspaces.list(workspace_id))),
        Request::Open { workspace_id, directory, request } => {
            workspaces.open(workspace_id, &directory, &request).map(Reply::Terminal)
        }
        Request::Stop { workspace_id } => workspaces.stop(workspace_id).await.map(|()| Reply::Done),
    }
}

async fn attach(
    workspaces: &Workspaces,
    (workspace_id, terminal_id): (WorkspaceId, TerminalId),
    offset: Option<u64>,
    (frames, mut out): Halves,
) -> io::Result<()> {
    match workspaces.terminal(workspace_id, terminal_id) {
        Ok(held) => viewer::serve(held, offset, frames, out).await,
        Err(error) => reply(&mut out, &failed(&error)).await,
    }
}

async fn run(
    workspaces: &Workspaces,
    (workspace_id, directory): (WorkspaceId, String),
    request: ExecRequest,
    (frames, mut out): Halves,
) -> io::Result<()> {
    let started = match workspaces.exec(workspace_id, &directory, &request) {
        Ok(started) => started,
        Err(error) => return reply(&mut out, &failed(&error)).await,
    };
    drop(request);
    let replied = reply(&mut out, &Reply::Done).await;
    match started {
        // A caller that has left already is noticed there, and the command ended.
        Ok(running) => exec::serve(&workspaces.children, running, frames, out).await,
        Err(error) => {
            replied?;
            let frame = protocol::json_frame(Kind::Event, &ExecEvent::Failed { error })?;
            out.write_all(&frame).await
        }
    }
}

fn failed(error: &Error) -> Reply {
    Reply::Failed(error.into())
}
