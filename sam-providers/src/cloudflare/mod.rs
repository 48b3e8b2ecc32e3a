//! Cloudflare DNS: record sets of one zone through the API, version 4.
//!
//! Cloudflare keeps single records and knows no sets. A set is put by looking what is there, and
//! changing what differs: one record by itself, several in one batch, which Cloudflare carries out whole
//! or not at all. So a put that breaks off leaves the old set or the new one, and putting again is
//! always right. A record whose value is no longer wanted becomes one that is missing, so that a name
//! does not stop resolving in between, and keeps its comment.
//!
//! Two puts of *different* sets of one key at the same moment can leave values of both, because
//! Cloudflare has no conditional change; the next put makes it right. SAM gives every name one owner
//! at a time.
//!
//! Invariants:
//! - A set is listed whole or not at all, however Cloudflare pages its records.
//! - Only the records of the key that was given are changed; comments and tags of records that are
//!   there stay.
//! - Every loop has a bound: pages, listings that are begun again, looks before a change.

mod check;
mod client;
mod config;
mod map;
mod plan;
mod provider;
mod wire;
mod zones;

use std::fmt;
use std::sync::{Arc, Mutex};

pub use self::check::{Finding, Health, TokenInfo, TokenStatus};
use self::client::Client;
pub use self::config::{CloudflareConfig, CloudflareId, ZoneChoice};
use self::plan::Style;
pub use self::zones::CloudflareZone;
use self::zones::Zone;
use crate::api::{Api, Credential, Outside};

/// One zone at Cloudflare.
///
/// ```no_run
/// use std::sync::Arc;
/// use sam_core::Secret;
/// use sam_core::dns::{DnsProvider, RecordSet, RecordValue, Ttl};
/// use sam_providers::api::Outside;
/// use sam_providers::cloudflare::{Cloudflare, CloudflareConfig, ZoneChoice};
/// # async fn put(http: Arc<dyn sam_core::http::HttpTransport>, clock: Arc<dyn sam_core::time::Clock>, token: Secret<String>) -> sam_core::Result<()> {
/// let zone = ZoneChoice::Holding("example.com".parse()?);
/// let config = CloudflareConfig::new(token, zone).with_comment("SAM at home")?;
/// let dns = Cloudflare::new(config, Outside::new(http, clock));
/// let value = RecordValue::A([192, 0, 2, 1].into());
/// dns.put_record(&RecordSet::new("ws-1.example.com".parse()?, [value], Ttl::DEFAULT)?).await
/// # }
/// ```
#[derive(Debug)]
pub struct Cloudflare {
    client: Client,
    choice: ZoneChoice,
    account: Option<CloudflareId>,
    style: Style,
    /// The zone, once it was looked up.
    known: Mutex<Option<Arc<Zone>>>,
}

impl Cloudflare {
    /// Opens a zone. Nothing is sent yet.
    pub fn new(config: CloudflareConfig, outside: Outside) -> Self {
        let CloudflareConfig { token, zone, base_url, account, proxied, comment, tags } = config;
        let credential = Credential::bearer(&token);
        let api = Api::new("Cloudflare", base_url, credential, map::dialect, outside);
        Self {
            client: Client::new(api),
            choice: zone,
            account,
            style: Style { proxied, comment, tags },
            known: Mutex::default(),
        }
    }
}

impl fmt::Display for Cloudflare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cloudflare")
    }
}
