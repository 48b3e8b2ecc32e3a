//! One command on one connection: input one way, output the other, its end last.
//!
//! The connection carries the back-pressure both ways. When it drops before the command has
//! ended, the command's session is ended: nobody would read its output.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::BufMut as _;
use rustix::process::{Pid, Signal};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, oneshot, watch};
use tracing::warn;

use super::children::{Children, Started};
use super::peer::gone;
use super::processes::{self, Identity, Table};
use super::protocol::{self, FrameReader, Kind};
use super::pty;
use super::pulse::Underway;
use crate::deadline::sleep;
use crate::wire::{ExecEvent, ExecInput, ExitStatus, FRAME_PAYLOAD_BYTES_MAX};
use sam_core::WorkspaceId;

/// How long a descendant may keep a pipe open after the command's end.
const END_GRACE: Duration = Duration::from_millis(200);
/// Most bytes still taken from each pipe after [`END_GRACE`]: the largest a pipe can be.
const LATE_BYTES_MAX: usize = 1024 * 1024;

/// A command that runs.
#[derive(Debug)]
pub(super) struct Running {
    pid: Pid,
    start_time: u64,
    ended: oneshot::Receiver<ExitStatus>,
    stdin: Sender,
    stdout: Receiver,
    stderr: Receiver,
    /// Counts as activity until the command is over.
    _underway: Underway,
}

/// Starts a command in a session of its own.
///
/// # Errors
/// What the system says when it cannot be started.
pub(super) fn start(
    children: &Children,
    mut command: Command,
    owner: WorkspaceId,
    underway: Underway,
) -> io::Result<Running> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    pty::detach(&mut command);
    let Started { mut child, pid, ended } = children.start(&mut command, Some(owner))?;
    let missing = || io::Error::other("a pipe is missing");
    let stdin: OwnedFd = child.stdin.take().ok_or_else(missing)?.into();
    let stdout: OwnedFd = child.stdout.take().ok_or_else(missing)?.into();
    let stderr: OwnedFd = child.stderr.take().ok_or_else(missing)?.into();
    Ok(Running {
        pid,
        // Not reaped yet, so this is the child even if it has ended.
        start_time: processes::start_time(pid.as_raw_nonzero().get()).unwrap_or(0),
        ended,
        stdin: Sender::from_owned_fd(stdin)?,
        stdout: Receiver::from_owned_fd(stdout)?,
        stderr: Receiver::from_owned_fd(stderr)?,
        _underway: underway,
    })
}

/// Serves a command until it ended, or ends it when the connection drops.
///
/// # Errors
/// What the connection says.
pub(super) async fn serve(
    children: &Children,
    running: Running,
    mut frames: FrameReader<OwnedReadHalf>,
    out: OwnedWriteHalf,
) -> io::Result<()> {
    let Running { pid, start_time, ended, stdin, stdout, stderr, _underway } = running;
    let out = Mutex::new(out);
    let control = Control { children, pid };
    let outcome = tokio::select! {
        biased;
        outcome = until_end(ended, stdout, stderr, &out) => outcome,
        error = control.receive(stdin, &mut frames) => Err(error),
    };
    match outcome {
        Ok(status) => {
            let frame = protocol::json_frame(Kind::Event, &ExecEvent::Exit { status })?;
            out.lock().await.write_all(&frame).await
        }
        Err(error) => {
            drop(out);
            end_session(Identity { pid: pid.as_raw_nonzero().get(), start_time }).await;
            Err(error)
        }
    }
}

/// Moves output until both pipes are at their end and the command has ended, or a little longer
/// than its end when a descendant keeps a pipe open.
async fn until_end(
    mut ended: oneshot::Receiver<ExitStatus>,
    stdout: Receiver,
    stderr: Receiver,
    out: &Mutex<OwnedWriteHalf>,
) -> io::Result<ExitStatus> {
    let over = watch::Sender::new(false);
    let mut pumps = pin!(async {
        tokio::try_join!(
            pump(Kind::Stdout, stdout, out, over.subscribe()),
            pump(Kind::Stderr, stderr, out, over.subscribe()),
        )
    });
    let mut piped = false;
    let status = loop {
        tokio::select! {
            biased;
            done = &mut pumps, if !piped => {
                let ((), ()) = done?;
                piped = true;
            }
            status = &mut ended => break status,
        }
    };
    if !piped {
        tokio::select! {
            biased;
            done = &mut pumps => {
                let ((), ()) = done?;
                piped = true;
            }
            () = sleep(END_GRACE) => {}
        }
    }
    if !piped {
        over.send_replace(true);
        let ((), ()) = pumps.await?;
    }
    // The sender lives as long as the child is not reaped.
    Ok(status.unwrap_or(ExitStatus::Code(u8::MAX)))
}

