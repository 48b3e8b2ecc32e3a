//! States and failures of the engine in the SDK's words.

use std::collections::{BTreeSet, HashMap};
use std::error::Error as StdError;
use std::io;

use bollard::errors::Error as EngineError;
use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum as Status, ContainerSummary,
    ContainerSummaryStateEnum as Listed, EndpointSettings,
};
use sam_core::compute::{Machine, MachineKey, Power, Size};
use sam_core::{Effect, Error, ErrorKind, Result};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::wire::{self, Mark};

/// Most characters of an engine's own words that an error repeats.
const WORDS_MAX: usize = 300;

/// Whether a call changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Change,
    Look,
}

impl Call {
    /// Returns what is known after a call whose answer did not arrive.
    pub(super) const fn effect(self) -> Effect {
        match self {
            Self::Change => Effect::Unknown,
            Self::Look => Effect::NotApplied,
        }
    }
}

/// Returns the status of an engine's refusal.
pub(super) const fn status(error: &EngineError) -> Option<u16> {
    match error {
        EngineError::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Tells what went wrong between us and the engine.
pub(super) fn engine(error: EngineError, call: Call, socket: &str) -> Error {
    match &error {
        EngineError::DockerResponseServerError { status_code, message } => {
            refusal(*status_code, message, call)
        }
        EngineError::SocketNotFoundError(_) => absent(socket),
        EngineError::RequestTimeoutError => too_late(call, socket),
        EngineError::HyperLegacyError { err } if err.is_connect() => unreachable(error, socket),
        EngineError::HyperLegacyError { .. }
        | EngineError::HyperResponseError { .. }
        | EngineError::IOError { .. } => {
            let message = format!("the connection to {socket} broke before the answer was whole");
            Error::new(ErrorKind::Unavailable, message)
                .with_effect(call.effect())
                .with_hint("see whether the engine was restarted; its log tells why")
                .with_source(error)
        }
        EngineError::JsonDataError { .. }
        | EngineError::JsonSerdeError { .. }
        | EngineError::APIVersionParseError {} => Error::new(
            ErrorKind::Unavailable,
            format!("the engine at {socket} answered what is not understood"),
        )
        .with_effect(call.effect())
        .with_hint("try again; if it stays, check that a Docker or Podman engine listens there")
        .with_source(error),
        _ => Error::new(ErrorKind::Bug, "a request to the engine could not be made")
            .with_source(error),
    }
}

fn refusal(status: u16, message: &str, call: Call) -> Error {
    let words: String = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let words: String = words.chars().take(WORDS_MAX).collect();
    // The engine has no codes: a full disk can only be told by the system's own words in its text.
    let is_full = words.contains("no space left on device");
    let (kind, hint) = match status {
        _ if is_full => (
            ErrorKind::CapacityUnavailable,
            "free space where the engine keeps its data, as by docker system prune",
        ),
        400 | 405 | 406 | 413 => (ErrorKind::BadInput, "check the configuration of docker nodes"),
        401 => (ErrorKind::Unauthenticated, "use a socket that this user may speak to"),
        403 => (ErrorKind::Denied, "check what the engine, or a filter before it, allows"),
        404 => (ErrorKind::NotFound, "look whether somebody removed it by hand"),
        409 => (ErrorKind::Conflict, "look what the engine says of it, and try again"),
        429 => (ErrorKind::RateLimited, "wait a little"),
        _ => (ErrorKind::Unavailable, "read the engine's log, as by journalctl -u docker"),
    };
    let message = if words.is_empty() {
        format!("the engine refused with status {status}")
    } else {
        format!("the engine refused with status {status}: {words}")
    };
    let effect = if status >= 500 { call.effect() } else { Effect::NotApplied };
    Error::new(kind, message)
        .with_effect(effect)
        .with_provider_code(status.to_string())
        .with_hint(hint)
}

fn absent(socket: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("there is no engine at {socket}"))
        .with_hint("start Docker, or podman system service, or configure another socket")
}

/// Says that the engine's answer did not come in time.
pub(super) fn too_late(call: Call, socket: &str) -> Error {
    Error::new(ErrorKind::Timeout, format!("the engine at {socket} did not answer in time"))
        .with_effect(call.effect())
        .with_hint("see what keeps the engine busy; its disk may be slow or full")
}

/// No connection: nothing can have happened.
fn unreachable(error: EngineError, socket: &str) -> Error {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    let mut reason = None;
    // As deep as the chain is; each link is another one.
    while let Some(link) = cause {
        reason = link.downcast_ref::<io::Error>().map(io::Error::kind).or(reason);
        cause = link.source();
    }
    match reason {
        Some(io::ErrorKind::PermissionDenied) => {
            let message = format!("this user may not speak to the engine at {socket}");
            Error::new(ErrorKind::Denied, message)
                .with_hint("add the user to the group docker, or use a rootless engine's socket")
                .with_source(error)
        }
        _ => absent(socket).with_source(error),
    }
}

/// Says that the engine does not have the image.
pub(super) fn no_image(image: &str) -> Error {
    Error::new(ErrorKind::BadInput, format!("the engine does not have the image {image}"))
        .with_hint(format!("get it with docker pull {image}, or build it, then try again"))
}

/// Says that something of somebody else has the name.
pub(super) fn foreign(what: &str, name: &str) -> Error {
    let message = format!("there is a {what} {name} that SAM did not make");
    Error::new(ErrorKind::Conflict, message).with_hint(format!("rename or remove the {what}"))
}

/// Says that a machine is on its way out.
pub(super) fn removing(key: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("{key} is being removed"))
        .with_hint("delete it again until it is gone, then create it anew")
}

