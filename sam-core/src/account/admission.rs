//! Who may sign in. Pure.
//!
//! A name on the list means whoever has it when it is first used, and that account from then on: a
//! name that is given up and taken by somebody else opens nothing.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::record::{AccountRecord, Visitor};

/// Who may sign in. Nobody, unless told otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Admission {
    /// Everybody who has an account at the forge.
    Anybody,
    /// These; nobody when there are none.
    Listed {
        /// Names at the forge, in lower case.
        names: BTreeSet<String>,
        /// The forge's numbers of users.
        numbers: BTreeSet<u64>,
    },
    /// Nobody.
    #[default]
    Nobody,
}

/// By what somebody was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admitted {
    /// By being anybody, or by number.
    Freely,
    /// By a name of the list, which is the account's from now on.
    ByName(String),
}

/// Why a text is no list of people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseAdmissionError {
    /// An entry is neither a name, nor `id:` and a number, nor `*` alone.
    #[error("{0:?} is neither a user's name, nor id: and a number, nor * alone")]
    Entry(String),
    /// There are too many.
    #[error("the list has more than {} entries", Admission::ENTRIES_MAX)]
    Length,
}

impl Admission {
    /// Most entries of a list.
    pub const ENTRIES_MAX: usize = 1_000;
    /// Longest name of an entry, in bytes.
    pub const NAME_BYTES_MAX: usize = 64;

    /// Decides whether a visitor may sign in, whose account is `known` if there is one.
    pub fn admit(&self, visitor: &Visitor, known: Option<&AccountRecord>) -> Option<Admitted> {
        let Self::Listed { names, numbers } = self else {
            return (*self == Self::Anybody).then_some(Admitted::Freely);
        };
        if numbers.contains(&visitor.number) {
            return Some(Admitted::Freely);
        }
        let kept = known.and_then(|account| account.admitted_as.as_ref());
        let kept = kept.filter(|name| names.contains(*name)).cloned();
        let name = visitor.handle.to_lowercase();
        kept.or_else(|| names.contains(&name).then_some(name)).map(Admitted::ByName)
    }

    /// Returns whether an account that signed in before may still be here.
    pub fn keeps(&self, account: &AccountRecord) -> bool {
        match self {
            Self::Anybody => true,
            Self::Nobody => false,
            Self::Listed { names, numbers } => {
                let name = account.admitted_as.as_ref();
                numbers.contains(&account.number) || name.is_some_and(|name| names.contains(name))
            }
        }
    }
}

/// `*`, or names and `id:<number>` with commas between them; nothing is nobody.
impl FromStr for Admission {
    type Err = ParseAdmissionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
        if text.trim() == "*" {
            return Ok(Self::Anybody);
        }
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if names.len() + numbers.len() >= Self::ENTRIES_MAX {
                return Err(ParseAdmissionError::Length);
            }
            let refused = || ParseAdmissionError::Entry(entry.chars().take(64).collect());
            if let Some(number) = entry.strip_prefix("id:") {
                numbers.insert(number.parse().map_err(|_| refused())?);
                continue;
            }
            let legal = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
            if entry.len() > Self::NAME_BYTES_MAX || !entry.bytes().all(legal) {
                return Err(refused());
            }
            names.insert(entry.to_lowercase());
        }
        let is_empty = names.is_empty() && numbers.is_empty();
        Ok(if is_empty { Self::Nobody } else { Self::Listed { names, numbers } })
    }
}
