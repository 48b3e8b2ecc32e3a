//! One checkout: clone beside the final place, then rename. Whoever finds `checkout` finds it
//! whole; what a crash leaves is `checkout.partial-…`, which the next attempt removes.
//!
//! Every attempt has a directory of its own: the git of an agent that was killed may still be at
//! work in the one before.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use sam_core::workspace::{Checkout, RefName, RepoRef};
use sam_core::{Error, ErrorKind, Result};

use super::files;
use super::git::{Ended, Git, Login};
use crate::wire::PrepareRequest;

/// Name of the directory a workspace's people and programs see.
const FINAL: &str = "checkout";
/// How the directories of unfinished attempts begin.
const PARTIAL: &str = "checkout.partial";
/// What `git ls-remote --exit-code` says when nothing matches.
const NO_MATCH: i32 = 2;
/// Attempts when git itself is ended by a signal.
const ATTEMPTS_MAX: u32 = 3;
/// The code of an error of which only git's end by a signal is known.
const ENDED_BY_SIGNAL: &str = "git_ended_by_signal";
/// The code of an error when the credential that git was given was refused.
const CREDENTIAL_REFUSED: &str = "git_credential_refused";
/// Credentials that are tried: one may have been ended before its time.
const CREDENTIALS_MAX: u32 = 2;
/// How lines begin that our helper says to people.
const HELPER_SAYS: &str = "sam: ";

/// What a checkout stands at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// `None` in an empty repository.
    pub(super) commit: Option<String>,
    pub(super) branch: Option<String>,
}

/// The steps people see.
pub(super) const CLONING: &str = "cloning";
pub(super) const CHECKING_OUT: &str = "checking out";

/// Returns where a workspace's checkout is, or will be.
pub(super) fn directory(workspace: &Path) -> PathBuf {
    workspace.join(FINAL)
}

/// Clones and checks out into the workspace's directory, which is made. Repeatable: what is there
/// already stays as it is.
///
/// # Errors
/// `NotFound` for an unknown repository, branch, tag or commit; `Denied` when it may not be read;
/// `Unavailable`, `Timeout`; `BadInput`.
pub(super) async fn checkout(
    git: &Git,
    workspace: &Path,
    request: &PrepareRequest,
    step: &(dyn Fn(&'static str) + Send + Sync),
) -> Result<Head> {
    let place = directory(workspace);
    if place.is_dir() {
        return head(git, &place).await;
    }
    step(CLONING);
    check_local(&request.repo).await?;
    files::make_private_directory(workspace).await?;
    delete_leftovers(workspace).await;
    let partial = workspace.join(attempt_name());
    let attempt = Attempt { git, workspace, partial: &partial, request };
    let mut cloned = attempt.run(step).await;
    let mut credentials = 1;
    for _ in 1..ATTEMPTS_MAX {
        match cloned.as_ref().err().and_then(Error::provider_code) {
            // Whoever ended git, for want of memory or by mistake, did not judge the repository.
            Some(ENDED_BY_SIGNAL) => {}
            // Git has told its helper: the next one is fresh.
            Some(CREDENTIAL_REFUSED) if git.has_helper() && credentials < CREDENTIALS_MAX => {
                credentials += 1;
            }
            _ => break,
        }
        files::delete_tree(&partial).await?;
        cloned = attempt.run(step).await;
    }
    if cloned.is_err() {
        delete_leftovers(workspace).await;
    }
    cloned?;
    files::rename(&partial, &place).await?;
    head(git, &place).await
}

/// A name that no other attempt has, not even one of an agent before.
fn attempt_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{PARTIAL}-{}-{}", std::process::id(), now.as_nanos())
}

/// Deletes what unfinished attempts left. One that somebody still writes to is left to the next
/// attempt, or to the end of the workspace.
async fn delete_leftovers(workspace: &Path) {
    let Ok(mut entries) = tokio::fs::read_dir(workspace).await else { return };
    while let Ok(Some(entry)) = entries.next_entry().await {
        if entry.file_name().to_string_lossy().starts_with(PARTIAL)
            && let Err(error) = files::delete_tree(&entry.path()).await
        {
            tracing::info!(%error, "an unfinished checkout is left for later");
        }
    }
}

/// Returns what an existing checkout stands at.
///
/// # Errors
/// `Unavailable`, `Timeout`.
pub(super) async fn head(git: &Git, place: &Path) -> Result<Head> {
    let ask = async |arguments: &[&str]| {
        let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        let ended = git.run(place, None, &arguments).await?;
        Ok::<_, Error>(if ended.succeeded() { Some(ended.stdout) } else { None })
    };
    let commit = ask(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).await?;
    let branch = ask(&["symbolic-ref", "--quiet", "--short", "HEAD"]).await?;
    Ok(Head { commit, branch })
}

/// git says the same for a path that is not there and one that is no repository.
async fn check_local(repo: &RepoRef) -> Result<()> {
    let path = repo.as_str().strip_prefix("file://").unwrap_or(repo.as_str());
    if !repo.is_local() {
        return Ok(());
    }
    match tokio::fs::metadata(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::new(ErrorKind::NotFound, format!("there is nothing at {path} on the node"))
                .with_hint("a local repository must lie on the node that runs the workspace"))
        }
        _ => Ok(()),
    }
}

