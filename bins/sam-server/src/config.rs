//! Configuration of `sam-server`: flags, then environment, then `sam.toml`, then defaults. This is
//! the one place of this crate that reads the environment.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use sam_core::dns::RecordName;
use sam_core::published_name::Publishing;
use sam_core::{Error, ErrorKind, Policy, Result, Secret, WorkspaceId};
use serde::Deserialize;

use crate::github::GithubSettings;
use crate::installation;
use crate::naming::NamingSettings;
use crate::providers::ProviderSettings;
use crate::settings::PolicySettings;
use crate::sign_in::SignInSettings;
use crate::store::StorePlan;

/// What `sam-server` was told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerConfig {
    /// What to do.
    pub task: Task,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it keeps its own files.
    pub data_dir: PathBuf,
    /// Where state lives.
    pub store: StorePlan,
    /// The keys, which replicas share.
    pub keys_file: PathBuf,
    /// The local nodes, which replicas on one computer share.
    pub nodes_dir: PathBuf,
    /// Where other replicas reach this one; `http://` and the listening address when absent.
    pub replica_url: Option<String>,
    /// The GitHub App, as far as there is one.
    pub github: GithubSettings,
    /// Below which workspaces are reached under names of their own, `ws-….{base}`.
    pub base_domain: Option<RecordName>,
    /// How these names are put into the DNS. Not read from anywhere: a host sets it.
    pub publishing: Option<Publishing>,
    /// The DNS that is set up, where the host hands in none.
    pub naming: NamingSettings,
    /// Where nodes are bought.
    pub providers: ProviderSettings,
    /// Who may sign in.
    pub sign_in: SignInSettings,
    /// Whether a repository may be a path on this computer.
    pub local_repos: bool,
    /// The program that becomes holder and agent of local nodes.
    pub agent_command: Vec<OsString>,
    /// What local nodes inherit of the environment.
    pub environment: Vec<(OsString, OsString)>,
    /// What decisions about workspaces and nodes follow.
    pub policy: Policy,
    /// What is logged, as `tracing` filters are written.
    pub log: String,
    /// Log lines as JSON.
    pub log_json: bool,
}

/// What the program does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Subcommand)]
#[non_exhaustive]
pub enum Task {
    /// Write everything in the store to a file, while servers may go on working, and prove that it
    /// can be restored
    Backup {
        /// The file, which must not exist; the keys file is not in it and is kept beside
        file: PathBuf,
    },
    /// Bring the store's schema up to date, and end
    Migrate,
    /// Bring a backup back into a store that does not exist yet, or is empty
    Restore {
        /// The backup
        file: PathBuf,
        /// As what it comes back
        #[command(flatten)]
        mode: RestoreMode,
    },
    /// Serve (what it does without a command)
    #[default]
    Serve,
}

/// How a backup is restored: exactly one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
#[group(required = true, multiple = false)]
#[non_exhaustive]
pub struct RestoreMode {
    /// In place of the store that was backed up; automatic deletion is held until a person resumes it
    #[arg(long)]
    replace: bool,
    /// As another installation beside the original, which owns none of its machines
    #[arg(long)]
    copy: bool,
}

/// What a restored store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestoreAs {
    /// Another installation.
    Copy,
    /// The one that was backed up.
    Replacement,
}

impl RestoreMode {
    /// Returns what was chosen.
    pub fn restore_as(self) -> RestoreAs {
        if self.copy { RestoreAs::Copy } else { RestoreAs::Replacement }
    }
}

