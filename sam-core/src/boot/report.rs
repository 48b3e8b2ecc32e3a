//! What a booting machine tells: which phase it is in, and how that ended.
//!
//! A report is a signal, not a command: it moves nothing but the text people see, except that a phase
//! which failed ends the wait for the machine. Reports come late, twice and in any order; a record
//! takes only those that lead further.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Secret;
use crate::error::{Error, ErrorKind, Result};
use crate::id::NodeId;
use crate::time::Timestamp;

/// A part of a machine's first start, in the order of [`BootPhase::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BootPhase {
    /// The boot program runs.
    Start,
    /// The limits of the journal are put in force.
    Journal,
    /// Swap is added.
    Swap,
    /// Programs that are missing are installed.
    Packages,
    /// Docker is installed and logs to the journal.
    Docker,
    /// The firewall is put in force.
    Firewall,
    /// The agent is downloaded and its checksum compared.
    AgentDownload,
    /// The agent's signature is checked, and it is installed.
    AgentVerify,
    /// The agent is started.
    AgentStart,
}

impl BootPhase {
    /// Every phase, in the order they are done in.
    pub const ALL: [Self; 9] = [
        Self::Start,
        Self::Journal,
        Self::Swap,
        Self::Packages,
        Self::Docker,
        Self::Firewall,
        Self::AgentDownload,
        Self::AgentVerify,
        Self::AgentStart,
    ];

    /// Returns the stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Journal => "journal",
            Self::Swap => "swap",
            Self::Packages => "packages",
            Self::Docker => "docker",
            Self::Firewall => "firewall",
            Self::AgentDownload => "agent_download",
            Self::AgentVerify => "agent_verify",
            Self::AgentStart => "agent_start",
        }
    }

    /// Returns what goes on in it, for people.
    pub const fn told(self) -> &'static str {
        match self {
            Self::Start => "starting the machine",
            Self::Journal => "limiting the journal",
            Self::Swap => "adding swap",
            Self::Packages => "installing packages",
            Self::Docker => "installing docker",
            Self::Firewall => "closing the firewall",
            Self::AgentDownload => "downloading the agent",
            Self::AgentVerify => "checking the agent",
            Self::AgentStart => "starting the agent",
        }
    }
}

impl fmt::Display for BootPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

/// How far a phase is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PhaseState {
    /// It is under way.
    Started,
    /// It is over, and well.
    Done,
    /// It is over; nothing follows.
    Failed,
}

/// A report as it is sent: `POST /api/nodes/boot-report`, with the proof of
/// [`BootReportKey`](crate::auth::BootReportKey) over its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct BootReport {
    /// The node the machine becomes.
    pub node_id: NodeId,
    /// Where its first start is.
    pub phase: BootPhase,
    /// How far that is.
    pub state: PhaseState,
    /// Why it failed, in the machine's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl BootReport {
    /// Longest report, in bytes: its longest message with every character escaped.
    pub const BYTES_MAX: usize = 8 * 1024;
    /// Longest message that is kept, in bytes; what is longer is cut at a character.
    pub const MESSAGE_BYTES_MAX: usize = 512;

    /// Makes a report without a message.
    pub const fn new(node_id: NodeId, phase: BootPhase, state: PhaseState) -> Self {
        Self { node_id, phase, state, message: None }
    }

    /// Adds what the machine says about it.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Reads a report that was sent.
    ///
    /// # Errors
    /// `BadInput` when it is too long or is none.
    pub fn read(body: &[u8]) -> Result<Self> {
        if body.len() > Self::BYTES_MAX {
            let text = format!("a boot report has at most {} bytes", Self::BYTES_MAX);
            return Err(Error::new(ErrorKind::BadInput, text));
        }
        // Without the parser's text: it may quote what does not belong there.
        serde_json::from_slice(body)
            .map_err(|_| Error::new(ErrorKind::BadInput, "the boot report cannot be read"))
    }

    /// Returns it as a record may keep it: without the token, in one line, of bounded length.
    #[must_use]
    pub fn scrubbed(mut self, token: &Secret<String>) -> Self {
        self.message = self.message.map(|message| scrub(&message, token.expose()));
        self
    }
}

