//! What adapters of DNS zones share: record sets put together from single records, and pages cut from
//! a whole listing, so that a set is never divided between two of them.

use std::collections::{BTreeMap, BTreeSet};

use sam_core::dns::{ListRecords, RecordKey, RecordName, RecordSet, RecordValue, Ttl};
use sam_core::{Error, ErrorKind, Page, Result};

/// Most records that one listing looks through.
pub(crate) const RECORDS_MAX: usize = 50_000;

/// The error of a name that a zone does not hold.
///
/// # Errors
/// `BadInput` when the name does not lie in the zone.
pub(crate) fn check_within(name: &RecordName, zone: &RecordName) -> Result<()> {
    if name.is_within(zone) {
        return Ok(());
    }
    let message = format!("{name} does not lie in the zone {zone}");
    Err(Error::new(ErrorKind::BadInput, message).with_hint("use a name that ends with the zone's"))
}

/// The error of a `CNAME` that would not stand alone.
pub(crate) fn not_alone(key: &RecordKey) -> Error {
    let message = format!("{key} cannot stand beside other records of that name");
    Error::new(ErrorKind::Conflict, message)
        .with_hint("delete the other records first: a CNAME stands alone")
}

/// The error of a listing that has no end in sight.
pub(crate) fn too_many() -> Error {
    let message = format!("the zone has more than {RECORDS_MAX} records to look through");
    Error::new(ErrorKind::QuotaExceeded, message)
        .with_hint("put SAM's names into a zone of their own")
}

/// Record sets, put together from single records.
#[derive(Debug, Default)]
pub(crate) struct Sets(BTreeMap<RecordKey, Gathered>);

#[derive(Debug)]
struct Gathered {
    values: BTreeSet<RecordValue>,
    ttl_secs: u32,
    /// No value was met that SAM has no words for.
    can_be_told: bool,
}

impl Sets {
    /// Adds a record; `None` stands for a value that is none of ours.
    pub(crate) fn add(&mut self, key: RecordKey, value: Option<RecordValue>, ttl_secs: u32) {
        let new = || Gathered { values: BTreeSet::new(), ttl_secs, can_be_told: true };
        let set = self.0.entry(key).or_insert_with(new);
        set.ttl_secs = set.ttl_secs.min(ttl_secs);
        set.can_be_told &= value.is_some();
        set.values.extend(value);
    }

    /// Returns the set of a key.
    ///
    /// # Errors
    /// `Conflict` when it is there and cannot be told as a set: somebody else put it.
    pub(crate) fn one(mut self, key: &RecordKey) -> Result<Option<RecordSet>> {
        let Some(found) = self.0.remove(key) else { return Ok(None) };
        match set(key.clone(), found) {
            Some(set) => Ok(Some(set)),
            None => Err(Error::new(
                ErrorKind::Conflict,
                format!("{key} has values that SAM never puts: it belongs to somebody else"),
            )
            .with_hint("choose another name, or delete those records by hand")),
        }
    }

    /// Returns one page. Sets that SAM has no words for, as with types that it does not put, are
    /// left out whole.
    pub(crate) fn page(self, query: &ListRecords) -> Page<RecordSet> {
        let after = query.after.as_deref();
        let sets = self.0.into_iter().filter(|(key, _)| {
            key.name.is_within(&query.under)
                && after.is_none_or(|after| place(key).as_str() > after)
        });
        let sets = sets.filter_map(|(key, found)| set(key, found));
        Page::first(sets, ListRecords::LIMIT_MAX, |set| place(set.key()))
    }
}

fn set(key: RecordKey, found: Gathered) -> Option<RecordSet> {
    if !found.can_be_told {
        return None;
    }
    let bounded = found.ttl_secs.clamp(Ttl::MIN.as_secs(), Ttl::MAX.as_secs());
    let ttl = Ttl::from_secs(bounded).ok()?;
    // What is refused here has too many values: nothing that SAM put.
    RecordSet::new(key.name, found.values, ttl).ok()
}

/// Where a key stands in a listing. The separator sorts below every character of a name, so that the
/// order of these texts is the order of the keys.
fn place(key: &RecordKey) -> String {
    format!("{} {}", key.name, key.record_type)
}

#[cfg(test)]
mod tests {
    use sam_core::dns::RecordType;

    use super::*;

    fn key(name: &str, record_type: RecordType) -> RecordKey {
        RecordKey::new(name.parse().unwrap(), record_type)
    }

    fn v4(last: u8) -> RecordValue {
        RecordValue::A([192, 0, 2, last].into())
    }

    #[test]
    fn records_become_sets_with_the_shortest_time() {
        let mut sets = Sets::default();
        for (last, ttl) in [(1, 300), (2, 60), (2, 7_200)] {
            sets.add(key("a.example.com", RecordType::A), Some(v4(last)), ttl);
        }
        let set = sets.one(&key("a.example.com", RecordType::A)).unwrap().unwrap();
        assert_eq!((set.values().len(), set.ttl().as_secs()), (2, 60));
        let mut sets = Sets::default();
        sets.add(key("a.example.com", RecordType::A), Some(v4(1)), 5);
        sets.add(key("b.example.com", RecordType::A), Some(v4(1)), 604_800);
        let page = sets.page(&ListRecords::new("example.com".parse().unwrap()));
        let ttls: Vec<_> = page.items.iter().map(RecordSet::ttl).collect();
        assert_eq!(ttls, [Ttl::MIN, Ttl::MAX]);
    }

    #[test]
    fn what_cannot_be_told_is_an_error_by_itself_and_left_out_of_lists() {
        let sets = || {
            let mut sets = Sets::default();
            let foreign = key("a.example.com", RecordType::Txt);
            sets.add(foreign.clone(), None, 60);
            sets.add(foreign, RecordValue::txt("x").ok(), 60);
            (0..17)
                .for_each(|last| sets.add(key("b.example.com", RecordType::A), Some(v4(last)), 60));
            sets.add(key("c.example.com", RecordType::A), Some(v4(1)), 60);
            sets
        };
        for foreign in [key("a.example.com", RecordType::Txt), key("b.example.com", RecordType::A)]
        {
            assert_eq!(sets().one(&foreign).unwrap_err().kind(), ErrorKind::Conflict);
        }
        assert_eq!(sets().one(&key("d.example.com", RecordType::A)).unwrap(), None);
        let page = sets().page(&ListRecords::new("example.com".parse().unwrap()));
        assert_eq!((page.items.len(), page.next), (1, None));
    }

    #[test]
    fn pages_hold_every_set_once_and_whole() {
        let mut query = ListRecords::new("w.example.com".parse().unwrap());
        let mut found = Vec::new();
        loop {
            let mut sets = Sets::default();
            for index in 0..250 {
                let name = format!("n{index}.w.example.com");
                sets.add(key(&name, RecordType::A), Some(v4(1)), 60);
                sets.add(key(&name, RecordType::A), Some(v4(2)), 60);
            }
            sets.add(key("nw.example.com", RecordType::A), Some(v4(1)), 60);
            let page = sets.page(&query);
            found.extend(page.items);
            match page.next {
                Some(next) => query = query.with_after(Some(next)),
                None => break,
            }
        }
        assert!(found.is_sorted_by(|one, other| one.key() < other.key()));
        assert_eq!(found.len(), 250);
        assert!(found.iter().all(|set| set.values().len() == 2));
    }
}
