//! A directory for one test, with a home, a data directory and repositories; and the look at what
//! the test left there.

use std::any::Any;
use std::ffi::OsStr;
use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use futures_util::FutureExt as _;
use libtest_mimic::Failed;
use rustix::process::Signal;
use sam_api::{Client, Target, Workspace};
use serde_json::Value;
use tokio::process::Command;

use crate::deadline::{LIMIT, eventually, until, within};
use crate::processes::{self, Process, Role};

/// How long a daemon may take to end.
const END_WITHIN: Duration = Duration::from_secs(20);
/// Lines of a daemon's log that a failed test shows.
const LOG_LINES: usize = 60;

/// Everything of one test.
pub(crate) struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("sam-e2e-").tempdir().expect("a directory");
        let home = dir.path().join("home");
        fs::create_dir(&home).expect("a home");
        let config = "[user]\n\tname = Test\n\temail = test@example.org\n[init]\n\tdefaultBranch = main\n\
                      [gc]\n\tauto = 0\n[safe]\n\tdirectory = *\n";
        fs::write(home.join(".gitconfig"), config).expect("a configuration of git");
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// A program in this home's environment, and nothing else of ours in it.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.path().join("home"))
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("SHELL", "/bin/sh")
            .env("SAM_DATA_DIR", self.data())
            .current_dir(self.path())
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn sam(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_sam"));
        command.args(arguments);
        command
    }

    /// Runs `sam` to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let what = format!("sam {arguments:?}");
        within(&what, LIMIT, self.sam(arguments).output()).await.expect("sam starts")
    }

    /// Runs `sam`, which must succeed, and returns what it printed.
    pub(crate) async fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(output.status.success(), "sam {arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).expect("text")
    }

    /// A client of the daemon.
    pub(crate) fn client(&self) -> Client {
        let socket = self.data().join("daemon.sock");
        Client::new(Target::Unix(socket), None).expect("a client")
    }

    /// Makes a workspace that stays, and returns it.
    pub(crate) async fn up(&self, repo: &Path, name: &str) -> Workspace {
        let repo = repo.to_str().expect("UTF-8");
        self.done(&["up", repo, "--no-attach", "--name", name]).await;
        self.client().workspace(name).await.expect("it was just made")
    }

    pub(crate) fn processes(&self) -> Vec<Process> {
        processes::of(self.path())
    }

    pub(crate) fn those(&self, role: Role) -> Vec<Process> {
        self.processes().into_iter().filter(|process| process.role == role).collect()
    }

    /// The one process of a role, once it runs.
    pub(crate) async fn one(&self, role: Role) -> Process {
        eventually("the process runs", async || self.those(role).pop()).await
    }

    /// Kills the daemon and waits until it is gone.
    pub(crate) async fn kill_daemon(&self) {
        let daemon = self.one(Role::Daemon).await;
        daemon.kill();
        eventually("the daemon is gone", async || (!processes::runs(daemon.pid)).then_some(()))
            .await;
    }

    /// The directories of nodes that exist.
    pub(crate) fn node_directories(&self) -> Vec<String> {
        let entries = fs::read_dir(self.data().join("nodes")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| ![".lock", ".id"].contains(&name.as_str())).collect()
    }

    /// Runs git, which must succeed, and returns what it printed.
    pub(crate) async fn git(&self, repo: &Path, arguments: &[&str]) -> String {
        let mut command = self.command("git");
        command.arg("-C").arg(repo).args(arguments);
        let output = within("git", LIMIT, command.output()).await.expect("git starts");
        assert!(output.status.success(), "git {arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }

    /// A repository with one commit.
    pub(crate) async fn repo(&self) -> PathBuf {
        self.repo_named("repo", 1).await
    }

    /// A repository with so many files in one commit.
    pub(crate) async fn repo_named(&self, name: &str, files: usize) -> PathBuf {
        let repo = self.path().join(name);
        fs::create_dir(&repo).expect("a directory");
        self.git(&repo, &["init", "-q"]).await;
        for number in 0..files {
            let place = repo.join(format!("d{:02}", number / 100));
            fs::create_dir_all(&place).expect("a directory");
            fs::write(place.join(format!("f{number}")), format!("{number}\n")).expect("a file");
        }
        self.git(&repo, &["add", "."]).await;
        self.git(&repo, &["commit", "-qm", "first"]).await;
        repo
    }

    /// Ends what runs and says what was left that should not have been.
    async fn close(&self) -> Vec<String> {
        for daemon in self.those(Role::Daemon) {
            processes::signal(daemon.pid, Signal::TERM);
        }
        let mut left = Vec::new();
        let ended = async || self.those(Role::Daemon).is_empty().then_some(());
        if until(END_WITHIN, ended).await.is_none() {
            left.push("the daemon does not end".to_owned());
        }
        // Holders first, or they start their agents again.
        let mut processes = self.processes();
        left.extend(processes.iter().map(|process| format!("process {process:?}")));
        processes.sort_by_key(|process| process.role != Role::Holder);
        processes.iter().for_each(Process::kill);
        let killed =
            async || self.processes().iter().map(Process::kill).next().is_none().then_some(());
        if until(END_WITHIN, killed).await.is_none() {
            left.push("processes that do not end".to_owned());
        }
        left.extend(self.node_directories().into_iter().map(|name| format!("directory {name}")));
        left.extend(self.wrong_records());
        left
    }

    /// Looks at the database itself: every record must be deleted, and no node may have a control
    /// group any more.
    fn wrong_records(&self) -> Vec<String> {
        let path = self.data().join("sam.db");
        if !path.is_file() {
            return Vec::new();
        }
        let database = rusqlite::Connection::open(path).expect("the database opens");
        let check: String = database
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .expect("the database is checked");
        let mut wrong: Vec<String> =
            (check != "ok").then(|| format!("integrity check: {check}")).into_iter().collect();
        // A database that was refused before its first use has no tables.
        let Ok(mut rows) = database.prepare("SELECT kind, id, body FROM record") else {
            return wrong;
        };
        let rows = rows
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .expect("records are listed");
        for row in rows {
            let (kind, id, body): (String, String, String) = row.expect("a record");
            let body: Value = serde_json::from_str(&body).expect("JSON");
            let state = body.get("state").and_then(Value::as_str);
            if ["workspace", "node"].contains(&kind.as_str()) && state != Some("deleted") {
                wrong.push(format!("record {kind} {id} is {state:?}: {body}"));
            }
            for mount in ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"] {
                let group = Path::new(mount).join(format!("sam-{id}"));
                if group.exists() {
                    wrong.push(format!("control group {}", group.display()));
                    // Empty by now; it is told all the same.
                    let _removed = fs::remove_dir(group);
                }
            }
        }
        wrong
    }

    fn log(&self) -> String {
        let text = fs::read_to_string(self.data().join("daemon.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

/// What a program said, for messages of failed tests.
pub(crate) fn said(output: &Output) -> String {
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().take(4_000).collect::<String>();
    format!("{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Asserts how a command failed: its status, and words of its message and its hint.
pub(crate) fn assert_failed(output: &Output, status: i32, words: &[&str]) {
    assert_eq!(output.status.code(), Some(status), "{}", said(output));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("hint: "), "no hint: {told}");
    for word in words {
        assert!(told.contains(word), "{word:?} is missing: {told}");
    }
}

/// Runs a test in a home of its own, and fails it for what it leaves behind.
pub(crate) fn with_home(test: impl AsyncFnOnce(&Home)) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failed::from)?;
    let home = Home::new();
    runtime.block_on(async {
        let outcome = AssertUnwindSafe(test(&home)).catch_unwind().await;
        let left = home.close().await;
        match outcome {
            Ok(()) if left.is_empty() => Ok(()),
            Ok(()) => Err(format!("left behind: {left:#?}\n{}", home.log()).into()),
            Err(panic) => {
                let why = text_of(&*panic);
                Err(format!("{why}\nleft behind: {left:#?}\n{}", home.log()).into())
            }
        }
    })
}

/// Shows that the look at the end sees what it is there for.
pub(crate) fn seeing() -> Vec<libtest_mimic::Trial> {
    let sees = || {
        let outcome = with_home(async |home| {
            let repo = home.repo().await;
            home.up(&repo, "a").await;
        });
        let told = outcome.err().and_then(|failed| failed.message().map(str::to_owned));
        let told = told.expect("what was left behind was not seen");
        for word in ["process Process", "role: Holder", "directory nd-", "record workspace ws-"] {
            assert!(told.contains(word), "{word:?} is missing: {told}");
        }
        Ok(())
    };
    vec![trial("tests::home::what_is_left_behind_fails_a_test", sees)]
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// The tests of a module, by their names.
macro_rules! trials {
    ($($name:ident,)*) => {
        crate::home::trials! { fn trials, $($name,)* }
    };
    (fn $all:ident, $($name:ident,)*) => {
        pub(crate) fn $all() -> Vec<libtest_mimic::Trial> {
            vec![$(crate::home::trial(
                concat!(module_path!(), "::", stringify!($name)),
                || crate::home::with_home(async |home| $name(home).await),
            )),*]
        }
    };
}
pub(crate) use trials;

/// A test that cannot be made here: skipped by name, or a failure where everything must be there
/// (`SAM_REQUIRE_PEERS=1`, which `.ci/run` sets).
pub(crate) fn skipped(name: &str, why: &str) -> libtest_mimic::Trial {
    #[expect(clippy::disallowed_methods, reason = "a test is told by it what must be there")]
    let required = std::env::var_os("SAM_REQUIRE_PEERS").is_some_and(|value| value == "1");
    let name = format!("{name}: skipped, {why}");
    let message = name.clone();
    libtest_mimic::Trial::test(name, move || Err(message.into())).with_ignored_flag(!required)
}

/// A test with the name of its module, without that of the program.
pub(crate) fn trial(
    name: &str,
    run: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> libtest_mimic::Trial {
    let name = name.split_once("::").map_or(name, |(_, name)| name);
    libtest_mimic::Trial::test(name, run)
}
