//! Several providers side by side: which one a node is bought from is a name in its record.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ComputeProvider;
use crate::credential::{CredentialRecord, StoredProviders};
use crate::error::{Error, ErrorKind, Result};
use crate::id::CredentialId;

/// Names whom machines are bought from and on whose account: `hetzner` is the installation's own,
/// `hetzner/cr-…` that of a stored credential.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProviderName(String);

impl ProviderName {
    /// Longest name of a vendor, in bytes.
    pub const VENDOR_BYTES_MAX: usize = 24;

    /// Names a vendor on the account of a stored credential.
    ///
    /// # Errors
    /// `BadInput` when the vendor is no name.
    pub fn of_credential(vendor: &str, credential: CredentialId) -> Result<Self> {
        format!("{vendor}/{credential}").parse()
    }

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns who sells: `hetzner`.
    pub fn vendor(&self) -> &str {
        self.0.split_once('/').map_or(self.0.as_str(), |(vendor, _)| vendor)
    }

    /// Returns the stored credential it is on the account of.
    pub fn credential(&self) -> Option<CredentialId> {
        self.0.split_once('/').and_then(|(_, credential)| credential.parse().ok())
    }

    /// Returns what it is called where no slash may be: `hetzner.cr-…`.
    pub fn dotted(&self) -> String {
        self.0.replace('/', ".")
    }

    /// Reads what [`ProviderName::dotted`] gave.
    ///
    /// # Errors
    /// `BadInput` when it is no name.
    pub fn from_dotted(text: &str) -> Result<Self> {
        text.replacen('.', "/", 1).parse()
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ProviderName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ProviderName> for String {
    fn from(name: ProviderName) -> Self {
        name.0
    }
}

impl FromStr for ProviderName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (vendor, credential) = match text.split_once('/') {
            None => (text, None),
            Some((vendor, credential)) => (vendor, Some(credential)),
        };
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let is_vendor = !vendor.is_empty()
            && vendor.len() <= Self::VENDOR_BYTES_MAX
            && vendor.bytes().all(legal);
        let credential = credential.map(str::parse::<CredentialId>).transpose();
        match credential {
            // As the id shows itself, so that one name has one text.
            Ok(None) if is_vendor => Ok(Self(vendor.to_owned())),
            Ok(Some(credential)) if is_vendor => Ok(Self(format!("{vendor}/{credential}"))),
            _ => {
                let shown: String = text.chars().take(64).collect();
                Err(Error::new(ErrorKind::BadInput, format!("{shown:?} is no provider's name"))
                    .with_hint(
                        "a provider is named like hetzner, or hetzner/cr-… with a stored credential",
                    ))
            }
        }
    }
}

/// The providers of an installation, by name.
#[derive(Debug)]
pub struct Providers {
    usual: ProviderName,
    known: BTreeMap<ProviderName, Arc<dyn ComputeProvider>>,
    stored: Option<StoredProviders>,
}

impl Providers {
    /// Most providers that an installation is given.
    pub const COUNT_MAX: usize = 32;

    /// Starts with the provider that is used where nobody names one. Each is known by what its
    /// `Display` shows.
    ///
    /// # Errors
    /// `BadInput` when that is no [`ProviderName`].
    pub fn of(usual: Arc<dyn ComputeProvider>) -> Result<Self> {
        let name: ProviderName = usual.to_string().parse()?;
        Ok(Self { usual: name.clone(), known: BTreeMap::from([(name, usual)]), stored: None })
    }

    /// Adds another one.
    ///
    /// # Errors
    /// `BadInput` when its name is none or taken, or there are too many.
    pub fn with(mut self, provider: Arc<dyn ComputeProvider>) -> Result<Self> {
        let name: ProviderName = provider.to_string().parse()?;
        if self.known.len() >= Self::COUNT_MAX || self.known.contains_key(&name) {
            let message = format!("{name} is given twice, or there are too many providers");
            return Err(Error::new(ErrorKind::BadInput, message));
        }
        self.known.insert(name, provider);
        Ok(self)
    }

    /// Adds those of stored credentials.
    pub(crate) fn with_stored(mut self, stored: Option<StoredProviders>) -> Self {
        self.stored = stored;
        self
    }

    /// Returns the makers of stored credentials' providers.
    ///
    /// # Errors
    /// `Unsupported` when the installation stores none.
    pub(crate) fn stored(&self) -> Result<&StoredProviders> {
        self.stored.as_ref().ok_or_else(|| {
            let message = "this installation stores no credentials";
            Error::new(ErrorKind::Unsupported, message).with_hint(
                "its host has to hand in a store of secrets, and what connects to vendors",
            )
        })
    }

    /// Returns the name of the one that is used where nobody names one.
    pub const fn usual(&self) -> &ProviderName {
        &self.usual
    }

    /// Returns those that the installation was given, in order of their names.
    pub fn known(&self) -> impl Iterator<Item = (&ProviderName, &Arc<dyn ComputeProvider>)> {
        self.known.iter()
    }

    /// Returns a provider.
    ///
    /// # Errors
    /// `Unsupported` when this process was not given it, or there is no such credential: what is a
    /// record's is kept, and waits; what store and keys answered of a stored one.
    pub async fn provider(&self, name: &ProviderName) -> Result<Arc<dyn ComputeProvider>> {
        if let Some(credential) = name.credential() {
            return self.stored()?.provider(name, credential).await;
        }
        self.known.get(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = self.known.keys().map(ProviderName::as_str).collect();
            Error::new(ErrorKind::Unsupported, format!("no provider {name} is configured"))
                .with_hint(format!("configured are: {}", known.join(", ")))
        })
    }

    /// Forgets the secret of a credential, and what was made with it.
    pub(crate) async fn forget(&self, credential: &CredentialRecord) -> Result<()> {
        let secrets = self.stored()?.secrets();
        secrets.forget(&credential.secret_name()?).await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::compute::MemoryCompute;

    #[test]
    fn names_have_one_text_and_read_back() {
        let credential = CredentialId::from_bits(7);
        let named = ProviderName::of_credential("hetzner", credential).unwrap();
        assert_eq!((named.vendor(), named.credential()), ("hetzner", Some(credential)));
        assert_eq!(named.as_str().to_uppercase().to_lowercase(), named.as_str());
        assert_eq!(ProviderName::from_dotted(&named.dotted()).unwrap(), named);
        let own: ProviderName = "hetzner".parse().unwrap();
        assert_eq!((own.vendor(), own.credential()), ("hetzner", None));
        assert_eq!(ProviderName::from_dotted(&own.dotted()).unwrap(), own);
        for wrong in ["", "Hetzner", "a b", "/cr", "hetzner/", "hetzner/x", "a.b", &"x".repeat(25)]
        {
            assert_eq!(wrong.parse::<ProviderName>().unwrap_err().kind(), ErrorKind::BadInput);
        }
    }

    #[test]
    fn a_provider_is_known_by_what_it_shows_and_once() {
        let memory = || -> Arc<dyn ComputeProvider> { Arc::new(MemoryCompute::new()) };
        let providers = Providers::of(memory()).unwrap();
        let name = providers.usual().clone();
        assert_eq!(name.as_str(), "memory");
        let now = |name: &ProviderName| providers.provider(name).now_or_never().unwrap();
        now(&name).unwrap();
        let error = now(&"fly".parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.hint().unwrap().contains("memory"));
        assert_eq!(providers.with(memory()).unwrap_err().kind(), ErrorKind::BadInput);
    }
}
