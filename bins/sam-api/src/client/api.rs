//! One method per endpoint.

use reqwest::{Method, Url};

use sam_core::{Result, TerminalId};

use super::send::Call;
use super::{Client, IdempotencyKey};
use crate::wire::{Activity, DeclareWork, OpenTerminal, TerminalInfo, TerminalList, WorkName};
use crate::{CreateWorkspace, DaemonStatus, DaemonStopping, Health, Lifetime, Page, Workspace};

/// Which workspaces to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListWorkspaces {
    /// Workspaces per page, 1 to 200; the server's default when absent.
    pub limit: Option<usize>,
    /// Go on after this, from [`Page::next`].
    pub after: Option<String>,
    /// Also those that are deleted.
    pub all: bool,
}

/// Errors of every method: `Unavailable`, `Timeout`, `Corrupt` for an answer that is none,
/// `Unauthenticated` and `Denied`, and what the server says of the call itself.
impl Client {
    /// Returns how the server is.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout` or `Corrupt`.
    pub async fn health(&self) -> Result<Health> {
        self.get(&["api", "health"], "health").await
    }

    /// Asks for a workspace. The same key with the same request gives the same workspace, so the
    /// call is repeated when its answer is lost.
    ///
    /// # Errors
    /// `BadInput`, `AlreadyExists` for the name, `Conflict` for a key used with another request,
    /// `QuotaExceeded`, and those of every call.
    pub async fn create_workspace(
        &self,
        request: &CreateWorkspace,
        key: &IdempotencyKey,
    ) -> Result<Workspace> {
        let url = self.url(&["api", "workspaces"])?;
        let call = Call::new(Method::POST, url, "create_workspace").with_body(request)?;
        self.call(call.with_key(key)).await
    }

