//! What the suites are run on.

use std::sync::Arc;

use async_trait::async_trait;
use sam_core::Secret;
use sam_core::http::HttpTransport;
use sam_core::keys::{KeyId, KeyManager, Signer, Verifier};
use sam_core::testkit::conformance::keys::KeysHarness;
use sam_core::testkit::conformance::signer::SignerHarness;
use sam_core::testkit::conformance::{BoxFuture, Harness, Outcome};
use sam_providers::http::{Http, HttpConfig};
use sam_providers::keys::{FileKeys, FileKeysConfig, JwkSet};
use sam_providers::kms::{AwsCredentials, KmsClient, KmsProtection, KmsSigner};
use sam_providers::system::{OsEntropy, SystemClock};
use tempfile::TempDir;

use crate::moto::Moto;

/// Runs a future on two threads, under a deadline.
pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the deadline of a test")]
    let within = async { tokio::time::timeout(std::time::Duration::from_mins(2), test).await };
    runtime.block_on(within).expect("the test took longer than its deadline")
}

pub(crate) fn place() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

pub(crate) fn http() -> Arc<dyn HttpTransport> {
    Arc::new(Http::new(&HttpConfig::default()).unwrap())
}

pub(crate) fn credentials() -> AwsCredentials {
    let moto = Moto::known();
    AwsCredentials::new(moto.text("access_key_id"), Secret::new(moto.text("secret_access_key")))
}

pub(crate) fn client(transport: Arc<dyn HttpTransport>, credentials: AwsCredentials) -> KmsClient {
    let moto = Moto::known();
    KmsClient::new(transport, Arc::new(SystemClock::new()), &moto.text("region"), credentials)
        .unwrap()
        .with_base_url(&moto.text("endpoint"))
        .unwrap()
}

/// A ring whose keys the numbered key of KMS wraps.
pub(crate) fn config(place: &TempDir, key: usize) -> FileKeysConfig {
    wrapped_by(place, client(http(), credentials()), key)
}

pub(crate) fn wrapped_by(place: &TempDir, client: KmsClient, key: usize) -> FileKeysConfig {
    let key = Moto::known().texts("wrapping").remove(key);
    FileKeysConfig::new(place.path().join("keys/ring.json"))
        .with_protection(Arc::new(KmsProtection::new(client, key)))
}

pub(crate) async fn open(config: FileKeysConfig) -> sam_core::Result<FileKeys> {
    FileKeys::open(config, Arc::new(OsEntropy::new())).await
}

#[derive(Debug)]
pub(crate) struct Rings {
    keys: FileKeys,
    others: FileKeys,
    _places: [TempDir; 2],
}

impl Rings {
    pub(crate) fn new() -> Self {
        let places = [place(), place()];
        let open = |place| block_on(open(config(place, 0))).unwrap();
        Self { keys: open(&places[0]), others: open(&places[1]), _places: places }
    }
}

#[async_trait]
impl KeysHarness for Rings {
    fn keys(&self) -> &dyn KeyManager {
        &self.keys
    }

    fn others(&self) -> &dyn KeyManager {
        &self.others
    }

    fn changes_keys(&self) -> bool {
        true
    }

    async fn add_key(&self) -> Outcome {
        self.keys.rotate().await?;
        Ok(())
    }

    async fn retire_key(&self, id: &KeyId) -> Outcome {
        Ok(self.keys.retire(id).await?)
    }
}

impl Harness for Rings {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        block_on(case)
    }
}

#[derive(Debug)]
pub(crate) struct Signers {
    signers: Vec<KmsSigner>,
    published: JwkSet,
}

impl Signers {
    pub(crate) fn new() -> Self {
        let open = |key: String| {
            let client = client(http(), credentials());
            block_on(KmsSigner::open(client, &key, None)).unwrap()
        };
        let signers: Vec<_> = Moto::known().texts("signing").into_iter().map(open).collect();
        let known = signers[..2].iter().map(|signer| signer.public_key().clone());
        let published = JwkSet::new(known);
        Self { signers, published }
    }
}

impl SignerHarness for Signers {
    fn signer(&self) -> &dyn Signer {
        &self.signers[0]
    }

    fn other(&self) -> &dyn Signer {
        &self.signers[1]
    }

    fn stranger(&self) -> &dyn Signer {
        &self.signers[2]
    }

    fn verifier(&self) -> &dyn Verifier {
        &self.published
    }
}

impl Harness for Signers {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        block_on(case)
    }
}
