//! The trait.

use std::time::Duration;

use async_trait::async_trait;
use sam_core::dns::{
    DnsCapabilities, DnsProvider, ListRecords, RecordKey, RecordName, RecordSet, Ttl,
};
use sam_core::{Error, ErrorKind, Page, Result};

use super::client::Filter;
use super::map::code;
use super::wire::{Changes, Record};
use super::zones::Zone;
use super::{Cloudflare, plan};
use crate::zone::{Sets, check_within, not_alone};

/// Shortest time to live that every plan takes, in seconds.
const TTL_MIN_SECS: u32 = 60;
/// Longest that a change has been seen to take until all of the edge has it, and more.
const PROPAGATES_WITHIN: Duration = Duration::from_mins(5);
/// Most looks of one call, should others change the same name meanwhile or a list lag behind.
const LOOKS_MAX: u32 = 4;
/// The pause before the third look; it doubles.
const PAUSE: Duration = Duration::from_millis(500);

#[async_trait]
impl DnsProvider for Cloudflare {
    fn capabilities(&self) -> DnsCapabilities {
        DnsCapabilities::new(ttl_min(), PROPAGATES_WITHIN)
    }

    async fn put_record(&self, record: &RecordSet) -> Result<()> {
        let zone = self.zone("put_record").await?;
        check_within(&record.key().name, &zone.name)
            .map_err(|error| error.with_operation("put_record"))?;
        let set = record.clone().with_ttl_at_least(ttl_min());
        self.until_so("put_record", &zone, Goal::Is(&set)).await
    }

    async fn record(&self, key: &RecordKey) -> Result<Option<RecordSet>> {
        let zone = self.zone("record").await?;
        let found = self.client.records("record", &zone.id, Filter::Of(key)).await;
        let found = found.map_err(|error| self.noted(error))?;
        sets(&found).one(key).map_err(|error| error.with_operation("record"))
    }

    async fn list_records(&self, query: &ListRecords) -> Result<Page<RecordSet>> {
        let zone = self.zone("list_records").await?;
        let filter = if zone.name.is_within(&query.under) {
            Filter::All
        } else {
            Filter::Under(&query.under)
        };
        // All of it for every page: Cloudflare's own pages divide sets, and move when records come
        // and go. A page of ours is cut where a set ends, and goes on by key.
        let found = self.client.records("list_records", &zone.id, filter).await;
        let found = found.map_err(|error| self.noted(error))?;
        Ok(sets(&found).page(query))
    }

    async fn delete_record(&self, key: &RecordKey) -> Result<()> {
        let zone = self.zone("delete_record").await?;
        self.until_so("delete_record", &zone, Goal::Gone(key)).await
    }
}

/// What the records of a key shall be.
#[derive(Debug, Clone, Copy)]
enum Goal<'a> {
    Gone(&'a RecordKey),
    Is(&'a RecordSet),
}

impl Cloudflare {
    /// Looks what is to be changed and changes it, until nothing is left to do. A change is refused
    /// when somebody else was faster, or when the look was older than what is there: then it is
    /// looked again.
    async fn until_so(&self, operation: &'static str, zone: &Zone, goal: Goal<'_>) -> Result<()> {
        let mut refused = None;
        for turn in 0..LOOKS_MAX {
            self.pause(turn).await;
            let changes = match goal {
                Goal::Gone(key) => self.left_over(zone, key).await,
                Goal::Is(set) => self.missing(zone, set).await,
            };
            let changes = changes.map_err(|error| self.noted(error))?;
            match self.client.change(operation, &zone.id, &changes).await {
                Ok(()) => return Ok(()),
                Err(error) if is_outdated(&error) => refused = Some(error),
                Err(error) => return Err(self.noted(error)),
            }
        }
        let message = "what Cloudflare lists and what it refuses do not fit together";
        let error = Error::new(ErrorKind::Unavailable, message).with_operation(operation);
        Err(match refused.as_ref().and_then(Error::provider_code) {
            Some(code) => error.with_provider_code(code),
            None => error,
        })
    }

    /// Returns what is there and shall not be.
    async fn left_over(&self, zone: &Zone, key: &RecordKey) -> Result<Changes> {
        let found = self.client.records("delete_record", &zone.id, Filter::Of(key)).await?;
        Ok(Changes { deletes: plan::deletions(&found), ..Changes::default() })
    }

    /// Returns what a set lacks.
    async fn missing(&self, zone: &Zone, set: &RecordSet) -> Result<Changes> {
        let key = set.key();
        let beside = self.client.records("put_record", &zone.id, Filter::At(&key.name)).await?;
        let (found, others): (Vec<Record>, Vec<Record>) =
            beside.into_iter().partition(|record| record.key().as_ref() == Some(key));
        // Cloudflare itself lets some types stand beside a CNAME.
        let types = others.iter().map(|record| record.key().map(|key| key.record_type));
        if types.into_iter().any(|other| plan::exclude(other, key.record_type)) {
            return Err(not_alone(key).with_operation("put_record"));
        }
        Ok(plan::changes(&found, set, &self.style))
    }

    async fn pause(&self, turn: u32) {
        let Some(doublings) = turn.checked_sub(2) else { return };
        let clock = self.client.clock();
        clock.sleep_until(clock.monotonic() + PAUSE * 2_u32.pow(doublings)).await;
    }
}

/// Returns whether a refusal says that the look before it was outdated.
fn is_outdated(error: &Error) -> bool {
    let codes = [code::RECORD_EXISTS, code::RECORD_IDENTICAL, code::RECORD_ABSENT];
    let said = error.provider_code().and_then(|code| code.parse().ok());
    said.is_some_and(|said: u32| codes.contains(&said))
}

fn sets(records: &[Record]) -> Sets {
    let mut sets = Sets::default();
    for record in records {
        if let Some(key) = record.key() {
            sets.add(key, record.value(), record.ttl_secs());
        }
    }
    sets
}

fn ttl_min() -> Ttl {
    Ttl::from_secs(TTL_MIN_SECS).unwrap_or(Ttl::DEFAULT)
}

/// Returns the names that a zone of this name could have: the name, then what is above it.
pub(super) fn above(name: &RecordName) -> impl Iterator<Item = &str> {
    let text = name.as_str().strip_prefix("*.").unwrap_or(name.as_str());
    std::iter::successors(Some(text), |name| name.split_once('.').map(|(_, above)| above))
        .filter(|name| name.contains('.'))
}
