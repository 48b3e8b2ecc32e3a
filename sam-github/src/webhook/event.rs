//! What webhooks say. Members that are not named are passed over, and what may be missing in older
//! or newer shapes is an `Option`.

use serde::{Deserialize, Deserializer};

use super::WebhookError;
use crate::{Account, Installation, InstallationId, Repository, RepositoryId};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An installation was made, deleted, suspended or changed.
    Installation(InstallationEvent),
    /// Repositories were added to an installation, or removed.
    InstallationRepositories(InstallationRepositories),
    /// Something else, to be kept and ignored.
    Other(OtherEvent),
    /// The hook was set up.
    Ping(Ping),
    /// A branch or a tag moved.
    Push(Push),
    /// A repository was renamed, moved, deleted or changed.
    Repository(RepositoryEvent),
}

impl Event {
    /// Reads the body of an event.
    ///
    /// # Errors
    /// [`WebhookError::Unreadable`] when it is not JSON of that event.
    pub fn read(name: &str, body: &[u8]) -> Result<Self, WebhookError> {
        fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, WebhookError> {
            serde_json::from_slice(body).map_err(|_| WebhookError::Unreadable)
        }
        Ok(match name {
            "installation" => Self::Installation(json(body)?),
            "installation_repositories" => Self::InstallationRepositories(json(body)?),
            "ping" => Self::Ping(json(body)?),
            "push" => Self::Push(json(body)?),
            "repository" => Self::Repository(json::<wire::Told>(body)?.into()),
            _ => Self::Other(json(body)?),
        })
    }

    /// Returns the installation it belongs to.
    pub fn installation(&self) -> Option<InstallationId> {
        match self {
            Self::Installation(event) => Some(event.installation.id),
            Self::InstallationRepositories(event) => Some(event.installation.id),
            Self::Other(event) => event.installation,
            Self::Ping(_) => None,
            Self::Push(event) => event.installation,
            Self::Repository(event) => event.installation,
        }
    }

    /// Returns what a burst of pushes is told apart by: the repository and the branch or tag. Of
    /// those with the same, the newest is enough.
    pub fn coalesced_by(&self) -> Option<(RepositoryId, &str)> {
        match self {
            Self::Push(push) => Some((push.repository.id, push.git_ref.as_str())),
            Self::Installation(_)
            | Self::InstallationRepositories(_)
            | Self::Other(_)
            | Self::Ping(_)
            | Self::Repository(_) => None,
        }
    }
}

/// A branch or a tag moved.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Push {
    /// What moved: `refs/heads/…` or `refs/tags/…`.
    #[serde(rename = "ref")]
    pub git_ref: String,
    /// Where it was; zeros when it is new.
    pub before: String,
    /// Where it is; zeros when it was deleted.
    pub after: String,
    /// Whether it was deleted.
    #[serde(default)]
    pub deleted: bool,
    /// Whether its history was rewritten.
    #[serde(default)]
    pub forced: bool,
    /// Where.
    pub repository: Repository,
    /// Of which installation.
    #[serde(default, deserialize_with = "installation_id")]
    pub installation: Option<InstallationId>,
    /// By whom.
    #[serde(default, deserialize_with = "lenient")]
    pub sender: Option<Account>,
}

impl Push {
    /// Returns the branch, unless it is a tag.
    pub fn branch(&self) -> Option<&str> {
        self.git_ref.strip_prefix("refs/heads/")
    }

    /// Returns the newest commit, unless it was deleted.
    pub fn commit(&self) -> Option<&str> {
        let is_zero = self.after.bytes().all(|byte| byte == b'0');
        (!self.deleted && !is_zero).then_some(self.after.as_str())
    }
}

/// The hook was set up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Ping {
    /// A saying.
    pub zen: Option<String>,
    /// The hook's number.
    pub hook_id: Option<u64>,
}

/// An installation was made, deleted, suspended or changed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct InstallationEvent {
    /// What was done.
    pub action: InstallationAction,
    /// With which.
    pub installation: Installation,
    /// Its repositories, when it was made.
    #[serde(default)]
    pub repositories: Vec<Repository>,
    /// By whom.
    #[serde(default, deserialize_with = "lenient")]
    pub sender: Option<Account>,
}

/// What was done with an installation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
#[non_exhaustive]
pub enum InstallationAction {
    /// It was made.
    Created,
    /// It was deleted.
    Deleted,
    /// Its owner accepted what the App asks for since.
    NewPermissionsAccepted,
    /// Something newer.
    Other(String),
    /// It was suspended.
    Suspended,
    /// Its suspension was taken back.
    Unsuspended,
}

