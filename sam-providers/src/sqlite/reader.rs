//! The reading threads: a fixed few, each with a read-only connection, behind one bounded queue.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::mpsc;

/// Most reads that wait; further callers wait for a place.
pub(super) const QUEUE_MAX: usize = 256;

/// What a reading thread is told.
pub(super) enum Command {
    /// Do this with your connection.
    Read(Box<dyn FnOnce(&mut Connection) + Send>),
    /// End: one thread takes one of these.
    Stop,
}

/// The queue that the reading threads share.
pub(super) type Queue = Arc<Mutex<mpsc::Receiver<Command>>>;

/// Reads until told to stop, or until the store is gone.
pub(super) fn run(mut connection: Connection, queue: &Queue) {
    loop {
        // Whoever has the lock waits for the next read; the others wait for the lock.
        let command = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        match command {
            Some(Command::Read(read)) => read(&mut connection),
            Some(Command::Stop) | None => return,
        }
    }
}
