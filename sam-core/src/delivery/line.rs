//! Lines: the open deliveries of one repository in the order they were received.

use super::record::DeliveryRecord;
use crate::engine::{Stored as _, decode};
use crate::error::Result;
use crate::store::{ListQuery, RecordKey, Store};

/// What a delivery's line says about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Line {
    /// Its own place.
    pub place: Option<u64>,
    /// Whether an older one is open.
    pub is_blocked: bool,
    /// The newest one that says all that it does.
    pub superseded_by: Option<String>,
    /// The oldest open one, where that is a newer one: its turn comes with the end of this.
    pub next: Option<String>,
}

/// An open delivery in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) id: String,
    pub(super) place: u64,
    pub(super) coalesced_by: Option<String>,
}

impl Line {
    /// Looks at the line of a delivery.
    ///
    /// # Errors
    /// What the store answered.
    pub(super) async fn look(store: &dyn Store, delivery: &DeliveryRecord) -> Result<Self> {
        let Some(line) = delivery.line() else { return Ok(Self::default()) };
        let mut waiting = Vec::new();
        let mut after = None;
        loop {
            let query = ListQuery::new(DeliveryRecord::KIND)
                .with_filter(DeliveryRecord::BY_LINE, line.clone())
                .with_after(after);
            let page = store.list(&query).await?;
            for stored in &page.items {
                // One that cannot be read must not hold up the others.
                let Ok(other) = decode::<DeliveryRecord>(stored) else { continue };
                let other = other.record;
                let place = other.place.unwrap_or(stored.rev.0);
                let coalesced_by = other.coalesced_by();
                waiting.push(Waiting { id: other.id, place, coalesced_by });
            }
            after = page.next;
            if after.is_none() {
                return Ok(Self::of(delivery, &waiting));
            }
        }
    }

    /// Says what a line means for one delivery.
    pub(super) fn of(delivery: &DeliveryRecord, waiting: &[Waiting]) -> Self {
        let own = waiting.iter().find(|other| other.id == delivery.id);
        let place = delivery.place.or(own.map(|own| own.place));
        // One that is not in the line and has no place is as new as can be.
        let since = place.unwrap_or(u64::MAX);
        let others = || waiting.iter().filter(|other| other.id != delivery.id);
        let coalesced_by = delivery.coalesced_by();
        let same = |other: &&Waiting| {
            coalesced_by.is_some() && other.coalesced_by == coalesced_by && other.place > since
        };
        let newest = others().filter(same).max_by_key(|other| other.place);
        let oldest = others().min_by_key(|other| other.place);
        Self {
            place,
            is_blocked: oldest.is_some_and(|other| other.place < since),
            superseded_by: newest.map(|other| other.id.clone()),
            next: oldest.filter(|other| other.place > since).map(|other| other.id.clone()),
        }
    }

    /// Returns the open deliveries that a new one supersedes: they are to look at their line at once,
    /// instead of after their pause.
    ///
    /// # Errors
    /// What the store answered.
    pub(crate) async fn superseded(
        store: &dyn Store,
        delivery: &DeliveryRecord,
        most: usize,
    ) -> Result<Vec<RecordKey>> {
        let [_, _, Some(coalesced_by)] = delivery.index() else { return Ok(Vec::new()) };
        let query = ListQuery::new(DeliveryRecord::KIND)
            .with_filter(DeliveryRecord::BY_BRANCH, coalesced_by)
            .with_limit(most);
        let page = store.list(&query).await?;
        Ok(page.items.into_iter().map(|stored| stored.key).collect())
    }
}
