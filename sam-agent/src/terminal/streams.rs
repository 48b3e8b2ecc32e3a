//! An attached terminal and a running command, as the agent sees them.
//!
//! Reading may be dropped at any time and loses nothing. Writing that is dropped half way is
//! completed by the next write on the same stream, so that frames stay whole.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use serde::Serialize;
use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::UnixStream;

use sam_core::Result;

use super::client::lost;
use super::protocol::{self, FrameReader, Kind};
use crate::wire::{
    ExecEvent, ExecInput, FRAME_PAYLOAD_BYTES_MAX, TerminalEvent, TerminalRequest, TerminalSize,
};

const ATTACH: &str = "attach_terminal";
const EXEC: &str = "exec";

/// An attached terminal. Dropping both halves detaches.
#[derive(Debug)]
pub struct TerminalStream {
    reader: TerminalReader,
    writer: TerminalWriter,
}

/// What a terminal sends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TerminalOutput {
    /// Something happened. The first is `Attached`, after it `Gap` if bytes were lost, and the
    /// last is `Exit`.
    Event(TerminalEvent),
    /// The terminal printed.
    Bytes {
        /// Offset of the first byte.
        offset: u64,
        /// The bytes, at most 64 KiB.
        bytes: Bytes,
    },
}

/// The receiving half of a terminal.
#[derive(Debug)]
pub struct TerminalReader {
    frames: FrameReader<ReadHalf<UnixStream>>,
    ended: bool,
}

/// The sending half of a terminal.
#[derive(Debug)]
pub struct TerminalWriter {
    out: Out,
}

impl TerminalStream {
    pub(super) fn new(frames: FrameReader<UnixStream>) -> Self {
        let (frames, out) = split(frames);
        Self { reader: TerminalReader { frames, ended: false }, writer: TerminalWriter { out } }
    }

    /// Splits it. The terminal stays attached until both halves are dropped.
    pub fn split(self) -> (TerminalReader, TerminalWriter) {
        (self.reader, self.writer)
    }
}

impl TerminalReader {
    /// Returns what comes next, `None` after the program's end. May be dropped without loss. A
    /// reader that is not asked for 5 s while output waits is dropped by the holder.
    ///
    /// # Errors
    /// `Unavailable` when the holder dropped the viewer or ended: attach again with the offset
    /// after the last byte.
    pub async fn next(&mut self) -> Result<Option<TerminalOutput>> {
        if self.ended {
            return Ok(None);
        }
        let output = self.frame().await.map_err(|error| lost(ATTACH, error))?;
        self.ended = matches!(output, TerminalOutput::Event(TerminalEvent::Exit { .. }));
        Ok(Some(output))
    }

    async fn frame(&mut self) -> io::Result<TerminalOutput> {
        let (kind, mut payload) = self.frames.next().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        match kind {
            Kind::Event => Ok(TerminalOutput::Event(protocol::parse(&payload)?)),
            Kind::Output => {
                let offset = payload
                    .try_get_u64()
                    .map_err(|_| protocol::malformed("output without an offset"))?;
                Ok(TerminalOutput::Bytes { offset, bytes: payload })
            }
            _ => Err(protocol::malformed("this frame has no place in a terminal")),
        }
    }
}

impl TerminalWriter {
    /// Types bytes, of any number. Waits while the program does not read and 64 KiB are queued.
    ///
    /// # Errors
    /// `Unavailable` when the holder dropped the viewer, or the program ended.
    pub async fn input(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.input(bytes).await.map_err(|error| lost(ATTACH, error))
    }

    /// Changes the terminal's size, each number cut to 1 to 1,000.
    ///
    /// # Errors
    /// As [`TerminalWriter::input`].
    pub async fn resize(&mut self, size: TerminalSize) -> Result<()> {
        let request = TerminalRequest::Resize(size);
        self.out.control(&request).await.map_err(|error| lost(ATTACH, error))
    }
}

/// A running command. Dropping both halves ends it.
#[derive(Debug)]
pub struct ExecStream {
    reader: ExecReader,
    writer: ExecWriter,
}

