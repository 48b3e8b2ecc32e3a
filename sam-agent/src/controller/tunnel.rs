//! `WebSockets` through the link, by extended CONNECT (RFC 8441). The frames inside are the same
//! bytes on both sides, so they are copied and never taken apart.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::ext::Protocol;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use sam_core::{Error, ErrorKind, Result};

use super::call::{CALL_DEADLINE, bad};
use super::way::{Way, absolute};
use super::{Controller, Grant};
use crate::problem::read_problem;

/// Most terminals and commands open at a time over one link. Each may hold half a mebibyte that
/// its viewer does not read.
pub const TUNNELS_PER_NODE_MAX: usize = 1_024;

/// Keystrokes are small; output is not.
const TOWARDS_AGENT_BYTES: usize = 4 * 1024;
const FROM_AGENT_BYTES: usize = 16 * 1024;

/// The bytes of a WebSocket whose server is an agent; the reader is its client.
#[derive(Debug)]
pub struct Tunnel {
    io: TokioIo<Upgraded>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

impl Controller {
    /// Opens a WebSocket on an agent, for example at `/v1/workspaces/{id}/terminals/{id}/attach`,
    /// and returns its bytes: the frames of RFC 6455 as a client reads and writes them.
    ///
    /// # Errors
    /// Those of [`Controller::send`]; what the agent answered when it refused;
    /// `QuotaExceeded` when [`TUNNELS_PER_NODE_MAX`] are open.
    pub async fn connect(&self, grant: &Grant, path: &str) -> Result<Tunnel> {
        let way = self.must_reach(grant.node).await?;
        let request = self.authorize(grant, &way, tunnel_request(path)?).await?;
        self.open_tunnel(way, request).await
    }

    /// Opens a WebSocket over a way, by a request that is addressed and carries its token.
    pub(super) async fn open_tunnel(&self, way: Way, request: Request<Body>) -> Result<Tunnel> {
        let permit = way.tunnels.clone().map(Semaphore::try_acquire_owned).transpose();
        let permit = permit.map_err(|_| {
            let text = format!("the node has {TUNNELS_PER_NODE_MAX} open terminals and commands");
            Error::new(ErrorKind::QuotaExceeded, text).with_hint("close some of them")
        })?;
        let response = way.exchange(request, CALL_DEADLINE).await?;
        if response.status() != StatusCode::OK {
            return Err(read_problem(response.map(Body::new)).await);
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "the link to the agent broke").with_source(error)
        })?;
        Ok(Tunnel { io: TokioIo::new(upgraded), _permit: permit })
    }

    /// Answers a browser's or client's WebSocket request by passing it on to an agent. The agent
    /// is asked first, so its refusal is an error here and not a WebSocket that closes at once.
    ///
    /// The answer must be returned to the client as it is; the bytes are copied by a task that
    /// ends when either side does.
    ///
    /// # Errors
    /// `BadInput` when the request is no WebSocket handshake; else those of
    /// [`Controller::connect`].
    pub async fn proxy_websocket(
        &self,
        grant: &Grant,
        path: &str,
        mut request: Request<Body>,
    ) -> Result<Response<Body>> {
        let client = request.extensions_mut().remove::<OnUpgrade>();
        let answer = handshake_answer(&request);
        let (Some(client), Some(answer)) = (client, answer) else {
            return Err(Error::new(ErrorKind::BadInput, "this is a WebSocket")
                .with_hint("ask with the headers of a WebSocket handshake, version 13"));
        };
        let tunnel = self.connect(grant, path).await?;
        tokio::spawn(async move {
            match client.await {
                Ok(client) => bridge(TokioIo::new(client), tunnel).await,
                Err(error) => {
                    tracing::debug!(%error, "the client left before its WebSocket opened");
                }
            }
        });
        Ok(answer)
    }
}

/// Asks for a WebSocket on an agent at a path, as HTTP/2 does.
pub(super) fn tunnel_request(path: &str) -> Result<Request<Body>> {
    Request::builder()
        .method(Method::CONNECT)
        .uri(absolute(path)?)
        .header(SEC_WEBSOCKET_VERSION, "13")
        .extension(Protocol::from_static("websocket"))
        .body(Body::empty())
        .map_err(bad)
}

/// Copies both ways until one side ends.
pub(super) async fn bridge(mut client: TokioIo<Upgraded>, mut tunnel: Tunnel) {
    let copied = tokio::io::copy_bidirectional_with_sizes(
        &mut client,
        &mut tunnel,
        TOWARDS_AGENT_BYTES,
        FROM_AGENT_BYTES,
    );
    if let Err(error) = copied.await {
        // Either side may vanish at any time; that is no failure of ours.
        tracing::debug!(%error, "a terminal's connection broke");
    }
}

/// Returns the answer to a WebSocket handshake, over HTTP/1.1 or HTTP/2, or `None` if it is none.
fn handshake_answer(request: &Request<Body>) -> Option<Response<Body>> {
    let headers = request.headers();
    if headers.get(SEC_WEBSOCKET_VERSION)? != "13" {
        return None;
    }
    let mut response = Response::new(Body::empty());
    if request.method() == Method::CONNECT {
        let protocol = request.extensions().get::<Protocol>()?;
        return (protocol.as_str() == "websocket").then_some(response);
    }
    let is_upgrade = request.method() == Method::GET
        && has_word(headers, &CONNECTION, "upgrade")
        && has_word(headers, &UPGRADE, "websocket");
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| is_upgrade)?;
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()?;
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Some(response)
}

fn has_word(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|found| found.trim().eq_ignore_ascii_case(word))
}
