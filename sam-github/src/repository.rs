//! Repositories and branches, as GitHub tells of them.

use sam_core::forge::RepoPath;
use sam_core::{Error, ErrorKind, Result};
use serde::Deserialize;

use crate::{Account, RepositoryId};

/// A repository. Its number is its identity: names change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Repository {
    /// Its number.
    pub id: RepositoryId,
    /// Its name.
    pub name: String,
    /// Its owner's name and its own: `owner/name`.
    pub full_name: String,
    /// Whose it is; missing where GitHub only mentions the repository.
    #[serde(default, deserialize_with = "crate::webhook::lenient")]
    pub owner: Option<Account>,
    /// Whether it is not public.
    #[serde(default)]
    pub private: bool,
    /// Whether it is read-only for everybody.
    #[serde(default)]
    pub archived: bool,
    /// Whether GitHub has shut it.
    #[serde(default)]
    pub disabled: bool,
    /// The branch that is checked out by default; missing from events of old repositories.
    pub default_branch: Option<String>,
    /// What git clones from. It holds no credential.
    pub clone_url: Option<String>,
    /// Its web page.
    pub html_url: Option<String>,
    /// What whoever asked may do; missing where GitHub does not say.
    #[serde(default, deserialize_with = "crate::webhook::lenient")]
    pub permissions: Option<RepositoryRights>,
}

/// What somebody may do with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[non_exhaustive]
pub struct RepositoryRights {
    /// Read it.
    #[serde(default)]
    pub pull: bool,
    /// Push to it.
    #[serde(default)]
    pub push: bool,
}

impl Repository {
    /// Returns `owner/name` as a checked value.
    ///
    /// # Errors
    /// `Corrupt` when GitHub sent something else.
    pub fn path(&self) -> Result<RepoPath> {
        self.full_name
            .parse()
            .map_err(|_| Error::new(ErrorKind::Corrupt, "GitHub sent a repository without a name"))
    }

    /// Returns whether nobody can push to it: it is archived or disabled.
    pub const fn is_read_only(&self) -> bool {
        self.archived || self.disabled
    }
}

/// A branch.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Branch {
    /// Its name.
    pub name: String,
    /// Its newest commit.
    pub commit: BranchCommit,
    /// Whether rules protect it.
    #[serde(default)]
    pub protected: bool,
}

/// The newest commit of a branch.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct BranchCommit {
    /// Its hash in hex.
    pub sha: String,
}
