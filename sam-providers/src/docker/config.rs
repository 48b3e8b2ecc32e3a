//! What the provider is told, and what of it is refused before anything is called.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use sam_core::{Error, ErrorKind, Result};

/// The engine, the image, and how a container becomes a node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DockerConfig {
    /// The engine's socket: `unix:/path` or an absolute path, or `http://` with a loopback address.
    /// Never taken from the environment.
    pub socket: String,
    /// The image of every node, which the engine has already: nothing is downloaded.
    pub image: String,
    /// The program in the container that becomes the node, absolute, and its first arguments;
    /// `holder --dir <dir>` is appended.
    pub node_command: Vec<String>,
    /// A program of the engine's computer that is shown in the container, read-only, as the program
    /// of `node_command`. Without one the image holds the program.
    pub program: Option<PathBuf>,
    /// The directory of the engine's computer that holds the sockets of `unix:` control URLs, and
    /// nothing else: containers see it, read-only, under the same path.
    pub control_dir: Option<PathBuf>,
    /// Directories of the engine's computer that every node sees, read-only, under the same path:
    /// such as those of repositories that are cloned from there.
    pub shown: Vec<PathBuf>,
    /// The network of all nodes: made when it is absent, used as it is when somebody else made it.
    pub network: String,
    /// Variables of the node beside `SAM_NODE_ID`. They can be read by all who may ask the engine.
    pub environment: Vec<(String, String)>,
    /// Names a node knows beside those of its network, as `name:address`; the address
    /// `host-gateway` is the engine's computer.
    pub extra_hosts: Vec<String>,
    /// Most processes and threads in a node, 64 to 1,048,576.
    pub pids_max: u32,
}

impl DockerConfig {
    /// The program that a container runs when nothing else is said.
    pub const PROGRAM: &'static str = "/usr/local/bin/sam";
    /// The network when nothing else is said.
    pub const NETWORK: &'static str = "sam-nodes";

    /// Makes nodes of an image that holds our program as [`Self::PROGRAM`].
    pub fn new(socket: impl Into<String>, image: impl Into<String>) -> Self {
        Self {
            socket: socket.into(),
            image: image.into(),
            node_command: vec![Self::PROGRAM.to_owned()],
            program: None,
            control_dir: None,
            shown: Vec::new(),
            network: Self::NETWORK.to_owned(),
            environment: Vec::new(),
            extra_hosts: Vec::new(),
            pids_max: 16_384,
        }
    }

    /// Sets what becomes the node.
    #[must_use]
    pub fn with_node_command(mut self, command: Vec<String>) -> Self {
        self.node_command = command;
        self
    }

    /// Shows a program of the engine's computer in every container.
    #[must_use]
    pub fn with_program(mut self, program: PathBuf) -> Self {
        self.program = Some(program);
        self
    }

    /// Shows the directory of the control plane's sockets in containers that are told of one.
    #[must_use]
    pub fn with_control_dir(mut self, dir: PathBuf) -> Self {
        self.control_dir = Some(dir);
        self
    }

    /// Shows one more directory of the engine's computer in every container, read-only.
    #[must_use]
    pub fn with_shown(mut self, dir: PathBuf) -> Self {
        self.shown.push(dir);
        self
    }

    /// Sets the network.
    #[must_use]
    pub fn with_network(mut self, network: impl Into<String>) -> Self {
        self.network = network.into();
        self
    }

    /// Sets what the node finds in its environment.
    #[must_use]
    pub fn with_environment(mut self, environment: Vec<(String, String)>) -> Self {
        self.environment = environment;
        self
    }

    /// Adds a name that nodes know.
    #[must_use]
    pub fn with_extra_host(mut self, name: &str, address: &str) -> Self {
        self.extra_hosts.push(format!("{name}:{address}"));
        self
    }

    /// Sets how many processes and threads a node may have.
    #[must_use]
    pub const fn with_pids_max(mut self, pids_max: u32) -> Self {
        self.pids_max = pids_max;
        self
    }

