//! A control plane of real processes in a directory of its own, and one workspace on it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sam_api::client::{Client, IdempotencyKey, Target};
use sam_api::{CreateWorkspace, DAEMON_READY_LINE, WorkspaceState};
use sam_core::{ErrorKind, Secret};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::deadline;

/// Longest wait for a process to say that it is ready, or to end.
const PROCESS: Duration = Duration::from_secs(20);
/// Longest wait for a workspace to get somewhere.
const WORKSPACE: Duration = Duration::from_mins(1);
/// Between two looks at a workspace.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The programs, all from one target directory.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) sam: PathBuf,
    pub(crate) server: PathBuf,
    pub(crate) agent: PathBuf,
}

impl Programs {
    /// Names them; `sam` was built with this bench, the others may be absent.
    pub(crate) fn beside_sam() -> Self {
        let sam = PathBuf::from(env!("CARGO_BIN_EXE_sam"));
        let server = sam.with_file_name("sam-server");
        let agent = sam.with_file_name("sam-agentd");
        Self { sam, server, agent }
    }
}

/// A running daemon or server.
#[derive(Debug)]
pub(crate) struct Control {
    process: Child,
    // Open as long as it runs, or its next line would be its last.
    _lines: Lines<BufReader<ChildStdout>>,
    pub(crate) client: Client,
    /// From its start to its word that it listens.
    pub(crate) ready_after: Duration,
}

impl Control {
    /// Starts `sam daemon run`.
    pub(crate) async fn daemon(programs: &Programs, data_dir: &Path) -> Result<Self> {
        let mut command = Command::new(&programs.sam);
        command.arg("--data-dir").arg(data_dir).args(["daemon", "run"]);
        let target = Target::Unix(data_dir.join("daemon.sock"));
        Self::start(command, data_dir, Some(target)).await
    }

    /// Starts `sam-server`.
    pub(crate) async fn server(programs: &Programs, data_dir: &Path) -> Result<Self> {
        let mut command = Command::new(&programs.server);
        command.arg("--data-dir").arg(data_dir).arg("--agent-command").arg(&programs.agent);
        command.args(["--listen", "127.0.0.1:0", "--allow-local-repos", "true"]);
        Self::start(command, data_dir, None).await
    }

    async fn start(mut command: Command, data_dir: &Path, target: Option<Target>) -> Result<Self> {
        std::fs::create_dir_all(data_dir)?;
        let errors = std::fs::File::create(data_dir.join("errors"))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).kill_on_drop(true);
        let started = Instant::now();
        let mut process = command.spawn().with_context(|| format!("{command:?}"))?;
        let stdout = process.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let (target, fresh) = deadline::within(PROCESS, "starting", async {
            let mut fresh = None;
            while let Some(line) = lines.next_line().await? {
                if let Some((_, token)) = line.split_once("(shown once): ") {
                    fresh = Some(token.to_owned());
                } else if let Some(url) = line.strip_prefix("listening on ") {
                    return Ok((Target::Http(url.to_owned()), fresh));
                } else if line == DAEMON_READY_LINE {
                    return Ok((target.context("a server said what a daemon says")?, fresh));
                }
            }
            anyhow::bail!("{command:?} ended; see {}", data_dir.join("errors").display())
        })
        .await?;
        let ready_after = started.elapsed();
        // A server tells its token once, so it is kept for the next start.
        let kept = data_dir.join("token");
        if let Some(token) = &fresh {
            std::fs::write(&kept, token)?;
        }
        let token = std::fs::read_to_string(&kept).ok().map(Secret::new);
        Ok(Self { process, _lines: lines, client: Client::new(target, token)?, ready_after })
    }

    /// Returns its process id.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.process.id().context("it has ended")
    }

    /// Ends it and waits until it has.
    pub(crate) async fn end(mut self) -> Result<()> {
        let pid = i32::try_from(self.pid()?)?;
        let pid = rustix::process::Pid::from_raw(pid).context("no process has the id 0")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        deadline::within(PROCESS, "ending", async { Ok(self.process.wait().await?) }).await?;
        Ok(())
    }

    /// Makes a workspace, waits until it runs and returns its id.
    pub(crate) async fn workspace(&self, repository: &Path) -> Result<String> {
        let repo = repository.to_str().context("the path is not UTF-8")?.parse()?;
        let request = CreateWorkspace::new(repo);
        let made = self.client.create_workspace(&request, &IdempotencyKey::random()?).await?;
        let id = made.id.to_string();
        self.reaches(&id, WorkspaceState::Running).await?;
        Ok(id)
    }

    /// Deletes a workspace and waits until everything of it is gone.
    pub(crate) async fn delete(&self, workspace: &str) -> Result<()> {
        self.client.delete_workspace(workspace).await?;
        self.reaches(workspace, WorkspaceState::Deleted).await
    }

    async fn reaches(&self, id: &str, state: WorkspaceState) -> Result<()> {
        deadline::within(WORKSPACE, &format!("{id} becoming {state}"), async {
            loop {
                let now = match self.client.workspace(id).await {
                    Ok(workspace) => workspace.state,
                    Err(error) if error.kind() == ErrorKind::NotFound => WorkspaceState::Deleted,
                    Err(error) => return Err(error.into()),
                };
                anyhow::ensure!(now != WorkspaceState::Failed, "{id} failed");
                if now == state {
                    return Ok(());
                }
                deadline::pause(LOOK_AGAIN).await;
            }
        })
        .await
    }
}

/// Makes a repository with one commit.
pub(crate) fn repository(dir: &Path) -> Result<()> {
    std::fs::create_dir(dir)?;
    std::fs::write(dir.join("README"), "measured\n")?;
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.current_dir(dir).args([
            "-c",
            "user.name=bench",
            "-c",
            "user.email=bench@localhost",
        ]);
        let output = command.args(arguments).output().context("git")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        anyhow::ensure!(output.status.success(), "git {arguments:?}: {said}");
        Ok(())
    };
    git(&["init", "--quiet"])?;
    git(&["add", "."])?;
    git(&["commit", "--quiet", "--message", "one"])
}

/// Returns a field of `/proc/<pid>/<file>`, in KiB.
pub(crate) fn kib(pid: u32, file: &str, field: &str) -> Result<u64> {
    let path = Path::new("/proc").join(pid.to_string()).join(file);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()).context("no such field")?;
    Ok(number.parse()?)
}

/// Returns the processes that run a program's `part` below a directory.
pub(crate) fn processes(part: &str, below: &Path) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Gone since it was listed.
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let mut arguments = line.split(|byte| *byte == 0).skip(1);
        let mut is = |text: &OsStr| arguments.next() == Some(text.as_encoded_bytes());
        if is(OsStr::new(part)) && is(OsStr::new("--dir")) {
            let dir = arguments.next().unwrap_or_default();
            if dir.starts_with(below.as_os_str().as_encoded_bytes()) {
                found.push(pid);
            }
        }
    }
    Ok(found)
}
