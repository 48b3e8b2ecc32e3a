//! What is right and what is not with a token and a zone.

use sam_core::ErrorKind;
use sam_core::dns::DnsProvider as _;
use sam_providers::cloudflare::{CloudflareId, Finding, Health, TokenStatus};
use sam_providers::testkit::CloudflareModel;

use crate::harness::{Oddity, ZONE_ID, Zone, config, set, v4};

fn health(findings: &[Finding]) -> Vec<(&'static str, Health)> {
    findings.iter().map(|finding| (finding.check, finding.health)).collect()
}

pub(crate) fn a_healthy_zone_has_nothing_bad() {
    let zone = Zone::new(Oddity::None);
    let findings = zone.run(zone.dns.check());
    let expected = [
        ("token", Health::Good),
        ("zone", Health::Good),
        ("read", Health::Good),
        // There is no way to try it without changing something.
        ("edit", Health::Look),
    ];
    assert_eq!(health(&findings), expected);
    let changed = zone.fake.exchanges().iter().any(|e| e.request.method() != http::Method::GET);
    assert!(!changed, "a check changes nothing");
}

pub(crate) fn what_is_wrong_is_said_with_what_to_do() {
    let zone = Zone::new(Oddity::None);
    let finding = |change: fn(&mut CloudflareModel), check: &str| {
        zone.fake.with(change);
        let findings = zone.run(zone.dns.check());
        let found = findings.into_iter().find(|finding| finding.check == check).unwrap();
        assert_eq!(found.health, Health::Bad, "{found:?}");
        assert!(found.hint.is_some(), "{found:?}");
        format!("{} {}", found.message, found.hint.unwrap_or_default())
    };
    let told = finding(|model| model.set_status(ZONE_ID, "pending"), "zone");
    assert!(told.contains("pending") && told.contains("ada.ns.example.net"), "{told}");
    let told = finding(|model| model.can_read = false, "read");
    assert!(told.contains("DNS / Edit"), "{told}");
    let told = finding(|model| model.token_status = "expired", "token");
    assert!(told.contains("expired") && told.contains("CF_API_TOKEN"), "{told}");
    let told = finding(|model| model.token_status = "disabled", "token");
    assert!(told.contains("switched off"), "{told}");
    let told = finding(|model| "another".clone_into(&mut model.token), "token");
    assert!(told.contains("CF_API_TOKEN"), "{told}");
    // Without the right to change anything, putting says so and nothing is there.
    let zone = Zone::new(Oddity::None);
    zone.fake.with(|model| model.can_edit = false);
    let error = zone.run(zone.dns.put_record(&set("a.example.com", [v4(1)]))).unwrap_err();
    assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Denied, Some("9109")));
    assert!(error.hint().is_some_and(|hint| hint.contains("DNS / Edit")));
}

pub(crate) fn a_token_of_an_account_is_verified_there() {
    let account: CloudflareId = CloudflareModel::ACCOUNT.parse().unwrap();
    let known = Zone::of(config().with_account(account));
    let unknown = Zone::new(Oddity::None);
    for zone in [&known, &unknown] {
        zone.fake.with(|model| model.token_is_of_account = true);
    }
    let token = known.run(known.dns.verify_token()).unwrap();
    assert_eq!((token.status, token.expires_at), (TokenStatus::Active, None));
    let error = unknown.run(unknown.dns.verify_token()).unwrap_err();
    assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Unauthenticated, Some("1000")));
    assert!(error.hint().is_some_and(|hint| hint.contains("account")));
    // The check knows the account from the zone.
    let findings = unknown.run(unknown.dns.check());
    assert_eq!(health(&findings)[0], ("token", Health::Good));
}

pub(crate) fn zones_are_listed_over_pages() {
    let zone = Zone::new(Oddity::None);
    zone.fake.with(|model| {
        let mut more = CloudflareModel::new(&model.token);
        for number in 0..120 {
            more = more.with_zone(&format!("{number:032x}"), &format!("z{number}.example"));
        }
        *model = more;
    });
    let zones = zone.run(zone.dns.zones()).unwrap();
    assert_eq!((zones.len(), zones[119].name.as_str()), (120, "z119.example"));
    assert_eq!(zones[0].account.as_ref().map(CloudflareId::as_str), Some(CloudflareModel::ACCOUNT));
    assert_eq!(zone.fake.count("GET", "/client/v4/zones"), 3);
}