fn scrub(message: &str, token: &str) -> String {
    // An empty text is found everywhere.
    let message =
        if token.is_empty() { message.to_owned() } else { message.replace(token, "[redacted]") };
    let mut kept = String::new();
    for word in message.split(|c: char| c.is_control() || c.is_whitespace()) {
        if word.is_empty() {
            continue;
        }
        let space = (!kept.is_empty()).then_some(' ');
        for character in space.into_iter().chain(word.chars()) {
            if kept.len() + character.len_utf8() > BootReport::MESSAGE_BYTES_MAX {
                return kept;
            }
            kept.push(character);
        }
    }
    kept
}

/// The furthest that a node's machine has reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BootProgress {
    /// Where its first start is.
    pub phase: BootPhase,
    /// How far that is.
    pub state: PhaseState,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When that was heard.
    pub at: Timestamp,
}

impl BootProgress {
    /// Keeps what a report says.
    pub fn heard(report: &BootReport, now: Timestamp) -> Self {
        let (phase, state, message) = (report.phase, report.state, report.message.clone());
        Self { phase, state, message, at: now }
    }

    /// Returns whether a report leads further than this.
    pub fn is_behind(&self, report: &BootReport) -> bool {
        (self.phase, self.state) < (report.phase, report.state)
    }

    /// Returns whether the start has failed for good.
    pub fn has_failed(&self) -> bool {
        self.state == PhaseState::Failed
    }
}

impl fmt::Display for BootProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.phase.told())?;
        match (self.state, &self.message) {
            (PhaseState::Started, _) => Ok(()),
            (PhaseState::Done, _) => f.write_str(" (done)"),
            (PhaseState::Failed, Some(message)) => write!(f, " (failed: {message})"),
            (PhaseState::Failed, None) => f.write_str(" (failed)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn phases_are_in_order_and_their_words_are_those_of_the_wire() {
        assert!(BootPhase::ALL.is_sorted());
        for phase in BootPhase::ALL {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.code());
        }
        assert!(PhaseState::Started < PhaseState::Done && PhaseState::Done < PhaseState::Failed);
    }

    #[test]
    fn what_is_no_report_is_refused_without_being_quoted() {
        let node = NodeId::from_bits(7);
        let report = BootReport::new(node, BootPhase::Docker, PhaseState::Failed).with_message("x");
        let bytes = serde_json::to_vec(&report).unwrap();
        assert_eq!(BootReport::read(&bytes).unwrap(), report);
        let more = String::from_utf8(bytes).unwrap().replace("\"x\"", "\"x\",\"canary\":1");
        for body in [more.into_bytes(), b"canary".to_vec(), vec![b' '; BootReport::BYTES_MAX + 1]] {
            let error = BootReport::read(&body).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput);
            assert!(!format!("{error:?}").contains("canary"));
        }
    }

    #[test]
    fn people_are_told_what_went_wrong_in_one_line() {
        let node = NodeId::from_bits(7);
        let report = BootReport::new(node, BootPhase::Docker, PhaseState::Failed)
            .with_message("apt-get ended with 100:\n\u{1b}[31m no\tspace, tok-en left");
        let report = report.scrubbed(&Secret::new("tok-en".to_owned()));
        let progress = BootProgress::heard(&report, Timestamp::EPOCH);
        let told =
            "installing docker (failed: apt-get ended with 100: [31m no space, [redacted] left)";
        assert_eq!(progress.to_string(), told);
    }

    proptest! {
        #[test]
        fn a_scrubbed_message_is_short_and_holds_no_control_character(
            message in ".{0,900}", token in "[A-Za-z0-9_-]{1,43}",
        ) {
            let kept = scrub(&message, &token);
            prop_assert!(kept.len() <= BootReport::MESSAGE_BYTES_MAX);
            prop_assert!(!kept.chars().any(char::is_control));
        }
    }
}
