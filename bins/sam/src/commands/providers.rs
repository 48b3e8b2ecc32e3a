//! `sam providers`.

use sam_api::{Provider, ProviderState, SizeOffer};

use super::list;
use crate::connect::Context;
use crate::failure::Failure;
use crate::output::table;

pub(super) async fn run(context: &Context) -> Result<u8, Failure> {
    let client = context.connect().await?;
    let found = list::read(context, async |_| client.providers().await).await?;
    list::show(context, &found, "sam: there is no provider", lines)
}

fn lines(found: &[Provider]) -> String {
    let mut rows = Vec::new();
    for provider in found {
        let state = match provider.state {
            ProviderState::NotConfigured => "not set up",
            ProviderState::Ready if provider.is_default => "ready, default",
            ProviderState::Ready => "ready",
            ProviderState::Unusable => "unusable",
        };
        let offers = provider.catalog.iter().flat_map(|catalog| &catalog.sizes);
        let mut offers = offers.map(offer).peekable();
        if offers.peek().is_none() {
            let why = provider.error.as_ref();
            let why = why.map(|error| error.hint.clone().unwrap_or_else(|| error.message.clone()));
            offers_row(&mut rows, (&provider.name, state), why.unwrap_or_default());
        }
        for (at, offer) in offers.enumerate() {
            let named = if at == 0 { (provider.name.as_str(), state) } else { ("", "") };
            offers_row(&mut rows, named, offer);
        }
    }
    table(&["NAME", "STATE", "OFFERS"], &rows)
}

fn offers_row(rows: &mut Vec<Vec<String>>, (name, state): (&str, &str), offer: String) {
    rows.push(vec![name.to_owned(), state.to_owned(), offer]);
}

/// `medium: cx32, 4 processors, 8 GiB, 0.0113 an hour`.
fn offer(offer: &SizeOffer) -> String {
    let memory = match offer.memory_mib {
        mib if mib % 1_024 == 0 => format!("{} GiB", mib / 1_024),
        mib => format!("{mib} MiB"),
    };
    let price = offer
        .price_micros_per_hour
        .map(|micros| format!(", {}.{:04} an hour", micros / 1_000_000, micros % 1_000_000 / 100));
    let price = price.unwrap_or_default();
    let (size, theirs, cpus) = (&offer.size, &offer.provider_size, offer.cpus);
    format!("{size}: {theirs}, {cpus} processors, {memory}{price}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::golden;

    #[test]
    fn providers_are_listed_as_checked_in() {
        let found: Vec<Provider> = serde_json::from_value(serde_json::json!([
            {"name": "process", "state": "ready", "is_default": true, "capabilities": ["power"],
             "catalog": {"regions": [], "sizes": [
                {"size": "small", "provider_size": "this computer", "cpus": 2, "memory_mib": 3_900}
             ]}},
            {"name": "hetzner/cr-0000000000000000000000000a", "state": "ready",
             "catalog": {"regions": ["fsn1"], "sizes": [
                {"size": "small", "provider_size": "cx22", "cpus": 2, "memory_mib": 4_096,
                 "price_micros_per_hour": 6_000},
                {"size": "medium", "provider_size": "cx32", "cpus": 4, "memory_mib": 8_192,
                 "price_micros_per_hour": 1_011_300}
             ]}},
            {"name": "fly", "state": "unusable", "error": {
                "kind": "unauthenticated", "operation": "verify", "message": "it was refused"}},
            {"name": "docker", "state": "not_configured", "error": {"kind": "not_found",
                "operation": "", "message": "it is not set up", "hint": "set SAM_DOCKER_IMAGE"}}
        ]))
        .unwrap();
        golden("providers.txt", &lines(&found));
    }
}
