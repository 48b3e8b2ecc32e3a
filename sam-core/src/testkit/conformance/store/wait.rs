//! C12: waiting for news.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use super::super::{Failure, ensure};
use super::{Fresh, put};
use crate::store::{Cursor, Due, Epoch, Expect};

/// Polls a future once, and goes on whatever it says.
pub(super) async fn poll_once<T: Send>(
    future: &mut Pin<Box<dyn Future<Output = T> + Send + '_>>,
) -> Poll<T> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

pub(super) async fn a_wait_behind_the_head_completes_at_once(store: &Fresh) -> Result<(), Failure> {
    let start = store.head().await?;
    store.write(put("a", Expect::Absent)).await?;
    store.store.wait(&start).await?;
    let elsewhere = Cursor::new(Epoch::new("elsewhere"), start.rev);
    store.store.wait(&elsewhere).await?;
    Ok(())
}

pub(super) async fn a_wait_completes_after_a_commit(store: &Fresh) -> Result<(), Failure> {
    for round in 0..3 {
        let head = store.head().await?;
        let mut wait = store.store.wait(&head);
        if poll_once(&mut wait).await.is_pending() {
            store.write(put("a", Expect::Anything)).await?;
            wait.await?;
        }
        let head = store.head().await?;
        let mut wait = store.store.wait(&head);
        if poll_once(&mut wait).await.is_pending() {
            // No change of the feed, yet something became due.
            store.wake("a").await?;
            wait.await?;
        }
        let rev = store.head().await?.rev.0;
        ensure!(rev <= round + 1, "round {round}: waiting changed the feed");
    }
    Ok(())
}

pub(super) async fn a_wait_completes_after_a_release(store: &Fresh) -> Result<(), Failure> {
    store.due("a").await?;
    let claim = store.claim("worker").await?;
    let head = store.head().await?;
    let mut wait = store.store.wait(&head);
    if poll_once(&mut wait).await.is_pending() {
        store.store.release(&claim.lease, Due::NOW).await?;
        wait.await?;
    }
    store.claim("worker").await?;
    Ok(())
}

pub(super) async fn a_dropped_wait_disturbs_nobody(store: &Fresh) -> Result<(), Failure> {
    let head = store.head().await?;
    let mut kept = store.store.wait(&head);
    let kept_pending = poll_once(&mut kept).await.is_pending();
    for _ in 0..8 {
        let mut dropped = store.store.wait(&head);
        let polled = poll_once(&mut dropped).await;
        drop(dropped);
        drop(polled);
    }
    store.write(put("a", Expect::Absent)).await?;
    if kept_pending {
        kept.await?;
    }
    Ok(())
}
