//! Following the feed.

use futures_util::stream::{self, BoxStream, StreamExt as _};

use super::Sam;
use crate::engine::{Stamped, decode};
use crate::error::{Error, ErrorKind, Result};
use crate::id::WorkspaceId;
use crate::store::{Change, ChangeOp, Cursor, Feed, Record, Store as _};
use crate::workspace::WorkspaceRecord;

/// Changes read from the store at once.
const BATCH: usize = 256;

/// What a follower of the feed gets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeedItem {
    /// A change, and the cursor behind it.
    Change {
        /// Where to continue after it.
        cursor: Cursor,
        /// The change.
        change: Box<Change>,
    },
    /// The cursor is no longer known: take a snapshot and go on from `head`. The stream goes on
    /// from there, too.
    Stale {
        /// The end of the feed.
        head: Cursor,
    },
}

struct Follow {
    sam: Sam,
    after: Cursor,
    ready: std::collections::VecDeque<FeedItem>,
}

impl Sam {
    /// Returns the end of the feed: what happens from now on comes after it.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn head(&self) -> Result<Cursor> {
        crate::store::head(&*self.0.store).await
    }

    /// Follows the feed from a cursor on, for ever. After an error the stream ends; follow again
    /// from the last cursor.
    pub fn feed(&self, after: Cursor) -> BoxStream<'static, Result<FeedItem>> {
        let follow = Follow { sam: self.clone(), after, ready: std::collections::VecDeque::new() };
        stream::try_unfold(follow, |mut follow| async move {
            let item = follow.next().await?;
            Ok(Some((item, follow)))
        })
        .boxed()
    }

    /// Follows one workspace: its present form first, then each later one, until it is deleted.
    pub fn watch_workspace(
        &self,
        id: WorkspaceId,
    ) -> BoxStream<'static, Result<Stamped<WorkspaceRecord>>> {
        let sam = self.clone();
        stream::once(async move {
            let head = sam.head().await?;
            let first = sam.workspace(id).await?.ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("there is no workspace {id}"))
            })?;
            let key = WorkspaceRecord::key_of(id);
            let seen = first.version;
            let later = sam.feed(head).filter_map(move |item| {
                let news = match item {
                    Err(error) => Some(Err(error)),
                    Ok(FeedItem::Change { change, .. }) if change.key == key => {
                        (change.op == ChangeOp::Put && change.version > seen).then(|| of(*change))
                    }
                    Ok(FeedItem::Change { .. } | FeedItem::Stale { .. }) => None,
                };
                std::future::ready(news)
            });
            Ok::<_, Error>(stream::once(std::future::ready(Ok(first))).chain(later))
        })
        .flat_map(|started| match started {
            Ok(stream) => stream.boxed(),
            Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
        })
        .scan(false, |ended, item| {
            let over = std::mem::replace(ended, *ended || is_last(&item));
            std::future::ready((!over).then_some(item))
        })
        .boxed()
    }
}

fn of(change: Change) -> Result<Stamped<WorkspaceRecord>> {
    let index = crate::store::Index::default();
    decode(&Record::new(change.key, change.version, change.rev, index, change.body))
}

fn is_last(item: &Result<Stamped<WorkspaceRecord>>) -> bool {
    item.as_ref().map_or(true, |workspace| workspace.record.state.is_final())
}

impl Follow {
    async fn next(&mut self) -> Result<FeedItem> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(item);
            }
            let store = &self.sam.0.store;
            match store.changes(Some(&self.after), BATCH).await? {
                Feed::Stale { head, .. } => {
                    self.after = head.clone();
                    return Ok(FeedItem::Stale { head });
                }
                Feed::Changes(changes) if changes.changes.is_empty() => {
                    store.wait(&self.after).await?;
                }
                Feed::Changes(changes) => {
                    for change in changes.changes {
                        // I6: a follower proves to itself that nothing is missing.
                        if change.rev.0 != self.after.rev.0 + 1 {
                            return Err(Error::new(ErrorKind::Corrupt, "the feed has a gap"));
                        }
                        self.after.rev = change.rev;
                        let (cursor, change) = (self.after.clone(), Box::new(change));
                        self.ready.push_back(FeedItem::Change { cursor, change });
                    }
                }
            }
        }
    }
}
