//! What is particular to Cloudflare.

use futures_util::future::join_all;
use sam_core::ErrorKind;
use sam_core::dns::{DnsProvider as _, ListRecords, RecordSet, RecordType, RecordValue, Ttl};
use sam_providers::cloudflare::ZoneChoice;
use serde_json::{Value, json};

use crate::harness::{Oddity, ZONE_ID, Zone, config, key, name, set, v4};

const RECORDS: &str = "/client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/dns_records";

fn cname(to: &str) -> RecordValue {
    RecordValue::Cname(name(to))
}

pub(crate) fn a_name_outside_the_zone_is_refused_before_anything_is_sent() {
    let zone = Zone::new(Oddity::None);
    for outside in ["www.example.net", "badexample.com", "example.com.evil.net"] {
        let error = zone.run(zone.dns.put_record(&set(outside, [v4(1)]))).unwrap_err();
        assert_eq!((error.kind(), error.operation()), (ErrorKind::BadInput, Some("put_record")));
        assert!(error.hint().is_some());
    }
    assert_eq!(zone.fake.count("GET", RECORDS) + zone.fake.count("POST", RECORDS), 0);
    // Cloudflare itself would have made `www.example.net.example.com` of it.
    assert_eq!(zone.left(), Vec::<String>::new());
}

pub(crate) fn one_change_is_one_request_and_several_are_one_batch() {
    let zone = Zone::new(Oddity::None);
    let batch = format!("{RECORDS}/batch");
    let counts = || {
        let count = |method, path: &str| zone.fake.count(method, path);
        (
            count("POST", RECORDS) - count("POST", &batch),
            count("PATCH", RECORDS),
            count("POST", &batch),
        )
    };
    let put = |values: &[u8]| {
        let set = set("a.example.com", values.iter().copied().map(v4));
        zone.run(zone.dns.put_record(&set)).unwrap();
        assert_eq!(zone.run(zone.dns.record(set.key())).unwrap(), Some(set));
    };
    put(&[1]);
    assert_eq!(counts(), (1, 0, 0));
    put(&[2]);
    assert_eq!(counts(), (1, 1, 0));
    put(&[2, 3, 4]);
    assert_eq!(counts(), (1, 1, 1));
    put(&[5, 2]);
    assert_eq!(counts(), (1, 1, 2));
    let before = zone.fake.exchanges().len();
    put(&[5, 2]);
    // A look of the put and one of ours, and nothing changed.
    assert_eq!((zone.fake.exchanges().len() - before, counts()), (2, (1, 1, 2)));
    zone.run(zone.dns.delete_record(&key("a.example.com", RecordType::A))).unwrap();
    assert_eq!((counts(), zone.fake.count("DELETE", RECORDS)), ((1, 1, 3), 0));
    assert_eq!(zone.left(), Vec::<String>::new());
}

pub(crate) fn a_record_that_is_changed_keeps_the_comment_of_others() {
    let zone = Zone::of(config().with_comment("SAM").unwrap());
    let theirs = json!({ "type": "A", "name": "a.example.com", "content": "192.0.2.1", "ttl": 300,
        "comment": "do not touch" });
    zone.plant(&theirs);
    zone.run(zone.dns.put_record(&set("a.example.com", [v4(2), v4(3)]))).unwrap();
    let comments: Vec<Value> = zone.fake.with(|model| model.records());
    let comment = |content: &str| {
        let record = comments.iter().find(|record| record["content"] == content).unwrap();
        (record["comment"].clone(), record["ttl"].clone())
    };
    assert_eq!(comment("192.0.2.2"), (json!("do not touch"), json!(60)));
    assert_eq!(comment("192.0.2.3"), (json!("SAM"), json!(60)));
}

pub(crate) fn new_records_carry_comment_and_tags() {
    let tagged = config().with_comment("SAM").unwrap().with_tags(["owner:sam".to_owned()]).unwrap();
    for (config, comment, tags) in
        [(tagged, json!("SAM"), json!(["owner:sam"])), (config(), Value::Null, json!([]))]
    {
        let zone = Zone::of(config);
        zone.run(zone.dns.put_record(&set("a.example.com", [v4(1)]))).unwrap();
        let record = &zone.fake.with(|model| model.records())[0];
        assert_eq!((&record["comment"], &record["tags"]), (&comment, &tags));
        // Tags are refused on the free plan, so they are not even named unless they are asked for.
        let asked = zone.fake.exchanges().pop().unwrap().request;
        let named = String::from_utf8_lossy(asked.body()).contains("tags");
        assert_eq!(named, tags != json!([]));
    }
}

