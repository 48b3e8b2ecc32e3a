//! Keys from variables, as the reference documents of SAM name them. The host reads its environment
//! and hands the texts in; nothing here does.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use sam_core::entropy::Entropy;
use sam_core::keys::{KeyId, KeyManager, MemoryKeys, Sealed, SecretOwner};
use sam_core::{Error, ErrorKind, Result, Secret};

use super::jwk::{Jwk, JwkSet, Public};
use super::sealing;
use super::signing::SigningKey;

/// What the variables hold; what is not set is `None`.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct KeyVariables {
    /// [`KeyVariables::ENCRYPTION_KEY`].
    pub encryption_key: Option<Secret<String>>,
    /// [`KeyVariables::ENCRYPTION_KEY_PREVIOUS`].
    pub encryption_key_previous: Option<Secret<String>>,
    /// [`KeyVariables::JWT_PRIVATE_KEY`].
    pub jwt_private_key: Option<Secret<String>>,
    /// [`KeyVariables::JWT_PUBLIC_KEY`].
    pub jwt_public_key: Option<String>,
    /// [`KeyVariables::JWT_KEY_ID`].
    pub jwt_key_id: Option<String>,
}

impl KeyVariables {
    /// The key that seals: 32 random bytes in base64.
    pub const ENCRYPTION_KEY: &str = "ENCRYPTION_KEY";
    /// Keys that still open, oldest first, with commas between them.
    pub const ENCRYPTION_KEY_PREVIOUS: &str = "ENCRYPTION_KEY_PREVIOUS";
    /// The private key that signs: PEM, or base64 of it.
    pub const JWT_PRIVATE_KEY: &str = "JWT_PRIVATE_KEY";
    /// Its public half; it is only compared.
    pub const JWT_PUBLIC_KEY: &str = "JWT_PUBLIC_KEY";
    /// The name of the key that signs; without it, its thumbprint (RFC 7638).
    pub const JWT_KEY_ID: &str = "JWT_KEY_ID";

    /// Asks for each variable by its name.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use sam_providers::keys::KeyVariables;
    /// let environment = BTreeMap::from([("JWT_KEY_ID", "2026-11".to_owned())]);
    /// let variables = KeyVariables::of(|name| environment.get(name).cloned());
    /// assert_eq!(variables.jwt_key_id.as_deref(), Some("2026-11"));
    /// assert!(variables.encryption_key.is_none());
    /// ```
    pub fn of(mut lookup: impl FnMut(&'static str) -> Option<String>) -> Self {
        Self {
            encryption_key: lookup(Self::ENCRYPTION_KEY).map(Secret::new),
            encryption_key_previous: lookup(Self::ENCRYPTION_KEY_PREVIOUS).map(Secret::new),
            jwt_private_key: lookup(Self::JWT_PRIVATE_KEY).map(Secret::new),
            jwt_public_key: lookup(Self::JWT_PUBLIC_KEY),
            jwt_key_id: lookup(Self::JWT_KEY_ID),
        }
    }
}

/// A ring of keys that came from variables. It changes when the host is started with others.
pub struct EnvironmentKeys {
    ring: MemoryKeys,
    sealing: Vec<(KeyId, Secret<[u8; 32]>)>,
    signer: Option<Arc<SigningKey>>,
}

impl EnvironmentKeys {
    /// Reads and checks the variables. Without an encryption key the ring holds none, and without a
    /// private key there is no signer.
    ///
    /// # Errors
    /// `BadInput` that names the variable and says what is wrong with it; never what it holds.
    pub fn read(variables: &KeyVariables, entropy: Arc<dyn Entropy>) -> Result<Self> {
        let signer = signer(variables)?.map(Arc::new);
        let sealing = sealing_keys(variables)?;
        let ring = MemoryKeys::empty(entropy);
        for (id, key) in &sealing {
            ring.add(id.clone(), key.clone())?;
        }
        Ok(Self { ring, sealing, signer })
    }

    /// Returns the key that signs, where there is one.
    pub const fn signer(&self) -> Option<&Arc<SigningKey>> {
        self.signer.as_ref()
    }

    /// Returns the public half of it, to be published.
    pub fn jwks(&self) -> JwkSet {
        JwkSet::new(self.signer.iter().map(|signer| signer.public_key().clone()))
    }