/// Moves one pipe to the connection: to its end, or once `over`, to what is in it now.
async fn pump(
    kind: Kind,
    pipe: Receiver,
    out: &Mutex<OwnedWriteHalf>,
    mut over: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut late = 0;
    loop {
        let last_look = tokio::select! {
            biased;
            ready = pipe.readable() => {
                ready?;
                false
            }
            _ended = over.wait_for(|over| *over) => true,
        };
        let mut frame = protocol::begin(kind, FRAME_PAYLOAD_BYTES_MAX);
        match pipe.try_read_buf(&mut (&mut frame).limit(FRAME_PAYLOAD_BYTES_MAX)) {
            Ok(0) => return Ok(()),
            Ok(bytes) => {
                out.lock().await.write_all(&protocol::finish(frame)).await?;
                if *over.borrow() {
                    late += bytes;
                }
                if late > LATE_BYTES_MAX {
                    return Ok(());
                }
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Err(_) if last_look => return Ok(()),
            Err(_) => {}
        }
    }
}

/// Ends everything in the session a command led.
async fn end_session(root: Identity) {
    let find = |table: &Table, _known: &BTreeSet<Identity>| {
        // Another process has the id by now: then the session has been empty before.
        if table.identity(root.pid).is_some_and(|found| found != root) {
            return BTreeSet::new();
        }
        let member = |process: &&processes::Process| {
            process.session == root.pid && process.identity.start_time >= root.start_time
        };
        table.iter().filter(member).map(|process| process.identity.pid).collect()
    };
    if let Err(left) = processes::end(find).await {
        warn!(?left, "processes of a dropped command do not end");
    }
}

/// What the connection does to the command.
struct Control<'a> {
    children: &'a Children,
    pid: Pid,
}

impl Control<'_> {
    /// Takes input and signals until the connection ends; says how it ended.
    async fn receive(&self, stdin: Sender, frames: &mut FrameReader<OwnedReadHalf>) -> io::Error {
        let mut stdin = Some(stdin);
        loop {
            let (kind, payload) = match frames.next().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return io::ErrorKind::ConnectionAborted.into(),
                Err(error) => return error,
            };
            let error = match kind {
                Kind::Input => {
                    let Some(pipe) = stdin.as_mut() else { continue };
                    let written = tokio::select! {
                        biased;
                        written = pipe.write_all(&payload) => written,
                        // A command that reads nothing must not hide that the caller has left.
                        () = gone(frames.stream()) => {
                            return io::ErrorKind::ConnectionAborted.into();
                        }
                    };
                    if written.is_err() {
                        // The command closed its input; that is its right.
                        stdin = None;
                    }
                    continue;
                }
                Kind::Control => match protocol::parse(&payload) {
                    Ok(ExecInput::Eof) => {
                        stdin = None;
                        continue;
                    }
                    Ok(ExecInput::Signal { number }) => match allowed(number) {
                        Some(signal) => {
                            self.children.signal_group(self.pid, signal);
                            continue;
                        }
                        None => protocol::malformed(format!("signal {number} is not allowed")),
                    },
                    Err(error) => error,
                },
                _ => protocol::malformed("this frame has no place in a command"),
            };
            return error;
        }
    }
}

fn allowed(number: u8) -> Option<Signal> {
    match number {
        1 => Some(Signal::HUP),
        2 => Some(Signal::INT),
        3 => Some(Signal::QUIT),
        9 => Some(Signal::KILL),
        15 => Some(Signal::TERM),
        _ => None,
    }
}
