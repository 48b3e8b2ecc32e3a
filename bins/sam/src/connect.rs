//! Reaching a server: the one at `--server`, or the data directory's daemon, which is started
//! when there is none.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{ChildStdout, Command};

use sam_api::{Client, DAEMON_READY_LINE, Health, StartFailure, Target};
use sam_core::{Effect, Error, ErrorKind, Result};

use crate::config::{self, Settings, TOKEN_VARIABLE};
use crate::deadline;
use crate::failure::system;
use crate::output::Output;

/// Longest first line of a daemon, in bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// Pause between two attempts to reach a daemon that another process starts.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What every command needs.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) output: Output,
}

impl Context {
    pub(crate) const fn new(settings: Settings) -> Self {
        let output = Output::new(&settings);
        Self { settings, output }
    }

    /// Returns whether workspaces live on this machine.
    pub(crate) const fn is_local(&self) -> bool {
        self.settings.server.is_none()
    }

    /// Returns a client of the server, after starting the daemon where that is needed.
    pub(crate) async fn connect(&self) -> Result<Client> {
        let (client, version) = self.reach().await?;
        let own = env!("CARGO_PKG_VERSION");
        if let Some(version) = version.filter(|version| version != own) {
            self.output.remark(&format!(
                "sam: the daemon is version {version}, this is {own}; `sam daemon stop` lets the \
                 next command start the new one"
            ));
        }
        Ok(client)
    }

    /// Returns a client again after a connection broke, and tells nothing: the screen may belong
    /// to a program.
    pub(crate) async fn reconnect(&self) -> Result<Client> {
        Ok(self.reach().await?.0)
    }

    /// Returns a client, and the daemon's version where it is one.
    async fn reach(&self) -> Result<(Client, Option<String>)> {
        if let Some(url) = &self.settings.server {
            let client = Client::new(Target::Http(url.clone()), self.settings.token.clone())?;
            return Ok((client, None));
        }
        make_data_dir(&self.settings.data_dir)?;
        let client = self.local_client()?;
        let health = match client.health().await {
            Err(error) if nobody_listens(&error) => start(&self.settings.data_dir, &client).await?,
            other => other?,
        };
        Ok((client, Some(health.version)))
    }