impl From<String> for InstallationAction {
    fn from(text: String) -> Self {
        match text.as_str() {
            "created" => Self::Created,
            "deleted" => Self::Deleted,
            "new_permissions_accepted" => Self::NewPermissionsAccepted,
            "suspend" => Self::Suspended,
            "unsuspend" => Self::Unsuspended,
            _ => Self::Other(text),
        }
    }
}

/// Repositories were added to an installation, or removed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct InstallationRepositories {
    /// To which, or from which.
    pub installation: Installation,
    /// What was added.
    #[serde(default, rename = "repositories_added")]
    pub added: Vec<Repository>,
    /// What was removed.
    #[serde(default, rename = "repositories_removed")]
    pub removed: Vec<Repository>,
}

/// A repository was renamed, moved, deleted or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepositoryEvent {
    /// What was done.
    pub action: RepositoryAction,
    /// What it is now.
    pub repository: Repository,
    /// Of which installation.
    pub installation: Option<InstallationId>,
}

/// What was done with a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepositoryAction {
    /// It is read-only.
    Archived,
    /// It was deleted.
    Deleted,
    /// Something else or newer, such as `created` or `edited`.
    Other(String),
    /// Only those with access see it.
    Privatized,
    /// Everybody sees it.
    Publicized,
    /// It has a new name.
    Renamed {
        /// Its name before, without its owner.
        from: Option<String>,
    },
    /// It has a new owner.
    Transferred {
        /// Its owner before.
        from: Option<String>,
    },
    /// It is not read-only any more.
    Unarchived,
}

/// Something else. Its body is in the delivery.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct OtherEvent {
    /// What was done, where the event says so.
    #[serde(default, deserialize_with = "lenient")]
    pub action: Option<String>,
    /// Of which installation.
    #[serde(default, deserialize_with = "installation_id")]
    pub installation: Option<InstallationId>,
    /// In which repository.
    #[serde(default, deserialize_with = "lenient")]
    pub repository: Option<Repository>,
}

/// Takes what fits, and nothing where it does not: for members that help, but are not needed.
pub(crate) fn lenient<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

/// Takes the number of an installation that is only mentioned.
fn installation_id<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<InstallationId>, D::Error> {
    #[derive(Deserialize)]
    struct Mentioned {
        id: InstallationId,
    }
    Ok(lenient::<D, Mentioned>(deserializer)?.map(|mentioned| mentioned.id))
}

mod wire {
    //! The repository event as GitHub sends it.

    use serde::Deserialize;

    use super::{InstallationId, RepositoryAction, RepositoryEvent, installation_id, lenient};

    #[derive(Deserialize)]
    pub(super) struct Told {
        action: String,
        repository: crate::Repository,
        #[serde(default, deserialize_with = "installation_id")]
        installation: Option<InstallationId>,
        #[serde(default, deserialize_with = "lenient")]
        changes: Option<Changes>,
    }

    #[derive(Deserialize)]
    struct Changes {
        #[serde(default, deserialize_with = "lenient")]
        repository: Option<Names>,
        #[serde(default, deserialize_with = "lenient")]
        owner: Option<Owners>,
    }

    #[derive(Deserialize)]
    struct Names {
        name: From,
    }

    #[derive(Deserialize)]
    struct Owners {
        from: Owner,
    }

    #[derive(Deserialize)]
    struct From {
        from: String,
    }

    /// One of the two is there.
    #[derive(Deserialize)]
    struct Owner {
        #[serde(alias = "organization")]
        user: Option<Login>,
    }

    #[derive(Deserialize)]
    struct Login {
        login: String,
    }

    impl std::convert::From<Told> for RepositoryEvent {
        fn from(event: Told) -> Self {
            let Told { action, repository, installation, changes } = event;
            let (names, owners) = changes.map_or((None, None), |c| (c.repository, c.owner));
            let action = match action.as_str() {
                "archived" => RepositoryAction::Archived,
                "deleted" => RepositoryAction::Deleted,
                "privatized" => RepositoryAction::Privatized,
                "publicized" => RepositoryAction::Publicized,
                "renamed" => RepositoryAction::Renamed { from: names.map(|it| it.name.from) },
                "transferred" => RepositoryAction::Transferred {
                    from: owners.and_then(|it| it.from.user).map(|owner| owner.login),
                },
                "unarchived" => RepositoryAction::Unarchived,
                _ => RepositoryAction::Other(action),
            };
            Self { action, repository, installation }
        }
    }
}
