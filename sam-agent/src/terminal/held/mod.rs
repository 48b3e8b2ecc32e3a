//! One terminal: its program, its ring and those who watch it.
//!
//! Invariants: while somebody watches, the ring never forgets a byte that the slowest viewer has
//! not taken (the program waits instead); a viewer's offset only grows; `exit` is set after the
//! last byte is in the ring, and nothing is added afterwards.

mod pump;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::process::Pid;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use sam_core::{Error, ErrorKind, Result, TerminalId, WorkspaceId};

use self::pump::{Pump, write_input};
use super::protocol::{self, Kind};
use super::pty::Pty;
use super::pulse::Pulse;
use super::ring::Ring;
use crate::deadline::within;
use crate::wire::{
    ExitStatus, FRAME_PAYLOAD_BYTES_MAX, TERMINAL_RING_BYTES, TerminalInfo, TerminalSize,
    VIEWERS_PER_TERMINAL_MAX,
};

/// Most bytes of input waiting for the program.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// The buffer all terminals read through; only one reads at a time.
pub(super) type Scratch = Mutex<Vec<u8>>;

/// A terminal of a workspace.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) id: TerminalId,
    pub(super) workspace_id: WorkspaceId,
    /// The program: leader of its session and group.
    pub(super) root: Pid,
    pulse: Arc<Pulse>,
    input: mpsc::UnboundedSender<(Bytes, OwnedSemaphorePermit)>,
    input_room: Arc<Semaphore>,
    changed: watch::Sender<()>,
    room_freed: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ring: Ring,
    /// `None` once the program ended: closing it hangs up whoever still holds the other end.
    pty: Option<Arc<Pty>>,
    viewers: BTreeMap<u64, u64>,
    viewers_ever: u64,
    size: TerminalSize,
    resizes: u64,
    resized_by: u64,
    exit: Option<ExitStatus>,
}

/// What the terminal begins with.
#[derive(Debug)]
pub(super) struct Birth {
    pub(super) id: TerminalId,
    pub(super) workspace_id: WorkspaceId,
    pub(super) size: TerminalSize,
    pub(super) root: Pid,
    /// What counts as activity in its workspace.
    pub(super) pulse: Arc<Pulse>,
    pub(super) pty: Pty,
    /// Kept until the program ends, so that a program that closes its terminal for a while is not
    /// taken for one that has ended.
    pub(super) slave: OwnedFd,
    pub(super) ended: oneshot::Receiver<ExitStatus>,
}

/// What a viewer does next.
#[derive(Debug)]
pub(super) enum Step {
    /// Send this frame of output.
    Output(Vec<u8>),
    /// Tell that the bytes between these offsets are no longer kept.
    Gap(u64, u64),
    /// Tell this notice.
    Notice(Arc<str>),
    /// Tell the new size.
    Resized(TerminalSize),
    /// All was sent and the program ended.
    Exit(ExitStatus),
    /// Nothing to do until something changes.
    Wait,
}

/// A viewer's place; leaves the terminal when dropped.
#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) held: Arc<Held>,
    pub(super) changed: watch::Receiver<()>,
    /// Offset of the first byte it gets.
    pub(super) first: u64,
    pub(super) size: TerminalSize,
    number: u64,
    /// Offset of the next byte it wants.
    offset: u64,
    resizes_seen: u64,
    notice_seen: u64,
}

impl Held {
    /// Takes over a terminal whose program was started.
    pub(super) fn begin(birth: Birth, scratch: Arc<Scratch>) -> Arc<Self> {
        let Birth { id, workspace_id, size, root, pulse, pty, slave, ended } = birth;
        let pty = Arc::new(pty);
        let (input, inputs) = mpsc::unbounded_channel();
        let held = Arc::new(Self {
            id,
            workspace_id,
            root,
            pulse,
            input,
            input_room: Arc::new(Semaphore::new(INPUT_BYTES_MAX)),
            changed: watch::Sender::new(()),
            room_freed: Notify::new(),
            state: Mutex::new(State {
                ring: Ring::new(TERMINAL_RING_BYTES),
                pty: Some(Arc::clone(&pty)),
                viewers: BTreeMap::new(),
                viewers_ever: 0,
                size,
                resizes: 0,
                resized_by: 0,
                exit: None,
            }),
        });
        let writer = tokio::spawn(write_input(Arc::clone(&pty), inputs));
        let pump = Pump { held: Arc::clone(&held), pty, scratch };
        drop(tokio::spawn(async move {
            let status = pump.until_end(ended, slave).await;
            writer.abort();
            pump.held.end(status);
        }));
        held
    }

    /// Describes it.
    pub(super) fn info(&self) -> TerminalInfo {
        let state = self.lock();
        TerminalInfo {
            id: self.id,
            workspace_id: self.workspace_id,
            size: state.size,
            end_offset: state.ring.end(),
            floor_offset: state.ring.floor(),
            exit: state.exit,
        }
    }

    /// Returns whether the program ended and all its output is in the ring.
    pub(super) fn has_ended(&self) -> bool {
        self.lock().exit.is_some()
    }

    /// Waits for [`Held::has_ended`], at most `span`; false when it passed.
    pub(super) async fn ends_within(&self, span: Duration) -> bool {
        let mut changed = self.changed.subscribe();
        within(span, changed.wait_for(|()| self.has_ended())).await.is_ok()
    }

