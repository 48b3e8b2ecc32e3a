//! Git's questions for credentials: one socket for each workspace, and the way to the control
//! plane, which decides.
//!
//! The socket says which workspace asks: it is in the workspace's own directory, for its owner only,
//! and who connects must be of the agent's own user. Nothing of an answer is kept here or logged.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use sam_core::keys::Signer as _;
use sam_core::{Error, ErrorKind, Report, Result, WorkspaceId};

use super::controls::Controls;
use super::identity::Identity;
use crate::deadline;
use crate::git_credential::{SOCKET_FILE, short_name};
use crate::wire::{
    ASSERTION_HEADER, ChallengeReply, GIT_CREDENTIAL_PATH, GIT_QUESTION_BYTES_MAX,
    GitCredentialAsk, GitCredentialReply, request_text,
};

/// Most questions of one workspace that are answered at a time; the others wait.
const QUESTIONS_MAX: usize = 8;
/// How long git may take to ask.
const QUESTION_DEADLINE: Duration = Duration::from_secs(10);
/// How long the control plane may take, with all its addresses.
const CONTROL_DEADLINE: Duration = Duration::from_secs(45);
/// Pause after a connection could not be accepted, such as with no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The way to the control plane for git's questions.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) identity: Arc<Identity>,
    /// The agent's directory: the addresses that the link has learned are kept there.
    pub(super) directory: PathBuf,
}

/// The sockets of a node's workspaces.
#[derive(Debug)]
pub(super) struct Doors {
    /// The program that is git's helper.
    helper: OsString,
    asking: Arc<Asking>,
    open: Mutex<BTreeMap<WorkspaceId, Door>>,
}

/// A socket that is answered as long as this lives.
#[derive(Debug)]
struct Door(JoinHandle<()>);

impl Drop for Door {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Doors {
    pub(super) fn new(helper: OsString, asking: Asking) -> Self {
        Self { helper, asking: Arc::new(asking), open: Mutex::default() }
    }

    /// Returns the program that is git's helper.
    pub(super) fn helper(&self) -> &OsStr {
        &self.helper
    }

    /// Opens the socket of the workspace in a directory and returns its path. Repeatable.
    ///
    /// # Errors
    /// `Unavailable` when the directory does not allow it.
    pub(super) fn open(&self, workspace: WorkspaceId, place: &Path) -> Result<PathBuf> {
        let path = place.join(SOCKET_FILE);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !open.contains_key(&workspace) || !path.exists() {
            let listener = listen(&path).map_err(|error| {
                Error::new(ErrorKind::Unavailable, "the workspace's socket for git was not made")
                    .with_hint("check the agent's directory: its owner and its free space")
                    .with_source(error)
            })?;
            let answering = answer_all(listener, Arc::clone(&self.asking), workspace);
            open.insert(workspace, Door(tokio::spawn(answering)));
        }
        Ok(path)
    }

    /// Answers for a workspace no longer.
    pub(super) fn close(&self, workspace: WorkspaceId) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&workspace);
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (_open, short) = short_name(path)?;
    let listener = UnixListener::bind(short)?;
    // The directory is its owner's alone already.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn answer_all(listener: UnixListener, asking: Arc<Asking>, workspace: WorkspaceId) {
    let slots = Arc::new(Semaphore::new(QUESTIONS_MAX));
    // Ends with the door.
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            deadline::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let asking = Arc::clone(&asking);
        tokio::spawn(async move {
            if let Err(error) = answer(stream, &asking, workspace).await {
                tracing::debug!(workspace.id = %workspace, %error, "git's helper left");
            }
            drop(slot);
        });
    }
}

async fn answer(mut stream: UnixStream, asking: &Asking, workspace: WorkspaceId) -> io::Result<()> {
    if stream.peer_cred()?.uid() != rustix::process::geteuid().as_raw() {
        tracing::warn!(workspace.id = %workspace, "another user asked for git's credential");
        return Ok(());
    }
    let limit = u64::try_from(GIT_QUESTION_BYTES_MAX).unwrap_or(u64::MAX) + 16;
    let mut text = String::new();
    let mut reading = (&mut stream).take(limit);
    deadline::within(QUESTION_DEADLINE, reading.read_to_string(&mut text)).await??;
    let Some((action, question)) = text.split_once('\n') else { return Ok(()) };
    let ask = GitCredentialAsk {
        workspace_id: workspace,
        action: action.to_owned(),
        question: question.to_owned(),
    };
    let reply = asking.ask(&ask).await.unwrap_or_else(|error| {
        tracing::warn!(
            workspace.id = %workspace,
            error = %Report::new(&error),
            "git's question was not answered"
        );
        let refusal = Some(format!("{}", Report::new(&error)));
        GitCredentialReply { answer: None, refusal }
    });
    tracing::info!(
        workspace.id = %workspace,
        action = ask.action,
        answered = reply.answer.is_some(),
        "git asked for a credential"
    );
    stream.write_all(&serde_json::to_vec(&reply).unwrap_or_default()).await?;
    stream.shutdown().await
}

impl Asking {
    /// Asks the control plane, at each of its addresses until one answers.
    async fn ask(&self, ask: &GitCredentialAsk) -> Result<GitCredentialReply> {
        deadline::within(CONTROL_DEADLINE, self.ask_each(ask)).await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Timeout, "the control plane does not answer"))
        })
    }

    async fn ask_each(&self, ask: &GitCredentialAsk) -> Result<GitCredentialReply> {
        let body = serde_json::to_vec(ask).map_err(|error| {
            Error::new(ErrorKind::Bug, "git's question cannot be written").with_source(error)
        })?;
        let mut controls = Controls::open(&self.directory, &self.identity.control_url).await?;
        // Each address once.
        loop {
            match self.ask_at(&controls, &body).await {
                Err(error)
                    if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) =>
                {
                    if controls.turn() {
                        return Err(error);
                    }
                }
                outcome => return outcome,
            }
        }
    }

    async fn ask_at(&self, controls: &Controls, body: &[u8]) -> Result<GitCredentialReply> {
        let control = controls.now();
        let challenge: ChallengeReply =
            control.post("/api/agent/challenge", &serde_json::json!({})).await?;
        let (node, nonce) = (self.identity.node, challenge.nonce);
        let text = request_text(node, &nonce, GIT_CREDENTIAL_PATH, body);
        let signature = self.identity.signer.sign(&text).await?;
        let assertion = format!("{node}.{nonce}.{}", URL_SAFE_NO_PAD.encode(signature));
        let header = (ASSERTION_HEADER, assertion);
        control.post_signed(GIT_CREDENTIAL_PATH, body.to_vec(), header).await
    }
}
