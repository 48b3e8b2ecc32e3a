//! The holder process: its lock, its socket, its children, its end.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tracing::{debug, info, warn};

use sam_core::{Error, ErrorKind, NodeId, Report, Result};

use super::workspaces::Workspaces;
use super::{processes, pty, serve};
use crate::deadline::sleep;

/// Most connections at a time; more wait.
const CONNECTIONS_MAX: usize = 4_096;
/// The agent's log is set aside when it is larger at the agent's start.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// First pause before an agent that ended is started again; doubles up to [`RESTART_PAUSE_MAX`].
const RESTART_PAUSE: Duration = Duration::from_millis(250);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(10);
/// An agent that lived this long ended for a new reason.
const RESTART_FORGIVEN: Duration = Duration::from_secs(30);
/// Pause after a connection could not be accepted, such as with no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const LOCK_FILE: &str = "holder.lock";
const RECORD_FILE: &str = "holder.json";
const SOCKET_FILE: &str = "holder.sock";
const LOG_FILE: &str = "agent.log";

/// What a holder is started with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HolderConfig {
    /// The node's directory: lock, socket, record and the agent's log are there.
    pub dir: PathBuf,
    /// The node; named in the environment of everything a workspace starts.
    pub node_id: NodeId,
    /// The agent and its arguments; empty means no agent is kept running.
    pub agent_command: Vec<OsString>,
    /// Variables to take `HOME`, `LANG`, `LOGNAME`, `PATH`, `SHELL`, `TERM` and `USER` from, for
    /// what workspaces start. Others are not passed on.
    pub environment: Vec<(OsString, OsString)>,
    /// The program that git in a workspace asks for credentials, with the subcommand
    /// [`git_credential::SUBCOMMAND`](crate::git_credential::SUBCOMMAND); without one git has the
    /// helpers of its own configuration alone.
    pub git_helper: Option<OsString>,
}

impl HolderConfig {
    /// Makes a configuration without agent and environment.
    pub fn new(dir: impl Into<PathBuf>, node_id: NodeId) -> Self {
        Self {
            dir: dir.into(),
            node_id,
            agent_command: Vec::new(),
            environment: Vec::new(),
            git_helper: None,
        }
    }

    /// Sets the agent to keep running.
    #[must_use]
    pub fn with_agent_command(mut self, command: Vec<OsString>) -> Self {
        self.agent_command = command;
        self
    }

    /// Sets the program that git in a workspace asks for credentials.
    #[must_use]
    pub fn with_git_helper(mut self, program: OsString) -> Self {
        self.git_helper = Some(program);
        self
    }

    /// Sets the variables to choose from; a bin passes its own environment.
    #[must_use]
    pub fn with_environment(mut self, environment: Vec<(OsString, OsString)>) -> Self {
        self.environment = environment;
        self
    }
}

/// Is the holder of a node until `SIGTERM`, then ends everything below it.
///
/// It must own its process: it becomes a session leader, adopts orphans, takes over the signals
/// `HUP`, `INT`, `QUIT`, `TERM`, `TSTP`, `TTIN` and `TTOU`, and reaps every child. Run it on a
/// current-thread tokio runtime. What an earlier holder of the node left running is ended first.
///
/// # Errors
/// `Conflict` when the directory has a holder already, `Unavailable` when the directory or the
/// system does not allow it, `Timeout` when some process does not end at the end.
pub async fn run(config: HolderConfig) -> Result<()> {
    let lock = lock(&config.dir)?;
    let signals = Signals::take_over().map_err(|error| refused("take over signals", error))?;
    become_reaper().map_err(|error| refused("become the reaper", error))?;
    let workspaces = Arc::new(Workspaces::new(config)?);
    let Signals { mut child, mut terminate, ignored } = signals;
    let reaper = Arc::clone(&workspaces);
    let reaper = tokio::spawn(async move {
        while child.recv().await.is_some() {
            reaper.children.reap();
        }
    });
    if let Err(error) = workspaces.end_left_over().await {
        warn!(error = %Report::new(&error), "an earlier holder left processes that do not end");
    }
    let dir = &workspaces.config.dir;
    let listener = listen(dir).map_err(|error| refused("listen on its socket", error))?;
    record(&workspaces).map_err(|error| refused("write its record", error))?;
    info!(instance = workspaces.instance, "holder is ready");
    let agent = tokio::spawn(keep_agent(Arc::clone(&workspaces)));
    tokio::select! {
        biased;
        _asked = terminate.recv() => {}
        () = accept(&workspaces, listener) => {}
    }
    info!("holder ends");
    agent.abort();
    let ended = workspaces.end_all().await;
    reaper.abort();
    for file in [SOCKET_FILE, RECORD_FILE] {
        // A record that stays is harmless: the process it names is gone.
        let _absent = fs::remove_file(dir.join(file));
    }
    drop((ignored, lock));
    ended
}

