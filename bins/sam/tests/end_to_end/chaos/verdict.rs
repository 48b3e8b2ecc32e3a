//! What must hold at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sam_api::client::ListWorkspaces;
use sam_api::{Change, Workspace, WorkspaceState, WorkspaceWish};
use sam_core::Secret;
use sam_core::entropy::SeededEntropy;
use sam_core::store::{ChangeOp, Cursor, Feed, Rev, Store as _};
use sam_providers::postgres::{PgOptions, PgStore};
use sam_providers::system::OsEntropy;

use super::cluster::Cluster;
use super::fleet::Fleet;
use super::owners::Owned;
use super::reader::Reader;
use super::storm::machines;
use crate::deadline::{LIMIT, eventually, until};
use crate::home::Home;
use crate::processes::Role;

/// How long everything may take to become what its owner asked for, once nothing goes wrong any more.
const RECOVERY: Duration = Duration::from_secs(90);
/// Changes that are read from the store at once.
const PAGE: usize = 500;

/// Lists all workspaces, also those that are deleted.
async fn all(fleet: &Fleet<'_>, random: &SeededEntropy) -> Vec<Workspace> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let query = ListWorkspaces { all: true, after, limit: Some(100) };
        let page = fleet.ask(random, async |client| client.workspaces(&query).await).await;
        let page = page.expect("a list");
        all.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

/// Says what is not as its owner asked.
fn wrong(owned: &[Owned], found: &[Workspace]) -> Vec<String> {
    let found: BTreeMap<_, _> = found.iter().map(|workspace| (workspace.id, workspace)).collect();
    let mut wrong = Vec::new();
    for one in owned {
        let Some(workspace) = found.get(&one.id) else {
            wrong.push(format!("{} {} is not known", one.name, one.id));
            continue;
        };
        let state = match one.wish {
            WorkspaceWish::Running => WorkspaceState::Running,
            WorkspaceWish::Stopped => WorkspaceState::Stopped,
            WorkspaceWish::Deleted => WorkspaceState::Deleted,
        };
        if workspace.state != state || workspace.wish != one.wish {
            wrong.push(format!("{} was to be {:?}: {workspace:?}", one.name, one.wish));
        }
    }
    wrong
}

/// Waits until every workspace is where its owner asked, and there is none that nobody asked for.
pub(super) async fn settle(fleet: &Fleet<'_>, owned: &[Owned], random: &SeededEntropy) {
    let mut last = Vec::new();
    let settled = until(RECOVERY, async || {
        last = wrong(owned, &all(fleet, random).await);
        last.is_empty().then_some(())
    })
    .await;
    assert!(settled.is_some(), "not settled after {RECOVERY:?}: {last:#?}");
    let ids: BTreeSet<_> = owned.iter().map(|one| one.id).collect();
    let found: BTreeSet<_> = all(fleet, random).await.iter().map(|found| found.id).collect();
    assert_eq!(ids.len(), owned.len(), "two requests gave one workspace");
    assert_eq!(ids, found, "workspaces nobody asked for");
}

/// A workspace that is kept has one node, with one holder and one agent, and what people started in it
/// where it runs; nothing else has a process. Returns how many people's processes there are.
pub(super) async fn one_machine_each(
    home: &Home,
    fleet: &Fleet<'_>,
    random: &SeededEntropy,
) -> usize {
    let workspaces = all(fleet, random).await.into_iter();
    let kept = workspaces.filter(|one| one.state != WorkspaceState::Deleted);
    let state_of: BTreeMap<String, WorkspaceState> =
        kept.map(|one| (one.node_id.expect("a node").to_string(), one.state)).collect();
    let expected: BTreeMap<String, Vec<Role>> =
        state_of.keys().map(|node| (node.clone(), vec![Role::Agent, Role::Holder])).collect();
    let (mut found, mut others) = (BTreeMap::new(), 0);
    let same = until(LIMIT, async || {
        found = machines(home);
        others = 0;
        for (node, roles) in &mut found {
            if state_of.get(node) == Some(&WorkspaceState::Running) {
                let before = roles.len();
                roles.retain(|role| *role != Role::Other);
                others += before - roles.len();
            }
        }
        (found == expected).then_some(())
    })
    .await;
    assert!(same.is_some(), "processes: {found:#?}\nexpected: {expected:#?}");
    others
}

/// Every workspace that runs can be used through every replica.
pub(super) async fn usable(fleet: &Fleet<'_>, owned: &[Owned]) {
    for one in owned.iter().filter(|one| one.wish == WorkspaceWish::Running) {
        for client in fleet.clients() {
            eventually(&format!("{} can be used", one.name), async || {
                client.activity(&one.id.to_string()).await.ok()
            })
            .await;
        }
    }
}

/// Deletes what is left, and looks that nothing is.
pub(super) async fn take_all_away(
    home: &Home,
    cluster: &Cluster,
    fleet: &Fleet<'_>,
    owned: &mut [Owned],
    random: &SeededEntropy,
) {
    for one in owned.iter_mut().filter(|one| one.wish != WorkspaceWish::Deleted) {
        let id = one.id.to_string();
        let deleted = fleet.ask(random, async |client| client.delete_workspace(&id).await).await;
        deleted.unwrap_or_else(|error| panic!("delete {}: {error:?}", one.name));
        one.wish = WorkspaceWish::Deleted;
    }
    settle(fleet, owned, random).await;
    let left = machines(home);
    assert!(left.is_empty(), "left behind: {left:#?}");
    let directories = home.node_directories();
    assert!(directories.is_empty(), "left behind: {directories:?}");
    for one in nodes(cluster).await {
        for mount in ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"] {
            let group = std::path::Path::new(mount).join(format!("sam-{one}"));
            assert!(!group.exists(), "left behind: {}", group.display());
        }
    }
    // Sweeps come again and again, replicas are looked for, and the keys of requests are kept for a day.
    let mut due = Vec::new();
    let none = until(RECOVERY, async || {
        due = column(
            cluster,
            "SELECT kind || ' ' || id FROM sam.lease WHERE kind NOT IN ('replica', 'request', 'sweep')",
        )
        .await;
        due.is_empty().then_some(())
    })
    .await;
    assert!(none.is_some(), "still due: {due:?}");
    let open = "SELECT kind || ' ' || body FROM sam.record \
                WHERE kind IN ('node', 'workspace') AND body::json->>'state' <> 'deleted'";
    let open = column(cluster, open).await;
    assert!(open.is_empty(), "not deleted: {open:#?}");
}

