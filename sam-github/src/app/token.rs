//! Installation tokens: what they are for, and what came.

use std::collections::BTreeSet;
use std::fmt;

use sam_core::time::Timestamp;
use sam_core::{Error, ErrorKind, Result, Secret};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{InstallationId, Permissions, RepositoryId};

/// What an installation token is for. Equal scopes share a token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenScope {
    installation: InstallationId,
    /// Empty: all that the installation has.
    repositories: BTreeSet<RepositoryId>,
    permissions: Permissions,
}

impl TokenScope {
    /// Most repositories of one token; GitHub takes no more.
    pub const REPOSITORIES_MAX: usize = 500;

    /// Asks for these repositories and permissions, and nothing else.
    ///
    /// # Errors
    /// `BadInput` for no repository, too many of them, or no permission: nothing is given by
    /// default.
    pub fn new(
        installation: InstallationId,
        repositories: impl IntoIterator<Item = RepositoryId>,
        permissions: Permissions,
    ) -> Result<Self> {
        let repositories: BTreeSet<RepositoryId> =
            repositories.into_iter().take(Self::REPOSITORIES_MAX + 1).collect();
        if repositories.is_empty() || repositories.len() > Self::REPOSITORIES_MAX {
            return Err(Error::new(ErrorKind::BadInput, "a token is for 1 to 500 repositories"));
        }
        Self::checked(installation, repositories, permissions)
    }

    /// Asks for these permissions on whatever repositories the installation has, now and later.
    ///
    /// # Errors
    /// `BadInput` for no permission.
    pub fn all_repositories(
        installation: InstallationId,
        permissions: Permissions,
    ) -> Result<Self> {
        Self::checked(installation, BTreeSet::new(), permissions)
    }

    fn checked(
        installation: InstallationId,
        repositories: BTreeSet<RepositoryId>,
        permissions: Permissions,
    ) -> Result<Self> {
        if permissions.is_empty() {
            return Err(Error::new(ErrorKind::BadInput, "a token has at least one permission"));
        }
        Ok(Self { installation, repositories, permissions })
    }

    /// Returns the installation it is of.
    pub const fn installation(&self) -> InstallationId {
        self.installation
    }

    /// Returns the repositories; none stands for all of the installation's.
    pub const fn repositories(&self) -> &BTreeSet<RepositoryId> {
        &self.repositories
    }

    /// Returns the permissions.
    pub const fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Returns the body that asks GitHub for it.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({ "permissions": self.permissions });
        if !self.repositories.is_empty() {
            body["repository_ids"] = json!(self.repositories);
        }
        body
    }
}

impl fmt::Display for TokenScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "installation {}", self.installation)?;
        match self.repositories.len() {
            0 => f.write_str(", all repositories"),
            1 => f.write_str(", 1 repository"),
            count => write!(f, ", {count} repositories"),
        }
    }
}

/// A token of an installation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InstallationToken {
    /// What git and the interface are given. Of any length: nothing may assume one.
    pub token: Secret<String>,
    /// When it ends by itself, on GitHub's clock.
    pub expires_at: Timestamp,
    /// What it may do: at least what was asked for.
    pub permissions: Permissions,
}

/// GitHub's answer.
#[derive(Deserialize)]
pub(crate) struct Given {
    token: Secretly,
    expires_at: String,
    #[serde(default)]
    permissions: Permissions,
}

/// A text that goes straight into a [`Secret`].
#[derive(Deserialize)]
#[serde(from = "String")]
pub(crate) struct Secretly(pub(crate) Secret<String>);

impl From<String> for Secretly {
    fn from(text: String) -> Self {
        Self(Secret::new(text))
    }
}

impl Given {
    /// Checks the answer: less than was asked for is never passed on in silence.
    pub(crate) fn checked(
        self,
        scope: &TokenScope,
        operation: &'static str,
    ) -> Result<InstallationToken> {
        let Self { token: Secretly(token), expires_at, permissions } = self;
        let unreadable = |what: &str| {
            Error::new(ErrorKind::Corrupt, format!("GitHub's token has {what}"))
                .with_operation(operation)
        };
        let legal = |byte: u8| byte.is_ascii_graphic();
        if token.expose().is_empty() || !token.expose().bytes().all(legal) {
            return Err(unreadable("characters that no header carries"));
        }
        let expires_at = crate::client::timestamp(&expires_at)
            .ok_or_else(|| unreadable("an end that is no time"))?;
        if let Some(missing) = scope.permissions.missing_in(&permissions) {
            return Err(Error::new(
                ErrorKind::Denied,
                format!("GitHub's token lacks the permission {missing:?}"),
            )
            .with_operation(operation)
            .with_provider_code(crate::client::code::PERMISSIONS_NOT_GRANTED)
            .with_hint("add the permission in the App's settings, and have the owner accept it"));
        }
        Ok(InstallationToken { token, expires_at, permissions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(body: Value) -> Result<InstallationToken> {
        let wanted = Permissions::new().with("contents", crate::Level::Write);
        let scope = TokenScope::all_repositories(InstallationId::new(1), wanted).unwrap();
        serde_json::from_value::<Given>(body).unwrap().checked(&scope, "test")
    }

    #[test]
    fn less_than_was_asked_for_is_an_error() {
        let body = |token: &str, at: &str, level: &str| json!({ "token": token, "expires_at": at, "permissions": { "contents": level } });
        let at = "2026-11-21T10:00:00Z";
        assert_eq!(
            given(body("ghs_x", at, "write")).unwrap().expires_at.to_string(),
            "2026-11-21T10:00:00.000Z"
        );
        assert_eq!(given(body("ghs_x", at, "read")).unwrap_err().kind(), ErrorKind::Denied);
        assert_eq!(given(body("ghs_x", "soon", "write")).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(given(body("a\nb", at, "write")).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(given(body("", at, "write")).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn a_scope_is_for_something() {
        let one = Permissions::new().with("contents", crate::Level::Read);
        let of = |ids: std::ops::Range<u64>, permissions: &Permissions| {
            let ids = ids.map(RepositoryId::new);
            TokenScope::new(InstallationId::new(1), ids, permissions.clone())
        };
        of(0..500, &one).unwrap();
        of(0..501, &one).unwrap_err();
        of(0..0, &one).unwrap_err();
        of(0..1, &Permissions::new()).unwrap_err();
        assert_eq!(
            of(7..8, &one).unwrap().body().to_string(),
            r#"{"permissions":{"contents":"read"},"repository_ids":[7]}"#
        );
    }
}
