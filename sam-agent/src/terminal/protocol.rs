//! What the agent and the holder say to each other on the holder's socket.
//!
//! One connection serves one activity. A frame is four bytes of big-endian length, one byte of
//! kind and a payload; the length counts kind and payload and is at least 1 and at most
//! [`FRAME_BYTES_MAX`]. The first frame is a [`Request`], the first answer a [`Reply`]. A frame
//! that breaks these rules ends its connection and nothing else.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use sam_core::{ErrorRecord, TerminalId, WorkspaceId};

use crate::wire::{
    Activity, DeclareWork, ExecRequest, FRAME_PAYLOAD_BYTES_MAX, IdleEnd, OpenTerminal,
    TerminalInfo, WorkName,
};

/// Largest frame without its length, in bytes: bounds the arguments and variables of a command.
pub(super) const FRAME_BYTES_MAX: usize = 512 * 1024;
/// Bytes of length and kind before the payload.
pub(super) const HEADER_BYTES: usize = 5;
/// Bytes asked from the socket at a time when nothing larger is under way.
const READ_BYTES: usize = 4 * 1024;
/// An empty read buffer larger than this is given back.
const IDLE_BUFFER_BYTES_MAX: usize = 16 * 1024;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// JSON: [`Request`], the first frame of the agent.
    Request = 1,
    /// JSON: [`Reply`], the first frame of the holder.
    Reply = 2,
    /// JSON: `TerminalRequest` or `ExecInput`.
    Control = 3,
    /// JSON: `TerminalEvent` or `ExecEvent`.
    Event = 4,
    /// Bytes for a terminal or a command.
    Input = 5,
    /// Eight bytes of big-endian offset, then bytes of a terminal.
    Output = 6,
    /// Bytes a command printed.
    Stdout = 7,
    /// Bytes a command printed as errors.
    Stderr = 8,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Request,
        Self::Reply,
        Self::Control,
        Self::Event,
        Self::Input,
        Self::Output,
        Self::Stdout,
        Self::Stderr,
    ];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// What the agent asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Request {
    /// Say what goes on in a workspace.
    Activity { workspace_id: WorkspaceId },
    /// Be a viewer of a terminal.
    Attach { workspace_id: WorkspaceId, terminal_id: TerminalId, offset: Option<u64> },
    /// End a terminal and forget it.
    Close { workspace_id: WorkspaceId, terminal_id: TerminalId },
    /// Declare work in a workspace.
    Declare { workspace_id: WorkspaceId, name: WorkName, request: DeclareWork },
    /// End declared work.
    EndWork { workspace_id: WorkspaceId, name: WorkName },
    /// Run a command on this connection.
    Exec { workspace_id: WorkspaceId, directory: String, request: ExecRequest },
    /// Say who the holder is.
    Info,
    /// List terminals.
    List { workspace_id: WorkspaceId },
    /// Open a terminal.
    Open { workspace_id: WorkspaceId, directory: String, request: OpenTerminal },
    /// End every process of a workspace.
    Stop { workspace_id: WorkspaceId },
    /// The same, unless something has counted since people were warned.
    StopIdle { workspace_id: WorkspaceId },
    /// Warn the people of a workspace.
    Warn { workspace_id: WorkspaceId, notice: String },
}

/// What the holder answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub(super) enum Reply {
    /// What goes on in the workspace.
    Activity(Activity),
    /// It is done, or the stream begins.
    Done,
    /// It failed.
    Failed(ErrorRecord),
    /// How an idle stop ended.
    IdleEnd(IdleEnd),
    /// Who the holder is.
    Info(HolderInfo),
    /// The terminal opened.
    Terminal(TerminalInfo),
    /// The terminals of the workspace.
    Terminals(Vec<TerminalInfo>),
}

/// Who a holder is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HolderInfo {
    /// Random; changes when a holder starts anew, that is when the processes were lost.
    pub instance: String,
    /// Its process id.
    pub pid: u32,
}

/// Begins a frame with room for `payload` bytes; [`finish`] completes it.
pub(super) fn begin(kind: Kind, payload: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload);
    frame.extend_from_slice(&[0, 0, 0, 0, kind as u8]);
    frame
}

/// Writes the length of a frame that [`begin`] made.
pub(super) fn finish(mut frame: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(frame.len() - 4).unwrap_or(u32::MAX);
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// Makes a frame of bytes.
pub(super) fn bytes_frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut frame = begin(kind, payload.len());
    frame.extend_from_slice(payload);
    finish(frame)
}

/// Makes a frame of JSON.
///
/// # Errors
/// `InvalidInput` when it would be larger than [`FRAME_BYTES_MAX`].
pub(super) fn json_frame(kind: Kind, value: &impl Serialize) -> io::Result<Vec<u8>> {
    let frame = bytes_frame(kind, &serde_json::to_vec(value)?);
    if frame.len() - 4 > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the request is too large"));
    }
    Ok(frame)
}

/// Reads the JSON of a frame.
///
/// # Errors
/// `InvalidData` when it does not fit.
pub(super) fn parse<T: DeserializeOwned>(payload: &[u8]) -> io::Result<T> {
    serde_json::from_slice(payload).map_err(|error| malformed(error.to_string()))
}

