//! Where browsers reach the server: addresses, names of cookies, and which requests come from our
//! own pages.

use http::header::{HeaderName, ORIGIN, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Method};
use sam_core::{Error, ErrorKind, Result};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Longest local path that a sign-in leads to, in bytes.
const RETURN_BYTES_MAX: usize = 512;

/// Where browsers reach the server, and its pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// `https://api.example.com`.
    origin: String,
    /// `https://app.example.com`, where the pages are elsewhere.
    app: Option<String>,
}

impl Site {
    /// Describes it: the address of the server itself, and the domain below which its pages are at
    /// `app.`, if they are.
    ///
    /// # Errors
    /// `BadInput` for an address that is none, or has a path.
    pub fn new(public_url: &str, base_domain: Option<&str>) -> Result<Self> {
        let url = public_url.trim_end_matches('/');
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let legal = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
        if host.is_none_or(|host| host.is_empty() || !host.bytes().all(legal)) || url.len() > 512 {
            let message = format!("{public_url:?} is no address that browsers reach a server at");
            return Err(Error::new(ErrorKind::BadInput, message)
                .with_hint("write https://api.example.com, without a path"));
        }
        let app = base_domain.map(check_domain).transpose()?;
        let app = app.map(|domain| format!("https://app.{domain}"));
        Ok(Self { origin: url.to_ascii_lowercase(), app })
    }

    /// Describes it by its domain alone, as `https://api.` and that.
    ///
    /// # Errors
    /// `BadInput` for what is no domain.
    pub fn of_domain(base_domain: &str) -> Result<Self> {
        Self::new(&format!("https://api.{}", check_domain(base_domain)?), Some(base_domain))
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.origin.starts_with("https://")
    }

    /// Returns a whole address of a path of ours.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// Returns the name of the cookie of a login.
    pub(crate) fn login_cookie(&self) -> &'static str {
        if self.is_secure() { "__Host-sam_login" } else { "sam_login" }
    }

    /// Returns the name of the cookie of a sign-in under way.
    pub(crate) fn sign_in_cookie(&self) -> &'static str {
        if self.is_secure() { "__Host-sam_sign_in" } else { "sam_sign_in" }
    }

    /// Returns where a person goes after signing in; `path` is one that [`local_path`] let pass.
    pub(crate) fn after_sign_in(&self, path: Option<&str>) -> String {
        match (path, &self.app) {
            (Some(path), _) if path.starts_with("/api/") => path.to_owned(),
            (path, Some(app)) => format!("{app}{}", path.unwrap_or("/")),
            (path, None) => path.unwrap_or("/").to_owned(),
        }
    }

    /// Returns where a person goes after the App was installed.
    pub(crate) fn settings(&self) -> String {
        let app = self.app.as_deref().unwrap_or_default();
        if app.is_empty() { "/".to_owned() } else { format!("{app}/settings") }
    }

    /// Returns whether a request that a browser sent with its cookie may do what it asks for: it
    /// changes nothing, or it comes from a page of ours.
    ///
    /// `Origin` decides where it is told; without it, `Sec-Fetch-Site` must say `same-origin`. What
    /// says neither is refused: every browser of today says one of them.
    pub(crate) fn lets_browser(&self, parts: &Parts) -> bool {
        let is_read = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        // A WebSocket is a GET that does things.
        let is_socket = parts.headers.contains_key(UPGRADE);
        (is_read && !is_socket) || self.is_own(&parts.headers)
    }

    fn is_own(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        let ours = |origin: &[u8]| {
            let is = |known: &str| origin.eq_ignore_ascii_case(known.as_bytes());
            is(&self.origin) || self.app.as_deref().is_some_and(is)
        };
        match (origins.next(), origins.next()) {
            (Some(origin), None) => ours(origin.as_bytes()),
            (Some(_), Some(_)) => false,
            (None, _) => headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "same-origin"),
        }
    }
}

/// Lets a path pass that cannot lead to another site.
pub(crate) fn local_path(text: &str) -> Option<&str> {
    let is_local = text.starts_with('/') && !text.starts_with("//");
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    (is_local && plain && text.len() <= RETURN_BYTES_MAX).then_some(text)
}

fn check_domain(text: &str) -> Result<&str> {
    let domain = text.trim();
    let label = |label: &str| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(legal)
    };
    if domain.len() <= 200 && domain.contains('.') && domain.split('.').all(label) {
        return Ok(domain);
    }
    Err(Error::new(ErrorKind::BadInput, format!("BASE_DOMAIN {text:?} is no domain"))
        .with_hint("write example.com"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::*;

    #[test]
    fn what_changes_something_comes_from_our_own_pages() {
        let site = Site::of_domain("example.com").unwrap();
        let lets = |method: Method, headers: &[(&'static str, &'static str)]| {
            let mut parts = Request::builder().method(method).body(()).unwrap().into_parts().0;
            for (name, value) in headers {
                parts.headers.append(*name, HeaderValue::from_static(value));
            }
            site.lets_browser(&parts)
        };
        let (own, app) = ("https://api.example.com", "https://app.example.com");
        for (headers, expected) in [
            (&[("origin", own)][..], true),
            (&[("origin", app)], true),
            (&[("origin", "HTTPS://APP.EXAMPLE.COM")], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")], false),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "https://api.example.com.evil.example")], false),
            (&[("origin", "http://api.example.com")], false),
            (&[("origin", "https://ws-1.example.com")], false),
            (&[("origin", "null")], false),
            (&[("origin", own), ("origin", "https://evil.example")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[], false),
        ] {
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::CONNECT] {
                assert_eq!(lets(method, headers), expected, "{headers:?}");
            }
            assert!(lets(Method::GET, headers));
            let mut socket = headers.to_vec();
            socket.push(("upgrade", "websocket"));
            assert_eq!(lets(Method::GET, &socket), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_sign_in_leads_to_no_other_site() {
        for bad in [
            "",
            "x",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example/",
            "/a\r\nSet-Cookie: x",
            "/\u{e9}",
            " /",
            &format!("/{}", "a".repeat(600)),
        ] {
            assert_eq!(local_path(bad), None, "{bad:.40}");
        }
        assert_eq!(local_path("/a?b=c#d"), Some("/a?b=c#d"));
        let bare = Site::new("http://127.0.0.1:7070/", None).unwrap();
        assert_eq!(bare.after_sign_in(None), "/");
        assert_eq!(bare.after_sign_in(Some("/w/1")), "/w/1");
        assert_eq!((bare.settings().as_str(), bare.login_cookie()), ("/", "sam_login"));
        let site = Site::of_domain("example.com").unwrap();
        assert_eq!(site.url("/x"), "https://api.example.com/x");
        assert_eq!(site.after_sign_in(None), "https://app.example.com/");
        assert_eq!(site.after_sign_in(Some("/w/1")), "https://app.example.com/w/1");
        assert_eq!(site.after_sign_in(Some("/api/github/callback")), "/api/github/callback");
        assert_eq!(site.settings(), "https://app.example.com/settings");
        assert_eq!(site.login_cookie(), "__Host-sam_login");
    }

    #[test]
    fn addresses_and_domains_that_are_none_are_refused() {
        for bad in ["", "example.com", "ftp://x", "https://", "https://a/b", "https://u@h"] {
            assert_eq!(Site::new(bad, None).unwrap_err().kind(), ErrorKind::BadInput, "{bad}");
        }
        for bad in ["", "localhost", "a..b", "https://example.com", "a b.c", "*.example.com"] {
            assert_eq!(Site::of_domain(bad).unwrap_err().kind(), ErrorKind::BadInput, "{bad}");
        }
    }
}