/// Connects to the holder of a directory.
///
/// # Errors
/// What the system says; `NotFound` and `ConnectionRefused` mean that there is no holder.
pub(super) async fn connect(dir: &Path) -> io::Result<UnixStream> {
    let (_open, path) = socket_path(dir, SOCKET_FILE)?;
    UnixStream::connect(path).await
}

/// A socket's path has at most 107 bytes, a directory's does not: name it by its descriptor.
fn socket_path(dir: &Path, file: &str) -> io::Result<(std::os::fd::OwnedFd, PathBuf)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = rustix::fs::open(dir, flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}/{file}", open.as_raw_fd());
    Ok((open, path.into()))
}

fn refused(what: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the holder cannot {what}"))
        .with_operation("hold_node")
        .with_hint("check that the node's directory is there and belongs to this user")
        .with_source(error)
}

fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(LOCK_FILE);
    let opened = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let mut file = opened.map_err(|error| refused("open its lock", error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let message = format!("{} has a holder already", dir.display());
            return Err(Error::new(ErrorKind::Conflict, message)
                .with_operation("hold_node")
                .with_hint("use the one that runs, or end it first with SIGTERM"));
        }
        Err(TryLockError::Error(error)) => return Err(refused("take its lock", error)),
    }
    let written = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
    written.map_err(|error| refused("write its lock", error))?;
    Ok(file)
}

/// The signals of the holder. Handling those that do nothing, instead of ignoring them, gives
/// programs started here the usual meaning of each, even when the holder inherited otherwise.
struct Signals {
    child: Signal,
    terminate: Signal,
    ignored: Vec<Signal>,
}

impl Signals {
    fn take_over() -> io::Result<Self> {
        let quiet = [
            SignalKind::hangup(),
            SignalKind::interrupt(),
            SignalKind::quit(),
            SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()),
            SignalKind::from_raw(rustix::process::Signal::TTIN.as_raw()),
            SignalKind::from_raw(rustix::process::Signal::TTOU.as_raw()),
        ];
        Ok(Self {
            child: signal(SignalKind::child())?,
            terminate: signal(SignalKind::terminate())?,
            ignored: quiet.into_iter().map(signal).collect::<io::Result<_>>()?,
        })
    }
}

fn become_reaper() -> io::Result<()> {
    // Fails only when the process leads a group, as when it was started from a shell.
    let _leader = rustix::process::setsid();
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Binds beside the final name and renames, so that the socket is never there without its mode
/// and a stale one is replaced. The lock is held, so nobody else listens.
fn listen(dir: &Path) -> io::Result<UnixListener> {
    let fresh = dir.join("holder.sock.new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (_open, path) = socket_path(dir, "holder.sock.new")?;
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))?;
    fs::rename(&fresh, dir.join(SOCKET_FILE))?;
    Ok(listener)
}

/// What identifies the holder's process for ever.
#[derive(Debug, Serialize)]
struct Record<'a> {
    boot_id: &'a str,
    pid: u32,
    start_time: u64,
    instance: &'a str,
}

fn record(workspaces: &Workspaces) -> io::Result<()> {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let start_time = processes::start_time(own).ok_or(io::ErrorKind::NotFound)?;
    let record = Record {
        boot_id: boot_id.trim(),
        pid: std::process::id(),
        start_time,
        instance: &workspaces.instance,
    };
    let dir = &workspaces.config.dir;
    let fresh = dir.join("holder.json.new");
    fs::write(&fresh, serde_json::to_vec(&record)?)?;
    fs::rename(fresh, dir.join(RECORD_FILE))
}

async fn accept(workspaces: &Arc<Workspaces>, listener: UnixListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // Never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let workspaces = Arc::clone(workspaces);
        drop(tokio::spawn(async move {
            if let Err(error) = serve::connection(workspaces, stream).await {
                debug!(%error, "a connection ended");
            }
            drop(place);
        }));
    }
}

/// Starts the agent, and again whenever it ends.
async fn keep_agent(workspaces: Arc<Workspaces>) {
    let Some((program, arguments)) = workspaces.config.agent_command.split_first() else { return };
    let mut pause = RESTART_PAUSE;
    loop {
        let began = Instant::now();
        match start_agent(&workspaces, program, arguments) {
            Ok(ended) => {
                let status = ended.await;
                warn!(?status, "the agent ended");
            }
            Err(error) => warn!(%error, "the agent could not be started"),
        }
        if began.elapsed() >= RESTART_FORGIVEN {
            pause = RESTART_PAUSE;
        }
        sleep(pause).await;
        pause = (pause * 2).min(RESTART_PAUSE_MAX);
    }
}

fn start_agent(
    workspaces: &Workspaces,
    program: &OsString,
    arguments: &[OsString],
) -> io::Result<tokio::sync::oneshot::Receiver<crate::wire::ExitStatus>> {
    let path = workspaces.config.dir.join(LOG_FILE);
    if fs::metadata(&path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
        fs::rename(&path, path.with_extension("log.old"))?;
    }
    let log = OpenOptions::new().create(true).append(true).open(path)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    pty::end_with_parent(&mut command);
    workspaces.children.start(&mut command, None).map(|started| started.ended)
}