/// SAM's control plane: an HTTP server over an embedded database, or one of several over PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "sam-server", version, about)]
struct Flags {
    #[command(subcommand)]
    task: Option<Task>,
    /// Address to listen on [default: 127.0.0.1:7070]
    #[arg(long, env = "SAM_LISTEN", global = true)]
    listen: Option<SocketAddr>,
    /// Directory for database, keys and local nodes [default: ./sam-data]
    #[arg(long, env = "SAM_DATA_DIR", global = true)]
    data_dir: Option<PathBuf>,
    #[arg(
        long,
        env = "SAM_DATABASE_URL",
        hide_env_values = true,
        global = true,
        help = "Database that replicas share, postgresql://user:password@host/database; DATABASE_URL is \
                read as well [default: a file in the data directory]"
    )]
    database_url: Option<String>,
    /// Bring the database's schema up to date at the start; without it the server waits for
    /// `sam-server migrate` [default: true]
    #[arg(long, env = "RUN_MIGRATIONS", global = true)]
    run_migrations: Option<bool>,
    /// Keys of the installation, the same for all replicas [default: keys.json in the data directory]
    #[arg(long, env = "SAM_KEYS_FILE", global = true)]
    keys_file: Option<PathBuf>,
    /// Directory of local nodes, shared by all replicas [default: nodes in the data directory]
    #[arg(long, env = "SAM_NODES_DIR", global = true)]
    nodes_dir: Option<PathBuf>,
    /// Address under which other replicas and agents reach this one [default: http:// and the
    /// listening address]
    #[arg(long, env = "SAM_REPLICA_URL", global = true)]
    replica_url: Option<String>,
    /// Who may sign in with GitHub: names with commas between them, id: and a number, or * for
    /// anybody; see the guide to GitHub [default: nobody]
    #[arg(long, env = "SAM_SIGN_IN_GITHUB_LOGINS", value_name = "LIST", global = true)]
    sign_in_github_logins: Option<String>,
    /// Path that GitHub sends browsers back to: one of those in the guide to GitHub [default:
    /// /api/auth/callback/github]
    #[arg(long, env = "SAM_SIGN_IN_CALLBACK", value_name = "PATH", global = true)]
    sign_in_callback: Option<String>,
    #[arg(
        long,
        env = "BASE_DOMAIN",
        value_name = "DOMAIN",
        global = true,
        help = "Domain of the installation: browsers reach the server at https://api. and this, its pages \
                at https://app. and this, and workspaces at ws-06f1…. and this"
    )]
    base_domain: Option<String>,
    #[arg(
        long,
        env = "SAM_PUBLIC_URL",
        value_name = "URL",
        global = true,
        help = "Address at which browsers reach the server, without a path [default: https://api. and \
                the domain, or http:// and the listening address]"
    )]
    public_url: Option<String>,
    /// Configuration file [default: sam.toml in the data directory, if there is one]
    #[arg(long, env = "SAM_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Let repositories be paths on this computer [default: false]
    #[arg(long, env = "SAM_ALLOW_LOCAL_REPOS", global = true)]
    allow_local_repos: Option<bool>,
    /// Program that becomes holder and agent of local nodes [default: sam-agentd beside this one]
    #[arg(long, env = "SAM_AGENT_COMMAND", global = true)]
    agent_command: Option<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or filters of tracing [default: info]
    #[arg(long, env = "SAM_LOG", global = true)]
    log: Option<String>,
    /// Format of log lines: text or json [default: text]
    #[arg(long, env = "SAM_LOG_FORMAT", global = true, value_parser = ["text", "json"])]
    log_format: Option<String>,
    #[command(flatten)]
    policy: PolicySettings,
}

/// `sam.toml` without the settings of the policy. Unknown keys stop the start.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "these are the keys as people write them")]
struct File {
    listen: Option<SocketAddr>,
    database_url: Option<String>,
    run_migrations: Option<bool>,
    keys_file: Option<PathBuf>,
    nodes_dir: Option<PathBuf>,
    replica_url: Option<String>,
    base_domain: Option<String>,
    sign_in_github_logins: Option<String>,
    sign_in_callback: Option<String>,
    public_url: Option<String>,
    allow_local_repos: Option<bool>,
    agent_command: Option<PathBuf>,
    log: Option<String>,
    log_format: Option<String>,
}

