//! Git's credentials: what git asks its helper, and a fresh token as the answer, for one workspace's
//! repositories and nothing else.
//!
//! The helper on a node passes git's question to the host, which knows whose workspace it is; the
//! token goes back through the helper's output and is nowhere else: no address, no argument, no
//! configuration, no log.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use sam_core::time::Timestamp;
use sam_core::{Error, ErrorKind, Result, Secret};

use crate::{GithubApp, InstallationId, Level, Permissions, RepositoryId, TokenScope};

/// Largest question, in bytes.
const QUESTION_BYTES_MAX: usize = 16 << 10;
/// Whom git names beside a token.
const USER: &str = "x-access-token";
/// How long a token for git is good at least: a large clone asks for one at its beginning.
const VALID_FOR: Duration = Duration::from_mins(30);

/// What git wants of its helper: its first argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GitCredentialAction {
    /// The credential was refused: forget it.
    Erase,
    /// A credential, please.
    Get,
    /// The credential was good: keep it. We keep nothing.
    Store,
}

impl FromStr for GitCredentialAction {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "erase" => Ok(Self::Erase),
            "get" => Ok(Self::Get),
            "store" => Ok(Self::Store),
            // Git's own rule: a helper passes over what it does not know.
            _ => Err(Error::new(ErrorKind::BadInput, "git's helper is told get, store or erase")),
        }
    }
}

/// What git says to its helper: lines of `name=value`. Names that are not known are passed over.
///
/// ```
/// use sam_github::GitCredentialRequest;
/// let asked: GitCredentialRequest = "protocol=https\nhost=github.com\n\n".parse()?;
/// assert_eq!((asked.protocol.as_str(), asked.host.as_str()), ("https", "github.com"));
/// assert!("protocol=https\nhost".parse::<GitCredentialRequest>().is_err());
/// # Ok::<(), sam_core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct GitCredentialRequest {
    /// `https`, or `http` on the loopback host.
    pub protocol: String,
    /// The host, with its port.
    pub host: String,
    /// The repository's path, where git was told to say it.
    pub path: Option<String>,
    /// The password, when git speaks of one it was given.
    pub password: Option<Secret<String>>,
}

impl FromStr for GitCredentialRequest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::new(ErrorKind::BadInput, format!("git's question {why}"))
                .with_operation("read_git_credential")
        };
        if text.len() > QUESTION_BYTES_MAX {
            return Err(wrong("is too long"));
        }
        if text.contains('\0') {
            return Err(wrong("holds a zero byte"));
        }
        let mut request = Self::default();
        // An empty line ends it.
        for line in text.split('\n').take_while(|line| !line.is_empty()) {
            let (name, value) =
                line.split_once('=').ok_or_else(|| wrong("has a line without ="))?;
            let value = value.strip_suffix('\r').unwrap_or(value);
            match name {
                "protocol" => value.clone_into(&mut request.protocol),
                "host" => value.clone_into(&mut request.host),
                "path" => request.path = Some(value.to_owned()),
                "password" => request.password = Some(Secret::new(value.to_owned())),
                _ => {}
            }
        }
        if request.protocol.is_empty() || request.host.is_empty() {
            return Err(wrong("names no host"));
        }
        Ok(request)
    }
}

/// What the helper says to git.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GitCredential {
    /// The token.
    pub password: Secret<String>,
    /// When it ends: git asks again after that.
    pub expires_at: Timestamp,
}

impl GitCredential {
    /// Returns the lines for git's ear alone.
    pub fn to_lines(&self) -> Secret<String> {
        let mut lines = String::with_capacity(self.password.expose().len() + 96);
        let seconds = self.expires_at.as_secs_unsigned();
        // Writing to a String cannot fail.
        let _ok = write!(
            lines,
            "username={USER}\npassword={}\npassword_expiry_utc={seconds}\n\n",
            self.password.expose()
        );
        Secret::new(lines)
    }
}

