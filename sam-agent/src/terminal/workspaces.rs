//! What the workspaces of a node have in its holder: terminals and commands.
//!
//! Invariant: while a workspace is being stopped nothing new is started for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;
use tracing::info;

use sam_core::entropy::Entropy;
use sam_core::time::Timestamp;
use sam_core::{Error, ErrorKind, ErrorRecord, Result, TerminalId, WorkspaceId};

use super::children::{Children, Started};
use super::command::{self, NODE_VARIABLE, Place, WORKSPACE_VARIABLE};
use super::exec::{self, Running};
use super::held::{Birth, Held, Scratch};
use super::holder::HolderConfig;
use super::processes::{self, Identity, Table};
use super::protocol::HolderInfo;
use super::pty::{self, Pty};
use super::pulse::Pulse;
use crate::git_credential::SOCKET_FILE;
use crate::wire::{
    Activity, DeclareWork, ExecRequest, IdleEnd, OpenTerminal, TERMINALS_PER_WORKSPACE_MAX,
    TerminalInfo, WorkName,
};

/// Most ended terminals of a workspace that stay listed.
const ENDED_PER_WORKSPACE_MAX: usize = 16;
/// How long a program may take to end after its terminal was closed.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// What `TERM` is when nobody says.
const TERM_DEFAULT: &str = "xterm-256color";

/// Everything the holder holds.
#[derive(Debug)]
pub(super) struct Workspaces {
    pub(super) config: HolderConfig,
    pub(super) instance: String,
    pub(super) children: Children,
    scratch: Arc<Scratch>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    terminals: BTreeMap<TerminalId, Arc<Held>>,
    /// Those being stopped, and by how many callers.
    stopping: BTreeMap<WorkspaceId, usize>,
    /// Those for which something was started since they were last stopped.
    active: BTreeSet<WorkspaceId>,
    /// What counts as activity, of those that were asked for or used since they were last stopped.
    pulses: BTreeMap<WorkspaceId, Arc<Pulse>>,
}

impl Workspaces {
    /// Begins with none.
    ///
    /// # Errors
    /// `Unavailable` when the system has no random bytes.
    pub(super) fn new(config: HolderConfig) -> Result<Self> {
        let mut random = [0; 16];
        UrandomEntropy::open()?.fill(&mut random);
        Ok(Self {
            config,
            instance: format!("{:032x}", u128::from_be_bytes(random)),
            children: Children::default(),
            scratch: Arc::default(),
            state: Mutex::default(),
        })
    }

    /// Says who the holder is.
    pub(super) fn info(&self) -> HolderInfo {
        HolderInfo { instance: self.instance.clone(), pid: std::process::id() }
    }

    /// Opens a terminal and starts its program.
    ///
    /// # Errors
    /// `Conflict` while the workspace is being stopped, `QuotaExceeded` when it has too many,
    /// `NotFound`, `Denied` or `BadInput` when the program cannot be started.
    pub(super) fn open(
        &self,
        workspace: WorkspaceId,
        directory: &str,
        request: &OpenTerminal,
    ) -> Result<TerminalInfo> {
        self.make_room(workspace)?;
        let socket = Path::new(directory).with_file_name(SOCKET_FILE);
        let place = self.place(workspace, Path::new(directory), &socket);
        let mut command = place.command(&request.command, &[])?;
        command.env("TERM", request.term.as_deref().unwrap_or(TERM_DEFAULT));
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |error| command::start_error(&program, error);
        let size = request.size.clamped();
        let (pty, slave) = Pty::open(size).map_err(no_terminal)?;
        pty::control(&mut command, &slave).map_err(no_terminal)?;
        let id = TerminalId::new(now(), &UrandomEntropy::open()?);
        let Started { child, pid, ended } =
            self.children.start(&mut command, Some(workspace)).map_err(failed)?;
        drop(child);
        let pulse = self.pulse(workspace);
        pulse.typed(Instant::now());
        let birth =
            Birth { id, workspace_id: workspace, size, root: pid, pulse, pty, slave, ended };
        let held = Held::begin(birth, Arc::clone(&self.scratch));
        let info = held.info();
        let mut state = self.lock();
        state.terminals.insert(id, held);
        state.active.insert(workspace);
        info!(terminal.id = %id, workspace.id = %workspace, "terminal opened");
        Ok(info)
    }

