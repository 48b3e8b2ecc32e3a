//! Real deliveries as exact bytes, and signatures that must hold or must not.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use libtest_mimic::{Failed, Trial};
use sam_core::Secret;
use sam_github::{Delivery, Event, WebhookError, WebhookSecrets};
use serde_json::Value;

use crate::folder::contracts;

fn read(folder: &Path, name: &str) -> Result<(Value, Bytes), Failed> {
    let case: Value = serde_json::from_slice(&fs::read(folder.join(name))?)?;
    let body = fs::read(folder.join(case["body"].as_str().ok_or("no body")?))?;
    Ok((case, Bytes::from(body)))
}

fn received(case: &Value, body: &Bytes) -> Result<Result<Delivery, WebhookError>, Failed> {
    let secret = Secret::new(case["secret"].as_str().ok_or("no secret")?.to_owned());
    let mut headers = HeaderMap::new();
    for (name, value) in case["headers"].as_object().ok_or("no headers")? {
        let name = HeaderName::from_bytes(name.as_bytes())?;
        // A header's bytes are Latin-1, the file is UTF-8.
        let value: Vec<u8> = value
            .as_str()
            .unwrap_or_default()
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
            .collect();
        headers.append(name, HeaderValue::from_bytes(&value)?);
    }
    Ok(WebhookSecrets::new(&secret)?.delivery(&headers, body))
}

fn signature(case: &Value, body: &Bytes) -> Result<(), Failed> {
    let received = received(case, body)?;
    match (case["expect"].as_str().unwrap_or_default(), received) {
        ("accept" | "accept-once" | "either", Ok(delivery)) => {
            serde_json::from_slice::<Value>(&delivery.body)?;
            let id = case["headers"]["x-github-delivery"].as_str().unwrap_or_default();
            if delivery.id.as_str() == id { Ok(()) } else { Err("another id".into()) }
        }
        ("reject" | "either", Err(error)) if error.http_status() == 401 => Ok(()),
        (expected, received) => Err(format!("expected {expected}, found {received:?}").into()),
    }
}

/// A real delivery is accepted and read, and an event that is known is not taken for another one.
fn delivery(case: &Value, body: &Bytes) -> Result<(), Failed> {
    let delivery = received(case, body)??;
    let name = case["event"].as_str().unwrap_or_default();
    let event = delivery.event()?;
    let payload: Value = serde_json::from_slice(body)?;
    let known = ["push", "ping", "installation", "installation_repositories", "repository"];
    let is_other = matches!(event, Event::Other(_));
    if known.contains(&name) == is_other {
        return Err(format!("{name} is read as {event:?}").into());
    }
    let expected = payload["installation"]["id"].as_u64();
    let found = event.installation().map(sam_github::InstallationId::as_u64);
    if name != "ping" && found != expected {
        return Err(format!("the installation is {found:?}").into());
    }
    match &event {
        Event::Push(push) => {
            let same = push.repository.id.as_u64() == payload["repository"]["id"]
                && push.git_ref == payload["ref"]
                && push.after == payload["after"]
                && push.sender.as_ref().map(|sender| sender.login.as_str())
                    == payload["sender"]["login"].as_str();
            if !same || push.commit().is_some() == (payload["deleted"] == true) {
                return Err(format!("{push:?}").into());
            }
        }
        Event::Repository(event) => repository(event, &payload)?,
        Event::Installation(event) => {
            let unknown = matches!(event.action, sam_github::webhook::InstallationAction::Other(_));
            if unknown {
                return Err(format!("{:?}", event.action).into());
            }
        }
        Event::InstallationRepositories(event) => {
            let count = |member: &str| payload[member].as_array().map_or(0, Vec::len);
            let found = (event.added.len(), event.removed.len());
            if found != (count("repositories_added"), count("repositories_removed")) {
                return Err(format!("{found:?}").into());
            }
        }
        _ => {}
    }
    Ok(())
}

fn repository(event: &sam_github::webhook::RepositoryEvent, payload: &Value) -> Result<(), Failed> {
    use sam_github::webhook::RepositoryAction;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let changes = &payload["changes"];
    let expected = match payload["action"].as_str().unwrap_or_default() {
        "renamed" => {
            RepositoryAction::Renamed { from: text(&changes["repository"]["name"]["from"]) }
        }
        "transferred" => {
            let from = &changes["owner"]["from"];
            let from =
                text(&from["user"]["login"]).or_else(|| text(&from["organization"]["login"]));
            RepositoryAction::Transferred { from }
        }
        "privatized" => RepositoryAction::Privatized,
        "publicized" => RepositoryAction::Publicized,
        other => RepositoryAction::Other(other.to_owned()),
    };
    let missing = matches!(
        event.action,
        RepositoryAction::Renamed { from: None } | RepositoryAction::Transferred { from: None }
    );
    if event.action == expected && !missing {
        return Ok(());
    }
    Err(format!("{:?} is not {expected:?}", event.action).into())
}

type Check = fn(&Value, &Bytes) -> Result<(), Failed>;

pub(crate) fn trials() -> Result<Vec<Trial>, Failed> {
    let mut trials = Vec::new();
    let checks: [(&str, Check, usize); 2] =
        [("signature-cases", signature, 21), ("deliveries", delivery, 37)];
    for (folder, check, count) in checks {
        let path = contracts().join("github/webhooks").join(folder);
        let before = trials.len();
        for entry in fs::read_dir(&path)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let Some(title) = name.strip_suffix(".json") else { continue };
            let (case, body) = read(&path, &name)?;
            let title = format!("webhooks::{folder}::{title}");
            trials.push(Trial::test(title, move || check(&case, &body)));
        }
        if trials.len() - before < count {
            return Err(format!("{folder} has fewer than {count} cases").into());
        }
    }
    let vector = contracts().join("github/webhooks/signature-vector.json");
    let vector: Value = serde_json::from_slice(&fs::read(vector)?)?;
    trials.push(Trial::test("webhooks::signature_vector", move || {
        let mut headers = serde_json::json!({
            "x-github-event": "ping", "x-github-delivery": "d-1",
        });
        headers["x-hub-signature-256"] = vector["x-hub-signature-256"].clone();
        let case = serde_json::json!({ "secret": vector["secret"], "headers": headers });
        let body = vector["payload"].as_str().unwrap_or_default().to_owned();
        received(&case, &Bytes::from(body))??;
        Ok(())
    }));
    Ok(trials)
}
