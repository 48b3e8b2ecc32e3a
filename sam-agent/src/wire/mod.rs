//! What agent, server and client say to each other about terminals, commands and nodes.
//!
//! Control messages are JSON in text frames; bytes travel in binary frames and are never
//! re-coded, so that no character is ever cut.

#![expect(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "wire types are spelled out on both sides; a change is a new link version"
)]

mod git_credential;

use serde::{Deserialize, Serialize};

use sam_core::node_link::Preparation;
pub use sam_core::node_link::{Activity, IdleEnd, Work, WorkName, WorkSort};
use sam_core::workspace::{Checkout, RepoRef};
use sam_core::{ErrorRecord, NodeId, TerminalId, WorkspaceId};

pub use self::git_credential::{
    GIT_CREDENTIAL_PATH, GIT_QUESTION_BYTES_MAX, GitCredentialAsk, GitCredentialReply, request_text,
};

/// Largest payload of one binary frame, in bytes.
pub const FRAME_PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// Bytes of output each terminal keeps for those who attach again.
pub const TERMINAL_RING_BYTES: usize = 1024 * 1024;
/// Most terminals of one workspace at a time.
pub const TERMINALS_PER_WORKSPACE_MAX: usize = 64;
/// Most viewers of one terminal at a time.
pub const VIEWERS_PER_TERMINAL_MAX: usize = 32;

/// Longest notice to people on terminals, in bytes.
pub const NOTICE_BYTES_MAX: usize = 512;

/// Size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Columns, 1 to 1,000.
    pub cols: u16,
    /// Rows, 1 to 1,000.
    pub rows: u16,
}

impl Default for TerminalSize {
    fn default() -> Self {
        Self { cols: 80, rows: 24 }
    }
}

impl TerminalSize {
    /// Cuts both numbers to 1 to 1,000.
    #[must_use]
    pub fn clamped(self) -> Self {
        Self { cols: self.cols.clamp(1, 1_000), rows: self.rows.clamp(1, 1_000) }
    }
}

/// Asks for a new terminal: `POST …/terminals`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenTerminal {
    /// The program and its arguments; empty means the user's shell as a login shell.
    #[serde(default)]
    pub command: Vec<String>,
    /// Its size.
    #[serde(default)]
    pub size: TerminalSize,
    /// The value of `TERM`; `xterm-256color` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<String>,
}

/// A terminal as listed: `GET …/terminals`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalInfo {
    /// Its name.
    pub id: TerminalId,
    /// The workspace it belongs to.
    pub workspace_id: WorkspaceId,
    /// Its size.
    pub size: TerminalSize,
    /// Bytes it has printed in all.
    pub end_offset: u64,
    /// Offset of the oldest byte still kept.
    pub floor_offset: u64,
    /// How its program ended, once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitStatus>,
}

/// All terminals of a workspace: the answer to `GET …/terminals`; there is one page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalList {
    /// The terminals, oldest first; at most [`TERMINALS_PER_WORKSPACE_MAX`].
    pub items: Vec<TerminalInfo>,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// By itself, with this status.
    Code(u8),
    /// By this signal.
    Signal(u8),
}

impl ExitStatus {
    /// Returns the status a shell would report: the code, or 128 plus the signal.
    pub const fn shell_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => signal.saturating_add(128),
        }
    }
}

/// First byte of a binary frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// Terminal output: eight bytes of big-endian offset of the first byte, then the bytes.
    Output = 0,
    /// Input for a terminal or a command: the bytes.
    Input = 1,
    /// A command's standard output: the bytes.
    Stdout = 2,
    /// A command's standard error: the bytes.
    Stderr = 3,
}

