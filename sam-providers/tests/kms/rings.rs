//! A ring that KMS wraps, over moto.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use sam_core::http::HttpTransport;
use sam_core::keys::{KeyManager as _, SecretOwner, Signer as _};
use sam_core::{Error, ErrorKind, Result, Secret};
use sam_providers::keys::FileKeysConfig;
use sam_providers::kms::{AwsCredentials, KmsSigner};
use serde_json::Value;

use crate::harness::{block_on, client, config, credentials, http, open, place, wrapped_by};
use crate::moto::Moto;

fn owner() -> SecretOwner {
    "credential/cr-1".parse().unwrap()
}

fn secret() -> Secret<Vec<u8>> {
    Secret::new(b"canary".to_vec())
}

pub(crate) fn the_file_alone_opens_nothing() {
    let place = place();
    block_on(async {
        let keys = open(config(&place, 0)).await.unwrap();
        let sealed = keys.wrap(&secret(), &owner()).await.unwrap();
        let signer = keys.signer().await.unwrap();
        let plain = open(FileKeysConfig::new(keys.path())).await.unwrap_err();
        assert_eq!(plain.kind(), ErrorKind::BadInput);
        assert!(plain.public_message().contains("aws-kms"), "{plain:?}");
        let again = open(config(&place, 0)).await.unwrap();
        assert_eq!(again.unwrap(&sealed, &owner()).await.unwrap().expose(), b"canary");
        assert_eq!(again.signer().await.unwrap().key_id(), signer.key_id());
    });
}

pub(crate) fn a_key_wrapped_for_one_place_opens_in_no_other() {
    let place = place();
    block_on(async {
        let keys = open(config(&place, 0)).await.unwrap();
        keys.rotate().await.unwrap();
        let mut file: Value = serde_json::from_slice(&fs::read(keys.path()).unwrap()).unwrap();
        let (one, two) = (file["sealing"][0]["key"].clone(), file["sealing"][1]["key"].clone());
        file["sealing"][0]["key"] = two;
        file["sealing"][1]["key"] = one;
        fs::write(keys.path(), file.to_string()).unwrap();
        let error = open(config(&place, 0)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        assert_eq!(error.provider_code(), Some("InvalidCiphertextException"));
    });
}

/// A way to KMS that can be cut.
#[derive(Debug)]
struct Way {
    there: Arc<dyn HttpTransport>,
    cut: AtomicBool,
}

#[async_trait]
impl HttpTransport for Way {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
        if self.cut.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "the way is cut"));
        }
        self.there.send(request).await
    }
}

pub(crate) fn a_ring_that_is_open_goes_on_without_kms() {
    let place = place();
    let way = Arc::new(Way { there: http(), cut: AtomicBool::new(false) });
    block_on(async {
        let transport: Arc<dyn HttpTransport> = Arc::<Way>::clone(&way);
        let config = wrapped_by(&place, client(transport, credentials()), 0);
        let keys = open(config.clone()).await.unwrap();
        let sealed = keys.wrap(&secret(), &owner()).await.unwrap();
        way.cut.store(true, Ordering::Relaxed);
        assert_eq!(keys.unwrap(&sealed, &owner()).await.unwrap().expose(), b"canary");
        keys.wrap(&secret(), &owner()).await.unwrap();
        keys.signer().await.unwrap().sign(b"m").await.unwrap();
        let before = fs::read(keys.path()).unwrap();
        assert_eq!(keys.rotate().await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(fs::read(keys.path()).unwrap(), before);
        assert_eq!(open(config).await.unwrap_err().kind(), ErrorKind::Unavailable);
        way.cut.store(false, Ordering::Relaxed);
        keys.rotate().await.unwrap();
    });
}

pub(crate) fn a_wrong_secret_is_refused_and_not_shown() {
    let moto = Moto::known();
    let wrong = "wrong-secret-wrong-secret-wrong-secret-w".to_owned();
    block_on(async {
        for (id, secret) in [
            (moto.text("access_key_id"), wrong.clone()),
            ("AKIAIOSFODNN7EXAMPLE".to_owned(), moto.text("secret_access_key")),
        ] {
            let credentials = AwsCredentials::new(id, Secret::new(secret.clone()));
            let client = client(http(), credentials);
            let key = moto.texts("signing").remove(0);
            let error = KmsSigner::open(client.clone(), &key, None).await.unwrap_err();
            let expected = [ErrorKind::Unauthenticated, ErrorKind::Denied];
            assert!(expected.contains(&error.kind()), "{error:?}");
            assert!(!format!("{error:?} {client:?}").contains(&secret));
        }
    });
}

pub(crate) fn a_key_of_another_usage_is_no_signer() {
    let client = client(http(), credentials());
    let key = Moto::known().texts("wrapping").remove(0);
    let error = block_on(KmsSigner::open(client.clone(), &key, None)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadInput, "{error:?}");
    let absent = "00000000-0000-0000-0000-000000000000";
    let error = block_on(KmsSigner::open(client, absent, None)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
}