    /// Lists the terminals of a workspace, oldest first.
    pub(super) fn list(&self, workspace: WorkspaceId) -> Vec<TerminalInfo> {
        self.forget_ended(workspace, ENDED_PER_WORKSPACE_MAX);
        self.of(workspace).iter().map(|held| held.info()).collect()
    }

    /// Returns a terminal of a workspace.
    ///
    /// # Errors
    /// `NotFound`.
    pub(super) fn terminal(&self, workspace: WorkspaceId, id: TerminalId) -> Result<Arc<Held>> {
        let found = self.lock().terminals.get(&id).cloned();
        found.filter(|held| held.workspace_id == workspace).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no terminal {id}"))
                .with_hint("list the workspace's terminals, or open a new one")
        })
    }

    /// Ends a terminal's program and forgets the terminal; one that is absent is closed.
    ///
    /// # Errors
    /// `Timeout` when the program does not end; the terminal stays then.
    pub(super) async fn close(&self, workspace: WorkspaceId, id: TerminalId) -> Result<()> {
        let Ok(held) = self.terminal(workspace, id) else { return Ok(()) };
        if !held.has_ended() {
            // What a terminal that is hung up says; a shell passes it on to its jobs.
            self.children.signal_group(held.root, Signal::HUP);
            self.children.signal_group(held.root, Signal::CONT);
            if !held.ends_within(CLOSE_GRACE).await {
                self.children.signal_group(held.root, Signal::KILL);
                if !held.ends_within(processes::END_LIMIT).await {
                    let message = format!("the program of terminal {id} does not end");
                    return Err(Error::new(ErrorKind::Timeout, message)
                        .with_hint("try again, or stop the workspace"));
                }
            }
        }
        let _held = self.lock().terminals.remove(&id);
        Ok(())
    }

    /// Starts a command. The inner error is the program's own: it goes to the stream.
    ///
    /// # Errors
    /// `Conflict` while the workspace is being stopped.
    pub(super) fn exec(
        &self,
        workspace: WorkspaceId,
        directory: &str,
        request: &ExecRequest,
    ) -> Result<Result<Running, ErrorRecord>> {
        self.refuse_while_stopping(workspace)?;
        let underway = self.pulse(workspace).command(Instant::now());
        let socket = Path::new(directory).with_file_name(SOCKET_FILE);
        let start = || {
            let directory = command::directory_below(directory, request.directory.as_deref())?;
            let Some(program) = request.command.first() else {
                return Err(Error::new(ErrorKind::BadInput, "the command is empty")
                    .with_hint("name a program"));
            };
            let place = self.place(workspace, &directory, &socket);
            let command = place.command(&request.command, &request.env)?;
            exec::start(&self.children, command, workspace, underway)
                .map_err(|error| command::start_error(program, error))
        };
        self.lock().active.insert(workspace);
        Ok(start().map_err(|error| (&error.with_operation("exec")).into()))
    }

    /// Ends every process of a workspace and forgets its terminals.
    ///
    /// # Errors
    /// `Timeout` when some do not end.
    pub(super) async fn stop(&self, workspace: WorkspaceId) -> Result<()> {
        *self.lock().stopping.entry(workspace).or_default() += 1;
        self.end_processes(workspace).await
    }

    /// Does the same where people were warned and nothing has counted since. Judged in one step
    /// with the refusal of everything new, so that nobody comes in between.
    ///
    /// # Errors
    /// As [`Workspaces::stop`].
    pub(super) async fn stop_idle(&self, workspace: WorkspaceId) -> Result<IdleEnd> {
        if !self.close_if_idle(workspace) {
            return Ok(IdleEnd::InUse);
        }
        self.end_processes(workspace).await.map(|()| IdleEnd::Ended)
    }

    fn close_if_idle(&self, workspace: WorkspaceId) -> bool {
        let mut state = self.lock();
        let in_use = |pulse: &Arc<Pulse>| !pulse.is_warned(Instant::now());
        // One that nobody knows of was stopped already.
        if state.pulses.get(&workspace).is_some_and(in_use) {
            return false;
        }
        *state.stopping.entry(workspace).or_default() += 1;
        true
    }

    /// Says what goes on in a workspace. One that was not asked for before counts from now on.
    pub(super) fn activity(&self, workspace: WorkspaceId) -> Activity {
        self.pulse(workspace).observe(Instant::now())
    }

    /// Declares work.
    ///
    /// # Errors
    /// `Conflict` while the workspace is being stopped, `QuotaExceeded` for too much of it.
    pub(super) fn declare(
        &self,
        workspace: WorkspaceId,
        name: WorkName,
        request: &DeclareWork,
    ) -> Result<()> {
        self.refuse_while_stopping(workspace)?;
        let span = Duration::from_millis(request.for_ms);
        self.pulse(workspace).declare(name, request.sort, span, Instant::now())
    }

    /// Ends declared work.
    pub(super) fn end_work(&self, workspace: WorkspaceId, name: &WorkName) {
        self.pulse(workspace).end(name, Instant::now());
    }

    /// Warns the people of a workspace, unless work is in progress.
    pub(super) fn warn(&self, workspace: WorkspaceId, notice: &str) {
        if self.pulse(workspace).warn(notice, Instant::now()) {
            self.of(workspace).iter().for_each(|held| held.nudge());
        }
    }

    fn pulse(&self, workspace: WorkspaceId) -> Arc<Pulse> {
        let mut state = self.lock();
        let fresh = || Arc::new(Pulse::new(Instant::now()));
        Arc::clone(state.pulses.entry(workspace).or_insert_with(fresh))
    }

    /// Ends the processes of a workspace that was marked as being stopped.
    async fn end_processes(&self, workspace: WorkspaceId) -> Result<()> {
        let find =
            |table: &Table, known: &BTreeSet<Identity>| self.members(workspace, table, known);
        let ended = processes::end(find).await;
        if ended.is_ok() {
            for held in self.of(workspace) {
                // Its program is gone, so this is soon; viewers still get the last bytes.
                held.ends_within(CLOSE_GRACE).await;
                let _held = self.lock().terminals.remove(&held.id);
            }
        }
        let mut state = self.lock();
        if let Some(callers) = state.stopping.get_mut(&workspace) {
            *callers -= 1;
        }
        state.stopping.retain(|_, callers| *callers > 0);
        ended.map_err(|left| still_there(&left))?;
        state.active.remove(&workspace);
        state.pulses.remove(&workspace);
        drop(state);
        info!(workspace.id = %workspace, "workspace stopped");
        Ok(())
    }

    /// Ends everything below the holder and everything of this node that an earlier holder left.
    ///
    /// # Errors
    /// `Timeout` when some do not end.
    pub(super) async fn end_all(&self) -> Result<()> {
        let find = |table: &Table, _known: &BTreeSet<Identity>| {
            let own = own_pid();
            let mut all = table.with_descendants(BTreeSet::from([own]));
            all.extend(self.left_over(table));
            &all - &table.with_ancestors(own)
        };
        processes::end(find).await.map_err(|left| still_there(&left))
    }

    /// Ends what an earlier holder of this node left behind: its terminals are lost, so nobody
    /// could ever end it otherwise, and it would hold ports and files.
    ///
    /// # Errors
    /// `Timeout` when some do not end.
    pub(super) async fn end_left_over(&self) -> Result<()> {
        let find = |table: &Table, _known: &BTreeSet<Identity>| self.left_over(table);
        processes::end(find).await.map_err(|left| still_there(&left))
    }

    fn left_over(&self, table: &Table) -> BTreeSet<i32> {
        let node = self.config.node_id.to_string();
        let marked = |pid: &i32| {
            let [of_node, of_workspace] =
                processes::environ(*pid, [NODE_VARIABLE, WORKSPACE_VARIABLE]);
            of_node.as_ref() == Some(&node) && of_workspace.is_some()
        };
        let all = table.iter().map(|process| process.identity.pid).filter(marked).collect();
        &table.with_descendants(all) - &table.with_ancestors(own_pid())
    }

    /// Returns the processes of a workspace.
    fn members(
        &self,
        workspace: WorkspaceId,
        table: &Table,
        known: &BTreeSet<Identity>,
    ) -> BTreeSet<i32> {
        let own = own_pid();
        let (node, name) = (self.config.node_id.to_string(), workspace.to_string());
        let below = table.with_descendants(BTreeSet::from([own]));
        let agent: BTreeSet<i32> = self.children.own().into_iter().collect();
        let alone = self.lock().active == BTreeSet::from([workspace]);
        let mut members: BTreeSet<i32> = self.children.of(workspace).into_iter().collect();
        members.extend(known.iter().map(|identity| identity.pid));
        for process in table.iter() {
            let pid = process.identity.pid;
            let [of_node, of_workspace] =
                processes::environ(pid, [NODE_VARIABLE, WORKSPACE_VARIABLE]);
            let ours = below.contains(&pid) || of_node.as_ref() == Some(&node);
            let named = of_workspace.as_ref() == Some(&name) && ours;
            // A daemon that wrote over its environment and left its parent belongs to the only
            // workspace that could have started it.
            let adopted = alone && process.parent == own && of_workspace.is_none();
            if named || adopted {
                members.insert(pid);
            }
        }
        let members = members.into_iter().filter(|pid| !agent.contains(pid)).collect();
        &(&table.with_descendants(members) - &agent) - &table.with_ancestors(own)
    }

    /// Says where and as what something is started; the socket is the workspace's at the agent.
    fn place<'a>(
        &'a self,
        workspace_id: WorkspaceId,
        directory: &'a Path,
        socket: &'a Path,
    ) -> Place<'a> {
        let HolderConfig { node_id, environment, git_helper, .. } = &self.config;
        let git_helper = git_helper.as_deref().map(|program| (program, socket));
        Place { node_id: *node_id, workspace_id, environment, directory, git_helper }
    }

    fn make_room(&self, workspace: WorkspaceId) -> Result<()> {
        self.refuse_while_stopping(workspace)?;
        self.forget_ended(workspace, ENDED_PER_WORKSPACE_MAX);
        if self.of(workspace).len() >= TERMINALS_PER_WORKSPACE_MAX {
            self.forget_ended(workspace, 0);
        }
        if self.of(workspace).len() < TERMINALS_PER_WORKSPACE_MAX {
            return Ok(());
        }
        let message = format!("the workspace has {TERMINALS_PER_WORKSPACE_MAX} terminals already");
        Err(Error::new(ErrorKind::QuotaExceeded, message)
            .with_hint("close a terminal that is no longer needed"))
    }

    fn refuse_while_stopping(&self, workspace: WorkspaceId) -> Result<()> {
        if !self.lock().stopping.contains_key(&workspace) {
            return Ok(());
        }
        let message = format!("workspace {workspace} is being stopped");
        Err(Error::new(ErrorKind::Conflict, message).with_hint("start it again first"))
    }

    /// Forgets ended terminals but the newest `keep`.
    fn forget_ended(&self, workspace: WorkspaceId, keep: usize) {
        let all = self.of(workspace);
        let ended: Vec<_> = all.iter().filter(|held| held.has_ended()).collect();
        let mut state = self.lock();
        for held in ended.iter().rev().skip(keep) {
            let _held = state.terminals.remove(&held.id);
        }
    }

    /// Returns the terminals of a workspace, oldest first: ids sort by time.
    fn of(&self, workspace: WorkspaceId) -> Vec<Arc<Held>> {
        let state = self.lock();
        let of = |held: &&Arc<Held>| held.workspace_id == workspace;
        state.terminals.values().filter(of).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

fn no_terminal(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the system has no terminal left")
        .with_hint("close terminals, or raise kernel.pty.max and the limit of open files")
        .with_source(error)
}

fn still_there(left: &[i32]) -> Error {
    let message = format!("{} processes do not end", left.len());
    Error::new(ErrorKind::Timeout, message)
        .with_hint("try again; if they belong to another user or wait for a device, end them there")
        .with_context("pids", format!("{left:?}"))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH.plus(since)
}

/// The kernel's random bytes.
#[derive(Debug)]
struct UrandomEntropy(File);

impl UrandomEntropy {
    fn open() -> Result<Self> {
        let opened = File::open("/dev/urandom").map(Self);
        opened.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "the system has no random bytes")
                .with_hint("mount /dev with urandom in it")
                .with_source(error)
        })
    }
}

impl Entropy for UrandomEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        // The device never ends and never fails once open; ids made here name, they do not guard.
        let _filled = (&self.0).read_exact(buffer);
    }
}
