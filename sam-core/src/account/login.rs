//! What is stored of a login. Its token is nowhere: the record's key is the token's SHA-256.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

use super::record::AccountRecord;
use crate::Secret;
use crate::engine::Stored;
use crate::entropy::Entropy;
use crate::id::AccountId;
use crate::store::{Index, IndexField, Kind, RecordKey};
use crate::time::Timestamp;

/// What holds a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LoginChannel {
    /// A browser, in a cookie.
    Browser,
    /// A command line or another program, in a file.
    Device,
}

impl LoginChannel {
    /// Returns the stable word for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Device => "device",
        }
    }
}

/// A login as it is stored. Indexed by account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LoginRecord {
    /// Format of this record.
    pub format: u32,
    /// SHA-256 of the token, in hex.
    pub id: String,
    /// Whose it is.
    pub account: AccountId,
    /// The account's [`AccountRecord::logins_epoch`] when it began.
    pub epoch: u64,
    /// What holds it.
    pub channel: LoginChannel,
    /// What the holder calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, to [`LoginRecord::USED_GRAIN`].
    pub used_at: Timestamp,
}

impl LoginRecord {
    /// The kind of its record.
    pub const KIND: Kind = Kind::new("login");
    /// Indexed by account.
    pub const BY_ACCOUNT: IndexField = IndexField::First;
    /// It ends when it was not used for so long.
    pub const IDLE_MAX: Duration = Duration::from_hours(30 * 24);
    /// It ends so long after its beginning.
    pub const LIFE_MAX: Duration = Duration::from_hours(90 * 24);
    /// That it is used is written down this often.
    pub const USED_GRAIN: Duration = Duration::from_hours(1);
    /// Most logins of one account; another one ends the one that was not used for longest.
    pub const PER_ACCOUNT_MAX: usize = 50;
    /// Longest name of a holder that is kept, in characters.
    pub const USER_AGENT_CHARS_MAX: usize = 200;
    /// How tokens begin, so that people and scanners know what they found.
    pub const TOKEN_PREFIX: &'static str = "sam_login_";

    const TOKEN_BYTES: usize = 32;
    /// [`Self::TOKEN_BYTES`] in base64 without padding.
    const TOKEN_CHARS: usize = 43;

    /// Makes a login and its token.
    pub(crate) fn new(
        account: &AccountRecord,
        channel: LoginChannel,
        user_agent: Option<&str>,
        (now, entropy): (Timestamp, &dyn Entropy),
    ) -> (Secret<String>, Self) {
        let mut bytes = [0_u8; Self::TOKEN_BYTES];
        entropy.fill(&mut bytes);
        let text = Secret::new(URL_SAFE_NO_PAD.encode(bytes));
        bytes.zeroize();
        let token = Secret::new(format!("{}{}", Self::TOKEN_PREFIX, text.expose()));
        let named = user_agent.map(|text| {
            let plain = text.chars().filter(|c| !c.is_control());
            plain.take(Self::USER_AGENT_CHARS_MAX).collect::<String>()
        });
        let login = Self {
            format: <Self as Stored>::FORMAT,
            id: hash(token.expose()),
            account: account.id,
            epoch: account.logins_epoch,
            channel,
            user_agent: named.filter(|name| !name.is_empty()),
            created_at: now,
            used_at: now,
        };
        (token, login)
    }

    /// Returns the id of a token's login; `None` for what is no token.
    pub fn id_of(token: &str) -> Option<String> {
        let random = token.strip_prefix(Self::TOKEN_PREFIX)?;
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_token = random.len() == Self::TOKEN_CHARS && random.bytes().all(legal);
        is_token.then(|| hash(token))
    }

    /// Returns the key of a login's record.
    pub fn key_of(id: &str) -> RecordKey {
        RecordKey::new(Self::KIND, id)
    }

    /// Returns when it ends, if it is not used again.
    pub fn ends_at(&self) -> Timestamp {
        self.used_at.plus(Self::IDLE_MAX).min(self.created_at.plus(Self::LIFE_MAX))
    }

    /// Returns how long it is still good.
    pub fn left(&self, now: Timestamp) -> Duration {
        self.ends_at().since(now)
    }

    /// Returns whether it is one of an account now.
    pub fn is_good(&self, account: &AccountRecord, now: Timestamp) -> bool {
        self.account == account.id
            && self.epoch == account.logins_epoch
            && !self.left(now).is_zero()
    }

    /// Returns it as used now; `None` when that is not worth writing down.
    pub(crate) fn used(&self, now: Timestamp) -> Option<Self> {
        let worth = now.since(self.used_at) >= Self::USED_GRAIN;
        worth.then(|| Self { used_at: now, ..self.clone() })
    }
}

fn hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _infallible = write!(hex, "{byte:02x}");
        hex
    })
}

impl Stored for LoginRecord {
    const KIND: Kind = Self::KIND;
    const FORMAT: u32 = 1;

    fn key(&self) -> RecordKey {
        Self::key_of(&self.id)
    }

    fn index(&self) -> Index {
        [Some(self.account.to_string()), None, None]
    }

    fn format(&self) -> u32 {
        self.format
    }
}
