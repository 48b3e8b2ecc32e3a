//! DNS servers of one's own: record sets of one zone through dynamic updates, RFC 2136, signed by TSIG,
//! RFC 8945. Tried against BIND 9.
//!
//! A set is replaced in one message, and the server carries out all of it or nothing. What must hold
//! before, that a `CNAME` stands alone, is required in the same message. A set is looked up at this
//! server, which must answer with authority; since a wildcard answers for names that are not there, a
//! set that was found is asked for once more as a requirement, which wildcards do not meet. A listing
//! is a transfer of the zone (AXFR).
//!
//! The key needs the right to update the zone and to transfer it.
//!
//! Invariants:
//! - Every message is signed, over TCP, with a connection of its own; an answer counts only with its
//!   signature. Servers that sign just some messages of a transfer are refused.
//! - A set is listed whole or not at all.
//! - Every wait has an end; connections, bytes and records are bounded.

mod client;
mod config;
mod map;
mod provider;
mod wire;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sam_core::Result;
use sam_core::dns::{RecordName, Ttl};
use sam_core::time::Clock;

use self::client::Client;
pub use self::config::{Rfc2136Config, TsigAlgorithm, TsigKey};
use self::wire::Ask;

/// One zone on a server of one's own.
///
/// ```no_run
/// use std::sync::Arc;
/// use sam_core::Secret;
/// use sam_core::dns::{DnsProvider, RecordSet, RecordValue, Ttl};
/// use sam_providers::rfc2136::{Rfc2136, Rfc2136Config, TsigAlgorithm, TsigKey};
/// # async fn put(clock: Arc<dyn sam_core::time::Clock>, secret: Secret<String>) -> sam_core::Result<()> {
/// let key = TsigKey::new("sam", TsigAlgorithm::HmacSha256, &secret)?;
/// let server = std::net::SocketAddr::from(([192, 0, 2, 53], 53));
/// let dns = Rfc2136::new(&Rfc2136Config::new(server, "example.com".parse()?, key), clock)?;
/// let value = RecordValue::A([192, 0, 2, 1].into());
/// dns.put_record(&RecordSet::new("ws-1.example.com".parse()?, [value], Ttl::DEFAULT)?).await
/// # }
/// ```
#[derive(Debug)]
pub struct Rfc2136 {
    client: Client,
    zone: RecordName,
    ttl_min: Ttl,
    propagates_within: Duration,
}

impl Rfc2136 {
    /// Opens a zone. Nothing is sent yet. The clock's wall time is in every signature.
    ///
    /// # Errors
    /// `BadInput` for a key that cannot sign.
    pub fn new(config: &Rfc2136Config, clock: Arc<dyn Clock>) -> Result<Self> {
        Ok(Self {
            client: Client::new(config, clock)?,
            zone: config.zone.clone(),
            ttl_min: config.ttl_min,
            propagates_within: config.propagates_within,
        })
    }

    /// Asks the server whether it knows the key, serves the zone, and lets the key transfer it. Whether
    /// it lets the key update the zone is told by the first record that is put.
    ///
    /// # Errors
    /// `Unauthenticated` for a key that it does not take; `Denied` for what the key may not; `BadInput`
    /// for a zone that is not the server's; `Unavailable`, `Timeout`.
    pub async fn verify(&self) -> Result<()> {
        let told = self.client.ask("verify", Ask::Start).await?;
        if !told.is_authoritative || !told.records.iter().any(|record| record.is_start) {
            let message = format!("the server does not answer for the zone {}", self.zone);
            return Err(sam_core::Error::new(sam_core::ErrorKind::BadInput, message)
                .with_operation("verify")
                .with_hint("check the zone's name and the server's address"));
        }
        self.client.transfer("verify").await.map(drop)
    }
}

impl fmt::Display for Rfc2136 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rfc2136")
    }
}
