//! Carrying one claimed record forward.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{Either, select};

use super::Engine;
use crate::engine::lane::{Asked, Lane, PUT_OFF, Place};
use crate::engine::resource::{Decision, Resource, Transition};
use crate::engine::stored::{Stamped, Stored as _, decode, encode};
use crate::error::{Effect, Error, ErrorKind, Report, Result};
use crate::id::CommitId;
use crate::store::{
    Actor, Claim, Commit, CommitError, Committed, Due, Expect, Lease, LeaseUse, Refusal, Write,
};

/// Looks, effects, writes and refused commits of one record before its lease is given back, so that
/// no record holds a worker for ever.
const ROUNDS_MAX: usize = 8;
/// Questions to the store about a commit whose outcome is unknown.
const OUTCOME_QUESTIONS_MAX: u32 = 5;
/// How long a record rests that cannot be read or decided: a person must look at it.
const PARKED: Duration = Duration::from_mins(5);

/// A resource without its types.
#[async_trait]
pub(super) trait Drive: fmt::Debug + Send + Sync {
    async fn drive(&self, engine: &Engine, claim: Claim) -> Result<()>;
}

#[derive(Debug)]
pub(super) struct Driver<R>(pub(super) R);

/// Why a round ended early.
enum Stop {
    /// Somebody else has the record now.
    Lost,
    /// The record changed: read it again and decide anew.
    Changed {
        /// Whether what was observed still counts.
        keep_observation: bool,
    },
    Failed(Error),
    /// Its lane is full: it comes again later.
    PutOff,
}

#[async_trait]
impl<R: Resource> Drive for Driver<R> {
    async fn drive(&self, engine: &Engine, claim: Claim) -> Result<()> {
        let lease = claim.lease;
        let Some(stored) = claim.record else {
            return engine.store().release(&lease, Due::Never).await;
        };
        let mut current = match decode::<R::Record>(&stored) {
            Ok(current) => current,
            Err(error) => return engine.park(&lease, &error).await,
        };
        let mut observation = None;
        for _ in 0..ROUNDS_MAX {
            let stop = match self.round(engine, &lease, &mut current, &mut observation).await {
                Ok(Round::Over) => return Ok(()),
                Ok(Round::Again) => continue,
                Err(stop) => stop,
            };
            match stop {
                Stop::Lost => return Ok(()),
                Stop::PutOff => return engine.store.release(&lease, Due::In(PUT_OFF)).await,
                Stop::Failed(error) if error.kind() == ErrorKind::Bug => {
                    return engine.park(&lease, &error).await;
                }
                Stop::Failed(error) => return Err(error),
                Stop::Changed { keep_observation } => {
                    match engine.store().load(&lease.key).await? {
                        None => return Ok(()),
                        Some(stored) => current = decode::<R::Record>(&stored)?,
                    }
                    if !keep_observation {
                        observation = None;
                    }
                }
            }
        }
        engine.store().release(&lease, Due::NOW).await
    }
}

enum Round {
    Again,
    Over,
}

impl<R: Resource> Driver<R> {
    async fn round(
        &self,
        engine: &Engine,
        lease: &Lease,
        current: &mut Stamped<R::Record>,
        observation: &mut Option<R::Observation>,
    ) -> Result<Round, Stop> {
        let now = engine.clock.now();
        match self.0.decide(&current.record, observation.as_ref(), now).map_err(Stop::Failed)? {
            Decision::Rest(due) => {
                engine.store().release(lease, due).await.map_err(Stop::Failed)?;
                Ok(Round::Over)
            }
            Decision::Forget { event } => {
                let expect = Expect::Version(current.version);
                let write = Write::delete(lease.key.clone(), expect, event);
                let commit =
                    engine.commit_under(LeaseUse::Release(lease.clone())).with_write(write);
                engine.settle(commit).await?;
                Ok(Round::Over)
            }
            Decision::Write(transition) => {
                // What is due at once goes on under the same lease: giving it back and claiming it
                // again would only be two more waits for the store.
                let goes_on = transition.due == Due::NOW;
                let used = if goes_on { LeaseUse::Keep } else { LeaseUse::Release };
                self.write(engine, used(lease.clone()), current, *transition).await?;
                *observation = None;
                Ok(if goes_on { Round::Again } else { Round::Over })
            }
            Decision::Look(look) => {
                let lane = self.0.lane(&current.record, Asked::Look(&look));
                let place = engine.place(lane)?;
                let looking = in_turn(place, self.0.look(&current.record, &look));
                *observation = Some(engine.while_held(lease, looking).await?);
                Ok(Round::Again)
            }
            Decision::Act(transition, effect) => {
                // Before the intention is written: what is put off has announced nothing.
                let place = engine.place(self.0.lane(&current.record, Asked::Act(&effect)))?;
                if let Some(transition) = transition {
                    let used = LeaseUse::Keep(lease.clone());
                    self.write(engine, used, current, *transition).await?;
                }
                // I1: what is stored announces the effect, or there is none.
                if !self.0.intends(&current.record, &effect) {
                    let message = format!("{} does not announce {effect:?}", lease.key);
                    return Err(Stop::Failed(Error::new(ErrorKind::Bug, message)));
                }
                let acting = in_turn(place, self.0.act(&current.record, &effect));
                *observation = Some(engine.while_held(lease, acting).await?);
                Ok(Round::Again)
            }
        }
    }

