//! Standard input, in pieces, read only when there is something to read.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc;

/// Most pieces read ahead.
const PIECES_MAX: usize = 4;
/// Largest piece, in bytes.
const PIECE_BYTES_MAX: usize = 16 * 1024;
/// How often the reader looks whether anybody still wants input.
const LOOK: Duration = Duration::from_millis(200);

/// Starts reading standard input; the channel ends at its end.
///
/// The reader is a thread of its own, because standard input may be a file, a pipe or a terminal
/// and only a blocking read works with all three. It takes no byte before one is there, and stops
/// soon after the receiver is dropped, so that input nobody wanted is left to the next program.
pub(crate) fn pieces() -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    // Without a reader there is no input, which the closed channel says.
    let _thread = std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || read_all(&sender, rustix::stdio::stdin()));
    receiver
}

fn read_all(sender: &mpsc::Sender<Bytes>, source: impl rustix::fd::AsFd) {
    let mut buffer = vec![0; PIECE_BYTES_MAX];
    while !sender.is_closed() {
        match wait(&source) {
            Ok(false) => continue,
            Ok(true) => {}
            Err(_) => return,
        }
        match rustix::io::retry_on_intr(|| rustix::io::read(&source, buffer.as_mut_slice())) {
            Ok(count) if count > 0 => {
                let piece = buffer.get(..count).unwrap_or_default();
                if sender.blocking_send(Bytes::copy_from_slice(piece)).is_err() {
                    return;
                }
            }
            Err(rustix::io::Errno::AGAIN) => {}
            // The end, or as good as the end.
            Ok(_) | Err(_) => return,
        }
    }
}

fn wait(source: &impl rustix::fd::AsFd) -> io::Result<bool> {
    let mut ready = [PollFd::new(source, PollFlags::IN)];
    let span =
        Timespec::try_from(LOOK).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    match poll(&mut ready, Some(&span)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn bytes_arrive_unchanged_and_the_end_is_told() {
        let (source, mut sink) = io::pipe().unwrap();
        let (sender, mut receiver) = mpsc::channel(PIECES_MAX);
        let reader = std::thread::spawn(move || read_all(&sender, source));
        let sent: Vec<u8> = (0..100_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let bytes = sent.clone();
        let writer = std::thread::spawn(move || sink.write_all(&bytes).unwrap());
        let mut arrived = Vec::new();
        while let Some(piece) = receiver.blocking_recv() {
            arrived.extend_from_slice(&piece);
        }
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(arrived, sent);
    }

    #[test]
    fn input_that_nobody_wants_any_more_is_left_alone() {
        let (source, mut sink) = io::pipe().unwrap();
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        let mut rest = source.try_clone().unwrap();
        drop(receiver);
        std::thread::spawn(move || read_all(&sender, source)).join().unwrap();
        sink.write_all(b"next").unwrap();
        drop(sink);
        let mut text = String::new();
        rest.read_to_string(&mut text).unwrap();
        assert_eq!(text, "next");
    }
}
