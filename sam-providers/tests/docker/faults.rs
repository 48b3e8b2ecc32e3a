//! What an engine in trouble answers, and what we make of it: kind, effect, and a hint.

use std::collections::BTreeSet;

use sam_core::compute::{
    ComputeProvider as _, Deletion, Labels, ListMachines, ListOwned, OwnedResource,
    OwnedResources as _, Power, PowerControl as _,
};
use sam_core::testkit::conformance::compute::ComputeHarness as _;
use sam_core::{Effect, Error, ErrorKind};
use sam_providers::docker::DockerConfig;
use serde_json::json;

use super::contract::Contract;
use super::engine::Home;
use super::fake::{Answer, Asked, Fake};

fn is(asked: &Asked, method: &str, path: &str) -> bool {
    asked.method == method && asked.path() == path
}

/// A container of ours as the engine shows it.
fn container(key: &str, status: &str) -> serde_json::Value {
    json!({
        "Id": "c0ffee00".repeat(8), "Name": format!("/{key}"), "State": { "Status": status },
        "Config": { "Labels": { "io.sam.made": mark(key) } },
    })
}

fn mark(key: &str) -> String {
    json!({ "format": 1, "key": key, "labels": {} }).to_string()
}

fn expect(error: &Error, kind: ErrorKind, effect: Effect) {
    assert_eq!((error.kind(), error.effect()), (kind, effect), "{error:?}");
    assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "no hint: {error:?}");
    assert!(error.operation().is_some(), "no operation: {error:?}");
}

pub(crate) async fn a_refusal_is_told_with_its_kind_and_effect() {
    for (status, kind, effect) in [
        (400, ErrorKind::BadInput, Effect::NotApplied),
        (403, ErrorKind::Denied, Effect::NotApplied),
        (500, ErrorKind::Unavailable, Effect::Unknown),
        (502, ErrorKind::Unavailable, Effect::Unknown),
    ] {
        let fake = Fake::start(move |asked| {
            // Podman and proxies before an engine also answer with pages for people.
            let page = status == 502;
            let refusal = || {
                if page {
                    return Answer::text(status, "<html>bad gateway</html>");
                }
                Answer::refusal(status, "the engine's own words")
            };
            (asked.path() != "/version").then(refusal)
        });
        let home = Home::of(fake.config());
        let request = home.request();
        let looked = home.compute.machine(&request.key).await.unwrap_err();
        expect(&looked, kind, Effect::NotApplied);
        assert_eq!(looked.provider_code(), Some(status.to_string().as_str()));

        // A look goes before every change, so the change itself is refused here.
        let key = request.key.to_string();
        let fake = Fake::start(move |asked| match asked.method.as_str() {
            "GET" if asked.path().ends_with("/json") && asked.path().contains(&key) => {
                Some(Answer::json(200, &container(&key, "running")))
            }
            "POST" | "DELETE" => Some(Answer::refusal(status, "the engine's own words")),
            _ => None,
        });
        let home = Home::of(fake.config());
        let stopped = home.compute.set_power(&request.key, Power::Off).await.unwrap_err();
        expect(&stopped, kind, effect);
        let deleted = home.compute.delete_machine(&request.key).await.unwrap_err();
        expect(&deleted, kind, effect);
        assert!(deleted.to_string().contains("the engine's own words"));
    }
}

