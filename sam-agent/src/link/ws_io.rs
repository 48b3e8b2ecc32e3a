//! A stream of WebSocket messages seen as a stream of bytes.
//!
//! Message borders mean nothing. Writes are gathered until a flush, because HTTP/2 writes the head
//! and the body of a frame apart, and each would become a message of its own.

use std::error::Error as StdError;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::GATHER_BYTES_MAX;

/// What a message is to the byte stream.
pub(crate) enum Part {
    Bytes(Bytes),
    /// The other side closes.
    End,
    /// Ping or pong: the library below answers them.
    Nothing,
    /// Text: the other side speaks something else.
    Wrong,
}

/// A message type of either WebSocket library.
pub(crate) trait LinkMessage: Sized {
    fn from_bytes(bytes: Bytes) -> Self;
    fn into_part(self) -> Part;
}

#[cfg(any(feature = "controller", feature = "node"))]
impl LinkMessage for axum::extract::ws::Message {
    fn from_bytes(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }

    fn into_part(self) -> Part {
        match self {
            Self::Binary(bytes) => Part::Bytes(bytes),
            Self::Close(_) => Part::End,
            Self::Ping(_) | Self::Pong(_) => Part::Nothing,
            Self::Text(_) => Part::Wrong,
        }
    }
}

#[cfg(any(feature = "controller", feature = "node"))]
impl LinkMessage for tokio_tungstenite::tungstenite::Message {
    fn from_bytes(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }

    fn into_part(self) -> Part {
        match self {
            Self::Binary(bytes) => Part::Bytes(bytes),
            Self::Close(_) => Part::End,
            Self::Ping(_) | Self::Pong(_) | Self::Frame(_) => Part::Nothing,
            Self::Text(_) => Part::Wrong,
        }
    }
}

/// Reads and writes bytes through a WebSocket.
pub(crate) struct WsIo<S, M> {
    socket: S,
    /// What is left of the last message.
    unread: Bytes,
    /// What waits for a flush; never more than [`GATHER_BYTES_MAX`].
    gathered: BytesMut,
    ended: bool,
    message: PhantomData<fn() -> M>,
}

impl<S, M> WsIo<S, M> {
    pub(crate) fn new(socket: S) -> Self {
        Self {
            socket,
            unread: Bytes::new(),
            gathered: BytesMut::new(),
            ended: false,
            message: PhantomData,
        }
    }
}

impl<S, M, E> WsIo<S, M>
where
    S: Sink<M, Error = E> + Unpin,
    M: LinkMessage,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Hands what was gathered to the WebSocket, as one message.
    fn poll_hand_over(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.gathered.is_empty() {
            ready!(Pin::new(&mut self.socket).poll_ready(context)).map_err(broken)?;
            let bytes = self.gathered.split().freeze();
            Pin::new(&mut self.socket).start_send(M::from_bytes(bytes)).map_err(broken)?;
        }
        Poll::Ready(Ok(()))
    }
}

fn broken(error: impl Into<Box<dyn StdError + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}

impl<S, M, E> AsyncRead for WsIo<S, M>
where
    S: Stream<Item = Result<M, E>> + Unpin,
    M: LinkMessage,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            let part = match ready!(Pin::new(&mut self.socket).poll_next(context)) {
                Some(Ok(message)) => message.into_part(),
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => Part::End,
            };
            match part {
                Part::Bytes(bytes) => self.unread = bytes,
                Part::End => self.ended = true,
                Part::Nothing => {}
                Part::Wrong => {
                    let text = "a text message on a link of bytes";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
                }
            }
        }
        let length = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S, M, E> AsyncWrite for WsIo<S, M>
where
    S: Sink<M, Error = E> + Unpin,
    M: LinkMessage,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.gathered.len() >= GATHER_BYTES_MAX {
            ready!(self.poll_hand_over(context))?;
        }
        let length = bytes.len().min(GATHER_BYTES_MAX - self.gathered.len());
        self.gathered.extend_from_slice(&bytes[..length]);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_hand_over(context))?;
        Pin::new(&mut self.socket).poll_flush(context).map_err(broken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_hand_over(context))?;
        Pin::new(&mut self.socket).poll_close(context).map_err(broken)
    }
}

#[cfg(all(test, feature = "node"))]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    type Socket = WebSocketStream<tokio::io::DuplexStream>;

    async fn pair() -> (Socket, Socket) {
        let (left, right) = tokio::io::duplex(4_096);
        let left = WebSocketStream::from_raw_socket(left, Role::Client, None).await;
        (left, WebSocketStream::from_raw_socket(right, Role::Server, None).await)
    }

    #[tokio::test]
    async fn bytes_pass_whole_through_a_pipe_smaller_than_a_message() {
        let (left, right) = pair().await;
        let (mut left, mut right) = (WsIo::<_, Message>::new(left), WsIo::<_, Message>::new(right));
        let sent: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let expected = sent.clone();
        let write = async move {
            for chunk in sent.chunks(9_999) {
                left.write_all(chunk).await.unwrap();
            }
            left.shutdown().await.unwrap();
        };
        let read = async move {
            let mut found = Vec::new();
            right.read_to_end(&mut found).await.unwrap();
            found
        };
        let ((), found) = tokio::join!(write, read);
        assert!(found == expected);
    }

    #[tokio::test]
    async fn small_writes_become_one_message() {
        use futures_util::StreamExt as _;
        let (left, mut right) = pair().await;
        let mut left = WsIo::<_, Message>::new(left);
        left.write_all(b"head").await.unwrap();
        left.write_all(b"body").await.unwrap();
        left.flush().await.unwrap();
        assert_eq!(right.next().await.unwrap().unwrap(), Message::Binary("headbody".into()));
    }

    #[tokio::test]
    async fn text_ends_the_stream_with_an_error() {
        use futures_util::SinkExt as _;
        let (mut left, right) = pair().await;
        left.send(Message::Text("hello".into())).await.unwrap();
        let error = WsIo::<_, Message>::new(right).read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
