//! The trait.

use async_trait::async_trait;
use sam_core::dns::{DnsCapabilities, DnsProvider, ListRecords, RecordKey, RecordSet, RecordType};
use sam_core::{Error, ErrorKind, Page, Result};

use super::Rfc2136;
use super::map::code;
use super::wire::{Ask, Change, Found, Require};
use crate::zone::{Sets, check_within, not_alone};

/// Most times that an alias is tried both ways, should its name change in between.
const ALIAS_TRIES_MAX: usize = 2;

#[async_trait]
impl DnsProvider for Rfc2136 {
    fn capabilities(&self) -> DnsCapabilities {
        DnsCapabilities::new(self.ttl_min, self.propagates_within)
    }

    async fn put_record(&self, record: &RecordSet) -> Result<()> {
        let key = record.key();
        check_within(&key.name, &self.zone).map_err(|error| error.with_operation("put_record"))?;
        let set = record.clone().with_ttl_at_least(self.ttl_min);
        let put = if key.record_type == RecordType::Cname {
            self.put_alias(&set).await?
        } else {
            let alone = [Require::Absent(&key.name, RecordType::Cname)];
            self.replace("put_record", &alone, &set).await?
        };
        if put { Ok(()) } else { Err(not_alone(key).with_operation("put_record")) }
    }

    async fn record(&self, key: &RecordKey) -> Result<Option<RecordSet>> {
        if !key.name.is_within(&self.zone) {
            return Ok(None);
        }
        let told = self.client.ask("record", Ask::Look(key)).await?;
        if !told.is_authoritative {
            let message = format!("the server does not answer for {} itself", key.name);
            return Err(Error::new(ErrorKind::Conflict, message)
                .with_operation("record")
                .with_hint("the name lies in a zone below this one, or the server is no primary"));
        }
        let mut sets = Sets::default();
        // An alias brings what it stands for along.
        add(&mut sets, told.records.into_iter().filter(|found| found.key.as_ref() == Some(key)));
        let found = sets.one(key).map_err(|error| error.with_operation("record"));
        // What a wildcard answers looks like a set of that name.
        match found {
            Ok(None) => Ok(None),
            found if self.is_there("record", key).await? => found,
            _ => Ok(None),
        }
    }

    async fn list_records(&self, query: &ListRecords) -> Result<Page<RecordSet>> {
        if !query.under.is_within(&self.zone) && !self.zone.is_within(&query.under) {
            return Ok(Page::default());
        }
        // The whole zone for every page: there is no other way to list one, and it is whole.
        let mut sets = Sets::default();
        add(&mut sets, self.client.transfer("list_records").await?);
        Ok(sets.page(query))
    }

    async fn delete_record(&self, key: &RecordKey) -> Result<()> {
        if !key.name.is_within(&self.zone) {
            return Ok(());
        }
        let changes = [Change::Delete(&key.name, key.record_type)];
        self.update("delete_record", &[], &changes).await.map(drop)
    }
}

impl Rfc2136 {
    /// Puts an alias where it stands alone: under a name that nobody has, or in place of an alias.
    /// Servers pass silently over an alias beside others, so what is there is required, not tried.
    async fn put_alias(&self, set: &RecordSet) -> Result<bool> {
        let name = &set.key().name;
        for _ in 0..ALIAS_TRIES_MAX {
            if self.replace("put_record", &[Require::Free(name)], set).await? {
                return Ok(true);
            }
            let alias = [Require::Present(name, RecordType::Cname)];
            if self.replace("put_record", &alias, set).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Replaces a set whole, in one message; false when a requirement does not hold.
    async fn replace(
        &self,
        operation: &'static str,
        required: &[Require<'_>],
        set: &RecordSet,
    ) -> Result<bool> {
        let (key, ttl) = (set.key(), set.ttl().as_secs());
        let mut changes = vec![Change::Delete(&key.name, key.record_type)];
        changes.extend(set.values().map(|value| Change::Add(&key.name, ttl, value)));
        self.update(operation, required, &changes).await
    }

    /// Returns whether a set is really there, and no wildcard's.
    async fn is_there(&self, operation: &'static str, key: &RecordKey) -> Result<bool> {
        self.update(operation, &[Require::Present(&key.name, key.record_type)], &[]).await
    }

    async fn update(
        &self,
        operation: &'static str,
        required: &[Require<'_>],
        changes: &[Change<'_>],
    ) -> Result<bool> {
        let told = self.client.ask(operation, Ask::Update(required, changes)).await?;
        Ok(told.code == code::NO_ERROR)
    }
}

fn add(sets: &mut Sets, records: impl IntoIterator<Item = Found>) {
    for record in records {
        if let Some(key) = record.key {
            sets.add(key, record.value, record.ttl_secs);
        }
    }
}
