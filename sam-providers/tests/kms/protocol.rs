//! The protocol of KMS without a server.

use std::sync::Arc;

use futures_util::FutureExt as _;
use sam_core::http::ScriptedHttp;
use sam_core::time::{ManualClock, Timestamp};
use sam_core::{Effect, ErrorKind, Report, Secret};
use sam_providers::keys::RingProtection as _;
use sam_providers::kms::{AwsCredentials, KmsClient, KmsProtection, KmsSigner};
use serde_json::{Value, json};

fn client(script: &Arc<ScriptedHttp>) -> KmsClient {
    let credentials = AwsCredentials::new(
        "AKIDEXAMPLE".to_owned(),
        Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
    )
    .with_session_token(Secret::new("session-canary".to_owned()));
    let clock = ManualClock::new(Timestamp::from_micros(1_440_938_160_000_000));
    let transport = Arc::<ScriptedHttp>::clone(script);
    KmsClient::new(transport, Arc::new(clock), "us-east-1", credentials).unwrap()
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a script does not wait")
}

pub(crate) fn a_request_is_what_kms_reads() {
    let script = Arc::new(ScriptedHttp::new().answer(200, r#"{"Plaintext":"a2V5"}"#));
    let ring = KmsProtection::new(client(&script), "alias/ring");
    let opened = now(ring.open(&"ring/sealing/k-1".parse().unwrap(), b"wrapped")).unwrap();
    assert_eq!(opened.expose(), b"key");
    let asked = script.asked().remove(0);
    assert_eq!(asked.uri().to_string(), "https://kms.us-east-1.amazonaws.com/");
    let header = |name: &str| asked.headers()[name].to_str().unwrap();
    assert_eq!(header("x-amz-target"), "TrentService.Decrypt");
    assert_eq!(header("content-type"), "application/x-amz-json-1.1");
    assert_eq!(header("x-amz-date"), "20150830T123600Z");
    let signed = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target";
    assert!(header("authorization").contains(&format!("SignedHeaders={signed}, ")));
    // Calculated by botocore's SigV4Auth over the same request.
    assert!(header("authorization").ends_with(BOTOCORE), "{}", header("authorization"));
    let body: Value = serde_json::from_slice(asked.body()).unwrap();
    assert_eq!(
        body,
        json!({
            "KeyId": "alias/ring",
            "CiphertextBlob": "d3JhcHBlZA==",
            "EncryptionContext": { "sam:owner": "ring/sealing/k-1" },
        })
    );
    // What is secret is marked, so that no log shows it.
    assert!(asked.headers()["authorization"].is_sensitive());
    assert!(asked.headers()["x-amz-security-token"].is_sensitive());
}

const BOTOCORE: &str = "Signature=ab9229acac32f28ed0c2e8b944b8e11961ac4d0e5e26726516b8b3cf6e2b4d88";

pub(crate) fn every_refusal_says_what_it_means() {
    for (status, code, kind, effect) in [
        (400, "InvalidCiphertextException", ErrorKind::Corrupt, Effect::NotApplied),
        (400, "IncorrectKeyException", ErrorKind::Corrupt, Effect::NotApplied),
        (400, "NotFoundException", ErrorKind::NotFound, Effect::NotApplied),
        (400, "AccessDeniedException", ErrorKind::Denied, Effect::NotApplied),
        (400, "KMSInvalidStateException", ErrorKind::Conflict, Effect::NotApplied),
        (400, "DisabledException", ErrorKind::Conflict, Effect::NotApplied),
        (400, "InvalidKeyUsageException", ErrorKind::BadInput, Effect::NotApplied),
        (400, "UnsupportedOperationException", ErrorKind::BadInput, Effect::NotApplied),
        (400, "ThrottlingException", ErrorKind::RateLimited, Effect::NotApplied),
        (400, "UnrecognizedClientException", ErrorKind::Unauthenticated, Effect::NotApplied),
        (400, "InvalidSignatureException", ErrorKind::Unauthenticated, Effect::NotApplied),
        (400, "ExpiredTokenException", ErrorKind::Unauthenticated, Effect::NotApplied),
        (500, "KMSInternalException", ErrorKind::Unavailable, Effect::Unknown),
    ] {
        for name in [code.to_owned(), format!("com.amazonaws.kms#{code}")] {
            let body = json!({ "__type": name, "message": "message-canary" }).to_string();
            let script = Arc::new(ScriptedHttp::new().answer(status, body));
            let error = now(KmsSigner::open(client(&script), "key", None)).unwrap_err();
            assert_eq!((error.kind(), error.effect()), (kind, effect), "{code}");
            assert_eq!(error.provider_code(), Some(code));
            assert_eq!(error.operation(), Some("GetPublicKey"));
            assert!(error.hint().is_some());
            let shown = format!("{error:?} {}", Report::new(&error));
            assert!(!shown.contains("canary"), "{shown}");
        }
    }
    for (status, kind) in [
        (403, ErrorKind::Denied),
        (404, ErrorKind::NotFound),
        (429, ErrorKind::RateLimited),
        (503, ErrorKind::Unavailable),
        (302, ErrorKind::BadInput),
    ] {
        let script = Arc::new(ScriptedHttp::new().answer(status, "<html>not KMS</html>"));
        let error = now(KmsSigner::open(client(&script), "key", None)).unwrap_err();
        assert_eq!((error.kind(), error.provider_code()), (kind, None));
    }
}

pub(crate) fn a_base_url_is_a_server() {
    let script = Arc::new(ScriptedHttp::new());
    for good in ["http://127.0.0.1:5000", "https://kms.example/"] {
        client(&script).with_base_url(good).unwrap();
    }
    for bad in ["", "kms.example", "/kms", "https://kms.example/path", "https://a:b@kms.example"] {
        let error = client(&script).with_base_url(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput, "{bad}");
    }
}

pub(crate) fn an_answer_that_cannot_be_read_shows_nothing() {
    for body in [r#"{"Plaintext": 7, "canary": "c"}"#, "canary", r#"{"Plaintext":"%canary%"}"#] {
        let script = Arc::new(ScriptedHttp::new().answer(200, body));
        let ring = KmsProtection::new(client(&script), "key");
        let error = now(ring.open(&"ring/sealing/k".parse().unwrap(), b"w")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let shown = format!("{error:?} {}", Report::new(&error));
        assert!(!shown.contains("canary"), "{shown}");
    }
}
