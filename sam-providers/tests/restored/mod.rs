//! What becomes of machines when a backup is restored: the same story on every store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sam_core::compute::{ComputeProvider as _, ListMachines, MemoryCompute};
use sam_core::engine::Stepped;
use sam_core::entropy::SeededEntropy;
use sam_core::keys::{MemoryKeys, SecretOwner};
use sam_core::node::NodeState;
use sam_core::node_link::MemoryLink;
use sam_core::secrets::{ListSecrets, SecretStore, Secrets};
use sam_core::store::{Feed, Store};
use sam_core::time::{Clock, ManualClock};
use sam_core::workspace::{NewWorkspace, WorkspaceName, WorkspaceRecord, WorkspaceState};
use sam_core::{Caller, NodeId, Restore, Sam, Secret};

/// Longer than the grace time, and than sweeps are apart.
const SPAN: Duration = Duration::from_mins(11);
/// Sweeps enough to see something, to look again, and to act.
const SWEEPS: usize = 4;

/// Two stores of one sort, and a file between them.
#[async_trait]
pub(crate) trait Stores: Sync {
    /// The store that is backed up.
    async fn original(&self) -> Opened;
    /// Writes the original to the file.
    async fn back_up(&self);
    /// Another store, from the file.
    async fn restored(&self, rule: &Restore) -> Opened;
    /// Moves the time of both stores on, and that of the clock.
    fn advance(&self, span: Duration);
    /// The clock of whoever works on them.
    fn clock(&self) -> ManualClock;
}

/// One store, as what keeps records and as what keeps secrets.
pub(crate) struct Opened {
    records: Arc<dyn Store>,
    secrets: Arc<dyn SecretStore>,
}

impl Opened {
    pub(crate) fn new(store: impl Store + SecretStore) -> Self {
        let store = Arc::new(store);
        Self { records: Arc::clone(&store) as _, secrets: store }
    }
}

/// A control plane on one of the stores. All of them buy from the same provider.
struct Plane<'a> {
    stores: &'a dyn Stores,
    sam: Sam,
    agents: Arc<MemoryLink>,
    ann: Caller,
}