/// Makes the error of a frame that breaks the rules.
pub(super) fn malformed(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

/// Takes frames off a stream. [`FrameReader::next`] may be dropped at any time without losing
/// bytes.
#[derive(Debug)]
pub(super) struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// Returns the stream, to look at its state.
    pub(super) const fn stream(&self) -> &R {
        &self.stream
    }

    /// Returns the stream, to write to it.
    pub(super) const fn stream_mut(&mut self) -> &mut R {
        &mut self.stream
    }

    /// Returns the stream and what was read of it and not taken.
    pub(super) fn into_parts(self) -> (R, BytesMut) {
        (self.stream, self.buffer)
    }

    /// Goes on where [`FrameReader::into_parts`] ended, on another handle of the stream.
    pub(super) const fn from_parts(stream: R, buffer: BytesMut) -> Self {
        Self { stream, buffer }
    }

    /// Returns the next frame, `None` at the end of the stream.
    ///
    /// # Errors
    /// `InvalidData` for a frame that breaks the rules, `UnexpectedEof` for half a frame, and
    /// what the stream says.
    pub(super) async fn next(&mut self) -> io::Result<Option<(Kind, Bytes)>> {
        loop {
            let missing = match take(&mut self.buffer)? {
                Taken::Frame(kind, payload) => return Ok(Some((kind, payload))),
                Taken::Missing(bytes) => bytes,
            };
            if self.buffer.is_empty() && self.buffer.capacity() > IDLE_BUFFER_BYTES_MAX {
                self.buffer = BytesMut::new();
            }
            self.buffer.reserve(missing.max(READ_BYTES));
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

enum Taken {
    Frame(Kind, Bytes),
    Missing(usize),
}

fn take(buffer: &mut BytesMut) -> io::Result<Taken> {
    let Some(head) = buffer.first_chunk::<4>() else {
        return Ok(Taken::Missing(HEADER_BYTES));
    };
    let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
    if length == 0 || length > FRAME_BYTES_MAX {
        return Err(malformed(format!("a frame of {length} bytes")));
    }
    if let Some(&kind) = buffer.get(4) {
        // Judged before the payload is there, so that nonsense is not waited for.
        let kind = Kind::of(kind).ok_or_else(|| malformed(format!("frame kind {kind}")))?;
        let bytes = matches!(kind, Kind::Input | Kind::Output | Kind::Stdout | Kind::Stderr);
        if bytes && length > 1 + 8 + FRAME_PAYLOAD_BYTES_MAX {
            return Err(malformed("a frame of bytes larger than 64 KiB"));
        }
        if buffer.len() >= 4 + length {
            let mut frame = buffer.split_to(4 + length).freeze();
            frame.advance(HEADER_BYTES);
            return Ok(Taken::Frame(kind, frame));
        }
    }
    Ok(Taken::Missing(4 + length - buffer.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> io::Result<Vec<(Kind, Bytes)>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(async {
            let mut reader = FrameReader::new(bytes);
            let mut frames = Vec::new();
            while let Some(frame) = reader.next().await? {
                frames.push(frame);
            }
            Ok(frames)
        })
    }

    #[test]
    fn requests_round_trip() {
        let request = Request::Open {
            workspace_id: WorkspaceId::from_bits(5),
            directory: "/tmp/ä".into(),
            request: OpenTerminal { command: vec!["sh".into()], ..OpenTerminal::default() },
        };
        let frame = json_frame(Kind::Request, &request).unwrap();
        let frames = all(&frame).unwrap();
        assert_eq!(frames[0].0, Kind::Request);
        assert_eq!(parse::<Request>(&frames[0].1).unwrap(), request);
    }

    #[test]
    fn nonsense_is_refused_before_it_is_stored() {
        for (bytes, kind) in [
            (&[0, 0, 0, 0][..], io::ErrorKind::InvalidData),
            (&[0xff, 0, 0, 0], io::ErrorKind::InvalidData),
            (&[0, 0, 0, 9, 99], io::ErrorKind::InvalidData),
            (&[0, 2, 0, 0, 5], io::ErrorKind::InvalidData),
            (&[0, 0, 0, 9, 5, 1], io::ErrorKind::UnexpectedEof),
            (&[0], io::ErrorKind::UnexpectedEof),
        ] {
            assert_eq!(all(bytes).unwrap_err().kind(), kind, "{bytes:?}");
        }
        let large = vec![7; FRAME_BYTES_MAX];
        let refused = json_frame(Kind::Request, &large).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }

    proptest! {
        #[test]
        fn frames_come_back_as_they_went(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9_000), 0..8)
        ) {
            let stream: Vec<u8> =
                payloads.iter().flat_map(|payload| bytes_frame(Kind::Stdout, payload)).collect();
            let frames = all(&stream).unwrap();
            prop_assert_eq!(frames.len(), payloads.len());
            for (frame, payload) in frames.iter().zip(&payloads) {
                prop_assert_eq!(&frame.1[..], &payload[..]);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _unused = all(&bytes);
        }
    }
}
