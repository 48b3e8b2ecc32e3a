//! A DNS that refuses, loses replies, and acts late and twice.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::executor::give_way;
use super::faults::{About, Dice, Fault};
use super::world::{DELAY_MAX, SLOW_MAX, World};
use crate::dns::{
    DnsCapabilities, DnsProvider, ListRecords, MemoryDns, OwnedNames, RecordKey, RecordName,
    RecordSet, Ttl,
};
use crate::error::{Effect, Error, ErrorKind, Result};
use crate::id::WorkspaceId;
use crate::page::Page;
use crate::published_name::{NameRecord, NameTarget, Publishing};

/// Below which names are published in a simulation.
const BASE: &str = "sim.example";

/// The DNS of a simulation.
#[derive(Debug, Clone)]
pub(super) struct SimDns {
    zone: Arc<MemoryDns>,
    world: World,
    dice: Dice,
}

impl SimDns {
    pub(super) fn new(world: World, dice: Dice) -> Option<Self> {
        Some(Self { zone: world.zone()?, world, dice })
    }

    /// Returns how an engine publishes with it.
    pub(super) fn publishing(self) -> Option<Publishing> {
        let base = base()?;
        let target = NameTarget::addresses([[192, 0, 2, 1].into()]).ok()?;
        Some(Publishing::new(OwnedNames::new(Arc::new(self), base.clone()), base, target))
    }

    fn strikes(&self, fault: Fault, name: &RecordName) -> bool {
        self.dice.strikes(fault, || {
            workspace_of(name).map_or(About::All, |id| About::Record(NameRecord::key_of(id)))
        })
    }

    async fn refusal(&self, name: &RecordName) -> Result<()> {
        give_way().await;
        if self.strikes(Fault::Slow, name) {
            self.world.take_time(self.dice.span(SLOW_MAX)).await;
        }
        if self.strikes(Fault::Refused, name) {
            let kind = match self.dice.below(4) {
                0 => ErrorKind::Denied,
                1 => ErrorKind::RateLimited,
                _ => ErrorKind::Unavailable,
            };
            return Err(Error::new(kind, "refused by the simulation"));
        }
        Ok(())
    }

    fn delay(&self) -> Duration {
        self.dice.span(DELAY_MAX)
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Timeout, "no reply in the simulation").with_effect(Effect::Unknown)
}

pub(super) fn base() -> Option<RecordName> {
    BASE.parse().ok()
}

/// Whose a name, or the mark of one, is.
pub(super) fn workspace_of(name: &RecordName) -> Option<WorkspaceId> {
    let name = name.as_str();
    let name = name.strip_prefix("_sam.").unwrap_or(name);
    name.split('.').next()?.parse().ok()
}

impl fmt::Display for SimDns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sim")
    }
}

#[async_trait]
impl DnsProvider for SimDns {
    fn capabilities(&self) -> DnsCapabilities {
        // How long its changes may be late is the policy's to say, so that a test can say it wrongly.
        DnsCapabilities::new(Ttl::MIN, Duration::ZERO)
    }

    async fn put_record(&self, record: &RecordSet) -> Result<()> {
        let name = &record.key().name;
        self.refusal(name).await?;
        if self.strikes(Fault::Delayed, name) {
            self.world.put_name_later(record.clone(), self.delay());
            give_way().await;
            return Err(lost());
        }
        if self.strikes(Fault::Duplicated, name) {
            self.world.put_name(record, "put");
            give_way().await;
        }
        self.world.put_name(record, "put");
        give_way().await;
        if self.strikes(Fault::ReplyLost, name) { Err(lost()) } else { Ok(()) }
    }

    async fn record(&self, key: &RecordKey) -> Result<Option<RecordSet>> {
        self.refusal(&key.name).await?;
        let found = self.zone.record(key).await;
        give_way().await;
        if self.strikes(Fault::Stale, &key.name) {
            return Err(Error::new(ErrorKind::Unavailable, "the answer is stale"));
        }
        found
    }

    async fn list_records(&self, query: &ListRecords) -> Result<Page<RecordSet>> {
        give_way().await;
        // A part is never passed off as the whole (contract C5).
        for fault in [Fault::Refused, Fault::Stale, Fault::Partial] {
            if self.dice.strikes(fault, || About::All) {
                return Err(Error::new(ErrorKind::Unavailable, "the listing is not whole"));
            }
        }
        self.zone.list_records(query).await
    }

    async fn delete_record(&self, key: &RecordKey) -> Result<()> {
        self.refusal(&key.name).await?;
        if self.strikes(Fault::Delayed, &key.name) {
            self.world.delete_name_later(key.clone(), self.delay());
            give_way().await;
            return Err(lost());
        }
        self.world.delete_name(key, "deleted");
        give_way().await;
        if self.strikes(Fault::ReplyLost, &key.name) { Err(lost()) } else { Ok(()) }
    }
}
