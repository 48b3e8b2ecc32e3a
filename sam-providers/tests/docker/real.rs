//! What is hard for containers alone, on a real engine.

use bollard::models::{ContainerCreateBody, NetworkCreateRequest, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptions, DownloadFromContainerOptions, InspectContainerOptions,
    InspectNetworkOptions, RemoveContainerOptions, RemoveVolumeOptions,
};
use futures_util::TryStreamExt as _;
use sam_core::compute::{
    ComputeProvider as _, Deletion, ListMachines, ListOwned, OwnedResource, OwnedResources as _,
    Power, PowerControl as _, Size,
};
use sam_core::testkit::conformance::compute::ComputeHarness as _;
use sam_core::{Effect, ErrorKind};

use super::contract::Contract;
use super::engine::{self, Home, TOKEN, config, docker};
use super::proxy::{Loss, Proxy};

/// Reads a file of a container, as an archive.
async fn file(key: &str, path: &str) -> Option<Vec<u8>> {
    let docker = docker().await;
    let options = DownloadFromContainerOptions { path: path.to_owned() };
    let parts: Vec<_> =
        docker.download_from_container(key, Some(options)).try_collect().await.ok()?;
    Some(parts.concat())
}

fn boot_file(key: &str) -> String {
    format!("/var/lib/sam/nodes/{key}/boot.json")
}

pub(crate) async fn a_node_has_its_limits_and_nothing_secret_to_inspect() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("shown"), b"from this computer").unwrap();
    let home = Home::of(config().with_pids_max(200).with_shown(dir.path().to_owned()));
    let request = home.request().with_size(Size::Small);
    let machine = home.compute.create_machine(&request).await.unwrap();
    assert!(!machine.addresses.is_empty(), "{machine:?}");
    let key = request.key.as_str();
    let docker = docker().await;
    let shown = docker.inspect_container(key, None::<InspectContainerOptions>).await.unwrap();
    let network = docker.inspect_network("sam-nodes", None::<InspectNetworkOptions>).await;
    let volume = docker.inspect_volume(key).await.unwrap();
    let all = serde_json::to_string(&(&shown, &network.unwrap(), &volume)).unwrap();
    assert!(!all.contains(TOKEN), "the token can be inspected: {all}");

    let host = shown.host_config.unwrap();
    assert_eq!(host.memory, Some(4 << 30));
    assert_eq!(host.cpu_quota, Some(200_000));
    assert_eq!(host.pids_limit, Some(200));
    assert_ne!(host.privileged, Some(true));
    let catalog = home.compute.catalog().await.unwrap();
    assert!(catalog.sizes.iter().all(|offer| offer.cpus > 0 && offer.memory_mib > 0));

    let boot = file(key, &boot_file(key)).await.expect("the boot data are in");
    let text = String::from_utf8_lossy(&boot);
    assert!(text.contains(TOKEN) && text.contains("control.invalid"), "{text}");
    assert!(boot[100..107].ends_with(b"0600"), "only root of the container may read it");
    let shown = file(key, &dir.path().join("shown").display().to_string()).await;
    assert!(
        shown.is_some_and(|archive| archive.windows(18).any(|text| text == b"from this computer"))
    );
    home.close().await;
    // What was made with it went with it.
    docker.inspect_volume(key).await.unwrap_err();
}

pub(crate) async fn files_and_identity_outlive_a_stop() {
    let home = Home::new();
    let request = home.request();
    let made = home.compute.create_machine(&request).await.unwrap();
    home.compute.set_power(&request.key, Power::Off).await.unwrap();
    // A second creation adopts what is off and leaves it off.
    let adopted = home.compute.create_machine(&request).await.unwrap();
    assert_eq!((adopted.power, &adopted.provider_id), (Power::Off, &made.provider_id));
    home.compute.set_power(&request.key, Power::On).await.unwrap();
    let back = home.compute.machine(&request.key).await.unwrap().unwrap();
    assert_eq!((back.power, back.provider_id), (Power::On, made.provider_id));
    assert!(file(request.key.as_str(), &boot_file(request.key.as_str())).await.is_some());
    // One that somebody paused does not run, and is woken.
    docker().await.pause_container(request.key.as_str()).await.unwrap();
    let paused = home.compute.machine(&request.key).await.unwrap().unwrap();
    assert_eq!(paused.power, Power::Off);
    home.compute.set_power(&request.key, Power::On).await.unwrap();
    let woken = home.compute.machine(&request.key).await.unwrap().unwrap();
    assert_eq!(woken.power, Power::On);
    home.close().await;
}