/// What a workspace may reach by git.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GitAccess {
    /// Through which installation.
    pub installation: InstallationId,
    /// Which repositories: the workspace's own, and those it was given beside it.
    pub repositories: Vec<RepositoryId>,
    /// What it may do, such as `contents: write`.
    pub permissions: Permissions,
}

impl GitAccess {
    /// Allows to clone, fetch and push one repository.
    pub fn new(installation: InstallationId, repository: RepositoryId) -> Self {
        let permissions = Permissions::new().with("contents", Level::Write);
        Self { installation, repositories: vec![repository], permissions }
    }

    /// Replaces what it may do: `contents: read` to clone and fetch only.
    #[must_use]
    pub fn with_permissions(mut self, permissions: Permissions) -> Self {
        self.permissions = permissions;
        self
    }
}

impl GithubApp {
    /// Answers git's helper in a workspace. `None` is no answer: git goes on to its next helper, or
    /// fails.
    ///
    /// The caller has made sure that the question comes from that workspace: the answer is for its
    /// repositories, whatever git names.
    ///
    /// # Errors
    /// `Denied` for what the installation does not hold (any more); `NotFound` when it was deleted;
    /// `RateLimited`, `Unavailable`, `Timeout`, …
    pub async fn git_credential(
        &self,
        access: &GitAccess,
        action: GitCredentialAction,
        request: &GitCredentialRequest,
    ) -> Result<Option<GitCredential>> {
        let is_ours = self.is_asked(request);
        match action {
            GitCredentialAction::Get if is_ours => {}
            GitCredentialAction::Erase if is_ours => {
                // GitHub refused it, so that nobody should be given it again.
                self.forget_refused(request);
                return Ok(None);
            }
            GitCredentialAction::Erase | GitCredentialAction::Get | GitCredentialAction::Store => {
                return Ok(None);
            }
        }
        let scope = TokenScope::new(
            access.installation,
            access.repositories.iter().copied(),
            access.permissions.clone(),
        )?;
        let token = self.installation_token(&scope, VALID_FOR).await;
        let token = token.map_err(|error| error.with_operation("git_credential"))?;
        Ok(Some(GitCredential { password: token.token.clone(), expires_at: token.expires_at }))
    }
}

impl fmt::Display for GitCredentialAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Erase => "erase",
            Self::Get => "get",
            Self::Store => "store",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn git_s_lines_are_read_and_nothing_is_shown() {
        let text = "capability[]=authtype\nprotocol=https\nhost=git.example.com:8443\n\
                    path=octo/hello.git\nusername=x\npassword=a=canary\nwwwauth[]=Basic\n\nhost=evil";
        let request: GitCredentialRequest = text.parse().unwrap();
        assert_eq!(request.host, "git.example.com:8443");
        assert_eq!(request.path.as_deref(), Some("octo/hello.git"));
        assert_eq!(request.password.as_ref().unwrap().expose(), "a=canary");
        assert!(!format!("{request:?}").contains("canary"));
        for wrong in ["", "\n", "host=x", "protocol=https\n\nhost=x", "protocol=https\nhost=a\0b"] {
            wrong.parse::<GitCredentialRequest>().unwrap_err();
        }
        let long = format!("protocol=https\nhost={}", "x".repeat(QUESTION_BYTES_MAX));
        assert_eq!(long.parse::<GitCredentialRequest>().unwrap_err().kind(), ErrorKind::BadInput);
    }

    #[test]
    fn the_answer_is_what_git_reads() {
        let credential = GitCredential {
            password: Secret::new("ghs_x".to_owned()),
            expires_at: Timestamp::from_micros(7_500_000),
        };
        let lines = "username=x-access-token\npassword=ghs_x\npassword_expiry_utc=7\n\n";
        assert_eq!(credential.to_lines().expose(), lines);
        assert!(!format!("{credential:?}").contains("ghs_x"));
    }

    proptest! {
        #[test]
        fn no_question_makes_the_reading_panic(text in "(protocol|host|path|=|\\n|\\r|.){0,40}") {
            let _either = text.parse::<GitCredentialRequest>();
        }
    }
}