pub(super) fn not_found(key: &MachineKey) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no machine {key}"))
        .with_hint("list the machines to see which exist")
}

/// Refuses a key that is not a DNS label of at least two characters, which the engine wants.
///
/// # Errors
/// `BadInput`.
pub(super) fn check_key(key: &str) -> Result<()> {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_label = (2..=63).contains(&key.len())
        && key.bytes().all(legal)
        && !key.starts_with('-')
        && !key.ends_with('-');
    if is_label {
        return Ok(());
    }
    Err(Error::new(ErrorKind::BadInput, format!("{key:?} is not the key of a machine"))
        .with_hint("a key is a DNS label of 2 to 63 of a-z, 0-9 and inner hyphens"))
}

fn key_of(text: &str) -> Option<MachineKey> {
    check_key(text).ok()?;
    let text: StrDeserializer<'_, ValueError> = text.into_deserializer();
    MachineKey::deserialize(text).ok()
}

/// What a size is here: a limit, nothing is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) cpus: u32,
    pub(super) memory_gib: u32,
}

impl Limits {
    pub(super) const fn of(size: Size) -> Self {
        match size {
            Size::Small => Self { cpus: 2, memory_gib: 4 },
            Size::Large => Self { cpus: 8, memory_gib: 16 },
            // A size that is newer than this provider gets what is asked for most.
            _ => Self { cpus: 4, memory_gib: 8 },
        }
    }
}

/// What a container of ours is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Made, and never started: a creation ended half way.
    Fresh,
    Off,
    On,
    Paused,
    /// On its way out.
    Removing,
}

impl Phase {
    pub(super) const fn power(self) -> Power {
        match self {
            Self::On => Power::On,
            Self::Fresh | Self::Off | Self::Paused | Self::Removing => Power::Off,
        }
    }

    const fn of(status: Option<Status>) -> Self {
        match status {
            Some(Status::CREATED) => Self::Fresh,
            Some(Status::RUNNING | Status::RESTARTING) => Self::On,
            Some(Status::PAUSED) => Self::Paused,
            Some(Status::REMOVING | Status::DEAD) => Self::Removing,
            Some(Status::EXITED | Status::STOPPING | Status::EMPTY) | None => Self::Off,
        }
    }

    const fn of_listed(status: Option<Listed>) -> Self {
        match status {
            Some(Listed::CREATED) => Self::Fresh,
            Some(Listed::RUNNING | Listed::RESTARTING) => Self::On,
            Some(Listed::PAUSED) => Self::Paused,
            Some(Listed::REMOVING | Listed::DEAD) => Self::Removing,
            Some(Listed::EXITED | Listed::STOPPING | Listed::EMPTY) | None => Self::Off,
        }
    }
}

/// A container of ours.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) machine: Machine,
    pub(super) phase: Phase,
    /// The networks it is of, by name and by id.
    pub(super) networks: BTreeSet<String>,
}

impl Found {
    /// Reads an inspected container; `None` when it is not ours.
    pub(super) fn inspected(container: ContainerInspectResponse) -> Option<Self> {
        let name = container.name?;
        let labels = container.config?.labels;
        let (key, labels) =
            Mark::of_machine(name.strip_prefix('/').unwrap_or(&name), labels.as_ref())?;
        let machine = Machine::new(key_of(&key)?, container.id?, labels);
        let phase = Phase::of(container.state.and_then(|state| state.status));
        let networks = container.network_settings.and_then(|settings| settings.networks);
        Some(Self::new(machine, phase, networks.unwrap_or_default()))
    }

    /// Reads a listed container; `None` when it is not ours.
    pub(super) fn listed(container: ContainerSummary) -> Option<Self> {
        let (key, labels) = Mark::of_machine(wire::name(&container)?, container.labels.as_ref())?;
        let machine = Machine::new(key_of(&key)?, container.id?, labels);
        let phase = Phase::of_listed(container.state);
        let networks = container.network_settings.and_then(|settings| settings.networks);
        Some(Self::new(machine, phase, networks.unwrap_or_default()))
    }

    fn new(machine: Machine, phase: Phase, of: HashMap<String, EndpointSettings>) -> Self {
        let mut machine = machine.with_power(phase.power());
        let mut networks = BTreeSet::new();
        for (name, network) in of {
            networks.extend([Some(name), network.network_id].into_iter().flatten());
            let addresses = [network.ip_address, network.global_ipv6_address];
            machine.addresses.extend(addresses.into_iter().flatten().filter(|a| !a.is_empty()));
        }
        machine.addresses.sort_unstable();
        Self { machine, phase, networks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart_and_kept_short() {
        let long = "<html> ".repeat(1_000);
        for (status, message, kind, effect) in [
            (400, "bad parameter", ErrorKind::BadInput, Effect::NotApplied),
            (404, "no such container", ErrorKind::NotFound, Effect::NotApplied),
            (409, "in use", ErrorKind::Conflict, Effect::NotApplied),
            (
                500,
                "write /x: no space left on device",
                ErrorKind::CapacityUnavailable,
                Effect::Unknown,
            ),
            (502, long.as_str(), ErrorKind::Unavailable, Effect::Unknown),
        ] {
            let error = refusal(status, message, Call::Change);
            assert_eq!((error.kind(), error.effect()), (kind, effect), "{status}");
            assert_eq!(error.provider_code(), Some(status.to_string().as_str()));
            assert!(error.to_string().len() < WORDS_MAX + 60);
            assert_eq!(refusal(status, message, Call::Look).effect(), Effect::NotApplied);
        }
    }
}
