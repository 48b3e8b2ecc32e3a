//! Being attached to a terminal: bytes both ways, its size, the keys that detach, and going on
//! where it was when the connection breaks.

mod choice;
mod keys;
mod modes;
mod notice;
mod screen;

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWriteExt as _, Stdout};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use sam_api::Client;
use sam_api::client::{TerminalMessage, TerminalReceiver, TerminalSender, TerminalSocket};
use sam_api::wire::{ExitStatus, TerminalEvent, TerminalSize};
use sam_core::{Error, ErrorKind, Result, TerminalId};

use crate::connect::Context;
use crate::deadline;
use crate::failure::{Failure, system};
use crate::input;
use crate::signals::{self, Signals};

use self::choice::choose;
use self::keys::KeyScanner;
use self::modes::Modes;
use self::notice::Notice;
use self::screen::RawMode;

pub(crate) use self::choice::Choice;
pub(crate) use self::keys::DetachKey;
pub(crate) use self::screen::is_interactive;

/// Most requests to the terminal that wait to be sent.
const QUEUE_MAX: usize = 16;
/// Most bytes typed while the connection is broken that are kept for when it is back.
const TYPED_AHEAD_MAX: usize = 4 * 1024;
/// What a terminal takes for the end of its input.
const END_OF_INPUT: u8 = 0x04;
/// The signal that a closed window sends.
const HANGUP: u8 = 1;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Where to attach, and how to leave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Id or name of the workspace.
    pub(crate) workspace: &'a str,
    pub(crate) choice: Choice,
    pub(crate) key: &'a DetachKey,
}

/// Attaches to a terminal until its program ends, the person detaches, or a signal comes.
/// Returns the status to exit with.
pub(crate) async fn attach(
    context: &Context,
    client: Client,
    place: Place<'_>,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    let Place { workspace, choice, key } = place;
    let terminal = choose(context, &client, workspace, choice).await?;
    let resized = signal(SignalKind::window_change())
        .map_err(|cause| system("signals cannot be received", cause))?;
    let mut session = Session {
        context,
        client,
        workspace,
        terminal: terminal.0,
        offset: terminal.1,
        scanner: KeyScanner::new(key),
        modes: Modes::default(),
        notice: Notice::default(),
        stdout: tokio::io::stdout(),
        input: None,
        is_raw: false,
        typed: Vec::new(),
        resized,
        signals,
    };
    let raw = RawMode::enter()?;
    session.is_raw = raw.is_some();
    session.input = Some(input::pieces());
    let outcome = session.run().await;
    session.leave().await;
    drop(raw);
    if let Some(text) = session.notice.pending() {
        context.output.remark(&format!("sam: {text}"));
    }
    match outcome? {
        End::Exit(status) => Ok(status.shell_code()),
        End::Signal(number) => Ok(signals::status(number)),
        End::Detached => {
            context.output.remark(&format!(
                "sam: detached from {}; `sam attach {workspace}` goes on",
                session.terminal
            ));
            Ok(0)
        }
    }
}

/// How being attached ended.
#[derive(Debug)]
enum End {
    Detached,
    Exit(ExitStatus),
    Signal(u8),
}

/// How one connection ended.
#[derive(Debug)]
enum Pump {
    Broke(Error),
    End(End),
}

enum Request {
    Input(Vec<u8>),
    Resize(TerminalSize),
}

struct Session<'a> {
    context: &'a Context,
    client: Client,
    workspace: &'a str,
    terminal: TerminalId,
    /// Offset of the first byte not yet written to standard output.
    offset: u64,
    scanner: KeyScanner,
    modes: Modes,
    notice: Notice,
    stdout: Stdout,
    /// Standard input; `None` after its end.
    input: Option<mpsc::Receiver<Bytes>>,
    /// Standard input is a terminal, in raw mode.
    is_raw: bool,
    typed: Vec<u8>,
    resized: Signal,
    signals: &'a mut Signals,
}

