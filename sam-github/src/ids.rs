//! GitHub's numbers. They are what stays when a name changes, so they are the identity.

use std::fmt;
use std::str::FromStr;

use sam_core::forge::GrantId;
use sam_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($what:literal);)*) => {$(
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Takes GitHub's number.
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// Returns the number.
            pub const fn as_u64(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse().ok().filter(|_| digits).map(Self).ok_or_else(|| {
                    Error::new(ErrorKind::BadInput, concat!("expected the number of ", $what))
                })
            }
        }
    )*};
}

numbers! {
    /// An installation of the App for one user or organisation.
    InstallationId("an installation");
    /// A repository, whatever it is called now.
    RepositoryId("a repository");
    /// A user or an organisation, whatever it is called now.
    UserId("a user");
}

impl TryFrom<&GrantId> for InstallationId {
    type Error = Error;

    fn try_from(grant: &GrantId) -> Result<Self, Self::Error> {
        // A grant that is no number is not ours, so there is none of that name.
        grant.as_str().parse().map_err(|_| {
            Error::new(ErrorKind::NotFound, format!("there is no installation {grant}"))
        })
    }
}

/// Who an App's own token is from: its number, or its client id, which GitHub recommends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer(Name);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    AppId(u64),
    ClientId(String),
}

impl Issuer {
    /// Longest client id, in bytes.
    pub const BYTES_MAX: usize = 64;

    /// Returns the claim as JSON. A client id has nothing that needs escaping.
    pub(crate) fn claim(&self) -> String {
        match &self.0 {
            Name::AppId(number) => number.to_string(),
            Name::ClientId(text) => format!("\"{text}\""),
        }
    }
}

impl FromStr for Issuer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(number) = text.parse::<u64>() {
            return Ok(Self(Name::AppId(number)));
        }
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if text.is_empty() || text.len() > Self::BYTES_MAX || !text.bytes().all(legal) {
            return Err(Error::new(ErrorKind::BadInput, "this is no App id and no client id")
                .with_hint("the App's settings show both under \"About\""));
        }
        Ok(Self(Name::ClientId(text.to_owned())))
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Name::AppId(number) => number.fmt(f),
            Name::ClientId(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_a_number_or_a_client_id() {
        assert_eq!("1136541".parse::<Issuer>().unwrap().claim(), "1136541");
        assert_eq!("Iv23liExample".parse::<Issuer>().unwrap().claim(), "\"Iv23liExample\"");
        for wrong in ["", " 1", "a\"b", "a b", &"x".repeat(65)] {
            assert_eq!(wrong.parse::<Issuer>().unwrap_err().kind(), ErrorKind::BadInput);
        }
    }

    #[test]
    fn a_number_is_digits_and_a_grant_without_them_is_not_there() {
        assert_eq!("42".parse::<RepositoryId>().unwrap().as_u64(), 42);
        for wrong in ["", "+1", "-1", "1.0", "99999999999999999999999"] {
            wrong.parse::<RepositoryId>().unwrap_err();
        }
        let grant: GrantId = "octo".parse().unwrap();
        let error = InstallationId::try_from(&grant).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
