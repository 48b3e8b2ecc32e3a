//! Who is signed in, and signing in from a command line.

use std::fmt;

use sam_core::AccountId;
use serde::{Deserialize, Serialize};

use crate::Time;

/// Somebody who signed in: `GET /api/accounts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id; what it makes is owned by it.
    pub id: AccountId,
    /// Where it proved who it is, such as `github.com`.
    pub forge: String,
    /// Its number there, which stays.
    pub number: u64,
    /// Its name there, which may change.
    pub handle: String,
    /// What the person is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether the forge says that the address is the person's.
    #[serde(default)]
    pub email_is_verified: bool,
    /// A picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// When the person first signed in.
    pub created_at: Time,
    /// When the person last signed in.
    pub signed_in_at: Time,
}

/// Who asks: `GET /api/auth/me`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Me {
    /// Whose things are seen: an account's id, `admin` or `owner`.
    pub owner: String,
    /// Whether what belongs to the installation may be looked at and changed.
    pub is_administrator: bool,
    /// Who signed in; missing for who has the administrator's token, or the daemon's socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// When the login ends unless it is used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_ends_at: Option<Time>,
}

/// How many logins were ended: `DELETE /api/auth/sessions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginsEnded {
    /// How many there were.
    pub ended: usize,
}

/// A sign-in that a person goes on with in a browser: `POST /api/auth/device`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSignIn {
    /// What the person enters.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// Until when.
    pub expires_at: Time,
    /// How long to wait before each [`DevicePoll`].
    pub interval_ms: u64,
    /// What to ask with. It is good for nothing else, and is no one else's business.
    pub device: String,
}

/// Asks whether the person has agreed: `POST /api/auth/device/poll`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevicePoll {
    /// The newest one that was answered.
    pub device: String,
}

/// What asking came to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum DevicePolled {
    /// The person agreed.
    Done {
        /// The login's token: it goes into the `Authorization` header, as a bearer token.
        token: String,
        /// Who it is.
        account: Box<Account>,
    },
    /// Not yet.
    Pending {
        /// How long to wait before asking again; it may have grown.
        interval_ms: u64,
        /// What to ask with from now on.
        device: String,
    },
}

/// The codes are not shown.
impl fmt::Debug for DeviceSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceSignIn")
            .field("verification_uri", &self.verification_uri)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for DevicePoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevicePoll").finish_non_exhaustive()
    }
}

impl fmt::Debug for DevicePolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { account, .. } => {
                f.debug_struct("Done").field("account", &account.id).finish_non_exhaustive()
            }
            Self::Pending { interval_ms, .. } => {
                f.debug_struct("Pending").field("interval_ms", interval_ms).finish_non_exhaustive()
            }
        }
    }
}
