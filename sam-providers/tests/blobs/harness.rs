//! What the suite is run on.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use sam_core::blob::{BlobKey, BlobStore, ListBlobs};
use sam_core::testkit::conformance::blob::{BlobHarness, Stranger};
use sam_core::testkit::conformance::{BoxFuture, Harness, Outcome};
use sam_providers::blob::ObjectBlobs;
use tempfile::TempDir;

pub(crate) fn place() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Runs a future on two threads, under a deadline.
pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the deadline of a test")]
    let within = async { tokio::time::timeout(std::time::Duration::from_mins(5), test).await };
    runtime.block_on(within).expect("the test took longer than its deadline")
}

/// A key that nobody else uses.
pub(crate) fn fresh_key() -> BlobKey {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("case-{number}/x").parse().unwrap()
}

#[derive(Debug)]
pub(crate) struct Local {
    blobs: ObjectBlobs,
    _place: TempDir,
}

impl Local {
    pub(crate) fn directory() -> Self {
        let place = place();
        Self { blobs: ObjectBlobs::directory(&place.path().join("blobs")).unwrap(), _place: place }
    }

    pub(crate) fn memory() -> Self {
        Self { blobs: ObjectBlobs::memory(), _place: place() }
    }
}

#[async_trait]
impl BlobHarness for Local {
    fn blobs(&self) -> &dyn BlobStore {
        &self.blobs
    }

    fn under(&self) -> BlobKey {
        fresh_key()
    }

    fn blobs_per_page(&self) -> Option<usize> {
        Some(ListBlobs::LIMIT_MAX)
    }

    fn stranger(&self) -> Option<&dyn Stranger> {
        None
    }
}

impl Harness for Local {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        block_on(case)
    }
}

#[cfg(all(feature = "s3", feature = "http"))]
pub(crate) mod bucket {
    //! A bucket of moto, and somebody who has nothing but a URL.

    use std::sync::Mutex;
    use std::time::Duration;

    use bytes::Bytes;
    use http::{Method, Request};
    use sam_core::Secret;
    use sam_core::http::HttpTransport as _;
    use sam_providers::blob::S3Config;
    use sam_providers::http::{Http, HttpConfig};

    use super::*;
    use crate::moto::Moto;

    pub(crate) fn config() -> S3Config {
        let moto = Moto::known();
        let bucket = moto.texts("buckets").remove(0);
        let secret = Secret::new(moto.text("secret_access_key"));
        S3Config::new(bucket, moto.text("region"), moto.text("access_key_id"), secret)
            .with_endpoint(moto.text("endpoint"))
    }

    #[derive(Debug)]
    pub(crate) struct Bucket {
        blobs: ObjectBlobs,
        visitor: Visitor,
    }

    impl Bucket {
        fn new(config: S3Config) -> Self {
            Self { blobs: ObjectBlobs::s3(config).unwrap(), visitor: Visitor::new() }
        }

        pub(crate) fn plain() -> Self {
            Self::new(config())
        }

        /// In a bucket whose name has a dot, below a key.
        pub(crate) fn prefixed() -> Self {
            let mut config = config().with_prefix("sam/blobs".parse().unwrap());
            config.bucket = Moto::known().texts("buckets").remove(1);
            Self::new(config)
        }
    }

    #[async_trait]
    impl BlobHarness for Bucket {
        fn blobs(&self) -> &dyn BlobStore {
            &self.blobs
        }

        fn under(&self) -> BlobKey {
            fresh_key()
        }

        fn blobs_per_page(&self) -> Option<usize> {
            Some(ListBlobs::LIMIT_MAX)
        }

        fn stranger(&self) -> Option<&dyn Stranger> {
            Some(&self.visitor)
        }
    }

    impl Harness for Bucket {
        fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
            block_on(case)
        }
    }

    /// Asks with real requests. How much later it is at the store, it says with each of them.
    #[derive(Debug)]
    pub(crate) struct Visitor {
        http: Http,
        later: Mutex<Duration>,
    }

    impl Visitor {
        pub(crate) fn new() -> Self {
            let http = Http::new(&HttpConfig::default()).unwrap();
            Self { http, later: Mutex::default() }
        }

        async fn ask(&self, method: Method, url: &str, body: Bytes) -> Option<Bytes> {
            let later = self.later.lock().unwrap().as_secs();
            let request = Request::builder().method(method).uri(url).header("x-test-later", later);
            let answer = self.http.send(request.body(body).unwrap()).await.unwrap();
            answer.status().is_success().then(|| answer.into_body())
        }
    }

    #[async_trait]
    impl Stranger for Visitor {
        async fn read(&self, url: &Secret<String>) -> Option<Bytes> {
            self.ask(Method::GET, url.expose(), Bytes::new()).await
        }

        async fn write(&self, url: &Secret<String>, content: Bytes) -> bool {
            self.ask(Method::PUT, url.expose(), content).await.is_some()
        }

        fn bend(&self, url: &Secret<String>, key: &BlobKey) -> Secret<String> {
            let (path, query) = url.expose().split_once('?').unwrap();
            // The last segment is what the keys of a case differ in.
            let (above, _) = path.rsplit_once('/').unwrap();
            let last = key.as_str().rsplit('/').next().unwrap();
            Secret::new(format!("{above}/{last}?{query}"))
        }

        async fn wait(&self, span: Duration) {
            *self.later.lock().unwrap() += span;
        }
    }
}
