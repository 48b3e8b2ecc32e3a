//! What every [`DnsProvider`] must do.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::{Failure, Outcome, always, cases, ensure, ensure_eq, ensure_kind};
use crate::dns::{
    DnsProvider, ListRecords, RecordKey, RecordName, RecordSet, RecordType, RecordValue, Ttl,
};
use crate::error::ErrorKind;

/// Most pages a listing may have.
const PAGES_MAX: usize = 1_000;

/// A zone under test.
#[async_trait]
pub trait DnsHarness: fmt::Debug + Send + Sync {
    /// Returns the provider.
    fn dns(&self) -> &dyn DnsProvider;

    /// Returns a name inside the zone below which nobody else puts anything.
    fn under(&self) -> RecordName;

    /// Returns a name that does not lie in the zone.
    fn outside(&self) -> RecordName;

    /// Returns how many sets stand on one page of a listing, where putting one more than that is
    /// cheap enough to try.
    fn sets_per_page(&self) -> Option<usize>;
}

cases! {
    DnsHarness, Scope;
    "DnsProvider C1", always {
        putting_again_replaces_the_whole_set,
        putting_the_same_twice_is_putting_it_once,
        a_put_broken_off_can_be_repeated,
    }
    "DnsProvider C2", always {
        deleting_the_absent_succeeds,
        deleting_one_type_leaves_the_others,
    }
    "DnsProvider C3", always {
        sets_of_every_type_are_shown_as_they_were_put,
        a_deleted_set_is_nowhere_shown,
    }
    "DnsProvider C4", always { only_an_absent_set_is_none }
    "DnsProvider C5", always {
        a_listing_holds_every_set_once_in_order,
        a_listing_is_of_whole_labels,
    }
    "DnsProvider C5", with_pages { a_second_page_goes_on_where_the_first_ended }
    "DnsProvider C6", always {
        a_cname_stands_alone,
        a_cname_can_be_replaced_and_taken_away,
    }
    "DnsProvider C7", always {
        a_name_outside_the_zone_is_refused,
        a_time_to_live_is_kept_or_raised,
    }
    "DnsProvider C8", always { the_longest_names_and_the_fullest_sets_are_taken }
}

fn with_pages(harness: &dyn DnsHarness) -> bool {
    harness.sets_per_page().is_some()
}

/// The zone, and the place in it that is the case's own.
#[derive(Debug)]
struct Scope<'a> {
    harness: &'a dyn DnsHarness,
    under: RecordName,
}

impl<'a> Scope<'a> {
    #[expect(clippy::unused_async, reason = "every suite opens its scope the same way")]
    async fn open(harness: &'a dyn DnsHarness) -> Result<Self, Failure> {
        Ok(Self { harness, under: harness.under() })
    }

    fn dns(&self) -> &dyn DnsProvider {
        self.harness.dns()
    }

    fn name(&self, labels: &str) -> Result<RecordName, Failure> {
        let name = format!("{labels}.{}", self.under);
        name.parse().map_err(|error| Failure::new(format!("{name}: {error}")))
    }

    fn ttl(&self) -> Ttl {
        Ttl::DEFAULT.max(self.dns().capabilities().ttl_min)
    }

    fn set(
        &self,
        labels: &str,
        values: impl IntoIterator<Item = RecordValue>,
    ) -> Result<RecordSet, Failure> {
        Ok(RecordSet::new(self.name(labels)?, values, self.ttl())?)
    }

    async fn put(
        &self,
        labels: &str,
        values: impl IntoIterator<Item = RecordValue>,
    ) -> Result<RecordSet, Failure> {
        let set = self.set(labels, values)?;
        self.dns().put_record(&set).await?;
        Ok(set)
    }

    async fn listed(&self, under: &RecordName) -> Result<Vec<RecordSet>, Failure> {
        let mut query = ListRecords::new(under.clone());
        let mut all = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = self.dns().list_records(&query).await?;
            all.extend(page.items);
            match page.next {
                None => return Ok(all),
                next => query.after = next,
            }
        }
        Err(Failure::new(format!("the listing has more than {PAGES_MAX} pages")))
    }

    async fn close(&self) -> Outcome {
        for set in self.listed(&self.under).await? {
            self.dns().delete_record(set.key()).await?;
        }
        let left = self.listed(&self.under).await?;
        ensure!(left.is_empty(), "left behind: {left:?}");
        Ok(())
    }
}

fn v4(last: u8) -> RecordValue {
    RecordValue::A(Ipv4Addr::new(192, 0, 2, last))
}

fn v6(last: u16) -> RecordValue {
    RecordValue::Aaaa(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last))
}

