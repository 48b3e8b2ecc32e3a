//! Forges: where repositories are kept, and how short-lived access to a few of them is had.

mod forward;
mod memory;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

pub use self::memory::MemoryForge;
use crate::Secret;
use crate::error::{Error, ErrorKind, Result};
use crate::page::Page;
use crate::time::Timestamp;

/// Gives out tokens for a few repositories with the least rights that are enough.
///
/// # Contract
/// - **C1** A token reaches the named repositories with the named rights and nothing else; more
///   than the grant holds is `Denied`, never less given in silence.
/// - **C2** A token is good for at least [`TokenRequest::valid_for`] from now; one from a cache is
///   given only while that holds.
/// - **C3** `repositories` returns whole pages in a stable order, or an error.
/// - **C4** `revoke` ends a token at once; revoking one that has ended succeeds.
/// - **C5** A revoked token is never given out again.
/// - **C6** No token is shown by `Debug` or `Display`.
///
/// ```
/// use std::sync::Arc;
/// use sam_core::entropy::SeededEntropy;
/// use sam_core::forge::{Access, GrantId, MemoryForge, RepoAccess, RepoPath, Right, TokenRequest};
/// use sam_core::time::{ManualClock, Timestamp};
/// # futures_util::future::FutureExt::now_or_never(async {
/// let (grant, repo): (GrantId, RepoPath) = ("1".parse()?, "octo/hello".parse()?);
/// let forge = MemoryForge::new(
///     Arc::new(ManualClock::new(Timestamp::EPOCH)),
///     Arc::new(SeededEntropy::new(1)),
/// )
/// .with_grant(grant.clone(), [repo.clone()], [(Right::Contents, Access::Read)]);
/// let request = TokenRequest::new(grant, [repo], [(Right::Contents, Access::Read)])?;
/// let token = forge.access_token(&request).await?;
/// assert!(token.expires_at > Timestamp::EPOCH);
/// forge.revoke(&token).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap().unwrap();
/// ```
#[async_trait]
pub trait RepoAccess: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// Returns a token for the named repositories and rights. Each call may make a new one, so a
    /// repeated call costs a token that expires unused.
    ///
    /// # Errors
    /// `NotFound` when there is no such grant; `Denied` for what it does not hold; `RateLimited`,
    /// `Unavailable`, `Timeout`, …
    async fn access_token(&self, request: &TokenRequest) -> Result<AccessToken>;

    /// Returns one page of the repositories of a grant.
    ///
    /// # Errors
    /// `NotFound` when there is no such grant; `RateLimited`, `Unavailable`, `Timeout`, …
    async fn repositories(&self, query: &ListRepositories) -> Result<Page<RepoPath>>;

    /// Ends a token. Repeatable.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, …
    async fn revoke(&self, token: &AccessToken) -> Result<()>;
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident($what:literal, $max:literal, $legal:expr);)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Longest text, in bytes.
            pub const BYTES_MAX: usize = $max;

            /// Returns its text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                let legal: fn(&str) -> bool = $legal;
                if !text.is_empty() && text.len() <= $max && legal(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Error::new(ErrorKind::BadInput, format!("{text:?} is not {}", $what)))
                }
            }
        }
    )*};
}

words! {
    /// The forge's own name for what somebody allowed us: on GitHub, an installation's number.
    GrantId("the name of a grant", 64, word);
    /// A repository as its forge names it: `owner/name`, in any case, as it was given.
    RepoPath("a repository: expected owner/name", 255, |text| {
        text.split_once('/').is_some_and(|(owner, name)| word(owner) && word(name))
    });
}

impl RepoPath {
    /// Reads the path of a repository's web address: `owner/name`, with or without `.git`.
    ///
    /// ```
    /// use sam_core::forge::RepoPath;
    /// assert_eq!(RepoPath::in_address("octo/hello.git").unwrap().as_str(), "octo/hello");
    /// assert!(RepoPath::in_address("octo/hello/tree/main").is_none());
    /// ```
    pub fn in_address(path: &str) -> Option<Self> {
        let path = path.trim_matches('/');
        path.strip_suffix(".git").unwrap_or(path).parse().ok()
    }

