//! The other end of one connection to the holder.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tracing::debug;

use super::protocol::{self, Kind, Reply};
use crate::deadline::{sleep, within};

/// How long a peer may take nothing before its connection is given up.
pub(super) const STALL_LIMIT: Duration = Duration::from_secs(5);
/// How often a connection that may not be read now is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// Answers a request.
///
/// # Errors
/// What the connection says.
pub(super) async fn reply(out: &mut OwnedWriteHalf, reply: &Reply) -> io::Result<()> {
    write(out, &protocol::json_frame(Kind::Reply, reply)?).await
}

/// Writes all bytes to a peer that takes some of them at least every [`STALL_LIMIT`].
///
/// # Errors
/// `TimedOut` when it took nothing, and what the connection says.
pub(super) async fn write(out: &mut OwnedWriteHalf, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match within(STALL_LIMIT, out.write(bytes)).await {
            Ok(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.split_at(count?).1,
            Err(_) => {
                debug!("a peer takes nothing: dropped");
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }
    Ok(())
}

/// Completes when the peer has closed its end for both directions. Needed only while nothing is
/// read, since reading tells it as well.
pub(super) async fn gone(stream: &OwnedReadHalf) {
    loop {
        sleep(LOOK_PAUSE).await;
        match stream.as_ref().ready(Interest::READABLE | Interest::WRITABLE).await {
            Ok(ready) if !ready.is_write_closed() => {}
            _ => return,
        }
    }
}
