//! A zone in memory, one with a longer time to live, and flawed ones.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sam_core::dns::{
    DnsCapabilities, DnsProvider, ListRecords, MemoryDns, RecordKey, RecordName, RecordSet, Ttl,
};
use sam_core::testkit::conformance::dns::{self, DnsHarness};
use sam_core::testkit::conformance::{BoxFuture, Harness, Outcome, Trial, at_once};
use sam_core::{ErrorKind, Page, Result};

use super::refuse;

const NOT_APPLICABLE: &str = include_str!("../not_applicable/memory.dns.txt");

#[derive(Debug)]
struct Over<D>(D);

impl<D: DnsProvider> DnsHarness for Over<D> {
    fn dns(&self) -> &dyn DnsProvider {
        &self.0
    }

    fn under(&self) -> RecordName {
        "conformance.example.com".parse().unwrap()
    }

    fn outside(&self) -> RecordName {
        "conformance.badexample.com".parse().unwrap()
    }

    fn sets_per_page(&self) -> Option<usize> {
        Some(ListRecords::LIMIT_MAX)
    }
}

impl<D: DnsProvider> Harness for Over<D> {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        at_once(case)
    }
}

fn zone() -> MemoryDns {
    MemoryDns::new("example.com".parse().unwrap())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    AddsValues,
    CutsNames,
    DropsThePage,
    IgnoresTheType,
    KeepsShortLives,
    ListsBackwards,
    LosesQuotes,
    MissesTheAbsent,
    /// No flaw: its shortest time to live is five minutes.
    RaisesLives,
    SplitsSets,
    StandsBesideCname,
    TakesForeignNames,
}

const FLAWS: [(Flaw, &str); 11] = [
    (Flaw::AddsValues, "putting_again_replaces_the_whole_set"),
    (Flaw::MissesTheAbsent, "deleting_the_absent_succeeds"),
    (Flaw::IgnoresTheType, "deleting_one_type_leaves_the_others"),
    (Flaw::LosesQuotes, "sets_of_every_type_are_shown_as_they_were_put"),
    (Flaw::IgnoresTheType, "only_an_absent_set_is_none"),
    (Flaw::ListsBackwards, "a_listing_holds_every_set_once_in_order"),
    (Flaw::SplitsSets, "a_listing_holds_every_set_once_in_order"),
    (Flaw::DropsThePage, "a_second_page_goes_on_where_the_first_ended"),
    (Flaw::StandsBesideCname, "a_cname_stands_alone"),
    (Flaw::TakesForeignNames, "a_name_outside_the_zone_is_refused"),
    (Flaw::KeepsShortLives, "a_time_to_live_is_kept_or_raised"),
];

#[derive(Debug)]
struct Flawed {
    inner: MemoryDns,
    flaw: Flaw,
}

impl Flawed {
    fn new(flaw: Flaw) -> Self {
        Self { inner: zone(), flaw }
    }

    /// The least that is kept where it is not the least there is.
    fn least() -> Ttl {
        Ttl::from_secs(300).unwrap()
    }

    async fn beside(&self, name: &RecordName) -> Result<Vec<RecordSet>> {
        let all = self.inner.list_records(&ListRecords::new(name.clone())).await?.items;
        Ok(all.into_iter().filter(|set| set.key().name == *name).collect())
    }
}

impl fmt::Display for Flawed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl DnsProvider for Flawed {
    fn capabilities(&self) -> DnsCapabilities {
        match self.flaw {
            Flaw::RaisesLives | Flaw::KeepsShortLives => {
                DnsCapabilities::new(Self::least(), Duration::ZERO)
            }
            _ => self.inner.capabilities(),
        }
    }

