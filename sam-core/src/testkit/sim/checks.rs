//! What must hold: at every step, and at the end.

use std::collections::BTreeMap;

use futures_util::future::FutureExt as _;

use super::world::World;
use crate::engine::{Stored, decode};
use crate::node::{NodeRecord, NodeState};
use crate::store::{
    Change, ChangeOp, Cursor, Feed, ListQuery, MemoryStore, Record, RecordKey, Rev, Store as _,
};
use crate::workspace::{WorkspaceRecord, WorkspaceState, WorkspaceWish};

/// Reads all records of a kind; the memory store answers at once.
pub(super) fn records<R: Stored>(store: &MemoryStore) -> Result<Vec<R>, String> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let query = ListQuery::new(R::KIND).with_after(after);
        let page = store.list(&query).now_or_never().ok_or("the memory store waits")?;
        let page = page.map_err(|error| error.to_string())?;
        for record in &page.items {
            all.push(decode::<R>(record).map_err(|error| error.to_string())?.record);
        }
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// Holds at every step: no machine that no record answers for, and no two of one key.
pub(super) fn safety(store: &MemoryStore, world: &World) -> Result<(), String> {
    let machines: Vec<_> = {
        let state = world.lock();
        state.machines.values().map(|known| known.machine.clone()).collect()
    };
    for (index, machine) in machines.iter().enumerate() {
        if machines.iter().skip(index + 1).any(|other| other.key == machine.key) {
            return Err(format!("I2: two machines of {}", machine.key));
        }
        let key = RecordKey::new(NodeRecord::KIND, &machine.key);
        let stored = store.load(&key).now_or_never().ok_or("the memory store waits")?;
        let stored = stored.map_err(|error| error.to_string())?;
        let Some(stored) = stored else {
            return Err(format!("I4: machine {} without a record", machine.key));
        };
        let node = decode::<NodeRecord>(&stored).map_err(|error| error.to_string())?.record;
        match node.state {
            NodeState::Requested => {
                return Err(format!("I1: machine {} before its intention", machine.key));
            }
            NodeState::Deleted => {
                return Err(format!("I4: machine {} outlives its record", machine.key));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Tells what is still to come before everything is where its owner wants it; `None` when it is.
pub(super) fn unsettled(store: &MemoryStore, world: &World) -> Result<Option<String>, String> {
    let nodes: BTreeMap<_, _> =
        records::<NodeRecord>(store)?.into_iter().map(|node| (node.id, node)).collect();
    for workspace in records::<WorkspaceRecord>(store)? {
        let node = workspace.node.and_then(|id| nodes.get(&id));
        let data_lost = node.is_none_or(|node| {
            matches!(node.state, NodeState::Lost | NodeState::Deleted | NodeState::Failed)
        });
        let there = match (workspace.wish, workspace.state) {
            (WorkspaceWish::Deleted, state) => state == WorkspaceState::Deleted,
            (_, WorkspaceState::Failed) => workspace.node.is_none(),
            (WorkspaceWish::Running, WorkspaceState::Interrupted) => data_lost,
            (WorkspaceWish::Running, state) => {
                let same = node.is_some_and(|node| node.instance == workspace.instance);
                state == WorkspaceState::Running
                    && same
                    && node.is_some_and(|node| node.state == NodeState::Ready)
            }
            (WorkspaceWish::Stopped, state) => state == WorkspaceState::Stopped,
        };
        if !there {
            return Ok(Some(format!("{} is {:?}", workspace.id, workspace.state)));
        }
    }
    for node in nodes.values() {
        let exists = world.lock().find(&node.machine_key()).is_some();
        let settled = match node.state {
            NodeState::Ready => exists,
            NodeState::Deleted | NodeState::Lost => !exists,
            _ => false,
        };
        if !settled {
            return Ok(Some(format!(
                "{} is {:?}, its machine exists: {exists}",
                node.id, node.state
            )));
        }
    }
    Ok(None)
}

/// Holds at the end: the feed has no gap, replays to the same records, takes only legal steps and
/// shows no secret.
pub(super) fn history(store: &MemoryStore, world: &World) -> Result<u64, String> {
    let changes = feed(store)?;
    let mut replayed: BTreeMap<RecordKey, Change> = BTreeMap::new();
    for (index, change) in changes.iter().enumerate() {
        if change.rev.0 != index as u64 + 1 {
            return Err(format!("I6: revision {} stands at place {}", change.rev, index + 1));
        }
        let before = replayed.get(&change.key);
        let expected = before.map_or(0, |before| before.version) + 1;
        if change.version != expected {
            return Err(format!("I6: {} goes to version {}", change.key, change.version));
        }
        if let Some(before) = before {
            legal(before, change)?;
        }
        match change.op {
            ChangeOp::Delete => drop(replayed.remove(&change.key)),
            ChangeOp::Put => drop(replayed.insert(change.key.clone(), change.clone())),
        }
    }
    for (key, change) in &replayed {
        let stored = store.load(key).now_or_never().ok_or("the memory store waits")?;
        let stored = stored.map_err(|error| error.to_string())?;
        if stored.map(|record| record.body) != Some(std::sync::Arc::clone(&change.body)) {
            return Err(format!("I7: {key} is not what the feed says"));
        }
    }
    let secrets = world.lock().secrets.clone();
    for change in &changes {
        if secrets.iter().any(|secret| change.body.contains(secret)) {
            return Err(format!("I8: a token is in revision {}", change.rev));
        }
    }
    Ok(changes.len() as u64)
}

/// Returns the feed as lines a person can read.
pub(super) fn history_lines(store: &MemoryStore) -> Result<Vec<String>, String> {
    let line = |change: &Change| {
        let state = serde_json::from_str::<serde_json::Value>(&change.body).ok();
        let state = state.as_ref().and_then(|body| body.get("state")?.as_str()).unwrap_or("-");
        format!("{:>5} {} {} {} ({state})", change.rev, change.at, change.key, change.event)
    };
    Ok(feed(store)?.iter().map(line).collect())
}

fn feed(store: &MemoryStore) -> Result<Vec<Change>, String> {
    let read = |after: Option<&Cursor>| {
        let read =
            store.changes(after, usize::MAX).now_or_never().ok_or("the memory store waits")?;
        match read.map_err(|error| error.to_string())? {
            Feed::Changes(changes) => Ok(changes),
            Feed::Stale { .. } => Err("the feed's own cursor is stale".to_owned()),
        }
    };
    let head = read(None)?.head;
    Ok(read(Some(&Cursor::new(head.epoch, Rev(0))))?.changes)
}

fn legal(before: &Change, after: &Change) -> Result<(), String> {
    fn pair<R: Stored>(before: &Change, after: &Change) -> Result<(R, R), String> {
        let read = |change: &Change| {
            let index = crate::store::Index::default();
            let (key, body) = (change.key.clone(), std::sync::Arc::clone(&change.body));
            let record = Record::new(key, change.version, change.rev, index, body);
            decode::<R>(&record).map(|stamped| stamped.record).map_err(|error| error.to_string())
        };
        Ok((read(before)?, read(after)?))
    }
    let checked = if after.key.kind == NodeRecord::KIND {
        let (from, to) = pair::<NodeRecord>(before, after)?;
        from.check_next(&to)
    } else if after.key.kind == WorkspaceRecord::KIND {
        let (from, to) = pair::<WorkspaceRecord>(before, after)?;
        from.check_next(&to)
    } else {
        Ok(())
    };
    checked.map_err(|error| format!("I5: revision {}: {error}", after.rev))
}
