//! Names that say whose they are, so that a sweep can find those that were left over.
//!
//! A record set has no room for labels in the DNS itself. So each owned name has a *mark* beside it: a
//! text record at `_sam.` and the name, with one label in each of its values. That works at every
//! provider, and a person who looks at the zone can read it.
//!
//! The mark is put before the first record and deleted after the last: whatever breaks off in between,
//! a name of ours has its mark. A name without one belongs to somebody else and is never touched.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    DnsCapabilities, DnsProvider, ListRecords, RecordKey, RecordName, RecordSet, RecordType,
    RecordValue, Ttl,
};
use crate::compute::{Labels, ListOwned, OwnedResource, OwnedResources};
use crate::error::{Error, ErrorKind, Result};
use crate::page::Page;

/// Puts and deletes names with marks, and lists them as resources that are owned.
///
/// ```
/// use std::sync::Arc;
/// use sam_core::compute::{Labels, ListOwned, OwnedResources};
/// use sam_core::dns::{MemoryDns, OwnedNames, RecordSet, RecordValue, Ttl};
/// # futures_util::future::FutureExt::now_or_never(async {
/// let zone: sam_core::dns::RecordName = "example.com".parse()?;
/// let names = OwnedNames::new(Arc::new(MemoryDns::new(zone.clone())), zone);
/// let labels = Labels::default().with(Labels::INSTALLATION, "home")?;
/// let value = RecordValue::A("192.0.2.1".parse()?);
/// let set = RecordSet::new("ws-1.example.com".parse()?, [value], Ttl::DEFAULT)?;
/// names.put(&set, &labels).await?;
/// let owned = names.list_owned(&ListOwned::new(labels)).await?;
/// assert_eq!(owned.items[0].provider_id, "ws-1.example.com");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap().unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct OwnedNames {
    dns: Arc<dyn DnsProvider>,
    base: RecordName,
}

impl OwnedNames {
    /// The sort of a name among owned resources.
    pub const SORT: &'static str = "name";
    /// The first label of a mark.
    const MARK: &'static str = "_sam.";
    /// Stands for the `*` of a name in its mark, which is at the beginning of names only.
    const ANY: &'static str = "_any.";

    /// Owns names at and below `base`.
    pub const fn new(dns: Arc<dyn DnsProvider>, base: RecordName) -> Self {
        Self { dns, base }
    }

    /// Puts a record set under a name that is ours, or free, and marks the name as ours. Repeatable.
    ///
    /// # Errors
    /// `Conflict` when the name is somebody else's: it has records and no mark, or a mark with other
    /// labels; `BadInput` for a name that is too long to be marked, lies outside the base, or is a mark
    /// itself, and for labels of none or more than [`RecordSet::VALUES_MAX`]; those of
    /// [`DnsProvider::put_record`].
    pub async fn put(&self, set: &RecordSet, labels: &Labels) -> Result<()> {
        self.mark(&set.key().name, labels).await?;
        self.dns.put_record(set).await
    }

    /// Puts record sets under a name that is ours, or free, marks the name as ours, and deletes what
    /// is under it beside them. Repeatable.
    ///
    /// # Errors
    /// `BadInput` for a set of another name; those of [`OwnedNames::put`].
    pub async fn put_exactly(
        &self,
        name: &RecordName,
        sets: &[RecordSet],
        labels: &Labels,
    ) -> Result<()> {
        if let Some(other) = sets.iter().find(|set| set.key().name != *name) {
            let message = format!("{} is not under {name}", other.key());
            return Err(Error::new(ErrorKind::BadInput, message));
        }
        if self.mark(name, labels).await? == Mark::Found {
            // First, because a CNAME stands alone.
            let wanted = |it| sets.iter().any(|set| set.key().record_type == it);
            for record_type in TYPES.into_iter().filter(|&it| !wanted(it)) {
                self.dns.delete_record(&RecordKey::new(name.clone(), record_type)).await?;
            }
        }
        for set in sets {
            self.dns.put_record(set).await?;
        }
        Ok(())
    }

    /// Returns the facts a caller plans with.
    pub fn capabilities(&self) -> DnsCapabilities {
        self.dns.capabilities()
    }

    /// Sees to it that a name has the mark with these labels before anything is put under it.
    async fn mark(&self, name: &RecordName, labels: &Labels) -> Result<Mark> {
        let mark = self.mark_of(name)?;
        let wanted = marking(mark.clone(), labels)?;
        match self.dns.record(&mark).await? {
            Some(found) if labels_of(&found).as_ref() == Some(labels) => Ok(Mark::Found),
            Some(_) => Err(taken(name, "its mark names another owner")),
            None if self.has_records(name).await? => {
                Err(taken(name, "it has records that nobody marked"))
            }
            None => self.dns.put_record(&wanted).await.map(|()| Mark::Put),
        }
    }