pub(crate) fn proxied_records_are_put_once_and_read_as_automatic() {
    let zone = Zone::of(config().with_proxied());
    let text = RecordValue::txt("not proxied").unwrap();
    for set in [set("a.example.com", [v4(1)]), set("a.example.com", [text])] {
        zone.run(zone.dns.put_record(&set)).unwrap();
        let changes = zone.fake.count("POST", RECORDS) + zone.fake.count("PATCH", RECORDS);
        zone.run(zone.dns.put_record(&set)).unwrap();
        let after = zone.fake.count("POST", RECORDS) + zone.fake.count("PATCH", RECORDS);
        assert_eq!(changes, after, "put twice, changed once");
    }
    let found = zone.run(zone.dns.record(&key("a.example.com", RecordType::A))).unwrap().unwrap();
    assert_eq!(found.ttl().as_secs(), 300);
    let text = zone.run(zone.dns.record(&key("a.example.com", RecordType::Txt))).unwrap().unwrap();
    assert_eq!(text.ttl(), Ttl::DEFAULT);
    let records = zone.fake.with(|model| model.records());
    let proxied: Vec<&Value> = records.iter().map(|record| &record["proxied"]).collect();
    assert_eq!(proxied, [&json!(true), &json!(false)]);
}

pub(crate) fn an_alias_is_replaced_in_place() {
    let zone = Zone::new(Oddity::None);
    for target in ["one.example.org", "two.example.org"] {
        zone.run(zone.dns.put_record(&set("a.example.com", [cname(target)]))).unwrap();
    }
    // Neither a moment without it nor one with two: the record is the same.
    assert_eq!(zone.left(), ["record CNAME a.example.com two.example.org"]);
    assert_eq!((zone.fake.count("PATCH", RECORDS), zone.fake.count("DELETE", RECORDS)), (1, 0));
    // Cloudflare lets a text stand beside an alias; this trait does not.
    let text = set("a.example.com", [RecordValue::txt("x").unwrap()]);
    let error = zone.run(zone.dns.put_record(&text)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(zone.left().len(), 1);
}

pub(crate) fn records_that_sam_never_puts_are_left_alone() {
    let zone = Zone::new(Oddity::None);
    zone.plant(&json!({ "type": "MX", "name": "a.example.com", "content": "mail.example.com" }));
    zone.plant(&json!({ "type": "NS", "name": "b.example.com", "content": "ns.example.org" }));
    zone.plant(&json!({ "type": "A", "name": "not a name.example.com", "content": "192.0.2.9" }));
    let a = set("a.example.com", [v4(1)]);
    zone.run(zone.dns.put_record(&a)).unwrap();
    assert_eq!(zone.listed("example.com"), std::slice::from_ref(&a));
    let error = zone.run(zone.dns.put_record(&set("b.example.com", [cname("c.example.com")])));
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Conflict);
    zone.run(zone.dns.delete_record(a.key())).unwrap();
    assert_eq!(zone.left().len(), 3);
}

pub(crate) fn a_foreign_set_is_a_conflict_and_left_out_of_lists() {
    let zone = Zone::new(Oddity::None);
    let long = format!("\"{}\" \"{}\"", "k".repeat(255), "k".repeat(100));
    zone.plant(&json!({ "type": "TXT", "name": "a.example.com", "content": long }));
    zone.plant(&json!({ "type": "TXT", "name": "a.example.com", "content": "\"short\"" }));
    zone.plant(&json!({ "type": "TXT", "name": "b.example.com", "content": "\"one \" \"two\"" }));
    zone.plant(&json!({ "type": "A", "name": "c.example.com", "content": "192.0.2.1", "ttl": 30 }));
    let error = zone.run(zone.dns.record(&key("a.example.com", RecordType::Txt))).unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Conflict, Some("record")));
    let told: Vec<String> = zone
        .listed("example.com")
        .iter()
        .flat_map(|set| set.values().map(|value| format!("{} {value}", set.ttl().as_secs())))
        .collect();
    // Strings are put together; 1 is automatic, which is five minutes.
    assert_eq!(told, ["300 one two", "30 192.0.2.1"]);
    // A put replaces whatever is there, in whatever form.
    let text = RecordValue::txt("one two").unwrap();
    let b = RecordSet::new(name("b.example.com"), [text.clone()], Ttl::DEFAULT).unwrap();
    zone.run(zone.dns.put_record(&b)).unwrap();
    zone.run(zone.dns.put_record(&set("a.example.com", [text]))).unwrap();
    assert_eq!(zone.left().len(), 3);
}

