//! What every [`OwnedResources`](crate::compute::OwnedResources) must do, reached through its
//! provider.

use futures_util::FutureExt as _;

use super::compute::{ComputeHarness, Scope};
use super::{Failure, Outcome, cases, ensure, ensure_eq, ensure_kind};
use crate::compute::{Labels, ListOwned, OwnedResource};
use crate::error::ErrorKind;
use crate::volume::{CreateVolume, VolumeProvider};

cases! {
    ComputeHarness, Scope;
    "OwnedResources C1", claimed {
        what_was_made_is_owned_until_it_is_gone,
        a_creation_broken_off_leaves_nothing_that_is_not_owned,
    }
    "OwnedResources C1", with_volumes {
        a_volume_is_owned_until_it_is_gone,
    }
    "OwnedResources C2", claimed {
        what_others_made_is_not_owned,
    }
    "OwnedResources C3", claimed {
        what_is_owned_can_be_deleted_twice,
    }
    "OwnedResources C4", claimed {
        what_is_owned_names_its_sort_its_ids_and_its_labels,
    }
    "OwnedResources C5", claimed {
        everything_owned_is_listed_once,
    }
    "OwnedResources C5", with_pages {
        a_second_page_of_what_is_owned_goes_on_where_the_first_ended,
    }
    "OwnedResources C6", claimed {
        deleting_one_leaves_the_others,
    }
    "OwnedResources C6", with_volumes {
        what_something_else_needs_is_not_deleted,
    }
    "ComputeProvider C8", unclaimed {
        nothing_is_owned_where_no_list_is_claimed,
    }
}

fn claimed(harness: &dyn ComputeHarness) -> bool {
    harness.compute().capabilities().owned
}

fn unclaimed(harness: &dyn ComputeHarness) -> bool {
    !claimed(harness)
}

fn with_volumes(harness: &dyn ComputeHarness) -> bool {
    claimed(harness) && harness.compute().capabilities().volumes
}

fn with_pages(harness: &dyn ComputeHarness) -> bool {
    claimed(harness) && harness.machines_per_page().is_some()
}

fn sorted(resources: &[OwnedResource]) -> Vec<(&str, &str)> {
    let mut ids: Vec<_> = resources.iter().map(|r| (&*r.sort, r.provider_id.as_str())).collect();
    ids.sort_unstable();
    ids
}

async fn nothing_is_owned_where_no_list_is_claimed(scope: &Scope<'_>) -> Outcome {
    ensure!(
        scope.compute().owned().is_none(),
        "what it made is listed, but no such list is claimed"
    );
    Ok(())
}

async fn what_was_made_is_owned_until_it_is_gone(scope: &Scope<'_>) -> Outcome {
    let (request, made) = scope.create().await?;
    let owned = scope.owned(&request.labels).await?;
    let machine = owned.iter().find(|resource| resource.provider_id == made.provider_id);
    ensure!(
        machine.is_some_and(|r| {
            r.labels == request.labels && r.key.as_deref() == Some(made.key.as_str())
        }),
        "made {made:?}, but owned are {owned:?}"
    );
    scope.delete(&request.key).await?;
    let owned = scope.owned(&request.labels).await?;
    ensure!(owned.is_empty(), "deleted, but owned are {owned:?}");
    Ok(())
}

async fn what_others_made_is_not_owned(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    let foreign = request.labels.clone().with("conformance-other", "installation")?;
    let owned = scope.owned(&foreign).await?;
    ensure!(owned.is_empty(), "listed for another installation: {owned:?}");
    Ok(())
}

async fn what_is_owned_can_be_deleted_twice(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    let owned = scope.owned(&request.labels).await?;
    ensure!(!owned.is_empty(), "made, but not owned");
    for resource in owned.iter().chain(&owned) {
        scope.owner()?.delete_owned(resource).await?;
    }
    let left = scope.owned(&request.labels).await?;
    ensure!(left.is_empty(), "deleted, but owned are {left:?}");
    let found = scope.compute().machine(&request.key).await?;
    ensure!(found.is_none(), "deleted, but found {found:?}");
    Ok(())
}

async fn a_creation_broken_off_leaves_nothing_that_is_not_owned(scope: &Scope<'_>) -> Outcome {
    let request = scope.request();
    let broken_off = scope.compute().create_machine(&request).now_or_never();
    drop(broken_off);
    // It may take effect a little later, and then it is there and owned.
    let found = scope.compute().machine(&request.key).await?;
    let owned = scope.owned(&request.labels).await?;
    if let Some(machine) = found {
        let known = owned.iter().any(|resource| resource.provider_id == machine.provider_id);
        ensure!(known, "{machine:?} is there, but owned are {owned:?}");
    }
    Ok(())
}

/// A volume of the case, which the case deletes itself.
async fn volume<'a>(
    scope: &'a Scope<'_>,
    labels: &Labels,
) -> Result<(&'a dyn VolumeProvider, CreateVolume), Failure> {
    let volumes = scope.compute().volumes();
    let volumes = volumes.ok_or_else(|| Failure::new("volumes are claimed, but there are none"))?;
    let key = format!("{}-v", scope.request().key);
    let request = CreateVolume::new(key, 10, labels.clone());
    volumes.create_volume(&request).await?;
    Ok((volumes, request))
}