async fn putting_again_replaces_the_whole_set(scope: &Scope<'_>) -> Outcome {
    let first = scope.put("a", [v4(1), v4(2), v4(3)]).await?;
    let second = scope.put("a", [v4(3), v4(4)]).await?;
    let found = scope.dns().record(first.key()).await?;
    ensure_eq!(found.as_ref(), Some(&second), "after the second put");
    ensure_eq!(scope.listed(&scope.under).await?, [second], "listed after two puts");
    Ok(())
}

async fn putting_the_same_twice_is_putting_it_once(scope: &Scope<'_>) -> Outcome {
    let set = scope.set("a", [v4(1), v4(2)])?;
    for put in join_all((0..4).map(|_| scope.dns().put_record(&set))).await {
        put?;
    }
    scope.dns().put_record(&set).await?;
    ensure_eq!(scope.listed(&scope.under).await?, [set], "listed after five puts");
    Ok(())
}

async fn a_put_broken_off_can_be_repeated(scope: &Scope<'_>) -> Outcome {
    let set = scope.set("a", [v4(1), v4(2)])?;
    let broken_off = scope.dns().put_record(&set).now_or_never();
    drop(broken_off);
    scope.dns().put_record(&set).await?;
    ensure_eq!(scope.listed(&scope.under).await?, [set], "listed after a broken-off put");
    Ok(())
}

async fn deleting_the_absent_succeeds(scope: &Scope<'_>) -> Outcome {
    let never = RecordKey::new(scope.name("never")?, RecordType::A);
    scope.dns().delete_record(&never).await?;
    let set = scope.put("a", [v4(1)]).await?;
    for _ in 0..2 {
        scope.dns().delete_record(set.key()).await?;
    }
    Ok(())
}

async fn deleting_one_type_leaves_the_others(scope: &Scope<'_>) -> Outcome {
    let kept = scope.put("a", [v6(1)]).await?;
    let below = scope.put("b.a", [v4(1)]).await?;
    let gone = scope.put("a", [v4(1), v4(2)]).await?;
    scope.dns().delete_record(gone.key()).await?;
    ensure_eq!(scope.listed(&scope.under).await?, [kept, below], "after the deletion");
    Ok(())
}

async fn sets_of_every_type_are_shown_as_they_were_put(scope: &Scope<'_>) -> Outcome {
    let target = RecordValue::Cname(scope.name("target")?);
    // Quotes and backslashes are what adapters escape wrongly.
    let text = RecordValue::txt("v=1; \"quoted\" \\ back  two")?;
    let sets = [
        scope.put("a", [v4(1), v4(2)]).await?,
        scope.put("aaaa", [v6(1), v6(2)]).await?,
        scope.put("cname", [target]).await?,
        scope.put("_txt.a-1", [text, RecordValue::txt(&"x".repeat(255))?]).await?,
        scope.put("*.wild", [v4(3)]).await?,
    ];
    let listed = scope.listed(&scope.under).await?;
    for set in &sets {
        let found = scope.dns().record(set.key()).await?;
        ensure_eq!(found.as_ref(), Some(set), "the set that was put");
        ensure!(listed.contains(set), "{set:?} is not in {listed:?}");
    }
    ensure_eq!(listed.len(), sets.len(), "sets listed");
    Ok(())
}

async fn a_deleted_set_is_nowhere_shown(scope: &Scope<'_>) -> Outcome {
    let set = scope.put("a", [v4(1), v4(2)]).await?;
    scope.dns().delete_record(set.key()).await?;
    let found = scope.dns().record(set.key()).await?;
    ensure!(found.is_none(), "deleted, but found {found:?}");
    let listed = scope.listed(&scope.under).await?;
    ensure!(listed.is_empty(), "deleted, but listed {listed:?}");
    scope.dns().put_record(&set).await?;
    ensure_eq!(scope.dns().record(set.key()).await?, Some(set), "put again");
    Ok(())
}

async fn only_an_absent_set_is_none(scope: &Scope<'_>) -> Outcome {
    let set = scope.put("a", [v4(1)]).await?;
    let found = scope.dns().record(set.key()).await?;
    ensure!(found.is_some(), "put, but not found");
    for (labels, record_type) in [
        ("a", RecordType::Aaaa),
        ("a", RecordType::Txt),
        ("b", RecordType::A),
        ("b.a", RecordType::A),
    ] {
        let key = RecordKey::new(scope.name(labels)?, record_type);
        let found = scope.dns().record(&key).await?;
        ensure!(found.is_none(), "{key} was never put, but found: {found:?}");
    }
    Ok(())
}

