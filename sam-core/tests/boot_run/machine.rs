//! A machine that is a directory: the files of rendered boot data are put below it, and the boot program
//! runs there as it would on a machine. The system's own programs are scripts that write down how
//! they were called; Python, HTTP, checksums and openssl are real.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use sam_core::auth::BootReportKey;
use sam_core::boot::{
    AgentRelease, Arch, BootPlan, BootSettings, Docker, Download, PhaseState, SwapSize, UserData,
};
use sam_core::compute::BootData;
use sam_core::keys::{Ed25519Signer, Signer as _};
use sam_core::{NodeId, Secret};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::server::{Answer, Heard, Script, Server};

pub(crate) const TOKEN: &str = "canary-'$(id)`-of-the-token";
/// The agent: it leaves a mark where it runs.
pub(crate) const AGENT: &[u8] = b"#!/bin/sh\necho ran >\"$0.ran\"\n";

/// Programs of the system: what each does beside writing down how it was called.
const PROGRAMS: [(&str, &str); 10] = [
    ("apt-get", ""),
    ("docker", "echo journald"),
    ("dockerd", ""),
    ("git", ""),
    ("journalctl", "mkdir -p \"$root/var/log/journal\""),
    ("mkswap", ""),
    ("nft", "[ \"$1\" != list ] || cat \"$root/etc/sam/firewall.nft\""),
    ("swapon", ""),
    (
        "systemctl",
        "[ \"$*\" != 'restart sam-agentd.service' ] || \"$root/usr/local/bin/sam-agentd\"",
    ),
    ("usermod", ""),
];

/// What the tests change about a machine.
pub(crate) struct Setup {
    pub(crate) agent: Vec<Answer>,
    pub(crate) checksum_of: Vec<u8>,
    pub(crate) signed: Vec<u8>,
    pub(crate) reports: Vec<u16>,
    /// Programs that do something else.
    pub(crate) programs: Vec<(&'static str, String)>,
    /// Control URLs before the one that answers.
    pub(crate) control_before: String,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            agent: vec![Answer::Whole(AGENT.to_vec())],
            checksum_of: AGENT.to_vec(),
            signed: AGENT.to_vec(),
            reports: Vec::new(),
            programs: Vec::new(),
            control_before: String::new(),
        }
    }
}

pub(crate) struct Machine {
    pub(crate) root: PathBuf,
    server: Server,
}

pub(crate) struct Booted {
    pub(crate) ok: bool,
    pub(crate) heard: Heard,
    pub(crate) calls: String,
    pub(crate) printed: String,
}

impl Booted {
    /// Returns phases and states in the order they were heard of.
    pub(crate) fn told(&self) -> Vec<(&'static str, PhaseState)> {
        self.heard.reports.iter().map(|(report, _)| (report.phase.code(), report.state)).collect()
    }

    /// Returns the phase that failed, and why.
    pub(crate) fn failure(&self) -> (&'static str, String) {
        assert!(!self.ok, "it did not fail: {}", self.printed);
        let (last, _) = self.heard.reports.last().expect("there is a report");
        assert_eq!(last.state, PhaseState::Failed, "{}", self.printed);
        (last.phase.code(), last.message.clone().unwrap_or_default())
    }
}

