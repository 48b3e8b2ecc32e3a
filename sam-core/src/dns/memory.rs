//! A zone in memory: changes are visible at once, for tests, examples and measurements.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{
    DnsCapabilities, DnsProvider, ListRecords, RecordKey, RecordName, RecordSet, RecordType, Ttl,
};
use crate::error::{Error, ErrorKind, Result};
use crate::page::Page;

/// A zone whose record sets live in this process.
#[derive(Debug)]
pub struct MemoryDns {
    zone: RecordName,
    records: Mutex<BTreeMap<RecordKey, RecordSet>>,
}

impl MemoryDns {
    /// Makes an empty zone.
    pub fn new(zone: RecordName) -> Self {
        Self { zone, records: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RecordKey, RecordSet>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for MemoryDns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

#[async_trait]
impl DnsProvider for MemoryDns {
    fn capabilities(&self) -> DnsCapabilities {
        DnsCapabilities::new(Ttl::MIN, Duration::ZERO)
    }

    async fn put_record(&self, record: &RecordSet) -> Result<()> {
        let key = record.key();
        if !key.name.is_within(&self.zone) {
            return Err(Error::new(
                ErrorKind::BadInput,
                format!("{} does not lie in the zone {}", key.name, self.zone),
            )
            .with_operation("put_record")
            .with_hint("use a name that ends with the zone's"));
        }
        let mut records = self.lock();
        let beside = records.keys().find(|other| {
            other.name == key.name
                && other.record_type != key.record_type
                && [other.record_type, key.record_type].contains(&RecordType::Cname)
        });
        if let Some(other) = beside {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("{key} cannot stand beside {other}"),
            )
            .with_operation("put_record")
            .with_hint("delete the other record first: a CNAME stands alone"));
        }
        let kept = record.clone().with_ttl_at_least(self.capabilities().ttl_min);
        records.insert(key.clone(), kept);
        Ok(())
    }

    async fn record(&self, key: &RecordKey) -> Result<Option<RecordSet>> {
        Ok(self.lock().get(key).cloned())
    }

    async fn list_records(&self, query: &ListRecords) -> Result<Page<RecordSet>> {
        let records = self.lock();
        let left = records
            .values()
            .filter(|set| set.key().name.is_within(&query.under))
            .filter(|set| {
                query.after.as_deref().is_none_or(|after| place(set.key()).as_str() > after)
            })
            .cloned();
        Ok(Page::first(left, ListRecords::LIMIT_MAX, |set| place(set.key())))
    }

    async fn delete_record(&self, key: &RecordKey) -> Result<()> {
        self.lock().remove(key);
        Ok(())
    }
}

/// Where a key stands in a listing. The separator sorts below every character of a name, so that
/// the order of these texts is the order of the keys.
fn place(key: &RecordKey) -> String {
    format!("{} {}", key.name, key.record_type)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::sync::Arc;

    use futures_util::FutureExt as _;

    use super::super::RecordValue;
    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("nothing in memory waits")
    }

    fn name(text: &str) -> RecordName {
        text.parse().unwrap()
    }

    fn set(at: &str, last: u8) -> RecordSet {
        let value = RecordValue::A(Ipv4Addr::new(192, 0, 2, last));
        RecordSet::new(name(at), [value], Ttl::DEFAULT).unwrap()
    }

    fn zone() -> Arc<dyn DnsProvider> {
        Arc::new(MemoryDns::new(name("example.com")))
    }

    #[test]
    fn putting_replaces_the_whole_set() {
        let dns = zone();
        now(dns.put_record(&set("a.example.com", 1))).unwrap();
        now(dns.put_record(&set("a.example.com", 2))).unwrap();
        now(dns.put_record(&set("a.example.com", 2))).unwrap();
        let found = now(dns.record(set("a.example.com", 2).key())).unwrap();
        assert_eq!(found, Some(set("a.example.com", 2)));
    }

    #[test]
    fn deleting_the_absent_succeeds() {
        let dns = zone();
        let record = set("a.example.com", 1);
        now(dns.delete_record(record.key())).unwrap();
        now(dns.put_record(&record)).unwrap();
        now(dns.delete_record(record.key())).unwrap();
        now(dns.delete_record(record.key())).unwrap();
        assert_eq!(now(dns.record(record.key())).unwrap(), None);
    }

    #[test]
    fn a_cname_stands_alone_in_both_orders() {
        let dns = zone();
        let cname = |at| {
            RecordSet::new(name(at), [RecordValue::Cname(name("t.example.org"))], Ttl::MIN).unwrap()
        };
        now(dns.put_record(&cname("a.example.com"))).unwrap();
        let error = now(dns.put_record(&set("a.example.com", 1))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let v6 = RecordValue::Aaaa(Ipv6Addr::LOCALHOST);
        now(dns.put_record(&RecordSet::new(name("b.example.com"), [v6], Ttl::MIN).unwrap()))
            .unwrap();
        now(dns.put_record(&set("b.example.com", 1))).unwrap();
        let error = now(dns.put_record(&cname("b.example.com"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }

    #[test]
    fn a_name_outside_the_zone_is_refused() {
        let error = now(zone().put_record(&set("a.example.org", 1))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
    }

    #[test]
    fn a_listing_pages_through_every_set_below_a_name_once() {
        let dns = zone();
        for index in 0..250 {
            let at = format!("n{index}.w.example.com");
            now(dns.put_record(&set(&at, 1))).unwrap();
        }
        now(dns.put_record(&set("other.example.com", 1))).unwrap();
        let mut query = ListRecords::new(name("w.example.com"));
        let (mut pages, mut keys) = (0, Vec::new());
        loop {
            let page = now(dns.list_records(&query)).unwrap();
            keys.extend(page.items.iter().map(|set| set.key().clone()));
            pages += 1;
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        assert_eq!((pages, keys.len()), (3, 250));
        assert!(keys.is_sorted());
        keys.dedup();
        assert_eq!(keys.len(), 250);
    }
}