async fn a_listing_holds_every_set_once_in_order(scope: &Scope<'_>) -> Outcome {
    let mut put = Vec::new();
    for labels in ["b", "a", "c.a", "z", "a-1"] {
        put.push(scope.put(labels, [v6(1)]).await?);
        put.push(scope.put(labels, [v4(1), v4(2)]).await?);
    }
    put.sort_by(|one, other| one.key().cmp(other.key()));
    ensure_eq!(scope.listed(&scope.under).await?, put, "the sets in order");
    Ok(())
}

async fn a_listing_is_of_whole_labels(scope: &Scope<'_>) -> Outcome {
    let at = scope.put("a", [v4(1)]).await?;
    let below = scope.put("b.a", [v4(2)]).await?;
    scope.put("ba", [v4(3)]).await?;
    let listed = scope.listed(&scope.name("a")?).await?;
    ensure_eq!(listed, [at, below], "at and below one name");
    let none = scope.listed(&scope.name("nothing")?).await?;
    ensure!(none.is_empty(), "below a name that is not there: {none:?}");
    Ok(())
}

async fn a_second_page_goes_on_where_the_first_ended(scope: &Scope<'_>) -> Outcome {
    let per_page = scope.harness.sets_per_page().unwrap_or_default();
    let mut names = BTreeSet::new();
    for index in 0..=per_page {
        let set = scope.put(&format!("n{index}"), [v4(1), v4(2)]).await?;
        names.insert(set.key().clone());
    }
    let first = scope.dns().list_records(&ListRecords::new(scope.under.clone())).await?;
    ensure!(first.next.is_some(), "{} of one more are listed as all", first.items.len());
    let listed = scope.listed(&scope.under).await?;
    ensure!(listed.iter().map(RecordSet::key).eq(&names), "{} listed on all pages", listed.len());
    Ok(())
}

async fn a_cname_stands_alone(scope: &Scope<'_>) -> Outcome {
    let target = || Ok::<_, Failure>(RecordValue::Cname(scope.name("target")?));
    let address = scope.put("a", [v4(1)]).await?;
    let beside = scope.set("a", [target()?])?;
    ensure_kind!(
        scope.dns().put_record(&beside).await,
        ErrorKind::Conflict,
        "a CNAME beside an address"
    );
    let alias = scope.put("b", [target()?]).await?;
    let beside = scope.set("b", [RecordValue::txt("x")?])?;
    ensure_kind!(
        scope.dns().put_record(&beside).await,
        ErrorKind::Conflict,
        "a text beside a CNAME"
    );
    ensure_eq!(scope.listed(&scope.under).await?, [address, alias], "after the refusals");
    Ok(())
}

async fn a_cname_can_be_replaced_and_taken_away(scope: &Scope<'_>) -> Outcome {
    let alias = scope.put("a", [RecordValue::Cname(scope.name("one")?)]).await?;
    let other = scope.put("a", [RecordValue::Cname(scope.name("two")?)]).await?;
    ensure_eq!(scope.dns().record(alias.key()).await?, Some(other), "replaced");
    scope.dns().delete_record(alias.key()).await?;
    let address = scope.put("a", [v4(1)]).await?;
    ensure_eq!(scope.listed(&scope.under).await?, [address], "after the alias was taken away");
    Ok(())
}

async fn a_name_outside_the_zone_is_refused(scope: &Scope<'_>) -> Outcome {
    let outside = scope.harness.outside();
    let set = RecordSet::new(outside.clone(), [v4(1)], scope.ttl())?;
    let put = scope.dns().put_record(&set).await;
    ensure_kind!(put, ErrorKind::BadInput, "putting {outside}");
    Ok(())
}

async fn a_time_to_live_is_kept_or_raised(scope: &Scope<'_>) -> Outcome {
    let least = scope.dns().capabilities().ttl_min;
    for (labels, ttl) in [("min", Ttl::MIN), ("day", Ttl::MAX)] {
        let set = RecordSet::new(scope.name(labels)?, [v4(1)], ttl)?;
        scope.dns().put_record(&set).await?;
        let found = scope.dns().record(set.key()).await?.map(|found| found.ttl());
        ensure_eq!(found, Some(ttl.max(least)), "the time to live after {ttl:?} was put");
    }
    let shorter = RecordSet::new(scope.name("day")?, [v4(1)], scope.ttl())?;
    scope.dns().put_record(&shorter).await?;
    let found = scope.dns().record(shorter.key()).await?;
    ensure_eq!(found, Some(shorter), "put again with a shorter time to live");
    Ok(())
}

async fn the_longest_names_and_the_fullest_sets_are_taken(scope: &Scope<'_>) -> Outcome {
    let values = (0..RecordSet::VALUES_MAX).filter_map(|last| u8::try_from(last).ok()).map(v4);
    let label = "x".repeat(63);
    let full = scope.put(&label, values).await?;
    ensure_eq!(scope.dns().record(full.key()).await?, Some(full), "the fullest set");
    Ok(())
}