async fn nodes(cluster: &Cluster) -> Vec<String> {
    column(cluster, "SELECT id FROM sam.record WHERE kind = 'node'").await
}

/// Asks the database itself.
async fn column(cluster: &Cluster, sql: &str) -> Vec<String> {
    let client = cluster.connect().await.expect("PostgreSQL answers");
    let rows = client.query(sql, &[]).await.expect("rows");
    rows.iter().map(|row| row.get(0)).collect()
}

/// A change as it can be told from the store.
type Told = (String, String, String);

/// Reads the whole feed from the store, which must be dense and whole, and returns what a reader may see
/// of it.
pub(super) async fn feed_of_the_store(cluster: &Cluster) -> Vec<Told> {
    let options = PgOptions::new(Arc::new(OsEntropy::new()));
    let store = PgStore::open(&Secret::new(cluster.url()), options).await.expect("the store");
    store.integrity_check().await.expect("the store is whole");
    let Feed::Changes(start) = store.changes(None, 0).await.expect("the feed") else {
        panic!("no feed")
    };
    let (head, mut rev) = (start.head, Rev(0));
    let mut told = Vec::new();
    while rev < head.rev {
        let after = Cursor::new(head.epoch.clone(), rev);
        let page = store.changes(Some(&after), PAGE).await.expect("the feed");
        let Feed::Changes(page) = page else { panic!("{after} is stale") };
        for change in page.changes {
            assert_eq!(change.rev.0, rev.0 + 1, "the feed has a gap");
            rev = change.rev;
            let shown = ["node", "workspace"].contains(&change.key.kind.as_str());
            if shown && change.op == ChangeOp::Put {
                let cursor = Cursor::new(head.epoch.clone(), rev).to_string();
                told.push((cursor, change.key.id.clone(), change.event.clone()));
            }
        }
    }
    store.close().await;
    told
}

fn told(changes: &[Change]) -> Vec<Told> {
    let told = |one: &Change| (one.cursor.clone(), one.id.clone(), one.event.clone());
    changes.iter().map(told).collect()
}

/// Waits until a reader has seen as much as there is, and compares.
pub(super) async fn same(name: &str, reader: &Reader, expected: &[Told]) -> Vec<Change> {
    let enough = async || {
        assert!(reader.is_alive(), "{name} has failed");
        (reader.seen.changes().len() >= expected.len()).then_some(())
    };
    let in_time = until(LIMIT, enough).await;
    let seen = reader.seen.changes();
    let found = told(&seen);
    if found != expected {
        let differ = found.iter().zip(expected).position(|(a, b)| a != b);
        let at = differ.unwrap_or_else(|| found.len().min(expected.len()));
        let around = |list: &[Told]| {
            list.iter().skip(at.saturating_sub(2)).take(6).cloned().collect::<Vec<_>>()
        };
        panic!(
            "{name} saw {} of {} changes (in time: {}); they differ at {at}: {:#?} is {:#?}",
            found.len(),
            expected.len(),
            in_time.is_some(),
            around(&found),
            around(expected)
        );
    }
    seen
}
