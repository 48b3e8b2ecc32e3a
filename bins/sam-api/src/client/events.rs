//! The feed as a stream that survives broken connections.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::header::ACCEPT;

use sam_core::{Error, ErrorKind, Result};

use super::Client;
use super::api::add;
use super::send::{accept, media_type};
use super::sse::{SseEvent, SseParser};
use crate::{Change, Event, EventKind, deadline};

/// Attempts in a row, without an event between them, after which the stream gives up.
pub const RECONNECTS_MAX: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// Which events, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventsFrom {
    /// Only those of this workspace, by id or name.
    pub workspace: Option<String>,
    /// Only those after this cursor; from now on when absent.
    pub after: Option<String>,
}

/// The events; ends only with an error.
///
/// A broken connection is opened again with the last cursor seen, so that nothing is missed or
/// seen twice. After [`RECONNECTS_MAX`] vain attempts, or when the server refuses, the error is
/// the last item.
pub struct EventStream(BoxStream<'static, Result<Event>>);

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").finish_non_exhaustive()
    }
}

impl Stream for EventStream {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl Client {
    /// Follows the feed.
    ///
    /// When this returns the server already listens: what is read after it, and the events, leave
    /// no gap between them.
    ///
    /// # Errors
    /// Those of every call. A cursor that is no longer kept is not an error but an
    /// [`Event::Stale`].
    pub async fn events(&self, from: EventsFrom) -> Result<EventStream> {
        let mut state = State {
            client: self.clone(),
            from,
            connection: None,
            ready: VecDeque::new(),
            failures: 0,
            ended: false,
        };
        state.connection = Some(open(&state.client, &state.from).await?);
        Ok(EventStream(
            stream::unfold(state, |mut state| async {
                state.next().await.map(|item| (item, state))
            })
            .boxed(),
        ))
    }
}

struct Connection {
    pieces: BoxStream<'static, reqwest::Result<Bytes>>,
    parser: SseParser,
}

struct State {
    client: Client,
    from: EventsFrom,
    connection: Option<Connection>,
    ready: VecDeque<Event>,
    failures: u32,
    ended: bool,
}

impl State {
    async fn next(&mut self) -> Option<Result<Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.failures = 0;
                event.cursor().clone_into(self.from.after.get_or_insert_default());
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.advance().await {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    /// Reads one piece, or opens a connection. An error here is final.
    async fn advance(&mut self) -> Result<()> {
        let Some(connection) = &mut self.connection else {
            return self.reopen().await;
        };
        match connection.pieces.next().await {
            Some(Ok(piece)) => {
                for event in connection.parser.push(&piece)? {
                    self.ready.extend(read(event)?);
                }
            }
            // A server that ends the stream, or a network that does, is the same to us.
            Some(Err(_)) | None => self.connection = None,
        }
        Ok(())
    }

    async fn reopen(&mut self) -> Result<()> {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LAST_PAUSE);
        self.failures += 1;
        deadline::pause(pause).await;
        match open(&self.client, &self.from).await {
            Ok(connection) => self.connection = Some(connection),
            Err(error) if self.failures >= RECONNECTS_MAX || !is_passing(&error) => {
                return Err(error);
            }
            Err(_) => {}
        }
        // A server that accepts and at once ends every stream must not be asked for ever.
        if self.failures > RECONNECTS_MAX {
            return Err(Error::new(ErrorKind::Unavailable, "the stream of events keeps breaking"));
        }
        Ok(())
    }
}

async fn open(client: &Client, from: &EventsFrom) -> Result<Connection> {
    let mut url = client.url(&["api", "events"])?;
    add(&mut url, "workspace", from.workspace.as_deref());
    add(&mut url, "after", from.after.as_deref());
    let mut request = client.http.get(url).header(ACCEPT, "text/event-stream");
    if let Some(cursor) = &from.after {
        request = request.header("last-event-id", cursor);
    }
    let response = client.authorized(request).send().await.map_err(|e| client.failure(e))?;
    let response = accept(response).await.map_err(|e| e.with_operation("events"))?;
    if media_type(response.headers()) != "text/event-stream" {
        return Err(Error::new(ErrorKind::Corrupt, "the answer is no stream of events")
            .with_operation("events")
            .with_hint("check that the address is a SAM server's"));
    }
    let pieces = response.bytes_stream().map_err(reqwest::Error::without_url).boxed();
    Ok(Connection { pieces, parser: SseParser::default() })
}

fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::RateLimited)
}

/// Reads an event; those of a kind this version does not know are skipped.
fn read(event: SseEvent) -> Result<Option<Event>> {
    Ok(Some(match EventKind::from_code(&event.event) {
        Some(EventKind::Change) => {
            let change: Change = serde_json::from_str(&event.data).map_err(|cause| {
                Error::new(ErrorKind::Corrupt, "an event of the server cannot be read")
                    .with_operation("events")
                    .with_hint("compare the versions of client and server")
                    .with_source(cause)
            })?;
            Event::Change(Box::new(change))
        }
        Some(EventKind::Checkpoint) => Event::Checkpoint { cursor: event.id },
        Some(EventKind::Stale) => Event::Stale { cursor: event.id },
        None => return Ok(None),
    }))
}
