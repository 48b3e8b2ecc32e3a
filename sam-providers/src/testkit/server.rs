//! A fake on a loopback socket.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sam_core::http::BODY_BYTES_MAX;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::fault::Outcome;
use super::{Fake, Model};
use crate::deadline;

/// How long a request may take to arrive whole.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

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

    /// Returns the base URL of an interface whose paths begin with `prefix`.
    pub fn url(&self, prefix: &str) -> String {
        format!("http://{}{prefix}", self.address)
    }
}

impl<M: Model> Fake<M> {
    /// Puts it on a free port of the loopback address.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn serve(&self) -> io::Result<Served> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let mut server = JoinSet::new();
        server.spawn(accept(self.clone(), listener));
        Ok(Served { address, _server: server })
    }
}

async fn accept<M: Model>(fake: Fake<M>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    // Until it is dropped, and its connections with it.
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let fake = fake.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| answer(fake.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is its own affair, and a cut is meant.
            let _ended = connection.await;
        });
    }
}

/// A body that may break off.
type Body = StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>;

async fn answer<M: Model>(
    fake: Fake<M>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let arriving = Limited::new(body, BODY_BYTES_MAX).collect();
    let Some(Ok(body)) = deadline::within(REQUEST_DEADLINE, arriving).await else {
        let mut refused = Response::new(whole(Bytes::new()));
        *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(refused);
    };
    let request = Request::from_parts(parts, body.to_bytes());
    match fake.exchange(&request) {
        Outcome::Whole(response) => Ok(response.map(whole)),
        Outcome::Cut(response) => Ok(response.map(|body| half(&body))),
        Outcome::Silent => std::future::pending().await,
    }
}

fn whole(body: Bytes) -> Body {
    StreamBody::new(stream::iter([Ok(Frame::data(body))]).boxed())
}

/// Half of a body, and then a failure, at which the connection is closed.
fn half(body: &Bytes) -> Body {
    let first = body.slice(..body.len() / 2);
    let broken = Err(io::Error::from(io::ErrorKind::ConnectionReset));
    StreamBody::new(stream::iter([Ok(Frame::data(first)), broken]).boxed())
}
