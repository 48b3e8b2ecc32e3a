//! Vendors to test against: a model of each vendor's interface, in the process or on a loopback socket,
//! with faults that a test asks for. They are held to the vendors' own descriptions by the tests of this
//! crate. Outside semver.
//!
//! A model is a plain state machine ([`Model`]); [`Fake`] gives it a lock, a clock, faults and a record of
//! everything that was exchanged.

#[cfg(feature = "cloudflare")]
mod cloudflare;
#[cfg(feature = "digitalocean")]
pub mod digitalocean;
mod fault;
#[cfg(feature = "fly")]
pub mod fly;
#[cfg(feature = "hetzner")]
pub mod hetzner;
mod server;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use sam_core::Result;
use sam_core::http::HttpTransport;
use sam_core::time::{Clock, Timestamp};

#[cfg(feature = "cloudflare")]
pub use self::cloudflare::CloudflareModel;
pub use self::fault::Fault;
use self::fault::{Faults, Outcome, cut_off};
pub use self::server::Served;

/// What a vendor keeps and how it answers.
pub trait Model: Send + 'static {
    /// Answers one request. Paths are as they are sent, with the interface's own prefix.
    fn answer(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes>;

    /// Lists what an account would be billed for, or has a name: `machine web-1`, `volume data`.
    fn left(&self) -> Vec<String>;
}

/// One request and what was answered; the answer that a fault withheld is here, too.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Exchange {
    /// What was asked.
    pub request: Request<Bytes>,
    /// What the model or a fault answered.
    pub response: Response<Bytes>,
    /// The answer is a fault's own, and no description promises it.
    pub is_fault: bool,
}

/// A vendor of one's own. Clones are the same vendor.
///
/// As an [`HttpTransport`] it answers in the process; [`Fake::serve`] puts it on a socket.
pub struct Fake<M> {
    inner: Arc<Inner<M>>,
}

struct Inner<M> {
    clock: Arc<dyn Clock>,
    state: Mutex<State<M>>,
}

struct State<M> {
    model: M,
    faults: Faults,
    exchanges: Vec<Exchange>,
}

impl<M: Model> Fake<M> {
    /// Puts a model to work. Its clock is the one given, so that things take as long as a test says.
    pub fn new(model: M, clock: Arc<dyn Clock>) -> Self {
        let state = State { model, faults: Faults::default(), exchanges: Vec::new() };
        Self { inner: Arc::new(Inner { clock, state: Mutex::new(state) }) }
    }

    /// Looks at the model, or changes it behind everybody's back.
    pub fn with<T>(&self, look: impl FnOnce(&mut M) -> T) -> T {
        look(&mut self.lock().model)
    }

    /// Lets the next request whose method and path begin so meet a fault. Several are used in order.
    pub fn fail_next(&self, method: &str, path: &str, fault: Fault) {
        self.lock().faults.add(method, path, fault);
    }

    /// Forgets the faults that nobody has met yet.
    pub fn forget_faults(&self) {
        self.lock().faults = Faults::default();
    }

    /// Returns how many faults nobody has met yet.
    pub fn faults_left(&self) -> usize {
        self.lock().faults.left()
    }

    /// Returns everything that was exchanged so far, oldest first.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.lock().exchanges.clone()
    }

    /// Forgets what was exchanged, so that a long run does not keep all of it.
    pub fn forget_exchanges(&self) {
        self.lock().exchanges.clear();
    }

    /// Returns how many requests of a method went to paths that begin so.
    pub fn count(&self, method: &str, path: &str) -> usize {
        let asked = &self.lock().exchanges;
        let fits = |request: &Request<Bytes>| {
            request.method() == method && request.uri().path().starts_with(path)
        };
        asked.iter().filter(|exchange| fits(&exchange.request)).count()
    }

    /// Lists what an account would be billed for, or has a name.
    pub fn left(&self) -> Vec<String> {
        self.lock().model.left()
    }

    /// Answers a request; an error stands for a connection that breaks.
    fn exchange(&self, request: &Request<Bytes>) -> Outcome {
        let now = self.inner.clock.now();
        let mut state = self.lock();
        let State { model, faults, exchanges } = &mut *state;
        let (outcome, seen, is_fault) = faults.apply(request, || model.answer(request, now));
        exchanges.push(Exchange { request: request.clone(), response: seen, is_fault });
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> Clone for Fake<M> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<M> fmt::Debug for Fake<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fake").finish_non_exhaustive()
    }
}

#[async_trait]
impl<M: Model> HttpTransport for Fake<M> {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        turn_away().await;
        let outcome = self.exchange(&request);
        // A call can be dropped after it happened, as with any network.
        turn_away().await;
        match outcome {
            Outcome::Whole(response) => Ok(response),
            Outcome::Cut(_) => Err(cut_off()),
            Outcome::Silent => std::future::pending().await,
        }
    }
}

/// Gives others a turn.
async fn turn_away() {
    let mut waited = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Makes an answer of JSON. A status outside 100 to 999 becomes 500.
pub fn json(status: u16, body: &serde_json::Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() =
        http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

/// Makes an answer without a body.
pub fn empty(status: u16) -> Response<Bytes> {
    let mut response = json(status, &serde_json::Value::Null);
    response.headers_mut().clear();
    *response.body_mut() = Bytes::new();
    response
}
