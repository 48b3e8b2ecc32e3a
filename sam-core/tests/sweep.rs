//! What the sweep finds and what becomes of it, over a store and a provider in memory.

#[cfg(test)]
mod sweep {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use async_trait::async_trait;
    use futures_util::FutureExt as _;
    use sam_core::compute::{
        BootData, ComputeProvider as _, CreateMachine, Labels, ListMachines, ListOwned, MachineKey,
        MemoryCompute, OwnedResource, OwnedResources,
    };
    use sam_core::dns::{
        DnsProvider as _, ListRecords, MemoryDns, OwnedNames, RecordName, RecordSet, RecordValue,
        Ttl,
    };
    use sam_core::engine::Stepped;
    use sam_core::node::NodeState;
    use sam_core::orphan::OrphanState;
    use sam_core::store::{Cursor, Feed, MemoryStore, Rev, Store as _};
    use sam_core::sweep::{Reason, Scope};
    use sam_core::time::{Clock, ManualClock, Timestamp};
    use sam_core::workspace::{NewWorkspace, WorkspaceState};
    use sam_core::{Caller, Error, ErrorKind, NodeId, Page, Result, Sam, Secret};

    const TEN_MINUTES: Duration = Duration::from_mins(10);

    struct Bench {
        clock: ManualClock,
        store: Arc<MemoryStore>,
        compute: Arc<MemoryCompute>,
        sam: Sam,
        ann: Caller,
    }

    fn now<T>(work: impl Future<Output = T>) -> T {
        work.now_or_never().expect("nothing here waits")
    }

    impl Bench {
        fn new() -> Self {
            Self::with(|_| None)
        }

        fn with(scope: impl FnOnce(&ManualClock) -> Option<Scope>) -> Self {
            let clock = ManualClock::new(Timestamp::EPOCH.plus(Duration::from_hours(1)));
            let shared: Arc<dyn Clock> = Arc::new(clock.clone());
            let store = Arc::new(MemoryStore::new(Arc::clone(&shared)));
            let compute = Arc::new(MemoryCompute::new());
            let mut builder =
                Sam::builder(Arc::clone(&store) as _, Arc::clone(&compute) as _).clock(shared);
            if let Some(scope) = scope(&clock) {
                builder = builder.sweep(scope);
            }
            let sam = builder.installation("home").build().unwrap();
            Self { clock, store, compute, sam, ann: Caller::named("ann") }
        }

        /// Works until nothing is due any more.
        fn settle(&self) {
            for _ in 0..1_000 {
                if now(self.sam.step()).unwrap() != Stepped::Worked {
                    return;
                }
            }
            panic!("it does not come to rest");
        }

        fn pass(&self, span: Duration) {
            let step = Duration::from_mins(1);
            let mut left = span;
            while !left.is_zero() {
                let part = left.min(step);
                self.clock.advance(part);
                self.settle();
                left = left.saturating_sub(part);
            }
        }

        fn epoch(&self) -> String {
            now(sam_core::store::head(&*self.store)).unwrap().epoch.to_string()
        }

        /// Makes a machine behind the records' back.
        fn plant(&self, node: NodeId, labels: &[(&str, &str)]) {
            let labels = labels
                .iter()
                .fold(Labels::default(), |labels, (name, value)| labels.with(name, value).unwrap());
            let boot = BootData::new(node, "memory:".into(), Secret::new("t".into()));
            let request = CreateMachine::new(MachineKey::of(node), boot).with_labels(labels);
            now(self.compute.create_machine(&request)).unwrap();
        }

