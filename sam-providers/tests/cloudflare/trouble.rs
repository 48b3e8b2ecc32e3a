//! Trouble at every step: what breaks off, what is lost, what lags behind.

use std::time::Duration;

use http::Response;
use sam_core::dns::{DnsProvider as _, RecordSet, RecordType};
use sam_core::{Effect, ErrorKind, Report, Retry};
use sam_providers::testkit::{Fault, json};

use crate::harness::{Oddity, TOKEN, Zone, key, set, v4};

const RECORDS: &str = "/client/v4/zones/023e105f4ecef8ad9ca31a8372d0c353/dns_records";
/// More than any call here takes.
const POLLS_MAX: usize = 100;

fn html(status: u16) -> Response<bytes::Bytes> {
    let mut response = Response::new("<html>Bad gateway</html>".into());
    *response.status_mut() = status.try_into().unwrap();
    response
}

/// A zone that holds three addresses, and the two that are wanted.
fn half() -> (Zone, RecordSet) {
    let zone = Zone::new(Oddity::None);
    zone.run(zone.dns.put_record(&set("a.example.com", (1..=3).map(v4)))).unwrap();
    (zone, set("a.example.com", [v4(3), v4(4)]))
}

pub(crate) fn a_put_that_breaks_off_anywhere_is_made_right_by_the_next() {
    let mut broken_off = 0;
    for polls in 1..POLLS_MAX {
        let (zone, wanted) = half();
        let done = Zone::break_off(zone.dns.put_record(&wanted), polls);
        // All of the old set or all of the new one, nothing in between.
        let left = zone.left().len();
        assert!(left == 3 || left == 2, "{left} records after {polls} polls");
        zone.run(zone.dns.put_record(&wanted)).unwrap();
        assert_eq!(zone.run(zone.dns.record(wanted.key())).unwrap(), Some(wanted));
        assert_eq!(zone.left().len(), 2);
        match done {
            Some(done) => {
                done.unwrap();
                assert!(broken_off >= 4, "it was broken off {broken_off} times only");
                return;
            }
            None => broken_off += 1,
        }
    }
    panic!("it is not done after {POLLS_MAX} polls");
}

pub(crate) fn a_delete_that_breaks_off_anywhere_is_made_right_by_the_next() {
    for polls in 1..POLLS_MAX {
        let (zone, wanted) = half();
        let done = Zone::break_off(zone.dns.delete_record(wanted.key()), polls);
        assert!([0, 3].contains(&zone.left().len()));
        zone.run(zone.dns.delete_record(wanted.key())).unwrap();
        assert_eq!(zone.left(), Vec::<String>::new());
        if done.is_some() {
            return;
        }
    }
    panic!("it is not done after {POLLS_MAX} polls");
}

pub(crate) fn what_was_done_and_reported_as_failed_is_in_doubt() {
    // A new record, a changed one, several, and a deletion.
    let faults = || {
        [
            (Fault::DoAndCut, ErrorKind::Unavailable),
            (Fault::DoAndAnswer(html(502)), ErrorKind::Unavailable),
            (Fault::DoAndAnswer(html(504)), ErrorKind::Timeout),
            (Fault::DoAndAnswer(html(200)), ErrorKind::Corrupt),
            (Fault::Cut, ErrorKind::Unavailable),
        ]
    };
    for (fault, kind) in faults() {
        for (method, wanted) in [("POST", vec![1]), ("PATCH", vec![2]), ("POST", vec![2, 3, 4])] {
            let zone = Zone::new(Oddity::None);
            if method == "PATCH" || wanted.len() > 1 {
                zone.run(zone.dns.put_record(&set("a.example.com", [v4(1)]))).unwrap();
            }
            let wanted = set("a.example.com", wanted.into_iter().map(v4));
            zone.fake.fail_next(method, RECORDS, fault.clone());
            let error = zone.run(zone.dns.put_record(&wanted)).unwrap_err();
            assert_eq!((error.kind(), error.effect()), (kind, Effect::Unknown), "{fault:?}");
            assert_eq!((error.operation(), zone.fake.faults_left()), (Some("put_record"), 0));
            zone.run(zone.dns.put_record(&wanted)).unwrap();
            assert_eq!(zone.left().len(), wanted.values().len());
        }
        let (zone, wanted) = half();
        zone.fake.fail_next("POST", RECORDS, fault);
        let error = zone.run(zone.dns.delete_record(wanted.key())).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (kind, Effect::Unknown));
        zone.run(zone.dns.delete_record(wanted.key())).unwrap();
        assert_eq!(zone.left(), Vec::<String>::new());
    }
}