impl ServerConfig {
    /// Describes a server with everything of its own in one directory, for hosts that configure it
    /// themselves.
    pub fn new(listen: SocketAddr, data_dir: PathBuf, agent_command: Vec<OsString>) -> Self {
        Self {
            task: Task::Serve,
            listen,
            keys_file: data_dir.join(installation::FILE),
            nodes_dir: data_dir.join("nodes"),
            data_dir,
            github: GithubSettings::default(),
            sign_in: SignInSettings::default(),
            store: StorePlan::Embedded,
            replica_url: None,
            base_domain: None,
            publishing: None,
            naming: NamingSettings::default(),
            providers: ProviderSettings::default(),
            local_repos: false,
            agent_command,
            environment: Vec::new(),
            policy: Policy::default(),
            log: "info".to_owned(),
            log_json: false,
        }
    }

    /// Reads flags, environment and file. Help and version end the process, as clap does.
    ///
    /// # Errors
    /// `BadInput` naming the key and the file.
    pub fn read() -> Result<Self> {
        let mut flags = Flags::parse();
        // The name that other programs know it by comes after ours.
        flags.database_url = flags.database_url.or_else(|| environment("DATABASE_URL"));
        flags.policy = flags.policy.or(PolicySettings::from_older_names(environment));
        Self::merge(flags)
    }

    fn merge(flags: Flags) -> Result<Self> {
        let data_dir = flags.data_dir.unwrap_or_else(|| PathBuf::from("sam-data"));
        let data_dir = std::path::absolute(&data_dir).unwrap_or(data_dir);
        let usual = data_dir.join("sam.toml");
        let path = flags.config.as_ref().or_else(|| usual.exists().then_some(&usual));
        let (file, policy) = path.map_or_else(|| Ok(Default::default()), |path| read_file(path))?;
        let policy = flags.policy.or(policy).policy()?;
        let agent = match flags.agent_command.or(file.agent_command) {
            Some(path) => path,
            None => beside_this_program("sam-agentd")?,
        };
        let migrate = flags.run_migrations.or(file.run_migrations).unwrap_or(true);
        let store = match flags.database_url.or(file.database_url).filter(|url| !url.is_empty()) {
            None => StorePlan::Embedded,
            Some(url) => StorePlan::Database { url: database_url(url)?, migrate },
        };
        let replica_url = flags.replica_url.or(file.replica_url);
        let replica_url = replica_url.as_deref().map(check_replica_url).transpose()?;
        let base_domain = flags.base_domain.or(file.base_domain).filter(|text| !text.is_empty());
        let base_domain = base_domain.as_deref().map(check_base_domain).transpose()?;
        let own = |path: Option<PathBuf>, name: &str| {
            path.map_or_else(
                || data_dir.join(name),
                |path| std::path::absolute(&path).unwrap_or(path),
            )
        };
        let sign_in = SignInSettings::read(
            flags.sign_in_github_logins.or(file.sign_in_github_logins),
            flags.public_url.or(file.public_url),
            base_domain.as_ref().map(ToString::to_string),
            flags.sign_in_callback.or(file.sign_in_callback),
        )?;
        let log_format = flags.log_format.or(file.log_format);
        if let Some(other) =
            log_format.as_deref().filter(|format| !["text", "json"].contains(format))
        {
            return Err(Error::new(
                ErrorKind::BadInput,
                format!("log_format {other:?} is not known"),
            )
            .with_hint("use text or json"));
        }
        Ok(Self {
            task: flags.task.unwrap_or_default(),
            keys_file: own(flags.keys_file.or(file.keys_file), installation::FILE),
            nodes_dir: own(flags.nodes_dir.or(file.nodes_dir), "nodes"),
            store,
            replica_url,
            base_domain,
            publishing: None,
            naming: NamingSettings::from_environment(environment)?,
            providers: ProviderSettings::from_environment(environment)?,
            policy,
            listen: flags
                .listen
                .or(file.listen)
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7070))),
            data_dir,
            github: GithubSettings::from_environment(environment)?,
            sign_in,
            local_repos: flags.allow_local_repos.or(file.allow_local_repos).unwrap_or(false),
            agent_command: vec![agent.into_os_string()],
            environment: node_environment(),
            log: flags.log.or(file.log).unwrap_or_else(|| "info".to_owned()),
            log_json: log_format.as_deref() == Some("json"),
        })
    }
}

