//! Moves bytes between a program and its terminal's record.

use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::unix::AsyncFdReadyGuard;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::yield_now;

use super::{Held, Scratch};
use crate::deadline::within;
use crate::terminal::pty::{Pty, Taken};
use crate::wire::{ExitStatus, FRAME_PAYLOAD_BYTES_MAX, TERMINAL_RING_BYTES};

/// How long a descendant may keep the terminal open after the program's end.
const END_GRACE: Duration = Duration::from_millis(200);

/// Types what is queued until the terminal is gone.
pub(super) async fn write_input(
    pty: Arc<Pty>,
    mut inputs: mpsc::UnboundedReceiver<(Bytes, OwnedSemaphorePermit)>,
) {
    while let Some((bytes, room)) = inputs.recv().await {
        if pty.write_all(&bytes).await.is_err() {
            return;
        }
        drop(room);
    }
}

/// Moves output from the program into the ring.
pub(super) struct Pump {
    pub(super) held: Arc<Held>,
    pub(super) pty: Arc<Pty>,
    pub(super) scratch: Arc<Scratch>,
}

/// What one turn of the pump found.
enum Turn {
    /// Nothing to read now.
    Empty,
    /// Nobody holds the other end.
    Hangup,
    /// So many bytes.
    Moved(usize),
    /// The slowest viewer must take something first.
    NoRoom,
}

impl Pump {
    /// Pumps until the program ended and its last byte is in the ring.
    pub(super) async fn until_end(
        &self,
        mut ended: oneshot::Receiver<ExitStatus>,
        slave: OwnedFd,
    ) -> ExitStatus {
        let mut stuck = false;
        let status = loop {
            tokio::select! {
                biased;
                status = &mut ended => break status,
                () = self.held.room_freed.notified(), if stuck => stuck = false,
                ready = self.pty.readable(), if !stuck => {
                    stuck = match ready {
                        Ok(mut ready) => match self.turn(&mut ready) {
                            Turn::NoRoom | Turn::Hangup => true,
                            Turn::Empty => false,
                            Turn::Moved(_) => {
                                drop(ready);
                                // A program that floods must not keep the others waiting.
                                yield_now().await;
                                false
                            }
                        },
                        Err(_) => true,
                    };
                }
            }
        };
        drop(slave);
        self.drain().await;
        // The sender lives as long as the child is not reaped.
        status.unwrap_or(ExitStatus::Code(u8::MAX))
    }

    /// Reads what is left: until nobody holds the other end, or [`END_GRACE`] passed and nothing
    /// is there or a whole ring of late output came.
    async fn drain(&self) {
        let deadline = Instant::now() + END_GRACE;
        let mut late = 0;
        while late < TERMINAL_RING_BYTES {
            let left = deadline.saturating_duration_since(Instant::now());
            // Ready or not: after the deadline one more look is enough.
            let ready = within(left, self.pty.readable()).await;
            let turn = match ready {
                Ok(Ok(mut ready)) => self.turn(&mut ready),
                Ok(Err(_)) => return,
                Err(_) => Turn::Empty,
            };
            match turn {
                Turn::Empty if left.is_zero() => return,
                Turn::Hangup => return,
                Turn::Moved(bytes) if left.is_zero() => late += bytes,
                Turn::Empty | Turn::Moved(_) => {}
                // Bounded: a viewer that takes nothing is dropped.
                Turn::NoRoom => self.held.room_freed.notified().await,
            }
        }
    }

    fn turn(&self, ready: &mut AsyncFdReadyGuard<'_, OwnedFd>) -> Turn {
        let mut state = self.held.lock();
        let room = state.room().min(FRAME_PAYLOAD_BYTES_MAX);
        if room == 0 {
            return Turn::NoRoom;
        }
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        scratch.resize(FRAME_PAYLOAD_BYTES_MAX, 0);
        let Taken { bytes, hangup } = self.pty.take(ready, &mut scratch[..room]);
        state.ring.push(&scratch[..bytes]);
        drop(scratch);
        drop(state);
        if bytes > 0 {
            self.held.changed.send_replace(());
        }
        match (bytes, hangup) {
            (0, true) => Turn::Hangup,
            (0, false) => Turn::Empty,
            (bytes, _) => Turn::Moved(bytes),
        }
    }
}
