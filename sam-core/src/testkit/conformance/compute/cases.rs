//! The cases, in the order of the clauses.

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::super::{Failure, Outcome, always, cases, ensure, ensure_eq, ensure_kind};
use super::{ComputeHarness, Scope};
use crate::Secret;
use crate::compute::{Labels, ListMachines, Size};
use crate::error::ErrorKind;

cases! {
    ComputeHarness, Scope;
    "ComputeProvider C1", always {
        creating_twice_gives_one_machine,
        concurrent_creations_give_one_machine,
        an_adopted_machine_keeps_its_first_labels,
    }
    "ComputeProvider C2", always {
        deleting_the_absent_succeeds,
        concurrent_deletions_succeed,
    }
    "ComputeProvider C3", always {
        a_deleted_machine_is_nowhere_shown,
        a_deleted_key_can_be_created_again,
    }
    "ComputeProvider C4", always { only_an_absent_machine_is_none }
    "ComputeProvider C5", always {
        a_listing_holds_every_machine_once,
        a_listing_is_filtered_by_all_labels,
    }
    "ComputeProvider C5", with_pages { a_second_page_goes_on_where_the_first_ended }
    "ComputeProvider C6", always { labels_come_back_as_given }
    "ComputeProvider C7", always {
        a_creation_broken_off_can_be_repeated,
        a_deletion_broken_off_can_be_repeated,
    }
    "ComputeProvider C8", with_regions { a_claimed_region_is_on_offer }
    "ComputeProvider C8", without_regions { a_region_is_refused_where_none_is_claimed }
    "ComputeProvider C9", always { every_size_is_on_offer_and_works }
    "ComputeProvider C9", with_regions { a_region_that_is_not_on_offer_is_refused }
    "ComputeProvider C10", always { good_credentials_are_accepted }
    "ComputeProvider C11", always { the_token_of_the_first_boot_is_shown_nowhere }
}

fn with_pages(harness: &dyn ComputeHarness) -> bool {
    harness.machines_per_page().is_some()
}

fn with_regions(harness: &dyn ComputeHarness) -> bool {
    harness.compute().capabilities().regions
}

fn without_regions(harness: &dyn ComputeHarness) -> bool {
    !with_regions(harness)
}

async fn creating_twice_gives_one_machine(scope: &Scope<'_>) -> Outcome {
    let (request, first) = scope.create().await?;
    let second = scope.compute().create_machine(&request).await?;
    ensure!(
        first.provider_id == second.provider_id && first.key == request.key,
        "{first:?} and {second:?} are two machines of one key"
    );
    let listed = scope.listed(&request.labels).await?;
    ensure!(listed.len() == 1, "listed after two creations: {listed:?}");
    Ok(())
}

async fn concurrent_creations_give_one_machine(scope: &Scope<'_>) -> Outcome {
    let request = scope.request();
    let calls = (0..8).map(|_| scope.compute().create_machine(&request));
    let mut ids = Vec::new();
    for machine in join_all(calls).await {
        ids.push(machine?.provider_id);
    }
    ids.dedup();
    ensure!(ids.len() == 1, "eight creations of one key made {ids:?}");
    let listed = scope.listed(&request.labels).await?;
    ensure!(listed.len() == 1, "listed after eight creations: {listed:?}");
    Ok(())
}

async fn an_adopted_machine_keeps_its_first_labels(scope: &Scope<'_>) -> Outcome {
    let (request, first) = scope.create().await?;
    let labels = request.labels.clone().with("conformance-late", "1")?;
    let again = request.clone().with_labels(labels).with_size(Size::Small);
    let second = scope.compute().create_machine(&again).await?;
    ensure!(
        first.labels == request.labels && second.labels == first.labels,
        "labels changed from {:?} to {:?}",
        first.labels,
        second.labels
    );
    Ok(())
}

async fn deleting_the_absent_succeeds(scope: &Scope<'_>) -> Outcome {
    let never = scope.request();
    scope.delete(&never.key).await?;
    let (request, _) = scope.create().await?;
    scope.delete(&request.key).await?;
    scope.delete(&request.key).await
}

