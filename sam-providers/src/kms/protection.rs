//! A ring's keys, wrapped by a key that never leaves KMS.

use std::collections::BTreeMap;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sam_core::keys::SecretOwner;
use sam_core::{Error, ErrorKind, Result, Secret};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::client::KmsClient;
use crate::keys::RingProtection;

/// The name of the one entry of the encryption context; its value is the owner.
const CONTEXT: &str = "sam:owner";

/// Wraps the keys of a ring's file with a symmetric key of KMS. The owner is the encryption context,
/// so what wraps one key opens no other, and KMS's log says which key of a ring was opened.
#[derive(Debug, Clone)]
pub struct KmsProtection {
    client: KmsClient,
    key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EncryptRequest<'a> {
    key_id: &'a str,
    plaintext: &'a str,
    encryption_context: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DecryptRequest<'a> {
    key_id: &'a str,
    ciphertext_blob: String,
    encryption_context: BTreeMap<&'a str, &'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EncryptAnswer {
    ciphertext_blob: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DecryptAnswer {
    plaintext: String,
}

impl KmsProtection {
    /// Wraps with the key of KMS that this id, ARN or alias names.
    pub fn new(client: KmsClient, key: impl Into<String>) -> Self {
        Self { client, key: key.into() }
    }
}

fn unreadable(operation: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, "KMS gave bytes that are not base64").with_operation(operation)
}

#[async_trait]
impl RingProtection for KmsProtection {
    fn name(&self) -> &'static str {
        "aws-kms"
    }

    async fn protect(&self, owner: &SecretOwner, key: &Secret<Vec<u8>>) -> Result<Vec<u8>> {
        let plaintext = Zeroizing::new(STANDARD.encode(key.expose()));
        let request = EncryptRequest {
            key_id: &self.key,
            plaintext: &plaintext,
            encryption_context: BTreeMap::from([(CONTEXT, owner.as_str())]),
        };
        let answer: EncryptAnswer = self.client.call("Encrypt", &request).await?;
        STANDARD.decode(&answer.ciphertext_blob).map_err(|_| unreadable("Encrypt"))
    }

    async fn open(&self, owner: &SecretOwner, wrapped: &[u8]) -> Result<Secret<Vec<u8>>> {
        let request = DecryptRequest {
            key_id: &self.key,
            ciphertext_blob: STANDARD.encode(wrapped),
            encryption_context: BTreeMap::from([(CONTEXT, owner.as_str())]),
        };
        let answer: DecryptAnswer = self.client.call("Decrypt", &request).await?;
        let plaintext = Zeroizing::new(answer.plaintext);
        STANDARD.decode(&*plaintext).map(Secret::new).map_err(|_| unreadable("Decrypt"))
    }

    fn key_bytes_max(&self) -> usize {
        // What `Encrypt` takes: an RSA key of 4096 bits fits, one of 8192 does not.
        4_096
    }
}
