//! The agent's side of the holder's socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

use sam_core::{Effect, Error, ErrorKind, Result, TerminalId, WorkspaceId};

use super::holder;
use super::protocol::{self, FrameReader, HolderInfo, Kind, Reply, Request};
use super::streams::{ExecStream, TerminalStream};
use crate::deadline::within;
use crate::wire::{
    Activity, DeclareWork, ExecRequest, IdleEnd, OpenTerminal, TerminalInfo, WorkName,
};

/// How long the holder may take to answer what it answers at once.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How long it may take where processes have to end first; more than it allows itself.
const END_LIMIT: Duration = Duration::from_secs(20);

/// Speaks to the holder of a node. Each call is a connection of its own, so that a client may be
/// killed at any moment without harm.
#[derive(Debug, Clone)]
pub struct HolderClient {
    dir: PathBuf,
}

impl HolderClient {
    /// Makes a client for the holder of a node's directory; connects when it is used.
    pub fn new(node_dir: impl Into<PathBuf>) -> Self {
        Self { dir: node_dir.into() }
    }

    /// Asks who the holder is.
    ///
    /// # Errors
    /// `Unavailable` when there is none, `Timeout` when it does not answer within 10 s.
    pub async fn info(&self) -> Result<HolderInfo> {
        match self.call("holder_info", &Request::Info, ANSWER_LIMIT).await? {
            Reply::Info(info) => Ok(info),
            other => Err(unexpected("holder_info", &other)),
        }
    }

    /// Opens a terminal in a directory. Not idempotent: each call opens one.
    ///
    /// # Errors
    /// `NotFound`, `Denied` or `BadInput` when the program cannot be started, `Conflict` while
    /// the workspace is being stopped, `QuotaExceeded` when it has 64 terminals that run;
    /// `Unavailable` and `Timeout` as in [`HolderClient::info`], then with an unknown effect.
    pub async fn open_terminal(
        &self,
        ws: WorkspaceId,
        directory: &Path,
        request: &OpenTerminal,
    ) -> Result<TerminalInfo> {
        let operation = "open_terminal";
        let directory = text(operation, directory)?;
        let request = Request::Open { workspace_id: ws, directory, request: request.clone() };
        match self.call(operation, &request, ANSWER_LIMIT).await? {
            Reply::Terminal(info) => Ok(info),
            other => Err(unexpected(operation, &other)),
        }
    }

    /// Lists the terminals of a workspace, oldest first, with the last 16 that ended.
    ///
    /// # Errors
    /// As [`HolderClient::info`].
    pub async fn terminals(&self, ws: WorkspaceId) -> Result<Vec<TerminalInfo>> {
        let request = Request::List { workspace_id: ws };
        match self.call("list_terminals", &request, ANSWER_LIMIT).await? {
            Reply::Terminals(list) => Ok(list),
            other => Err(unexpected("list_terminals", &other)),
        }
    }

    /// Ends a terminal's program and forgets the terminal. Closing an absent one succeeds.
    /// Takes up to 2 s when the program does not heed `SIGHUP`.
    ///
    /// # Errors
    /// `Timeout` when the program does not end; otherwise as [`HolderClient::info`].
    pub async fn close_terminal(&self, ws: WorkspaceId, id: TerminalId) -> Result<()> {
        let request = Request::Close { workspace_id: ws, terminal_id: id };
        self.done("close_terminal", &request, END_LIMIT).await
    }

    /// Becomes a viewer of a terminal from `offset` on, or from the oldest byte kept.
    ///
    /// # Errors
    /// `NotFound` when there is no such terminal, `BadInput` for an offset beyond its end,
    /// `QuotaExceeded` when it has 32 viewers; otherwise as [`HolderClient::info`].
    pub async fn attach(
        &self,
        ws: WorkspaceId,
        id: TerminalId,
        offset: Option<u64>,
    ) -> Result<TerminalStream> {
        let request = Request::Attach { workspace_id: ws, terminal_id: id, offset };
        self.stream("attach_terminal", &request).await.map(TerminalStream::new)
    }

    /// Runs a command. `directory` is the checkout; `request.directory` is looked up below it.
    /// The command ends when the stream is dropped. A program that cannot be started is told by
    /// the stream's `ExecEvent::Failed`.
    ///
    /// # Errors
    /// `Conflict` while the workspace is being stopped, `BadInput` when the request is larger
    /// than 512 KiB; otherwise as [`HolderClient::info`].
    pub async fn exec(
        &self,
        ws: WorkspaceId,
        directory: &Path,
        request: &ExecRequest,
    ) -> Result<ExecStream> {
        let directory = text("exec", directory)?;
        let request = Request::Exec { workspace_id: ws, directory, request: request.clone() };
        self.stream("exec", &request).await.map(ExecStream::new)
    }

    /// Ends every process of a workspace and forgets its terminals. Repeating it is harmless;
    /// one without processes is stopped at once. Takes 10 s at most.
    ///
    /// # Errors
    /// `Timeout` when some do not end: call it again. Otherwise as [`HolderClient::info`].
    pub async fn stop_workspace(&self, ws: WorkspaceId) -> Result<()> {
        self.done("stop_workspace", &Request::Stop { workspace_id: ws }, END_LIMIT).await
    }

    /// Does the same unless something has counted as activity since people were warned.
    ///
    /// # Errors
    /// As [`HolderClient::stop_workspace`].
    pub async fn stop_idle(&self, ws: WorkspaceId) -> Result<IdleEnd> {
        match self.call("stop_idle", &Request::StopIdle { workspace_id: ws }, END_LIMIT).await? {
            Reply::IdleEnd(end) => Ok(end),
            other => Err(unexpected("stop_idle", &other)),
        }
    }

