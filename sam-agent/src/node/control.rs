//! The way to the control plane: over TCP with or without TLS, or a Unix socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use sam_core::{Error, ErrorKind, Result};

use crate::deadline;
use crate::link::{WsIo, dial_tcp, web_socket_config};

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Longest path that fits the address of a Unix socket, with its closing zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Any byte stream a link can run on.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Where the control plane is.
#[derive(Debug)]
pub(super) struct Control {
    /// `http://host:port/path`, without a slash at the end; for a socket only the path counts.
    base: String,
    socket: Option<Socket>,
    http: reqwest::Client,
}

/// A Unix socket by a name short enough.
#[derive(Debug)]
struct Socket {
    path: PathBuf,
    /// Kept open as long as the short name goes through it.
    _directory: Option<std::fs::File>,
}

impl Socket {
    fn open(path: &Path) -> Result<Self> {
        if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            return Ok(Self { path: path.to_owned(), _directory: None });
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(bad_url());
        };
        let directory = std::fs::File::open(parent).map_err(not_reached)?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&directory);
        let short = PathBuf::from(format!("/proc/self/fd/{number}")).join(name);
        Ok(Self { path: short, _directory: Some(directory) })
    }
}

impl Control {
    /// Understands a control URL: `http://…`, `https://…` or `unix:/path`.
    ///
    /// # Errors
    /// `BadInput`; `Unavailable` when a socket's directory cannot be opened.
    pub(super) fn new(url: &str) -> Result<Self> {
        let (base, socket) = if let Some(path) = url.strip_prefix("unix:") {
            let path = Path::new(path);
            if !path.is_absolute() {
                return Err(bad_url());
            }
            ("http://localhost".to_owned(), Some(Socket::open(path)?))
        } else if url.starts_with("http://") || url.starts_with("https://") {
            (url.trim_end_matches('/').to_owned(), None)
        } else {
            return Err(bad_url());
        };
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(ANSWER_DEADLINE)
            // A connection kept from before may lead to a peer that is frozen by now.
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        let builder = match &socket {
            Some(socket) => builder.unix_socket(socket.path.clone()),
            None => builder,
        };
        let http = builder.build().map_err(|error| {
            Error::new(ErrorKind::Unavailable, "no HTTP client can be made").with_source(error)
        })?;
        Ok(Self { base, socket, http })
    }

    /// Posts JSON and reads JSON.
    ///
    /// # Errors
    /// The kind of the server's answer when it refused; `Unavailable`, `Timeout`, `Corrupt`.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T> {
        Self::read(self.http.post(format!("{}{path}", self.base)).json(body)).await
    }

    /// Posts JSON that is written already, with a header over it, and reads JSON.
    ///
    /// # Errors
    /// As [`Control::post`].
    pub(super) async fn post_signed<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Vec<u8>,
        (name, value): (&'static str, String),
    ) -> Result<T> {
        let request = self.http.post(format!("{}{path}", self.base));
        Self::read(
            request.header("content-type", "application/json").header(name, value).body(body),
        )
        .await
    }

    async fn read<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T> {
        let mut response =
            request.send().await.map_err(|error| not_reached(error.without_url()))?;
        let status = response.status().as_u16();
        if !response.status().is_success() {
            return Err(refused(status));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| not_reached(error.without_url()))?
        {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_BYTES_MAX {
                return Err(Error::new(ErrorKind::Corrupt, "the server's answer is too long"));
            }
        }
        serde_json::from_slice(&bytes)
            .map_err(|_| Error::new(ErrorKind::Corrupt, "the server's answer cannot be read"))
    }

    /// Opens a WebSocket and returns it as a stream of bytes.
    ///
    /// # Errors
    /// The kind of the server's answer when it refused; `Unavailable`, `Timeout`.
    pub(super) async fn dial(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Box<dyn Io>> {
        let url = format!("ws{}{path}", self.base.strip_prefix("http").unwrap_or(&self.base));
        let mut request = url.into_client_request().map_err(|_| bad_url())?;
        for (name, value) in headers {
            let value = value.parse().map_err(|_| bad_url())?;
            request.headers_mut().insert(*name, value);
        }
        let dialled = deadline::within(ANSWER_DEADLINE, Box::pin(self.open(request))).await;
        dialled.map_err(|_| Error::new(ErrorKind::Timeout, "the control plane does not answer"))?
    }

    async fn open(&self, request: Request) -> Result<Box<dyn Io>> {
        if let Some(socket) = &self.socket {
            let stream = UnixStream::connect(&socket.path).await.map_err(not_reached)?;
            let handshake = tokio_tungstenite::client_async_with_config(
                request,
                stream,
                Some(web_socket_config()),
            );
            let (socket, _) = handshake.await.map_err(handshake_failed)?;
            return Ok(Box::new(WsIo::<_, Message>::new(socket)));
        }
        let socket = dial_tcp(request).await.map_err(|error| match error {
            WsError::Url(_) => bad_url(),
            error => handshake_failed(error),
        })?;
        Ok(Box::new(socket))
    }
}

fn bad_url() -> Error {
    Error::new(ErrorKind::BadInput, "the control URL of boot.json cannot be used")
        .with_hint("it is http://host:port, https://host or unix:/path/of/a/socket")
}

fn not_reached(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Unavailable, "the control plane cannot be reached").with_source(error)
}

fn handshake_failed(error: WsError) -> Error {
    match error {
        WsError::Http(response) => refused(response.status().as_u16()),
        error => not_reached(error),
    }
}

/// Names a refusal; 426 is told apart because only a new agent cures it.
fn refused(status: u16) -> Error {
    let text = format!("the control plane answered with status {status}");
    match status {
        401 => Error::new(ErrorKind::Unauthenticated, text)
            .with_hint("the node's token or key is not accepted; create the node anew"),
        403 => Error::new(ErrorKind::Denied, text),
        426 => Error::new(ErrorKind::Unsupported, text).with_hint("install the server's version"),
        429 => Error::new(ErrorKind::RateLimited, text),
        400..=499 => Error::new(ErrorKind::BadInput, text),
        _ => Error::new(ErrorKind::Unavailable, text),
    }
}