/// Checks that it is the address of a database we know. It holds a password and is never shown.
fn database_url(url: String) -> Result<Secret<String>> {
    if url.starts_with("postgresql://") || url.starts_with("postgres://") {
        return Ok(Secret::new(url));
    }
    Err(Error::new(
        ErrorKind::BadInput,
        "SAM_DATABASE_URL is not the address of a PostgreSQL database",
    )
    .with_hint(
        "write postgresql://user:password@host:5432/database, or leave it out to use a file",
    ))
}

fn check_replica_url(url: &str) -> Result<String> {
    let is_http = url.starts_with("http://") || url.starts_with("https://");
    if is_http && !url.contains([',', '?', '#', '@']) && url.len() <= 512 {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    Err(Error::new(ErrorKind::BadInput, format!("SAM_REPLICA_URL {url:?} is not an address"))
        .with_hint("write http://host:port or https://host, as the other replicas reach this one"))
}

/// Checks that names of workspaces fit below it.
fn check_base_domain(text: &str) -> Result<RecordName> {
    let refused = || {
        Error::new(ErrorKind::BadInput, format!("BASE_DOMAIN {text:?} is no domain of this length"))
            .with_hint("write a domain that is yours, such as workspaces.example.com")
    };
    let base: RecordName = text.parse().map_err(|_| refused())?;
    // The longest name that is made below it is the mark of a workspace's.
    let longest = format!("_sam.{}.{base}", WorkspaceId::from_bits(0));
    match longest.parse::<RecordName>() {
        Ok(_) if !text.starts_with('*') => Ok(base),
        Ok(_) | Err(_) => Err(refused()),
    }
}

#[expect(clippy::disallowed_methods, reason = "configuration is read here")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn read_file(path: &Path) -> Result<(File, PolicySettings)> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::new(ErrorKind::BadInput, format!("{} cannot be read", path.display()))
            .with_source(error)
    })?;
    let refused = |error: toml::de::Error| {
        Error::new(ErrorKind::BadInput, format!("{}: {}", path.display(), error.message()))
            .with_hint("`sam-server --help` lists the keys")
    };
    let mut table: toml::Table = toml::from_str(&text).map_err(refused)?;
    let policy = PolicySettings::take_from(&mut table)
        .map_err(|error| error.with_context("file", path.display()))?;
    Ok((table.try_into().map_err(refused)?, policy))
}

fn beside_this_program(name: &str) -> Result<PathBuf> {
    let program = std::env::current_exe().map_err(|error| {
        Error::new(ErrorKind::Unavailable, "this program does not know where it is")
            .with_hint("set SAM_AGENT_COMMAND")
            .with_source(error)
    })?;
    Ok(program.with_file_name(name))
}