        /// A node that lived and was deleted, whose machine comes back by a create that was late.
        fn late_machine(&self) -> NodeId {
            let new = NewWorkspace::new("octo/hello".parse().unwrap());
            let made = now(self.sam.create_workspace(new, &self.ann)).unwrap();
            self.settle();
            let workspace = now(self.sam.workspace(made.record.id)).unwrap().unwrap().record;
            assert_eq!(workspace.state, WorkspaceState::Running);
            let node = workspace.node.unwrap();
            now(self.sam.delete_workspace(workspace.id, &self.ann)).unwrap();
            self.pass(Duration::from_mins(1));
            assert_eq!(self.machines(), 0);
            let epoch = self.epoch();
            let (id, owner) = (node.to_string(), "ann");
            self.plant(
                node,
                &[
                    (Labels::INSTALLATION, "home"),
                    (Labels::EPOCH, &epoch),
                    (Labels::NODE, &id),
                    (Labels::OWNER, owner),
                ],
            );
            node
        }

        fn machines(&self) -> usize {
            now(self.compute.list_machines(&ListMachines::default())).unwrap().items.len()
        }

        fn orphans(&self) -> Vec<(OrphanState, Reason, String)> {
            let page = now(self.sam.list_orphans(None, 100)).unwrap();
            let told = |orphan: sam_core::engine::Stamped<sam_core::orphan::OrphanRecord>| {
                (orphan.record.state, orphan.record.reason, orphan.record.id())
            };
            page.items.into_iter().map(told).collect()
        }

        fn events(&self, kind: &str) -> Vec<String> {
            let start =
                Cursor::new(now(sam_core::store::head(&*self.store)).unwrap().epoch, Rev(0));
            let Feed::Changes(changes) = now(self.store.changes(Some(&start), 10_000)).unwrap()
            else {
                panic!("nothing was trimmed");
            };
            let of_kind = changes.changes.iter().filter(|change| change.key.kind.as_str() == kind);
            of_kind.map(|change| change.event.clone()).collect()
        }
    }