pub(crate) fn what_is_refused_is_not_in_doubt() {
    for (fault, kind) in [
        (Fault::Refuse(html(403)), ErrorKind::Denied),
        (Fault::Refuse(html(400)), ErrorKind::BadInput),
    ] {
        let (zone, wanted) = half();
        zone.fake.fail_next("POST", RECORDS, fault);
        let error = zone.run(zone.dns.put_record(&wanted)).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (kind, Effect::NotApplied));
        assert_eq!(zone.left().len(), 3);
    }
    // A look changes nothing, whatever became of it.
    for fault in [Fault::DoAndCut, Fault::DoAndAnswer(html(502)), Fault::DoAndAnswer(html(200))] {
        let (zone, wanted) = half();
        zone.fake.fail_next("GET", RECORDS, fault);
        let error = zone.run(zone.dns.put_record(&wanted)).unwrap_err();
        assert_eq!(error.effect(), Effect::NotApplied);
        assert_eq!(zone.left().len(), 3);
        zone.fake.fail_next("GET", RECORDS, Fault::DoAndCut);
        let looked = zone.run(zone.dns.record(wanted.key()));
        // Never "there is none".
        assert_eq!(looked.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}

pub(crate) fn a_limit_is_kept_and_nothing_is_sent_meanwhile() {
    let (zone, wanted) = half();
    let body = serde_json::json!({ "success": false, "messages": [], "result": null,
        "errors": [{ "code": 971, "message": "Please wait" }] });
    let mut limited = json(429, &body);
    limited.headers_mut().insert("retry-after", "271".parse().unwrap());
    zone.fake.fail_next("POST", RECORDS, Fault::Refuse(limited));
    let error = zone.run(zone.dns.put_record(&wanted)).unwrap_err();
    let wait = Duration::from_secs(271);
    assert_eq!((error.kind(), error.retry()), (ErrorKind::RateLimited, Retry::After(wait)));
    assert_eq!(error.effect(), Effect::NotApplied);
    let sent = zone.fake.exchanges().len();
    let error = zone.run(zone.dns.record(wanted.key())).unwrap_err();
    assert_eq!((error.kind(), zone.fake.exchanges().len()), (ErrorKind::RateLimited, sent));
    zone.clock.advance(wait);
    zone.run(zone.dns.put_record(&wanted)).unwrap();
    assert_eq!(zone.left().len(), 2);
}

pub(crate) fn lists_that_lag_behind_are_looked_at_again() {
    // A list that does not yet show what is there, and one that still shows what is gone.
    for lag in 1..=3 {
        let zone = Zone::new(Oddity::None);
        let a = set("a.example.com", [v4(1)]);
        zone.run(zone.dns.put_record(&a)).unwrap();
        zone.fake.with(|model| model.stale_lists = lag);
        zone.run(zone.dns.put_record(&a)).unwrap();
        assert_eq!(zone.left().len(), 1);
        zone.run(zone.dns.delete_record(a.key())).unwrap();
        zone.fake.with(|model| model.stale_lists = lag);
        zone.run(zone.dns.delete_record(a.key())).unwrap();
        assert_eq!(zone.left().len(), 0);
    }
    let zone = Zone::new(Oddity::None);
    let a = set("a.example.com", [v4(1)]);
    zone.run(zone.dns.put_record(&a)).unwrap();
    zone.fake.with(|model| model.stale_lists = 100);
    let error = zone.run(zone.dns.put_record(&a)).unwrap_err();
    assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Unavailable, Some("81058")));
    assert_eq!(zone.left().len(), 1);
}

pub(crate) fn lists_that_shift_between_pages_are_read_again() {
    let filled = |shifts: usize| {
        let zone = Zone::new(Oddity::SmallPages);
        for last in 0..5 {
            let at = format!("n{last}.example.com");
            zone.run(zone.dns.put_record(&set(&at, [v4(1), v4(2)]))).unwrap();
        }
        zone.fake.with(|model| model.shifting_lists = shifts);
        zone
    };
    let zone = filled(1);
    let listed = zone.listed("example.com");
    let records: usize = listed.iter().map(|set| set.values().len()).sum();
    assert_eq!((records, zone.left().len()), (9, 9));
    let zone = filled(100);
    let under = sam_core::dns::ListRecords::new("example.com".parse().unwrap());
    let error = zone.run(zone.dns.list_records(&under)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

pub(crate) fn the_token_is_in_one_header_and_nowhere_else() {
    let (zone, wanted) = half();
    let mut told = vec![format!("{:?} {}", zone.dns, zone.dns)];
    let echo = |status| {
        let body = serde_json::json!({ "success": false, "messages": [TOKEN], "result": null,
            "errors": [{ "code": 9109, "message": format!("the token {TOKEN} may not"),
                "error_chain": [{ "code": 1, "message": TOKEN }] }] });
        json(status, &body)
    };
    for fault in [Fault::Refuse(echo(403)), Fault::Refuse(echo(200)), Fault::DoAndCut] {
        zone.fake.fail_next("POST", RECORDS, fault);
        let error = zone.run(zone.dns.put_record(&wanted)).unwrap_err();
        told.push(format!("{error} {error:?} {}", Report::new(&error)));
        zone.fake.fail_next("GET", RECORDS, Fault::Refuse(echo(400)));
        let error = zone.run(zone.dns.record(&key("a.example.com", RecordType::A))).unwrap_err();
        told.push(format!("{error} {error:?} {}", Report::new(&error)));
    }
    told.push(format!("{:?}", zone.run(zone.dns.check())));
    for text in &told {
        assert!(!text.contains(TOKEN), "{text}");
    }
    for exchange in zone.fake.exchanges() {
        let request = &exchange.request;
        assert!(!request.uri().to_string().contains(TOKEN));
        assert!(!String::from_utf8_lossy(request.body()).contains(TOKEN));
        let told = request
            .headers()
            .iter()
            .filter(|(_, value)| String::from_utf8_lossy(value.as_bytes()).contains(TOKEN));
        assert_eq!(told.count(), 1);
    }
}
