//! What an installation is told of signing people in.

use std::net::SocketAddr;

use sam_core::account::Admission;
use sam_core::{Error, ErrorKind, Result};

use super::site::Site;
use crate::routes::CALLBACK_PATHS;

/// Who may sign in, and where browsers reach the server. Nobody may, unless told otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignInSettings {
    /// Who may.
    pub admission: Admission,
    /// The server's address for browsers; `https://api.` and the domain when absent, and without a
    /// domain the address it listens at.
    pub public_url: Option<String>,
    /// The domain of the installation; its pages are at `app.` below it.
    pub base_domain: Option<String>,
    /// The path that GitHub sends browsers back to.
    pub callback_path: String,
}

impl Default for SignInSettings {
    fn default() -> Self {
        Self {
            admission: Admission::Nobody,
            public_url: None,
            base_domain: None,
            callback_path: CALLBACK_PATHS[0].to_owned(),
        }
    }
}

/// What signing in is set up with.
#[derive(Debug, Clone)]
pub(crate) struct SignInPlan {
    pub(crate) admission: Admission,
    pub(crate) site: Site,
    pub(crate) callback_path: String,
}

impl SignInSettings {
    /// Reads what people wrote. What is empty is not set.
    ///
    /// # Errors
    /// `BadInput` naming the setting.
    pub fn read(
        logins: Option<String>,
        public_url: Option<String>,
        base_domain: Option<String>,
        callback_path: Option<String>,
    ) -> Result<Self> {
        let set = |text: Option<String>| {
            text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let admission = set(logins).map(|list| list.parse::<Admission>()).transpose();
        let admission = admission.map_err(|error| {
            bad(format!("SAM_SIGN_IN_GITHUB_LOGINS: {error}")).with_hint(
                "write names with commas between them, id:583231 for a number, or * alone",
            )
        })?;
        let usual = Self::default();
        let callback_path = set(callback_path).unwrap_or(usual.callback_path);
        if !CALLBACK_PATHS.contains(&callback_path.as_str()) {
            let message = format!("SAM_SIGN_IN_CALLBACK: nothing is at {callback_path:?}");
            return Err(
                bad(message).with_hint(format!("it is one of {}", CALLBACK_PATHS.join(", ")))
            );
        }
        let settings = Self {
            admission: admission.unwrap_or_default(),
            public_url: set(public_url),
            base_domain: set(base_domain),
            callback_path,
        };
        // What cannot be used is told of at once, used or not.
        settings.site(SocketAddr::from(([127, 0, 0, 1], 1)))?;
        Ok(settings)
    }

    /// Returns what signing in is set up with, for a server that listens at `address`; `None` where
    /// nobody may sign in.
    ///
    /// # Errors
    /// `BadInput` when browsers cannot be told where the server is.
    pub(crate) fn plan(&self, address: SocketAddr) -> Result<Option<SignInPlan>> {
        if self.admission == Admission::Nobody {
            return Ok(None);
        }
        Ok(Some(SignInPlan {
            admission: self.admission.clone(),
            site: self.site(address)?,
            callback_path: self.callback_path.clone(),
        }))
    }

    fn site(&self, address: SocketAddr) -> Result<Site> {
        match (&self.public_url, &self.base_domain) {
            (Some(url), domain) => Site::new(url, domain.as_deref()),
            (None, Some(domain)) => Site::of_domain(domain),
            (None, None) if address.ip().is_unspecified() => {
                Err(bad(format!("browsers cannot reach a server at {address}")).with_hint(
                    "say how they do with BASE_DOMAIN or SAM_PUBLIC_URL, for example https://api.example.com",
                ))
            }
            (None, None) => Site::new(&format!("http://{address}"), None),
        }
    }
}

fn bad(message: String) -> Error {
    Error::new(ErrorKind::BadInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(logins: &str, public_url: &str, domain: &str, path: &str) -> Result<SignInSettings> {
        let text = |text: &str| Some(text.to_owned());
        SignInSettings::read(text(logins), text(public_url), text(domain), text(path))
    }

    #[test]
    fn nobody_may_sign_in_unless_told_and_mistakes_are_named() {
        let local = SocketAddr::from(([127, 0, 0, 1], 7070));
        let usual = read("", "", "", "").unwrap();
        assert_eq!(usual, SignInSettings::default());
        assert!(usual.plan(local).unwrap().is_none());
        let plan = |settings: &SignInSettings| settings.plan(local).unwrap().unwrap().site;
        assert_eq!(plan(&read("mona", "", "", "").unwrap()).url("/"), "http://127.0.0.1:7070/");
        let both = read("*", "https://sam.example.org", "example.com", "").unwrap();
        assert_eq!(plan(&both).url("/"), "https://sam.example.org/");
        assert_eq!(plan(&both).settings(), "https://app.example.com/settings");
        for (settings, named) in [
            (read("a b", "", "", ""), "SAM_SIGN_IN_GITHUB_LOGINS"),
            (read("*", "example.org", "", ""), "example.org"),
            (read("*", "", "no domain", ""), "BASE_DOMAIN"),
            (read("*", "", "", "/elsewhere"), "SAM_SIGN_IN_CALLBACK"),
        ] {
            let error = settings.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput);
            assert!(error.to_string().contains(named) && error.hint().is_some(), "{error}");
        }
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 7070));
        let error = read("*", "", "", "").unwrap().plan(everywhere).unwrap_err();
        assert!(error.hint().unwrap().contains("BASE_DOMAIN"), "{error}");
        assert!(read("", "", "", "").unwrap().plan(everywhere).unwrap().is_none());
    }
}
