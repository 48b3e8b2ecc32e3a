//! Published names from a workspace that is asked for to a zone that is empty again.

#[cfg(test)]
mod published_names {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use async_trait::async_trait;
    use futures_util::FutureExt as _;
    use sam_core::compute::MemoryCompute;
    use sam_core::dns::{
        DnsCapabilities, DnsProvider, ListRecords, MemoryDns, OwnedNames, RecordKey, RecordName,
        RecordSet, Ttl,
    };
    use sam_core::engine::Stepped;
    use sam_core::published_name::{NameRecord, NameState, NameTarget, Publishing};
    use sam_core::store::MemoryStore;
    use sam_core::time::{Clock, ManualClock, Timestamp};
    use sam_core::workspace::{NewWorkspace, WorkspaceState};
    use sam_core::{Caller, Error, ErrorKind, Page, Result, Sam, WorkspaceId};

    fn now<T>(work: impl Future<Output = T>) -> T {
        work.now_or_never().expect("nothing here waits")
    }

    /// A zone that can be away.
    #[derive(Debug)]
    struct Zone {
        memory: MemoryDns,
        away: AtomicBool,
    }

    impl Zone {
        fn here(&self) -> Result<()> {
            if self.away.load(Ordering::Relaxed) {
                return Err(Error::new(ErrorKind::Unavailable, "the DNS is away"));
            }
            Ok(())
        }
    }

