//! The workspaces of this node: their files, and the checkouts that are on their way.
//!
//! A workspace is prepared once its `checkout` directory exists; nothing else is remembered, so a
//! restart of the agent forgets nothing. A failure is kept until it was told once; asked again
//! after that, the checkout begins anew. So no failure is lost between two questions, and nobody
//! has to say that he wants another attempt.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use sam_core::node_link::Preparation;
use sam_core::{Error, ErrorKind, ErrorRecord, Result, WorkspaceId};

use super::checkout::{self, CLONING, Head};
use super::credentials::Doors;
use super::files;
use super::git::Git;
use super::holder::Holder;
use crate::deadline;
use crate::wire::PrepareRequest;

/// Most checkouts that run at a time; the others wait.
const CHECKOUTS_MAX: usize = 4;
const WAITING: &str = "waiting for other checkouts";

#[derive(Debug)]
pub(super) struct Workspaces {
    directory: PathBuf,
    /// Where directories go to be deleted.
    trash: PathBuf,
    /// Exists once the node drains: a restart must not make it take work again.
    drain_mark: PathBuf,
    draining: AtomicBool,
    git: Git,
    /// Where git asks for credentials; absent where the node gives none.
    doors: Option<Arc<Doors>>,
    slots: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    jobs: BTreeMap<WorkspaceId, Job>,
    started: u64,
    removing: BTreeSet<WorkspaceId>,
}

#[derive(Debug)]
struct Job {
    number: u64,
    request: PrepareRequest,
    progress: watch::Receiver<Progress>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
enum Progress {
    Done(Head),
    Failed(ErrorRecord),
    Running(&'static str),
}

impl Workspaces {
    /// Opens the workspaces below the agent's directory, and deletes what a crash left half
    /// deleted.
    ///
    /// # Errors
    /// `Denied`, `QuotaExceeded`, `Unavailable`.
    pub(super) async fn open(agent: &Path, git: Git, doors: Option<Doors>) -> Result<Self> {
        let doors = doors.map(Arc::new);
        let (directory, trash) = (agent.join("ws"), agent.join("trash"));
        files::delete_tree(&trash).await?;
        files::make_private_directory(&directory).await?;
        files::make_private_directory(&trash).await?;
        let drain_mark = agent.join("draining");
        let draining = AtomicBool::new(drain_mark.exists());
        let slots = Arc::new(Semaphore::new(CHECKOUTS_MAX));
        let state = Mutex::default();
        let workspaces = Self { directory, trash, drain_mark, draining, git, doors, slots, state };
        workspaces.open_doors();
        Ok(workspaces)
    }

