//! What is particular to servers of one's own.

use std::sync::Arc;
use std::time::Duration;

use sam_core::ErrorKind;
use sam_core::dns::{DnsProvider as _, ListRecords, RecordSet, RecordType, RecordValue, Ttl};
use sam_providers::rfc2136::{Rfc2136, Rfc2136Config};
use sam_providers::system::SystemClock;

use crate::harness::{Zone, block_on, name, of, open, sam, set, v4};
use crate::named::{LARGE, Named};

fn cname(to: &str) -> RecordValue {
    RecordValue::Cname(name(to))
}

pub(crate) fn a_wildcard_is_not_taken_for_the_names_that_it_answers(named: &Named) {
    let zone = Zone::new(named);
    block_on(async {
        let wild = set(&zone.at("*"), [v4(1)]);
        let alias = set(&zone.at("*.alias"), [cname("target.example.com")]);
        zone.dns.put_record(&wild).await.unwrap();
        zone.dns.put_record(&alias).await.unwrap();
        assert_eq!(zone.dns.record(wild.key()).await.unwrap().as_ref(), Some(&wild));
        for (labels, record_type) in
            [("ws-1", RecordType::A), ("ws-1", RecordType::Txt), ("x.alias", RecordType::Cname)]
        {
            let found = zone.dns.record(&of(&zone.at(labels), record_type)).await.unwrap();
            assert_eq!(found, None, "{labels} is answered by a wildcard only");
        }
        // One of its own, in front of the wildcard.
        let own = set(&zone.at("ws-1"), [v4(2)]);
        zone.dns.put_record(&own).await.unwrap();
        assert_eq!(zone.dns.record(own.key()).await.unwrap().as_ref(), Some(&own));
        for set in [wild, alias, own] {
            zone.dns.delete_record(set.key()).await.unwrap();
        }
    });
}

pub(crate) fn an_alias_stands_alone_among_records_of_others(named: &Named) {
    let zone = Zone::new(named);
    block_on(async {
        // A server passes over an alias beside a mail exchanger without a word.
        let beside = set("mail.example.com", [cname("target.example.com")]);
        let error = zone.dns.put_record(&beside).await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Conflict, Some("put_record")));
        assert_eq!(zone.dns.record(beside.key()).await.unwrap(), None);
        let at_top = set("example.com", [cname("target.example.com")]);
        assert_eq!(zone.dns.put_record(&at_top).await.unwrap_err().kind(), ErrorKind::Conflict);
        // Everything else may stand beside it.
        let text = set("mail.example.com", [RecordValue::txt("x").unwrap()]);
        zone.dns.put_record(&text).await.unwrap();
        zone.dns.delete_record(text.key()).await.unwrap();
        // The same alias again, and another one.
        let at = zone.at("a");
        for target in ["one.example.com", "one.example.com", "two.example.com"] {
            let alias = set(&at, [cname(target)]);
            zone.dns.put_record(&alias).await.unwrap();
            assert_eq!(zone.listed().await, [alias]);
        }
        zone.dns.delete_record(&of(&at, RecordType::Cname)).await.unwrap();
    });
}

pub(crate) fn what_sam_never_puts_is_a_conflict_and_left_out_of_lists(named: &Named) {
    let zone = Zone::new(named);
    block_on(async {
        let record = async |at: &str, record_type| zone.dns.record(&of(at, record_type)).await;
        let error = record("long.example.com", RecordType::Txt).await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::Conflict, Some("record")));
        let parts = record("parts.example.com", RecordType::Txt).await.unwrap().unwrap();
        assert_eq!(parts.values().collect::<Vec<_>>(), [&RecordValue::txt("one two").unwrap()]);
        let brief = record("brief.example.com", RecordType::A).await.unwrap().unwrap();
        assert_eq!(brief.ttl(), Ttl::MIN);
        let list = async |under: &str| {
            zone.dns.list_records(&ListRecords::new(name(under))).await.unwrap().items.len()
        };
        assert_eq!(list("long.example.com").await, 0);
        assert_eq!(list("mail.example.com").await, 0);
        assert_eq!(list("parts.example.com").await, 1);
    });
}

