//! What both ends of the link share: HTTP/2 with the roles reversed, inside one WebSocket that the
//! agent dialled.
//!
//! The settings below are not taste. Flow control is per stream *and* per connection; with the
//! defaults three terminals whose viewers do not read would stop every other request. So the
//! connection's window is as large as it can be, and only each stream's own window binds. Both
//! sides send pings, so that a frozen peer is noticed within ten seconds by either.

mod dial;
mod sever;
mod ws_io;

use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioTimer};

#[cfg(feature = "node")]
pub(crate) use self::dial::web_socket_config;
pub(crate) use self::dial::{Dialled, dial_tcp};
#[cfg(feature = "controller")]
pub(crate) use self::sever::Severable;
pub(crate) use self::ws_io::WsIo;

/// Largest WebSocket message accepted on the link, in bytes. We send at most [`GATHER_BYTES_MAX`].
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Most bytes gathered into one WebSocket message.
pub(crate) const GATHER_BYTES_MAX: usize = 64 * 1024;

/// Unread bytes of one stream that the other side may have on the way.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// The largest window that HTTP/2 knows.
const CONNECTION_WINDOW_BYTES: u32 = (1 << 31) - 1;
/// Requests and terminals open at a time; what is more waits.
const STREAMS_MAX: u32 = 8_192;
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The serving end: the agent's, and that of a replica which another one dialled.
pub(crate) fn server_builder() -> hyper::server::conn::http2::Builder<TokioExecutor> {
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .max_concurrent_streams(STREAMS_MAX)
        .enable_connect_protocol();
    builder
}

/// The server's end: it was dialled, and now asks.
#[cfg(feature = "controller")]
pub(crate) fn client_builder() -> hyper::client::conn::http2::Builder<TokioExecutor> {
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .max_concurrent_streams(STREAMS_MAX);
    builder
}