    async fn put_record(&self, record: &RecordSet) -> Result<()> {
        let mut record = record.clone();
        let name = record.key().name.clone();
        match self.flaw {
            Flaw::RaisesLives => record = record.with_ttl_at_least(Self::least()),
            Flaw::AddsValues => {
                if let Some(known) = self.inner.record(record.key()).await? {
                    let values = known.values().chain(record.values()).cloned();
                    record = RecordSet::new(name, values.collect::<Vec<_>>(), record.ttl())?;
                }
            }
            Flaw::StandsBesideCname => {
                for other in self.beside(&name).await? {
                    if other.key() != record.key() {
                        self.inner.delete_record(other.key()).await?;
                    }
                }
            }
            Flaw::TakesForeignNames => {
                let put = self.inner.put_record(&record).await;
                return match put {
                    Err(error) if error.kind() == ErrorKind::BadInput => Ok(()),
                    put => put,
                };
            }
            Flaw::CutsNames if name.as_str().len() > 63 => {
                return Err(refuse(ErrorKind::BadInput));
            }
            _ => {}
        }
        self.inner.put_record(&record).await
    }

    async fn record(&self, key: &RecordKey) -> Result<Option<RecordSet>> {
        let found = self.inner.record(key).await?;
        match (self.flaw, found) {
            (Flaw::IgnoresTheType, None) => Ok(self.beside(&key.name).await?.pop()),
            (Flaw::LosesQuotes, Some(set)) => {
                let values = set.values().map(|value| match value.to_string() {
                    text if text.contains('"') => {
                        sam_core::dns::RecordValue::txt(&text.replace('"', ""))
                    }
                    _ => Ok(value.clone()),
                });
                let values = values.collect::<Result<Vec<_>>>()?;
                Ok(Some(RecordSet::new(key.name.clone(), values, set.ttl())?))
            }
            (_, found) => Ok(found),
        }
    }

    async fn list_records(&self, query: &ListRecords) -> Result<Page<RecordSet>> {
        let mut page = self.inner.list_records(query).await?;
        match self.flaw {
            Flaw::DropsThePage => page.next = None,
            Flaw::ListsBackwards => page.items.reverse(),
            Flaw::SplitsSets => {
                let split = page.items.iter().flat_map(|set| {
                    let name = &set.key().name;
                    let values = set.values().cloned();
                    values.map(|value| RecordSet::new(name.clone(), [value], set.ttl()))
                });
                page.items = split.collect::<Result<Vec<_>>>()?;
            }
            _ => {}
        }
        Ok(page)
    }

    async fn delete_record(&self, key: &RecordKey) -> Result<()> {
        match self.flaw {
            Flaw::MissesTheAbsent if self.inner.record(key).await?.is_none() => {
                return Err(refuse(ErrorKind::NotFound));
            }
            Flaw::IgnoresTheType => {
                for other in self.beside(&key.name).await? {
                    self.inner.delete_record(other.key()).await?;
                }
            }
            _ => {}
        }
        self.inner.delete_record(key).await
    }
}

pub(super) fn trials() -> Vec<Trial> {
    let arc = || -> Arc<dyn DnsProvider> { Arc::new(zone()) };
    let boxed = || -> Box<dyn DnsProvider> { Box::new(zone()) };
    let mut all = dns::trials("dns::memory", NOT_APPLICABLE, || Over(zone()));
    all.extend(dns::trials("dns::memory_in_arc", NOT_APPLICABLE, move || Over(arc())));
    all.extend(dns::trials("dns::memory_in_box", NOT_APPLICABLE, move || Over(boxed())));
    let long_lives = || Over(Flawed::new(Flaw::RaisesLives));
    all.extend(dns::trials("dns::long_lives", NOT_APPLICABLE, long_lives));
    let long_names = || Over(Flawed::new(Flaw::CutsNames));
    let case = "the_longest_names_and_the_fullest_sets_are_taken";
    all.push(dns::notices("CutsNames", case, long_names));
    all.extend(FLAWS.map(|(flaw, case)| {
        dns::notices(&format!("{flaw:?}"), case, move || Over(Flawed::new(flaw)))
    }));
    all
}
