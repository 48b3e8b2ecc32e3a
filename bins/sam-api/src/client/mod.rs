//! A typed client: one method per endpoint, every wait bounded, every failure a
//! [`sam_core::Error`].
//!
//! Invariants: an answer of more than [`BODY_BYTES_MAX`] bytes is refused; redirects are not
//! followed, because they would carry the token elsewhere; only calls that can be repeated are
//! repeated, at most [`ATTEMPTS_MAX`] times in all.

mod account;
mod api;
mod credentials;
mod events;
mod exec;
mod github;
mod reconcile;
mod send;
mod socket;
mod sse;
mod terminal;

use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Url;
use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;

use sam_core::{Error, ErrorKind, Result, Secret};

use crate::{SocketPath, deadline};

pub use self::api::ListWorkspaces;
pub use self::events::{EventStream, EventsFrom, RECONNECTS_MAX};
pub use self::exec::{ExecMessage, ExecReceiver, ExecSender, ExecSocket};
pub use self::github::ListDeliveries;
pub use self::reconcile::ListNodes;
pub use self::sse::{SSE_LINE_BYTES_MAX, SseEvent, SseParser};
pub use self::terminal::{TerminalMessage, TerminalReceiver, TerminalSender, TerminalSocket};

/// Largest body of an answer, in bytes.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most attempts of one call that can be repeated.
pub const ATTEMPTS_MAX: u32 = 3;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `http://…` or `https://…`, with or without a path before `/api`.
    Http(String),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => f.write_str(url),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Makes creating a workspace repeatable: see [`crate::IDEMPOTENCY_KEY_HEADER`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Longest key, in bytes.
    pub const BYTES_MAX: usize = 128;

    /// Takes a key of 1 to 128 visible ASCII characters.
    ///
    /// # Errors
    /// `BadInput` when it is something else.
    pub fn new(key: impl Into<String>) -> Result<Self> {
        let key = key.into();
        let legal = !key.is_empty()
            && key.len() <= Self::BYTES_MAX
            && key.bytes().all(|byte| byte.is_ascii_graphic());
        if legal {
            return Ok(Self(key));
        }
        Err(Error::new(ErrorKind::BadInput, "an idempotency key has 1 to 128 visible characters"))
    }

    /// Makes a key of 128 random bits.
    ///
    /// # Errors
    /// `Unavailable` when the system gives no random bits.
    pub fn random() -> Result<Self> {
        let mut bits = [0_u8; 16];
        std::fs::File::open("/dev/urandom")
            .and_then(|mut source| source.read_exact(&mut bits))
            .map_err(|cause| {
                Error::new(ErrorKind::Unavailable, "the system gives no random bits")
                    .with_source(cause)
            })?;
        Ok(Self(format!("{:032x}", u128::from_be_bytes(bits))))
    }

    /// Returns the text of the header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A client of one server. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    target: Target,
    base: Url,
    http: reqwest::Client,
    authorization: Option<Arc<HeaderValue>>,
    // Keeps a socket path that goes through a descriptor usable.
    _socket: Option<SocketPath>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client; nothing is sent yet.
    ///
    /// `token` travels as a bearer token, in the `Authorization` header alone.
    ///
    /// # Errors
    /// `BadInput` when the URL or the token cannot be used.
    pub fn new(target: Target, token: Option<Secret<String>>) -> Result<Self> {
        let mut http = reqwest::Client::builder()
            .connect_timeout(deadline::CONNECT)
            .read_timeout(deadline::READ)
            // Lets the kernel notice, within about a minute, that the peer of a silent connection is
            // gone.
            .tcp_keepalive(deadline::KEEP_ALIVE_AFTER)
            .tcp_keepalive_interval(deadline::KEEP_ALIVE_EVERY)
            .tcp_keepalive_retries(deadline::KEEP_ALIVE_PROBES)
            .http1_only()
            .redirect(Policy::none())
            .user_agent(concat!("sam/", env!("CARGO_PKG_VERSION")));
        let (base, socket) = match &target {
            Target::Http(url) => (parse_base(url)?, None),
            Target::Unix(path) => {
                let socket = SocketPath::new(path).map_err(|cause| {
                    Error::new(ErrorKind::Unavailable, "the socket's directory cannot be opened")
                        .with_context("socket", path.display())
                        .with_source(cause)
                })?;
                http = http.unix_socket(socket.as_path());
                (parse_base("http://localhost")?, Some(socket))
            }
        };
        let authorization = token.map(|token| bearer(&token)).transpose()?.map(Arc::new);
        let http = http.build().map_err(|cause| {
            Error::new(ErrorKind::Unavailable, "the HTTP client cannot be set up")
                .with_hint("install the system's root certificates (ca-certificates)")
                .with_source(cause)
        })?;
        Ok(Self { target, base, http, authorization, _socket: socket })
    }

    /// Returns where the server is.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Returns the address of an endpoint; every part becomes one path segment, escaped.
    fn url(&self, segments: &[&str]) -> Result<Url> {
        let mut url = self.base.clone();
        if segments.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return Err(Error::new(ErrorKind::BadInput, "a name or id is empty or made of dots"));
        }
        match url.path_segments_mut() {
            Ok(mut path) => {
                path.pop_if_empty().extend(segments);
            }
            Err(()) => return Err(Error::new(ErrorKind::BadInput, "the URL cannot have a path")),
        }
        Ok(url)
    }
}

fn parse_base(text: &str) -> Result<Url> {
    let bad = |message: &str| {
        Error::new(ErrorKind::BadInput, message).with_hint(
            "give the server as https://host[:port], for example https://sam.example.org",
        )
    };
    let mut url = Url::parse(text)
        .map_err(|cause| bad("the server's URL cannot be read").with_source(cause))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad("the server's URL must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("the server's URL must not carry credentials"));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

fn bearer(token: &Secret<String>) -> Result<HeaderValue> {
    let mut value =
        HeaderValue::try_from(format!("Bearer {}", token.expose().trim())).map_err(|_| {
            Error::new(ErrorKind::BadInput, "the token holds characters no header takes")
        })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str) -> Result<Client> {
        Client::new(Target::Http(url.to_owned()), Some(Secret::new("canary".to_owned())))
    }

    #[tokio::test]
    async fn names_are_one_segment_each_and_a_base_path_is_kept() {
        let client = client("https://example.org/team/?x=1#y").unwrap();
        let url = client.url(&["api", "workspaces", "a/b c?d"]).unwrap();
        assert_eq!(url.as_str(), "https://example.org/team/api/workspaces/a%2Fb%20c%3Fd");
        for bad in ["", ".", ".."] {
            assert_eq!(client.url(&["api", bad]).unwrap_err().kind(), ErrorKind::BadInput);
        }
        assert!(!format!("{client:?}").contains("canary"));
    }

    #[tokio::test]
    async fn addresses_that_are_none_are_refused_with_a_hint() {
        for bad in ["", "example.org", "ftp://example.org", "https://u:p@example.org", "unix:/x"] {
            let error = client(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput, "{bad}");
            assert!(error.hint().is_some());
        }
    }

    #[test]
    fn keys_are_visible_text_and_random_ones_differ() {
        for bad in [String::new(), "a b".to_owned(), "x".repeat(129)] {
            assert_eq!(IdempotencyKey::new(bad).unwrap_err().kind(), ErrorKind::BadInput);
        }
        let (a, b) = (IdempotencyKey::random().unwrap(), IdempotencyKey::random().unwrap());
        assert_eq!(a.as_str().len(), 32);
        assert_ne!(a, b);
    }
}
