//! The fake on a loopback socket, and a transport to such sockets.

use std::convert::Infallible;
use std::net::SocketAddr;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sam_core::http::{BODY_BYTES_MAX, HttpTransport};
use sam_core::{Effect, Error, ErrorKind, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::deadline::bounded;
use super::{FakeGithub, git};

/// Largest body that is read; git packs may be larger than calls of the interface.
const BODY_MAX: usize = 64 << 20;

/// A fake on a socket. It ends when this is dropped.
#[derive(Debug)]
pub struct Served {
    address: SocketAddr,
    // Aborts the server when it is dropped.
    _server: JoinSet<()>,
}

impl Served {
    /// Returns where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl FakeGithub {
    /// Puts it on a free port of the loopback address; from now on its answers name that address.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn serve(&self) -> std::io::Result<Served> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        self.world().base = format!("http://{address}");
        let mut server = JoinSet::new();
        let fake = self.clone();
        server.spawn(async move { accept(fake, listener).await });
        Ok(Served { address, _server: server })
    }
}

async fn accept(fake: FakeGithub, listener: TcpListener) {
    let mut connections = JoinSet::new();
    // Until it is dropped, and its connections with it.
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let fake = fake.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| answer(fake.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is its own affair.
            let _ended = connection.await;
        });
    }
}

async fn answer(
    fake: FakeGithub,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(Ok(body)) = bounded(Limited::new(body, BODY_MAX).collect()).await else {
        let mut refused = Response::new(Full::default());
        *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(refused);
    };
    let request = Request::from_parts(parts, body.to_bytes());
    let response = match git::wanted(&request) {
        Some(wanted) => git::answer(&fake, &request, &wanted).await,
        None => fake.answer(&request),
    };
    Ok(response.map(Full::new))
}

/// Sends requests to loopback addresses without encryption, one connection each: for tests and
/// examples.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct LoopbackHttp;

impl LoopbackHttp {
    /// Makes one.
    pub const fn new() -> Self {
        Self
    }
}

#[async_trait]
impl HttpTransport for LoopbackHttp {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let refused = |why: &str| Error::new(ErrorKind::BadInput, why.to_owned());
        if request.body().len() > BODY_BYTES_MAX {
            return Err(refused("the request's body is too large"));
        }
        let authority = request.uri().authority().ok_or_else(|| refused("there is no host"))?;
        if request.uri().scheme_str() != Some("http")
            || !matches!(authority.host(), "127.0.0.1" | "localhost")
        {
            return Err(refused("this transport is for http:// and loopback hosts"));
        }
        let address = authority.to_string();
        bounded(exchange(request, address)).await?
    }
}

async fn exchange(request: Request<Bytes>, address: String) -> Result<Response<Bytes>> {
    let unavailable = |error: String| Error::new(ErrorKind::Unavailable, error);
    let stream = TcpStream::connect(&address).await;
    let stream = stream.map_err(|error| unavailable(error.kind().to_string()))?;
    let cut = |_| {
        Error::new(ErrorKind::Unavailable, "the connection was cut").with_effect(Effect::Unknown)
    };
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(cut)?;
    let mut request = request.map(Full::new);
    if let Ok(host) = address.parse() {
        request.headers_mut().insert(http::header::HOST, host);
    }
    // A client sends the path alone.
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let path = path.parse().map_err(|_| Error::new(ErrorKind::BadInput, "there is no path"))?;
    *request.uri_mut() = path;
    let answer = async {
        let (parts, body) = sender.send_request(request).await.map_err(cut)?.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|error| {
            let large = error.is::<http_body_util::LengthLimitError>();
            let kind = if large { ErrorKind::Corrupt } else { ErrorKind::Unavailable };
            Error::new(kind, "the answer's body did not arrive whole").with_effect(Effect::Unknown)
        })?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    };
    let connection = async {
        // Its failure is the request's, too, which tells of it.
        let _ended = connection.await;
        std::future::pending::<()>().await;
    };
    futures_util::pin_mut!(answer, connection);
    match futures_util::future::select(answer, connection).await {
        futures_util::future::Either::Left((answer, _)) => answer,
        futures_util::future::Either::Right(((), _)) => Err(unavailable("it ended".to_owned())),
    }
}
