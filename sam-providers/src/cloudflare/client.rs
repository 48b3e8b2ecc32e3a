//! The calls, one each, and listings that are whole.

use std::collections::BTreeSet;

use http::Method;
use sam_core::dns::{RecordKey, RecordName};
use sam_core::time::Clock;
use sam_core::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;

use super::config::CloudflareId;
use super::wire::{Changes, Envelope, Ignored, Record, ResultInfo, WireToken, WireZone};
use crate::api::{Answer, Api, Call, segment};
use crate::zone::{RECORDS_MAX, too_many};

/// Records on one page of Cloudflare's.
const RECORDS_PER_PAGE: usize = 1_000;
/// Zones on one page: the most that is answered.
const ZONES_PER_PAGE: usize = 50;
/// Most zones of one token.
const ZONES_MAX: usize = 1_000;
/// Most pages of one listing, should Cloudflare answer with shorter ones than it was asked for.
const PAGES_MAX: usize = 500;
/// Most times that a listing is begun again because the zone changed while it was read.
const LISTINGS_MAX: usize = 3;
/// Most records that are changed together: what the smallest plan takes.
pub(super) const CHANGES_MAX: usize = 200;

/// Which records are looked for.
#[derive(Debug)]
pub(super) enum Filter<'a> {
    All,
    At(&'a RecordName),
    Of(&'a RecordKey),
    Under(&'a RecordName),
}

#[derive(Debug)]
pub(super) struct Client {
    api: Api,
}

impl Client {
    pub(super) const fn new(api: Api) -> Self {
        Self { api }
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.api.clock()
    }

    /// Lists the records of a zone, all of them.
    pub(super) async fn records(
        &self,
        operation: &'static str,
        zone: &CloudflareId,
        filter: Filter<'_>,
    ) -> Result<Vec<Record>> {
        let path = format!("/zones/{}/dns_records", segment(zone.as_str()));
        let call = Call::get(operation, path).with_query("per_page", &RECORDS_PER_PAGE.to_string());
        let call = match filter {
            Filter::All => call,
            Filter::At(name) => call.with_query("name", name.as_str()),
            Filter::Of(key) => call
                .with_query("name", key.name.as_str())
                .with_query("type", key.record_type.code()),
            Filter::Under(name) => call.with_query("name.endswith", name.as_str()),
        };
        // In the order of names a change in between moves the least.
        let call = call.with_query("order", "name").with_query("direction", "asc");
        for _ in 0..LISTINGS_MAX {
            if let Some(records) = self.listing(&call).await? {
                return Ok(records);
            }
        }
        Err(Error::new(ErrorKind::Unavailable, "the zone changed whenever its records were listed")
            .with_operation(operation))
    }

    /// Reads every page once; `None` when they do not fit together, because something changed
    /// between two of them.
    async fn listing(&self, call: &Call) -> Result<Option<Vec<Record>>> {
        let mut records: Vec<Record> = Vec::new();
        let mut expected = None;
        for page in 1..=PAGES_MAX {
            let call = call.clone().with_query("page", &page.to_string());
            let (found, info) = self.list::<Record>(&call).await?;
            let total = info.as_ref().and_then(ResultInfo::total);
            if page > 1 && total != expected {
                return Ok(None);
            }
            expected = total;
            if records.len() + found.len() > RECORDS_MAX {
                return Err(too_many().with_operation(call.operation));
            }
            let is_last = match total {
                Some(total) => found.is_empty() || records.len() + found.len() >= total,
                None => found.len() < RECORDS_PER_PAGE,
            };
            records.extend(found);
            if is_last {
                let ids: BTreeSet<&str> = records.iter().map(|record| &*record.id).collect();
                let all = total.is_none_or(|total| total == records.len());
                return Ok((all && ids.len() == records.len()).then_some(records));
            }
        }
        Err(too_many().with_operation(call.operation))
    }

    /// Carries out changes: one by itself, several together or not at all.
    pub(super) async fn change(
        &self,
        operation: &'static str,
        zone: &CloudflareId,
        changes: &Changes,
    ) -> Result<()> {
        let path = format!("/zones/{}/dns_records", segment(zone.as_str()));
        let of = |id: &str| format!("{path}/{}", segment(id));
        let call = match (&*changes.deletes, &*changes.patches, &*changes.posts) {
            ([], [], []) => return Ok(()),
            ([delete], [], []) => Call::new(operation, Method::DELETE, of(&delete.id)),
            ([], [change], []) => {
                Call::new(operation, Method::PATCH, of(&change.id)).with_body(&change.to)
            }
            ([], [], [post]) => Call::new(operation, Method::POST, path).with_body(post),
            _ if changes.len() > CHANGES_MAX => {
                let message = format!("more than {CHANGES_MAX} records would change together");
                return Err(Error::new(ErrorKind::Conflict, message).with_operation(operation));
            }
            _ => Call::new(operation, Method::POST, format!("{path}/batch")).with_body(changes),
        };
        // What came of it is read, so that an answer that is none is not taken for one.
        let _done: Envelope<Ignored> = self.api.send(&call).await?.read()?;
        Ok(())
    }

    /// Returns a zone.
    pub(super) async fn zone(
        &self,
        operation: &'static str,
        id: &CloudflareId,
    ) -> Result<WireZone> {
        self.one(&Call::get(operation, format!("/zones/{}", segment(id.as_str())))).await
    }

    /// Returns the zone of a name, if the token sees one.
    pub(super) async fn zone_named(
        &self,
        operation: &'static str,
        name: &str,
    ) -> Result<Option<WireZone>> {
        let call = Call::get(operation, "/zones").with_query("name", name);
        let (zones, _) = self.list::<WireZone>(&call).await?;
        // The one that is in use, where a name was added to several accounts.
        let (active, other): (Vec<_>, Vec<_>) =
            zones.into_iter().partition(|zone| zone.status.as_deref() == Some("active"));
        Ok(active.into_iter().chain(other).find(|zone| zone.name.eq_ignore_ascii_case(name)))
    }

    /// Lists the zones that the token sees.
    pub(super) async fn zones(&self) -> Result<Vec<WireZone>> {
        let call = Call::get("zones", "/zones").with_query("per_page", &ZONES_PER_PAGE.to_string());
        let mut zones: Vec<WireZone> = Vec::new();
        for page in 1..=ZONES_MAX / ZONES_PER_PAGE {
            let call = call.clone().with_query("page", &page.to_string());
            let (found, info) = self.list::<WireZone>(&call).await?;
            let is_last = match info.as_ref().and_then(ResultInfo::total) {
                Some(total) => found.is_empty() || zones.len() + found.len() >= total,
                None => found.len() < ZONES_PER_PAGE,
            };
            zones.extend(found);
            if is_last {
                return Ok(zones);
            }
        }
        let message = format!("the token sees more than {ZONES_MAX} zones");
        Err(Error::new(ErrorKind::QuotaExceeded, message).with_operation("zones"))
    }

    /// Asks what a token is, at its user's or at an account's door.
    pub(super) async fn token(&self, account: Option<&CloudflareId>) -> Result<WireToken> {
        let path = match account {
            Some(account) => format!("/accounts/{}/tokens/verify", segment(account.as_str())),
            None => "/user/tokens/verify".to_owned(),
        };
        self.one(&Call::get("verify_token", path)).await
    }

    async fn one<T: DeserializeOwned>(&self, call: &Call) -> Result<T> {
        let answer = self.api.send(call).await?;
        let envelope: Envelope<T> = answer.read()?;
        envelope.result.ok_or_else(|| nothing(call))
    }

    async fn list<T: DeserializeOwned>(&self, call: &Call) -> Result<(Vec<T>, Option<ResultInfo>)> {
        let answer: Answer = self.api.send(call).await?;
        let envelope: Envelope<Vec<T>> = answer.read()?;
        let found = envelope.result.ok_or_else(|| nothing(call))?;
        Ok((found, envelope.result_info))
    }
}

fn nothing(call: &Call) -> Error {
    Error::new(ErrorKind::Corrupt, "the answer of Cloudflare holds no result")
        .with_operation(call.operation)
}