pub(crate) async fn a_node_that_ends_at_once_is_told_with_what_it_printed() {
    let script = "echo 'this image lacks a library' >&2; exit 7";
    let command = ["/bin/sh", "-c", script].map(str::to_owned);
    let home = Home::of(config().with_node_command(command.into()));
    let request = home.request();
    // It may live until we look: then it is simply off. Podman knows a state between running and
    // exited for a moment, that Docker's interface has no word for.
    match home.compute.create_machine(&request).await {
        Ok(_) => {}
        Err(error) => {
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
            let text = error.to_string();
            let is_between = text.contains("not understood");
            assert!(is_between || text.contains("lacks a library"), "{error}");
        }
    }
    let command = vec!["/no/such/program".to_owned()];
    let other = Home::of(config().with_node_command(command));
    let request = other.request();
    let error = other.compute.create_machine(&request).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown, "{error:?}");
    // The container is there, is shown, and goes.
    let found = other.compute.machine(&request.key).await.unwrap().unwrap();
    assert_eq!(found.power, Power::Off);
    home.close().await;
    other.close().await;
}

pub(crate) async fn what_somebody_else_made_is_never_touched() {
    let home = Home::new();
    let request = home.request();
    let key = request.key.as_str();
    let docker = docker().await;
    let body = ContainerCreateBody {
        image: Some(engine::image()),
        cmd: Some(vec!["/bin/true".to_owned()]),
        ..Default::default()
    };
    let options = CreateContainerOptions { name: Some(key.to_owned()), ..Default::default() };
    docker.create_container(Some(options), body).await.unwrap();
    let volume = VolumeCreateRequest { name: Some(key.to_owned()), ..Default::default() };
    docker.create_volume(volume).await.unwrap();

    let error = home.compute.create_machine(&request).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::NotApplied));
    assert_eq!(home.compute.machine(&request.key).await.unwrap(), None);
    let switched = home.compute.set_power(&request.key, Power::On).await.unwrap_err();
    assert_eq!(switched.kind(), ErrorKind::NotFound);
    assert_eq!(home.compute.delete_machine(&request.key).await.unwrap(), Deletion::Gone);
    let shown = docker.inspect_container(key, None::<InspectContainerOptions>).await.unwrap();
    for sort in [OwnedResource::MACHINE, OwnedResource::VOLUME] {
        let id = if sort == OwnedResource::MACHINE { shown.id.as_deref().unwrap() } else { key };
        let resource = OwnedResource::new(sort, id.to_owned(), home.labels.clone());
        home.compute.delete_owned(&resource).await.unwrap();
    }
    let remove = RemoveContainerOptions { force: true, ..Default::default() };
    docker.remove_container(key, Some(remove)).await.expect("it is still there");
    // A volume of somebody else is not mounted either.
    let error = home.compute.create_machine(&request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    docker.remove_volume(key, None::<RemoveVolumeOptions>).await.expect("it is still there");
    home.close().await;
}

pub(crate) async fn the_network_goes_with_the_last_node() {
    let name = format!("sam-test-{:x}", engine::random());
    let home = Home::of(config().with_network(&name));
    let (one, other) = (home.request(), home.request());
    home.compute.create_machine(&one).await.unwrap();
    home.compute.create_machine(&other).await.unwrap();
    home.compute.set_power(&other.key, Power::Off).await.unwrap();
    let query = ListOwned::new(home.labels.clone());
    let owned = home.compute.list_owned(&query).await.unwrap().items;
    let sorts: Vec<_> = owned.iter().map(|resource| &*resource.sort).collect();
    assert_eq!(sorts, ["machine", "machine", "volume", "volume", "network"]);
    let network = owned.last().unwrap();
    for used in [network, &owned[2]] {
        let error = home.compute.delete_owned(used).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    }
    // The one that is left is off, and still needs it.
    home.delete(&one.key).await;
    let error = home.compute.delete_owned(network).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    home.compute.set_power(&other.key, Power::On).await.unwrap();
    home.delete(&other.key).await;
    let docker = docker().await;
    docker.inspect_network(&name, None::<InspectNetworkOptions>).await.unwrap_err();

    // One that a person removed under a node that is off is made again.
    home.compute.create_machine(&one).await.unwrap();
    home.compute.set_power(&one.key, Power::Off).await.unwrap();
    let removed = docker.remove_network(&name).await;
    let components = docker.version().await.unwrap().components.unwrap_or_default();
    let is_podman = components.iter().any(|component| component.name.contains("Podman"));
    assert!(removed.is_ok() || is_podman, "only Podman keeps it: {removed:?}");
    home.compute.set_power(&one.key, Power::On).await.unwrap();
    let machine = home.compute.machine(&one.key).await.unwrap().unwrap();
    assert_eq!(machine.power, Power::On);
    home.close().await;
}