    /// Deletes everything under a name with these labels, then its mark. A name that has no mark, or
    /// another one, is left alone. Repeatable.
    ///
    /// # Errors
    /// As [`DnsProvider::record`] and [`DnsProvider::delete_record`].
    pub async fn delete(&self, name: &RecordName, labels: &Labels) -> Result<()> {
        let mark = self.mark_of(name)?;
        let found = self.dns.record(&mark).await?;
        if found.as_ref().and_then(labels_of).as_ref() != Some(labels) {
            return Ok(());
        }
        for record_type in TYPES {
            self.dns.delete_record(&RecordKey::new(name.clone(), record_type)).await?;
        }
        self.dns.delete_record(&mark).await
    }

    async fn has_records(&self, name: &RecordName) -> Result<bool> {
        for record_type in TYPES {
            if self.dns.record(&RecordKey::new(name.clone(), record_type)).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn mark_of(&self, name: &RecordName) -> Result<RecordKey> {
        let text = name.as_str();
        if !name.is_within(&self.base) || text.starts_with(Self::MARK) {
            let message = format!("{name} is no name below {}", self.base);
            return Err(Error::new(ErrorKind::BadInput, message));
        }
        let marked = match text.strip_prefix("*.") {
            Some(rest) => format!("{}{}{rest}", Self::MARK, Self::ANY),
            None => format!("{}{text}", Self::MARK),
        };
        Ok(RecordKey::new(marked.parse()?, RecordType::Txt))
    }
}

#[async_trait]
impl OwnedResources for OwnedNames {
    async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
        let sets = ListRecords::new(self.base.clone()).with_after(query.after.clone());
        let page = self.dns.list_records(&sets).await?;
        let owned = page.items.iter().filter_map(|set| {
            let name = name_of(set.key())?;
            let labels = labels_of(set).filter(|labels| labels.contains(&query.labels))?;
            Some(OwnedResource::new(Self::SORT, name.clone(), labels).with_key(name))
        });
        Ok(Page::new(owned.collect(), page.next))
    }

    async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
        if resource.sort != Self::SORT {
            return Ok(());
        }
        match resource.provider_id.parse() {
            Ok(name) => self.delete(&name, &resource.labels).await,
            // What is no name was never put.
            Err(_) => Ok(()),
        }
    }
}

/// How a name came by its mark.
#[derive(Debug, PartialEq, Eq)]
enum Mark {
    /// It had it: there may be records under it.
    Found,
    /// It got it now: nothing was under it.
    Put,
}

/// What may lie under a name.
const TYPES: [RecordType; 4] =
    [RecordType::A, RecordType::Aaaa, RecordType::Cname, RecordType::Txt];

fn taken(name: &RecordName, why: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("{name} belongs to somebody else: {why}"))
        .with_hint("choose another name, or delete the records of this one by hand")
}

/// The record set of a mark.
fn marking(mark: RecordKey, labels: &Labels) -> Result<RecordSet> {
    let values = labels.iter().map(|(label, value)| RecordValue::txt(&format!("{label}={value}")));
    RecordSet::new(mark.name, values.collect::<Result<Vec<_>>>()?, Ttl::DEFAULT)
}

/// The name that a mark is for.
fn name_of(mark: &RecordKey) -> Option<String> {
    if mark.record_type != RecordType::Txt {
        return None;
    }
    let text = mark.name.as_str().strip_prefix(OwnedNames::MARK)?;
    Some(
        text.strip_prefix(OwnedNames::ANY)
            .map_or_else(|| text.to_owned(), |rest| format!("*.{rest}")),
    )
}

