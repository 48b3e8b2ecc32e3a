//! Bytes and keystrokes through holder, agent, link, server and client, beside the same program in a
//! pseudo-terminal that is read directly.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sam_api::client::{TerminalMessage, TerminalSocket};
use sam_api::wire::{OpenTerminal, TerminalEvent, TerminalSize};

use crate::control::{Control, Programs, repository};
use crate::figures::{Pairs, Spread, percentile, rate};
use crate::peer::BareTerminal;
use crate::{PAIRS, deadline};

/// What a program prints when it waits for the start, and what starts it.
const READY: &[u8] = b"ready";
const GO: &[u8] = b"\n";
/// Longest of one flood or of one row of keystrokes.
const LIMIT: Duration = Duration::from_mins(1);
const KEYSTROKES: usize = 200;

/// A program that prints so many bytes once told to.
#[derive(Debug, Clone, Copy)]
struct Flood {
    name: &'static str,
    line: &'static str,
    bytes: u64,
}

const FLOODS: [Flood; 2] = [
    Flood {
        name: "one long line, raw terminal",
        line: "stty raw -echo; printf ready; read go; head -c 67108864 /dev/zero | tr '\\0' x",
        bytes: 64 * 1024 * 1024,
    },
    // 72 columns: 71 letters and the newline, which the terminal makes two bytes.
    Flood {
        name: "72-column lines, cooked terminal",
        line: "stty -echo; printf ready; read go; \
               yes abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrs \
               | head -n 262144",
        bytes: 262_144 * 73,
    },
];

const ECHO: &str = "stty raw -echo; printf ready; exec cat";

pub(crate) fn run(dir: &Path) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let repo = dir.join("repo");
        repository(&repo)?;
        let control = Control::daemon(&Programs::beside_sam(), &dir.join("data")).await?;
        let workspace = control.workspace(&repo).await?;
        let measured = measure(&control, &workspace).await;
        // Whatever happened: nodes outlive their daemon, so they go first.
        let deleted = control.delete(&workspace).await;
        control.end().await?;
        measured.and(deleted)
    })
}

async fn measure(control: &Control, workspace: &str) -> Result<()> {
    for flood in FLOODS {
        let mut pairs = Pairs::default();
        for _ in 0..PAIRS {
            let bare = tokio::task::spawn_blocking(move || bare_flood(flood)).await??;
            let ours = deadline::within(LIMIT, flood.name, our_flood(control, workspace, flood));
            pairs.push(rate(flood.bytes, ours.await?) / 1e6, rate(flood.bytes, bare) / 1e6);
        }
        println!("  {}, {} MB", flood.name, flood.bytes / 1_000_000);
        println!("    read directly          {} MB/s", pairs.peer());
        println!("    through SAM            {} MB/s", pairs.ours());
        println!("    ratio                  {} (aim 0.85)", pairs.ratio());
    }
    let (mut middle, mut tail) = (Pairs::default(), Pairs::default());
    for _ in 0..PAIRS {
        let bare = tokio::task::spawn_blocking(bare_echo).await??;
        let ours = deadline::within(LIMIT, "typing", our_echo(control, workspace)).await?;
        middle.push(percentile(&ours, 50), percentile(&bare, 50));
        tail.push(percentile(&ours, 99), percentile(&bare, 99));
    }
    println!("  {KEYSTROKES} keystrokes echoed by cat");
    let show = |name: &str, spread: Spread| println!("    {name:<22} {spread}");
    show("directly, p50 in us", middle.peer());
    show("through SAM, p50 in us", middle.ours());
    show("directly, p99 in us", tail.peer());
    show("through SAM, p99 in us", tail.ours());
    show("ratio of p50", middle.ratio());
    Ok(())
}

fn bare_flood(flood: Flood) -> Result<Duration> {
    let terminal = BareTerminal::start(flood.line)?;
    terminal.expect(READY)?;
    terminal.write(GO)?;
    let started = Instant::now();
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = 0;
    while bytes < flood.bytes {
        match terminal.read(&mut buffer)? {
            0 => anyhow::bail!("the program ended after {bytes} bytes"),
            count => bytes += count as u64,
        }
    }
    Ok(started.elapsed())
}

fn bare_echo() -> Result<Vec<Duration>> {
    let terminal = BareTerminal::start(ECHO)?;
    terminal.expect(READY)?;
    let mut spans = Vec::with_capacity(KEYSTROKES);
    for key in keys() {
        let typed = Instant::now();
        terminal.write(&[key])?;
        terminal.expect(&[key])?;
        spans.push(typed.elapsed());
    }
    spans.sort();
    Ok(spans)
}

fn keys() -> impl Iterator<Item = u8> {
    (b'a'..=b'z').cycle().take(KEYSTROKES)
}

/// A terminal of a workspace, attached.
struct Attached {
    socket: TerminalSocket,
    /// The offset after the last byte seen.
    offset: u64,
}

impl Attached {
    async fn start(control: &Control, workspace: &str, line: &str) -> Result<Self> {
        let command = ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
        let size = TerminalSize { cols: 80, rows: 24 };
        let request = OpenTerminal { command, size, term: None };
        let opened = control.client.open_terminal(workspace, &request).await?;
        let socket = control.client.attach(workspace, opened.id, 0).await?;
        let mut attached = Self { socket, offset: 0 };
        attached.expect(READY).await?;
        Ok(attached)
    }

    /// The next output. That none is lost is checked by the offsets.
    async fn output(&mut self) -> Result<bytes::Bytes> {
        loop {
            match self.socket.receiver.next().await?.context("the connection ended")? {
                TerminalMessage::Output { offset, bytes } => {
                    anyhow::ensure!(offset == self.offset, "{offset} instead of {}", self.offset);
                    self.offset += bytes.len() as u64;
                    return Ok(bytes);
                }
                TerminalMessage::Event(TerminalEvent::Exit { status }) => {
                    anyhow::bail!("the program ended: {status:?}")
                }
                TerminalMessage::Event(_) => {}
            }
        }
    }

    async fn expect(&mut self, text: &[u8]) -> Result<()> {
        let mut seen = Vec::new();
        while seen.len() < text.len() {
            seen.extend_from_slice(&self.output().await?);
        }
        anyhow::ensure!(seen == text, "{seen:?} instead of {text:?}");
        Ok(())
    }
}

async fn our_flood(control: &Control, workspace: &str, flood: Flood) -> Result<Duration> {
    let mut terminal = Attached::start(control, workspace, flood.line).await?;
    let end = terminal.offset + flood.bytes;
    terminal.socket.sender.input(GO).await?;
    let started = Instant::now();
    while terminal.offset < end {
        terminal.output().await?;
    }
    let span = started.elapsed();
    terminal.socket.sender.close().await;
    Ok(span)
}

async fn our_echo(control: &Control, workspace: &str) -> Result<Vec<Duration>> {
    let mut terminal = Attached::start(control, workspace, ECHO).await?;
    let mut spans = Vec::with_capacity(KEYSTROKES);
    for key in keys() {
        let typed = Instant::now();
        terminal.socket.sender.input(&[key]).await?;
        terminal.expect(&[key]).await?;
        spans.push(typed.elapsed());
    }
    spans.sort();
    terminal.socket.sender.close().await;
    Ok(spans)
}