impl Session<'_> {
    async fn run(&mut self) -> Result<End, Failure> {
        let socket = self.client.attach(self.workspace, self.terminal, self.offset).await?;
        let mut socket = Some(socket);
        loop {
            let connected = match socket.take() {
                Some(socket) => socket,
                None => match self.reconnect().await? {
                    Ok(socket) => socket,
                    Err(end) => return Ok(end),
                },
            };
            match self.pump(connected).await? {
                Pump::End(end) => return Ok(end),
                Pump::Broke(error) if is_passing(&error) => {}
                Pump::Broke(error) => return Err(error.into()),
            }
        }
    }

    /// Passes bytes both ways until the connection ends.
    async fn pump(&mut self, socket: TerminalSocket) -> Result<Pump, Failure> {
        let TerminalSocket { sender, mut receiver } = socket;
        // A task of its own, so that a program that reads nothing does not keep us from showing
        // what it prints.
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let writing = tokio::spawn(write(sender.clone(), queue));
        let typed = std::mem::take(&mut self.typed);
        let size = screen::size().map(Request::Resize);
        let first = size.into_iter().chain((!typed.is_empty()).then_some(Request::Input(typed)));
        for request in first {
            // The queue is empty; it fails only when the connection broke, which reading tells.
            let _outcome = requests.try_send(request);
        }
        let outcome = self.pass(&requests, &mut receiver).await;
        drop(requests);
        if matches!(outcome, Ok(Pump::End(_))) {
            // What was typed last is on its way; then goodbye.
            let _outcome = deadline::within(deadline::LAST_ANSWER, writing).await;
            sender.close().await;
        } else {
            writing.abort();
        }
        outcome
    }

    async fn pass(
        &mut self,
        requests: &mpsc::Sender<Request>,
        receiver: &mut TerminalReceiver,
    ) -> Result<Pump, Failure> {
        loop {
            tokio::select! {
                biased;
                signal = self.signals.next() => return Ok(Pump::End(End::Signal(signal))),
                Some(()) = self.resized.recv() => {
                    if let Some(size) = screen::size() {
                        // Where the queue is full the next change tells.
                        let _outcome = requests.try_send(Request::Resize(size));
                    }
                }
                message = receiver.next() => match message {
                    Ok(Some(message)) => {
                        if let Some(end) = self.take(message).await? {
                            return Ok(Pump::End(end));
                        }
                    }
                    Ok(None) => return Ok(Pump::Broke(ended())),
                    Err(error) => return Ok(Pump::Broke(error)),
                },
                (permit, piece) = typed(requests, &mut self.input) => {
                    let (bytes, end) = self.scan(piece);
                    if !bytes.is_empty() {
                        permit.send(Request::Input(bytes));
                        self.notice.typed();
                        if let Some(end) = self.sign().await? {
                            return Ok(Pump::End(end));
                        }
                    }
                    if let Some(end) = end {
                        return Ok(Pump::End(end));
                    }
                }
            }
        }
    }

    /// Looks for the keys. `None` is the end of the input: the terminal is told once, unless the
    /// input was a terminal itself. That ends only when its window is closed, which must not end
    /// the program on the other side.
    fn scan(&mut self, piece: Option<Bytes>) -> (Vec<u8>, Option<End>) {
        let Some(piece) = piece else {
            self.input = None;
            if self.is_raw {
                return (Vec::new(), Some(End::Signal(HANGUP)));
            }
            let mut rest = self.scanner.finish();
            rest.push(END_OF_INPUT);
            return (rest, None);
        };
        let scanned = self.scanner.scan(&piece);
        (scanned.forward, scanned.detached.then_some(End::Detached))
    }

    async fn take(&mut self, message: TerminalMessage) -> Result<Option<End>, Failure> {
        match message {
            TerminalMessage::Output { offset, bytes } => {
                let fresh = fresh(self.offset, offset, &bytes);
                self.offset = offset.saturating_add(length(&bytes)).max(self.offset);
                self.modes.follow(&fresh);
                return match self.print(&fresh).await? {
                    None => self.sign().await,
                    end => Ok(end),
                };
            }
            TerminalMessage::Event(TerminalEvent::Exit { status }) => {
                return Ok(Some(End::Exit(status)));
            }
            TerminalMessage::Event(TerminalEvent::Notice { text }) => {
                self.notice.take(&text);
                return self.sign().await;
            }
            TerminalMessage::Event(TerminalEvent::Gap { to, .. }) => {
                self.offset = self.offset.max(to);
            }
            TerminalMessage::Event(TerminalEvent::Attached { .. } | TerminalEvent::Resized(_)) => {}
        }
        Ok(None)
    }

    /// Shows a notice, or takes it back, where the window and the moment allow it.
    async fn sign(&mut self) -> Result<Option<End>, Failure> {
        let signs = self.notice.signs(self.modes.is_between() && screen::is_drawn());
        if signs.is_empty() {
            return Ok(None);
        }
        self.print(signs.as_bytes()).await
    }

    async fn print(&mut self, bytes: &[u8]) -> Result<Option<End>, Failure> {
        let printing = async {
            self.stdout.write_all(bytes).await?;
            self.stdout.flush().await
        };
        // A terminal that was stopped (ctrl-s) takes nothing; signals must still work.
        tokio::select! {
            biased;
            outcome = printing => outcome.map(|()| None).map_err(Failure::from),
            signal = self.signals.next() => Ok(Some(End::Signal(signal))),
        }
    }

    /// Connects again, for at most [`deadline::REATTACH`]; the person can still detach.
    async fn reconnect(&mut self) -> Result<Result<TerminalSocket, End>, Failure> {
        let last = Instant::now() + deadline::REATTACH;
        let mut pause = FIRST_PAUSE;
        loop {
            let (context, workspace, terminal, offset) =
                (self.context, self.workspace, self.terminal, self.offset);
            let trying = async {
                deadline::pause(pause).await;
                let client = context.reconnect().await?;
                let socket = client.attach(workspace, terminal, offset).await?;
                Ok::<_, Error>((client, socket))
            };
            match self.meanwhile(trying).await {
                Err(end) => return Ok(Err(end)),
                Ok(Ok((client, socket))) => {
                    self.client = client;
                    return Ok(Ok(socket));
                }
                Ok(Err(error)) if !is_passing(&error) => return Err(error.into()),
                Ok(Err(error)) if Instant::now() >= last => {
                    return Err(error
                        .with_hint(format!(
                            "the terminal goes on: `sam attach {workspace} --terminal {terminal}`"
                        ))
                        .into());
                }
                Ok(Err(_)) => pause = (pause * 2).min(LAST_PAUSE),
            }
        }
    }

    /// Waits for a future while signals and the detach keys work and typing is kept.
    async fn meanwhile<T>(&mut self, future: impl Future<Output = T>) -> Result<T, End> {
        tokio::pin!(future);
        loop {
            tokio::select! {
                biased;
                signal = self.signals.next() => return Err(End::Signal(signal)),
                done = &mut future => return Ok(done),
                piece = receive(&mut self.input), if self.typed.len() < TYPED_AHEAD_MAX => {
                    let (bytes, end) = self.scan(piece);
                    self.typed.extend(bytes);
                    if let Some(end) = end {
                        return Err(end);
                    }
                }
            }
        }
    }

    /// Brings the screen back to what a shell expects.
    async fn leave(&mut self) {
        let mut reset = self.modes.reset();
        reset.extend(self.notice.lowered().into_bytes());
        if !screen::is_drawn() || reset.is_empty() {
            return;
        }
        let writing = async {
            self.stdout.write_all(&reset).await?;
            self.stdout.flush().await
        };
        // A terminal that is gone needs nothing.
        let _outcome = deadline::within(deadline::LAST_ANSWER, writing).await;
    }
}