/// A binary frame, decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// See [`FrameKind::Input`].
    Input(&'a [u8]),
    /// See [`FrameKind::Output`].
    Output {
        /// Offset of the first byte.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// See [`FrameKind::Stderr`].
    Stderr(&'a [u8]),
    /// See [`FrameKind::Stdout`].
    Stdout(&'a [u8]),
}

/// The bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseFrameError {
    /// No first byte, or no offset.
    #[error("the frame ends too early")]
    Short,
    /// More than [`FRAME_PAYLOAD_BYTES_MAX`] bytes.
    #[error("the frame is larger than 64 KiB")]
    TooLong,
    /// An unknown first byte.
    #[error("frame kind {0} is not known")]
    Kind(u8),
}

impl<'a> Frame<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    /// When it is too short, too long or of an unknown kind.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseFrameError> {
        let (&kind, rest) = bytes.split_first().ok_or(ParseFrameError::Short)?;
        let frame = match kind {
            0 => {
                let (offset, bytes) =
                    rest.split_first_chunk::<8>().ok_or(ParseFrameError::Short)?;
                Self::Output { offset: u64::from_be_bytes(*offset), bytes }
            }
            1 => Self::Input(rest),
            2 => Self::Stdout(rest),
            3 => Self::Stderr(rest),
            other => return Err(ParseFrameError::Kind(other)),
        };
        if frame.payload().len() > FRAME_PAYLOAD_BYTES_MAX {
            return Err(ParseFrameError::TooLong);
        }
        Ok(frame)
    }

    /// Returns the bytes carried.
    pub const fn payload(&self) -> &'a [u8] {
        match self {
            Self::Input(bytes)
            | Self::Output { bytes, .. }
            | Self::Stderr(bytes)
            | Self::Stdout(bytes) => bytes,
        }
    }

    /// Writes the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.payload().len() + 9);
        match self {
            Self::Output { offset, .. } => {
                out.push(FrameKind::Output as u8);
                out.extend_from_slice(&offset.to_be_bytes());
            }
            Self::Input(_) => out.push(FrameKind::Input as u8),
            Self::Stdout(_) => out.push(FrameKind::Stdout as u8),
            Self::Stderr(_) => out.push(FrameKind::Stderr as u8),
        }
        out.extend_from_slice(self.payload());
        out
    }
}

/// What a client says on a terminal, in text frames: `…/terminals/{id}/attach?offset=N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TerminalRequest {
    /// The window has another size.
    Resize(TerminalSize),
}

/// What a terminal says to a client, in text frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TerminalEvent {
    /// The first message: where output begins.
    Attached {
        /// The terminal.
        terminal_id: TerminalId,
        /// Offset of the first byte that will be sent.
        offset: u64,
        /// Its size now.
        size: TerminalSize,
    },
    /// The program ended and all its output was sent.
    Exit {
        /// How.
        status: ExitStatus,
    },
    /// Bytes that the client asked for, or was too slow for, are no longer kept.
    Gap {
        /// Offset of the first byte missing.
        from: u64,
        /// Offset of the first byte after the gap.
        to: u64,
    },
    /// Something that people should know; no output of the program.
    Notice {
        /// What; at most [`NOTICE_BYTES_MAX`] bytes, of whatever characters.
        text: String,
    },
    /// Somebody changed the terminal's size.
    Resized(TerminalSize),
}

/// The first text frame of a client on `…/exec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecRequest {
    /// The program and its arguments; it is not passed through a shell.
    pub command: Vec<String>,
    /// Variables set beside the workspace's own; at most 64.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// Directory below the checkout; the checkout when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// What a client says while a command runs, in text frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ExecInput {
    /// There is no more input.
    Eof,
    /// Send this signal to the command's process group; 1, 2, 3, 9 or 15.
    Signal {
        /// Its number.
        number: u8,
    },
}

/// What a command says at its end, in a text frame; the last frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ExecEvent {
    /// It ran and ended, and all its output was sent.
    Exit {
        /// How.
        status: ExitStatus,
    },
    /// It could not be started.
    Failed {
        /// Why.
        error: ErrorRecord,
    },
}

/// What an agent says of itself: `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The node.
    pub node_id: NodeId,
    /// Changes when the holder starts anew, that is when the processes were lost.
    pub instance: String,
    /// The agent's version.
    pub agent_version: String,
    /// It takes nothing new.
    pub draining: bool,
}

