//! Keys: unknown ones, wrong ones, and what they may.

use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType as WireType};
use sam_core::dns::{DnsProvider as _, ListRecords, RecordType};
use sam_core::time::{Clock as _, ManualClock};
use sam_core::{Effect, Error, ErrorKind, Report};
use sam_providers::rfc2136::{Rfc2136, Rfc2136Config, TsigAlgorithm};
use sam_providers::system::SystemClock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Zone, block_on, key, name, of, open, sam, set, v4};
use crate::named::{LONGER_SECRET, Named, SECRET};

/// Every call fails in the same way.
fn refusals(dns: &Rfc2136, at: &str) -> Vec<Error> {
    let under = ListRecords::new(name("example.com"));
    block_on(async {
        vec![
            dns.put_record(&set(at, [v4(1)])).await.unwrap_err(),
            dns.record(&of(at, RecordType::A)).await.unwrap_err(),
            dns.list_records(&under).await.unwrap_err(),
            dns.delete_record(&of(at, RecordType::A)).await.unwrap_err(),
            dns.verify().await.unwrap_err(),
        ]
    })
}

fn expect(errors: &[Error], code: &str, hint: &str) {
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{error:?}");
        assert_eq!((error.provider_code(), error.effect()), (Some(code), Effect::NotApplied));
        assert!(error.hint().is_some_and(|said| said.contains(hint)), "{error:?}");
        assert!(error.operation().is_some());
    }
}

pub(crate) fn a_key_that_the_server_does_not_know_is_told_from_a_wrong_secret(named: &Named) {
    let zone = Zone::new(named);
    let at = zone.at("a");
    let unknown = open(named, "example.com", key("nobody", TsigAlgorithm::HmacSha256, SECRET));
    expect(&refusals(&unknown, &at), "BADKEY", "name and algorithm");
    let wrong = open(named, "example.com", key("sam", TsigAlgorithm::HmacSha256, LONGER_SECRET));
    expect(&refusals(&wrong, &at), "BADSIG", "secret");
    let other = open(named, "example.com", key("sam", TsigAlgorithm::HmacSha384, SECRET));
    expect(&refusals(&other, &at), "BADKEY", "algorithm");
    assert!(block_on(zone.listed()).is_empty());
    block_on(zone.dns.verify()).unwrap();
}

pub(crate) fn clocks_that_are_too_far_apart_are_named_as_such(named: &Named) {
    let zone = Zone::new(named);
    let at = zone.at("a");
    for (minutes, works) in [(-60_i64, false), (-2, true), (2, true), (60, false)] {
        let clock = ManualClock::new(SystemClock::new().now());
        clock.jump_wall(minutes * 60_000_000);
        let config = Rfc2136Config::new(named.address(), name("example.com"), sam());
        let dns = Rfc2136::new(&config, Arc::new(clock)).unwrap();
        if works {
            block_on(dns.put_record(&set(&at, [v4(1)]))).unwrap();
            block_on(dns.delete_record(&of(&at, RecordType::A))).unwrap();
        } else {
            expect(&refusals(&dns, &at), "BADTIME", "clocks");
        }
    }
    assert!(block_on(zone.listed()).is_empty());
}

pub(crate) fn a_key_without_rights_changes_nothing_and_lists_nothing(named: &Named) {
    let zone = Zone::new(named);
    let powerless = || key("powerless", TsigAlgorithm::HmacSha256, SECRET);
    let dns = open(named, "example.com", powerless());
    block_on(async {
        let put = dns.put_record(&set(&zone.at("a"), [v4(1)])).await.unwrap_err();
        let list = dns.list_records(&ListRecords::new(zone.under.clone())).await.unwrap_err();
        let verified = dns.verify().await.unwrap_err();
        for error in [put, list, verified] {
            assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Denied, Some("REFUSED")));
            assert_eq!(error.effect(), Effect::NotApplied);
            assert!(error.hint().is_some_and(|hint| hint.contains("update-policy")));
        }
        assert!(zone.listed().await.is_empty());
    });
    // A zone that takes no updates from anybody.
    let dns = open(named, "readonly.example", sam());
    let error = block_on(dns.put_record(&set("a.readonly.example", [v4(1)]))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert_eq!(block_on(dns.record(&of("a.readonly.example", RecordType::A))).unwrap(), None);
}

pub(crate) fn an_unsigned_update_is_refused_by_the_server(named: &Named) {
    let zone = Zone::new(named);
    let mut update = Message::new(7, MessageType::Query, OpCode::Update);
    update.add_query(Query::query(Name::from_ascii("example.com.").unwrap(), WireType::SOA));
    let at = Name::from_ascii(format!("{}.", zone.at("a"))).unwrap();
    update.add_authority(Record::from_rdata(at, 60, RData::A(A::new(192, 0, 2, 1))));
    let message = update.to_vec().unwrap();
    let answer = block_on(async {
        let mut stream = TcpStream::connect(named.address()).await.unwrap();
        stream.write_u16(message.len().try_into().unwrap()).await.unwrap();
        stream.write_all(&message).await.unwrap();
        let mut answer = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut answer).await.unwrap();
        assert!(zone.listed().await.is_empty());
        Message::from_vec(&answer).unwrap()
    });
    assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
}

pub(crate) fn the_secret_is_never_shown(named: &Named) {
    let wrong = key("sam", TsigAlgorithm::HmacSha256, LONGER_SECRET);
    let config = Rfc2136Config::new(named.address(), name("example.com"), wrong);
    let config = config.with_answers_within(Duration::from_secs(30));
    let dns = Rfc2136::new(&config, Arc::new(SystemClock::new())).unwrap();
    let mut told = vec![format!("{config:?} {dns:?} {dns}")];
    for error in refusals(&dns, "a.example.com") {
        told.push(format!("{error} {error:?} {}", Report::new(&error)));
    }
    for text in told {
        assert!(!text.contains("canary") && !text.contains("Y2FuYXJ5"), "{text}");
        // As a list of bytes.
        assert!(!text.contains("99, 97, 110"), "{text}");
    }
}
