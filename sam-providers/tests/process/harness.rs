//! A provider over an empty directory, and looks at what it left.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use libtest_mimic::Failed;
use sam_core::compute::{BootData, ComputeProvider, CreateMachine, Labels, MachineKey};
use sam_core::testkit::conformance::compute::ComputeHarness;
use sam_core::time::Clock as _;
use sam_core::{NodeId, Secret};
use sam_providers::process::{ProcessCompute, ProcessConfig};
use sam_providers::system::{OsEntropy, SystemClock};

/// Longest wait for anything in these tests.
const PATIENCE: Duration = Duration::from_secs(20);

/// A directory that holds a provider's machines and goes with the test.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) compute: Arc<ProcessCompute>,
    /// Every key that was ever asked for.
    keys: Mutex<Vec<String>>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let compute = Arc::new(ProcessCompute::new(Self::config(dir.path().join("nodes"))));
        Self { dir, compute, keys: Mutex::default() }
    }

    pub(crate) fn config(root: PathBuf) -> ProcessConfig {
        let program = std::env::current_exe().expect("this program has a path");
        ProcessConfig::new(root, vec![program.into(), "fake-node".into()])
            .with_environment(vec![("PATH".into(), "/usr/bin:/bin".into())])
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("nodes")
    }

    pub(crate) fn machine_dir(&self, key: &MachineKey) -> PathBuf {
        self.root().join(key.as_str())
    }

    /// Has the holder run a shell script, in its environment.
    pub(crate) fn tell(&self, key: &MachineKey, script: &str) {
        let socket = self.machine_dir(key).join("holder.sock");
        let mut stream = UnixStream::connect(socket).expect("the holder listens");
        writeln!(stream, "{script}").expect("the holder reads");
    }

    /// Returns the holder's pid.
    pub(crate) fn holder_pid(&self, key: &MachineKey) -> i32 {
        let text = fs::read_to_string(self.machine_dir(key).join("holder.lock"));
        text.expect("a holder").parse().expect("a pid")
    }

    /// Waits until a script has written a whole pid into a file of the machine.
    pub(crate) async fn pid_in(&self, key: &MachineKey, name: &str) -> i32 {
        let path = self.machine_dir(key).join(name);
        let mut pid = None;
        eventually("a script writes its pid", || {
            let text = fs::read_to_string(&path).unwrap_or_default();
            pid = text.strip_suffix('\n').and_then(|text| text.parse().ok());
            pid.is_some()
        })
        .await;
        pid.expect("just seen")
    }
}

#[async_trait]
impl ComputeHarness for Home {
    fn compute(&self) -> &dyn ComputeProvider {
        &*self.compute
    }

    fn request(&self) -> CreateMachine {
        let node = NodeId::new(SystemClock::new().now(), &OsEntropy::new());
        self.keys.lock().expect("no test panicked here").push(node.to_string());
        let url = format!("unix:{}", self.dir.path().join("control.sock").display());
        let boot = BootData::new(node, url, Secret::new("single-use".to_owned()));
        let labels = Labels::default().with(Labels::INSTALLATION, "test").expect("a legal label");
        CreateMachine::new(MachineKey::of(node), boot).with_labels(labels)
    }

    async fn pause(&self) {
        pause().await;
    }
}

pub(crate) async fn pause() {
    let clock = SystemClock::new();
    clock.sleep_until(clock.monotonic() + Duration::from_millis(10)).await;
}

/// Waits until something holds, or fails.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    let deadline = clock.monotonic() + PATIENCE;
    while !holds() {
        assert!(clock.monotonic() < deadline, "waited in vain until {what}");
        pause().await;
    }
}

/// Returns whether a process runs; a zombie does not.
pub(crate) fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// Returns the processes that run and whose environment or directory says they are of this home.
fn leftovers(home: &Home, keys: &[String]) -> Vec<i32> {
    let marks: Vec<String> = keys.iter().map(|key| format!("SAM_NODE_ID={key}")).collect();
    let entries = fs::read_dir("/proc").expect("processes can be listed");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid: &i32| runs(pid))
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let marked = environment
                .split(|&byte| byte == 0)
                .any(|entry| marks.iter().any(|mark| mark.as_bytes() == entry));
            let inside = fs::read_link(format!("/proc/{pid}/cwd"))
                .is_ok_and(|cwd| cwd.starts_with(home.dir.path()));
            marked || inside
        })
        .collect()
}

/// Runs a test over an empty home and fails when it leaves a process or a directory.
pub(crate) fn with_home(test: impl AsyncFnOnce(&Home) -> Result<(), Failed>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failed::from)?;
    let home = Home::new();
    // A failed assertion must not keep what the test started.
    let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(test(&home))));
    let keys = home.keys.lock().expect("no test panicked here").clone();
    let mut directories: Vec<String> = Vec::new();
    if let Ok(entries) = fs::read_dir(home.root()) {
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        directories.extend(names.filter(|name| name != ".lock"));
    }
    let running = leftovers(&home, &keys);
    let group = |mount: &str, key: &String| Path::new(mount).join(format!("sam-{key}"));
    let groups: Vec<PathBuf> = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]
        .iter()
        .flat_map(|mount| keys.iter().map(|key| group(mount, key)))
        .filter(|group| group.exists())
        .collect();
    for pid in &running {
        // Only to leave nothing behind; the test fails all the same.
        if let Some(pid) = rustix::process::Pid::from_raw(*pid) {
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    match outcome {
        Ok(outcome) => outcome?,
        Err(panic) => resume_unwind(panic),
    }
    if directories.is_empty() && running.is_empty() && groups.is_empty() {
        return Ok(());
    }
    Err(format!("left behind: {directories:?}, processes {running:?}, {groups:?}").into())
}
