//! Headers and bodies of any bytes: refused or read, never a panic, and nothing passes unsigned.

#![no_main]

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use sam_core::Secret;
use sam_github::{Event, WebhookSecrets};

const NAMES: [&str; 4] =
    ["x-github-event", "x-github-delivery", "x-hub-signature-256", "content-type"];
const EVENTS: [&str; 6] =
    ["push", "ping", "installation", "installation_repositories", "repository", "other"];

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(5, |byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    for name in NAMES {
        if let Ok(value) = HeaderValue::from_bytes(parts.next().unwrap_or_default()) {
            headers.append(name, value);
        }
    }
    let body = Bytes::copy_from_slice(parts.next().unwrap_or_default());
    let secrets = WebhookSecrets::new(&Secret::new("unguessable".to_owned())).unwrap();
    assert!(secrets.delivery(&headers, &body).is_err());
    for name in EVENTS {
        let _either = Event::read(name, &body);
    }
});
