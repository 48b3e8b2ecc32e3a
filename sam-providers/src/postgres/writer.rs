//! The writing task: takes what waits, applies it in one transaction, commits once, answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sam_core::Effect;
use sam_core::store::{Commit, Committed, Refusal};
use tokio::sync::{mpsc, oneshot};

use super::connect::{Backoff, Session};
use super::fault::Fault;
use super::load::Loading;
use super::save::Saving;
use super::schema;
use super::watch::Shared;
use crate::batch::{BYTES_MAX, COMMITS_MAX, Mentions, weight};
use crate::deadline;

/// Every statement of the writer finds its rows by a key, and its tables may be young: no statistics
/// must lead the planner to read them whole.
const SETTINGS: &str = "SET enable_seqscan = off; SET enable_hashjoin = off;
    SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan";
/// How long one batch tries to get a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
/// Longer than the server itself lets any part of a transaction take.
const TRANSACTION_DEADLINE: Duration = Duration::from_secs(15);

/// Longest that a batch waits for those that were answered just now.
const GATHER_MAX: Duration = Duration::from_micros(500);

/// What became of one commit.
pub(super) type Answer = Result<Result<Committed, Refusal>, Fault>;

/// What the writing task is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Apply this.
    Apply(Box<Commit>, oneshot::Sender<Answer>),
    /// Finish what waits, take nothing more.
    Stop,
}

/// The writing task's state.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    session: Option<Prepared>,
    backoff: Backoff,
}

#[derive(Debug)]
struct Prepared {
    session: Session,
    loading: Loading,
    saving: Saving,
}

impl Prepared {
    async fn open(shared: &Shared) -> Result<Self, Fault> {
        let session = Session::open(&shared.target, SETTINGS).await?;
        schema::recognise(&session.client, &*shared.entropy).await?;
        let loading = Loading::prepare(&session.client).await?;
        let saving = Saving::prepare(&session.client).await?;
        Ok(Self { session, loading, saving })
    }

    /// Applies a batch in one transaction. `committing` is set once it may take effect.
    async fn transact(
        &self,
        shared: &Shared,
        commits: &[Commit],
        committing: &AtomicBool,
    ) -> Result<Vec<Result<Committed, Refusal>>, Fault> {
        let client = &self.session.client;
        let (head, mut picture) = self.loading.load(client, &Mentions::of(commits)).await?;
        let answers = commits.iter().map(|commit| picture.apply(commit)).collect();
        let rev = picture.rev();
        let written = picture.into_written();
        if written.is_empty() {
            // Everything was refused, or applied before.
            client.batch_execute("ROLLBACK").await?;
            return Ok(answers);
        }
        committing.store(true, Ordering::Relaxed);
        self.saving.save(client, &written, (&head, rev)).await?;
        shared.wrote(&head.epoch, rev, head.news + 1);
        Ok(answers)
    }
}

/// The batch before.
#[derive(Debug, Clone, Copy, Default)]
struct Batch {
    commits: usize,
    took: Duration,
}

impl Batch {
    /// Whoever was answered by the batch before is about to come back: what comes in the next moment
    /// shares the flush, which takes far longer than the moment.
    fn is_worth_waiting(&self, gathered: usize, since: Instant) -> bool {
        gathered < self.commits && since.elapsed() < (self.took / 8).min(GATHER_MAX)
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let backoff = Backoff::new(Arc::clone(&shared.entropy));
        Self { shared, session: None, backoff }
    }