async fn a_deleted_machine_is_nowhere_shown(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    let (other, _) = scope.create().await?;
    scope.delete(&request.key).await?;
    let found = scope.compute().machine(&request.key).await?;
    ensure!(found.is_none(), "still found: {found:?}");
    let listed = scope.listed(&request.labels).await?;
    ensure!(
        listed.iter().map(|m| &m.key).eq([&other.key]),
        "listed beside {}: {listed:?}",
        other.key
    );
    if !scope.compute().capabilities().owned {
        return Ok(());
    }
    let owned = scope.owned(&request.labels).await?;
    let key = Some(request.key.as_str());
    let left = owned.iter().filter(|resource| resource.key.as_deref() == key).count();
    ensure!(left == 0 && !owned.is_empty(), "owned beside {}: {owned:?}", other.key);
    Ok(())
}

async fn a_deleted_key_can_be_created_again(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    scope.delete(&request.key).await?;
    scope.compute().create_machine(&request).await?;
    let found = scope.compute().machine(&request.key).await?;
    ensure!(found.is_some(), "created again, but not there");
    Ok(())
}

async fn only_an_absent_machine_is_none(scope: &Scope<'_>) -> Outcome {
    let never = scope.request();
    let found = scope.compute().machine(&never.key).await?;
    ensure!(found.is_none(), "never made, but found: {found:?}");
    let (request, made) = scope.create().await?;
    match scope.compute().machine(&request.key).await? {
        Some(found) if found.key == made.key && found.provider_id == made.provider_id => Ok(()),
        other => Err(Failure::new(format!("made {made:?}, but found {other:?}"))),
    }
}

async fn a_listing_holds_every_machine_once(scope: &Scope<'_>) -> Outcome {
    let mut keys = Vec::new();
    let mut labels = Labels::default();
    for _ in 0..5 {
        let (request, _) = scope.create().await?;
        labels = request.labels;
        keys.push(request.key);
    }
    keys.sort();
    let mut listed: Vec<_> = scope.listed(&labels).await?.into_iter().map(|m| m.key).collect();
    listed.sort();
    ensure!(listed == keys, "made {keys:?}, but listed {listed:?}");
    // Continuing after the last entry finds the end, not an error and not the beginning.
    let query = ListMachines::new(labels);
    let first = scope.compute().list_machines(&query).await?;
    match first.next {
        None => Ok(()),
        next => {
            let second = scope.compute().list_machines(&query.with_after(next)).await?;
            let repeated = second.items.iter().any(|m| first.items.contains(m));
            ensure!(!repeated, "a second page repeats the first");
            Ok(())
        }
    }
}

async fn a_listing_is_filtered_by_all_labels(scope: &Scope<'_>) -> Outcome {
    let plain = scope.request();
    let base = scope.request();
    let marked = base.clone().with_labels(base.labels.clone().with("conformance-mark", "yes")?);
    scope.compute().create_machine(&plain).await?;
    scope.compute().create_machine(&marked).await?;
    let with = scope.listed(&marked.labels).await?;
    ensure!(with.iter().map(|m| &m.key).eq([&marked.key]), "by both labels: {with:?}");
    let wrong = base.labels.clone().with("conformance-mark", "no")?;
    let none = scope.listed(&wrong).await?;
    ensure!(none.is_empty(), "by a label nobody has: {none:?}");
    Ok(())
}

async fn labels_come_back_as_given(scope: &Scope<'_>) -> Outcome {
    let request = scope.request();
    let labels = request.labels.clone();
    let labels = labels.with("conformance-Upper.lower_1-2", &"x".repeat(63))?;
    let request = request.with_labels(labels.clone());
    let made = scope.compute().create_machine(&request).await?;
    let found = scope.compute().machine(&request.key).await?.map(|m| m.labels);
    let listed: Vec<_> = scope.listed(&labels).await?.into_iter().map(|m| m.labels).collect();
    ensure!(made.labels == labels, "gave {labels:?}, made {:?}", made.labels);
    ensure!(found.as_ref() == Some(&labels), "gave {labels:?}, found {found:?}");
    ensure!(listed == [labels], "listed {listed:?}");
    Ok(())
}

async fn a_creation_broken_off_can_be_repeated(scope: &Scope<'_>) -> Outcome {
    let request = scope.request();
    // One poll: it may have done nothing, something or all.
    let broken_off = scope.compute().create_machine(&request).now_or_never();
    drop(broken_off);
    scope.compute().create_machine(&request).await?;
    let listed = scope.listed(&request.labels).await?;
    ensure!(listed.len() == 1, "listed after a broken-off creation: {listed:?}");
    Ok(())
}

