//! One connection for each exchange: a frame there, frames back, each wait with an end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use sam_core::time::Clock;
use sam_core::{Effect, Error, ErrorKind, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::config::Rfc2136Config;
use super::map::{code, refused};
use super::wire::{Ask, Found, Sealed, Signer, Told};
use crate::deadline;
use crate::zone::{RECORDS_MAX, too_many};

/// Longest wait for a connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Longest time that a whole zone takes.
const TRANSFER_DEADLINE: Duration = Duration::from_mins(1);
/// Most bytes of a whole zone.
const TRANSFER_BYTES_MAX: usize = 64 << 20;
/// Most connections at a time: servers count them.
const CONNECTIONS_MAX: usize = 16;

/// One server, asked with one key about one zone.
pub(super) struct Client {
    server: SocketAddr,
    answers_within: Duration,
    signer: Signer,
    clock: Arc<dyn Clock>,
    permits: Semaphore,
    /// Tells one message from another on a connection; what nobody can guess is the signature.
    next_id: AtomicU16,
}

impl Client {
    pub(super) fn new(config: &Rfc2136Config, clock: Arc<dyn Clock>) -> Result<Self> {
        Ok(Self {
            server: config.server,
            answers_within: config.answers_within,
            signer: Signer::new(&config.key, &config.zone)?,
            clock,
            permits: Semaphore::new(CONNECTIONS_MAX),
            next_id: AtomicU16::new(1),
        })
    }

    /// Asks for something that has one answer. A name that is not there is one, as is a requirement
    /// that does not hold: the caller looks at the code.
    pub(super) async fn ask(&self, operation: &'static str, ask: Ask<'_>) -> Result<Told> {
        let changes = matches!(ask, Ask::Update(..));
        let done = async {
            let _permit = self.permits.acquire().await;
            let (mut stream, mut sealed) = self.connect(ask).await?;
            let exchange = async {
                send(&mut stream, &sealed.bytes).await?;
                receive(&mut stream).await
            };
            let sent = deadline::within(self.answers_within, exchange).await;
            // From the first byte on it may have been carried out.
            let bytes =
                sent.unwrap_or_else(|| Err(no_answer())).map_err(|error| doubt(error, changes))?;
            let told = sealed.open(&bytes).map_err(|error| doubt(error, changes))?;
            let expected = match ask {
                Ask::Look(_) => told.code == code::NX_DOMAIN,
                Ask::Update(..) => {
                    [code::YX_DOMAIN, code::YX_RR_SET, code::NX_RR_SET].contains(&told.code)
                }
                Ask::Start | Ask::Transfer => false,
            };
            match refused(&told, changes) {
                Some(error) if !(expected && told.is_signed) => Err(error),
                _ => Ok(told),
            }
        };
        done.await.map_err(|error: Error| error.with_operation(operation))
    }

    /// Asks for the whole zone, as it is at one moment.
    pub(super) async fn transfer(&self, operation: &'static str) -> Result<Vec<Found>> {
        let done = async {
            let _permit = self.permits.acquire().await;
            let (mut stream, mut sealed) = self.connect(Ask::Transfer).await?;
            let all = transferred(&mut stream, &mut sealed);
            deadline::within(TRANSFER_DEADLINE, all).await.unwrap_or_else(|| Err(no_answer()))
        };
        done.await.map_err(|error: Error| error.with_operation(operation))
    }

    async fn connect(&self, ask: Ask<'_>) -> Result<(TcpStream, Sealed)> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let sealed = self.signer.seal(id, ask, self.clock.now().as_secs_unsigned())?;
        let stream = deadline::within(CONNECT_DEADLINE, TcpStream::connect(self.server)).await;
        let unreachable = || {
            let message = format!("the DNS server {} cannot be reached over TCP", self.server);
            Error::new(ErrorKind::Unavailable, message)
                .with_hint("check the address, and that a firewall lets TCP through to it")
        };
        match stream {
            Some(Ok(stream)) => Ok((stream, sealed)),
            Some(Err(error)) => Err(unreachable().with_source(error)),
            None => Err(unreachable()),
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Reads the messages of a transfer: from the record that the zone begins with until it comes again.
async fn transferred(stream: &mut TcpStream, sealed: &mut Sealed) -> Result<Vec<Found>> {
    send(stream, &sealed.bytes).await?;
    let mut records: Vec<Found> = Vec::new();
    let mut bytes_left = TRANSFER_BYTES_MAX;
    loop {
        let bytes = receive(stream).await?;
        bytes_left = bytes_left.checked_sub(bytes.len()).ok_or_else(too_many)?;
        let told = sealed.open(&bytes)?;
        if let Some(error) = refused(&told, false) {
            return Err(error);
        }
        for record in told.records {
            if records.is_empty() != record.is_start {
                // The end, or a beginning without one.
                return if record.is_start { Ok(records) } else { Err(broken()) };
            }
            if records.len() > RECORDS_MAX {
                return Err(too_many());
            }
            records.push(record);
        }
    }
}

/// Sends a message with its length in front, RFC 1035 §4.2.2.
async fn send(stream: &mut TcpStream, message: &[u8]) -> Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| {
        Error::new(ErrorKind::BadInput, "the DNS message is longer than 65,535 bytes")
    })?;
    // In one write: some servers read the length and the message as one.
    let framed = [&length.to_be_bytes()[..], message].concat();
    stream.write_all(&framed).await.map_err(cut)
}

/// Receives a message; its length is bounded by the two bytes that tell it.
async fn receive(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0_u8; 2];
    stream.read_exact(&mut length).await.map_err(cut)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).await.map_err(cut)?;
    Ok(message)
}

fn doubt(error: Error, changes: bool) -> Error {
    if changes { error.with_effect(Effect::Unknown) } else { error }
}

fn cut(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the connection to the DNS server broke").with_source(error)
}

fn no_answer() -> Error {
    Error::new(ErrorKind::Timeout, "the DNS server did not answer in time")
}

fn broken() -> Error {
    Error::new(ErrorKind::Corrupt, "the transfer of the zone does not begin as one")
}
