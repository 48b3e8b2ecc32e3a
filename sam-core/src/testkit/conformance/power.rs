//! What every [`PowerControl`](crate::compute::PowerControl) must do, reached through its provider.

use futures_util::future::join_all;

use super::compute::{ComputeHarness, Scope};
use super::{Outcome, cases, ensure, ensure_kind};
use crate::compute::Power;
use crate::error::ErrorKind;

cases! {
    ComputeHarness, Scope;
    "PowerControl C1", claimed {
        switching_to_the_present_state_succeeds,
        switching_from_several_sides_at_once_succeeds,
    }
    "PowerControl C2", keeps_disk {
        a_machine_that_is_off_is_kept_and_comes_back,
    }
    "PowerControl C2", claimed {
        a_machine_that_is_off_can_be_deleted,
    }
    "PowerControl C3", claimed {
        switching_the_absent_is_not_found,
        switching_a_deleted_machine_is_not_found,
    }
    "PowerControl C4", claimed {
        switching_one_machine_leaves_the_others_alone,
    }
    "ComputeProvider C8", unclaimed {
        there_is_no_power_where_none_is_claimed,
    }
}

fn claimed(harness: &dyn ComputeHarness) -> bool {
    harness.compute().capabilities().power
}

fn unclaimed(harness: &dyn ComputeHarness) -> bool {
    !claimed(harness)
}

fn keeps_disk(harness: &dyn ComputeHarness) -> bool {
    claimed(harness) && harness.compute().capabilities().disk_survives_power_off
}

async fn there_is_no_power_where_none_is_claimed(scope: &Scope<'_>) -> Outcome {
    ensure!(scope.compute().power().is_none(), "power works, but is not claimed");
    Ok(())
}

async fn switching_to_the_present_state_succeeds(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    for state in [Power::On, Power::On, Power::Off, Power::Off, Power::On] {
        scope.power()?.set_power(&request.key, state).await?;
        scope.expect_power(&request.key, state).await?;
    }
    Ok(())
}

async fn switching_the_absent_is_not_found(scope: &Scope<'_>) -> Outcome {
    let never = scope.request();
    for state in [Power::On, Power::Off] {
        let switched = scope.power()?.set_power(&never.key, state).await;
        ensure_kind!(switched, ErrorKind::NotFound, "switching the absent {state:?}");
    }
    let found = scope.compute().machine(&never.key).await?;
    ensure!(found.is_none(), "switching made a machine: {found:?}");
    Ok(())
}

async fn a_machine_that_is_off_is_kept_and_comes_back(scope: &Scope<'_>) -> Outcome {
    let (request, made) = scope.create().await?;
    scope.power()?.set_power(&request.key, Power::Off).await?;
    scope.expect_power(&request.key, Power::Off).await?;
    let listed = scope.listed(&request.labels).await?;
    ensure!(
        listed.iter().map(|m| &m.provider_id).eq([&made.provider_id]),
        "listed while off: {listed:?}"
    );
    let owned = scope.owned(&request.labels).await?;
    let known = owned.iter().any(|resource| resource.provider_id == made.provider_id);
    ensure!(
        known || !scope.compute().capabilities().owned,
        "{made:?} is not owned while off: {owned:?}"
    );
    scope.power()?.set_power(&request.key, Power::On).await?;
    scope.expect_power(&request.key, Power::On).await
}

async fn a_machine_that_is_off_can_be_deleted(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    scope.power()?.set_power(&request.key, Power::Off).await?;
    scope.delete(&request.key).await?;
    let found = scope.compute().machine(&request.key).await?;
    ensure!(found.is_none(), "deleted while off, but found {found:?}");
    Ok(())
}

async fn switching_from_several_sides_at_once_succeeds(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    for state in [Power::Off, Power::On] {
        let power = scope.power()?;
        for switched in join_all((0..4).map(|_| power.set_power(&request.key, state))).await {
            switched?;
        }
        scope.expect_power(&request.key, state).await?;
    }
    Ok(())
}

async fn switching_a_deleted_machine_is_not_found(scope: &Scope<'_>) -> Outcome {
    let (request, _) = scope.create().await?;
    scope.delete(&request.key).await?;
    let switched = scope.power()?.set_power(&request.key, Power::On).await;
    ensure_kind!(switched, ErrorKind::NotFound, "switching a deleted machine on");
    let found = scope.compute().machine(&request.key).await?;
    ensure!(found.is_none(), "switching brought it back: {found:?}");
    Ok(())
}

async fn switching_one_machine_leaves_the_others_alone(scope: &Scope<'_>) -> Outcome {
    let (one, _) = scope.create().await?;
    let (other, _) = scope.create().await?;
    scope.power()?.set_power(&one.key, Power::Off).await?;
    scope.expect_power(&one.key, Power::Off).await?;
    scope.expect_power(&other.key, Power::On).await?;
    // Creating again adopts, and does not switch on behind the caller's back.
    let adopted = scope.compute().create_machine(&other).await?;
    ensure!(adopted.power == Power::On, "adopted as {adopted:?}");
    scope.expect_power(&one.key, Power::Off).await
}
