//! The cases, in the order of the clauses.

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};

use super::{Case, Failure, Requirement, Scope, ensure};
use crate::compute::{Labels, Power, PowerControl, Size};
use crate::error::ErrorKind;

type Outcome = Result<(), Failure>;

macro_rules! cases {
    ($($name:ident = $clause:literal, $requires:ident;)*) => {
        /// Every case.
        pub const CASES: &[Case] = &[$(Case {
            name: stringify!($name),
            clause: $clause,
            requires: Requirement::$requires,
            body: |scope| -> BoxFuture<'_, Outcome> { $name(scope).boxed() },
        }),*];
    };
}

cases! {
    creating_twice_gives_one_machine = "ComputeProvider C1", Always;
    concurrent_creations_give_one_machine = "ComputeProvider C1", Always;
    an_adopted_machine_keeps_its_first_labels = "ComputeProvider C1", Always;
    deleting_the_absent_succeeds = "ComputeProvider C2", Always;
    a_deleted_machine_is_nowhere_shown = "ComputeProvider C3", Always;
    a_deleted_key_can_be_created_again = "ComputeProvider C3", Always;
    only_an_absent_machine_is_none = "ComputeProvider C4", Always;
    a_listing_holds_every_machine_once = "ComputeProvider C5", Always;
    a_listing_is_filtered_by_all_labels = "ComputeProvider C5", Always;
    labels_come_back_as_given = "ComputeProvider C6", Always;
    a_creation_broken_off_can_be_repeated = "ComputeProvider C7", Always;
    every_size_is_on_offer_and_works = "ComputeProvider catalog", Always;
    good_credentials_are_accepted = "ComputeProvider verify_credentials", Always;
    a_claimed_region_is_on_offer = "ComputeProvider capabilities", Regions;
    a_region_is_refused_where_none_is_claimed = "ComputeProvider capabilities", WithoutRegions;
    there_is_no_power_where_none_is_claimed = "ComputeProvider capabilities", WithoutPower;
    nothing_is_owned_where_no_list_is_claimed = "ComputeProvider capabilities", WithoutOwned;
    there_are_no_volumes_where_none_are_claimed = "ComputeProvider capabilities", WithoutVolumes;
    switching_to_the_present_state_succeeds = "PowerControl C1", Power;
    switching_the_absent_is_not_found = "PowerControl C1", Power;
    a_machine_that_is_off_is_kept_and_comes_back = "PowerControl C2", Power;
    a_machine_that_is_off_can_be_deleted = "PowerControl C2", Power;
    what_was_made_is_owned_until_it_is_gone = "OwnedResources C1", Owned;
    what_others_made_is_not_owned = "OwnedResources C2", Owned;
    what_is_owned_can_be_deleted_twice = "OwnedResources C3", Owned;
}

async fn creating_twice_gives_one_machine(scope: &Scope<'_>) -> Outcome {
    let (request, first) = scope.create().await?;
    let second = scope.compute().create_machine(&request).await?;
    ensure(first.provider_id == second.provider_id && first.key == request.key, || {
        format!("{first:?} and {second:?} are two machines of one key")
    })?;
    let listed = scope.listed(&request.labels).await?;
    ensure(listed.len() == 1, || format!("listed after two creations: {listed:?}"))
}

async fn concurrent_creations_give_one_machine(scope: &Scope<'_>) -> Outcome {
    let request = scope.request();
    let calls = (0..8).map(|_| scope.compute().create_machine(&request));
    let mut ids = Vec::new();
    for machine in join_all(calls).await {
        ids.push(machine?.provider_id);
    }
    ids.dedup();
    ensure(ids.len() == 1, || format!("eight creations of one key made {ids:?}"))?;
    let listed = scope.listed(&request.labels).await?;
    ensure(listed.len() == 1, || format!("listed after eight creations: {listed:?}"))
}

