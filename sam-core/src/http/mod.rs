//! HTTP as a value: one request, one answer. Hosts hand in the transport, so libraries hold no
//! client, no TLS and no socket.

mod forward;
mod scripted;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::scripted::ScriptedHttp;
use crate::error::Result;

/// Largest body of a request or an answer, in bytes. Calls of cloud interfaces need far less;
/// downloads have their own way.
pub const BODY_BYTES_MAX: usize = 8 << 20;

/// Sends one request and returns the answer, whatever its status.
///
/// # Contract
/// - **C1** Every answer is `Ok`, also one with a status of 400 or above: what it means is the
///   caller's to say.
/// - **C2** An error before the request left (no route, no name, TLS refused) has effect
///   *not applied*; any later one has effect *unknown*.
/// - **C3** A body larger than [`BODY_BYTES_MAX`] is refused: a request's with `BadInput` before it
///   is sent, an answer's with `Corrupt` and effect unknown.
/// - **C4** It follows no redirects and repeats nothing by itself.
/// - **C5** It ends: a transport has a deadline of its own, and says `Timeout` when it passes.
/// - **C6** No header and no body of a request is in an error or in a log.
///
/// ```
/// use bytes::Bytes;
/// use sam_core::http::{HttpTransport, ScriptedHttp};
/// # futures_util::future::FutureExt::now_or_never(async {
/// let transport = ScriptedHttp::new().answer(200, "pong");
/// let request = http::Request::get("https://api.example/ping").body(Bytes::new())?;
/// let answer = transport.send(request).await?;
/// assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"pong"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap().unwrap();
/// ```
#[async_trait]
pub trait HttpTransport: fmt::Debug + Send + Sync + 'static {
    /// Sends a request.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `BadInput`, `Corrupt`; check `effect()`.
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>>;
}