    /// Makes a viewer that begins at `offset`, or at the oldest byte kept.
    ///
    /// # Errors
    /// `BadInput` for an offset beyond the end, `QuotaExceeded` when there are too many viewers.
    pub(super) fn enter(self: &Arc<Self>, offset: Option<u64>) -> Result<Viewer> {
        let mut state = self.lock();
        let (floor, end) = (state.ring.floor(), state.ring.end());
        let wanted = offset.unwrap_or(floor);
        if wanted > end {
            let message = format!("offset {wanted} lies beyond the end of the terminal, {end}");
            return Err(Error::new(ErrorKind::BadInput, message)
                .with_hint("attach without an offset to begin with the oldest byte kept"));
        }
        if state.viewers.len() >= VIEWERS_PER_TERMINAL_MAX {
            let message = format!("the terminal has {VIEWERS_PER_TERMINAL_MAX} viewers already");
            return Err(Error::new(ErrorKind::QuotaExceeded, message)
                .with_hint("detach a viewer that is no longer needed"));
        }
        state.viewers_ever += 1;
        let (number, at) = (state.viewers_ever, wanted.max(floor));
        state.viewers.insert(number, at);
        Ok(Viewer {
            held: Arc::clone(self),
            changed: self.changed.subscribe(),
            first: at,
            size: state.size,
            number,
            offset: wanted,
            resizes_seen: state.resizes,
            // A warning that stands is told to those who come, too.
            notice_seen: 0,
        })
    }

    /// Has its viewers look at what is new.
    pub(super) fn nudge(&self) {
        self.changed.send_replace(());
    }

    fn end(&self, status: ExitStatus) {
        let mut state = self.lock();
        state.exit = Some(status);
        state.pty = None;
        drop(state);
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns how many bytes may be read without forgetting one that a viewer still needs.
    fn room(&self) -> usize {
        let Some(slowest) = self.viewers.values().min() else { return usize::MAX };
        let waiting = usize::try_from(self.ring.end() - slowest).unwrap_or(usize::MAX);
        TERMINAL_RING_BYTES.saturating_sub(waiting)
    }
}

impl Viewer {
    /// Says what to do next. Output counts as taken only after [`Viewer::took`].
    pub(super) fn step(&mut self) -> Step {
        // Changes from here on wake the next wait.
        self.changed.mark_unchanged();
        if let Some((number, notice)) = self.held.pulse.notice_after(self.notice_seen) {
            self.notice_seen = number;
            return Step::Notice(notice);
        }
        let state = self.held.lock();
        if state.resizes != self.resizes_seen {
            self.resizes_seen = state.resizes;
            if state.resized_by != self.number {
                return Step::Resized(state.size);
            }
        }
        let floor = state.ring.floor();
        if self.offset < floor {
            // Only bytes from before it came: those it was too late for.
            return Step::Gap(std::mem::replace(&mut self.offset, floor), floor);
        }
        if self.offset < state.ring.end() {
            let mut frame = protocol::begin(
                Kind::Output,
                8 + FRAME_PAYLOAD_BYTES_MAX
                    .min(usize::try_from(state.ring.end() - self.offset).unwrap_or(usize::MAX)),
            );
            frame.extend_from_slice(&self.offset.to_be_bytes());
            state.ring.copy(self.offset, FRAME_PAYLOAD_BYTES_MAX, &mut frame);
            return Step::Output(protocol::finish(frame));
        }
        state.exit.map_or(Step::Wait, Step::Exit)
    }

    /// Notes that the output frame went out.
    pub(super) fn took(&mut self, frame: &[u8]) {
        let bytes = frame.len().saturating_sub(protocol::HEADER_BYTES + 8);
        self.offset = self.offset.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let _before = self.held.lock().viewers.insert(self.number, self.offset);
        self.held.room_freed.notify_one();
    }

    /// Returns what the receiving half of the connection needs.
    pub(super) fn hand(&self) -> Hand {
        Hand { held: Arc::clone(&self.held), number: self.number }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let _place = self.held.lock().viewers.remove(&self.number);
        self.held.room_freed.notify_one();
    }
}

/// What a viewer does to the terminal.
#[derive(Debug)]
pub(super) struct Hand {
    held: Arc<Held>,
    number: u64,
}

impl Hand {
    /// Queues input, waiting while [`INPUT_BYTES_MAX`] bytes are queued. Pieces of different
    /// viewers are never mixed.
    pub(super) async fn input(&self, bytes: Bytes) {
        self.held.pulse.typed(Instant::now());
        let count = u32::try_from(bytes.len().min(INPUT_BYTES_MAX)).unwrap_or(0);
        let room = Arc::clone(&self.held.input_room).acquire_many_owned(count).await;
        if let Ok(room) = room {
            // Fails only after the program's end, when nobody reads input any more.
            let _unread = self.held.input.send((bytes, room));
        }
    }

    /// Changes the size and tells the other viewers.
    pub(super) fn resize(&self, size: TerminalSize) {
        let size = size.clamped();
        let mut state = self.held.lock();
        let Some(pty) = state.pty.clone() else { return };
        if size == state.size || pty.resize(size).is_err() {
            return;
        }
        state.size = size;
        state.resizes += 1;
        state.resized_by = self.number;
        drop(state);
        self.held.changed.send_replace(());
    }
}
