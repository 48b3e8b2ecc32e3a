//! From a delivery to what a host keeps of it until it is handled, and back.

use bytes::Bytes;
use sam_core::delivery::{DeliveryRecord, NewDelivery};
use serde_json::{Map, Value};

use super::{Delivery, Event, WebhookError};

/// Whom deliveries are from.
const SOURCE: &str = "github";
/// Most bytes of a body that are kept: as a text in JSON it may be twice as long, and a record holds
/// 256 KiB.
const KEPT_BYTES_MAX: usize = 96 << 10;
/// What is kept of a larger one: all that [`Event`] reads, and nothing that grows with a push.
const MEMBERS: [&str; 17] = [
    "action",
    "after",
    "before",
    "changes",
    "created",
    "deleted",
    "forced",
    "hook_id",
    "installation",
    "ref",
    "repositories",
    "repositories_added",
    "repositories_removed",
    "repository",
    "repository_selection",
    "sender",
    "zen",
];
/// Lists that grow with an installation; a host that misses them asks GitHub.
const LISTS: [&str; 3] = ["repositories", "repositories_added", "repositories_removed"];

impl Delivery {
    /// Returns what to keep durably before GitHub is answered: give it to
    /// [`Deliveries::receive`](sam_core::delivery::Deliveries::receive).
    ///
    /// Deliveries about one repository are handled in order, those about an installation, too, and
    /// of several pushes to one branch that wait only the newest is. A body of more than 96 KiB is
    /// kept without its commits; then, if it has to be, without its lists of repositories.
    ///
    /// # Errors
    /// [`WebhookError::Unreadable`] when the body is not a JSON object.
    pub fn queued(&self) -> Result<NewDelivery, WebhookError> {
        let mut new = NewDelivery::new(SOURCE, self.id.as_str(), &self.event_name, self.kept()?);
        // What cannot be read is kept for a person, in no order.
        let Ok(event) = self.event() else { return Ok(new) };
        new.stream = match &event {
            Event::Push(push) => Some(format!("r-{}", push.repository.id)),
            Event::Repository(event) => Some(format!("r-{}", event.repository.id)),
            Event::Other(other) => other.repository.as_ref().map(|repo| format!("r-{}", repo.id)),
            Event::Installation(_) | Event::InstallationRepositories(_) | Event::Ping(_) => None,
        };
        new.stream = new.stream.or_else(|| event.installation().map(|id| format!("i-{id}")));
        // A name that is too long is its own: it replaces nothing.
        let replaces = event.coalesced_by().map(|(_, git_ref)| git_ref.to_owned());
        new.replaces = replaces.filter(|git_ref| git_ref.len() <= 256);
        Ok(new)
    }

    /// Returns a delivery as it was kept; `None` for one from somebody else.
    pub fn stored(record: &DeliveryRecord) -> Option<Self> {
        let id = record.id.parse().ok().filter(|_| record.source == SOURCE)?;
        Some(Self::new(id, &record.event, Bytes::from(record.body.clone())))
    }

    fn kept(&self) -> Result<String, WebhookError> {
        let mut body: Map<String, Value>;
        if self.body.len() <= KEPT_BYTES_MAX {
            // Read once, so that what is kept can be read later.
            let _read: Map<String, Value> =
                serde_json::from_slice(&self.body).map_err(|_| WebhookError::Unreadable)?;
            return String::from_utf8(self.body.to_vec()).map_err(|_| WebhookError::Unreadable);
        }
        body = serde_json::from_slice(&self.body).map_err(|_| WebhookError::Unreadable)?;
        body.retain(|name, _| MEMBERS.contains(&name.as_str()));
        for lists in [false, true] {
            body.retain(|name, _| !(lists && LISTS.contains(&name.as_str())));
            let kept = Value::Object(body.clone()).to_string();
            if kept.len() <= KEPT_BYTES_MAX {
                return Ok(kept);
            }
        }
        Err(WebhookError::TooLarge)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn delivery(event: &str, body: &Value) -> Delivery {
        Delivery::new("d-1".parse().unwrap(), event, Bytes::from(body.to_string()))
    }

    fn push(commits: usize) -> Value {
        let commits: Vec<Value> =
            (0..commits).map(|n| json!({ "message": "x".repeat(200), "id": n })).collect();
        json!({
            "ref": "refs/heads/main", "before": "0", "after": "a", "commits": commits,
            "repository": { "id": 7, "name": "n", "full_name": "o/n" }, "installation": { "id": 3 },
        })
    }

    #[test]
    fn streams_are_repositories_and_installations_and_pushes_replace_each_other() {
        let queued = |event: &str, body: &Value| {
            let new = delivery(event, body).queued().unwrap();
            (new.stream, new.replaces)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(queued("push", &push(1)), (some("r-7"), some("refs/heads/main")));
        let installation = json!({ "action": "deleted", "installation": { "id": 3 } });
        assert_eq!(queued("installation", &installation), (some("i-3"), None));
        assert_eq!(queued("star", &push(0)), (some("r-7"), None));
        assert_eq!(queued("ping", &json!({ "zen": "x" })), (None, None));
        // Known by name, but of no known shape: kept all the same.
        assert_eq!(queued("push", &json!({ "ref": 1 })), (None, None));
        let unreadable = Delivery::new("d-1".parse().unwrap(), "push", Bytes::from_static(b"[]"));
        assert_eq!(unreadable.queued().unwrap_err(), WebhookError::Unreadable);
    }

    #[test]
    fn a_large_body_keeps_what_is_read_of_it() {
        let large = delivery("push", &push(2_000));
        let new = large.queued().unwrap();
        assert!(large.body.len() > 300_000 && new.body.len() < 1_000);
        let kept = Delivery::new(large.id.clone(), "push", Bytes::from(new.body));
        assert_eq!(kept.event().unwrap(), large.event().unwrap());
        let small = delivery("push", &push(3));
        assert_eq!(small.queued().unwrap().body.as_bytes(), &small.body[..]);
        let many: Vec<Value> = (0..5_000)
            .map(|n| json!({ "id": n, "name": format!("r{n}"), "full_name": format!("o/r{n}") }))
            .collect();
        let body =
            json!({ "action": "added", "installation": { "id": 3 }, "repositories_added": many });
        let new = delivery("installation_repositories", &body).queued().unwrap();
        assert!(new.body.len() < 1_000 && new.stream.as_deref() == Some("i-3"));
    }
}
