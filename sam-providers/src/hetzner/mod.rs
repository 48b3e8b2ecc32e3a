//! Machines and volumes at Hetzner Cloud.
//!
//! A key is the name of the server, which Hetzner keeps unique in a project, and a label on everything
//! that is made under it: servers, their addresses, their firewall, volumes. What has the name and lacks
//! the label is somebody else's: it is never adopted, switched or deleted.
//!
//! Invariants:
//! - Nothing is kept here but the list of types, for an hour: Hetzner is the truth.
//! - Every wait is on the clock, and a call waits for actions no longer than 20 s: less than the
//!   deadline of the layer around it. What takes longer is looked at by the next call.
//! - One attempt in each location that is allowed, and none elsewhere.
//! - The token of the project and that of the first boot are in requests to Hetzner, and nowhere else.

mod actions;
mod config;
mod create;
mod delete;
mod dialect;
mod find;
mod owned;
mod power;
mod provider;
mod types;
mod volumes;
mod wire;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sam_core::{Error, ErrorKind, Result};

pub use self::config::{HetznerConfig, InboundRule};
use self::types::Types;
use crate::api::{Api, Call, Credential, Looks, Outside, Pace};

/// The longest that one call waits for actions; [`sam_core::layer::Stack::DEADLINE`] is 30 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// How actions are looked at: rarely enough for 3,600 requests an hour, often enough for people.
const PACE: Pace =
    Pace { first: Duration::from_millis(500), most: Duration::from_secs(3), total: PATIENCE };

/// How long the list of types is believed.
const TYPES_KEPT: Duration = Duration::from_hours(1);

/// Machines at Hetzner Cloud, in one project.
pub struct HetznerCompute {
    api: Api,
    config: HetznerConfig,
    types: Mutex<Option<(Duration, Arc<Types>)>>,
}

impl HetznerCompute {
    /// Makes a provider. Nothing is asked yet.
    pub fn new(config: HetznerConfig, outside: Outside) -> Self {
        let credential = Credential::bearer(&config.token);
        let base = config.base_url.clone();
        let api = Api::new("Hetzner", base, credential, dialect::dialect, outside);
        Self { api, config, types: Mutex::new(None) }
    }

    /// Returns where things may be, at least one location.
    fn allowed(&self) -> Result<&[String]> {
        if self.config.locations.is_empty() {
            return Err(Error::new(ErrorKind::BadInput, "no location is allowed")
                .with_hint("allow at least one, such as fsn1"));
        }
        Ok(&self.config.locations)
    }

    /// Starts the waiting of one call.
    fn looks(&self) -> Looks<'_> {
        Looks::new(self.api.clock(), PACE)
    }

    /// Returns what is sold, read within the last hour.
    async fn types(&self) -> Result<Arc<Types>> {
        let now = self.api.clock().monotonic();
        let kept = self.types.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((until, types)) = kept
            && now < until
        {
            return Ok(types);
        }
        let mut all = Vec::new();
        let mut page = Some(1);
        while let Some(number) = page.filter(|number| *number <= find::PAGES_MAX) {
            let call = Call::get("server_types", "/server_types")
                .with_query("page", &number.to_string())
                .with_query("per_page", &find::PAGE.to_string());
            let listing: wire::Listing<wire::ServerType> = self.api.send(&call).await?.read()?;
            all.extend(listing.items);
            page = listing.meta.pagination.next_page.filter(|next| *next > number);
        }
        let types = Arc::new(Types(all));
        let kept = Some((now.saturating_add(TYPES_KEPT), Arc::clone(&types)));
        *self.types.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(types)
    }

    /// Forgets what is sold: Hetzner has just refused it.
    fn forget_types(&self) {
        *self.types.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl fmt::Debug for HetznerCompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HetznerCompute")
            .field("api", &self.api)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for HetznerCompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hetzner")
    }
}
