//! What Hetzner sells today, and what our sizes mean there. Pure.

use sam_core::compute::{Size, SizeOffer};
use sam_core::{Error, ErrorKind, Result};

use super::config::HetznerConfig;
use super::wire::{ServerType, TypeLocation};
use crate::api::{micros, nearest};

/// Types that Hetzner once sold and may have forgotten: their processors and GiB of memory.
const RETIRED: &[(&str, u64, u64)] = &[
    ("cpx11", 2, 2),
    ("cpx21", 3, 4),
    ("cpx31", 4, 8),
    ("cpx41", 8, 16),
    ("cpx51", 16, 32),
    ("cx11", 1, 2),
    ("cx21", 2, 4),
    ("cx22", 2, 4),
    ("cx31", 2, 8),
    ("cx32", 4, 8),
    ("cx41", 4, 16),
    ("cx42", 8, 16),
    ("cx51", 8, 32),
    ("cx52", 16, 32),
];

/// What a machine must have at least, in millionths of a processor and of a GiB.
#[derive(Debug, Clone, Copy)]
struct Need {
    cores: u64,
    memory: u64,
}

impl Need {
    const fn whole(cores: u64, memory_gib: u64) -> Self {
        Self { cores: cores * 1_000_000, memory: memory_gib * 1_000_000 }
    }

    const fn of(size: Size) -> Self {
        match size {
            Size::Small => Self::whole(2, 4),
            Size::Large => Self::whole(8, 16),
            // Sizes that are new since then are medium until somebody says what they are here.
            _ => Self::whole(4, 8),
        }
    }
}

/// Everything that is sold, as read at one time.
#[derive(Debug)]
pub(super) struct Types(pub(super) Vec<ServerType>);

impl Types {
    /// Returns the type for a size in a location.
    ///
    /// # Errors
    /// `BadInput` when the location or the configured type is none, or nothing that large is sold there.
    pub(super) fn choose(
        &self,
        config: &HetznerConfig,
        size: Size,
        location: &str,
    ) -> Result<SizeOffer> {
        if !self.locations().any(|known| known == location) {
            return Err(no_location(location, self.locations()));
        }
        let asked = config.server_types.get(&size);
        if let Some(asked) = asked
            && let Some(kept) = self.0.iter().find(|kept| kept.name == *asked)
            && sold_in(kept, location).is_some()
        {
            return Ok(offer(kept, size, location));
        }
        let need = asked.map_or(Ok(Need::of(size)), |asked| self.need_of(asked))?;
        let chosen = self.cheapest(need, location).ok_or_else(|| {
            let message =
                format!("Hetzner sells nothing of the size {} in {location}", size.code());
            Error::new(ErrorKind::BadInput, message).with_hint("use another size or location")
        })?;
        Ok(offer(chosen, size, location).with_replaces(asked.cloned()))
    }

    /// What somebody wants who named a type.
    fn need_of(&self, asked: &str) -> Result<Need> {
        let known = self.0.iter().find(|kept| kept.name == asked).and_then(|kept| {
            Some(Need {
                cores: micros(&kept.cores.to_string())?,
                memory: micros(&kept.memory.to_string())?,
            })
        });
        let retired = || {
            let (_, cores, memory) = RETIRED.iter().find(|(name, ..)| *name == asked)?;
            Some(Need::whole(*cores, *memory))
        };
        known.or_else(retired).ok_or_else(|| {
            let names = self.0.iter().filter(|kept| !is_retired(kept)).map(|kept| &*kept.name);
            let message = format!("Hetzner has no server type {asked:?}");
            Error::new(ErrorKind::BadInput, message)
                .with_hint(format!("did you mean {}?", nearest(asked, names)))
        })
    }

    /// The cheapest that is large enough; what is in stock comes before what is not, for the stock may
    /// be filled since this was read.
    fn cheapest(&self, need: Need, location: &str) -> Option<&ServerType> {
        let fits = |kept: &&ServerType| {
            kept.architecture == "x86"
                && micros(&kept.cores.to_string()).is_some_and(|cores| cores >= need.cores)
                && micros(&kept.memory.to_string()).is_some_and(|memory| memory >= need.memory)
        };
        let sold =
            self.0.iter().filter(fits).filter_map(|kept| Some((sold_in(kept, location)?, kept)));
        let best = sold.min_by_key(|(place, kept)| {
            let price = price_in(kept, location).unwrap_or(u64::MAX);
            (place.available == Some(false), price, kept.name.clone())
        });
        best.map(|(_, kept)| kept)
    }

    /// Every location where something is sold.
    pub(super) fn locations(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|kept| &kept.locations).map(|place| &*place.name)
    }
}

fn is_retired(kept: &ServerType) -> bool {
    kept.deprecated == Some(true) || kept.deprecation.is_some()
}

/// Returns what is said of a location where a type is sold and stays.
fn sold_in<'a>(kept: &'a ServerType, location: &str) -> Option<&'a TypeLocation> {
    let place = kept.locations.iter().find(|place| place.name == location)?;
    (!is_retired(kept) && place.deprecation.is_none()).then_some(place)
}

fn price_in(kept: &ServerType, location: &str) -> Option<u64> {
    let price = kept.prices.iter().find(|price| price.location == location)?;
    micros(&price.price_hourly.gross)
}

fn offer(kept: &ServerType, size: Size, location: &str) -> SizeOffer {
    let cores = micros(&kept.cores.to_string()).unwrap_or_default() / 1_000_000;
    let memory_mib = micros(&kept.memory.to_string()).unwrap_or_default() * 1_024 / 1_000_000;
    let cpus = u32::try_from(cores).unwrap_or(u32::MAX);
    SizeOffer::new(size, kept.name.clone(), cpus, memory_mib)
        .with_price_micros_per_hour(price_in(kept, location))
}

/// Says that a location is none.
pub(super) fn no_location<'a>(asked: &str, known: impl Iterator<Item = &'a str>) -> Error {
    Error::new(ErrorKind::BadInput, format!("there is no region {asked:?} to choose"))
        .with_context("region", asked)
        .with_hint(format!("choose one of those that are allowed here: {}", nearest(asked, known)))
}