    /// Returns whether both are the same name; forges do not tell case apart.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

fn word(text: &str) -> bool {
    !text.is_empty()
        && text != "."
        && text != ".."
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// What a right is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Right {
    /// Files, commits and branches.
    Contents,
    /// Issues.
    Issues,
    /// Name, default branch and the like.
    Metadata,
    /// Pull requests.
    PullRequests,
    /// Definitions of automatic runs.
    Workflows,
}

/// How far a right goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Access {
    /// Looking.
    Read,
    /// Looking and changing.
    Write,
}

/// Asks for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    grant: GrantId,
    repositories: BTreeSet<RepoPath>,
    rights: BTreeMap<Right, Access>,
    valid_for: Duration,
}

impl TokenRequest {
    /// Most repositories of one token.
    pub const REPOSITORIES_MAX: usize = 100;
    /// Longest validity that may be asked for; forges give an hour and no more.
    pub const VALID_FOR_MAX: Duration = Duration::from_mins(55);

    /// Asks for a token that is good for at least ten minutes. A right named twice keeps the
    /// later access.
    ///
    /// # Errors
    /// `BadInput` for no repository, too many, or no right: nothing is given by default.
    pub fn new(
        grant: GrantId,
        repositories: impl IntoIterator<Item = RepoPath>,
        rights: impl IntoIterator<Item = (Right, Access)>,
    ) -> Result<Self> {
        let repositories: BTreeSet<RepoPath> =
            repositories.into_iter().take(Self::REPOSITORIES_MAX + 1).collect();
        let rights: BTreeMap<Right, Access> = rights.into_iter().collect();
        if repositories.is_empty() || repositories.len() > Self::REPOSITORIES_MAX {
            return Err(Error::new(ErrorKind::BadInput, "a token is for 1 to 100 repositories"));
        }
        if rights.is_empty() {
            return Err(Error::new(ErrorKind::BadInput, "a token has at least one right"));
        }
        Ok(Self { grant, repositories, rights, valid_for: Duration::from_mins(10) })
    }

    /// Sets how long it must be good for; longer than [`TokenRequest::VALID_FOR_MAX`] is cut.
    #[must_use]
    pub fn with_valid_for(mut self, span: Duration) -> Self {
        self.valid_for = span.min(Self::VALID_FOR_MAX);
        self
    }

    /// Returns the grant it is taken from.
    pub const fn grant(&self) -> &GrantId {
        &self.grant
    }

    /// Returns the repositories it must reach.
    pub const fn repositories(&self) -> &BTreeSet<RepoPath> {
        &self.repositories
    }

    /// Returns the rights it must have.
    pub const fn rights(&self) -> &BTreeMap<Right, Access> {
        &self.rights
    }

    /// Returns how long it must be good for.
    pub const fn valid_for(&self) -> Duration {
        self.valid_for
    }
}

/// A token and when it ends.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AccessToken {
    /// What git and the forge's interface are given.
    pub token: Secret<String>,
    /// When it ends by itself, on the forge's clock.
    pub expires_at: Timestamp,
}

impl AccessToken {
    /// Puts a token together.
    pub const fn new(token: Secret<String>, expires_at: Timestamp) -> Self {
        Self { token, expires_at }
    }
}

/// Asks for one page of repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListRepositories {
    /// Whose.
    pub grant: GrantId,
    /// Continues a listing, from [`Page::next`](crate::Page::next).
    pub after: Option<String>,
}

impl ListRepositories {
    /// Most repositories on a page.
    pub const LIMIT_MAX: usize = 100;

    /// Asks for the first page.
    pub const fn new(grant: GrantId) -> Self {
        Self { grant, after: None }
    }

    /// Continues a listing.
    #[must_use]
    pub fn with_after(mut self, after: Option<String>) -> Self {
        self.after = after;
        self
    }
}