pub(crate) async fn an_answer_that_breaks_off_or_is_no_engines_is_unavailable() {
    let broken = || Answer::json(201, &json!({ "Id": "c", "Warnings": [] })).that_breaks();
    let strange = || Answer::text(201, "<html>not found</html>");
    for answer in [broken(), strange()] {
        let fake = Fake::start(move |asked| {
            is(asked, "POST", "/containers/create").then(|| answer.clone())
        });
        let home = Home::of(fake.config());
        let error = home.compute.create_machine(&home.request()).await.unwrap_err();
        expect(&error, ErrorKind::Unavailable, Effect::Unknown);
    }
    for answer in [broken(), strange()] {
        let fake =
            Fake::start(move |asked| is(asked, "GET", "/containers/json").then(|| answer.clone()));
        let home = Home::of(fake.config());
        let query = ListMachines::new(home.labels.clone());
        let error = home.compute.list_machines(&query).await.unwrap_err();
        expect(&error, ErrorKind::Unavailable, Effect::NotApplied);
        let query = ListOwned::new(home.labels.clone());
        expect(
            &home.compute.list_owned(&query).await.unwrap_err(),
            ErrorKind::Unavailable,
            Effect::NotApplied,
        );
    }
}

pub(crate) async fn an_engine_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent.sock");
    let deaf = dir.path().join("deaf.sock");
    drop(std::os::unix::net::UnixListener::bind(&deaf).unwrap());
    for socket in [&absent, &deaf] {
        let home = Home::of(DockerConfig::new(socket.display().to_string(), "node"));
        let error = home.compute.create_machine(&home.request()).await.unwrap_err();
        expect(&error, ErrorKind::Unavailable, Effect::NotApplied);
        assert!(error.to_string().contains(&socket.display().to_string()), "{error}");
    }
}

pub(crate) async fn an_image_that_is_not_there_is_named_before_anything_is_made() {
    let fake = Fake::start(|asked| {
        asked.path().starts_with("/images/").then(|| Answer::refusal(404, "No such image: node"))
    });
    let home = Home::of(fake.config());
    let error = home.compute.create_machine(&home.request()).await.unwrap_err();
    expect(&error, ErrorKind::BadInput, Effect::NotApplied);
    assert!(error.hint().unwrap().contains("docker pull node"), "{error:?}");
    let error = home.compute.verify_credentials().await.unwrap_err();
    expect(&error, ErrorKind::BadInput, Effect::NotApplied);
    assert!(fake.asked().iter().all(|asked| asked.method == "GET"));
}

pub(crate) async fn a_full_disk_is_missing_capacity() {
    for path in ["/volumes/create", "/containers/create", "/networks/create"] {
        let fake = Fake::start(move |asked| {
            let full = || Answer::refusal(500, "write /data/x: no space left on device");
            is(asked, "POST", path).then(full)
        });
        let home = Home::of(fake.config());
        let error = home.compute.create_machine(&home.request()).await.unwrap_err();
        expect(&error, ErrorKind::CapacityUnavailable, Effect::Unknown);
    }
}

pub(crate) async fn a_removal_under_way_is_in_progress() {
    let fake = Fake::start(|asked| {
        let key = asked.path().split('/').nth(2).unwrap_or_default().to_owned();
        match asked.method.as_str() {
            "GET" if asked.path().starts_with("/containers/nd-") => {
                Some(Answer::json(200, &container(&key, "removing")))
            }
            "DELETE" => Some(Answer::refusal(409, "removal is already in progress")),
            _ => None,
        }
    });
    let home = Home::of(fake.config());
    let request = home.request();
    let key = &request.key;
    assert_eq!(home.compute.delete_machine(key).await.unwrap(), Deletion::InProgress);
    assert_eq!(home.compute.machine(key).await.unwrap().unwrap().power, Power::Off);
    let error = home.compute.create_machine(&request).await.unwrap_err();
    expect(&error, ErrorKind::Conflict, Effect::NotApplied);
}

