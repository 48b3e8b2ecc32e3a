//! Where nodes are bought.

use sam_core::ErrorRecord;
use serde::{Deserialize, Serialize};

/// A provider of machines: an item of `GET /api/providers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Its name: a vendor, or a vendor and a stored credential, `hetzner/cr-…`.
    pub name: String,
    /// How far it can be used.
    pub state: ProviderState,
    /// Whether it is used where nobody names one.
    #[serde(default)]
    pub is_default: bool,
    /// What it offers, where it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<Catalog>,
    /// What it can do, where it is configured: `power`, `volumes`, `owned`, `regions`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Why it cannot be used, or what to set so that it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRecord>,
}

/// How far a provider can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderState {
    /// It is in the program, and nobody has set it up.
    NotConfigured,
    /// It answers, and takes the credential.
    Ready,
    /// It is set up, and does not answer or refuses.
    Unusable,
}

impl ProviderState {
    /// Returns the word the API uses.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::Ready => "ready",
            Self::Unusable => "unusable",
        }
    }
}

/// What a provider offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// Regions, in the provider's words.
    pub regions: Vec<String>,
    /// Sizes and what they mean there.
    pub sizes: Vec<SizeOffer>,
}

/// What a size means at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeOffer {
    /// `small`, `medium` or `large`.
    pub size: String,
    /// The provider's word.
    pub provider_size: String,
    /// Processors.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Price in millionths of the account's currency for an hour, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_micros_per_hour: Option<u64>,
}
