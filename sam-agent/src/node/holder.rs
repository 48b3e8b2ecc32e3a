//! What the agent needs of the holder of terminals: a seam, so that the router is tested without
//! processes.

use std::fmt;
use std::path::Path;

use async_trait::async_trait;

use sam_core::{Result, TerminalId, WorkspaceId};

use crate::terminal::{
    ExecOutput, ExecReader, ExecWriter, HolderClient, TerminalOutput, TerminalReader,
    TerminalWriter,
};
use crate::wire::{
    Activity, DeclareWork, ExecRequest, IdleEnd, OpenTerminal, TerminalInfo, TerminalSize, WorkName,
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

    async fn activity(&self, workspace: WorkspaceId) -> Result<Activity>;

    async fn declare_work(
        &self,
        workspace: WorkspaceId,
        name: &WorkName,
        request: &DeclareWork,
    ) -> Result<()>;

    async fn end_work(&self, workspace: WorkspaceId, name: &WorkName) -> Result<()>;

    async fn warn(&self, workspace: WorkspaceId, notice: &str) -> Result<()>;

    /// Ends every process of a workspace unless something has counted since the warning.
    async fn stop_idle(&self, workspace: WorkspaceId) -> Result<IdleEnd>;
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

#[async_trait]
impl Holder for HolderClient {
    async fn instance(&self) -> Result<String> {
        Ok(self.info().await?.instance)
    }

    async fn open_terminal(
        &self,
        workspace: WorkspaceId,
        directory: &Path,
        request: &OpenTerminal,
    ) -> Result<TerminalInfo> {
        Self::open_terminal(self, workspace, directory, request).await
    }

    async fn terminals(&self, workspace: WorkspaceId) -> Result<Vec<TerminalInfo>> {
        Self::terminals(self, workspace).await
    }

    async fn close_terminal(&self, workspace: WorkspaceId, terminal: TerminalId) -> Result<()> {
        Self::close_terminal(self, workspace, terminal).await
    }

    async fn attach(
        &self,
        workspace: WorkspaceId,
        terminal: TerminalId,
        offset: Option<u64>,
    ) -> Result<(Box<dyn TerminalSource>, Box<dyn TerminalSink>)> {
        let (reader, writer) = Self::attach(self, workspace, terminal, offset).await?.split();
        Ok((Box::new(reader), Box::new(writer)))
    }

    async fn exec(
        &self,
        workspace: WorkspaceId,
        directory: &Path,
        request: &ExecRequest,
    ) -> Result<(Box<dyn ExecSource>, Box<dyn ExecSink>)> {
        let (reader, writer) = Self::exec(self, workspace, directory, request).await?.split();
        Ok((Box::new(reader), Box::new(writer)))
    }

    async fn stop_workspace(&self, workspace: WorkspaceId) -> Result<()> {
        Self::stop_workspace(self, workspace).await
    }

    async fn activity(&self, workspace: WorkspaceId) -> Result<Activity> {
        Self::activity(self, workspace).await
    }

    async fn declare_work(
        &self,
        workspace: WorkspaceId,
        name: &WorkName,
        request: &DeclareWork,
    ) -> Result<()> {
        Self::declare_work(self, workspace, name, request).await
    }

    async fn end_work(&self, workspace: WorkspaceId, name: &WorkName) -> Result<()> {
        Self::end_work(self, workspace, name).await
    }

    async fn warn(&self, workspace: WorkspaceId, notice: &str) -> Result<()> {
        Self::warn(self, workspace, notice).await
    }

    async fn stop_idle(&self, workspace: WorkspaceId) -> Result<IdleEnd> {
        Self::stop_idle(self, workspace).await
    }
}

#[async_trait]
impl TerminalSource for TerminalReader {
    async fn next(&mut self) -> Result<Option<TerminalOutput>> {
        Self::next(self).await
    }
}

#[async_trait]
impl TerminalSink for TerminalWriter {
    async fn input(&mut self, bytes: &[u8]) -> Result<()> {
        Self::input(self, bytes).await
    }

    async fn resize(&mut self, size: TerminalSize) -> Result<()> {
        Self::resize(self, size).await
    }
}

#[async_trait]
impl ExecSource for ExecReader {
    async fn next(&mut self) -> Result<Option<ExecOutput>> {
        Self::next(self).await
    }
}

#[async_trait]
impl ExecSink for ExecWriter {
    async fn stdin(&mut self, bytes: &[u8]) -> Result<()> {
        Self::stdin(self, bytes).await
    }

    async fn eof(&mut self) -> Result<()> {
        Self::eof(self).await
    }

    async fn signal(&mut self, number: u8) -> Result<()> {
        Self::signal(self, number).await
    }
}