/// Declares work, or declares it anew: `PUT …/work/{name}`. It keeps its workspace from being idle
/// until its time is over or it is ended by `DELETE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclareWork {
    /// For how many milliseconds from now; 1 to 86,400,000.
    pub for_ms: u64,
    /// What sort of work it is.
    #[serde(default)]
    pub sort: WorkSort,
}

/// Warns the people of a workspace: `POST …/warning`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarnRequest {
    /// What they are told; at most [`NOTICE_BYTES_MAX`] bytes.
    pub notice: String,
}

/// How an idle stop ended: the answer to `POST …/stop-idle`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopIdleReply {
    /// How.
    pub end: IdleEnd,
}

/// Asks for a workspace: `PUT /v1/workspaces/{id}`; answered by [`Preparation`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PrepareRequest {
    /// The repository.
    pub repo: RepoRef,
    /// What to check out of it.
    pub checkout: Checkout,
    /// How to read it. Travels only inside the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<WireCredential>,
}

/// A git credential on its way through the link. Its `Debug` hides the password.
#[derive(Clone, Serialize, Deserialize)]
pub struct WireCredential {
    /// The user name.
    pub username: String,
    /// The password or token.
    pub password: String,
}

impl std::fmt::Debug for WireCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WireCredential").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The answer to [`PrepareRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrepareReply {
    /// How far it is.
    pub preparation: Preparation,
}

/// Trades a single-use token for an identity: `POST /api/bootstrap`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootstrapRequest {
    /// The node.
    pub node_id: NodeId,
    /// The token of the boot data.
    pub token: String,
    /// The agent's Ed25519 public key, base64url without padding.
    pub public_key: String,
}

/// The answer to [`BootstrapRequest`]; the same token with the same key gets it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootstrapReply {
    /// The installation's Ed25519 public keys, by key id, base64url without padding: the agent
    /// accepts requests that carry a token signed by one of them.
    pub server_keys: Vec<ServerKey>,
}

/// One public key of the installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerKey {
    /// Its id.
    pub key_id: String,
    /// The key, base64url without padding.
    pub public_key: String,
}

/// A nonce for the link's assertion: `POST /api/agent/challenge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeReply {
    /// To be signed and given back within 60 seconds.
    pub nonce: String,
    /// Where else the control plane is reached: the replicas that serve now, at most 17. The agent
    /// keeps them beside those of its boot data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub control_urls: Vec<String>,
}

/// Name of the request header that carries the range of link versions the agent speaks, `min-max`.
pub const LINK_VERSION_HEADER: &str = "sam-link-version";
/// The link version of this code.
pub const LINK_VERSION: u32 = 1;
/// Name of the header that carries the node's assertion, see [`assertion_text`].
pub const ASSERTION_HEADER: &str = "sam-node-assertion";

/// Returns the text a node signs to open its link. The header is `<node id>.<nonce>.<signature>`,
/// the signature base64url without padding.
pub fn assertion_text(node: NodeId, nonce: &str) -> String {
    format!("sam-link-v1\n{node}\n{nonce}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip_and_refuse_nonsense() {
        let long = vec![7; FRAME_PAYLOAD_BYTES_MAX];
        for frame in [
            Frame::Input(b"\xff\x00"),
            Frame::Output { offset: u64::MAX, bytes: &long },
            Frame::Stdout(b""),
            Frame::Stderr(b"e"),
        ] {
            assert_eq!(Frame::parse(&frame.encode()), Ok(frame));
        }
        assert_eq!(Frame::parse(b""), Err(ParseFrameError::Short));
        assert_eq!(Frame::parse(b"\x00\x00"), Err(ParseFrameError::Short));
        assert_eq!(Frame::parse(b"\x09"), Err(ParseFrameError::Kind(9)));
        let longer = vec![1; FRAME_PAYLOAD_BYTES_MAX + 2];
        assert_eq!(Frame::parse(&longer), Err(ParseFrameError::TooLong));
    }
}
