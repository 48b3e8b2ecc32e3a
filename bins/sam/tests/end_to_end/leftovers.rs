//! What the records do not know of is found, shown and left to a person; and what is to be deleted by
//! itself waits while a person holds that.

use std::fs;

use serde_json::Value;

use crate::deadline::eventually;
use crate::home::{Home, assert_failed, trials};

trials! {
    machines_that_no_record_knows_are_shown_and_deleted_by_a_person,
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
    let tally = &sweeps[0]["tally"];
    assert_eq!((&tally["orphans"], &tally["recovered"]), (&1.into(), &1.into()), "{sweeps:?}");
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