async fn a_volume_is_owned_until_it_is_gone(scope: &Scope<'_>) -> Outcome {
    let labels = scope.request().labels;
    let (volumes, request) = volume(scope, &labels).await?;
    let owned = scope.owned(&labels).await;
    volumes.delete_volume(&request.key).await?;
    let owned = owned?;
    let listed = owned.iter().any(|resource| {
        resource.sort == OwnedResource::VOLUME
            && resource.key.as_ref() == Some(&request.key)
            && resource.labels == labels
    });
    ensure!(listed, "made {request:?}, but owned are {owned:?}");
    let left = scope.owned(&labels).await?;
    ensure!(left.is_empty(), "deleted, but owned are {left:?}");
    Ok(())
}

async fn what_something_else_needs_is_not_deleted(scope: &Scope<'_>) -> Outcome {
    let (machine, _) = scope.create().await?;
    let (volumes, request) = volume(scope, &machine.labels).await?;
    volumes.attach(&request.key, &machine.key).await?;
    let owned = scope.owned(&machine.labels).await?;
    let attached = owned.iter().find(|resource| resource.sort == OwnedResource::VOLUME);
    let attached = attached.ok_or_else(|| Failure::new(format!("no volume in {owned:?}")))?;
    let refused = scope.owner()?.delete_owned(attached).await;
    let kept = volumes.volume(&request.key).await;
    volumes.detach(&request.key).await?;
    let deleted = scope.owner()?.delete_owned(attached).await;
    volumes.delete_volume(&request.key).await?;
    ensure_kind!(refused, ErrorKind::Conflict, "deleting an attached volume");
    ensure!(kept?.is_some(), "refused, but the volume is gone");
    deleted?;
    Ok(())
}

async fn what_is_owned_names_its_sort_its_ids_and_its_labels(scope: &Scope<'_>) -> Outcome {
    let (request, made) = scope.create().await?;
    let owned = scope.owned(&request.labels).await?;
    let machine = owned.iter().find(|resource| resource.sort == OwnedResource::MACHINE);
    let machine = machine.ok_or_else(|| Failure::new(format!("no machine in {owned:?}")))?;
    ensure_eq!(machine.provider_id, made.provider_id, "the provider's id");
    ensure_eq!(machine.key.as_deref(), Some(request.key.as_str()), "the key");
    ensure_eq!(machine.labels, request.labels, "the labels");
    ensure!(
        owned.iter().all(|resource| !resource.sort.is_empty()),
        "one without a sort: {owned:?}"
    );
    Ok(())
}

async fn everything_owned_is_listed_once(scope: &Scope<'_>) -> Outcome {
    let mut labels = Labels::default();
    let mut made = Vec::new();
    for _ in 0..4 {
        let (request, machine) = scope.create().await?;
        labels = request.labels;
        made.push(machine.provider_id);
    }
    let owned = scope.owned(&labels).await?;
    let ids = sorted(&owned);
    ensure!(ids.windows(2).all(|pair| pair[0] != pair[1]), "listed twice: {ids:?}");
    for id in &made {
        ensure!(ids.iter().any(|(_, known)| known == id), "{id} is not in {ids:?}");
    }
    Ok(())
}

async fn a_second_page_of_what_is_owned_goes_on_where_the_first_ended(
    scope: &Scope<'_>,
) -> Outcome {
    let mut labels = Labels::default();
    for _ in 0..=scope.machines_per_page()? {
        labels = scope.create().await?.0.labels;
    }
    let first = scope.owner()?.list_owned(&ListOwned::new(labels.clone())).await?;
    ensure!(first.next.is_some(), "{} of one more are listed as all", first.items.len());
    let owned = scope.owned(&labels).await?;
    let ids = sorted(&owned);
    ensure!(ids.len() > scope.machines_per_page()?, "only {} are listed", ids.len());
    ensure!(ids.windows(2).all(|pair| pair[0] != pair[1]), "listed twice: {ids:?}");
    Ok(())
}

async fn deleting_one_leaves_the_others(scope: &Scope<'_>) -> Outcome {
    let (one, made) = scope.create().await?;
    let (other, _) = scope.create().await?;
    let owned = scope.owned(&one.labels).await?;
    let first = owned.iter().find(|resource| resource.provider_id == made.provider_id);
    let first = first.ok_or_else(|| Failure::new(format!("{made:?} is not in {owned:?}")))?;
    scope.owner()?.delete_owned(first).await?;
    let gone = scope.compute().machine(&one.key).await?;
    ensure!(gone.is_none(), "deleted, but found {gone:?}");
    let kept = scope.compute().machine(&other.key).await?;
    ensure!(kept.is_some(), "{} went, too", other.key);
    // A sort that is unknown here was made by somebody else, and is absent.
    let strange = OwnedResource::new("conformance", made.provider_id, one.labels);
    scope.owner()?.delete_owned(&strange).await?;
    let kept = scope.compute().machine(&other.key).await?;
    ensure!(kept.is_some(), "{} went with another sort", other.key);
    Ok(())
}
