//! Webhooks from the fake, checked, kept in a host's store, and handled once by its engine.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sam_core::compute::MemoryCompute;
use sam_core::delivery::{DeliveryHandler, DeliveryRecord, DeliveryState, Received};
use sam_core::engine::Stepped;
use sam_core::store::MemoryStore;
use sam_core::time::ManualClock;
use sam_core::{Result, Sam, Secret};
use sam_github::testkit::{FakeGithub, FakeRepository, Sent};
use sam_github::webhook::RepositoryAction;
use sam_github::{Delivery, Event, GithubApp, Level, WebhookSecrets};
use serde_json::{Value, json};

use crate::support::keys::START;
use crate::support::{INSTALLATION, app, github};

const ADDRESS: &str = "https://app.example.com/api/github/webhook";

/// What a host does with each event: here, it notes pushes and forgets what is out of date.
#[derive(Debug)]
struct Handler {
    app: GithubApp,
    pushed: Mutex<Vec<String>>,
}

#[async_trait]
impl DeliveryHandler for Handler {
    async fn handle(&self, record: &DeliveryRecord) -> Result<()> {
        let Some(delivery) = Delivery::stored(record) else { return Ok(()) };
        match delivery.event()? {
            Event::Push(push) => {
                let what = format!("{} {}", push.git_ref, push.commit().unwrap_or("deleted"));
                self.pushed.lock().unwrap().push(what);
            }
            Event::Repository(event) => {
                if let RepositoryAction::Renamed { .. } | RepositoryAction::Deleted = event.action {
                    self.app.forget_repository(event.repository.id);
                }
            }
            Event::Installation(event) => self.app.forget_installation(event.installation.id),
            _ => {}
        }
        Ok(())
    }
}

struct Host {
    clock: ManualClock,
    github: FakeGithub,
    handler: Arc<Handler>,
    sam: Sam,
}

impl Host {
    fn new() -> Self {
        let clock = ManualClock::new(START);
        let github = github(&clock);
        let app = app(&github, &clock);
        let handler = Arc::new(Handler { app, pushed: Mutex::default() });
        let store = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
        let sam = Sam::builder(store, Arc::new(MemoryCompute::new()))
            .clock(Arc::new(clock.clone()))
            .deliveries(Arc::clone(&handler) as Arc<dyn DeliveryHandler>)
            .build()
            .unwrap();
        Self { clock, github, handler, sam }
    }

    /// The whole of a host's route: check, keep, answer.
    async fn receive(&self, sent: &Sent) -> Result<Received> {
        let request = self.github.delivery(sent, ADDRESS).unwrap();
        let secrets = WebhookSecrets::new(&Secret::new("fake-webhook-secret".to_owned()))?;
        let delivery = secrets.delivery(request.headers(), request.body())?;
        self.sam.deliveries().receive(&delivery.queued()?).await
    }

    async fn run(&self) {
        for _ in 0..1_000 {
            match self.sam.step().await.unwrap() {
                Stepped::Idle { next_due_in: Some(next) } if next < Duration::from_mins(1) => {
                    self.clock.advance(next.max(Duration::from_micros(1)));
                }
                Stepped::Idle { .. } => return,
                _ => {}
            }
        }
        panic!("it does not come to rest");
    }
}

fn push(branch: &str, commit: char) -> Value {
    json!({
        "ref": format!("refs/heads/{branch}"), "before": "0".repeat(40),
        "after": commit.to_string().repeat(40), "installation": { "id": 1 },
        "repository": { "id": 1_000, "name": "r000", "full_name": "octo/r000" },
    })
}

#[tokio::test]
async fn a_burst_of_pushes_comes_to_its_newest_commit_and_a_replay_to_nothing() {
    let host = Host::new();
    let mut sent = Vec::new();
    for (branch, commit) in [("main", 'a'), ("main", 'b'), ("side", 'c'), ("main", 'd')] {
        let one = host.github.event("push", &push(branch, commit));
        assert_eq!(host.receive(&one).await.unwrap(), Received::Queued);
        sent.push(one);
    }
    host.run().await;
    let expected = [("side", 'c'), ("main", 'd')]
        .map(|(branch, commit)| format!("refs/heads/{branch} {}", commit.to_string().repeat(40)));
    assert_eq!(*host.handler.pushed.lock().unwrap(), expected);
    for (one, state) in sent.iter().zip([
        DeliveryState::Superseded,
        DeliveryState::Superseded,
        DeliveryState::Done,
        DeliveryState::Done,
    ]) {
        assert_eq!(host.receive(one).await.unwrap(), Received::Duplicate(state));
    }
    host.run().await;
    assert_eq!(host.handler.pushed.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_rename_reaches_the_tokens_and_unknown_events_are_kept_and_ignored() {
    let host = Host::new();
    let app = &host.handler.app;
    let path = "octo/r000".parse().unwrap();
    let rights = [(sam_core::forge::Right::Contents, sam_core::forge::Access::Read)];
    let grant = INSTALLATION.to_string().parse().unwrap();
    let request = sam_core::forge::TokenRequest::new(grant, [path], rights).unwrap();
    sam_core::forge::RepoAccess::access_token(app, &request).await.unwrap();
    // Renamed, and its old name taken by another one, all within the time a name is trusted.
    host.github.rename_repository(1_000, "octo", "renamed");
    host.github.put_repository(FakeRepository::new(2_000, "octo", "r000"));
    let renamed = json!({
        "action": "renamed", "changes": { "repository": { "name": { "from": "r000" } } },
        "repository": { "id": 1_000, "name": "renamed", "full_name": "octo/renamed" },
    });
    for (event, body) in [("repository", renamed), ("something_new", json!({ "action": "made" }))] {
        host.receive(&host.github.event(event, &body)).await.unwrap();
    }
    host.run().await;
    let token = sam_core::forge::RepoAccess::access_token(app, &request).await.unwrap();
    assert!(host.github.allows(token.token.expose(), 2_000, "contents", Level::Read));
    assert!(!host.github.allows(token.token.expose(), 1_000, "contents", Level::Read));
    let done = host.sam.deliveries().list(Some(DeliveryState::Done), None, 10).await.unwrap();
    let events: Vec<_> = done.items.iter().map(|found| found.record.event.as_str()).collect();
    assert_eq!(events, ["repository", "something_new"]);
}

#[tokio::test]
async fn what_is_not_signed_by_github_is_not_kept() {
    let host = Host::new();
    let mut sent = host.github.event("push", &push("main", 'a'));
    let good = host.github.delivery(&sent, ADDRESS).unwrap();
    sent.body = push("main", 'b').to_string().into();
    let secrets = WebhookSecrets::new(&Secret::new("fake-webhook-secret".to_owned())).unwrap();
    secrets.delivery(good.headers(), &sent.body).unwrap_err();
    let other = WebhookSecrets::new(&Secret::new("another".to_owned())).unwrap();
    other.delivery(good.headers(), good.body()).unwrap_err();
    let kept = host.sam.deliveries().list(None, None, 10).await.unwrap();
    assert!(kept.items.is_empty());
}
