//! A shared or boxed store is a store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{
    ClaimRequest, Claims, Commit, CommitError, Committed, Cursor, Due, Feed, Lease, ListQuery,
    Record, RecordKey, Store,
};
use crate::error::Result;
use crate::id::CommitId;
use crate::page::Page;

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: Store + ?Sized> Store for $pointer {
            async fn load(&self, key: &RecordKey) -> Result<Option<Record>> {
                (**self).load(key).await
            }
            async fn list(&self, query: &ListQuery) -> Result<Page<Record>> {
                (**self).list(query).await
            }
            async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
                (**self).commit(commit).await
            }
            async fn outcome(&self, id: CommitId) -> Result<Option<Committed>> {
                (**self).outcome(id).await
            }
            async fn claim_due(&self, request: &ClaimRequest) -> Result<Claims> {
                (**self).claim_due(request).await
            }
            async fn renew(&self, lease: &Lease, span: Duration) -> Result<bool> {
                (**self).renew(lease, span).await
            }
            async fn release(&self, lease: &Lease, due: Due) -> Result<()> {
                (**self).release(lease, due).await
            }
            async fn changes(&self, after: Option<&Cursor>, limit: usize) -> Result<Feed> {
                (**self).changes(after, limit).await
            }
            async fn wait(&self, after: &Cursor) -> Result<()> {
                (**self).wait(after).await
            }
        }
    )*};
}

forward!(Arc<T>, Box<T>);