    /// Answers git in the workspaces that are here already: their processes outlive an agent.
    fn open_doors(&self) {
        let (Some(doors), Ok(entries)) = (&self.doors, std::fs::read_dir(&self.directory)) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(workspace) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if let Err(error) = doors.open(workspace, &entry.path()) {
                tracing::warn!(
                    workspace.id = %workspace,
                    error = %sam_core::Report::new(&error),
                    "git is given no credentials"
                );
            }
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(super) async fn drain(&self) -> Result<()> {
        files::replace(&self.drain_mark, Vec::new()).await?;
        self.draining.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn check_not_draining(&self) -> Result<()> {
        if self.is_draining() {
            return Err(Error::new(ErrorKind::Unavailable, "the node takes nothing new")
                .with_hint("its machine is about to go: use another node"));
        }
        Ok(())
    }

    /// Returns the checkout of a prepared workspace.
    ///
    /// # Errors
    /// `NotFound` when it is not prepared.
    pub(super) fn directory(&self, workspace: WorkspaceId) -> Result<PathBuf> {
        let directory = checkout::directory(&self.place(workspace));
        if self.lock().removing.contains(&workspace) || !directory.is_dir() {
            return Err(Error::new(ErrorKind::NotFound, "the workspace is not on this node")
                .with_hint("start the workspace, then try again"));
        }
        Ok(directory)
    }

    /// Starts or joins the checkout of a workspace and waits a while for its end.
    ///
    /// # Errors
    /// `Conflict` when another checkout of it runs, or it is being removed; `Unavailable` while
    /// the node drains. A checkout that failed is no error but an answer.
    pub(super) async fn prepare(
        &self,
        workspace: WorkspaceId,
        request: PrepareRequest,
        wait: Duration,
    ) -> Result<Preparation> {
        let joined = self.join(workspace, request)?;
        let Some((number, mut progress)) = joined else {
            let directory = checkout::directory(&self.place(workspace));
            return checkout::head(&self.git, &directory).await.map(ready);
        };
        let ended = progress.wait_for(|progress| !matches!(progress, Progress::Running(_)));
        let ended = match deadline::within(wait, ended).await {
            Ok(Ok(ended)) => Some(ended.clone()),
            Ok(Err(_)) => {
                return Err(Error::new(ErrorKind::Conflict, "the checkout was stopped"));
            }
            Err(_) => None,
        };
        let ended = ended.unwrap_or_else(|| progress.borrow().clone());
        if let Progress::Running(step) = ended {
            return Ok(Preparation::InProgress { step: step.to_owned() });
        }
        let mut state = self.lock();
        if state.jobs.get(&workspace).is_some_and(|job| job.number == number) {
            state.jobs.remove(&workspace);
        }
        drop(state);
        Ok(match ended {
            Progress::Done(head) => ready(head),
            Progress::Failed(error) => Preparation::Failed { error },
            Progress::Running(step) => Preparation::InProgress { step: step.to_owned() },
        })
    }

    /// Returns the running checkout, a new one, or `None` when it is done already.
    fn join(
        &self,
        workspace: WorkspaceId,
        request: PrepareRequest,
    ) -> Result<Option<(u64, watch::Receiver<Progress>)>> {
        let place = self.place(workspace);
        let mut state = self.lock();
        if state.removing.contains(&workspace) {
            return Err(Error::new(ErrorKind::Conflict, "the workspace is being removed"));
        }
        if let Some(job) = state.jobs.get(&workspace) {
            if job.request.repo != request.repo || job.request.checkout != request.checkout {
                let text = "another checkout of the workspace is on its way";
                return Err(
                    Error::new(ErrorKind::Conflict, text).with_hint("stop the workspace first")
                );
            }
            return Ok(Some((job.number, job.progress.clone())));
        }
        if checkout::directory(&place).is_dir() {
            return Ok(None);
        }
        self.check_not_draining()?;
        state.started += 1;
        let number = state.started;
        let (teller, progress) = watch::channel(Progress::Running(WAITING));
        let work = Work {
            git: self.git.clone(),
            doors: self.doors.clone(),
            workspace,
            place,
            request: request.clone(),
        };
        let work = work.run(Arc::clone(&self.slots), teller);
        let task = tokio::spawn(work);
        state.jobs.insert(workspace, Job { number, request, progress: progress.clone(), task });
        Ok(Some((number, progress)))
    }

    /// Ends the checkout of a workspace that is on its way.
    pub(super) async fn cancel(&self, workspace: WorkspaceId) {
        let job = self.lock().jobs.remove(&workspace);
        if let Some(job) = job {
            job.task.abort();
            // Waits until it is gone, and git with it.
            if let Err(error) = job.task.await
                && !error.is_cancelled()
            {
                tracing::error!(workspace.id = %workspace, %error, "a checkout panicked");
            }
        }
    }

    /// Ends every process of a workspace and deletes its files.
    ///
    /// # Errors
    /// Those of the holder and of the files.
    pub(super) async fn remove(&self, workspace: WorkspaceId, holder: &dyn Holder) -> Result<()> {
        let _removal = Removal::begin(self, workspace);
        self.cancel(workspace).await;
        if let Some(doors) = &self.doors {
            doors.close(workspace);
        }
        holder.stop_workspace(workspace).await?;
        let (place, trash) = (self.place(workspace), self.trash.join(workspace.to_string()));
        // Out of the way first, so that a crash leaves no half of a workspace.
        files::delete_tree(&trash).await?;
        if place.exists() {
            files::rename(&place, &trash).await?;
            files::delete_tree(&trash).await?;
        }
        Ok(())
    }

    fn place(&self, workspace: WorkspaceId) -> PathBuf {
        self.directory.join(workspace.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it lives, the workspace can be neither prepared nor entered.
struct Removal<'a> {
    workspaces: &'a Workspaces,
    workspace: WorkspaceId,
}

impl<'a> Removal<'a> {
    fn begin(workspaces: &'a Workspaces, workspace: WorkspaceId) -> Self {
        workspaces.lock().removing.insert(workspace);
        Self { workspaces, workspace }
    }
}

impl Drop for Removal<'_> {
    fn drop(&mut self) {
        self.workspaces.lock().removing.remove(&self.workspace);
    }
}

fn ready(head: Head) -> Preparation {
    Preparation::Ready { commit: head.commit, branch: head.branch }
}

/// A checkout that is on its way.
struct Work {
    git: Git,
    doors: Option<Arc<Doors>>,
    workspace: WorkspaceId,
    place: PathBuf,
    request: PrepareRequest,
}

impl Work {
    async fn run(self, slots: Arc<Semaphore>, teller: watch::Sender<Progress>) {
        let Ok(_slot) = slots.acquire().await else { return };
        teller.send_replace(Progress::Running(CLONING));
        let step = |name| {
            teller.send_replace(Progress::Running(name));
        };
        let checkout = async {
            let git = self.git().await?;
            checkout::checkout(&git, &self.place, &self.request, &step).await
        };
        teller.send_replace(match checkout.await {
            Ok(head) => Progress::Done(head),
            Err(error) => {
                let error = error.with_operation("checkout");
                tracing::info!(error = %sam_core::Report::new(&error), "a checkout failed");
                Progress::Failed(ErrorRecord::from(&error))
            }
        });
    }

    /// Returns the git of the workspace, which asks for credentials through its socket.
    async fn git(&self) -> Result<Git> {
        let Some(doors) = &self.doors else { return Ok(self.git.clone()) };
        files::make_private_directory(&self.place).await?;
        let socket = doors.open(self.workspace, &self.place)?;
        Ok(self.git.clone().with_helper(doors.helper().to_owned(), socket))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tokio::io::AsyncReadExt as _;

    use super::*;
    use sam_core::workspace::Checkout;

    const SOON: Duration = Duration::from_secs(10);
    const ID: WorkspaceId = WorkspaceId::from_bits(1);

    fn request(repo: &Path) -> PrepareRequest {
        let repo = repo.to_str().unwrap().parse().unwrap();
        PrepareRequest { repo, checkout: Checkout::Default, credential: None }
    }

    /// A git that says that it began and never ends, nor does its helper. Each holds the pipe
    /// open, so the pipe's end proves that both are gone.
    fn endless_git(here: &Path) -> (Git, PathBuf) {
        let (pipe, script) = (here.join("pipe"), here.join("git"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let text = format!("#!/bin/sh\nexec 3>{}\nsleep 600 &\necho x >&3\nwait\n", pipe.display());
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
        let path = option_env!("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin");
        let environment = vec![("PATH".into(), path.into())];
        (Git::new(script.into(), environment), pipe)
    }

    #[tokio::test]
    async fn stopping_ends_a_checkout_with_all_its_processes() {
        let here = tempfile::tempdir().unwrap();
        let (git, pipe) = endless_git(here.path());
        let workspaces = Workspaces::open(&here.path().join("node"), git, None).await.unwrap();
        let asked = request(here.path());
        let first = workspaces.prepare(ID, asked.clone(), Duration::ZERO).await.unwrap();
        assert!(matches!(first, Preparation::InProgress { .. }));
        let mut pipe = deadline::within(SOON, tokio::fs::File::open(pipe)).await.unwrap().unwrap();
        deadline::within(SOON, pipe.read_u8()).await.unwrap().unwrap();

        let joined = workspaces.prepare(ID, asked, Duration::ZERO).await.unwrap();
        assert_eq!(joined, Preparation::InProgress { step: CLONING.to_owned() });
        let other = workspaces.prepare(ID, request(Path::new("/")), Duration::ZERO).await;
        assert_eq!(other.unwrap_err().kind(), ErrorKind::Conflict);

        deadline::within(SOON, workspaces.cancel(ID)).await.unwrap();
        let mut rest = Vec::new();
        deadline::within(SOON, pipe.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert_eq!(workspaces.directory(ID).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_node_that_drains_still_does_after_a_restart() {
        let here = tempfile::tempdir().unwrap();
        let git = Git::new("git".into(), Vec::new());
        let open = async || Workspaces::open(here.path(), git.clone(), None).await.unwrap();
        let workspaces = open().await;
        assert!(!workspaces.is_draining());
        workspaces.drain().await.unwrap();
        let workspaces = open().await;
        let refused = workspaces.prepare(ID, request(here.path()), Duration::ZERO).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}
