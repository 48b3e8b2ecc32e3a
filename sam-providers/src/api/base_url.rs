//! Where an interface is.

use std::fmt;
use std::str::FromStr;

use sam_core::{Error, ErrorKind, Result};

/// The address that the paths of an interface are put behind, without a final slash.
///
/// It is `https://…`; plain `http://` is taken for this computer only (`127.0.0.1`, `[::1]`,
/// `localhost`), because a credential goes with every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// An address that is known to be one.
    pub(crate) fn known(url: &'static str) -> Self {
        Self(url.to_owned())
    }

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BaseUrl {
    type Err = Error;

    /// Reads an address. What was given is not repeated in the error: it may hold a password.
    fn from_str(text: &str) -> Result<Self> {
        let refuse = |message: &str| {
            Err(Error::new(ErrorKind::BadInput, message)
                .with_hint("write it as https://host or https://host/path"))
        };
        let text = text.trim().trim_end_matches('/');
        let Ok(uri) = text.parse::<http::Uri>() else {
            return refuse("the base URL is not a URL");
        };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return refuse("the base URL has no scheme or no host");
        };
        if authority.as_str().contains('@') {
            return refuse("the base URL holds a user or a password");
        }
        if uri.query().is_some() || text.contains('#') {
            return refuse("the base URL has a query or a fragment");
        }
        match scheme {
            "https" => {}
            "http" if matches!(authority.host(), "127.0.0.1" | "[::1]" | "localhost") => {}
            "http" => {
                return refuse(
                    "the base URL would send the credential unencrypted to another computer",
                );
            }
            _ => return refuse("the base URL is not https://"),
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_on_this_computer() {
        for (text, kept) in [
            ("https://api.example.com/v1/", "https://api.example.com/v1"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:8080/x", "http://[::1]:8080/x"),
            (" http://localhost ", "http://localhost"),
        ] {
            assert_eq!(text.parse::<BaseUrl>().unwrap().as_str(), kept);
        }
        for wrong in [
            "",
            "api.example.com",
            "http://api.example.com",
            "https://canary:canary@api.example.com",
            "https://api.example.com/?canary=1",
            "https://api.example.com/#canary",
            "ftp://api.example.com",
            "unix:/canary",
        ] {
            let error = wrong.parse::<BaseUrl>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput, "{wrong}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }
}
