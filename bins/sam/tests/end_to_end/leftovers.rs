//! What the records do not know of is found, shown and left to a person; and what is to be deleted by
//! itself waits while a person holds that.

use std::fs;

use futures_util::StreamExt as _;
use sam_api::client::EventsFrom;
use sam_api::{CreateWorkspace, Event, IdempotencyKey, Lifetime, Time, WorkspaceState};
use sam_core::time::Clock as _;
use sam_providers::system::SystemClock;
use serde_json::Value;

use crate::deadline::{LIMIT, eventually, within};
use crate::home::{Home, assert_failed, said, trials};

trials! {
    machines_that_no_record_knows_are_shown_and_deleted_by_a_person,
    a_hold_keeps_what_is_over_until_a_person_lifts_it,
    a_daemon_that_is_started_with_another_policy_follows_it,
}

/// Starts the daemon with settings of its own.
async fn start_daemon(home: &Home, settings: &[(&str, &str)]) {
    let mut starting = home.sam(&["ls"]);
    let output = starting.envs(settings.iter().copied()).output().await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

/// The objects a command wrote, one a line.
async fn listed(home: &Home, arguments: &[&str]) -> Vec<Value> {
    let text = home.done(&[arguments, &["--json"]].concat()).await;
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

async fn machines_that_no_record_knows_are_shown_and_deleted_by_a_person(home: &Home) {
    let repo = home.repo().await;
    let node = async |name: &str| home.up(&repo, name).await.node_id.unwrap().to_string();
    let (known, garbled) = (node("a").await, node("b").await);
    // What a workspace uses goes with it, and not by itself.
    assert_failed(&home.run(&["node", "rm", &known]).await, 5, &["is used by ws-", "delete"]);

    // The database is lost, the machines run on; and somebody changed a label of one.
    home.done(&["daemon", "stop"]).await;
    for name in ["sam.db", "sam.db-wal", "sam.db-shm"] {
        let removed = fs::remove_file(home.data().join(name));
        assert!(removed.is_ok() || name != "sam.db", "{removed:?}");
    }
    let path = home.data().join("nodes").join(&garbled).join("machine.json");
    let labels = fs::read_to_string(&path).unwrap();
    let label = format!("\"sam-node\":\"{garbled}\"");
    assert!(labels.contains(&label), "{labels}");
    fs::write(&path, labels.replace(&label, "\"sam-node\":\"nd-x\"")).unwrap();

    let sweeps = listed(home, &["sweep", "run"]).await;
    // What the daemon's own first sweep recovered is known by now.
    let tally = &sweeps[0]["tally"];
    assert_eq!((&tally["listed"], &tally["orphans"]), (&2.into(), &1.into()), "{sweeps:?}");
    let nodes = listed(home, &["node", "ls"]).await;
    let told: Vec<_> = nodes.iter().map(|node| (&node["id"], &node["state"])).collect();
    assert_eq!(told, [(&known.as_str().into(), &"recovered".into())]);
    let orphan = eventually("it waits for a person", async || {
        let orphans = listed(home, &["orphan", "ls"]).await;
        assert_eq!(orphans.len(), 1, "{orphans:?}");
        orphans.into_iter().find(|orphan| orphan["state"] == "held")
    })
    .await;
    assert_eq!(
        (&orphan["provider_id"], &orphan["reason"]),
        (&garbled.as_str().into(), &"unclear".into())
    );
    let table = home.done(&["orphan", "ls"]).await;
    assert!(table.contains("held") && table.contains(&garbled), "{table}");

    // Both are whole until a person says what is to become of them, hold or no hold.
    home.done(&["sweep", "run"]).await;
    assert_eq!(home.node_directories().len(), 2);
    home.done(&["hold", "set", "--reason", "the database was lost"]).await;
    home.done(&["orphan", "rm", orphan["id"].as_str().unwrap()]).await;
    assert_eq!(home.node_directories(), std::slice::from_ref(&known));
    assert_eq!(listed(home, &["orphan", "ls"]).await, Vec::<Value>::new());
    home.done(&["node", "rm", &known]).await;
    assert_eq!(home.node_directories(), Vec::<String>::new());
    assert_eq!(listed(home, &["node", "ls"]).await, Vec::<Value>::new());
    assert_eq!(listed(home, &["node", "ls", "--all"]).await[0]["state"], "deleted");
    assert_failed(&home.run(&["node", "rm", "nd-x"]).await, 3, &["nd-x", "sam node ls"]);
}

async fn a_hold_keeps_what_is_over_until_a_person_lifts_it(home: &Home) {
    let repo = home.repo().await;
    start_daemon(home, &[("SAM_HOLD_POLL", "1s"), ("SAM_WORKSPACE_LIFETIME_MAX", "9s")]).await;
    let told = home.done(&["hold", "set", "--reason", "moving house"]).await;
    assert!(told.contains("held") && told.contains("moving house"), "{told}");
    let mut events = home.client().events(EventsFrom::default()).await.unwrap();

    // One that its client lets go, and one that grows too old.
    let mut leased = CreateWorkspace::new(repo.to_str().unwrap().parse().unwrap());
    leased.name = Some("leased".to_owned());
    leased.lifetime = Some(Lifetime { lease_ms: 5_000 });
    let key = IdempotencyKey::new("leased").unwrap();
    let leased = home.client().create_workspace(&leased, &key).await.unwrap();
    let old = home.up(&repo, "old").await;
    let over = |at: Time, seconds: u64| at.0.plus(std::time::Duration::from_secs(seconds));
    let ends = [
        over(leased.lease_expires_at.unwrap(), 0),
        over(old.created_at, 9),
        over(leased.created_at, 9),
    ];
    // Three looks at the hold later both are as they were.
    let late = ends.into_iter().max().unwrap().plus(std::time::Duration::from_secs(3));
    eventually("their time is over", async || {
        for name in ["leased", "old"] {
            let found = home.client().workspace(name).await.unwrap();
            let alive = [
                WorkspaceState::Requested,
                WorkspaceState::Placing,
                WorkspaceState::Preparing,
                WorkspaceState::Running,
            ];
            assert!(alive.contains(&found.state), "{found:?}");
        }
        (SystemClock::new().now() > late).then_some(())
    })
    .await;
    assert_eq!(home.done(&["exec", "old", "--", "echo", "here"]).await, "here\n");
    assert_eq!(home.node_directories().len(), 2);

    home.done(&["hold", "lift", "--reason", "moved"]).await;
    eventually("both are gone", async || {
        (home.node_directories().is_empty() && listed(home, &["ls"]).await.is_empty()).then_some(())
    })
    .await;
    // Each for its own reason.
    let mut ended = Vec::new();
    let reading = async {
        while ended.len() < 2 {
            if let Event::Change(change) = events.next().await.unwrap().unwrap()
                && ["lease_lapsed", "lifetime_over"].contains(&change.event.as_str())
            {
                ended.push((change.id, change.event));
            }
        }
    };
    within("the ends are told", LIMIT, reading).await;
    ended.sort_by(|one, other| one.1.cmp(&other.1));
    let expected = [(leased.id, "lease_lapsed"), (old.id, "lifetime_over")];
    assert_eq!(ended, expected.map(|(id, event)| (id.to_string(), event.to_owned())));
}

async fn a_daemon_that_is_started_with_another_policy_follows_it(home: &Home) {
    let repo = home.repo().await;
    let mut wrong = home.sam(&["ls"]);
    wrong.env("SAM_KEEP_WARM", "for a while");
    let output = wrong.output().await.unwrap();
    assert_failed(&output, 2, &["SAM_KEEP_WARM", "it takes a span"]);

    start_daemon(home, &[("SAM_KEEP_WARM", "10m"), ("MAX_NODES_PER_USER", "1")]).await;
    let first = home.up(&repo, "a").await;
    // The cap, by the name that another system has for it.
    let output = home.run(&["up", repo.to_str().unwrap(), "--no-attach", "--name", "b"]).await;
    assert_failed(&output, 6, &["1"]);
    home.done(&["delete", "b"]).await;
    home.done(&["delete", "a"]).await;
    let nodes = listed(home, &["node", "ls"]).await;
    assert_eq!(nodes.len(), 1, "kept: {nodes:?}");
    let next = home.up(&repo, "c").await;
    assert_eq!(next.node_id, first.node_id);

    // Without a word of all that, and with a life that is over already.
    home.done(&["daemon", "stop"]).await;
    start_daemon(home, &[("SAM_WORKSPACE_LIFETIME_MAX", "1s")]).await;
    eventually("it is gone with its node", async || {
        (home.node_directories().is_empty() && listed(home, &["ls"]).await.is_empty()).then_some(())
    })
    .await;
}
