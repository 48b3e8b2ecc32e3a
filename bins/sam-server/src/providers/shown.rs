//! Providers as the API shows them.

use sam_api::{Catalog, Credential, Provider, ProviderState, SizeOffer};
use sam_core::compute::{self, ComputeCapabilities, ProviderName};
use sam_core::credential::CredentialRecord;
use sam_core::engine::Stamped;
use sam_core::{Error, ErrorKind, ErrorRecord, Result};

use super::Vendor;

/// A stored credential, without its token.
pub(crate) fn stored(stamped: &Stamped<CredentialRecord>) -> Result<Credential> {
    let record = &stamped.record;
    Ok(Credential {
        id: record.id,
        name: record.name.clone(),
        provider: record.provider_name()?.to_string(),
        state: record.state.code().to_owned(),
        accepted_at: record.accepted_at.into(),
        created_at: record.created_at.into(),
        error: record.error.clone(),
    })
}

/// A provider that was asked for its offers.
pub(crate) fn surveyed(
    name: &ProviderName,
    capabilities: ComputeCapabilities,
    is_default: bool,
    catalog: Result<compute::Catalog>,
) -> Provider {
    let claims = [
        ("power", capabilities.power),
        ("volumes", capabilities.volumes),
        ("owned", capabilities.owned),
        ("regions", capabilities.regions),
    ];
    let claimed = claims.iter().filter(|(_, is_claimed)| *is_claimed);
    let (state, catalog, error) = match catalog {
        Ok(catalog) => (ProviderState::Ready, Some(offered(catalog)), None),
        Err(error) => (ProviderState::Unusable, None, Some(ErrorRecord::from(&error))),
    };
    Provider {
        name: name.to_string(),
        state,
        is_default,
        catalog,
        capabilities: claimed.map(|(word, _)| (*word).to_owned()).collect(),
        error,
    }
}

/// A vendor that nobody has set up.
pub(crate) fn missing(vendor: &Vendor) -> Provider {
    let error = Error::new(ErrorKind::NotFound, "it is not set up").with_hint(vendor.set_up);
    Provider {
        name: vendor.name.to_owned(),
        state: ProviderState::NotConfigured,
        is_default: false,
        catalog: None,
        capabilities: Vec::new(),
        error: Some(ErrorRecord::from(&error)),
    }
}

/// What a provider offers.
pub(crate) fn offered(catalog: compute::Catalog) -> Catalog {
    let sizes = catalog.sizes.into_iter().map(|offer| SizeOffer {
        size: offer.size.code().to_owned(),
        provider_size: offer.provider_size,
        cpus: offer.cpus,
        memory_mib: offer.memory_mib,
        price_micros_per_hour: offer.price_micros_per_hour,
    });
    Catalog { regions: catalog.regions, sizes: sizes.collect() }
}