/// What a command sends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExecOutput {
    /// Its end; the last.
    Event(ExecEvent),
    /// It printed, at most 64 KiB.
    Stdout(Bytes),
    /// It printed an error, at most 64 KiB.
    Stderr(Bytes),
}

/// The receiving half of a command.
#[derive(Debug)]
pub struct ExecReader {
    frames: FrameReader<ReadHalf<UnixStream>>,
    ended: bool,
}

/// The sending half of a command.
#[derive(Debug)]
pub struct ExecWriter {
    out: Out,
}

impl ExecStream {
    pub(super) fn new(frames: FrameReader<UnixStream>) -> Self {
        let (frames, out) = split(frames);
        Self { reader: ExecReader { frames, ended: false }, writer: ExecWriter { out } }
    }

    /// Splits it. The command runs on until both halves are dropped.
    pub fn split(self) -> (ExecReader, ExecWriter) {
        (self.reader, self.writer)
    }
}

impl ExecReader {
    /// Returns what comes next, `None` after the command's end. May be dropped without loss. The
    /// command waits while nobody asks.
    ///
    /// # Errors
    /// `Unavailable` when the holder ended.
    pub async fn next(&mut self) -> Result<Option<ExecOutput>> {
        if self.ended {
            return Ok(None);
        }
        let output = self.frame().await.map_err(|error| lost(EXEC, error))?;
        self.ended = matches!(output, ExecOutput::Event(_));
        Ok(Some(output))
    }

    async fn frame(&mut self) -> io::Result<ExecOutput> {
        let (kind, payload) = self.frames.next().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        match kind {
            Kind::Event => Ok(ExecOutput::Event(protocol::parse(&payload)?)),
            Kind::Stdout => Ok(ExecOutput::Stdout(payload)),
            Kind::Stderr => Ok(ExecOutput::Stderr(payload)),
            _ => Err(protocol::malformed("this frame has no place in a command")),
        }
    }
}

impl ExecWriter {
    /// Writes to the command's standard input, any number of bytes. Waits while it does not
    /// read. What comes after the command closed its input is dropped.
    ///
    /// # Errors
    /// `Unavailable` when the command or the holder ended.
    pub async fn stdin(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.input(bytes).await.map_err(|error| lost(EXEC, error))
    }

    /// Ends the command's standard input.
    ///
    /// # Errors
    /// As [`ExecWriter::stdin`].
    pub async fn eof(&mut self) -> Result<()> {
        self.out.control(&ExecInput::Eof).await.map_err(|error| lost(EXEC, error))
    }

    /// Sends a signal to the command's process group: 1, 2, 3, 9 or 15. Another number ends the
    /// connection and so the command.
    ///
    /// # Errors
    /// As [`ExecWriter::stdin`].
    pub async fn signal(&mut self, number: u8) -> Result<()> {
        let input = ExecInput::Signal { number };
        self.out.control(&input).await.map_err(|error| lost(EXEC, error))
    }
}

fn split(frames: FrameReader<UnixStream>) -> (FrameReader<ReadHalf<UnixStream>>, Out) {
    // Not `into_split`: its sending half, when dropped, would end the whole stream for the holder.
    let (stream, buffer) = frames.into_parts();
    let (read, write) = tokio::io::split(stream);
    (FrameReader::from_parts(read, buffer), Out { stream: write, pending: BytesMut::new() })
}

/// Sends whole frames, whatever happens to the futures that send them.
#[derive(Debug)]
struct Out {
    stream: WriteHalf<UnixStream>,
    pending: BytesMut,
}

impl Out {
    async fn input(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(FRAME_PAYLOAD_BYTES_MAX) {
            self.frame(&protocol::bytes_frame(Kind::Input, piece)).await?;
        }
        Ok(())
    }

    async fn control(&mut self, value: &(impl Serialize + Sync)) -> io::Result<()> {
        let frame = protocol::json_frame(Kind::Control, value)?;
        self.frame(&frame).await
    }

    async fn frame(&mut self, frame: &[u8]) -> io::Result<()> {
        self.flush().await?;
        self.pending.extend_from_slice(frame);
        self.flush().await
    }

    async fn flush(&mut self) -> io::Result<()> {
        while self.pending.has_remaining() {
            if self.stream.write_buf(&mut self.pending).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}