pub(crate) async fn a_network_of_somebody_else_is_used_and_kept() {
    let name = format!("sam-test-other-{:x}", engine::random());
    let docker = docker().await;
    let network = NetworkCreateRequest { name: name.clone(), ..Default::default() };
    docker.create_network(network).await.unwrap();
    let home = Home::of(config().with_network(&name));
    let request = home.request();
    home.compute.create_machine(&request).await.unwrap();
    let owned = home.compute.list_owned(&ListOwned::new(home.labels.clone())).await.unwrap();
    assert!(owned.items.iter().all(|resource| resource.sort != "network"), "{owned:?}");
    home.close().await;
    docker.remove_network(&name).await.expect("it is still there");
}

pub(crate) async fn processes_that_share_a_network_do_not_stand_in_each_others_way() {
    let name = format!("sam-test-shared-{:x}", engine::random());
    let lives = (0..3).map(|_| {
        let home = Home::of(config().with_network(&name));
        async move {
            for _ in 0..4 {
                // Each is often the first and the last of the network.
                let request = home.request();
                let machine = home.compute.create_machine(&request).await.unwrap();
                assert_eq!(machine.power, Power::On);
                home.delete(&request.key).await;
            }
            home.close().await;
        }
    });
    futures_util::future::join_all(lives).await;
    let left = docker().await.inspect_network(&name, None::<InspectNetworkOptions>).await;
    assert!(left.is_err(), "{left:?}");
}

pub(crate) async fn wherever_a_reply_is_lost_the_next_call_finishes() {
    every_loss(Loss::Reply).await;
}

pub(crate) async fn wherever_a_request_is_lost_the_next_call_finishes() {
    every_loss(Loss::Request).await;
}

/// Loses each exchange of a creation in turn, then of a deletion, and calls again.
async fn every_loss(loss: Loss) {
    let proxy = Proxy::start(engine::socket(), loss);
    let name = format!("sam-test-{loss:?}-{:x}", engine::random());
    let mut config = config().with_network(name);
    config.socket = proxy.socket().display().to_string();
    let home = Home::of(config);
    // Agrees on a version, which is done once.
    home.compute.verify_credentials().await.unwrap();
    let query = ListMachines::new(home.labels.clone());
    // More than there are exchanges; each turn loses the next one, the last loses none.
    for lost in 0..40 {
        let request = home.request();
        proxy.lose_after(lost);
        let first = home.compute.create_machine(&request).await;
        let was_lost = proxy.lose_nothing();
        let asked = proxy.asked();
        if let Err(error) = &first {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            let is_there = home.compute.machine(&request.key).await.unwrap().is_some();
            assert!(!is_there || error.effect() == Effect::Unknown, "{lost}: {error:?}");
        }
        let machine = home.compute.create_machine(&request).await.unwrap();
        assert_eq!(machine.power, Power::On, "after {lost} exchanges");
        let listed = home.compute.list_machines(&query).await.unwrap().items;
        assert_eq!(listed.len(), 1, "{listed:?}");
        let boot = file(request.key.as_str(), &boot_file(request.key.as_str())).await;
        assert!(boot.is_some(), "no boot data after {lost} exchanges");

        proxy.lose_after(lost);
        let _first = home.compute.delete_machine(&request.key).await;
        let was_lost = proxy.lose_nothing() || was_lost;
        home.delete(&request.key).await;
        let owned = home.compute.list_owned(&ListOwned::new(home.labels.clone())).await.unwrap();
        assert!(owned.items.is_empty(), "left after {lost} exchanges: {owned:?}");
        if !was_lost {
            assert!(lost > 6, "only {lost} exchanges: {asked:?}");
            break;
        }
        assert!(lost < 39, "a creation never ends");
    }
    home.close().await;
    // All that a real engine was asked is what engines describe.
    if let Some(contract) = Contract::read() {
        for asked in proxy.asked() {
            contract.request(&asked.method, &asked.target, &asked.body);
        }
    }
}
