//! The feed, projected and filtered for one client.

use std::pin::Pin;
use std::time::Duration;

use axum::response::sse::Event;
use futures_util::future::{Either, select};
use futures_util::stream::{self, Stream, StreamExt as _};
use sam_api::{Change, EventKind, ResourceKind};
use sam_core::engine::decode;
use sam_core::node::NodeRecord;
use sam_core::published_name::NameRecord;
use sam_core::store::{self, ChangeOp, Cursor, Index, Record};
use sam_core::workspace::WorkspaceRecord;
use sam_core::{FeedItem, Report, Result, Sam, WorkspaceId};

use crate::deadline;
use crate::project;

/// Silence after which a checkpoint tells the client how far it is.
const CHECKPOINT: Duration = Duration::from_secs(15);

/// What a client may and wants to see.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) owner: String,
    pub(crate) workspace: Option<WorkspaceId>,
}

struct Following {
    feed: Pin<Box<dyn Stream<Item = Result<FeedItem>> + Send>>,
    scope: Scope,
    cursor: Cursor,
    /// When the next checkpoint is due; it is not put off by changes that are not shown.
    checkpoint: Pin<Box<dyn Future<Output = ()> + Send>>,
    first: bool,
}

/// Follows the feed from `after`. The stream ends when the store fails; the client comes back.
pub(crate) fn follow(
    sam: &Sam,
    after: Cursor,
    scope: Scope,
) -> impl Stream<Item = Event> + Send + use<> {
    let following = Following {
        feed: sam.feed(after.clone()),
        scope,
        cursor: after,
        checkpoint: Box::pin(deadline::sleep(CHECKPOINT)),
        first: true,
    };
    stream::unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((event, following))
    })
}

impl Following {
    async fn next(&mut self) -> Option<Event> {
        // At once, so that the client knows where its stream begins.
        if std::mem::take(&mut self.first) {
            return Some(self.checkpoint_event());
        }
        loop {
            match select(self.feed.next(), self.checkpoint.as_mut()).await {
                Either::Right(((), _)) => {
                    self.checkpoint = Box::pin(deadline::sleep(CHECKPOINT));
                    return Some(self.checkpoint_event());
                }
                Either::Left((None, _)) => return None,
                Either::Left((Some(Err(error)), _)) => {
                    tracing::warn!(error = %Report::new(&error), "an event stream ends");
                    return None;
                }
                Either::Left((Some(Ok(item)), _)) => {
                    if let Some(event) = self.show(item) {
                        return Some(event);
                    }
                }
            }
        }
    }

    fn checkpoint_event(&self) -> Event {
        named(EventKind::Checkpoint, &self.cursor).data("{}")
    }

    fn show(&mut self, item: FeedItem) -> Option<Event> {
        match item {
            FeedItem::Stale { head } => {
                self.cursor = head;
                Some(named(EventKind::Stale, &self.cursor).data("{}"))
            }
            FeedItem::Change { cursor, change } => {
                self.cursor = cursor;
                let shown = visible(&change, &self.scope, &self.cursor)?;
                let data = serde_json::to_string(&shown).ok()?;
                Some(named(EventKind::Change, &self.cursor).data(data))
            }
            _ => None,
        }
    }
}

fn named(kind: EventKind, cursor: &Cursor) -> Event {
    Event::default().event(kind.code()).id(cursor.to_string())
}

/// Projects a change, or `None` when it is of no concern to the client.
fn visible(change: &store::Change, scope: &Scope, cursor: &Cursor) -> Option<Change> {
    if change.op != ChangeOp::Put {
        return None;
    }
    let record = Record::new(
        change.key.clone(),
        change.version,
        change.rev,
        Index::default(),
        std::sync::Arc::clone(&change.body),
    );
    let mut shown = Change {
        cursor: cursor.to_string(),
        kind: ResourceKind::Workspace,
        id: change.key.id.clone(),
        event: change.event.clone(),
        at: change.at.into(),
        actor: change.actor.to_string(),
        workspace: None,
        node: None,
        name: None,
    };
    if change.key.kind == WorkspaceRecord::KIND {
        let workspace = decode::<WorkspaceRecord>(&record).ok()?;
        let wanted = scope.workspace.is_none_or(|id| id == workspace.record.id);
        if workspace.record.owner != scope.owner || !wanted {
            return None;
        }
        shown.workspace = Some(project::workspace(&workspace).ok()?);
    } else if change.key.kind == NodeRecord::KIND {
        let node = decode::<NodeRecord>(&record).ok()?;
        let wanted = scope.workspace.is_none_or(|id| node.record.workspaces.contains(&id));
        if node.record.owner != scope.owner || !wanted {
            return None;
        }
        shown.kind = ResourceKind::Node;
        shown.node = Some(project::node(&node).ok()?);
    } else if change.key.kind == NameRecord::KIND {
        let name = decode::<NameRecord>(&record).ok()?;
        let wanted = scope.workspace.is_none_or(|id| id == name.record.workspace);
        if name.record.owner != scope.owner || !wanted {
            return None;
        }
        shown.kind = ResourceKind::Name;
        shown.name = Some(project::name(&name).ok()?);
    } else {
        return None;
    }
    Some(shown)
}
