//! Machines and volumes at DigitalOcean.
//!
//! A droplet carries its key and its labels as tags; the tag of the key is what makes it ours. Names are not unique here, so creating looks first, looks again after the order, and keeps the
//! oldest of what is there. Volumes have names that are unique in a region, made from their keys.
//!
//! Invariants:
//! - Nothing is kept here but what is sold, for an hour: DigitalOcean is the truth.
//! - Of several droplets of one key the oldest is the machine, for every call; the others are deleted.
//! - Every wait is on the clock, and a call waits for actions no longer than 20 s: less than the
//!   deadline of the layer around it. What takes longer is looked at by the next call.
//! - One attempt in each region that is allowed, and none elsewhere.
//! - The token of the account and that of the first boot are in requests to DigitalOcean, and nowhere else.

mod actions;
mod config;
mod create;
mod delete;
mod dialect;
mod find;
mod labels;
mod limits;
mod owned;
mod power;
mod provider;
mod sizes;
mod volumes;
mod wire;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sam_core::{Error, ErrorKind, Result};

pub use self::config::DigitalOceanConfig;
use self::limits::Resets;
use self::sizes::Sold;
use crate::api::{Api, Credential, Looks, Outside, Pace};

/// The longest that one call waits for actions; [`sam_core::layer::Stack::DEADLINE`] is 30 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// How actions are looked at: rarely enough for 5,000 requests an hour, often enough for people.
const PACE: Pace =
    Pace { first: Duration::from_millis(500), most: Duration::from_secs(3), total: PATIENCE };

/// How long the lists of sizes and regions are believed.
const SOLD_KEPT: Duration = Duration::from_hours(1);

/// Machines at DigitalOcean, in one team.
pub struct DigitalOceanCompute {
    api: Api,
    config: DigitalOceanConfig,
    sold: Mutex<Option<(Duration, Arc<Sold>)>>,
}

impl DigitalOceanCompute {
    /// Makes a provider. Nothing is asked yet.
    pub fn new(config: DigitalOceanConfig, outside: Outside) -> Self {
        let credential = Credential::bearer(&config.token);
        let base = config.base_url.clone();
        let outside = Resets::around(outside);
        let api = Api::new("DigitalOcean", base, credential, dialect::dialect, outside);
        Self { api, config, sold: Mutex::new(None) }
    }

    /// Returns where things may be, at least one region.
    fn allowed(&self) -> Result<&[String]> {
        if self.config.regions.is_empty() {
            return Err(Error::new(ErrorKind::BadInput, "no region is allowed")
                .with_hint("allow at least one, such as fra1"));
        }
        Ok(&self.config.regions)
    }

    /// Starts the waiting of one call.
    fn looks(&self) -> Looks<'_> {
        Looks::new(self.api.clock(), PACE)
    }

    /// Returns what is sold, read within the last hour.
    async fn sold(&self) -> Result<Arc<Sold>> {
        let now = self.api.clock().monotonic();
        let kept = self.sold.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((until, sold)) = kept
            && now < until
        {
            return Ok(sold);
        }
        let (sizes, regions) = (self.read_all("sizes").await?, self.read_all("regions").await?);
        let sold = Arc::new(Sold { sizes, regions });
        let kept = Some((now.saturating_add(SOLD_KEPT), Arc::clone(&sold)));
        *self.sold.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(sold)
    }

    /// Forgets what is sold: DigitalOcean has just refused it.
    fn forget_sold(&self) {
        *self.sold.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl fmt::Debug for DigitalOceanCompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigitalOceanCompute")
            .field("api", &self.api)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for DigitalOceanCompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("digitalocean")
    }
}