    /// Returns the keys that seal and open, the current one last.
    pub(super) fn sealing(&self) -> &[(KeyId, Secret<[u8; 32]>)] {
        &self.sealing
    }
}

impl fmt::Debug for EnvironmentKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sealing: Vec<_> = self.sealing.iter().map(|(id, _)| id).collect();
        f.debug_struct("EnvironmentKeys")
            .field("sealing", &sealing)
            .field("signer", &self.signer)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl KeyManager for EnvironmentKeys {
    async fn current_key(&self) -> Result<KeyId> {
        self.ring.current_key().await
    }

    async fn wrap(&self, plain: &Secret<Vec<u8>>, owner: &SecretOwner) -> Result<Sealed> {
        self.ring.wrap(plain, owner).await
    }

    async fn unwrap(&self, sealed: &Sealed, owner: &SecretOwner) -> Result<Secret<Vec<u8>>> {
        self.ring.unwrap(sealed, owner).await
    }
}

fn sealing_keys(variables: &KeyVariables) -> Result<Vec<(KeyId, Secret<[u8; 32]>)>> {
    let mut keys = Vec::new();
    let mut add = |whose: &str, text: &Secret<String>| {
        let key = sealing::read(whose, text)?;
        let id = sealing::name_of(&key)?;
        // A key that is named twice is current if any of its places says so: the last one.
        keys.retain(|(known, _)| *known != id);
        keys.push((id, key));
        if keys.len() > MemoryKeys::KEYS_MAX {
            let most = MemoryKeys::KEYS_MAX;
            let message = format!("{whose} holds too many keys: a ring has at most {most}");
            return Err(Error::new(ErrorKind::BadInput, message).with_operation("read_key"));
        }
        Ok(())
    };
    if let Some(previous) = &variables.encryption_key_previous {
        let whose = KeyVariables::ENCRYPTION_KEY_PREVIOUS;
        if variables.encryption_key.is_none() {
            return Err(alone(whose, KeyVariables::ENCRYPTION_KEY));
        }
        for text in previous.expose().split(',') {
            add(whose, &Secret::new(text.to_owned()))?;
        }
    }
    if let Some(current) = &variables.encryption_key {
        add(KeyVariables::ENCRYPTION_KEY, current)?;
    }
    Ok(keys)
}

fn signer(variables: &KeyVariables) -> Result<Option<SigningKey>> {
    let id = variables.jwt_key_id.as_deref().map(key_id).transpose()?;
    let Some(private) = &variables.jwt_private_key else {
        for (whose, is_set) in [
            (KeyVariables::JWT_PUBLIC_KEY, variables.jwt_public_key.is_some()),
            (KeyVariables::JWT_KEY_ID, id.is_some()),
        ] {
            if is_set {
                return Err(alone(whose, KeyVariables::JWT_PRIVATE_KEY));
            }
        }
        return Ok(None);
    };
    let signer =
        SigningKey::parse(private, id).map_err(|flaw| flaw.of(KeyVariables::JWT_PRIVATE_KEY))?;
    if let Some(public) = &variables.jwt_public_key {
        let public = Public::read(public).map_err(|flaw| flaw.of(KeyVariables::JWT_PUBLIC_KEY))?;
        if Jwk::named(None, public).thumbprint() != signer.public_key().thumbprint() {
            let message = format!(
                "{} is not the public half of {}",
                KeyVariables::JWT_PUBLIC_KEY,
                KeyVariables::JWT_PRIVATE_KEY
            );
            return Err(Error::new(ErrorKind::BadInput, message)
                .with_operation("read_key")
                .with_hint("make it from the private key: `openssl pkey -in FILE -pubout`, or leave it out"));
        }
    }
    Ok(Some(signer))
}

fn key_id(text: &str) -> Result<KeyId> {
    text.trim().parse::<KeyId>().map_err(|_| {
        let whose = KeyVariables::JWT_KEY_ID;
        let message =
            format!("{whose} is no usable name of a key: 1 to 64 letters, digits, '.', '_' or '-'");
        Error::new(ErrorKind::BadInput, message)
            .with_operation("read_key")
            .with_hint("leave it out: the key is then called by its thumbprint")
    })
}

fn alone(whose: &str, missing: &str) -> Error {
    Error::new(ErrorKind::BadInput, format!("{whose} is set, but {missing} is not"))
        .with_operation("read_key")
        .with_hint(format!("set {missing}, too, or neither"))
}