pub(crate) async fn listings_are_paged_in_order() {
    let nodes: Vec<_> = (1..=250).map(sam_core::NodeId::from_bits).collect();
    let keys: BTreeSet<_> = nodes.iter().map(ToString::to_string).collect();
    let listed: Vec<_> = keys
        .iter()
        .rev()
        .map(|key| {
            json!({
                "Id": "c0ffee00".repeat(8), "Names": [format!("/{key}")], "State": "running",
                "Labels": { "io.sam.made": mark(key) },
                "NetworkSettings": { "Networks": { "sam-nodes": { "NetworkID": "n1" } } },
            })
        })
        // A container that carries the mark of another's image is nobody's machine.
        .chain([json!({
            "Id": "c0ffee00".repeat(8), "Names": ["/copy"], "State": "running",
            "Labels": { "io.sam.made": mark(&nodes[0].to_string()) },
        })])
        .collect();
    let listed = json!(listed);
    let network = json!([{
        "Id": "n1", "Name": "sam-nodes",
        "Labels": { "io.sam.made": json!({ "format": 1, "labels": {} }).to_string() },
    }]);
    let fake = Fake::start(move |asked| match asked.path() {
        "/containers/json" => Some(Answer::json(200, &listed)),
        "/networks" => Some(Answer::json(200, &network)),
        _ => None,
    });
    let home = Home::of(fake.config());
    let mut found = Vec::new();
    let mut query = ListMachines::new(Labels::default());
    loop {
        let page = home.compute.list_machines(&query).await.unwrap();
        assert!(page.items.len() <= 100);
        found.extend(page.items.into_iter().map(|machine| machine.key.to_string()));
        let Some(next) = page.next else { break };
        query = query.with_after(Some(next));
    }
    assert_eq!(found, Vec::from_iter(keys));

    let mut sorts = Vec::new();
    let mut query = ListOwned::new(Labels::default());
    loop {
        let page = home.compute.list_owned(&query).await.unwrap();
        sorts.extend(page.items.into_iter().map(|resource| resource.sort));
        let Some(next) = page.next else { break };
        query = query.with_after(Some(next));
    }
    assert_eq!(sorts.len(), 251);
    assert_eq!(sorts.iter().filter(|sort| *sort == OwnedResource::MACHINE).count(), 250);
    assert_eq!(sorts.last().map(|sort| &**sort), Some("network"));
}

pub(crate) async fn requests_are_what_the_engine_describes() {
    let contract = Contract::read().expect("looked for before");
    let started = std::sync::atomic::AtomicBool::new(false);
    let made = std::sync::atomic::AtomicBool::new(false);
    let fake = Fake::start(move |asked| {
        use std::sync::atomic::Ordering::SeqCst;
        let key = asked.path().split('/').nth(2).unwrap_or_default().to_owned();
        if is(asked, "POST", "/containers/create") {
            made.store(true, SeqCst);
        } else if asked.path().ends_with("/start") {
            started.store(true, SeqCst);
        } else if made.load(SeqCst) && is(asked, "GET", &format!("/containers/{key}/json")) {
            let status = if started.load(SeqCst) { "running" } else { "created" };
            return Some(Answer::json(200, &container(&key, status)));
        }
        None
    });
    let config =
        fake.config().with_program("/opt/sam".into()).with_extra_host("control", "host-gateway");
    let home = Home::of(config.with_environment(vec![("A".to_owned(), "b".to_owned())]));
    let request = home.request();
    home.compute.create_machine(&request).await.unwrap();
    home.compute.set_power(&request.key, Power::Off).await.unwrap();
    home.compute.set_power(&request.key, Power::On).await.unwrap();
    home.compute.list_owned(&ListOwned::new(home.labels.clone())).await.unwrap();
    home.compute.delete_machine(&request.key).await.unwrap();
    let asked: BTreeSet<_> = fake.held_to(&contract).into_iter().collect();
    for operation in [
        "GET /images/{name}/json",
        "POST /networks/create",
        "POST /volumes/create",
        "POST /containers/create",
        "PUT /containers/{id}/archive",
        "POST /containers/{id}/start",
        "POST /containers/{id}/stop",
        "DELETE /containers/{id}",
        "GET /volumes",
        "GET /networks",
    ] {
        assert!(asked.contains(operation), "{operation} is not in {asked:?}");
    }
}
