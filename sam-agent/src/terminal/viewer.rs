//! One viewer's connection: output one way, input and sizes the other.
//!
//! A viewer that takes nothing for [`super::peer::STALL_LIMIT`] is dropped, so that one that sleeps cannot
//! stop the program; it knows its offset and can come back.

use std::io;
use std::sync::Arc;

use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::held::{Hand, Held, Step, Viewer};
use super::peer::{gone, reply, write};
use super::protocol::{self, FrameReader, Kind, Reply};
use crate::wire::{TerminalEvent, TerminalRequest};

/// Serves a viewer until it leaves, stalls, or has seen the program's end.
///
/// # Errors
/// What its connection says.
pub(super) async fn serve(
    held: Arc<Held>,
    offset: Option<u64>,
    mut frames: FrameReader<OwnedReadHalf>,
    mut out: OwnedWriteHalf,
) -> io::Result<()> {
    let viewer = match held.enter(offset) {
        Ok(viewer) => viewer,
        Err(error) => return reply(&mut out, &Reply::Failed((&error).into())).await,
    };
    drop(held);
    let hand = viewer.hand();
    tokio::select! {
        sent = send(viewer, &mut out) => sent,
        received = receive(hand, &mut frames) => received,
    }
}

async fn send(mut viewer: Viewer, out: &mut OwnedWriteHalf) -> io::Result<()> {
    reply(out, &Reply::Done).await?;
    let attached = TerminalEvent::Attached {
        terminal_id: viewer.held.id,
        offset: viewer.first,
        size: viewer.size,
    };
    write(out, &protocol::json_frame(Kind::Event, &attached)?).await?;
    loop {
        match viewer.step() {
            Step::Output(frame) => {
                write(out, &frame).await?;
                viewer.took(&frame);
            }
            Step::Gap(from, to) => {
                let event = TerminalEvent::Gap { from, to };
                write(out, &protocol::json_frame(Kind::Event, &event)?).await?;
            }
            Step::Notice(text) => {
                let event = TerminalEvent::Notice { text: text.as_ref().to_owned() };
                write(out, &protocol::json_frame(Kind::Event, &event)?).await?;
            }
            Step::Resized(size) => {
                let event = TerminalEvent::Resized(size);
                write(out, &protocol::json_frame(Kind::Event, &event)?).await?;
            }
            Step::Exit(status) => {
                let event = TerminalEvent::Exit { status };
                return write(out, &protocol::json_frame(Kind::Event, &event)?).await;
            }
            // The viewer holds the terminal, so the sender is there.
            Step::Wait => drop(viewer.changed.changed().await),
        }
    }
}

async fn receive(hand: Hand, frames: &mut FrameReader<OwnedReadHalf>) -> io::Result<()> {
    while let Some((kind, payload)) = frames.next().await? {
        match kind {
            Kind::Input => tokio::select! {
                biased;
                () = hand.input(payload) => {}
                // A program that reads nothing must not hide that the viewer has left.
                () = gone(frames.stream()) => return Ok(()),
            },
            Kind::Control => match protocol::parse(&payload)? {
                TerminalRequest::Resize(size) => hand.resize(size),
            },
            _ => return Err(protocol::malformed("this frame has no place in a terminal")),
        }
    }
    Ok(())
}