    /// Checks all of it.
    ///
    /// # Errors
    /// `BadInput`.
    pub(super) fn check(&self) -> Result<Socket> {
        let bounds = PIDS_MIN..=PIDS_MAX;
        let absolute = |path: &Option<PathBuf>| path.as_deref().is_none_or(Path::is_absolute);
        let program = self.node_command.first();
        let named = |pair: &(String, String)| !pair.0.is_empty() && !pair.0.contains(['=', '\0']);
        let faults = [
            (self.image.trim().is_empty(), "no image is configured for nodes", "set image"),
            (
                program.is_none_or(|program| !program.starts_with('/')),
                "the program of a node is not an absolute path in the container",
                "set node_command to the absolute path of the sam program in the image",
            ),
            (!absolute(&self.program), "program is not absolute", ABSOLUTE),
            (!absolute(&self.control_dir), "control_dir is not absolute", ABSOLUTE),
            (
                self.control_dir.as_deref() == Some(Path::new("/")),
                "control_dir is the whole computer",
                "give the sockets a directory of their own",
            ),
            (
                !self.shown.iter().all(|dir| dir.is_absolute() && dir != Path::new("/")),
                "a directory to show is not absolute, or the whole computer",
                ABSOLUTE,
            ),
            (!is_name(&self.network), "the network has no legal name", NAME),
            (!bounds.contains(&self.pids_max), "pids_max is out of bounds", PIDS),
            (!self.environment.iter().all(named), "a variable has no legal name", "rename it"),
        ];
        match faults.into_iter().find(|(is_wrong, ..)| *is_wrong) {
            Some((_, message, hint)) => {
                Err(Error::new(ErrorKind::BadInput, message).with_hint(hint))
            }
            None => Socket::parse(&self.socket),
        }
    }
}

const PIDS_MIN: u32 = 64;
const PIDS_MAX: u32 = 1_048_576;
const ABSOLUTE: &str = "write the path from the root of the engine's computer";
const NAME: &str = "use 2 to 63 of a-z, A-Z, 0-9 and inner _ . -";
const PIDS: &str = "choose 64 to 1048576";

/// Returns whether the engine takes a name for a network.
fn is_name(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    (2..=63).contains(&text.len())
        && text.bytes().all(legal)
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}

/// Where the engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Socket {
    /// Host and port.
    Http(String),
    Unix(String),
}

impl Socket {
    /// Reads an address.
    ///
    /// # Errors
    /// `BadInput`, also for an address that is not of this computer: who reaches an engine without
    /// TLS is root on its computer.
    fn parse(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            let message = format!("{text:?} is not the address of an engine: {why}");
            Err(Error::new(ErrorKind::BadInput, message)
                .with_hint("write unix:/var/run/docker.sock, or http://127.0.0.1:2375"))
        };
        if let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("tcp://")) {
            let host = rest.trim_end_matches('/');
            let Some((name, port)) = host.rsplit_once(':') else { return refuse("it has no port") };
            let address = name.trim_start_matches('[').trim_end_matches(']');
            let is_here = address == "localhost"
                || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            if !is_here {
                return refuse("without TLS only this computer is spoken to");
            }
            if port.parse::<u16>().is_err() {
                return refuse("its port is none");
            }
            return Ok(Self::Http(host.to_owned()));
        }
        let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:"));
        let path = path.unwrap_or(text);
        if Path::new(path).is_absolute() {
            Ok(Self::Unix(path.to_owned()))
        } else {
            refuse("its path is not absolute")
        }
    }

    /// Returns it as people write it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Http(host) => format!("http://{host}"),
            Self::Unix(path) => format!("unix:{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_of_this_computer_are_taken() {
        for (text, expected) in [
            ("/run/docker.sock", "unix:/run/docker.sock"),
            ("unix:/run/docker.sock", "unix:/run/docker.sock"),
            ("unix:///run/docker.sock", "unix:/run/docker.sock"),
            ("http://127.0.0.1:2375", "http://127.0.0.1:2375"),
            ("tcp://localhost:2375/", "http://localhost:2375"),
            ("http://[::1]:2375", "http://[::1]:2375"),
        ] {
            assert_eq!(Socket::parse(text).unwrap().shown(), expected);
        }
        for text in [
            "",
            "docker.sock",
            "http://10.0.0.1:2375",
            "http://127.0.0.1",
            "tcp://engine.example:1",
        ] {
            assert_eq!(Socket::parse(text).unwrap_err().kind(), ErrorKind::BadInput, "{text}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_before_it_is_tried() {
        let good = DockerConfig::new("/run/docker.sock", "node");
        good.check().unwrap();
        for bad in [
            DockerConfig::new("/run/docker.sock", " "),
            good.clone().with_node_command(vec!["sam".to_owned()]),
            good.clone().with_node_command(Vec::new()),
            good.clone().with_program("target/sam".into()),
            good.clone().with_control_dir("run".into()),
            good.clone().with_control_dir("/".into()),
            good.clone().with_shown("repos".into()),
            good.clone().with_shown("/".into()),
            good.clone().with_network("-"),
            good.clone().with_pids_max(1),
            good.with_environment(vec![("A=B".to_owned(), String::new())]),
        ] {
            assert_eq!(bad.check().unwrap_err().kind(), ErrorKind::BadInput, "{bad:?}");
        }
    }
}
