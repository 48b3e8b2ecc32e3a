//! A PostgreSQL of one test's own, so that it can be restarted without disturbing the other tests.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::deadline::{LIMIT, pause, until};
use crate::processes;

/// Where packages put the server's programs, a directory for each version.
const PACKAGED: &str = "/usr/lib/postgresql";
/// The server refuses to run as root; its packages bring this user for it.
const USER: &str = "postgres";
/// The first port that is tried. The system gives clients their ports from 32768 on: there, a client
/// could get the port of a server that is down for a moment, and keep it.
const PORT_MIN: u16 = 20_000;
const PORTS: u16 = 12_000;

/// A server that runs until this is dropped.
pub(super) struct Cluster {
    programs: PathBuf,
    port: u16,
    server: Child,
    dir: TempDir,
}

/// How a server is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Clients are cut off and their transactions taken back.
    Fast,
    /// As a crash: the next start recovers from the log.
    Immediate,
}

/// Finds the programs that make and run a cluster, the newest where there are several.
pub(super) fn programs() -> Result<PathBuf, String> {
    let versions = fs::read_dir(PACKAGED).into_iter().flatten().flatten();
    let mut packaged: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    packaged.sort();
    let usual = ["/usr/local/bin", "/usr/bin"].map(PathBuf::from);
    let mut places = packaged.into_iter().rev().map(|(_, place)| place).chain(usual);
    let whole =
        |place: &PathBuf| ["initdb", "postgres"].iter().all(|name| place.join(name).exists());
    places.find(whole).ok_or_else(|| "no PostgreSQL to start (initdb)".to_owned())
}

/// Finds a port that nobody listens on and that no client is given by the system.
pub(super) fn free_port(number: u16) -> u16 {
    // Tests that run at the same time begin at different places.
    let own = u16::try_from(std::process::id() % u32::from(PORTS)).expect("small");
    let candidates = (0..PORTS).map(|step| PORT_MIN + (own + number * 7 + step) % PORTS);
    let mut free =
        candidates.filter(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("a free port")
}

impl Cluster {
    /// Makes a cluster and starts it.
    pub(super) async fn start(programs: PathBuf) -> Self {
        let dir = tempfile::Builder::new().prefix("sam-pg-").tempdir().expect("a directory");
        if is_root() {
            let chown = Command::new("chown").arg(USER).arg(dir.path()).status();
            assert!(chown.expect("chown starts").success(), "there is no user {USER}");
        }
        let mut initdb = command(&programs.join("initdb"), dir.path());
        initdb.args(["-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]);
        let made = initdb.arg(dir.path().join("data")).output().expect("initdb starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = free_port(0);
        let server = run(&programs, dir.path(), port);
        let cluster = Self { programs, port, server, dir };
        cluster.answers().await;
        cluster
    }

    pub(super) fn url(&self) -> String {
        format!("postgresql://{USER}@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// Ends the server, starts it again after a pause and waits until it answers.
    pub(super) async fn restart(&mut self, ending: Ending, down: Duration) {
        self.signal(match ending {
            Ending::Fast => Signal::INT,
            Ending::Immediate => Signal::QUIT,
        });
        let ended = until(LIMIT, async || self.server.try_wait().expect("a child")).await;
        assert!(ended.is_some(), "PostgreSQL does not end: {}", self.log());
        pause(down).await;
        self.server = run(&self.programs, self.dir.path(), self.port);
        self.answers().await;
    }

    /// Connects beside the servers under test.
    pub(super) async fn connect(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    async fn answers(&self) {
        let answer = until(LIMIT, async || self.connect().await.ok()).await;
        assert!(answer.is_some(), "PostgreSQL does not answer: {}", self.log());
    }

    fn signal(&self, signal: Signal) {
        processes::signal(i32::try_from(self.server.id()).expect("a pid"), signal);
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Cluster {
    /// Ends it at once; the server kills what does not end within five seconds by itself.
    fn drop(&mut self) {
        if let Ok(None) = self.server.try_wait() {
            self.signal(Signal::QUIT);
            let _status = self.server.wait();
        }
    }
}

fn run(programs: &Path, dir: &Path, port: u16) -> Child {
    let log = File::options().create(true).append(true).open(dir.join("log")).expect("a log");
    let mut server = command(&programs.join("postgres"), dir);
    server.arg("-D").arg(dir.join("data")).arg("-k").arg(dir).args(["-p", &port.to_string()]);
    server.args(["-c", "listen_addresses=127.0.0.1"]);
    server.stdout(log.try_clone().expect("a log")).stderr(log);
    server.spawn().expect("PostgreSQL starts")
}

/// A program that runs as a user whom the server accepts.
fn command(program: &Path, dir: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        let to_user = [format!("--reuid={USER}"), format!("--regid={USER}")];
        command.args(to_user).arg("--clear-groups").arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(dir).stdin(Stdio::null());
    command
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