    #[test]
    fn a_machine_of_a_deleted_node_is_found_and_deleted_after_the_grace_time() {
        let bench = Bench::new();
        bench.late_machine();
        now(bench.sam.sweep_now(&bench.ann)).unwrap();
        bench.settle();
        let found = bench.orphans();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0, found[0].1), (OrphanState::Suspected, Reason::NodeDeleted));
        bench.pass(TEN_MINUTES.saturating_sub(Duration::from_mins(1)));
        assert_eq!(bench.machines(), 1);
        bench.pass(Duration::from_mins(3));
        assert_eq!((bench.machines(), bench.orphans()), (0, Vec::new()));
        let story = ["orphan_found", "orphan_deletion_started", "orphan_deleted"];
        assert_eq!(bench.events("orphan"), story);
    }

    /// The long run is `--example inventories`.
    #[test]
    fn no_random_inventory_loses_what_must_stay_or_keeps_what_must_go() {
        let mut deleted = 0;
        for seed in 0..100 {
            match sam_core::testkit::inventories::run(seed) {
                Ok(counted) => deleted += counted.orphans,
                Err(wrong) => panic!("{wrong}"),
            }
        }
        assert!(deleted > 100, "only {deleted} orphans: nothing is tried");
    }

    #[test]
    fn a_hold_keeps_what_is_proven_until_it_is_lifted_or_a_person_asks() {
        let bench = Bench::new();
        bench.late_machine();
        now(bench.sam.hold_automatic_deletion("looking into it", &bench.ann)).unwrap();
        bench.pass(Duration::from_hours(2));
        assert_eq!((bench.machines(), bench.orphans().len()), (1, 1));
        now(bench.sam.resume_automatic_deletion("it is fine", &bench.ann)).unwrap();
        bench.pass(Duration::from_mins(3));
        assert_eq!(bench.machines(), 0);

        bench.late_machine();
        now(bench.sam.hold_automatic_deletion("again", &bench.ann)).unwrap();
        bench.pass(Duration::from_mins(30));
        let (_, _, id) = bench.orphans().remove(0);
        now(bench.sam.delete_orphan(&id, &bench.ann)).unwrap();
        bench.pass(Duration::from_mins(3));
        assert_eq!((bench.machines(), bench.orphans()), (0, Vec::new()));
        let gone = now(bench.sam.delete_orphan(&id, &bench.ann)).unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn what_is_not_ours_is_never_touched_and_what_is_not_proven_waits_for_a_person() {
        let bench = Bench::new();
        let node = |bits| NodeId::from_bits(bits);
        let named = |bits| node(bits).to_string();
        bench.plant(node(1), &[]);
        bench.plant(node(2), &[(Labels::INSTALLATION, "work"), (Labels::NODE, &named(2))]);
        bench.plant(node(3), &[(Labels::INSTALLATION, "home")]);
        let unknown = named(4);
        bench.plant(
            node(4),
            &[(Labels::INSTALLATION, "home"), (Labels::NODE, &unknown), (Labels::OWNER, "ann")],
        );
        bench.pass(Duration::from_hours(26));
        assert_eq!(bench.machines(), 4);
        let orphans = bench.orphans();
        assert_eq!(orphans.len(), 1);
        assert_eq!((orphans[0].0, orphans[0].1), (OrphanState::Held, Reason::Unclear));
        let recovered = now(bench.sam.node(node(4))).unwrap().unwrap().record;
        assert_eq!((recovered.state, recovered.owner.as_str()), (NodeState::Recovered, "ann"));
        let sweep = now(bench.sam.list_sweeps(None, 10)).unwrap().items.remove(0).record;
        assert_eq!((sweep.tally.listed, sweep.tally.known, sweep.tally.orphans), (2, 1, 1));
        // A person decides on both.
        now(bench.sam.delete_unused_node(node(4), &bench.ann)).unwrap();
        now(bench.sam.delete_orphan(&orphans[0].2, &bench.ann)).unwrap();
        bench.pass(Duration::from_mins(10));
        assert_eq!((bench.machines(), bench.orphans()), (2, Vec::new()));
    }

    #[test]
    fn more_than_fits_one_commit_is_found_by_one_sweep() {
        let bench = Bench::new();
        for bits in 1..=100 {
            bench.plant(NodeId::from_bits(bits), &[(Labels::INSTALLATION, "home")]);
        }
        now(bench.sam.sweep_now(&bench.ann)).unwrap();
        bench.settle();
        assert_eq!(bench.orphans().len(), 100);
    }

    #[test]
    fn a_node_that_a_workspace_uses_is_not_deleted_by_a_person_who_looks_for_leftovers() {
        let bench = Bench::new();
        let new = NewWorkspace::new("octo/hello".parse().unwrap());
        let made = now(bench.sam.create_workspace(new, &bench.ann)).unwrap();
        bench.settle();
        let workspace = now(bench.sam.workspace(made.record.id)).unwrap().unwrap().record;
        let node = workspace.node.unwrap();
        let refused = now(bench.sam.delete_unused_node(node, &bench.ann)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        assert!(refused.to_string().contains(&workspace.id.to_string()), "{refused}");
        bench.pass(Duration::from_mins(5));
        assert_eq!(bench.machines(), 1);
        now(bench.sam.delete_workspace(workspace.id, &bench.ann)).unwrap();
        bench.pass(Duration::from_mins(1));
        // Repeatable, also when it is gone.
        let gone = now(bench.sam.delete_unused_node(node, &bench.ann)).unwrap();
        assert_eq!(gone.record.state, NodeState::Deleted);
    }

    #[test]
    fn names_that_were_left_over_go_and_those_of_others_stay() {
        let zone: RecordName = "example.com".parse().unwrap();
        let dns = Arc::new(MemoryDns::new(zone.clone()));
        let names = OwnedNames::new(Arc::clone(&dns) as _, zone.clone());
        let scope = Scope::new("dns:example.com".into(), Arc::new(names.clone()));
        let bench = Bench::with(|_| Some(scope));
        let node = bench.late_machine();
        let set = |name: &str| {
            let value = RecordValue::A([192, 0, 2, 1].into());
            RecordSet::new(name.parse().unwrap(), [value], Ttl::DEFAULT).unwrap()
        };
        let (id, epoch) = (node.to_string(), bench.epoch());
        let labels = |installation: &str, epoch: &str| {
            [
                (Labels::INSTALLATION, installation),
                (Labels::EPOCH, epoch),
                (Labels::NODE, &id),
                (Labels::OWNER, "ann"),
            ]
            .into_iter()
            .fold(Labels::default(), |labels, (name, value)| labels.with(name, value).unwrap())
        };
        now(names.put(&set("ws-1.example.com"), &labels("home", &epoch))).unwrap();
        now(names.put(&set("ws-2.example.com"), &labels("work", &epoch))).unwrap();
        now(names.put(&set("ws-3.example.com"), &labels("home", "before"))).unwrap();
        now(dns.put_record(&set("www.example.com"))).unwrap();
        bench.pass(Duration::from_hours(1));
        let sets = now(dns.list_records(&ListRecords::new(zone))).unwrap().items;
        let left: Vec<_> = sets.iter().map(|set| set.key().name.as_str()).collect();
        let expected = [
            "_sam.ws-2.example.com",
            "_sam.ws-3.example.com",
            "ws-2.example.com",
            "ws-3.example.com",
            "www.example.com",
        ];
        assert_eq!(left, expected);
        // That of another epoch may be wanted: a person decides.
        let orphans = bench.orphans();
        assert_eq!(orphans.len(), 1, "{orphans:?}");
        assert_eq!((orphans[0].0, orphans[0].1), (OrphanState::Held, Reason::OtherEpoch));
    }

    /// A credential whose listing fails while the switch is on.
    #[derive(Debug)]
    struct Flaky(Arc<AtomicBool>);

    #[async_trait]
    impl OwnedResources for Flaky {
        async fn list_owned(&self, _query: &ListOwned) -> Result<Page<OwnedResource>> {
            if self.0.load(Ordering::Relaxed) {
                return Err(Error::new(ErrorKind::Unauthenticated, "the token was revoked"));
            }
            Ok(Page::default())
        }

        async fn delete_owned(&self, _resource: &OwnedResource) -> Result<()> {
            Err(Error::new(ErrorKind::Denied, "nothing is deleted here"))
        }
    }

    #[test]
    fn a_credential_that_fails_is_told_and_holds_up_no_other() {
        let broken = Arc::new(AtomicBool::new(true));
        let flaky = Arc::new(Flaky(Arc::clone(&broken)));
        let bench = Bench::with(|_| Some(Scope::new("dns.example".into(), flaky)));
        bench.late_machine();
        bench.pass(Duration::from_mins(30));
        assert_eq!(bench.machines(), 0);
        let sweeps = || now(bench.sam.list_sweeps(None, 10)).unwrap().items;
        let failing = sweeps().into_iter().find(|sweep| sweep.record.scope == "dns.example");
        let failing = failing.unwrap().record;
        assert_eq!(failing.error.unwrap().kind, ErrorKind::Unauthenticated);
        // It is tried less and less often, so half an hour of it is a few lines of the feed.
        assert!((5..=20).contains(&failing.attempts), "{}", failing.attempts);
        // A person need not wait for the next attempt.
        let asked = now(bench.sam.sweep_scope_now("dns.example", &bench.ann)).unwrap();
        assert_eq!(asked.record.attempts, 0);
        bench.settle();
        let known = sweeps().into_iter().find(|sweep| sweep.record.scope == "dns.example");
        assert_eq!(known.unwrap().record.attempts, 1);
        let unknown = now(bench.sam.sweep_scope_now("dns.other", &bench.ann)).unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
        broken.store(false, Ordering::Relaxed);
        bench.pass(TEN_MINUTES);
        assert!(sweeps().iter().all(|sweep| sweep.record.error.is_none()));
    }
}
