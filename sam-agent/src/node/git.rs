//! The system's `git`, with an environment of our own and an end that always comes.
//!
//! A credential reaches git only when git asks for it: from the helper that asks the control plane,
//! or through variables of that one process; it is in no argument, no URL and no file (I8). Dropping the future ends git and its helpers.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use sam_core::{Error, ErrorKind, Result};

use crate::deadline;
use crate::git_credential::{SOCKET_VARIABLE, config, config_variables};
use crate::wire::WireCredential;

/// How long one run of git may take.
const RUN_DEADLINE: Duration = Duration::from_mins(30);
/// How long the output of a git that has ended is waited for: a helper may keep it open.
const OUTPUT_GRACE: Duration = Duration::from_secs(1);
const STDOUT_BYTES_MAX: usize = 4_096;
/// How much of the end of git's messages is kept.
const STDERR_BYTES_MAX: usize = 1_024;

/// Prints what the two variables hold when git asks for a credential, and keeps nothing.
const HELPER: &str = "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \
                      \"$SAM_GIT_USERNAME\" \"$SAM_GIT_PASSWORD\"; }; f";

/// A program and the environment it is started in.
#[derive(Debug, Clone)]
pub(super) struct Git {
    pub(super) program: OsString,
    pub(super) environment: Vec<(OsString, OsString)>,
    helper: Option<Helper>,
}

/// The program that git asks for credentials, and the socket through which it asks.
#[derive(Debug, Clone)]
struct Helper {
    program: OsString,
    socket: PathBuf,
}

/// A credential and the only place it may be sent to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Login<'a> {
    /// Scheme and host, such as `https://example.org`.
    pub(super) origin: &'a str,
    pub(super) credential: &'a WireCredential,
}

/// How a run of git ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    /// The last lines of its messages, without the password.
    pub(super) stderr: String,
}

impl Ended {
    pub(super) const fn succeeded(&self) -> bool {
        matches!(self.code, Some(0))
    }
}

impl Git {
    /// Takes a program and its environment, without a helper.
    pub(super) const fn new(program: OsString, environment: Vec<(OsString, OsString)>) -> Self {
        Self { program, environment, helper: None }
    }

    /// Has git ask this helper for credentials.
    #[must_use]
    pub(super) fn with_helper(mut self, program: OsString, socket: PathBuf) -> Self {
        self.helper = Some(Helper { program, socket });
        self
    }

    /// Returns whether it may be given another credential when it is run again.
    pub(super) const fn has_helper(&self) -> bool {
        self.helper.is_some()
    }

    /// Runs git in a directory.
    ///
    /// # Errors
    /// `Unavailable` when there is no such program or it cannot be started; `Timeout` after half
    /// an hour.
    pub(super) async fn run<'a>(
        &self,
        directory: &Path,
        login: Option<Login<'a>>,
        arguments: &[&'a OsStr],
    ) -> Result<Ended> {
        let mut child = self.spawn(directory, login, arguments)?;
        // Declared after the child, so that it goes first: while the child is not reaped, nobody
        // else has its number.
        let mut group = Group::of(&child);
        let (mut stdout, mut stderr) = (Tail::new(STDOUT_BYTES_MAX), Tail::new(STDERR_BYTES_MAX));
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let status = {
            let reading = async { tokio::join!(stdout.fill(out), stderr.fill(err)) };
            let mut reading = std::pin::pin!(reading);
            let run = async {
                tokio::select! {
                    biased;
                    ((), ()) = &mut reading => child.wait().await,
                    status = child.wait() => {
                        // What is late is not worth waiting for.
                        drop(deadline::within(OUTPUT_GRACE, &mut reading).await);
                        status
                    }
                }
            };
            deadline::within(RUN_DEADLINE, run)
                .await
                .map_err(|_| Error::new(ErrorKind::Timeout, "git did not end within 30 minutes"))?
        };
        let status = status.map_err(cannot_start)?;
        group.disarm();
        let stderr = hide(stderr.into_text(), login);
        Ok(Ended { code: status.code(), stdout: stdout.into_text(), stderr })
    }

    fn spawn(
        &self,
        directory: &Path,
        login: Option<Login<'_>>,
        arguments: &[&OsStr],
    ) -> Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(directory).env_clear();
        let inherited = self.environment.iter();
        command
            .envs(inherited.filter(|(name, _)| !is_gits(name)).map(|(name, value)| (name, value)));
        command
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            // Nobody sits in front of it: every question fails at once instead of hanging.
            .env("GIT_ASKPASS", "")
            .env("SSH_ASKPASS", "false")
            .env("SSH_ASKPASS_REQUIRE", "force");
        // Housekeeping would outlive the run.
        let mut settings: Vec<(String, OsString)> = vec![
            ("gc.auto".to_owned(), "0".into()),
            ("maintenance.auto".to_owned(), "false".into()),
        ];
        if let Some(login) = login {
            let key = format!("credential.{}.helper", login.origin);
            settings.extend([(key.clone(), OsString::new()), (key, HELPER.into())]);
            command
                .env("SAM_GIT_USERNAME", &login.credential.username)
                .env("SAM_GIT_PASSWORD", &login.credential.password);
        } else if let Some(helper) = &self.helper {
            let ours = config(&helper.program).into_iter();
            settings.extend(ours.map(|(key, value)| (key.to_owned(), value)));
            command.env(SOCKET_VARIABLE, &helper.socket);
        }
        command.envs(config_variables(&settings));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(cannot_start)
    }
}

