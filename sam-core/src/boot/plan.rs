//! What a new machine shall become, and the data its boot program is given.

use std::collections::BTreeMap;

use serde::Serialize;

use super::firewall::{Firewall, METADATA};
use super::journal::{JournalLimits, JournalOverrides};
use super::release::{AgentRelease, UserName};
use super::render::{CloudConfig, File, User, UserData};
use super::report::BootPhase;
use super::unit;
use crate::Secret;
use crate::compute::BootData;
use crate::error::{Error, ErrorKind, Result};
use crate::id::NodeId;

/// The program that does the phases; the same bytes for every machine.
const PROGRAM: &str = include_str!("boot.py");
const PROGRAM_PATH: &str = "/usr/lib/sam/boot.py";
const PLAN_PATH: &str = "/etc/sam/boot-plan.json";

/// Longest boot token, in bytes.
const TOKEN_BYTES_MAX: usize = 512;
/// Longest list of control URLs, in bytes.
const CONTROL_BYTES_MAX: usize = 2_048;

/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// All phases together: below the deadline that a node has by default (30 min).
const DEADLINE_MS: u32 = 25 * 60 * 1_000;
/// A download and an installation: 5 tries, with pauses of 2, 4, 8 and 16 s.
const RETRY: Bound = Bound { tries: 5, pause_ms: 2_000, deadline_ms: 10 * 60 * 1_000 };
/// A report: 4 tries, with pauses of 1, 2 and 4 s. The boot goes on without it.
const REPORT: ReportBound = ReportBound { tries: 4, pause_ms: 1_000, timeout_ms: 10_000 };
/// Largest agent, in bytes.
const AGENT_BYTES_MAX: u64 = 256 << 20;
/// How long a started agent must live before the boot is called done.
const AGENT_SETTLES_MS: u32 = 2_000;
/// Disk that swap must leave free, in MiB.
const SWAP_KEEP_FREE_MIB: u32 = 1_024;

/// How much swap a machine gets, in MiB: 0 for none, at most [`SwapSize::MIB_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwapSize(u32);

impl SwapSize {
    /// No swap.
    pub const NONE: Self = Self(0);
    /// Largest swap: 64 GiB.
    pub const MIB_MAX: u32 = 64 * 1_024;

    /// Takes a size in MiB.
    ///
    /// # Errors
    /// `BadInput` when it is larger than [`Self::MIB_MAX`].
    pub fn new(mib: u32) -> Result<Self> {
        if mib > Self::MIB_MAX {
            let text = format!("{mib} MiB of swap are more than {}", Self::MIB_MAX);
            return Err(Error::new(ErrorKind::BadInput, text));
        }
        Ok(Self(mib))
    }
}

impl Default for SwapSize {
    /// 2 GiB: what the system that this replaces gives.
    fn default() -> Self {
        Self(2_048)
    }
}

/// Whether a machine has Docker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Docker {
    /// It is left as the image has it, and workspaces have no right to it.
    #[default]
    Absent,
    /// It is installed where the image lacks it, logs to the journal, and workspaces may use it. Who may
    /// use Docker is root on the machine: the machine is the boundary then, not the user.
    Installed,
}

/// What an installation gives every machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BootSettings {
    /// Where the agent comes from.
    pub agent: AgentRelease,
    /// Whether there is Docker.
    pub docker: Docker,
    /// What is let in.
    pub firewall: Firewall,
    /// What the journal keeps.
    pub journal: JournalLimits,
    /// How much swap there is.
    pub swap: SwapSize,
    /// Whom workspaces run as.
    pub user: UserName,
}

impl BootSettings {
    /// The defaults: nothing is let in, no Docker, 2 GiB of swap, the user `workspace`.
    pub fn new(agent: AgentRelease) -> Self {
        Self {
            agent,
            docker: Docker::default(),
            firewall: Firewall::closed(),
            journal: JournalLimits::default(),
            swap: SwapSize::default(),
            user: UserName::default(),
        }
    }

    /// Sets whether there is Docker.
    #[must_use]
    pub const fn with_docker(mut self, docker: Docker) -> Self {
        self.docker = docker;
        self
    }

    /// Sets what is let in.
    #[must_use]
    pub fn with_firewall(mut self, firewall: Firewall) -> Self {
        self.firewall = firewall;
        self
    }