impl<'a> Plane<'a> {
    fn new(
        stores: &'a dyn Stores,
        store: Opened,
        cloud: &Arc<MemoryCompute>,
        installation: &str,
    ) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(stores.clock());
        let builder = Sam::builder(store.records, Arc::clone(cloud) as _).clock(clock);
        // Each has names of its own for what it makes, as real entropy would see to.
        let seed = u64::from(installation.as_bytes()[0]) + cloud_size(cloud) as u64;
        let entropy = Arc::new(SeededEntropy::new(seed));
        let agents = Arc::new(MemoryLink::new());
        let builder = builder.entropy(entropy).boot_key(Secret::new([7; 32]));
        let builder = builder.link(Arc::clone(&agents) as _).installation(installation);
        Self { stores, sam: builder.build().unwrap(), agents, ann: Caller::named("ann") }
    }

    /// Works until nothing is due any more.
    async fn settle(&self) {
        for _ in 0..1_000 {
            if self.sam.step().await.unwrap() != Stepped::Worked {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// Sweeps often enough for everything that sweeps do.
    async fn sweep(&self) {
        for _ in 0..SWEEPS {
            self.stores.advance(SPAN);
            self.sam.sweep_now(&self.ann).await.unwrap();
            self.settle().await;
        }
        let sweeps = self.sam.list_sweeps(None, 10).await.unwrap().items;
        assert!(sweeps.iter().all(|sweep| sweep.record.error.is_none()), "{sweeps:?}");
        assert!(sweeps.iter().any(|sweep| sweep.record.swept_at.is_some()), "{sweeps:?}");
    }

    async fn create(&self, name: &str) -> WorkspaceRecord {
        let name: WorkspaceName = name.parse().unwrap();
        let new = NewWorkspace::new("octo/hello".parse().unwrap()).with_name(Some(name));
        let id = self.sam.create_workspace(new, &self.ann).await.unwrap().record.id;
        self.settle().await;
        let workspace = self.sam.workspace(id).await.unwrap().unwrap().record;
        assert_eq!(workspace.state, WorkspaceState::Running);
        workspace
    }

    async fn state(&self, workspace: &WorkspaceRecord) -> WorkspaceState {
        self.sam.workspace(workspace.id).await.unwrap().unwrap().record.state
    }

    async fn node(&self, id: NodeId) -> Option<NodeState> {
        self.sam.node(id).await.unwrap().map(|node| node.record.state)
    }
}

fn cloud_size(cloud: &MemoryCompute) -> usize {
    use futures_util::FutureExt as _;
    let listed = cloud.list_machines(&ListMachines::default()).now_or_never();
    listed.expect("nothing here waits").unwrap().items.len()
}

async fn machines(cloud: &MemoryCompute) -> Vec<String> {
    let page = cloud.list_machines(&ListMachines::default()).await.unwrap();
    page.items.into_iter().map(|machine| machine.provider_id).collect()
}

/// What both stories about secrets begin with: one that is kept, then a backup, then an hour and one
/// more. Returns the name, and the keys that open what is kept there.
async fn secrets_of_the_original(stores: &dyn Stores) -> (SecretOwner, Arc<MemoryKeys>) {
    let keys = Arc::new(MemoryKeys::new(Arc::new(SeededEntropy::new(2))));
    let (kept, since): (SecretOwner, SecretOwner) =
        ("credential/1".parse().unwrap(), "credential/2".parse().unwrap());
    let original = stores.original().await;
    let secrets = Secrets::new(Arc::clone(&keys) as _, original.secrets);
    secrets.keep(&kept, &Secret::new(b"of a cloud".to_vec())).await.unwrap();
    stores.advance(SPAN);
    stores.back_up().await;
    stores.advance(SPAN);
    secrets.keep(&since, &Secret::new(b"later".to_vec())).await.unwrap();
    (kept, keys)
}

/// The keys of the installation open what was backed up, and nothing that came later is there.
pub(crate) async fn a_replacement_keeps_its_secrets(stores: &dyn Stores) {
    let (kept, keys) = secrets_of_the_original(stores).await;
    let rule = Restore::replace("the test", stores.clock().now());
    let restored = stores.restored(&rule).await;
    let listed = restored.secrets.list_secrets(&ListSecrets::new()).await.unwrap().items;
    assert_eq!(listed.iter().map(|entry| &entry.name).collect::<Vec<_>>(), [&kept]);
    // What a crash left over is not young again, nor older than it was.
    assert!((SPAN..SPAN * 2).contains(&listed[0].kept_for), "{listed:?}");
    let secrets = Secrets::new(keys, restored.secrets);
    let opened = secrets.open(&kept).await.unwrap().unwrap();
    assert_eq!(opened.expose(), b"of a cloud");
}

/// Even with the keys of the original, a copy could not use its accounts.
pub(crate) async fn a_copy_has_no_secret_of_the_original(stores: &dyn Stores) {
    let (kept, keys) = secrets_of_the_original(stores).await;
    let restored = stores.restored(&Restore::copy(stores.clock().now())).await;
    let listed = restored.secrets.list_secrets(&ListSecrets::new()).await.unwrap();
    assert_eq!(listed.items, []);
    let secrets = Secrets::new(keys, restored.secrets);
    assert!(secrets.open(&kept).await.unwrap().is_none());
    secrets.keep(&kept, &Secret::new(b"its own".to_vec())).await.unwrap();
}

/// Restores an old backup in place of its store.
pub(crate) async fn a_replacement_forgets_no_machine_bought_since(stores: &dyn Stores) {
    let cloud = Arc::new(MemoryCompute::new());
    let before = Plane::new(stores, stores.original().await, &cloud, "home");
    let kept = before.create("kept").await;
    let gone = before.create("gone").await;
    stores.back_up().await;
    // What the backup does not know: one more was bought, and one was deleted.
    let since = before.create("since").await;
    before.sam.delete_workspace(gone.id, &before.ann).await.unwrap();
    before.settle().await;
    before.sweep().await;
    let bought = machines(&cloud).await;
    assert_eq!(bought.len(), 2);
    drop(before);

    let rule = Restore::replace("the test", stores.clock().now());
    let after = Plane::new(stores, stores.restored(&rule).await, &cloud, "home");
    let hold = after.sam.automatic_deletion_hold().await.unwrap().unwrap().record;
    assert!(hold.held && hold.by == "the test", "{hold:?}");
    after.agents.disconnect(gone.node.unwrap());
    after.sweep().await;
    // The one that is still there is as it was, the one that is gone is known to be, and the one
    // that no record knew waits for a person.
    assert_eq!(after.state(&kept).await, WorkspaceState::Running);
    assert_eq!(after.node(kept.node.unwrap()).await, Some(NodeState::Ready));
    assert_eq!(after.node(gone.node.unwrap()).await, Some(NodeState::Lost));
    assert_eq!(after.state(&gone).await, WorkspaceState::Interrupted);
    assert_eq!(after.node(since.node.unwrap()).await, Some(NodeState::Recovered));
    assert_eq!(machines(&cloud).await, bought);
    // Deletion that goes on by itself does not take what waits for a person.
    after.sam.resume_automatic_deletion("looked at it", &after.ann).await.unwrap();
    after.sweep().await;
    assert_eq!(machines(&cloud).await, bought);
    after.sam.delete_node(since.node.unwrap(), &after.ann).await.unwrap();
    after.sweep().await;
    assert_eq!(machines(&cloud).await.len(), 1);
    for workspace in [&kept, &gone] {
        after.sam.delete_workspace(workspace.id, &after.ann).await.unwrap();
    }
    after.settle().await;
    after.sweep().await;
    assert_eq!(machines(&cloud).await, Vec::<String>::new());
}

/// Restores a backup beside its store, with the same account at the provider.
pub(crate) async fn a_copy_never_touches_the_machines_of_the_original(stores: &dyn Stores) {
    let cloud = Arc::new(MemoryCompute::new());
    let production = Plane::new(stores, stores.original().await, &cloud, "production");
    let (running, deleting) = (production.create("api").await, production.create("old").await);
    // A deletion is under way, so the backup says that this one is to go.
    production.sam.delete_workspace(deleting.id, &production.ann).await.unwrap();
    stores.back_up().await;
    let bought = machines(&cloud).await;

    let rule = Restore::copy(stores.clock().now());
    let staging = Plane::new(stores, stores.restored(&rule).await, &cloud, "staging");
    staging.settle().await;
    staging.sweep().await;
    assert_eq!(machines(&cloud).await, bought, "it carries nothing out that the original began");
    for workspace in [&running, &deleting] {
        assert_eq!(staging.state(workspace).await, WorkspaceState::Deleted);
        assert_eq!(staging.node(workspace.node.unwrap()).await, Some(NodeState::Deleted));
    }
    // Names are free, and what it buys is its own.
    let own = staging.create("api").await;
    assert_eq!(machines(&cloud).await.len(), bought.len() + 1);
    staging.sam.delete_workspace(own.id, &staging.ann).await.unwrap();
    staging.sweep().await;
    assert_eq!(machines(&cloud).await, bought);
    // Readers of the original's feed are told to begin anew, and the feed has no gap.
    let start = sam_core::store::head(&**production.sam.store()).await.unwrap();
    let read = staging.sam.store().changes(Some(&start), 10).await.unwrap();
    assert!(matches!(read, Feed::Stale { .. }), "{read:?}");
    // And the original goes on.
    production.settle().await;
    production.sweep().await;
    assert_eq!(production.state(&running).await, WorkspaceState::Running);
    assert_eq!(machines(&cloud).await.len(), 1);
}