    /// Works until the store is closed or dropped.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut commits = Vec::with_capacity(COMMITS_MAX);
        let mut replies = Vec::with_capacity(COMMITS_MAX);
        let mut before = Batch::default();
        while let Some(command) = queue.recv().await {
            let mut next = Some(command);
            let mut bytes = 0;
            let begun = Instant::now();
            while let Some(command) = next.take() {
                match command {
                    // What is queued already is still done; then the queue ends.
                    Command::Stop => queue.close(),
                    Command::Apply(commit, reply) => {
                        bytes += weight(&commit);
                        commits.push(*commit);
                        replies.push(reply);
                    }
                }
                while next.is_none() && commits.len() < COMMITS_MAX && bytes < BYTES_MAX {
                    next = queue.try_recv().ok();
                    if next.is_some() || !before.is_worth_waiting(commits.len(), begun) {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            if !commits.is_empty() {
                let started = Instant::now();
                let answers = self.apply(&commits).await;
                before = Batch { commits: commits.len(), took: started.elapsed() };
                for (reply, answer) in replies.drain(..).zip(answers) {
                    // Who no longer waits has dropped its future and may ask for the outcome.
                    drop(reply.send(answer));
                }
                commits.clear();
            }
        }
    }

    async fn apply(&mut self, commits: &[Commit]) -> Vec<Answer> {
        match self.attempt(commits).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(fault) if fault.blames_work && commits.len() > 1 => {
                // One of them holds what the database does not take: the others must not suffer.
                let mut answers = Vec::with_capacity(commits.len());
                for commit in commits {
                    let alone = self.attempt(std::slice::from_ref(commit)).await;
                    answers.push(alone.and_then(|mut one| one.pop().ok_or_else(Fault::vanished)));
                }
                answers
            }
            Err(fault) => {
                tracing::warn!(?fault, commits = commits.len(), "a batch was not applied");
                commits.iter().map(|_| Err(fault.clone())).collect()
            }
        }
    }

    /// Applies a batch; once more on another connection when this one was lost before anything was
    /// written, as it is after the server was restarted.
    async fn attempt(
        &mut self,
        commits: &[Commit],
    ) -> Result<Vec<Result<Committed, Refusal>>, Fault> {
        let fresh = self.session.is_none();
        match self.transact(commits).await {
            Err(fault) if fault.lost && !fault.may_have_happened() && !fresh => {
                self.transact(commits).await
            }
            result => result,
        }
    }

    async fn transact(
        &mut self,
        commits: &[Commit],
    ) -> Result<Vec<Result<Committed, Refusal>>, Fault> {
        let prepared = self.connected().await?;
        let committing = AtomicBool::new(false);
        // Boxed: it holds the rows of a batch, and everything above would grow by it.
        let work = Box::pin(prepared.transact(&self.shared, commits, &committing));
        let result = deadline::within(TRANSACTION_DEADLINE, work).await.unwrap_or_else(|| {
            let sent = committing.load(Ordering::Relaxed);
            Err(Fault::stalled(if sent { Effect::Unknown } else { Effect::NotApplied }))
        });
        match result {
            Err(fault) => {
                // A session whose transaction cannot be ended is of no more use.
                let ended =
                    !fault.lost && prepared.session.client.batch_execute("ROLLBACK").await.is_ok();
                if ended {
                    self.session = Some(prepared);
                }
                Err(fault)
            }
            Ok(answers) => {
                self.session = Some(prepared);
                Ok(answers)
            }
        }
    }

    /// Takes the connection, or makes one.
    async fn connected(&mut self) -> Result<Prepared, Fault> {
        self.shared.schema().require()?;
        if let Some(prepared) = self.session.take()
            && !prepared.session.client.is_closed()
        {
            return Ok(prepared);
        }
        let started = Instant::now();
        loop {
            match Box::pin(Prepared::open(&self.shared)).await {
                Ok(prepared) => {
                    self.backoff.reset();
                    return Ok(prepared);
                }
                Err(fault) if !fault.lost || started.elapsed() >= CONNECT_PATIENCE => {
                    return Err(fault);
                }
                Err(fault) => {
                    tracing::debug!(?fault, "the writer has no connection to the database");
                    self.backoff.wait().await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_waits_a_moment_for_those_that_were_just_answered_and_no_longer() {
        let before = |commits, millis| Batch { commits, took: Duration::from_millis(millis) };
        let now = Instant::now();
        assert!(before(64, 1_000).is_worth_waiting(1, now));
        // All of them are back, or there were none.
        assert!(!before(64, 1_000).is_worth_waiting(64, now));
        assert!(!Batch::default().is_worth_waiting(1, now));
        assert!(!before(1, 1_000).is_worth_waiting(1, now));
        // However long the batch took, the moment is short.
        let earlier = |span: Duration| now.checked_sub(span).unwrap();
        assert!(!before(64, 60_000).is_worth_waiting(1, earlier(GATHER_MAX)));
        assert!(!before(64, 1).is_worth_waiting(1, earlier(Duration::from_micros(126))));
    }
}
