//! What other replicas were told by GitHub: each has tokens and names of its own to forget.

use std::time::Duration;

use futures_util::stream::StreamExt as _;
use sam_core::delivery::DeliveryRecord;
use sam_core::engine::decode;
use sam_core::store::{Change, Index, Record};
use sam_core::{FeedItem, Report, Result, Sam};
use sam_github::{GithubApp, InstallationId, RepositoryId};

use crate::deadline;

/// Pause before the feed is asked for again.
const RETRY: Duration = Duration::from_secs(1);

/// Forgets what is remembered of an installation or a repository as soon as any replica is told that it
/// was changed. What is missed while the feed is away is refused by GitHub, and then forgotten, too.
pub(crate) async fn forget_changed(sam: Sam, app: GithubApp) {
    loop {
        if let Err(error) = follow(&sam, &app).await {
            tracing::debug!(error = %Report::new(&error), "the feed is followed again");
        }
        deadline::sleep(RETRY).await;
    }
}

async fn follow(sam: &Sam, app: &GithubApp) -> Result<()> {
    let mut feed = sam.feed(sam.head().await?);
    while let Some(item) = feed.next().await {
        if let FeedItem::Change { change, .. } = item?
            && change.key.kind == DeliveryRecord::KIND
            && change.event == "delivery_received"
        {
            heard(&change, app);
        }
    }
    Ok(())
}

fn heard(change: &Change, app: &GithubApp) {
    let body = std::sync::Arc::clone(&change.body);
    let stored =
        Record::new(change.key.clone(), change.version, change.rev, Index::default(), body);
    // What a newer server wrote is for it to understand.
    let Ok(delivery) = decode::<DeliveryRecord>(&stored).map(|stamped| stamped.record) else {
        return;
    };
    let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<u64>().ok());
    match delivery.event.as_str() {
        "installation" | "installation_repositories" => {
            if let Some(id) = number(&delivery.installation) {
                app.forget_installation(InstallationId::new(id));
            }
        }
        "repository" => {
            if let Some(id) = number(&delivery.repository) {
                app.forget_repository(RepositoryId::new(id));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sam_core::Caller;
    use sam_core::compute::MemoryCompute;
    use sam_core::delivery::{MemoryDeliveries, NewDelivery};
    use sam_core::store::MemoryStore;
    use sam_core::time::{Clock, ManualClock, Timestamp};
    use sam_github::testkit::{FakeApp, FakeGithub, FakeInstallation, FakeRepository};
    use sam_github::{Level, Permissions, PrivateKey, Rs256Signer, TokenScope};

    use super::*;

    const PEM: &str = include_str!("../../../../sam-github/tests/keys/rsa2048.pkcs1.pem");

    #[tokio::test]
    async fn what_another_replica_was_told_is_forgotten_here() {
        let clock: Arc<dyn Clock> =
            Arc::new(ManualClock::new(Timestamp::EPOCH.plus(Duration::from_hours(1))));
        let signer = Rs256Signer::new(&PEM.parse::<PrivateKey>().unwrap()).unwrap();
        let github = FakeGithub::new(FakeApp::new(7, signer.public_key()), Arc::clone(&clock));
        github.put_repository(FakeRepository::new(1_000, "octo", "hello"));
        let read = Permissions::new().with("contents", Level::Read);
        github.put_installation(FakeInstallation::new(42, "octo", read.clone()));
        let app = GithubApp::builder("7".parse().unwrap(), Arc::new(signer))
            .endpoints(github.endpoints())
            .build(Arc::new(github.clone()), Arc::clone(&clock));
        let scope = TokenScope::new(InstallationId::new(42), [RepositoryId::new(1_000)], read);
        let scope = scope.unwrap();
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock)));
        let sam = Sam::builder(store, Arc::new(MemoryCompute::new()))
            .clock(clock)
            .deliveries(Arc::new(MemoryDeliveries::new()))
            .build()
            .unwrap();
        let following = tokio::spawn(forget_changed(sam.clone(), app.clone()));
        for (event, made) in [("installation", 1), ("repository", 2)] {
            let mut number = 0;
            // It may begin to follow later than the first of them, so there are several. No engine runs:
            // nothing is handled here.
            let noticed = deadline::within(Duration::from_secs(30), async {
                loop {
                    app.installation_token(&scope, Duration::ZERO).await.unwrap();
                    if github.count("POST /app/installations/42/access_tokens") > made {
                        return;
                    }
                    number += 1;
                    let new = NewDelivery::new(format!("{event}-{number}"), event, b"")
                        .with_installation(Some("42".to_owned()))
                        .with_repository(Some("1000".to_owned()));
                    sam.receive_delivery(new, &Caller::named("github")).await.unwrap();
                    deadline::sleep(Duration::from_millis(5)).await;
                }
            });
            assert!(noticed.await.is_some(), "{event} {number}");
        }
        following.abort();
    }
}
