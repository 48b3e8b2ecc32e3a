//! Dialling a WebSocket over TCP, with or without TLS, as agents and replicas do.

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::error::UrlError;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

use super::{MESSAGE_BYTES_MAX, WsIo};

/// A dialled WebSocket as a stream of bytes.
pub(crate) type Dialled = WsIo<WebSocketStream<MaybeTlsStream<TcpStream>>, Message>;

/// What bounds a WebSocket that carries a link.
pub(crate) fn web_socket_config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
}

/// Opens a WebSocket at a `ws://` or `wss://` address. The caller bounds how long that takes.
///
/// # Errors
/// `Url` when the address cannot be used, `Io` when nobody is there, `Http` when it was refused.
pub(crate) async fn dial_tcp(request: Request) -> Result<Dialled, WsError> {
    let uri = request.uri();
    let host = uri.host().ok_or(WsError::Url(UrlError::NoHostName))?;
    let host = host.trim_matches(['[', ']']).to_owned();
    let default_port = if uri.scheme_str() == Some("wss") { 443 } else { 80 };
    let port = uri.port_u16().unwrap_or(default_port);
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let config = Some(web_socket_config());
    let (socket, _) = client_async_tls_with_config(request, stream, config, None).await?;
    Ok(WsIo::new(socket))
}