async fn every_size_is_on_offer_and_works(scope: &Scope<'_>) -> Outcome {
    let catalog = scope.compute().catalog().await?;
    for size in [Size::Small, Size::Medium, Size::Large] {
        let offer = catalog.sizes.iter().find(|offer| offer.size == size);
        ensure!(
            offer.is_some_and(|offer| offer.cpus > 0 && offer.memory_mib > 0),
            "{size:?} is offered as {offer:?}"
        );
        let request = scope.request().with_size(size);
        scope.compute().create_machine(&request).await?;
        scope.delete(&request.key).await?;
    }
    Ok(())
}

async fn good_credentials_are_accepted(scope: &Scope<'_>) -> Outcome {
    Ok(scope.compute().verify_credentials().await?)
}

async fn a_claimed_region_is_on_offer(scope: &Scope<'_>) -> Outcome {
    let catalog = scope.compute().catalog().await?;
    let Some(region) = catalog.regions.first() else {
        return Err(Failure::new("regions are claimed, but none is on offer"));
    };
    let request = scope.request().with_region(Some(region.clone()));
    scope.compute().create_machine(&request).await?;
    Ok(())
}

async fn a_region_is_refused_where_none_is_claimed(scope: &Scope<'_>) -> Outcome {
    let request = scope.request().with_region(Some("conformance-1".to_owned()));
    match scope.compute().create_machine(&request).await {
        // The provider itself says the one, a guard before it the other.
        Err(error) if [ErrorKind::BadInput, ErrorKind::Unsupported].contains(&error.kind()) => {
            Ok(())
        }
        other => Err(Failure::new(format!("a region that is not claimed gave {other:?}"))),
    }
}

async fn concurrent_deletions_succeed(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    for deleted in join_all((0..4).map(|_| scope.delete(&request.key))).await {
        deleted?;
    }
    let found = scope.compute().machine(&request.key).await?;
    ensure!(found.is_none(), "deleted, but found {found:?}");
    Ok(())
}

async fn a_second_page_goes_on_where_the_first_ended(scope: &Scope<'_>) -> Outcome {
    let mut keys = Vec::new();
    let mut labels = Labels::default();
    for _ in 0..=scope.machines_per_page()? {
        let (request, _) = scope.create().await?;
        labels = request.labels;
        keys.push(request.key);
    }
    let first = scope.compute().list_machines(&ListMachines::new(labels.clone())).await?;
    ensure!(first.next.is_some(), "{} of one more are listed as all", first.items.len());
    let mut listed: Vec<_> = scope.listed(&labels).await?.into_iter().map(|m| m.key).collect();
    listed.sort();
    keys.sort();
    ensure_eq!(listed, keys, "the keys on all pages");
    Ok(())
}

async fn a_deletion_broken_off_can_be_repeated(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    let broken_off = scope.compute().delete_machine(&request.key).now_or_never();
    drop(broken_off);
    scope.delete(&request.key).await?;
    let found = scope.compute().machine(&request.key).await?;
    ensure!(found.is_none(), "deleted twice, but found {found:?}");
    Ok(())
}

async fn a_region_that_is_not_on_offer_is_refused(scope: &Scope<'_>) -> Outcome {
    let request = scope.request().with_region(Some("conformance-nowhere-1".to_owned()));
    let made = scope.compute().create_machine(&request).await;
    ensure_kind!(made, ErrorKind::BadInput, "a region that is not on offer");
    Ok(())
}

async fn the_token_of_the_first_boot_is_shown_nowhere(scope: &Scope<'_>) -> Outcome {
    const CANARY: &str = "conformance-canary-7f3a9c";
    let mut request = scope.request();
    request.boot.token = Secret::new(CANARY.to_owned());
    let made = scope.compute().create_machine(&request).await?;
    let found = scope.compute().machine(&request.key).await?;
    let listed = scope.listed(&request.labels).await?;
    let owned = scope.owned(&request.labels).await?;
    let shown = format!("{made:?} {found:?} {listed:?} {owned:?} {:?}", scope.compute());
    ensure!(!shown.contains(CANARY), "the token can be read: {shown}");
    Ok(())
}