    /// Says what goes on in a workspace. Asking is no activity.
    ///
    /// # Errors
    /// As [`HolderClient::info`].
    pub async fn activity(&self, ws: WorkspaceId) -> Result<Activity> {
        match self.call("activity", &Request::Activity { workspace_id: ws }, ANSWER_LIMIT).await? {
            Reply::Activity(activity) => Ok(activity),
            other => Err(unexpected("activity", &other)),
        }
    }

    /// Declares work in a workspace, or declares it anew.
    ///
    /// # Errors
    /// `QuotaExceeded` when 64 others are declared, `Conflict` while the workspace is being
    /// stopped; otherwise as [`HolderClient::info`].
    pub async fn declare_work(
        &self,
        ws: WorkspaceId,
        name: &WorkName,
        request: &DeclareWork,
    ) -> Result<()> {
        let (name, request) = (name.clone(), request.clone());
        let request = Request::Declare { workspace_id: ws, name, request };
        self.done("declare_work", &request, ANSWER_LIMIT).await
    }

    /// Ends declared work. Ending what is not declared succeeds.
    ///
    /// # Errors
    /// As [`HolderClient::info`].
    pub async fn end_work(&self, ws: WorkspaceId, name: &WorkName) -> Result<()> {
        let request = Request::EndWork { workspace_id: ws, name: name.clone() };
        self.done("end_work", &request, ANSWER_LIMIT).await
    }

    /// Warns the people of a workspace, on its terminals and when they attach, unless work is in
    /// progress. Whatever counts as activity takes the warning back.
    ///
    /// # Errors
    /// As [`HolderClient::info`].
    pub async fn warn(&self, ws: WorkspaceId, notice: &str) -> Result<()> {
        let request = Request::Warn { workspace_id: ws, notice: notice.to_owned() };
        self.done("warn", &request, ANSWER_LIMIT).await
    }

    async fn done(
        &self,
        operation: &'static str,
        request: &Request,
        limit: Duration,
    ) -> Result<()> {
        match self.call(operation, request, limit).await? {
            Reply::Done => Ok(()),
            other => Err(unexpected(operation, &other)),
        }
    }

    async fn stream(
        &self,
        operation: &'static str,
        request: &Request,
    ) -> Result<FrameReader<UnixStream>> {
        let (reply, frames) = self.ask(operation, request, ANSWER_LIMIT).await?;
        match reply {
            Reply::Done => Ok(frames),
            other => Err(unexpected(operation, &other)),
        }
    }

    async fn call(
        &self,
        operation: &'static str,
        request: &Request,
        limit: Duration,
    ) -> Result<Reply> {
        Ok(self.ask(operation, request, limit).await?.0)
    }

    async fn ask(
        &self,
        operation: &'static str,
        request: &Request,
        limit: Duration,
    ) -> Result<(Reply, FrameReader<UnixStream>)> {
        let frame = protocol::json_frame(Kind::Request, request).map_err(|error| {
            Error::new(ErrorKind::BadInput, "the request is too large for the holder")
                .with_operation(operation)
                .with_hint("pass long input through standard input or a file")
                .with_source(error)
        })?;
        let connected = within(ANSWER_LIMIT, holder::connect(&self.dir)).await;
        let stream =
            connected.map_err(|_| silent(operation))?.map_err(|error| absent(operation, error))?;
        let exchange = async {
            let mut frames = FrameReader::new(stream);
            frames.stream_mut().write_all(&frame).await?;
            let (kind, payload) = frames.next().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            match kind {
                Kind::Reply => Ok((protocol::parse::<Reply>(&payload)?, frames)),
                _ => Err(protocol::malformed("the first answer is no reply")),
            }
        };
        let exchanged = within(limit, exchange).await;
        let (reply, frames) = exchanged
            .map_err(|_| silent(operation).with_effect(Effect::Unknown))?
            .map_err(|error| lost(operation, error).with_effect(Effect::Unknown))?;
        match reply {
            Reply::Failed(record) => Err(record.to_error().with_operation(operation)),
            reply => Ok((reply, frames)),
        }
    }
}

fn text(operation: &'static str, directory: &Path) -> Result<String> {
    directory.to_str().map(str::to_owned).ok_or_else(|| {
        Error::new(ErrorKind::BadInput, "the directory's name is not UTF-8")
            .with_operation(operation)
            .with_hint("rename the directory")
    })
}

fn absent(operation: &'static str, error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the node's holder cannot be reached")
        .with_operation(operation)
        .with_hint("start the node")
        .with_source(error)
}

fn silent(operation: &'static str) -> Error {
    Error::new(ErrorKind::Timeout, "the node's holder does not answer")
        .with_operation(operation)
        .with_hint("try again; if it stays, stop and start the node")
}

/// Makes the error of a connection that ended too early.
pub(super) fn lost(operation: &'static str, error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the connection to the node's holder was lost")
        .with_operation(operation)
        .with_hint("try again; a terminal is attached again with the offset already seen")
        .with_source(error)
}

fn unexpected(operation: &'static str, reply: &Reply) -> Error {
    Error::new(ErrorKind::Corrupt, "the node's holder gave another answer than was asked for")
        .with_operation(operation)
        .with_hint("stop and start the node, so that agent and holder are of one version")
        .with_context("reply", format!("{reply:?}"))
}
