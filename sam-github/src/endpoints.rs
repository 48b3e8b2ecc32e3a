//! Where GitHub is: github.com, or a server of one's own.

use std::fmt;

use sam_core::{Error, ErrorKind, Result};

/// The addresses of one GitHub: its REST interface, and its web pages with sign-in and git.
///
/// ```
/// use sam_github::Endpoints;
/// assert_eq!(Endpoints::default().api(), "https://api.github.com");
/// let own = Endpoints::enterprise("https://git.example.com/")?;
/// assert_eq!((own.api(), own.web()), ("https://git.example.com/api/v3", "https://git.example.com"));
/// assert!(Endpoints::enterprise("http://git.example.com").is_err());
/// # Ok::<(), sam_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    api: String,
    web: String,
}

impl Endpoints {
    /// Takes both addresses, such as those of a tenant of ghe.com.
    ///
    /// # Errors
    /// `BadInput` for what is no plain `https://` address. `http://` is taken for the loopback
    /// host only, since every request carries a credential.
    pub fn new(api: &str, web: &str) -> Result<Self> {
        Ok(Self { api: base(api)?, web: base(web)? })
    }

    /// Takes the address of a GitHub Enterprise Server, whose interface lies under `/api/v3`.
    ///
    /// # Errors
    /// As [`Endpoints::new`].
    pub fn enterprise(web: &str) -> Result<Self> {
        let web = base(web)?;
        Ok(Self { api: format!("{web}/api/v3"), web })
    }

    /// Returns the address of the REST interface, without a slash at its end.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// Returns the address of the web pages, without a slash at its end.
    pub fn web(&self) -> &str {
        &self.web
    }

    /// Returns the scheme and the host, with its port, as git names them when it asks for a
    /// credential.
    pub fn git_host(&self) -> (&str, &str) {
        let (scheme, rest) = self.web.split_once("://").unwrap_or(("https", &self.web));
        (scheme, rest.split('/').next().unwrap_or(rest))
    }

    /// Returns the path below the REST interface of an address GitHub named, if it is one there.
    pub(crate) fn api_path<'a>(&self, address: &'a str) -> Option<&'a str> {
        let path = address.strip_prefix(self.api.as_str())?;
        (path.starts_with('/') && !path.contains("/../")).then_some(path)
    }
}

impl Default for Endpoints {
    /// Returns those of github.com.
    fn default() -> Self {
        Self { api: "https://api.github.com".to_owned(), web: "https://github.com".to_owned() }
    }
}

impl fmt::Display for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.web)
    }
}

fn base(address: &str) -> Result<String> {
    let wrong = |why: &str| {
        Error::new(ErrorKind::BadInput, format!("an address of GitHub {why}"))
            .with_hint("expected something like https://git.example.com")
    };
    let trimmed = address.trim().trim_end_matches('/');
    let uri: http::Uri = trimmed.parse().map_err(|_| wrong("cannot be read"))?;
    let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
    if authority.as_str().contains('@') {
        return Err(wrong("holds a user name or a password"));
    }
    if uri.query().is_some() || trimmed.contains('#') {
        return Err(wrong("has a query"));
    }
    let loopback = matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]");
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if loopback => {}
        _ => return Err(wrong("does not begin with https://")),
    }
    Ok(trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_without_encryption_are_for_this_machine_only() {
        for good in ["http://127.0.0.1:80", "http://localhost:1/x", "http://[::1]:9", "https://a"] {
            base(good).unwrap();
        }
        for wrong in [
            "",
            "x",
            "http://example.com",
            "https://a:b@c",
            "https://a?b",
            "https://a/#b",
            "ftp://a",
        ] {
            assert_eq!(base(wrong).unwrap_err().kind(), ErrorKind::BadInput, "{wrong:?}");
        }
    }

    #[test]
    fn only_addresses_below_the_interface_are_followed() {
        let own = Endpoints::enterprise("https://git.example.com:8443").unwrap();
        assert_eq!(
            own.api_path("https://git.example.com:8443/api/v3/user?page=2"),
            Some("/user?page=2")
        );
        for wrong in [
            "https://git.example.com:8443/api/v30/user",
            "https://git.example.com:8443/user",
            "https://evil.example/api/v3/user",
            "https://git.example.com:8443.evil.example/api/v3/user",
            "https://git.example.com:8443/api/v3/../../x",
        ] {
            assert_eq!(own.api_path(wrong), None, "{wrong}");
        }
        assert_eq!(own.git_host(), ("https", "git.example.com:8443"));
    }
}
