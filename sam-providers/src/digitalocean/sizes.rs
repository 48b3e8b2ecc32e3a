//! What DigitalOcean sells today, and what our sizes mean there. Pure.

use sam_core::compute::{Size, SizeOffer};
use sam_core::{Error, ErrorKind, Result, Retry};

use super::config::DigitalOceanConfig;
use super::wire::{Region, SizeSold};
use crate::api::{micros, nearest};

/// Longer than any layer waits: what is sold out stays so for a while.
const STOCK_WAIT: std::time::Duration = std::time::Duration::from_mins(1);

/// What a machine must have at least.
#[derive(Debug, Clone, Copy)]
struct Need {
    vcpus: u32,
    memory_mib: u64,
}

impl Need {
    const fn of(size: Size) -> Self {
        match size {
            Size::Small => Self { vcpus: 2, memory_mib: 4_096 },
            Size::Large => Self { vcpus: 8, memory_mib: 16_384 },
            // Sizes that are new since then are medium until somebody says what they are here.
            _ => Self { vcpus: 4, memory_mib: 8_192 },
        }
    }

    /// Reads what the slug of a size that is not sold any more says of itself: `s-2vcpu-4gb`,
    /// `g-4vcpu-16gb-intel`.
    fn of_slug(slug: &str) -> Option<Self> {
        let mut parts = slug.split('-').skip(1);
        let vcpus = parts.next()?.strip_suffix("vcpu")?.parse().ok()?;
        let gib: u64 = parts.next()?.strip_suffix("gb")?.parse().ok()?;
        Some(Self { vcpus, memory_mib: gib.checked_mul(1_024)? })
    }
}

/// Everything that is sold, as read at one time.
#[derive(Debug)]
pub(super) struct Sold {
    pub(super) sizes: Vec<SizeSold>,
    pub(super) regions: Vec<Region>,
}

impl Sold {
    /// Returns the size of DigitalOcean for one of ours in a region.
    ///
    /// # Errors
    /// `BadInput` when the region or the configured size is none; `CapacityUnavailable` when nothing
    /// that large is sold there today.
    pub(super) fn choose(
        &self,
        config: &DigitalOceanConfig,
        size: Size,
        region: &str,
    ) -> Result<SizeOffer> {
        if !self.regions.iter().any(|known| known.slug == region) {
            return Err(no_region(region, self.regions.iter().map(|known| &*known.slug)));
        }
        let asked = config.sizes.get(&size);
        if let Some(kept) = asked.and_then(|asked| self.known(asked))
            && self.is_sold(kept, region)
        {
            return Ok(offer(kept, size));
        }
        let need = asked.map_or(Ok(Need::of(size)), |asked| self.need_of(asked))?;
        let fits = |kept: &&SizeSold| {
            kept.gpu_info.is_none()
                && kept.vcpus >= need.vcpus
                && kept.memory >= need.memory_mib
                && self.is_sold(kept, region)
        };
        let cheapest = self
            .sizes
            .iter()
            .filter(fits)
            .min_by_key(|kept| (price(kept).unwrap_or(u64::MAX), kept.slug.clone()));
        let chosen = cheapest.ok_or_else(|| {
            let message =
                format!("DigitalOcean sells nothing of the size {} in {region} now", size.code());
            Error::new(ErrorKind::CapacityUnavailable, message)
                .with_retry(Retry::After(STOCK_WAIT))
                .with_context("region", region)
                .with_hint("allow another region, or wait")
        })?;
        Ok(offer(chosen, size).with_replaces(asked.cloned()))
    }

    /// Returns whether droplets can be made in a region.
    pub(super) fn is_open(&self, region: &str) -> bool {
        self.regions.iter().any(|known| known.slug == region && known.available)
    }

    fn known(&self, slug: &str) -> Option<&SizeSold> {
        self.sizes.iter().find(|kept| kept.slug == slug)
    }

    fn is_sold(&self, kept: &SizeSold, region: &str) -> bool {
        kept.available && kept.regions.iter().any(|known| known == region) && self.is_open(region)
    }

    /// What somebody wants who named a size.
    fn need_of(&self, asked: &str) -> Result<Need> {
        let listed = self.known(asked);
        let listed = listed.map(|kept| Need { vcpus: kept.vcpus, memory_mib: kept.memory });
        listed.or_else(|| Need::of_slug(asked)).ok_or_else(|| {
            let names = self.sizes.iter().filter(|kept| kept.available).map(|kept| &*kept.slug);
            let message = format!("DigitalOcean has no size {asked:?}");
            Error::new(ErrorKind::BadInput, message)
                .with_hint(format!("did you mean {}?", nearest(asked, names)))
        })
    }
}

fn price(kept: &SizeSold) -> Option<u64> {
    micros(&kept.price_hourly.to_string())
}

fn offer(kept: &SizeSold, size: Size) -> SizeOffer {
    SizeOffer::new(size, kept.slug.clone(), kept.vcpus, kept.memory)
        .with_price_micros_per_hour(price(kept))
}

/// Says that a region is none.
pub(super) fn no_region<'a>(asked: &str, known: impl Iterator<Item = &'a str>) -> Error {
    Error::new(ErrorKind::BadInput, format!("there is no region {asked:?} to choose"))
        .with_context("region", asked)
        .with_hint(format!("choose one of those that are allowed here: {}", nearest(asked, known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_says_what_it_was() {
        let read = |slug| Need::of_slug(slug).map(|need| (need.vcpus, need.memory_mib));
        assert_eq!(read("s-2vcpu-4gb"), Some((2, 4_096)));
        assert_eq!(read("g-4vcpu-16gb-intel"), Some((4, 16_384)));
        for none in ["c-2", "s-2vcpu", "", "small", "s-xvcpu-4gb"] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
