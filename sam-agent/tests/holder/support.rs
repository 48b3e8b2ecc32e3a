//! A holder's process, and what a viewer of it sees.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use sam_agent::terminal::{ExecOutput, HolderClient, HolderConfig, TerminalOutput, TerminalReader};
use sam_agent::wire::{
    ExecEvent, ExecRequest, ExitStatus, OpenTerminal, TerminalEvent, TerminalInfo, TerminalSize,
};
use sam_core::{NodeId, WorkspaceId};
use tempfile::TempDir;

/// First argument of a holder's process; then its directory, node id and the agent.
pub(crate) const HOLDER_MODE: &str = "hold-for-test";
pub(crate) const WS: WorkspaceId = WorkspaceId::from_bits(7);
pub(crate) const KIB: usize = 1024;

/// The holder's process.
pub(crate) fn hold(words: &[std::ffi::OsString]) -> ExitCode {
    let node: NodeId = words[3].to_str().unwrap().parse().unwrap();
    let environment = vec![
        ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
        ("SECRET".into(), "must not be passed on".into()),
    ];
    let config = HolderConfig::new(&words[2], node)
        .with_agent_command(words[4..].to_vec())
        .with_environment(environment);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(sam_agent::terminal::run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::from(error.kind().exit_code())
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own deadline")]
pub(crate) async fn within<F: Future>(span: Duration, future: F) -> F::Output {
    tokio::time::timeout(span, future).await.expect("in time")
}

#[expect(clippy::disallowed_methods, reason = "polls for what cannot be awaited")]
pub(crate) async fn until(what: &str, mut ready: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if ready() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not in time: {what}");
}

/// A holder's process; ended with everything below it when dropped.
pub(crate) struct Holder {
    pub(crate) process: Child,
    pub(crate) dir: PathBuf,
    pub(crate) node: NodeId,
    pub(crate) client: HolderClient,
    _root: TempDir,
}

pub(crate) fn start(dir: &Path, node: NodeId, agent: &[&str]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .arg(HOLDER_MODE)
        .arg(dir)
        .arg(node.to_string())
        .args(agent)
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

impl Holder {
    pub(crate) async fn start(agent: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a-long-directory-name-".repeat(6));
        std::fs::create_dir(&dir).unwrap();
        let node = node_id();
        let process = start(&dir, node, agent);
        let client = HolderClient::new(&dir);
        let holder = Self { process, dir, node, client, _root: root };
        holder.ready().await;
        holder
    }

    pub(crate) async fn ready(&self) {
        let record = self.dir.join("holder.json");
        let pid = format!("\"pid\":{},", self.process.id());
        until("the holder's record", || {
            std::fs::read_to_string(&record).is_ok_and(|text| text.contains(&pid))
        })
        .await;
    }

    pub(crate) async fn open(&self, command: &[&str]) -> TerminalInfo {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let request = OpenTerminal { command, ..OpenTerminal::default() };
        self.client.open_terminal(WS, Path::new("/tmp"), &request).await.unwrap()
    }

    pub(crate) async fn exec(&self, command: &[&str]) -> sam_agent::terminal::ExecStream {
        self.client.exec(WS, Path::new("/tmp"), &exec_request(command)).await.unwrap()
    }

    /// Runs a command without input to its end.
    pub(crate) async fn output(&self, command: &[&str]) -> (Vec<u8>, Vec<u8>, ExecEvent) {
        let (mut reader, mut writer) = self.exec(command).await.split();
        // It may have ended by now.
        let _late = writer.eof().await;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        loop {
            match reader.next().await.unwrap().unwrap() {
                ExecOutput::Stdout(bytes) => out.extend_from_slice(&bytes),
                ExecOutput::Stderr(bytes) => err.extend_from_slice(&bytes),
                ExecOutput::Event(event) => {
                    assert_eq!(reader.next().await.unwrap(), None);
                    return (out, err, event);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.process), signal).unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        // A test may have stopped it.
        self.signal(Signal::CONT);
        self.process.wait().unwrap();
        let left = marked("SAM_NODE_ID", &self.node.to_string());
        if !std::thread::panicking() {
            assert_eq!(left, Vec::<i32>::new(), "the holder leaves nothing behind");
        }
    }
}

fn node_id() -> NodeId {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    NodeId::from_bits((u128::from(std::process::id()) << 64) | u128::from(number))
}

pub(crate) fn exec_request(command: &[&str]) -> ExecRequest {
    ExecRequest {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        env: Vec::new(),
        directory: None,
    }
}

/// Returns the processes alive whose environment has this variable.
pub(crate) fn marked(name: &str, value: &str) -> Vec<i32> {
    let wanted = format!("{name}={value}");
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    })
    .collect()
}

pub(crate) fn alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().starts_with(" Z"))
}

/// What a viewer saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) first: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) exit: Option<ExitStatus>,
    pub(crate) gap: Option<(u64, u64)>,
    pub(crate) sizes: Vec<TerminalSize>,
}

impl Seen {
    pub(crate) fn end(&self) -> u64 {
        self.first + self.bytes.len() as u64
    }
}

/// Reads until `enough`, checking that offsets have neither holes nor overlaps.
pub(crate) async fn watch(reader: &mut TerminalReader, enough: impl Fn(&Seen) -> bool) -> Seen {
    let mut seen =
        Seen { first: u64::MAX, bytes: Vec::new(), exit: None, gap: None, sizes: Vec::new() };
    while !enough(&seen) {
        match reader.next().await.unwrap() {
            None => return seen,
            Some(TerminalOutput::Event(TerminalEvent::Attached { offset, .. })) => {
                seen.first = offset;
            }
            Some(TerminalOutput::Event(TerminalEvent::Gap { from, to })) => {
                seen.gap = Some((from, to));
            }
            Some(TerminalOutput::Event(TerminalEvent::Resized(size))) => seen.sizes.push(size),
            Some(TerminalOutput::Event(TerminalEvent::Exit { status })) => {
                seen.exit = Some(status);
            }
            Some(TerminalOutput::Bytes { offset, bytes }) => {
                if seen.first == u64::MAX {
                    seen.first = offset;
                }
                assert_eq!(offset, seen.end(), "no hole and nothing twice");
                seen.bytes.extend_from_slice(&bytes);
            }
            Some(other) => panic!("{other:?}"),
        }
    }
    seen
}

pub(crate) fn has(text: &'static str) -> impl Fn(&Seen) -> bool {
    move |seen| seen.bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

pub(crate) fn to_the_end(seen: &Seen) -> bool {
    seen.exit.is_some()
}

/// All byte values, in an order that shows a piece lost or moved.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let wave = (0..=255_u8).cycle();
    let bytes = wave.enumerate().map(|(at, byte)| if at % 1_009 == 0 { 7 } else { byte });
    bytes.take(length).collect()
}

/// Lines of a given number as `seq` prints them on a raw terminal.
pub(crate) fn lines(count: usize) -> Vec<u8> {
    (1..=count).flat_map(|number| format!("{number}\n").into_bytes()).collect()
}