async fn write(sender: TerminalSender, mut queue: mpsc::Receiver<Request>) {
    while let Some(request) = queue.recv().await {
        let outcome = match request {
            Request::Input(bytes) => sender.input(&bytes).await,
            Request::Resize(size) => sender.resize(size).await,
        };
        if outcome.is_err() {
            // Reading fails as well, and that is where it is handled.
            return;
        }
    }
}

/// Waits for room in the queue, then for input; nothing is taken that cannot be passed on.
async fn typed<'a>(
    requests: &'a mpsc::Sender<Request>,
    input: &mut Option<mpsc::Receiver<Bytes>>,
) -> (mpsc::Permit<'a, Request>, Option<Bytes>) {
    match requests.reserve().await {
        Ok(permit) => (permit, receive(input).await),
        // The connection broke, which reading tells.
        Err(_) => std::future::pending().await,
    }
}

async fn receive(input: &mut Option<mpsc::Receiver<Bytes>>) -> Option<Bytes> {
    match input {
        Some(input) => input.recv().await,
        None => std::future::pending().await,
    }
}

/// Returns the part of some output that was not seen yet.
fn fresh(seen: u64, offset: u64, bytes: &Bytes) -> Bytes {
    let known = usize::try_from(seen.saturating_sub(offset)).unwrap_or(usize::MAX);
    bytes.slice(known.min(bytes.len())..)
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn ended() -> Error {
    Error::new(ErrorKind::Unavailable, "the server ended the connection")
}

fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::RateLimited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_seen_before_are_not_shown_again() {
        let bytes = Bytes::from_static(b"abcdef");
        assert_eq!(fresh(0, 0, &bytes), "abcdef");
        assert_eq!(fresh(12, 10, &bytes), "cdef");
        assert_eq!(fresh(16, 10, &bytes), "");
        assert_eq!(fresh(99, 10, &bytes), "");
        assert_eq!(fresh(5, 10, &bytes), "abcdef");
    }
}
