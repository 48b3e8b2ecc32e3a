//! Headers, bounds and secrets; the vectors of the contracts are in `tests/contracts.rs`.

use proptest::prelude::*;
use sam_core::{Error, ErrorKind};

use super::*;

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn signed(by: &str, body: &[u8]) -> HeaderMap {
    let key = hmac::Key::new(hmac::HMAC_SHA256, by.as_bytes());
    let hex = crate::encode::hex(hmac::sign(&key, body).as_ref().iter().copied());
    let mut headers = HeaderMap::new();
    headers.insert(EVENT, "push".parse().unwrap());
    headers.insert(DELIVERY, "72D3162E-cc78-11e3-81ab-4c9367dc0958".parse().unwrap());
    headers.insert(SIGNATURE, format!("sha256={hex}").parse().unwrap());
    headers
}

#[test]
fn both_secrets_hold_while_one_is_being_changed_and_no_other_does() {
    let body = Bytes::from_static(b"{}");
    let both = WebhookSecrets::new(&secret("new")).unwrap().with_previous(&secret("old")).unwrap();
    let new = WebhookSecrets::new(&secret("new")).unwrap();
    assert_eq!(both.delivery(&signed("new", &body), &body).unwrap().body, body);
    both.delivery(&signed("old", &body), &body).unwrap();
    for (secrets, by) in [(&new, "old"), (&both, "other"), (&both, "")] {
        let refused = secrets.delivery(&signed(by, &body), &body).unwrap_err();
        assert_eq!(refused, WebhookError::WrongSignature);
    }
    let none = WebhookSecrets::none().delivery(&signed("", &body), &body).unwrap_err();
    assert_eq!((none, none.http_status()), (WebhookError::NoSecret, 503));
    assert_eq!(WebhookSecrets::new(&secret("")).unwrap_err(), WebhookError::NoSecret);
    new.with_previous(&secret("")).unwrap_err();
}

#[test]
fn each_header_is_there_once_and_well_formed() {
    let body = Bytes::from_static(b"{}");
    let secrets = WebhookSecrets::new(&secret("s")).unwrap();
    let good = signed("s", &body);
    let id = secrets.delivery(&good, &body).unwrap().id;
    assert_eq!(id.as_str(), "72d3162e-cc78-11e3-81ab-4c9367dc0958");
    for name in [EVENT, DELIVERY, SIGNATURE] {
        let mut missing = good.clone();
        missing.remove(name);
        let refused = secrets.delivery(&missing, &body).unwrap_err();
        let expected =
            if name == SIGNATURE { WebhookError::Unsigned } else { WebhookError::Header { name } };
        assert_eq!(refused, expected);
        let mut doubled = good.clone();
        doubled.append(name, good[name].clone());
        assert_eq!(secrets.delivery(&doubled, &body).unwrap_err(), WebhookError::Header { name });
    }
    for (name, value) in
        [(EVENT, ""), (EVENT, "Push"), (EVENT, "a b"), (DELIVERY, "a/b"), (DELIVERY, "")]
    {
        let mut bad = good.clone();
        bad.insert(name, value.parse().unwrap());
        assert_eq!(
            secrets.delivery(&bad, &body).unwrap_err(),
            WebhookError::Header { name },
            "{value:?}"
        );
    }
    let mut bad = good;
    bad.insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(secrets.delivery(&bad, &body).unwrap_err(), WebhookError::ContentType);
}

#[test]
fn the_bound_is_githubs() {
    let secrets = WebhookSecrets::new(&secret("s")).unwrap();
    let most = Bytes::from(vec![b' '; WEBHOOK_BYTES_MAX]);
    secrets.delivery(&signed("s", &most), &most).unwrap();
    let more = Bytes::from(vec![b' '; WEBHOOK_BYTES_MAX + 1]);
    let refused = secrets.delivery(&signed("s", &more), &more).unwrap_err();
    assert_eq!((refused, refused.http_status()), (WebhookError::TooLarge, 413));
}

#[test]
fn an_error_has_a_kind_and_says_what_to_do() {
    for (error, kind) in [
        (WebhookError::NoSecret, ErrorKind::Unavailable),
        (WebhookError::Unsigned, ErrorKind::Unauthenticated),
        (WebhookError::WrongSignature, ErrorKind::Unauthenticated),
        (WebhookError::Header { name: EVENT }, ErrorKind::BadInput),
    ] {
        let error = Error::from(error);
        assert_eq!(error.kind(), kind);
        assert!(error.hint().is_some(), "{error}");
    }
}

#[test]
fn nothing_of_a_delivery_but_its_size_is_shown() {
    let id = "a-1".parse().unwrap();
    let delivery = Delivery::new(id, "push", Bytes::from_static(b"canary"));
    let secrets = WebhookSecrets::new(&secret("canary")).unwrap();
    assert!(!format!("{delivery:?} {secrets:?}").contains("canary"));
}

proptest! {
    #[test]
    fn no_body_makes_the_reading_of_events_panic(
        name in prop::sample::select(vec!["push", "ping", "installation", "repository", "installation_repositories", "x"]),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _read = Event::read(name, &body);
    }

    #[test]
    fn a_push_survives_any_members(id in any::<u64>(), text in "[^\"\\\\\\p{C}]{0,40}", number in any::<i64>()) {
        let body = format!(
            r#"{{"ref":"refs/heads/{text}","before":"{text}","after":"{text}","new":{number},"sender":{number},
               "repository":{{"id":{id},"name":"{text}","full_name":"{text}","owner":{{"name":"{text}"}}}}}}"#
        );
        let Event::Push(push) = Event::read("push", body.as_bytes()).unwrap() else { panic!("a push") };
        prop_assert_eq!(push.branch(), Some(text.as_str()));
        prop_assert_eq!(push.repository.id.as_u64(), id);
        prop_assert_eq!(push.sender, None);
    }

    #[test]
    fn a_signature_of_any_bytes_holds_and_one_of_others_does_not(
        body in prop::collection::vec(any::<u8>(), 1..300), at in any::<prop::sample::Index>(), bit in 0..8_u8,
    ) {
        let secrets = WebhookSecrets::new(&secret("s")).unwrap();
        let mut changed = body.clone();
        changed[at.index(body.len())] ^= 1 << bit;
        let headers = signed("s", &body);
        prop_assert!(secrets.delivery(&headers, &Bytes::from(body)).is_ok());
        let refused = secrets.delivery(&headers, &Bytes::from(changed));
        prop_assert_eq!(refused.unwrap_err(), WebhookError::WrongSignature);
    }

    #[test]
    fn no_header_makes_the_check_panic(value in prop::collection::vec(32_u8..=255, 0..100)) {
        let secrets = WebhookSecrets::new(&secret("s")).unwrap();
        let body = Bytes::from_static(b"{}");
        let Ok(value) = http::HeaderValue::from_bytes(&value) else { return Ok(()) };
        for name in [EVENT, DELIVERY, SIGNATURE, "content-type"] {
            let mut headers = signed("s", &body);
            headers.insert(name, value.clone());
            let _either = secrets.delivery(&headers, &body);
        }
    }
}
