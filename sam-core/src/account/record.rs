//! What is stored of an account, and what a forge tells of a visitor.

use serde::{Deserialize, Serialize};

use super::admission::Admitted;
use crate::engine::Stored;
use crate::id::AccountId;
use crate::store::{Index, IndexField, Kind, RecordKey, UniqueChange};
use crate::time::Timestamp;

/// Somebody who proved at a forge who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Visitor {
    /// The forge's host, such as `github.com`.
    pub forge: String,
    /// The forge's number of the user, which stays.
    pub number: u64,
    /// The user's name there, which may change.
    pub handle: String,
    /// What the user is called.
    pub name: Option<String>,
    /// An e-mail address; empty when the forge tells none.
    pub email: String,
    /// Whether the forge says that the address is the user's.
    pub email_is_verified: bool,
    /// A picture.
    pub avatar_url: Option<String>,
}

impl Visitor {
    /// Describes one by what is needed; set the other members.
    pub fn new(forge: impl Into<String>, number: u64, handle: impl Into<String>) -> Self {
        Self {
            forge: forge.into(),
            number,
            handle: handle.into(),
            name: None,
            email: String::new(),
            email_is_verified: false,
            avatar_url: None,
        }
    }
}

/// Somebody who signed in at least once, as it is stored. Indexed by identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AccountRecord {
    /// Format of this record.
    pub format: u32,
    /// Names it; what it makes is owned by this name.
    pub id: AccountId,
    /// The forge's host.
    pub forge: String,
    /// The forge's number of the user.
    pub number: u64,
    /// The user's name there when they last signed in.
    pub handle: String,
    /// What the user is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An e-mail address; empty when the forge tells none.
    #[serde(default)]
    pub email: String,
    /// Whether the forge says that the address is the user's.
    #[serde(default)]
    pub email_is_verified: bool,
    /// A picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// The name of the list by which the account was let in, and which is its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitted_as: Option<String>,
    /// Rises when all logins are ended; those of before are none any more.
    #[serde(default)]
    pub logins_epoch: u64,
    /// When they first signed in.
    pub created_at: Timestamp,
    /// When they last signed in.
    pub signed_in_at: Timestamp,
}

impl AccountRecord {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("account");
    /// Indexed by identity.
    pub const BY_IDENTITY: IndexField = IndexField::First;
    /// Longest name of a user, in bytes.
    pub const HANDLE_BYTES_MAX: usize = 128;
    /// Longest name of a person that is kept, in characters.
    pub const NAME_CHARS_MAX: usize = 128;
    /// Longest e-mail address, in bytes; a longer one is not kept.
    pub const EMAIL_BYTES_MAX: usize = 254;
    /// Longest address of a picture, in bytes; a longer one is not kept.
    pub const AVATAR_BYTES_MAX: usize = 512;

    const IDENTITIES: &'static str = "account_identity";
    /// What the names of a list are claimed in.
    pub(crate) const ADMISSIONS: &'static str = "account_admission";

    /// Makes the account of somebody who signs in for the first time.
    pub(crate) fn new(
        id: AccountId,
        visitor: &Visitor,
        admitted: &Admitted,
        now: Timestamp,
    ) -> Self {
        let blank = Self {
            format: <Self as Stored>::FORMAT,
            id,
            forge: visitor.forge.clone(),
            number: visitor.number,
            handle: String::new(),
            name: None,
            email: String::new(),
            email_is_verified: false,
            avatar_url: None,
            admitted_as: None,
            logins_epoch: 0,
            created_at: now,
            signed_in_at: now,
        };
        blank.seen(visitor, admitted, now)
    }

    /// Returns it as the forge tells of it now.
    #[must_use]
    pub(crate) fn seen(&self, visitor: &Visitor, admitted: &Admitted, now: Timestamp) -> Self {
        let admitted_as = match admitted {
            // A name that was the account's stays its own, should the list return to names.
            Admitted::Freely => self.admitted_as.clone(),
            Admitted::ByName(name) => Some(name.clone()),
        };
        let name = visitor.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
        let picture = visitor.avatar_url.as_ref();
        let email = Some(&visitor.email).filter(|email| email.len() <= Self::EMAIL_BYTES_MAX);
        Self {
            handle: visitor.handle.clone(),
            name: name.map(|name| name.chars().take(Self::NAME_CHARS_MAX).collect()),
            email: email.cloned().unwrap_or_default(),
            email_is_verified: visitor.email_is_verified && email.is_some(),
            avatar_url: picture.filter(|url| is_picture(url)).cloned(),
            admitted_as,
            signed_in_at: now,
            ..self.clone()
        }
    }

    /// Returns it with all logins of before ended.
    #[must_use]
    pub(crate) fn signed_out_everywhere(&self) -> Self {
        Self { logins_epoch: self.logins_epoch.saturating_add(1), ..self.clone() }
    }

    /// Returns the key of an account's record.
    pub fn key_of(id: AccountId) -> RecordKey {
        RecordKey::new(Self::KIND, id)
    }

    /// Returns what an account is known by: the forge and its number, never a name.
    pub fn identity(forge: &str, number: u64) -> String {
        format!("github-user/{forge}/{number}")
    }

    /// Claims what may be one account's only: the identity, and the name it was let in by. The name
    /// it was let in by before becomes free.
    pub(crate) fn claims(&self, before: Option<&Self>) -> Vec<UniqueChange> {
        let claim = |space, key| UniqueChange::Claim { space, key, holder: self.key() };
        let name = |record: &Self| {
            record.admitted_as.as_ref().map(|name| format!("{}/{name}", record.forge))
        };
        let mut changes = vec![claim(Self::IDENTITIES, Self::identity(&self.forge, self.number))];
        let (former, current) = (before.and_then(name), name(self));
        if let Some(key) = former.filter(|key| Some(key) != current.as_ref()) {
            let (space, holder) = (Self::ADMISSIONS, self.key());
            changes.push(UniqueChange::Release { space, key, holder });
        }
        changes.extend(current.map(|key| claim(Self::ADMISSIONS, key)));
        changes
    }
}

fn is_picture(url: &str) -> bool {
    let plain = url.bytes().all(|byte| byte.is_ascii_graphic());
    url.starts_with("https://") && plain && url.len() <= AccountRecord::AVATAR_BYTES_MAX
}

impl Stored for AccountRecord {
    const KIND: Kind = Self::KIND;
    const FORMAT: u32 = 1;

    fn key(&self) -> RecordKey {
        Self::key_of(self.id)
    }

    fn index(&self) -> Index {
        [Some(Self::identity(&self.forge, self.number)), None, None]
    }

    fn format(&self) -> u32 {
        self.format
    }
}
