//! Readers of the event streams, which reconnect with `Last-Event-ID` whenever a stream breaks, and
//! sometimes when it does not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use sam_api::client::{EventsFrom, SseParser};
use sam_api::{Change, Client, Event, EventKind};
use sam_core::Secret;
use sam_core::entropy::SeededEntropy;
use tokio::task::JoinHandle;

use crate::deadline::{LIMIT, pause, within};

/// Pause before a stream that broke is asked for again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// Longest silence of a stream, which speaks every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// One in so many events is the last of its connection, although nothing broke.
const LEAVES_AFTER: u64 = 100;

/// What a reader has seen, in the order it saw it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    changes: Mutex<Vec<Change>>,
    connections: AtomicUsize,
}

impl Seen {
    pub(super) fn changes(&self) -> Vec<Change> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// A line for each change.
    pub(super) fn text(&self) -> String {
        let line = |one: &Change| {
            let node = one.workspace.as_ref().and_then(|workspace| workspace.node_id);
            let node = node.map_or_else(String::new, |node| format!(" on {node}"));
            format!("{} {} {} by {}{node}\n", one.at, one.id, one.event, one.actor)
        };
        self.changes().iter().map(line).collect()
    }

    fn push(&self, change: Change) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }
}

/// A reader at work; it ends with this value.
pub(super) struct Reader {
    pub(super) seen: Arc<Seen>,
    task: JoinHandle<()>,
}

impl Reader {
    /// Reads with nothing but HTTP, from any replica; the restless also leave streams that work.
    pub(super) fn bare(
        urls: Vec<String>,
        token: Secret<String>,
        from: String,
        random: SeededEntropy,
        is_restless: bool,
    ) -> Self {
        let bare = |seen| Bare { urls, token, last: from, random, is_restless, seen }.run();
        Self::spawn(bare)
    }

    /// Reads with the typed client, which reconnects by itself; another replica is asked once it has
    /// given up.
    pub(super) fn typed(clients: Vec<Client>, from: String, random: SeededEntropy) -> Self {
        Self::spawn(|seen| typed(clients, from, random, seen))
    }

    fn spawn<F>(read: impl FnOnce(Arc<Seen>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let seen = Arc::new(Seen::default());
        Self { seen: Arc::clone(&seen), task: tokio::spawn(read(seen)) }
    }

    /// Whether it has not failed.
    pub(super) fn is_alive(&self) -> bool {
        !self.task.is_finished()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns the very beginning of the feed, as a cursor: its epoch is that of any other.
pub(super) async fn beginning(client: &Client) -> String {
    let mut events = client.events(EventsFrom::default()).await.expect("events");
    let first = within("the first event", LIMIT, events.next()).await.expect("one").expect("one");
    let (epoch, _) = first.cursor().rsplit_once('-').expect("a cursor");
    format!("{epoch}-0")
}

struct Bare {
    urls: Vec<String>,
    token: Secret<String>,
    /// The last id that was seen.
    last: String,
    random: SeededEntropy,
    is_restless: bool,
    seen: Arc<Seen>,
}

impl Bare {
    async fn run(mut self) {
        let builder = reqwest::Client::builder().connect_timeout(LIMIT).read_timeout(SILENCE_MAX);
        let http = builder.build().expect("a client");
        loop {
            let chosen = usize::try_from(self.random.below(self.urls.len() as u64)).expect("small");
            let request = http.get(format!("{}/api/events", self.urls[chosen]));
            let request = request.bearer_auth(self.token.expose());
            if let Ok(response) = request.header("last-event-id", &self.last).send().await {
                let status = response.status();
                assert!(status.is_success() || status.is_server_error(), "events: {status}");
                if status.is_success() {
                    self.seen.connections.fetch_add(1, Ordering::Relaxed);
                    self.read(response).await;
                }
            }
            pause(AGAIN_AFTER).await;
        }
    }

    /// Reads one connection to its end.
    async fn read(&mut self, response: reqwest::Response) {
        let (mut pieces, mut parser) = (response.bytes_stream(), SseParser::default());
        while let Some(Ok(piece)) = pieces.next().await {
            for event in parser.push(&piece).expect("a stream of events") {
                match EventKind::from_code(&event.event) {
                    Some(EventKind::Change) => {
                        let change: Change = serde_json::from_str(&event.data).expect("a change");
                        assert_eq!(change.cursor, event.id);
                        self.seen.push(change);
                    }
                    Some(EventKind::Checkpoint) => {}
                    Some(EventKind::Stale) | None => panic!("after {}: {event:?}", self.last),
                }
                self.last = event.id;
                if self.is_restless && self.random.below(LEAVES_AFTER) == 0 {
                    return;
                }
            }
        }
    }
}

async fn typed(clients: Vec<Client>, from: String, random: SeededEntropy, seen: Arc<Seen>) {
    let mut last = from;
    loop {
        let chosen = usize::try_from(random.below(clients.len() as u64)).expect("small");
        let from = EventsFrom { workspace: None, after: Some(last.clone()) };
        if let Ok(mut events) = clients[chosen].events(from).await {
            seen.connections.fetch_add(1, Ordering::Relaxed);
            while let Some(Ok(event)) = events.next().await {
                event.cursor().clone_into(&mut last);
                match event {
                    Event::Change(change) => seen.push(*change),
                    Event::Checkpoint { .. } => {}
                    Event::Stale { cursor } => panic!("stale, goes on from {cursor}"),
                }
            }
        }
        pause(AGAIN_AFTER).await;
    }
}