/// What local nodes inherit: enough for a shell, nothing of SAM's own.
#[expect(clippy::disallowed_methods, reason = "configuration is read here")]
pub fn node_environment() -> Vec<(OsString, OsString)> {
    ["HOME", "USER", "LOGNAME", "PATH", "SHELL", "LANG", "LC_ALL", "TZ", "SSH_AUTH_SOCK"]
        .into_iter()
        .filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;
    use std::fmt::Write as _;
    use std::time::Duration;

    /// The reference page: every setting of the server, as its help tells of it.
    fn reference() -> String {
        let mut page = "# Settings of `sam-server`\n\n\
            Generated by `cargo test -p sam-server settings` from the code itself. A flag outranks the \
            environment, which outranks `sam.toml` in the data directory, which outranks the default. \
            Spans are a whole number and a unit: `45s`, `30m`, `2h`, `7d`. The daemon of `sam` reads the \
            variables of the second table.\n"
            .to_owned();
        let command = Flags::command();
        let told = |policy: bool| {
            let arguments = command.get_arguments().filter(move |argument| {
                argument.get_env().is_some() && argument.get_help_heading().is_some() == policy
            });
            arguments.map(|argument| {
                let key = argument.get_id().as_str();
                let key = if ["config", "data_dir"].contains(&key) {
                    "-".to_owned()
                } else {
                    format!("`{key}`")
                };
                let (flag, variable) = (argument.get_long().unwrap(), argument.get_env().unwrap());
                let help = argument.get_help().unwrap().to_string().replace('\n', " ");
                let takes = crate::settings::takes(argument.get_id().as_str());
                let help = takes.map_or(help.clone(), |takes| format!("{help}. It takes {takes}."));
                format!("| `--{flag}` | `{}` | {key} | {help} |", variable.display())
            })
        };
        for (title, policy) in
            [("The server", false), ("What becomes of workspaces and nodes", true)]
        {
            let head = "| flag | variable | in `sam.toml` | meaning |\n|---|---|---|---|";
            let lines: Vec<String> = told(policy).collect();
            writeln!(page, "\n## {title}\n\n{head}\n{}", lines.join("\n")).unwrap();
        }
        page.push_str(&crate::settings::older_names());
        page
    }

    #[test]
    fn settings_are_documented_as_they_are() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/settings.md");
        let page = reference();
        if std::fs::read_to_string(path).ok().as_ref() != Some(&page) {
            std::fs::write(path, &page).unwrap();
            panic!("docs/guide/settings.md was outdated and is written anew: commit it");
        }
    }

    #[test]
    fn flags_outrank_the_file_and_unknown_keys_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path().to_str().unwrap();
        std::fs::write(
            directory.path().join("sam.toml"),
            "listen = \"127.0.0.1:1\"\nlog = \"warn\"\n",
        )
        .unwrap();
        let parse = |more: &[&str]| {
            let base = ["sam-server", "--data-dir", dir, "--agent-command", "/bin/true"];
            ServerConfig::merge(Flags::parse_from(base.iter().chain(more)))
        };
        let config = parse(&["--listen", "127.0.0.1:2"]).unwrap();
        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.log, "warn");
        assert!(!config.local_repos);
        assert!(matches!(config.store, StorePlan::Embedded));
        assert_eq!(config.keys_file, directory.path().join("keys.json"));
        let shared = parse(&["migrate", "--database-url", "postgresql://u:canary@h/d"]).unwrap();
        assert_eq!(shared.task, Task::Migrate);
        assert!(matches!(shared.store, StorePlan::Database { migrate: true, .. }));
        assert!(!format!("{shared:?}").contains("canary"));
        let long = vec!["x".repeat(55); 4].join(".");
        for bad in [
            ["--database-url", "mysql://u:canary@h/d"],
            ["--replica-url", "h:7070"],
            ["--replica-url", "http://a,http://b"],
            ["--base-domain", "example"],
            ["--base-domain", "*.example.com"],
            ["--base-domain", &long],
        ] {
            let error = parse(&bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput, "{bad:?}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        let based = parse(&["--base-domain", "Workspaces.Example.com."]).unwrap();
        assert_eq!(based.base_domain.unwrap().as_str(), "workspaces.example.com");
        assert_eq!((config.base_domain, config.publishing.is_none()), (None, true));
        assert_eq!(config.policy, Policy::default());
        let told = "keep_warm = \"10m\"\nnodes_max = 5\nidle_warning = \"2m\"\n";
        std::fs::write(directory.path().join("sam.toml"), told).unwrap();
        let policy = parse(&["--idle-stop-after", "2h", "--idle-warning", "1m"]).unwrap().policy;
        assert_eq!(policy.idle_stop_after, Some(Duration::from_hours(2)));
        assert_eq!(policy.idle_warning, Duration::from_mins(1));
        assert_eq!((policy.keep_warm, policy.spend.nodes), (Duration::from_mins(10), Some(5)));
        assert_eq!(parse(&["--idle-stop-after", "never"]).unwrap().policy.idle_stop_after, None);
        let error = parse(&["migrate", "--keep-warm", "often"]).unwrap_err();
        assert!(error.to_string().contains("SAM_KEEP_WARM"), "{error}");
        assert!(error.hint().unwrap().contains("30m"), "{error}");
        std::fs::write(directory.path().join("sam.toml"), "lisen = 1\n").unwrap();
        let error = parse(&[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
        assert!(error.to_string().contains("lisen"), "{error}");
    }
}