fn is_gits(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"GIT_")
}

fn cannot_start(error: io::Error) -> Error {
    let missing = error.kind() == io::ErrorKind::NotFound;
    let text = if missing { "the node has no `git` program" } else { "git could not be run" };
    Error::new(ErrorKind::Unavailable, text)
        .with_hint("install git on the node and see that it is in the agent's PATH")
        .with_source(error)
}

/// Replaces the password, should git or a helper have printed it.
fn hide(text: String, login: Option<Login<'_>>) -> String {
    match login {
        Some(login) if !login.credential.password.is_empty() => {
            text.replace(&login.credential.password, "***")
        }
        _ => text,
    }
}

/// Ends git and what it started, unless it has ended by itself.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0
            && let Err(error) = kill_process_group(group, Signal::KILL)
        {
            tracing::debug!(%error, "git had ended already");
        }
    }
}

/// The last bytes of a stream.
struct Tail {
    bytes: Vec<u8>,
    limit: usize,
}

impl Tail {
    const fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit }
    }

    async fn fill(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut buffer = [0; 1_024];
        // A pipe that breaks is at its end.
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            self.bytes.extend_from_slice(&buffer[..length]);
            let excess = self.bytes.len().saturating_sub(self.limit);
            self.bytes.drain(..excess);
        }
    }

    /// The text as lines without control characters: it ends up in errors and records, and git
    /// draws progress with them.
    fn into_text(self) -> String {
        let text = String::from_utf8_lossy(&self.bytes).into_owned();
        let lines = text.split(['\n', '\r']).map(|line| {
            line.chars().filter(|c| !c.is_control() && *c != char::REPLACEMENT_CHARACTER).collect()
        });
        let lines: Vec<String> = lines.filter(|line: &String| !line.trim().is_empty()).collect();
        lines.join("\n").trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> Vec<(OsString, OsString)> {
        // Cargo gives the tests the PATH it was built with.
        let path = option_env!("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin");
        vec![
            ("PATH".into(), path.into()),
            ("GIT_DIR".into(), "/nonexistent".into()),
            ("HOME".into(), "/nonexistent".into()),
        ]
    }

    fn git(program: &str) -> Git {
        Git::new(program.into(), path())
    }

    #[tokio::test]
    async fn inherited_git_variables_do_not_reach_git() {
        let here = tempfile::tempdir().unwrap();
        // With GIT_DIR set, `git init` would make the repository there and fail.
        let ended = git("git").run(here.path(), None, &["init".as_ref(), "-q".as_ref()]).await;
        assert!(ended.unwrap().succeeded());
        assert!(here.path().join(".git").is_dir());
    }

    #[tokio::test]
    async fn a_missing_program_says_what_to_install() {
        let error = git("git-that-is-not").run(Path::new("/"), None, &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.hint().unwrap().contains("install git"));
    }

    #[tokio::test]
    async fn a_credential_is_given_to_its_own_host_alone_and_hidden_in_messages() {
        let credential = WireCredential { username: "u".into(), password: "pa$$'\"x".into() };
        let login = Login { origin: "https://example.org", credential: &credential };
        let here = tempfile::tempdir().unwrap();
        for (host, expected) in [("example.org", Some("u")), ("example.com", None)] {
            // `git credential fill` reads its question from standard input, which we close; the
            // helper is asked through the configuration instead.
            let key = format!("https://{host}/x.git");
            let arguments = ["config", "--get-urlmatch", "credential.helper", key.as_str()];
            let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
            let ended = git("git").run(here.path(), Some(login), &arguments).await.unwrap();
            assert_eq!(ended.stdout.is_empty(), expected.is_none(), "{host}: {ended:?}");
        }
        let shell = git("sh");
        let script = format!("f() {{ {}; }}; f get; f get >&2", HELPER.trim_start_matches('!'));
        let script = script.replace("; f; }", "; f get; }");
        let arguments: [&OsStr; 2] = ["-c".as_ref(), script.as_ref()];
        let ended = shell.run(here.path(), Some(login), &arguments).await.unwrap();
        assert!(ended.stdout.contains("password=pa$$'\"x"), "{ended:?}");
        assert!(ended.stderr.contains("password=***"), "{ended:?}");
    }

    #[tokio::test]
    async fn only_the_end_of_long_messages_is_kept() {
        let script = "i=0; while [ $i -lt 2000 ]; do echo line$i >&2; i=$((i+1)); done; exit 3";
        let shell = git("sh");
        let ended = shell.run(Path::new("/"), None, &["-c".as_ref(), script.as_ref()]).await;
        let ended = ended.unwrap();
        assert_eq!(ended.code, Some(3));
        assert!(ended.stderr.len() <= STDERR_BYTES_MAX && ended.stderr.ends_with("line1999"));
    }
}