struct Attempt<'a> {
    git: &'a Git,
    workspace: &'a Path,
    partial: &'a Path,
    request: &'a PrepareRequest,
}

impl Attempt<'_> {
    async fn run(&self, step: &(dyn Fn(&'static str) + Send + Sync)) -> Result<()> {
        match &self.request.checkout {
            Checkout::Default => self.clone_repo(None).await,
            Checkout::Ref(name) if self.is_advertised(name).await? => {
                self.clone_repo(Some(name)).await
            }
            Checkout::Ref(name) if is_commit(name) => {
                self.clone_repo(None).await?;
                step(CHECKING_OUT);
                self.detach(name).await
            }
            Checkout::Ref(name) => Err(unknown(name)),
            _ => Err(Error::new(ErrorKind::Unsupported, "the agent cannot check that out")
                .with_hint("update the agent")),
        }
    }

    async fn git(&self, directory: &Path, arguments: &[&OsStr]) -> Result<Ended> {
        let origin = origin(self.request.repo.as_str());
        let login = match (&origin, &self.request.credential) {
            (Some(origin), Some(credential)) => {
                let fields = [&credential.username, &credential.password];
                if fields.iter().any(|field| field.chars().any(char::is_control)) {
                    let text = "a credential holds no control characters";
                    return Err(Error::new(ErrorKind::BadInput, text));
                }
                Some(Login { origin, credential })
            }
            _ => None,
        };
        self.git.run(directory, login, arguments).await
    }

    /// Asks the repository whether it has a branch or tag of that name.
    async fn is_advertised(&self, name: &RefName) -> Result<bool> {
        let (branch, tag) =
            (format!("refs/heads/{}", name.as_str()), format!("refs/tags/{}", name.as_str()));
        let repo = self.request.repo.as_str();
        let arguments = ["ls-remote", "--exit-code", "--", repo, &branch, &tag];
        let arguments = arguments.map(OsStr::new);
        let ended = self.git(self.workspace, &arguments).await?;
        match ended.code {
            Some(0) => Ok(true),
            Some(NO_MATCH) => Ok(false),
            _ => Err(refused(&ended)),
        }
    }

    async fn clone_repo(&self, name: Option<&RefName>) -> Result<()> {
        let mut arguments: Vec<&OsStr> = vec!["clone".as_ref()];
        if let Some(name) = name {
            arguments.extend::<[&OsStr; 2]>(["--branch".as_ref(), name.as_str().as_ref()]);
        }
        let repo = OsStr::new(self.request.repo.as_str());
        arguments.extend::<[&OsStr; 3]>(["--".as_ref(), repo, self.partial.as_ref()]);
        let ended = self.git(self.workspace, &arguments).await?;
        if ended.succeeded() { Ok(()) } else { Err(refused(&ended)) }
    }

    async fn detach(&self, commit: &RefName) -> Result<()> {
        let object = format!("{}^{{commit}}", commit.as_str());
        let known = ["cat-file", "-e", object.as_str()].map(OsStr::new);
        if !self.git(self.partial, &known).await?.succeeded() {
            // A commit outside every branch: some servers hand it out when its full name is given.
            let fetch = ["fetch", "--quiet", "--", "origin", commit.as_str()].map(OsStr::new);
            self.git(self.partial, &fetch).await?;
            if !self.git(self.partial, &known).await?.succeeded() {
                return Err(unknown(commit));
            }
        }
        let checkout = ["checkout", "--quiet", "--detach", commit.as_str(), "--"].map(OsStr::new);
        let ended = self.git(self.partial, &checkout).await?;
        if ended.succeeded() { Ok(()) } else { Err(refused(&ended)) }
    }
}

/// Returns scheme and host of an HTTP repository; credentials go nowhere else.
fn origin(repo: &str) -> Option<String> {
    let (scheme, rest) = repo.split_once("://")?;
    let is_http = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    let host = rest.split(['/', '?', '#']).next()?;
    is_http.then(|| format!("{scheme}://{host}"))
}

fn is_commit(name: &RefName) -> bool {
    let text = name.as_str();
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn unknown(name: &RefName) -> Error {
    let text = format!("the repository has no branch, tag or commit named {:?}", name.as_str());
    Error::new(ErrorKind::NotFound, text).with_hint("check the name; it is case-sensitive")
}

/// Names the failure of a git that talked to a repository. git has one exit code for all of them,
/// so its untranslated messages are the only difference; an unknown one counts as unavailable,
/// which is tried again.
fn refused(ended: &Ended) -> Error {
    const ABSENT: [&str; 3] =
        ["not found", "does not exist", "does not appear to be a git repository"];
    const DENIED: [&str; 5] = [
        "Authentication failed",
        "could not read Username",
        "could not read Password",
        "Permission denied",
        "returned error: 403",
    ];
    if ended.code.is_none() {
        return Error::new(ErrorKind::Unavailable, "git was ended by a signal")
            .with_provider_code(ENDED_BY_SIGNAL)
            .with_hint("see whether the node has memory left, then try again");
    }
    let says = |words: &[&str]| words.iter().any(|word| ended.stderr.contains(word));
    let (kind, hint) = if says(&DENIED) {
        (ErrorKind::Denied, "connect a credential that may read the repository")
    } else if says(&ABSENT) {
        (ErrorKind::NotFound, "check the address; a private repository needs a credential")
    } else {
        (ErrorKind::Unavailable, "see whether the node reaches the repository's host")
    };
    // Why there was no credential is more than that there was none.
    let helper = ended.stderr.lines().find_map(|line| line.strip_prefix(HELPER_SAYS));
    if kind == ErrorKind::Denied
        && let Some(why) = helper
    {
        let (why, hint) = why.split_once("; ").unwrap_or((why, hint));
        return Error::new(kind, why.to_owned()).with_hint(hint.to_owned());
    }
    // The last line is git's verdict; those before it tell what it was about to do.
    let verdict = ended.stderr.lines().next_back().unwrap_or_default();
    let verdict = verdict.strip_prefix("fatal: ").unwrap_or(verdict);
    let error =
        Error::new(kind, format!("git could not read the repository: {verdict}")).with_hint(hint);
    if says(&["Authentication failed"]) {
        return error.with_provider_code(CREDENTIAL_REFUSED);
    }
    error
}

#[cfg(test)]
pub(in crate::node) mod tests;