/// What a mark says; `None` when it is none of ours.
fn labels_of(set: &RecordSet) -> Option<Labels> {
    let mut labels = Labels::default();
    for value in set.values() {
        let RecordValue::Txt(text) = value else { return None };
        let (label, value) = text.as_str().split_once('=')?;
        labels = labels.with(label, value).ok()?;
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::dns::MemoryDns;

    fn now<T>(work: impl Future<Output = T>) -> T {
        work.now_or_never().expect("nothing here waits")
    }

    fn names() -> (Arc<MemoryDns>, OwnedNames) {
        let zone: RecordName = "example.com".parse().unwrap();
        let dns = Arc::new(MemoryDns::new(zone.clone()));
        let names = OwnedNames::new(Arc::clone(&dns) as _, zone);
        (dns, names)
    }

    fn labels(installation: &str) -> Labels {
        let labels = Labels::default().with(Labels::INSTALLATION, installation).unwrap();
        labels.with(Labels::OWNER, "ann").unwrap()
    }

    fn set(name: &str) -> RecordSet {
        let value = RecordValue::A([192, 0, 2, 1].into());
        RecordSet::new(name.parse().unwrap(), [value], Ttl::DEFAULT).unwrap()
    }

    fn owned(names: &OwnedNames, labels: &Labels) -> Vec<String> {
        let (mut all, mut query) = (Vec::new(), ListOwned::new(labels.clone()));
        loop {
            let page = now(names.list_owned(&query)).unwrap();
            all.extend(page.items.into_iter().map(|resource| resource.provider_id));
            match page.next {
                Some(next) => query = query.with_after(Some(next)),
                None => return all,
            }
        }
    }

    fn count(dns: &MemoryDns) -> usize {
        let under = ListRecords::new("example.com".parse().unwrap());
        now(dns.list_records(&under)).unwrap().items.len()
    }

    #[test]
    fn a_name_is_owned_until_it_is_deleted() {
        let (dns, names) = names();
        let home = labels("home");
        for name in ["ws-1.example.com", "*.apps.example.com", "example.com"] {
            now(names.put(&set(name), &home)).unwrap();
            now(names.put(&set(name), &home)).unwrap();
            assert_eq!(owned(&names, &home), [name]);
            assert_eq!(owned(&names, &labels("other")), Vec::<String>::new());
            let page = now(names.list_owned(&ListOwned::new(home.clone()))).unwrap();
            assert_eq!((&*page.items[0].sort, &page.items[0].labels), ("name", &home));
            for _ in 0..2 {
                now(names.delete_owned(&page.items[0])).unwrap();
                assert_eq!((owned(&names, &home), count(&dns)), (Vec::new(), 0));
            }
        }
    }

    #[test]
    fn names_of_others_are_never_touched() {
        let (dns, names) = names();
        let (home, other) = (labels("home"), labels("other"));
        now(dns.put_record(&set("www.example.com"))).unwrap();
        now(names.put(&set("ws-1.example.com"), &other)).unwrap();
        for name in ["www.example.com", "ws-1.example.com"] {
            let error = now(names.put(&set(name), &home)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict, "{name}");
            now(names.delete(&name.parse().unwrap(), &home)).unwrap();
        }
        // Two records and one mark, as before.
        assert_eq!((count(&dns), owned(&names, &home)), (3, Vec::new()));
        // What merely looks like a mark is none.
        let note = RecordValue::txt("remember the milk").unwrap();
        let note = RecordSet::new("_sam.x.example.com".parse().unwrap(), [note], Ttl::DEFAULT);
        now(dns.put_record(&note.unwrap())).unwrap();
        assert_eq!(owned(&names, &Labels::default()), ["ws-1.example.com"]);
    }

    #[test]
    fn what_breaks_off_halfway_is_still_owned() {
        let (dns, names) = names();
        let home = labels("home");
        // Marked, and no record yet; or deleted, and the mark still there.
        let name: RecordName = "ws-1.example.com".parse().unwrap();
        let mark = names.mark_of(&name).unwrap();
        now(dns.put_record(&marking(mark, &home).unwrap())).unwrap();
        assert_eq!(owned(&names, &home), ["ws-1.example.com"]);
        now(names.put(&set("ws-1.example.com"), &home)).unwrap();
        let text = RecordValue::txt("proof").unwrap();
        let proof = RecordSet::new(name.clone(), [text], Ttl::DEFAULT).unwrap();
        now(names.put(&proof, &home)).unwrap();
        now(names.delete(&name, &home)).unwrap();
        assert_eq!(count(&dns), 0);
    }

    #[test]
    fn putting_exactly_leaves_nothing_else_under_the_name() {
        let (dns, names) = names();
        let home = labels("home");
        let name: RecordName = "ws-1.example.com".parse().unwrap();
        let of = |value| RecordSet::new(name.clone(), [value], Ttl::DEFAULT).unwrap();
        let v4 = of(RecordValue::A([192, 0, 2, 1].into()));
        let v6 = of(RecordValue::Aaaa([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()));
        let cname = of(RecordValue::Cname("cp.example.org".parse().unwrap()));
        for sets in [vec![v4.clone(), v6.clone()], vec![cname], vec![v6], vec![v4]] {
            for _ in 0..2 {
                now(names.put_exactly(&name, &sets, &home)).unwrap();
                // With the mark.
                assert_eq!(count(&dns), sets.len() + 1);
            }
        }
        let other = [set("ws-2.example.com")];
        let error = now(names.put_exactly(&name, &other, &home)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
        let error = now(names.put_exactly(&name, &[], &labels("other"))).unwrap_err();
        assert_eq!((error.kind(), count(&dns)), (ErrorKind::Conflict, 2));
    }

    #[test]
    fn every_name_is_listed_once_over_many_pages() {
        let (_, names) = names();
        let home = labels("home");
        let mut expected: Vec<String> =
            (0..250).map(|number| format!("ws-{number}.example.com")).collect();
        for name in &expected {
            now(names.put(&set(name), &home)).unwrap();
        }
        let mut found = owned(&names, &home);
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn names_that_cannot_be_marked_are_refused() {
        let (_, names) = names();
        let long = format!("{}.example.com", vec!["x".repeat(47); 5].join("."));
        for name in ["_sam.ws-1.example.com", "ws-1.example.org", &long] {
            let error = now(names.put(&set(name), &labels("home"))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput, "{name}");
        }
        let error = now(names.put(&set("a.example.com"), &Labels::default())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
    }
}
