//! What only a bucket goes through.

use std::net::TcpListener;
use std::time::Duration;

use bytes::Bytes;
use sam_core::blob::{BlobStore as _, ListBlobs, PutBlob, PutMode, SignUrl, UrlAccess};
use sam_core::testkit::conformance::blob::Stranger as _;
use sam_core::{Effect, ErrorKind, Report, Secret};
use sam_providers::blob::{AgentRelease, ObjectBlobs, S3Config, put_agent};

use crate::harness::bucket::{Visitor, config};
use crate::harness::{block_on, fresh_key};
use crate::moto::Moto;

const SECRET: &str = "canary-canary-canary-canary-canary-canary";

fn at(port: u16) -> S3Config {
    S3Config::new("sam-blobs", "eu-central-1", "AKIAIOSFODNN7EXAMPLE", Secret::new(SECRET.into()))
        .with_endpoint(format!("http://127.0.0.1:{port}"))
        .with_deadlines(Duration::from_secs(2), Duration::from_secs(1), Duration::from_secs(2))
}

/// Counts who connects, and answers each request with a 503.
fn busy() -> (u16, std::thread::JoinHandle<usize>) {
    use std::io::{Read as _, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let mut asked = 0;
        // Until one comes that says it is the last.
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut head = vec![0; 4_096];
            let read = connection.read(&mut head).unwrap();
            if head[..read].starts_with(b"end") {
                break;
            }
            asked += 1;
            let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\
                          connection: close\r\n\r\n";
            connection.write_all(answer.as_bytes()).unwrap();
        }
        asked
    });
    (port, served)
}

pub(crate) fn nothing_is_looked_for_and_nothing_is_sent_twice() {
    use std::io::Write as _;
    let (port, served) = busy();
    let blobs = ObjectBlobs::s3(at(port)).unwrap();
    block_on(async {
        let put = PutBlob::new("a".parse().unwrap(), "x".into()).unwrap();
        let error = blobs.put(put).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
        blobs.get(&"a".parse().unwrap()).await.unwrap_err();
        blobs.list(&ListBlobs::new(None)).await.unwrap_err();
        let error = blobs.delete(&"a".parse().unwrap()).await.unwrap_err();
        assert_eq!(error.effect(), Effect::Unknown);
        let shown = format!("{blobs:?} {blobs} {error:?} {}", Report::new(&error));
        assert!(!shown.contains("canary"), "{shown}");
    });
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap().write_all(b"end").unwrap();
    assert_eq!(served.join().unwrap(), 4, "requests for four calls");
}

