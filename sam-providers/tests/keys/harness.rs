//! What the suites are run on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use sam_core::Secret;
use sam_core::entropy::{Entropy as _, SeededEntropy};
use sam_core::keys::{KeyId, KeyManager, Signer, Verifier};
use sam_core::testkit::conformance::keys::KeysHarness;
use sam_core::testkit::conformance::signer::SignerHarness;
use sam_core::testkit::conformance::{BoxFuture, Harness, Outcome, at_once};
use sam_providers::keys::{
    EnvironmentKeys, FileKeys, FileKeysConfig, JwkSet, KeyVariables, SigningAlgorithm, SigningKey,
};
use tempfile::TempDir;

use crate::pasted;

/// Nothing here waits: files are read and written in place.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a ring in a file waits for nobody")
}

/// Differs with each call, as the random bytes of replicas do.
pub(crate) fn entropy() -> Arc<SeededEntropy> {
    static SEED: AtomicU64 = AtomicU64::new(1);
    Arc::new(SeededEntropy::new(SEED.fetch_add(1 << 40, Ordering::Relaxed)))
}

/// A directory of a test's own.
pub(crate) fn place() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

pub(crate) fn open(place: &TempDir) -> FileKeys {
    now(FileKeys::open(config(place), entropy())).unwrap()
}

pub(crate) fn config(place: &TempDir) -> FileKeysConfig {
    FileKeysConfig::new(place.path().join("keys/ring.json"))
}

pub(crate) fn random_key() -> String {
    let mut key = [0; 32];
    entropy().fill(&mut key);
    STANDARD.encode(key)
}

#[derive(Debug)]
pub(crate) struct Files {
    keys: FileKeys,
    others: FileKeys,
    _places: [TempDir; 2],
}

impl Files {
    pub(crate) fn new() -> Self {
        let places = [place(), place()];
        Self { keys: open(&places[0]), others: open(&places[1]), _places: places }
    }
}

#[async_trait]
impl KeysHarness for Files {
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

impl Harness for Files {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        at_once(case)
    }
}

#[derive(Debug)]
pub(crate) struct Variables {
    keys: EnvironmentKeys,
    others: EnvironmentKeys,
}

impl Variables {
    pub(crate) fn new() -> Self {
        let keys = || {
            let mut variables = KeyVariables::default();
            variables.encryption_key = Some(Secret::new(random_key()));
            EnvironmentKeys::read(&variables, entropy()).unwrap()
        };
        Self { keys: keys(), others: keys() }
    }
}

#[async_trait]
impl KeysHarness for Variables {
    fn keys(&self) -> &dyn KeyManager {
        &self.keys
    }

    fn others(&self) -> &dyn KeyManager {
        &self.others
    }

    fn changes_keys(&self) -> bool {
        false
    }

    async fn add_key(&self) -> Outcome {
        Ok(())
    }

    async fn retire_key(&self, _: &KeyId) -> Outcome {
        Ok(())
    }
}

impl Harness for Variables {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        at_once(case)
    }
}

/// Keys that sign, out of a ring: the second came by a rotation, the third is another ring's.
#[derive(Debug)]
pub(crate) struct FileSigners {
    signers: [Arc<SigningKey>; 3],
    published: JwkSet,
    _places: [TempDir; 2],
}

impl FileSigners {
    /// The next key of a ring, made by the ring or taken in from a variable.
    fn new(next: impl Fn(&FileKeys, usize) -> Arc<SigningKey>) -> Self {
        let places = [place(), place()];
        let (ring, foreign) = (open(&places[0]), open(&places[1]));
        let signers = [next(&ring, 0), next(&ring, 1), next(&foreign, 2)];
        Self { signers, published: now(ring.jwks()).unwrap(), _places: places }
    }

    pub(crate) fn eddsa() -> Self {
        Self::new(|ring, _| now(ring.rotate_signer(SigningAlgorithm::EdDsa)).unwrap())
    }

    pub(crate) fn rs256() -> Self {
        Self::new(|ring, number| {
            let mut variables = KeyVariables::default();
            variables.jwt_private_key = Some(Secret::new(pasted::rsa(number).pkcs8_pem));
            now(ring.import(&EnvironmentKeys::read(&variables, entropy()).unwrap())).unwrap();
            now(ring.signer()).unwrap()
        })
    }
}

impl SignerHarness for FileSigners {
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

impl Harness for FileSigners {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        at_once(case)
    }
}

/// Keys that sign, out of variables.
#[derive(Debug)]
pub(crate) struct VariableSigners {
    keys: [EnvironmentKeys; 3],
    published: JwkSet,
}

impl VariableSigners {
    fn new(pem: impl Fn(usize) -> String) -> Self {
        let keys = [0, 1, 2].map(|number| {
            let mut variables = KeyVariables::default();
            variables.jwt_private_key = Some(Secret::new(pem(number)));
            EnvironmentKeys::read(&variables, entropy()).unwrap()
        });
        let published = keys[..2].iter().flat_map(|keys| keys.jwks().keys().to_vec());
        let published = JwkSet::new(published.collect::<Vec<_>>());
        Self { keys, published }
    }

    pub(crate) fn rs256() -> Self {
        Self::new(|number| pasted::rsa(number).pkcs1_pem)
    }

    pub(crate) fn eddsa() -> Self {
        Self::new(|number| pasted::ed25519(u8::try_from(number).unwrap() + 1).0)
    }

    fn at(&self, number: usize) -> &dyn Signer {
        self.keys[number].signer().unwrap()
    }
}

impl SignerHarness for VariableSigners {
    fn signer(&self) -> &dyn Signer {
        self.at(0)
    }

    fn other(&self) -> &dyn Signer {
        self.at(1)
    }

    fn stranger(&self) -> &dyn Signer {
        self.at(2)
    }

    fn verifier(&self) -> &dyn Verifier {
        &self.published
    }
}

impl Harness for VariableSigners {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        at_once(case)
    }
}