    /// Sets what the journal keeps.
    #[must_use]
    pub const fn with_journal(mut self, journal: JournalLimits) -> Self {
        self.journal = journal;
        self
    }

    /// Sets how much swap there is.
    #[must_use]
    pub const fn with_swap(mut self, swap: SwapSize) -> Self {
        self.swap = swap;
        self
    }

    /// Sets whom workspaces run as.
    #[must_use]
    pub fn with_user(mut self, user: UserName) -> Self {
        self.user = user;
        self
    }
}

/// What one machine is told on its first boot.
///
/// ```
/// use sam_core::boot::{AgentRelease, Arch, BootPlan, BootSettings, Download, UserData};
/// use sam_core::compute::BootData;
/// use sam_core::{NodeId, Secret};
/// let sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// let download = Download::new("https://example.org/sam-agentd", sha256)?;
/// let settings = BootSettings::new(AgentRelease::new(Arch::X86_64, download));
/// let token = Secret::new(String::from("single-use"));
/// let boot = BootData::new(NodeId::from_bits(7), "https://sam.example.org".into(), token);
/// let data = BootPlan::new(&boot, &settings)?.render(UserData::BYTES_MAX)?;
/// assert!(data.expose().expose().starts_with("#cloud-config\n"));
/// # Ok::<(), sam_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct BootPlan {
    boot: BootData,
    settings: BootSettings,
}

impl BootPlan {
    /// Plans a machine.
    ///
    /// # Errors
    /// `BadInput` when the machine could not reach a control URL (one of `http` or `https`), when one
    /// of them carries a user, a query or a character that belongs in none, or without a token.
    pub fn new(boot: &BootData, settings: &BootSettings) -> Result<Self> {
        check_control(&boot.control_url)?;
        let token = boot.token.expose();
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Err(Error::new(ErrorKind::BadInput, "the boot data has no usable token"));
        }
        Ok(Self { boot: boot.clone(), settings: settings.clone() })
    }

    /// Takes over what this node wants otherwise of its journal.
    #[must_use]
    pub fn with_journal(mut self, overrides: &JournalOverrides) -> Self {
        self.settings.journal = self.settings.journal.overridden(overrides);
        self
    }

    /// Writes what the machine is given, at most `bytes_max` bytes of it. The same plan gives the same
    /// text.
    ///
    /// # Errors
    /// `BadInput`, naming both sizes, when it is larger.
    pub fn render(&self, bytes_max: usize) -> Result<UserData> {
        let user = &self.settings.user;
        let config = CloudConfig {
            users: vec![User {
                name: user.as_str(),
                gecos: "SAM workspaces",
                shell: "/bin/bash",
                lock_passwd: true,
            }],
            ssh_pwauth: false,
            disable_root: true,
            package_update: false,
            package_upgrade: false,
            write_files: self.files()?,
            runcmd: vec![vec!["python3", "-I", PROGRAM_PATH, PLAN_PATH]],
        };
        config.to_user_data(bytes_max)
    }

    fn files(&self) -> Result<Vec<File>> {
        let Self { boot, settings } = self;
        let mut files = vec![
            // The only one with the token in it. The agent takes it out once it was used.
            File::closed(&self.boot_file(), agent_boot(boot)?.expose()),
            File::closed(PLAN_PATH, &to_json(&self.data())?),
            File::open("/etc/systemd/journald.conf.d/sam.conf", &settings.journal.to_conf()),
            File::open("/etc/sam/firewall.nft", &settings.firewall.to_nft()),
            File::open("/etc/systemd/system/sam-firewall.service", unit::FIREWALL),
            File::open(
                "/etc/systemd/system/sam-agentd.service",
                &unit::agent(boot.node_id, &settings.user),
            ),
            File::open("/etc/needrestart/conf.d/sam.conf", NEEDRESTART),
        ];
        if settings.docker == Docker::Installed {
            files.push(File::open("/etc/docker/daemon.json", DOCKER_DAEMON));
        }
        files.push(File::open(PROGRAM_PATH, PROGRAM));
        Ok(files)
    }

    fn boot_file(&self) -> String {
        format!("{}/boot.json", unit::node_dir(self.boot.node_id))
    }

    fn data(&self) -> PlanData<'_> {
        let settings = &self.settings;
        let mut packages = BTreeMap::from([("git", "git"), ("nft", "nftables")]);
        if settings.agent.is_signed() {
            packages.insert("openssl", "openssl");
        }
        PlanData {
            root: "",
            path: PATH,
            boot_file: self.boot_file(),
            phases: BootPhase::ALL.into_iter().filter(|&phase| self.has(phase)).collect(),
            user: settings.user.as_str(),
            packages,
            swap_mib: settings.swap.0,
            swap_keep_free_mib: SWAP_KEEP_FREE_MIB,
            metadata: METADATA,
            agent: &settings.agent,
            agent_program: unit::AGENT_PROGRAM,
            agent_bytes_max: AGENT_BYTES_MAX,
            agent_settles_ms: AGENT_SETTLES_MS,
            deadline_ms: DEADLINE_MS,
            retry: RETRY,
            report: REPORT,
        }
    }

    fn has(&self, phase: BootPhase) -> bool {
        match phase {
            BootPhase::Docker => self.settings.docker == Docker::Installed,
            BootPhase::Swap => self.settings.swap != SwapSize::NONE,
            _ => true,
        }
    }
}