    /// Returns one page of workspaces.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn workspaces(&self, query: &ListWorkspaces) -> Result<Page<Workspace>> {
        let mut url = self.url(&["api", "workspaces"])?;
        add(&mut url, "limit", query.limit.map(|limit| limit.to_string()).as_deref());
        add(&mut url, "after", query.after.as_deref());
        add(&mut url, "all", query.all.then_some("true"));
        self.call(Call::new(Method::GET, url, "list_workspaces")).await
    }

    /// Returns the workspace with this id or name.
    ///
    /// # Errors
    /// `NotFound`, and those of every call.
    pub async fn workspace(&self, workspace: &str) -> Result<Workspace> {
        self.get(&["api", "workspaces", workspace], "workspace").await
    }

    /// Asks that a workspace and everything of it be taken away. Repeatable.
    ///
    /// # Errors
    /// `NotFound`, and those of every call.
    pub async fn delete_workspace(&self, workspace: &str) -> Result<Workspace> {
        let url = self.url(&["api", "workspaces", workspace])?;
        self.call(Call::new(Method::DELETE, url, "delete_workspace")).await
    }

    /// Asks that a workspace run. Repeatable.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when it is being deleted, and those of every call.
    pub async fn start_workspace(&self, workspace: &str) -> Result<Workspace> {
        self.post(&["api", "workspaces", workspace, "start"], "start_workspace").await
    }

    /// Asks that a workspace's processes end and its files be kept. Repeatable.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when it is being deleted, and those of every call.
    pub async fn stop_workspace(&self, workspace: &str) -> Result<Workspace> {
        self.post(&["api", "workspaces", workspace, "stop"], "stop_workspace").await
    }

    /// Renews the lease of a workspace that was made with one. Repeatable.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when it has none or it has lapsed, and those of every call.
    pub async fn renew_lease(&self, workspace: &str, lifetime: Lifetime) -> Result<Workspace> {
        let url = self.url(&["api", "workspaces", workspace, "lease"])?;
        self.call(Call::new(Method::PUT, url, "renew_lease").with_body(&lifetime)?).await
    }

    /// Opens a terminal in a workspace.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when the workspace does not run, `QuotaExceeded` at 64 terminals,
    /// and those of every call.
    pub async fn open_terminal(
        &self,
        workspace: &str,
        request: &OpenTerminal,
    ) -> Result<TerminalInfo> {
        let url = self.url(&["api", "workspaces", workspace, "terminals"])?;
        self.call(Call::new(Method::POST, url, "open_terminal").with_body(request)?).await
    }

    /// Returns the terminals of a workspace, oldest first.
    ///
    /// # Errors
    /// `NotFound`, and those of every call.
    pub async fn terminals(&self, workspace: &str) -> Result<Vec<TerminalInfo>> {
        let segments = ["api", "workspaces", workspace, "terminals"];
        let page: TerminalList = self.get(&segments, "list_terminals").await?;
        Ok(page.items)
    }

    /// Ends the program of a terminal. Repeatable.
    ///
    /// # Errors
    /// `NotFound` for the workspace, and those of every call.
    pub async fn close_terminal(&self, workspace: &str, terminal: TerminalId) -> Result<()> {
        let terminal = terminal.to_string();
        let url = self.url(&["api", "workspaces", workspace, "terminals", &terminal])?;
        let _answer: serde::de::IgnoredAny =
            self.call(Call::new(Method::DELETE, url, "close_terminal")).await?;
        Ok(())
    }

    /// Returns what goes on in a workspace. Asking is no activity.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when the workspace does not run, and those of every call.
    pub async fn activity(&self, workspace: &str) -> Result<Activity> {
        self.get(&["api", "workspaces", workspace, "activity"], "activity").await
    }

    /// Declares work, which keeps a workspace from being idle until its time is over or it is
    /// ended. Repeatable: the time begins anew.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when the workspace does not run, `BadInput` for a span that is not
    /// 1 ms to 24 h, `QuotaExceeded` at 64 pieces of work, and those of every call.
    pub async fn declare_work(
        &self,
        workspace: &str,
        name: &WorkName,
        request: &DeclareWork,
    ) -> Result<()> {
        let url = self.url(&["api", "workspaces", workspace, "work", name.as_str()])?;
        let call = Call::new(Method::PUT, url, "declare_work").with_body(request)?;
        let _answer: serde::de::IgnoredAny = self.call(call).await?;
        Ok(())
    }

    /// Ends declared work. Repeatable.
    ///
    /// # Errors
    /// `NotFound` for the workspace, `Conflict` when it does not run, and those of every call.
    pub async fn end_work(&self, workspace: &str, name: &WorkName) -> Result<()> {
        let url = self.url(&["api", "workspaces", workspace, "work", name.as_str()])?;
        let _answer: serde::de::IgnoredAny =
            self.call(Call::new(Method::DELETE, url, "end_work")).await?;
        Ok(())
    }

    /// Returns what the daemon says of itself. Only a daemon answers.
    ///
    /// # Errors
    /// `NotFound` from a server that is no daemon, and those of every call.
    pub async fn daemon(&self) -> Result<DaemonStatus> {
        self.get(&["api", "daemon"], "daemon").await
    }

    /// Asks the daemon to end. Workspaces keep running.
    ///
    /// # Errors
    /// `NotFound` from a server that is no daemon, and those of every call.
    pub async fn stop_daemon(&self) -> Result<DaemonStopping> {
        self.post(&["api", "daemon", "stop"], "stop_daemon").await
    }

    pub(super) async fn get<T: serde::de::DeserializeOwned>(
        &self,
        segments: &[&str],
        operation: &'static str,
    ) -> Result<T> {
        self.call(Call::new(Method::GET, self.url(segments)?, operation)).await
    }

    pub(super) async fn post<T: serde::de::DeserializeOwned>(
        &self,
        segments: &[&str],
        operation: &'static str,
    ) -> Result<T> {
        self.call(Call::new(Method::POST, self.url(segments)?, operation)).await
    }
}

pub(super) fn add(url: &mut Url, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        url.query_pairs_mut().append_pair(name, value);
    }
}