    /// Writes a transition, and makes it the current record.
    async fn write(
        &self,
        engine: &Engine,
        used: LeaseUse,
        current: &mut Stamped<R::Record>,
        transition: Transition<R::Record>,
    ) -> Result<(), Stop> {
        let Transition { record, event, due, unique, also, wakes, checks } = transition;
        self.0.check(&current.record, &record).map_err(|error| {
            Stop::Failed(Error::new(ErrorKind::Bug, error.to_string()).with_source(error))
        })?;
        let key = used.lease().key.clone();
        // Under a kept lease the due time is the lease's end: a crash is seen then.
        let due = if matches!(used, LeaseUse::Keep(_)) { Due::Keep } else { due };
        let body = encode(&record).map_err(Stop::Failed)?;
        let write = Write::put(key.clone(), Expect::Version(current.version), body, event)
            .with_index(record.index())
            .with_due(due);
        let mut commit = engine.commit_under(used).with_write(write);
        commit.writes.extend(also);
        commit.checks = checks;
        commit.unique = unique;
        commit.wakes = wakes;
        let committed = engine.settle(commit).await?;
        current.version = committed.version_of(&key).unwrap_or(current.version + 1);
        current.record = record;
        Ok(())
    }
}

/// Does the work when it is its turn in its lane, and leaves the lane.
async fn in_turn<T>(place: Option<Place<'_>>, work: impl Future<Output = T>) -> T {
    match place {
        Some(place) => place.during(work).await,
        None => work.await,
    }
}

impl Engine {
    fn place(&self, lane: Option<Lane>) -> Result<Option<Place<'_>>, Stop> {
        let Some(lane) = lane else { return Ok(None) };
        self.lanes.enter(lane).map(Some).ok_or(Stop::PutOff)
    }

    fn commit_under(&self, used: LeaseUse) -> Commit {
        let id = CommitId::new(self.clock.now(), &*self.entropy);
        Commit::new(id, Actor::system()).with_lease(used)
    }

    /// Commits, and asks for the outcome when it is unknown.
    async fn settle(&self, commit: Commit) -> Result<Committed, Stop> {
        let id = commit.id;
        let own = commit.lease.as_ref().map(|used| used.lease().key.clone());
        let error = match self.store().commit(commit).await {
            Ok(committed) => return Ok(committed),
            Err(CommitError::Refused(Refusal::LeaseLost { .. })) => return Err(Stop::Lost),
            Err(CommitError::Refused(Refusal::VersionMismatch { key, .. })) => {
                return Err(Stop::Changed { keep_observation: Some(key) == own });
            }
            Err(CommitError::Refused(Refusal::UniqueTaken { .. })) => {
                return Err(Stop::Changed { keep_observation: false });
            }
            Err(CommitError::Failed(error)) => error,
        };
        if error.effect() == Effect::NotApplied {
            return Err(Stop::Failed(error));
        }
        for attempt in 0..OUTCOME_QUESTIONS_MAX {
            match self.store().outcome(id).await {
                Ok(Some(committed)) => return Ok(committed),
                Ok(None) => return Err(Stop::Failed(error.with_effect(Effect::NotApplied))),
                Err(_) => {
                    let pause = Duration::from_millis(20 << attempt);
                    self.clock.sleep_until(self.clock.monotonic() + pause).await;
                }
            }
        }
        Err(Stop::Failed(error))
    }

    /// Runs `work` and renews the lease meanwhile; work under a lost lease is dropped.
    async fn while_held<T>(
        &self,
        lease: &Lease,
        work: impl Future<Output = T> + Send,
    ) -> Result<T, Stop> {
        let mut work = std::pin::pin!(work);
        loop {
            let deadline = self.clock.monotonic() + self.config.lease / 3;
            match select(work.as_mut(), self.clock.sleep_until(deadline)).await {
                Either::Left((done, _)) => return Ok(done),
                Either::Right(_) => match self.store().renew(lease, self.config.lease).await {
                    Ok(true) => {}
                    Ok(false) => return Err(Stop::Lost),
                    Err(error) => {
                        tracing::warn!(record = %lease.key, error = %Report::new(&error), "lease not renewed");
                    }
                },
            }
        }
    }

    /// Lets a record rest that a person must look at.
    async fn park(&self, lease: &Lease, error: &Error) -> Result<()> {
        tracing::error!(record = %lease.key, error = %Report::new(error), "record parked");
        self.store().release(lease, Due::In(PARKED)).await
    }
}