async fn an_adopted_machine_keeps_its_first_labels(scope: &Scope<'_>) -> Outcome {
    let (request, first) = scope.create().await?;
    let labels = request.labels.clone().with("conformance-late", "1")?;
    let again = request.clone().with_labels(labels).with_size(Size::Small);
    let second = scope.compute().create_machine(&again).await?;
    ensure(first.labels == request.labels && second.labels == first.labels, || {
        format!("labels changed from {:?} to {:?}", first.labels, second.labels)
    })
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
    ensure(found.is_none(), || format!("still found: {found:?}"))?;
    let listed = scope.listed(&request.labels).await?;
    ensure(listed.iter().map(|m| &m.key).eq([&other.key]), || {
        format!("listed beside {}: {listed:?}", other.key)
    })?;
    if !scope.compute().capabilities().owned {
        return Ok(());
    }
    let owned = scope.owned(&request.labels).await?;
    ensure(owned.len() == 1, || format!("owned beside {}: {owned:?}", other.key))
}

async fn a_deleted_key_can_be_created_again(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    scope.delete(&request.key).await?;
    scope.compute().create_machine(&request).await?;
    let found = scope.compute().machine(&request.key).await?;
    ensure(found.is_some(), || "created again, but not there".to_owned())
}

async fn only_an_absent_machine_is_none(scope: &Scope<'_>) -> Outcome {
    let never = scope.request();
    let found = scope.compute().machine(&never.key).await?;
    ensure(found.is_none(), || format!("never made, but found: {found:?}"))?;
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
    ensure(listed == keys, || format!("made {keys:?}, but listed {listed:?}"))?;
    // Continuing after the last entry finds the end, not an error and not the beginning.
    let query = crate::compute::ListMachines::new(labels);
    let first = scope.compute().list_machines(&query).await?;
    match first.next {
        None => Ok(()),
        next => {
            let second = scope.compute().list_machines(&query.with_after(next)).await?;
            let repeated = second.items.iter().any(|m| first.items.contains(m));
            ensure(!repeated, || "a second page repeats the first".to_owned())
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
    ensure(with.iter().map(|m| &m.key).eq([&marked.key]), || format!("by both labels: {with:?}"))?;
    let wrong = base.labels.clone().with("conformance-mark", "no")?;
    let none = scope.listed(&wrong).await?;
    ensure(none.is_empty(), || format!("by a label nobody has: {none:?}"))
}

async fn labels_come_back_as_given(scope: &Scope<'_>) -> Outcome {
    let request = scope.request();
    let labels = request.labels.clone();
    let labels = labels.with("conformance-Upper.lower_1-2", &"x".repeat(63))?;
    let request = request.with_labels(labels.clone());
    let made = scope.compute().create_machine(&request).await?;
    let found = scope.compute().machine(&request.key).await?.map(|m| m.labels);
    let listed: Vec<_> = scope.listed(&labels).await?.into_iter().map(|m| m.labels).collect();
    ensure(made.labels == labels, || format!("gave {labels:?}, made {:?}", made.labels))?;
    ensure(found.as_ref() == Some(&labels), || format!("gave {labels:?}, found {found:?}"))?;
    ensure(listed == [labels], || format!("listed {listed:?}"))
}

async fn a_creation_broken_off_can_be_repeated(scope: &Scope<'_>) -> Outcome {
    let request = scope.request();
    // One poll: it may have done nothing, something or all.
    let broken_off = scope.compute().create_machine(&request).now_or_never();
    drop(broken_off);
    scope.compute().create_machine(&request).await?;
    let listed = scope.listed(&request.labels).await?;
    ensure(listed.len() == 1, || format!("listed after a broken-off creation: {listed:?}"))
}

async fn every_size_is_on_offer_and_works(scope: &Scope<'_>) -> Outcome {
    let catalog = scope.compute().catalog().await?;
    for size in [Size::Small, Size::Medium, Size::Large] {
        let offer = catalog.sizes.iter().find(|offer| offer.size == size);
        ensure(offer.is_some_and(|offer| offer.cpus > 0 && offer.memory_mib > 0), || {
            format!("{size:?} is offered as {offer:?}")
        })?;
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

async fn there_is_no_power_where_none_is_claimed(scope: &Scope<'_>) -> Outcome {
    ensure(scope.compute().power().is_none(), || "power works, but is not claimed".to_owned())
}

async fn nothing_is_owned_where_no_list_is_claimed(scope: &Scope<'_>) -> Outcome {
    ensure(scope.compute().owned().is_none(), || {
        "what it made is listed, but no such list is claimed".to_owned()
    })
}

async fn there_are_no_volumes_where_none_are_claimed(scope: &Scope<'_>) -> Outcome {
    ensure(scope.compute().volumes().is_none(), || "volumes work, but are not claimed".to_owned())
}

fn power<'a>(scope: &'a Scope<'_>) -> Result<&'a dyn PowerControl, Failure> {
    scope.compute().power().ok_or_else(|| Failure::new("power is claimed, but there is none"))
}

async fn expect_power(
    scope: &Scope<'_>,
    key: &crate::compute::MachineKey,
    power: Power,
) -> Outcome {
    match scope.compute().machine(key).await? {
        Some(machine) if machine.power == power => Ok(()),
        other => Err(Failure::new(format!("expected {key} to be {power:?}, found {other:?}"))),
    }
}

async fn switching_to_the_present_state_succeeds(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    for state in [Power::On, Power::On, Power::Off, Power::Off, Power::On] {
        power(scope)?.set_power(&request.key, state).await?;
        expect_power(scope, &request.key, state).await?;
    }
    Ok(())
}

async fn switching_the_absent_is_not_found(scope: &Scope<'_>) -> Outcome {
    let never = scope.request();
    for state in [Power::On, Power::Off] {
        match power(scope)?.set_power(&never.key, state).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => {
                return Err(Failure::new(format!("switching the absent {state:?} gave {other:?}")));
            }
        }
    }
    let found = scope.compute().machine(&never.key).await?;
    ensure(found.is_none(), || format!("switching made a machine: {found:?}"))
}

async fn a_machine_that_is_off_is_kept_and_comes_back(scope: &Scope<'_>) -> Outcome {
    let (request, made) = scope.create().await?;
    power(scope)?.set_power(&request.key, Power::Off).await?;
    expect_power(scope, &request.key, Power::Off).await?;
    let listed = scope.listed(&request.labels).await?;
    ensure(listed.iter().map(|m| &m.provider_id).eq([&made.provider_id]), || {
        format!("listed while off: {listed:?}")
    })?;
    let owned = scope.owned(&request.labels).await?;
    ensure(owned.len() == listed.len() || !scope.compute().capabilities().owned, || {
        format!("owned while off: {owned:?}")
    })?;
    power(scope)?.set_power(&request.key, Power::On).await?;
    expect_power(scope, &request.key, Power::On).await
}

async fn a_machine_that_is_off_can_be_deleted(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    power(scope)?.set_power(&request.key, Power::Off).await?;
    scope.delete(&request.key).await?;
    let found = scope.compute().machine(&request.key).await?;
    ensure(found.is_none(), || format!("deleted while off, but found {found:?}"))
}

async fn what_was_made_is_owned_until_it_is_gone(scope: &Scope<'_>) -> Outcome {
    let (request, made) = scope.create().await?;
    let owned = scope.owned(&request.labels).await?;
    let machine = owned.iter().find(|resource| resource.provider_id == made.provider_id);
    ensure(
        machine.is_some_and(|r| {
            r.labels == request.labels && r.key.as_deref() == Some(made.key.as_str())
        }),
        || format!("made {made:?}, but owned are {owned:?}"),
    )?;
    scope.delete(&request.key).await?;
    let owned = scope.owned(&request.labels).await?;
    ensure(owned.is_empty(), || format!("deleted, but owned are {owned:?}"))
}

async fn what_others_made_is_not_owned(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    let foreign = request.labels.clone().with("conformance-other", "installation")?;
    let owned = scope.owned(&foreign).await?;
    ensure(owned.is_empty(), || format!("listed for another installation: {owned:?}"))
}

async fn what_is_owned_can_be_deleted_twice(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    let owned = scope.owned(&request.labels).await?;
    ensure(!owned.is_empty(), || "made, but not owned".to_owned())?;
    for resource in owned.iter().chain(&owned) {
        scope.owner()?.delete_owned(resource).await?;
    }
    let left = scope.owned(&request.labels).await?;
    ensure(left.is_empty(), || format!("deleted, but owned are {left:?}"))?;
    let found = scope.compute().machine(&request.key).await?;
    ensure(found.is_none(), || format!("deleted, but found {found:?}"))
}
