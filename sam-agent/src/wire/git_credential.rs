//! Git's credentials on their way between a workspace's git and the control plane.

use std::fmt;

use serde::{Deserialize, Serialize};

use sam_core::{NodeId, WorkspaceId};

/// Where an agent asks for git.
pub const GIT_CREDENTIAL_PATH: &str = "/api/agent/git-credential";
/// Longest question of git, in bytes.
pub const GIT_QUESTION_BYTES_MAX: usize = 16 * 1024;

/// What git asks its helper in a workspace, passed on by the agent: `POST
/// /api/agent/git-credential`, with an assertion over [`request_text`]. Its `Debug` hides the
/// question: when git says that a password was refused, the password is in it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitCredentialAsk {
    /// The workspace in which git runs.
    pub workspace_id: WorkspaceId,
    /// `get` or `erase`, as git calls its helper.
    pub action: String,
    /// Git's lines of `name=value`; at most [`GIT_QUESTION_BYTES_MAX`] bytes.
    pub question: String,
}

impl fmt::Debug for GitCredentialAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitCredentialAsk")
            .field("workspace_id", &self.workspace_id)
            .field("action", &self.action)
            .finish_non_exhaustive()
    }
}

/// The answer to [`GitCredentialAsk`]. Its `Debug` hides the credential.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct GitCredentialReply {
    /// The lines for git's ear alone; absent where there is no credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Why there is none, for the person in front of git; absent where nobody tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

impl fmt::Debug for GitCredentialReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitCredentialReply")
            .field("answered", &self.answer.is_some())
            .field("refusal", &self.refusal)
            .finish()
    }
}

/// Returns the text a node signs to ask for something outside its link: the signature is good for
/// this path and this body only, and never opens a link. The header is as
/// [`ASSERTION_HEADER`](super::ASSERTION_HEADER) says.
pub fn request_text(node: NodeId, nonce: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let mut text = format!("sam-request-v1\n{node}\n{nonce}\n{path}\n").into_bytes();
    text.extend_from_slice(body);
    text
}