pub(crate) fn a_configuration_that_cannot_work_is_refused() {
    let good = || at(1);
    let with = |change: fn(&mut S3Config)| {
        let mut config = good();
        change(&mut config);
        config
    };
    ObjectBlobs::s3(good()).unwrap();
    let r2 = S3Config::r2("0123456789abcdef", "sam", "id", Secret::new(SECRET.into()));
    assert_eq!(r2.region, "auto");
    let shown = ObjectBlobs::s3(r2).unwrap().to_string();
    assert_eq!(shown, "https://0123456789abcdef.r2.cloudflarestorage.com/sam");
    for bad in [
        with(|config| config.bucket = "A".into()),
        with(|config| config.bucket = "a/b".into()),
        with(|config| config.region = String::new()),
        with(|config| config.access_key_id = " ".into()),
        with(|config| config.secret_access_key = Secret::new(String::new())),
        with(|config| config.endpoint = Some("s3.example".into())),
        with(|config| config.endpoint = Some("https://user:word@s3.example".into())),
        with(|config| config.endpoint = Some("https://s3.example/path".into())),
    ] {
        let error = ObjectBlobs::s3(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
        assert!(!format!("{error:?}").contains("word"));
    }
}

pub(crate) fn a_server_that_does_not_answer_is_given_up() {
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let blobs = ObjectBlobs::s3(at(silent.local_addr().unwrap().port())).unwrap();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let nobody = ObjectBlobs::s3(at(closed)).unwrap();
    block_on(async {
        let put = || PutBlob::new("a".parse().unwrap(), "x".into()).unwrap();
        let error = blobs.put(put()).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
        // Nothing was sent, so nothing can have happened.
        let error = nobody.put(put()).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    });
}

pub(crate) fn a_wrong_key_is_refused_and_not_shown() {
    let moto = Moto::known();
    // An answer repeats what was signed, so the token comes back.
    let token = Secret::new("token-canary".to_owned());
    let mut wrong_secret = config().with_session_token(token);
    wrong_secret.secret_access_key = Secret::new(SECRET.into());
    let mut wrong_id = config();
    wrong_id.access_key_id = "AKIAIOSFODNN7EXAMPLE".into();
    block_on(async {
        for (config, code) in
            [(wrong_secret, "SignatureDoesNotMatch"), (wrong_id, "InvalidAccessKeyId")]
        {
            let blobs = ObjectBlobs::s3(config).unwrap();
            let key = fresh_key();
            let put = PutBlob::new(key.clone(), "x".into()).unwrap();
            let refused = [
                blobs.put(put.clone()).await.map(drop),
                blobs.put(put.with_mode(PutMode::CreateOnly)).await.map(drop),
                blobs.get(&key).await.map(drop),
                blobs.list(&ListBlobs::new(None)).await.map(drop),
                blobs.delete(&key).await,
            ];
            for error in refused.map(Result::unwrap_err) {
                let expected = [ErrorKind::Denied, ErrorKind::Unauthenticated];
                assert!(expected.contains(&error.kind()), "{error:?}");
                assert_eq!(error.provider_code(), Some(code), "{error:?}");
                assert_eq!(error.effect(), Effect::NotApplied);
                let shown = format!("{error:?} {}", Report::new(&error));
                assert!(!shown.contains("canary"), "{shown}");
                assert!(!shown.contains(&moto.text("secret_access_key")), "{shown}");
            }
        }
        // With the right one nothing of it is there.
        assert!(ObjectBlobs::s3(config()).unwrap().get(&fresh_key()).await.unwrap().is_none());
    });
}

pub(crate) fn a_missing_bucket_is_no_missing_blob() {
    let mut missing = config();
    missing.bucket = "no-such-bucket".into();
    let blobs = ObjectBlobs::s3(missing).unwrap();
    block_on(async {
        let key = fresh_key();
        let error = blobs.get(&key).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        assert_eq!(error.provider_code(), Some("NoSuchBucket"));
        for under in [None, Some(key.clone())] {
            let error = blobs.list(&ListBlobs::new(under)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        }
        assert!(blobs.delete(&key).await.is_err());
    });
}

pub(crate) fn another_prefix_is_another_place() {
    let open =
        |prefix: &str| ObjectBlobs::s3(config().with_prefix(prefix.parse().unwrap())).unwrap();
    let (one, other) = (open("prefix/a"), open("prefix/ab"));
    block_on(async {
        let put = |text: &'static str| PutBlob::new("key".parse().unwrap(), text.into()).unwrap();
        one.put(put("one")).await.unwrap();
        other.put(put("other")).await.unwrap();
        let keys = one.list(&ListBlobs::new(None)).await.unwrap().items;
        assert_eq!(keys.len(), 1, "{keys:?}");
        one.delete(&"key".parse().unwrap()).await.unwrap();
        let left = other.get(&"key".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(left.collect(99).await.unwrap(), "other");
        other.delete(&"key".parse().unwrap()).await.unwrap();
    });
}

pub(crate) fn an_altered_url_gives_nothing() {
    let blobs = ObjectBlobs::s3(config()).unwrap();
    let visitor = Visitor::new();
    block_on(async {
        let key = fresh_key();
        blobs.put(PutBlob::new(key.clone(), "x".into()).unwrap()).await.unwrap();
        let signer = blobs.url_signer().unwrap();
        let mut asked = SignUrl::new(key.clone(), UrlAccess::Read, Duration::from_mins(1));
        let url = signer.sign_url(&asked).await.unwrap();
        assert!(visitor.read(&url).await.is_some());
        let altered = |from: &str, to: &str| Secret::new(url.expose().replace(from, to));
        for bad in [
            altered("X-Amz-Expires=60", "X-Amz-Expires=3600"),
            altered("X-Amz-Signature=", "X-Amz-Signature=0"),
            altered("eu-central-1", "eu-central-2"),
        ] {
            assert_ne!(bad.expose(), url.expose());
            assert!(visitor.read(&bad).await.is_none());
        }
        // A bound that was written into the request by hand is kept all the same.
        asked.lifetime = SignUrl::LIFETIME_MAX * 24;
        let url = signer.sign_url(&asked).await.unwrap();
        assert!(url.expose().contains("X-Amz-Expires=3600&"), "a longer life than the longest");
        asked.lifetime = Duration::ZERO;
        assert_eq!(signer.sign_url(&asked).await.unwrap_err().kind(), ErrorKind::BadInput);
        blobs.delete(&key).await.unwrap();
    });
}

pub(crate) fn an_agent_is_fetched_by_a_url() {
    let blobs = ObjectBlobs::s3(config()).unwrap();
    block_on(async {
        let release = AgentRelease::new("0.1.0", "linux", "aarch64").unwrap();
        let program = Bytes::from(vec![0x7f; 300_000]);
        put_agent(&blobs, &release, program.clone()).await.unwrap();
        let asked = SignUrl::new(release.key().clone(), UrlAccess::Read, Duration::from_mins(1));
        let url = blobs.url_signer().unwrap().sign_url(&asked).await.unwrap();
        assert_eq!(Visitor::new().read(&url).await, Some(program));
        blobs.delete(release.key()).await.unwrap();
        blobs.delete(release.sum_key()).await.unwrap();
    });
}
