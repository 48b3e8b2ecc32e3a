//! What GitHub sends a browser back with: after a sign-in, or after an installation.

use sam_core::{Error, ErrorKind, Result, Secret};

use crate::encode::{pairs, read_pairs, segment};
use crate::{Endpoints, InstallationId};

/// Longest query that is read, in bytes.
const QUERY_BYTES_MAX: usize = 4 << 10;

/// What came back.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Callback {
    /// A sign-in that the user agreed to.
    Code {
        /// What a token is had for.
        code: Secret<String>,
        /// What must be the state that was sent.
        state: Secret<String>,
    },
    /// A sign-in that failed on GitHub's page.
    Refused {
        /// GitHub's code, such as `access_denied`.
        code: String,
    },
    /// The App was installed, or its installation changed. Anybody can send this: the number counts
    /// only once the signed-in user is seen to see it.
    Setup {
        /// Which installation; none where an owner has yet to approve it.
        installation: Option<InstallationId>,
        /// `install`, `update` or `request`.
        action: String,
        /// What was given to [`install_url`].
        state: Option<Secret<String>>,
    },
}

impl Callback {
    /// Reads the query of a callback. With both a code and an installation, as where GitHub asks
    /// for both at once, the code counts: the installation is found through the user.
    ///
    /// # Errors
    /// `BadInput` for neither, for a member that is there twice, and for what is too long.
    pub fn read(query: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::new(ErrorKind::BadInput, format!("this callback {why}"))
                .with_operation("read_callback")
        };
        if query.len() > QUERY_BYTES_MAX {
            return Err(wrong("is too long"));
        }
        let members: Vec<(String, String)> = read_pairs(query).collect();
        let member = |name: &str| {
            let mut found = members.iter().filter(|(key, _)| key == name);
            match (found.next(), found.next()) {
                (Some((_, value)), None) if !value.is_empty() => Ok(Some(value.clone())),
                (Some(_), None) | (None, _) => Ok(None),
                (Some(_), Some(_)) => Err(wrong("names something twice")),
            }
        };
        let state = member("state")?.map(Secret::new);
        if let Some(code) = member("error")? {
            let legal = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
            return Ok(Self::Refused { code: code.chars().filter(legal).take(64).collect() });
        }
        if let Some(code) = member("code")?.map(Secret::new) {
            let state = state.ok_or_else(|| wrong("has no state"))?;
            return Ok(Self::Code { code, state });
        }
        let action = member("setup_action")?;
        let installation = match member("installation_id")? {
            Some(text) => {
                Some(text.parse().map_err(|_| wrong("names no number of an installation"))?)
            }
            None => None,
        };
        match action {
            Some(action) if installation.is_some() || action == "request" => {
                Ok(Self::Setup { installation, action, state })
            }
            Some(_) | None => Err(wrong("has neither a code nor an installation")),
        }
    }
}

/// Returns the page on which an owner installs the App. The state comes back to the App's set-up
/// address.
pub fn install_url(endpoints: &Endpoints, slug: &str, state: Option<&Secret<String>>) -> String {
    // A server of one's own has its Apps under another path.
    let own = endpoints.api().ends_with("/api/v3");
    let apps = if own { "github-apps" } else { "apps" };
    let page = format!("{}/{apps}/{}/installations/new", endpoints.web(), segment(slug));
    match state {
        Some(state) => format!("{page}?{}", pairs([("state", state.expose().as_str())])),
        None => page,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_told_apart_and_neither_is_refused() {
        let code = Callback::read("code=abc&state=xyz").unwrap();
        assert!(matches!(&code, Callback::Code { code, state }
            if code.expose() == "abc" && state.expose() == "xyz"));
        assert!(!format!("{code:?}").contains("abc"));
        let setup = Callback::read("installation_id=42&setup_action=install").unwrap();
        assert!(
            matches!(setup, Callback::Setup { installation: Some(id), .. } if id.as_u64() == 42)
        );
        let request = Callback::read("setup_action=request").unwrap();
        assert!(matches!(request, Callback::Setup { installation: None, .. }));
        let both = Callback::read("code=a&state=b&installation_id=1&setup_action=install").unwrap();
        assert!(matches!(both, Callback::Code { .. }));
        let refused = Callback::read("error=access_denied&state=b").unwrap();
        assert!(matches!(refused, Callback::Refused { code } if code == "access_denied"));
        for wrong in [
            "",
            "code=abc",
            "code=&state=x",
            "installation_id=42",
            "setup_action=install",
            "installation_id=x&setup_action=install",
            "code=a&code=b&state=x",
            "code=a&state=x&state=y",
            &format!("code={}&state=x", "a".repeat(5_000)),
        ] {
            let error = Callback::read(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput, "{wrong:.40}");
        }
    }

    #[test]
    fn an_app_is_installed_on_its_own_github() {
        let state = Secret::new("a b".to_owned());
        let here = install_url(&Endpoints::default(), "demo", Some(&state));
        assert_eq!(here, "https://github.com/apps/demo/installations/new?state=a%20b");
        let own = Endpoints::enterprise("https://git.example.com").unwrap();
        let there = install_url(&own, "demo", None);
        assert_eq!(there, "https://git.example.com/github-apps/demo/installations/new");
    }
}
