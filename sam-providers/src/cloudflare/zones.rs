//! Which zone it is: looked up once, and again when Cloudflare no longer knows it.

use std::sync::{Arc, PoisonError};

use sam_core::dns::RecordName;
use sam_core::{Error, ErrorKind, Result};

use super::Cloudflare;
use super::config::{CloudflareId, ZoneChoice};
use super::map::code;
use super::provider::above;
use super::wire::WireZone;

/// Most names that are tried for the zone that holds a name.
const NAMES_MAX: usize = 8;

/// The zone that is worked on.
#[derive(Debug)]
pub(super) struct Zone {
    pub(super) id: CloudflareId,
    pub(super) name: RecordName,
}

/// A zone as Cloudflare tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloudflareZone {
    /// Its id.
    pub id: CloudflareId,
    /// Its name.
    pub name: RecordName,
    /// `active`, `pending`, `initializing`, `moved`, or a word that is new.
    pub status: String,
    /// Cloudflare serves it, but nothing of it is proxied.
    pub is_paused: bool,
    /// The name servers that its registrar must name.
    pub name_servers: Vec<String>,
    /// The account that it belongs to.
    pub account: Option<CloudflareId>,
}

impl CloudflareZone {
    /// Reads one.
    fn of(zone: WireZone) -> Result<Self> {
        let account = zone.account.and_then(|account| account.id);
        Ok(Self {
            id: zone.id.parse().map_err(|_| unreadable())?,
            name: zone.name.parse().map_err(|_| unreadable())?,
            status: zone.status.unwrap_or_else(|| "unknown".to_owned()),
            is_paused: zone.paused.unwrap_or_default(),
            name_servers: zone.name_servers.unwrap_or_default(),
            account: account.and_then(|id| id.parse().ok()),
        })
    }
}

impl Cloudflare {
    /// Lists the zones that the token sees, at most 1,000.
    ///
    /// # Errors
    /// `Unauthenticated`, `Denied`, `RateLimited`, `Unavailable`, `Timeout`; `QuotaExceeded` for more.
    pub async fn zones(&self) -> Result<Vec<CloudflareZone>> {
        self.client.zones().await?.into_iter().map(CloudflareZone::of).collect()
    }

    /// Returns the zone that is worked on, from memory where it was looked up before.
    pub(super) async fn zone(&self, operation: &'static str) -> Result<Arc<Zone>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(zone) = known {
            return Ok(zone);
        }
        let zone = match &self.choice {
            ZoneChoice::Known { id, name } => Zone { id: id.clone(), name: name.clone() },
            ZoneChoice::Id(_) | ZoneChoice::Holding(_) => {
                let found = self.look_up(operation).await?;
                Zone { id: found.id, name: found.name }
            }
        };
        let zone = Arc::new(zone);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&zone));
        Ok(zone)
    }

    /// Asks Cloudflare for the zone.
    pub(super) async fn look_up(&self, operation: &'static str) -> Result<CloudflareZone> {
        let name = match &self.choice {
            ZoneChoice::Id(id) | ZoneChoice::Known { id, .. } => {
                return CloudflareZone::of(self.client.zone(operation, id).await?);
            }
            ZoneChoice::Holding(name) => name,
        };
        // The nearest one: of a name and one above it, the first holds it.
        for name in above(name).take(NAMES_MAX) {
            if let Some(zone) = self.client.zone_named(operation, name).await? {
                return CloudflareZone::of(zone);
            }
        }
        Err(Error::new(ErrorKind::NotFound, format!("the token sees no zone that holds {name}"))
            .with_operation(operation)
            .with_hint(
                "add the domain to the account, or give the token Zone / Zone / Read for it",
            ))
    }

    /// Forgets the zone when an error says that it is gone: made anew, it has another id.
    pub(super) fn noted(&self, error: Error) -> Error {
        let gone = [code::NO_ROUTE, code::NO_SUCH_URI].map(|code| code.to_string());
        if error.provider_code().is_some_and(|code| gone.iter().any(|gone| gone == code)) {
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        error
    }
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Corrupt, "Cloudflare tells of a zone with a strange name or id")
}
