//! What the agent needs of the holder of terminals: a seam, so that the router is tested without
//! processes.

use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;

use sam_core::{Result, TerminalId, WorkspaceId};

use crate::wire::{
    ExecEvent, ExecRequest, OpenTerminal, TerminalEvent, TerminalInfo, TerminalSize,
};

/// Terminals and commands, wherever their processes live.
#[async_trait]
pub(super) trait Holder: fmt::Debug + Send + Sync + 'static {
    /// Returns a text that changes when the processes were lost.
    async fn instance(&self) -> Result<String>;

    async fn open_terminal(
        &self,
        workspace: WorkspaceId,
        directory: &Path,
        request: &OpenTerminal,
    ) -> Result<TerminalInfo>;

    async fn terminals(&self, workspace: WorkspaceId) -> Result<Vec<TerminalInfo>>;

    async fn close_terminal(&self, workspace: WorkspaceId, terminal: TerminalId) -> Result<()>;

    async fn attach(
        &self,
        workspace: WorkspaceId,
        terminal: TerminalId,
        offset: Option<u64>,
    ) -> Result<(Box<dyn TerminalSource>, Box<dyn TerminalSink>)>;

    async fn exec(
        &self,
        workspace: WorkspaceId,
        directory: &Path,
        request: &ExecRequest,
    ) -> Result<(Box<dyn ExecSource>, Box<dyn ExecSink>)>;

    /// Ends every process of a workspace.
    async fn stop_workspace(&self, workspace: WorkspaceId) -> Result<()>;
}

#[derive(Debug)]
pub(super) enum TerminalOutput {
    Bytes { offset: u64, bytes: Bytes },
    Event(TerminalEvent),
}

#[async_trait]
pub(super) trait TerminalSource: Send {
    /// Returns what comes next, or `None` at the end. Not asked again once dropped half-way.
    async fn next(&mut self) -> Result<Option<TerminalOutput>>;
}

#[async_trait]
pub(super) trait TerminalSink: Send {
    async fn input(&mut self, bytes: &[u8]) -> Result<()>;
    async fn resize(&mut self, size: TerminalSize) -> Result<()>;
}

#[derive(Debug)]
pub(super) enum ExecOutput {
    Event(ExecEvent),
    Stderr(Bytes),
    Stdout(Bytes),
}

#[async_trait]
pub(super) trait ExecSource: Send {
    /// Returns what comes next, or `None` at the end.
    async fn next(&mut self) -> Result<Option<ExecOutput>>;
}

#[async_trait]
pub(super) trait ExecSink: Send {
    async fn stdin(&mut self, bytes: &[u8]) -> Result<()>;
    async fn eof(&mut self) -> Result<()>;
    async fn signal(&mut self, number: u8) -> Result<()>;
}