pub(crate) fn a_name_outside_the_zone_is_absent_without_asking(named: &Named) {
    let zone = Zone::new(named);
    block_on(async {
        for outside in ["www.example.org", "badexample.com"] {
            let key = of(outside, RecordType::A);
            assert_eq!(zone.dns.record(&key).await.unwrap(), None);
            zone.dns.delete_record(&key).await.unwrap();
            let page = zone.dns.list_records(&ListRecords::new(name(outside))).await.unwrap();
            assert!(page.items.is_empty());
            let error = zone.dns.put_record(&set(outside, [v4(1)])).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput);
        }
    });
}

pub(crate) fn a_zone_of_somebody_else_is_told(named: &Named) {
    let dns = open(named, "example.net", sam());
    block_on(async {
        let error = dns.put_record(&set("a.example.net", [v4(1)])).await.unwrap_err();
        assert_eq!((error.kind(), error.provider_code()), (ErrorKind::BadInput, Some("NOTAUTH")));
        assert!(error.hint().is_some_and(|hint| hint.contains("zone's name")));
        let looked = dns.record(&of("a.example.net", RecordType::A)).await;
        let listed = dns.list_records(&ListRecords::new(name("example.net"))).await;
        // Never "there is none".
        for error in [looked.unwrap_err(), listed.unwrap_err(), dns.verify().await.unwrap_err()] {
            assert!(matches!(error.kind(), ErrorKind::Denied | ErrorKind::BadInput), "{error:?}");
        }
    });
}

pub(crate) fn a_name_of_a_zone_below_is_not_called_absent(named: &Named) {
    let zone = Zone::new(named);
    let looked = block_on(zone.dns.record(&of("www.below.example.com", RecordType::A)));
    let error = looked.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.hint().is_some_and(|hint| hint.contains("zone below")));
}

pub(crate) fn shorter_times_are_raised_to_what_is_configured(named: &Named) {
    let zone = Zone::new(named);
    let config = Rfc2136Config::new(named.address(), name("example.com"), sam())
        .with_ttl_min(Ttl::from_secs(300).unwrap())
        .with_propagates_within(Duration::from_mins(10));
    let dns = Rfc2136::new(&config, Arc::new(SystemClock::new())).unwrap();
    assert_eq!(dns.capabilities().ttl_min.as_secs(), 300);
    assert_eq!(dns.capabilities().propagates_within, Duration::from_mins(10));
    block_on(async {
        let a = set(&zone.at("a"), [v4(1)]);
        dns.put_record(&a).await.unwrap();
        assert_eq!(zone.listed().await[0].ttl().as_secs(), 300);
        dns.delete_record(a.key()).await.unwrap();
    });
}

pub(crate) fn a_large_zone_comes_in_many_messages_and_pages(named: &Named) {
    let dns = open(named, "large.example", sam());
    block_on(async {
        let mut query = ListRecords::new(name("large.example"));
        let mut found: Vec<RecordSet> = Vec::new();
        // The first pages, the last, and what is beyond.
        for _ in 0..3 {
            let page = dns.list_records(&query).await.unwrap();
            assert_eq!(page.items.len(), ListRecords::LIMIT_MAX);
            found.extend(page.items);
            query = query.with_after(page.next);
        }
        let late = ListRecords::new(name("large.example")).with_after(Some("n98".to_owned()));
        let page = dns.list_records(&late).await.unwrap();
        found.extend(page.items);
        assert!(found.is_sorted_by(|one, other| one.key() < other.key()));
        let last = found.last().unwrap().key().name.to_string();
        assert!(last.starts_with("n99") || last.starts_with("ns"), "{last} of {LARGE}");
    });
}

pub(crate) fn a_vast_zone_is_refused_and_not_cut(named: &Named) {
    let dns = open(named, "vast.example", sam());
    let listed = block_on(dns.list_records(&ListRecords::new(name("vast.example"))));
    let error = listed.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::QuotaExceeded, Some("list_records")));
    // One record is looked up all the same.
    let one = block_on(dns.record(&of("n7.vast.example", RecordType::A))).unwrap();
    assert!(one.is_some());
}