/// A restart of the agent's unit ends every terminal: upgrades of libraries must not cause one.
const NEEDRESTART: &str = "$nrconf{override_rc}{qr(^sam-agentd\\.service$)} = 0;\n";

/// Containers log to the journal, under their names, and outlive a restart of Docker.
const DOCKER_DAEMON: &str = "\
{
  \"log-driver\": \"journald\",
  \"log-opts\": { \"tag\": \"{{.Name}}\" },
  \"live-restore\": true
}
";

/// `boot.json`, as the agent reads it.
#[derive(Serialize)]
struct AgentBoot<'a> {
    node_id: NodeId,
    control_url: &'a str,
    token: &'a str,
}

fn agent_boot(boot: &BootData) -> Result<Secret<String>> {
    // A socket of the server's computer is not on the machine.
    let urls: Vec<&str> = boot.control_url.split(',').filter(|url| is_web(url)).collect();
    let control_url = &urls.join(",");
    let token = boot.token.expose();
    to_json(&AgentBoot { node_id: boot.node_id, control_url, token }).map(Secret::new)
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

/// `boot-plan.json`, as the boot program reads it. Nothing in it is secret.
#[derive(Serialize)]
struct PlanData<'a> {
    /// Put before every path; empty on a machine.
    root: &'a str,
    path: &'a str,
    boot_file: String,
    phases: Vec<BootPhase>,
    user: &'a str,
    /// Programs that must be there, and the package of each.
    packages: BTreeMap<&'a str, &'a str>,
    swap_mib: u32,
    swap_keep_free_mib: u32,
    metadata: [&'a str; 2],
    agent: &'a AgentRelease,
    agent_program: &'a str,
    agent_bytes_max: u64,
    agent_settles_ms: u32,
    deadline_ms: u32,
    retry: Bound,
    report: ReportBound,
}

#[derive(Serialize)]
struct Bound {
    tries: u32,
    /// Before the second try; doubles.
    pause_ms: u32,
    deadline_ms: u32,
}

#[derive(Serialize)]
struct ReportBound {
    tries: u32,
    /// Before the second try; doubles.
    pause_ms: u32,
    timeout_ms: u32,
}

fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| {
        Error::new(ErrorKind::Bug, "boot data cannot be written").with_source(error)
    })
}

fn check_control(urls: &str) -> Result<()> {
    let refused = |why: &str| {
        // Without the address: what is refused here may be a secret.
        Err(Error::new(ErrorKind::BadInput, format!("the control URLs of the boot data {why}"))
            .with_hint("name at least one https://host that machines can reach"))
    };
    if urls.len() > CONTROL_BYTES_MAX {
        return refused("are too long");
    }
    if !urls.split(',').any(is_web) {
        return refused("cannot be reached from another computer");
    }
    for url in urls.split(',') {
        let graphic = url.bytes().all(|byte| byte.is_ascii_graphic());
        if !graphic || !(is_web(url) || url.starts_with("unix:")) || url.contains(['@', '?', '#']) {
            return refused("hold one with a user, a query or a character that belongs in none");
        }
    }
    Ok(())
}
