//! Deliveries of GitHub: on their way into the store, and handled.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use sam_core::delivery::{DeliveryHandler, NewDelivery, ReceivedDelivery};
use sam_core::{Error, Result};
use sam_github::{Delivery, Event, GithubApp, WebhookError};
use serde_json::value::RawValue;

/// Describes a delivery for the store; `body` is what came over the wire.
///
/// Of one that a record cannot hold, the largest top-level members are left out, largest first, until
/// it fits: commits and files go, and repository, branch, commits' ends and installation stay.
///
/// # Errors
/// `BadInput` when it is not the JSON of its event.
pub(crate) fn new_delivery(delivery: &Delivery, body: &Bytes) -> Result<NewDelivery> {
    let event = delivery.event()?;
    let repository = match &event {
        Event::Push(push) => Some(push.repository.id),
        Event::Repository(event) => Some(event.repository.id),
        Event::Other(event) => event.repository.as_ref().map(|repository| repository.id),
        _ => None,
    };
    let branch = event.coalesced_by().map(|(_, branch)| branch.to_owned());
    let new = NewDelivery::new(delivery.id.as_str(), &delivery.event_name, body)
        .with_repository(repository.map(|id| id.to_string()))
        .with_installation(event.installation().map(|id| id.to_string()))
        .with_branch(branch);
    if matches!(event, Event::Ping(_)) {
        return Ok(new.without_work());
    }
    let text = std::str::from_utf8(&delivery.body).map_err(|_| WebhookError::Unreadable)?;
    new.with_payload(text, |room| essentials(text, room))
}

fn essentials(text: &str, room: usize) -> Result<String> {
    let unreadable = |_| WebhookError::Unreadable;
    let mut members: BTreeMap<String, &RawValue> =
        serde_json::from_str(text).map_err(unreadable)?;
    let size = |name: &str, value: &RawValue| name.len() + value.get().len() + 4;
    let mut left: usize = members.iter().map(|(name, value)| size(name, value)).sum();
    // As many rounds as there are members: an object that is empty fits.
    while left + 2 > room {
        let largest = members.iter().max_by_key(|(name, value)| size(name, value));
        let Some((name, value)) = largest.map(|(name, value)| (name.clone(), *value)) else {
            break;
        };
        left -= size(&name, value);
        members.remove(&name);
    }
    Ok(serde_json::to_string(&members).map_err(unreadable)?)
}

/// Handles the deliveries of GitHub: what changed there is forgotten here, where it was remembered.
/// Everything else is logged and left to those who follow it.
///
/// Repeatable: what is forgotten is asked for again when somebody needs it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GithubDeliveries {
    app: Option<GithubApp>,
}

impl GithubDeliveries {
    /// Handles them for an App, or only logs them where there is none.
    pub const fn new(app: Option<GithubApp>) -> Self {
        Self { app }
    }

    fn forget(&self, event: &Event) {
        let Some(app) = &self.app else { return };
        match event {
            Event::Installation(event) => app.forget_installation(event.installation.id),
            Event::InstallationRepositories(event) => {
                app.forget_installation(event.installation.id);
                for repository in &event.removed {
                    app.forget_repository(repository.id);
                }
            }
            Event::Repository(event) => app.forget_repository(event.repository.id),
            _ => {}
        }
    }
}

#[async_trait]
impl DeliveryHandler for GithubDeliveries {
    async fn handle(&self, delivery: &ReceivedDelivery) -> Result<()> {
        let record = &delivery.record;
        let event = Event::read(&record.event, delivery.payload.as_bytes()).map_err(Error::from)?;
        self.forget(&event);
        tracing::info!(
            delivery.id = record.id,
            delivery.event = record.event,
            installation.id = record.installation,
            repository.id = record.repository,
            branch = record.branch,
            action = action(&event),
            "github"
        );
        Ok(())
    }
}

/// Names what was done. Texts of others are not logged.
fn action(event: &Event) -> String {
    match event {
        Event::Installation(event) => format!("{:?}", event.action),
        Event::InstallationRepositories(event) => {
            format!("{} added, {} removed", event.added.len(), event.removed.len())
        }
        Event::Push(push) => push.commit().unwrap_or("deleted").to_owned(),
        Event::Repository(event) => format!("{:?}", event.action),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn delivery(event: &str, payload: &Value) -> Result<NewDelivery> {
        let body = Bytes::from(payload.to_string());
        new_delivery(&Delivery::new("a-1".parse().unwrap(), event, body.clone()), &body)
    }

    fn push(commits: usize) -> Value {
        let commit = json!({"id": "c".repeat(40), "message": "\"quoted\"\n"});
        json!({
            "ref": "refs/heads/main", "before": "0".repeat(40), "after": "a".repeat(40),
            "repository": {"id": 7, "name": "hello", "full_name": "octo/hello"},
            "installation": {"id": 3}, "commits": vec![commit; commits],
        })
    }

    #[test]
    fn a_push_names_its_repository_and_branch() {
        let new = delivery("push", &push(1)).unwrap();
        assert_eq!(new.repository.as_deref(), Some("7"));
        assert_eq!(new.installation.as_deref(), Some("3"));
        assert_eq!(new.branch.as_deref(), Some("refs/heads/main"));
        assert!(new.has_work);
        assert!(!delivery("ping", &json!({"zen": "x", "hook_id": 1})).unwrap().has_work);
    }

    #[test]
    fn what_a_record_cannot_hold_loses_its_largest_members_and_can_still_be_read() {
        let large = push(10_000).to_string();
        assert!(large.len() > 512 * 1024);
        let kept = essentials(&large, 64 * 1024).unwrap();
        let Event::Push(read) = Event::read("push", kept.as_bytes()).unwrap() else {
            panic!("it is a push")
        };
        assert_eq!((read.commit(), read.branch()), (Some(&*"a".repeat(40)), Some("main")));
        assert!(!kept.contains("commits"));
        delivery("push", &push(10_000)).unwrap();
        // Room for nothing leaves nothing, and no endless search.
        assert_eq!(essentials(&large, 2).unwrap(), "{}");
    }

    #[test]
    fn what_is_not_the_json_of_its_event_is_refused() {
        for bad in [json!([]), json!({"ref": 1}), json!("x")] {
            let error = delivery("push", &bad).unwrap_err();
            assert_eq!(error.provider_code(), Some("webhook_unreadable"), "{bad}");
        }
    }
}