impl Machine {
    pub(crate) fn new(name: &str, setup: Setup) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("boot_run").join(name);
        if root.exists() {
            fs::remove_dir_all(&root).unwrap();
        }
        let node = NodeId::from_bits(7);
        let token = Secret::new(TOKEN.to_owned());
        let key = BootReportKey::of(&token, node);
        let script = Script { key, agent: setup.agent, reports: setup.reports };
        let server = Server::start(script);
        let control = format!("{}http://{}", setup.control_before, server.address);
        let boot = BootData::new(node, control, token);
        let settings = settings(&server, &setup.checksum_of, &setup.signed);
        let data = BootPlan::new(&boot, &settings).unwrap().render(UserData::BYTES_MAX).unwrap();
        let config = data.expose().expose().strip_prefix("#cloud-config\n").unwrap();
        let config: Value = serde_json::from_str(config).unwrap();
        let machine = Self { root, server };
        machine.write_files(&config);
        machine.write_programs(&setup.programs);
        machine.adapt_plan();
        machine
    }

    /// What cloud-init's module of this name does.
    fn write_files(&self, config: &Value) {
        for file in config["write_files"].as_array().unwrap() {
            let path = self.at(file["path"].as_str().unwrap());
            let content = file["content"].as_str().unwrap();
            let content = match file.get("encoding") {
                Some(_) => STANDARD.decode(content).unwrap(),
                None => content.as_bytes().to_vec(),
            };
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            let mode = u32::from_str_radix(file["permissions"].as_str().unwrap(), 8).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }

    fn write_programs(&self, changed: &[(&'static str, String)]) {
        let programs = self.at("/fake");
        fs::create_dir_all(&programs).unwrap();
        for (name, body) in PROGRAMS {
            let body = changed.iter().find(|(of, _)| *of == name).map_or(body, |(_, body)| body);
            let text = format!(
                "#!/bin/sh\nroot=\"${{0%/fake/*}}\"\necho \"{name} $*\" >>\"$root/calls\"\n\
                 env >>\"$root/environment\"\n{body}\n"
            );
            let path = programs.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// Sets what differs from a real machine: where its root is, who its user is, and shorter waits.
    fn adapt_plan(&self) {
        let path = self.at("/etc/sam/boot-plan.json");
        let mut plan: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let root = self.root.to_str().unwrap();
        plan["root"] = json!(root);
        plan["path"] = json!(format!("{root}/fake:/usr/bin:/bin"));
        plan["user"] = json!(own_name());
        plan["swap_keep_free_mib"] = json!(0);
        plan["agent_settles_ms"] = json!(0);
        plan["retry"]["pause_ms"] = json!(1);
        plan["report"]["pause_ms"] = json!(1);
        fs::write(path, plan.to_string()).unwrap();
    }

    /// Demands a program that no computer has, of a package.
    pub(crate) fn demand(&self, program: &str, package: &str) {
        let path = self.at("/etc/sam/boot-plan.json");
        let mut plan: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        plan["packages"][program] = json!(package);
        fs::write(path, plan.to_string()).unwrap();
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub(crate) fn boot_file(&self) -> PathBuf {
        self.at(&format!("/var/lib/sam/nodes/{}/boot.json", NodeId::from_bits(7)))
    }

    /// Runs the boot program as cloud-init would. Whatever the outcome, the token was in nobody's
    /// arguments or environment, in no output, and in nothing that was sent.
    pub(crate) fn boot(&self) -> Booted {
        let mut child = Command::new("python3")
            .args(["-I".as_ref(), self.at("/usr/lib/sam/boot.py").as_os_str()])
            .arg(self.at("/etc/sam/boot-plan.json"))
            .stdin(Stdio::null())
            .stdout(fs::File::create(self.at("/output")).unwrap())
            .stderr(fs::File::create(self.at("/errors")).unwrap())
            .spawn()
            .unwrap();
        let mut looks = 0;
        let status = loop {
            looks += 1;
            assert!(!shows(child.id(), TOKEN), "the token is in an argument or an environment");
            std::thread::yield_now();
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
        };
        assert!(looks > 1);
        let mut printed = fs::read_to_string(self.at("/output")).unwrap();
        printed += &fs::read_to_string(self.at("/errors")).unwrap();
        let heard = std::mem::take(&mut *self.server.heard.lock().unwrap());
        let calls = fs::read_to_string(self.at("/calls")).unwrap_or_default();
        let environment = fs::read_to_string(self.at("/environment")).unwrap_or_default();
        for text in heard.raw.iter().chain([&printed, &calls, &environment]) {
            assert!(!text.contains(TOKEN), "the token is shown: {text}");
        }
        assert!(!printed.contains("Traceback"), "{printed}");
        Booted { ok: status.success(), heard, calls, printed }
    }

    /// Asserts that no agent was installed, and none was run.
    pub(crate) fn assert_bare(&self) {
        for path in ["/usr/local/bin/sam-agentd", "/usr/local/bin/sam-agentd.ran"] {
            assert!(!self.at(path).exists(), "{path} is there");
        }
        // What was downloaded, if anything is left of it, cannot be run.
        if let Ok(part) = fs::metadata(self.at("/usr/local/bin/sam-agentd.part")) {
            assert_eq!(part.permissions().mode() & 0o777, 0o600);
        }
    }
}

fn settings(server: &Server, checksum_of: &[u8], signed_bytes: &[u8]) -> BootSettings {
    let key = Ed25519Signer::from_seed(&Secret::new([5; 32]));
    let signature = key.sign(signed_bytes).now_or_never().unwrap().unwrap();
    let sha256 = Sha256::digest(checksum_of).iter().fold(String::new(), |mut hex, byte| {
        let _infallible = write!(hex, "{byte:02x}");
        hex
    });
    let download = Download::new(&format!("http://{}/agent", server.address), &sha256)
        .and_then(|it| it.signed(&signature.try_into().unwrap(), &key.public_key()))
        .unwrap();
    let release = AgentRelease::new(Arch::X86_64, download.clone()).with(Arch::Aarch64, download);
    BootSettings::new(release).with_docker(Docker::Installed).with_swap(SwapSize::new(1).unwrap())
}

/// Whether a process, or one that it started, has the text in its arguments or its environment.
fn shows(process: u32, text: &str) -> bool {
    let has = |name: &str| {
        let bytes = fs::read(format!("/proc/{process}/{name}")).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.unwrap_or_default();
    let mut children = children.split_whitespace().filter_map(|child| child.parse().ok());
    has("cmdline") || has("environ") || children.any(|child| shows(child, text))
}

/// The name of who runs the tests: nobody else's files can be given away.
fn own_name() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