    /// Returns a client of the daemon, or `None` when no daemon runs.
    pub(crate) async fn running_daemon(&self) -> Result<Option<Client>> {
        if !self.is_local() {
            return Err(Error::new(
                ErrorKind::BadInput,
                "a daemon has a data directory, not a URL",
            )
            .with_hint("leave --server and SAM_SERVER out"));
        }
        if !self.settings.data_dir.is_dir() {
            return Ok(None);
        }
        let client = self.local_client()?;
        match client.health().await {
            Ok(_) => Ok(Some(client)),
            Err(error) if nobody_listens(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn local_client(&self) -> Result<Client> {
        Client::new(Target::Unix(socket(&self.settings.data_dir)), None)
    }
}

/// Returns where the daemon of a data directory listens.
pub(crate) fn socket(data_dir: &Path) -> PathBuf {
    data_dir.join("daemon.sock")
}

/// Returns whether a failure means that no daemon runs.
pub(crate) fn nobody_listens(error: &Error) -> bool {
    error.kind() == ErrorKind::Unavailable && error.effect() == Effect::NotApplied
}

fn make_data_dir(data_dir: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(|cause| {
        system("the data directory cannot be made", cause)
            .with_context("data_dir", data_dir.display())
            .with_hint("choose another with --data-dir or SAM_DATA_DIR")
    })
}

fn open_log(data_dir: &Path) -> Result<File> {
    let path = log(data_dir);
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    opened.map_err(|cause| {
        system("the daemon's log cannot be opened", cause).with_context("log", path.display())
    })
}

fn log(data_dir: &Path) -> PathBuf {
    data_dir.join("daemon.log")
}

/// Starts a daemon and waits until it answers. Where another process was faster, that one's is
/// used; should that one end meanwhile, the next attempt starts one.
async fn start(data_dir: &Path, client: &Client) -> Result<Health> {
    let mut refusal = None;
    let starting = async {
        loop {
            refusal = launch(data_dir).await?;
            let answer = deadline::within(deadline::DAEMON_ANSWER, answering(client)).await;
            if let Some(answer) = answer {
                return answer;
            }
        }
    };
    let outcome = deadline::within(deadline::DAEMON_START, starting).await;
    let late = || Error::new(ErrorKind::Timeout, "the daemon was not ready within 15 seconds");
    outcome.unwrap_or_else(|| Err(refusal.unwrap_or_else(late))).map_err(|error| {
        let error = error.with_context("log", log(data_dir).display());
        match error.hint() {
            Some(_) => error,
            None => error.with_hint("the log says more"),
        }
    })
}

/// Starts a daemon and waits for its first line. Returns its refusal where another process holds
/// the directory, which may be a daemon that is about to answer.
async fn launch(data_dir: &Path) -> Result<Option<Error>> {
    let program =
        config::current_exe().map_err(|cause| system("sam cannot find its own program", cause))?;
    let mut child = Command::new(program)
        .arg("--data-dir")
        .arg(data_dir)
        .args(["daemon", "run"])
        .env_remove(TOKEN_VARIABLE)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(open_log(data_dir)?)
        .spawn()
        .map_err(|cause| system("the daemon cannot be started", cause))?;
    let line = first_line(child.stdout.take()).await?;
    if line == DAEMON_READY_LINE {
        return Ok(None);
    }
    match serde_json::from_str::<StartFailure>(&line) {
        Ok(failure) if failure.to_error().kind() == ErrorKind::Conflict => {
            Ok(Some(failure.to_error()))
        }
        Ok(failure) => Err(failure.to_error()),
        Err(_) => Err(Error::new(ErrorKind::Unavailable, "the daemon ended at once")),
    }
}

/// Waits until somebody listens.
async fn answering(client: &Client) -> Result<Health> {
    loop {
        match client.health().await {
            Err(error) if nobody_listens(&error) => deadline::pause(LOOK_AGAIN).await,
            other => return other,
        }
    }
}

async fn first_line(stdout: Option<ChildStdout>) -> Result<String> {
    let mut line = String::new();
    if let Some(stdout) = stdout {
        let mut reader = BufReader::new(stdout.take(LINE_BYTES_MAX));
        reader
            .read_line(&mut line)
            .await
            .map_err(|cause| system("the daemon's first line cannot be read", cause))?;
    }
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Global;

    fn context(data_dir: &Path) -> Context {
        let options = Global { data_dir: Some(data_dir.to_owned()), ..Global::default() };
        let mut settings = config::settings(&options).unwrap();
        settings.server = None;
        Context::new(settings)
    }

    #[tokio::test]
    async fn no_daemon_is_told_from_one_that_is_in_trouble() {
        let dir = tempfile::tempdir().unwrap();
        let context = context(dir.path());
        assert!(context.running_daemon().await.unwrap().is_none());
        // A socket nobody listens on any more, as after kill -9.
        drop(std::os::unix::net::UnixListener::bind(socket(dir.path())).unwrap());
        assert!(context.running_daemon().await.unwrap().is_none());
        // A listener that hangs up at once: something runs there.
        std::fs::remove_file(socket(dir.path())).unwrap();
        let listener = tokio::net::UnixListener::bind(socket(dir.path())).unwrap();
        let hang_up = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(stream);
            }
        });
        let error = context.running_daemon().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(!nobody_listens(&error));
        hang_up.abort();
    }

    #[test]
    fn the_data_directory_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("a/b");
        make_data_dir(&data_dir).unwrap();
        make_data_dir(&data_dir).unwrap();
        let mode = std::fs::metadata(&data_dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let error = make_data_dir(Path::new("/dev/null/x")).unwrap_err();
        assert!(error.hint().is_some());
    }
}
