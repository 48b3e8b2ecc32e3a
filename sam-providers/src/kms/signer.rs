//! A signer whose private key never leaves KMS.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sam_core::keys::{KeyId, Signer};
use sam_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::client::KmsClient;
use crate::keys::Jwk;

const ALGORITHM: &str = "RSASSA_PKCS1_V1_5_SHA_256";

/// Signs RS256 with an RSA key of KMS. Only the hash of a message is sent, so messages of any length
/// are signed and nothing of a token's claims goes over the wire.
#[derive(Debug)]
pub struct KmsSigner {
    client: KmsClient,
    key: String,
    public: Jwk,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct KeyRequest<'a> {
    key_id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PublicKeyAnswer {
    key_id: String,
    public_key: String,
    signing_algorithms: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SignRequest<'a> {
    key_id: &'a str,
    message: String,
    message_type: &'a str,
    signing_algorithm: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SignAnswer {
    signature: String,
}

impl KmsSigner {
    /// Asks for the public half of a key, by its id, ARN or alias, and keeps to the very key that an
    /// alias means now. Without a name it is called by its thumbprint (RFC 7638).
    ///
    /// # Errors
    /// `NotFound`, `Denied`, `Unavailable`, …; `BadInput` when the key does not sign RS256.
    pub async fn open(client: KmsClient, key: &str, name: Option<KeyId>) -> Result<Self> {
        let answer: PublicKeyAnswer =
            client.call("GetPublicKey", &KeyRequest { key_id: key }).await?;
        if !answer.signing_algorithms.iter().flatten().any(|known| known == ALGORITHM) {
            return Err(Error::new(ErrorKind::BadInput, "the key of KMS does not sign RS256")
                .with_operation("GetPublicKey")
                .with_hint("make one of the usage SIGN_VERIFY and the spec RSA_2048"));
        }
        let public = Jwk::read(&answer.public_key, name)?;
        Ok(Self { client, key: answer.key_id, public })
    }

    /// Returns the public half, to be published.
    pub const fn public_key(&self) -> &Jwk {
        &self.public
    }
}

#[async_trait]
impl Signer for KmsSigner {
    fn key_id(&self) -> &str {
        self.public.key_id()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let request = SignRequest {
            key_id: &self.key,
            message: STANDARD.encode(Sha256::digest(message)),
            message_type: "DIGEST",
            signing_algorithm: ALGORITHM,
        };
        let answer: SignAnswer = self.client.call("Sign", &request).await?;
        STANDARD.decode(&answer.signature).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "KMS gave a signature that is not base64")
                .with_operation("Sign")
                .with_source(error)
        })
    }
}