pub(crate) fn the_zone_is_looked_up_once_and_again_when_it_is_gone() {
    let zone = Zone::new(Oddity::None);
    let lookups = || zone.fake.count("GET", "/client/v4/zones?") + zones(&zone);
    for _ in 0..3 {
        zone.run(zone.dns.record(&key("a.example.com", RecordType::A))).unwrap();
    }
    // `sam.example.com` is no zone, `example.com` is.
    assert_eq!(lookups(), 2);
    zone.fake.with(|model| model.renew(ZONE_ID, "ffffffffffffffffffffffffffffffff"));
    let gone = zone.run(zone.dns.record(&key("a.example.com", RecordType::A))).unwrap_err();
    assert_eq!((gone.kind(), gone.provider_code()), (ErrorKind::NotFound, Some("7003")));
    zone.run(zone.dns.record(&key("a.example.com", RecordType::A))).unwrap();
    assert_eq!(lookups(), 4);
    let nowhere = Zone::of(sam_providers::cloudflare::CloudflareConfig::new(
        sam_core::Secret::new(crate::harness::TOKEN.to_owned()),
        ZoneChoice::Holding(name("a.b.example.net")),
    ));
    let error = nowhere.run(nowhere.dns.put_record(&set("a.b.example.net", [v4(1)]))).unwrap_err();
    assert_eq!((error.kind(), zones(&nowhere)), (ErrorKind::NotFound, 3));
}

/// How many lists of zones were asked for.
fn zones(zone: &Zone) -> usize {
    let exchanges = zone.fake.exchanges();
    exchanges.iter().filter(|exchange| exchange.request.uri().path() == "/client/v4/zones").count()
}

pub(crate) fn a_known_zone_is_never_looked_up() {
    let id: sam_providers::cloudflare::CloudflareId = ZONE_ID.parse().unwrap();
    let token = || sam_core::Secret::new(crate::harness::TOKEN.to_owned());
    let known = ZoneChoice::Known { id: id.clone(), name: name("example.com") };
    for (choice, lookups) in [(known, 0), (ZoneChoice::Id(id), 1)] {
        let zone = Zone::of(sam_providers::cloudflare::CloudflareConfig::new(token(), choice));
        zone.fake.with(|model| model.can_read_zones = lookups == 1);
        zone.run(zone.dns.put_record(&set("a.example.com", [v4(1)]))).unwrap();
        let outside = zone.run(zone.dns.put_record(&set("a.example.org", [v4(1)])));
        assert_eq!(outside.unwrap_err().kind(), ErrorKind::BadInput);
        let asked = zone.fake.exchanges();
        let looked = asked.iter().filter(|e| e.request.uri().path().ends_with(ZONE_ID)).count();
        assert_eq!(looked, lookups);
    }
}

pub(crate) fn many_puts_of_one_set_leave_it_once() {
    let zone = Zone::new(Oddity::None);
    let set = set("a.example.com", (1..=4).map(v4));
    let puts = join_all((0..50).map(|_| zone.dns.put_record(&set)));
    for put in zone.run(puts) {
        put.unwrap();
    }
    assert_eq!(zone.left().len(), 4);
    let deletes = join_all((0..50).map(|_| zone.dns.delete_record(set.key())));
    for delete in zone.run(deletes) {
        delete.unwrap();
    }
    assert_eq!(zone.left(), Vec::<String>::new());
}

pub(crate) fn a_full_zone_is_told_from_a_wrong_record() {
    let zone = Zone::new(Oddity::None);
    zone.fake.with(|model| model.records_max = 1);
    let error = zone.run(zone.dns.put_record(&set("a.example.com", [v4(1), v4(2)]))).unwrap_err();
    assert_eq!((error.kind(), error.provider_code()), (ErrorKind::QuotaExceeded, Some("81045")));
    // Of the batch nothing is there.
    assert_eq!(zone.left(), Vec::<String>::new());
    let page = zone.run(zone.dns.list_records(&ListRecords::new(name("example.com")))).unwrap();
    assert_eq!((page.items.len(), page.next), (0, None));
}