    impl std::fmt::Display for Zone {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("zone")
        }
    }

    #[async_trait]
    impl DnsProvider for Zone {
        fn capabilities(&self) -> DnsCapabilities {
            DnsCapabilities::new(Ttl::MIN, Duration::ZERO)
        }

        async fn put_record(&self, record: &RecordSet) -> Result<()> {
            self.here()?;
            self.memory.put_record(record).await
        }

        async fn record(&self, key: &RecordKey) -> Result<Option<RecordSet>> {
            self.here()?;
            self.memory.record(key).await
        }

        async fn list_records(&self, query: &ListRecords) -> Result<Page<RecordSet>> {
            self.here()?;
            self.memory.list_records(query).await
        }

        async fn delete_record(&self, key: &RecordKey) -> Result<()> {
            self.here()?;
            self.memory.delete_record(key).await
        }
    }

    struct Bench {
        clock: ManualClock,
        zone: Arc<Zone>,
        names: OwnedNames,
        store: Arc<MemoryStore>,
        sam: Sam,
        ann: Caller,
    }

    impl Bench {
        fn new() -> Self {
            let clock = ManualClock::new(Timestamp::EPOCH.plus(Duration::from_hours(1)));
            let store = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
            let memory = MemoryDns::new(base());
            let zone = Arc::new(Zone { memory, away: AtomicBool::new(false) });
            let names = OwnedNames::new(Arc::clone(&zone) as _, base());
            let sam = sam(&store, &clock, &names, "192.0.2.1");
            Self { clock, zone, names, store, sam, ann: Caller::named("ann") }
        }

        /// Works through a span, a minute at a time.
        fn pass(&self, minutes: u32) {
            for _ in 0..minutes {
                while now(self.sam.step()).unwrap() == Stepped::Worked {}
                self.clock.advance(Duration::from_mins(1));
            }
        }

        fn create(&self) -> WorkspaceId {
            let new = NewWorkspace::new("octo/hello".parse().unwrap());
            now(self.sam.create_workspace(new, &self.ann)).unwrap().record.id
        }

        fn name(&self, id: WorkspaceId) -> NameRecord {
            now(self.sam.published_name(id)).unwrap().unwrap().record
        }

        fn state(&self, id: WorkspaceId) -> WorkspaceState {
            now(self.sam.workspace(id)).unwrap().unwrap().record.state
        }

        fn sets(&self) -> Vec<RecordSet> {
            now(self.zone.memory.list_records(&ListRecords::new(base()))).unwrap().items
        }
    }

    fn base() -> RecordName {
        "example.com".parse().unwrap()
    }

    fn sam(store: &Arc<MemoryStore>, clock: &ManualClock, names: &OwnedNames, at: &str) -> Sam {
        let target = NameTarget::addresses([at.parse().unwrap()]).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(clock.clone());
        Sam::builder(Arc::clone(store) as _, Arc::new(MemoryCompute::new()))
            .clock(clock)
            .installation("home")
            .publish(Publishing::new(names.clone(), base(), target))
            .build()
            .unwrap()
    }

    #[test]
    fn a_name_comes_and_goes_with_its_workspace_and_outlasts_a_stop() {
        let bench = Bench::new();
        let id = bench.create();
        assert_eq!(bench.name(id).state, NameState::Requested, "it was written with the workspace");
        bench.pass(1);
        let name = bench.name(id);
        assert_eq!((name.state, name.host), (NameState::Published, format!("{id}.example.com")));
        assert_eq!(bench.sets().len(), 2);
        now(bench.sam.stop_workspace(id, &bench.ann)).unwrap();
        // Longer than the sweep rests, and the name.
        bench.pass(150);
        assert_eq!(bench.state(id), WorkspaceState::Stopped);
        assert_eq!((bench.name(id).state, bench.sets().len()), (NameState::Published, 2));
        now(bench.sam.delete_workspace(id, &bench.ann)).unwrap();
        bench.pass(2);
        assert_eq!(bench.state(id), WorkspaceState::Deleted);
        assert_eq!((bench.name(id).state, bench.sets().len()), (NameState::Deleted, 0));
    }

    #[test]
    fn a_dns_that_is_away_holds_up_the_name_and_not_the_workspace() {
        let bench = Bench::new();
        bench.zone.away.store(true, Ordering::Relaxed);
        let id = bench.create();
        bench.pass(60);
        assert_eq!(bench.state(id), WorkspaceState::Running);
        let name = bench.name(id);
        assert_eq!(name.state, NameState::Putting);
        assert_eq!(name.error.unwrap().message, "the DNS is away");
        bench.zone.away.store(false, Ordering::Relaxed);
        bench.pass(7);
        let name = bench.name(id);
        assert_eq!((name.state, name.error), (NameState::Published, None));
        bench.zone.away.store(true, Ordering::Relaxed);
        now(bench.sam.delete_workspace(id, &bench.ann)).unwrap();
        bench.pass(60);
        assert_eq!(bench.state(id), WorkspaceState::Deleted);
        let name = bench.name(id);
        assert_eq!((name.state, bench.sets().len()), (NameState::Deleting, 2));
        assert!(name.error.is_some());
        bench.zone.away.store(false, Ordering::Relaxed);
        bench.pass(7);
        assert_eq!((bench.name(id).state, bench.sets().len()), (NameState::Deleted, 0));
    }

    #[test]
    fn a_name_that_comes_back_after_all_is_swept() {
        let bench = Bench::new();
        let (id, other) = (bench.create(), bench.create());
        bench.pass(1);
        let sets = bench.sets();
        now(bench.sam.delete_workspace(id, &bench.ann)).unwrap();
        bench.pass(2);
        assert_eq!(bench.sets().len(), 2);
        // Somebody put the zone back as it was.
        for set in &sets {
            now(bench.zone.memory.put_record(set)).unwrap();
        }
        assert_eq!(bench.sets().len(), 4);
        bench.pass(40);
        let left: Vec<_> = bench.sets().iter().map(|set| set.key().to_string()).collect();
        assert_eq!(
            left,
            [format!("TXT _sam.{other}.example.com"), format!("A {other}.example.com")]
        );
        assert_eq!(now(bench.sam.list_orphans(None, 10)).unwrap().items.len(), 0);
    }

    #[test]
    fn names_follow_the_control_plane_to_another_address() {
        let mut bench = Bench::new();
        let id = bench.create();
        bench.pass(1);
        bench.sam = sam(&bench.store, &bench.clock, &bench.names, "2001:db8::1");
        bench.pass(61);
        assert_eq!(bench.name(id).target, ["2001:db8::1"]);
        let left: Vec<_> = bench.sets().iter().map(|set| set.key().to_string()).collect();
        assert_eq!(left, [format!("TXT _sam.{id}.example.com"), format!("AAAA {id}.example.com")]);
    }
}
