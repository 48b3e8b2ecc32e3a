//! Providers: what is in the program, what is set up, and what answers.

use axum::Json;
use axum::extract::State;
use futures_util::future::join_all;
use sam_api::{Page, Provider};
use sam_core::compute::{ComputeProvider, ProviderName};

use crate::access::Identity;
use crate::app::App;
use crate::problem::ApiError;
use crate::providers::{VENDORS, missing, surveyed};

pub(super) async fn list(
    State(app): State<App>,
    _identity: Identity,
) -> Result<Json<Page<Provider>>, ApiError> {
    let providers = app.sam.providers();
    let usual = providers.usual();
    let known: Vec<_> = providers.known().collect();
    let configured: Vec<&str> = known.iter().map(|(name, _)| name.vendor()).collect();
    // They are few: `Providers::COUNT_MAX`.
    let asked = known.into_iter().map(|(name, it)| survey(name, &**it, name == usual));
    let mut items = join_all(asked).await;
    let others = VENDORS.iter().filter(|vendor| !configured.contains(&vendor.name));
    items.extend(others.map(missing));
    Ok(Json(Page::new(items, None)))
}

async fn survey(name: &ProviderName, provider: &dyn ComputeProvider, usual: bool) -> Provider {
    let asked = async {
        provider.verify_credentials().await?;
        provider.catalog().await
    };
    surveyed(name, provider.capabilities(), usual, asked.await)
}
