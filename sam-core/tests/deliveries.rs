//! Deliveries over a store in memory: taken in once, handled in order, and whatever crashes, the
//! records tell of one handling.

#[cfg(test)]
mod deliveries {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use async_trait::async_trait;
    use futures_util::FutureExt as _;
    use sam_core::compute::MemoryCompute;
    use sam_core::delivery::{
        DeliveryHandler, DeliveryOutcome, DeliveryPayload, DeliveryRecord, DeliveryState,
        MemoryDeliveries, NewDelivery,
    };
    use sam_core::engine::Stepped;
    use sam_core::entropy::SeededEntropy;
    use sam_core::store::{
        ClaimRequest, Claims, Commit, CommitError, Committed, Cursor, Due, Feed, Lease, ListQuery,
        MemoryStore, Record, RecordKey, Rev, Revise as _, Store, WriteOp,
    };
    use sam_core::time::{Clock, ManualClock, Timestamp};
    use sam_core::{Caller, CommitId, ErrorKind, Page, Restore, Result, Sam};

    struct Bench {
        clock: ManualClock,
        store: Arc<MemoryStore>,
        handler: Arc<MemoryDeliveries>,
        sam: Sam,
        forge: Caller,
    }

    fn now<T>(work: impl Future<Output = T>) -> T {
        work.now_or_never().expect("nothing here waits")
    }

    /// A process of its own on a store.
    fn process(
        store: Arc<dyn Store>,
        clock: &ManualClock,
        handler: &Arc<MemoryDeliveries>,
        seed: u64,
    ) -> Sam {
        let builder = Sam::builder(store, Arc::new(MemoryCompute::new()));
        builder
            .clock(Arc::new(clock.clone()))
            .entropy(Arc::new(SeededEntropy::new(seed)))
            .deliveries(Arc::clone(handler) as Arc<dyn DeliveryHandler>)
            .build()
            .unwrap()
    }

    fn event(id: &str, event: &str) -> NewDelivery {
        let body = format!("{{\"says\": \"{id}\"}}");
        let new = NewDelivery::new(id, event, body.as_bytes());
        let new = new.with_repository(Some("1".to_owned()));
        new.with_payload(&body, |_| Ok("it is small".to_owned())).unwrap()
    }

    fn push(id: &str, branch: &str) -> NewDelivery {
        event(id, "push").with_branch(Some(branch.to_owned()))
    }

    impl Bench {
        fn new() -> Self {
            let clock = ManualClock::new(Timestamp::EPOCH.plus(Duration::from_hours(1)));
            let shared: Arc<dyn Clock> = Arc::new(clock.clone());
            let store = Arc::new(MemoryStore::new(shared));
            let handler = Arc::new(MemoryDeliveries::new());
            let sam = process(Arc::clone(&store) as _, &clock, &handler, 1);
            Self { clock, store, handler, sam, forge: Caller::named("github") }
        }

        fn receive(&self, new: NewDelivery) -> DeliveryRecord {
            now(self.sam.receive_delivery(new, &self.forge)).unwrap().record
        }

        /// Works until nothing is due.
        fn work(&self) {
            for _ in 0..10_000 {
                if now(self.sam.step()).unwrap() != Stepped::Worked {
                    return;
                }
            }
            panic!("there is no end to it");
        }

        fn pass(&self, span: Duration) {
            self.clock.advance(span);
            self.work();
        }

        fn delivery(&self, id: &str) -> DeliveryRecord {
            now(self.sam.delivery(id)).unwrap().unwrap().record
        }

        fn has_payload(&self, id: &str) -> bool {
            now(self.store.load(&DeliveryPayload::key_of(id))).unwrap().is_some()
        }

        fn handled(&self) -> Vec<String> {
            self.handler.handled().iter().map(|delivery| delivery.record.id.clone()).collect()
        }

        /// What the feed tells of a delivery.
        fn story(&self, id: &str) -> Vec<String> {
            let head = now(self.sam.head()).unwrap();
            let mut after = Cursor::new(head.epoch.clone(), Rev(0));
            let mut told = Vec::new();
            while after.rev < head.rev {
                let Feed::Changes(page) = now(self.store.changes(Some(&after), 200)).unwrap()
                else {
                    panic!("nothing was trimmed")
                };
                for change in page.changes {
                    after.rev = change.rev;
                    if change.key == DeliveryRecord::key_of(id) {
                        told.push(change.event);
                    }
                }
            }
            told
        }
    }

    #[test]
    fn a_delivery_is_kept_handled_and_forgotten_after_three_days() {
        let bench = Bench::new();
        assert_eq!(bench.receive(event("a", "issues")).state, DeliveryState::Received);
        assert!(bench.has_payload("a"));
        bench.work();
        let done = bench.delivery("a");
        assert_eq!((done.state, done.attempts), (DeliveryState::Done, 1));
        assert_eq!(done.outcome, Some(DeliveryOutcome::Handled));
        assert_eq!(bench.handler.handled()[0].payload, "{\"says\": \"a\"}");
        assert!(!bench.has_payload("a"));
        bench.pass(DeliveryRecord::DONE_KEPT.saturating_sub(Duration::from_secs(1)));
        assert_eq!(bench.delivery("a"), done);
        bench.pass(Duration::from_secs(2));
        assert_eq!(now(bench.sam.delivery("a")).unwrap(), None);
        assert_eq!(
            bench.story("a"),
            ["delivery_received", "delivery_queued", "delivery_handled", "delivery_forgotten"]
        );
    }

    #[test]
    fn a_replay_changes_nothing_and_answers_the_same() {
        let bench = Bench::new();
        let first = bench.receive(event("a", "issues"));
        assert_eq!(bench.receive(event("a", "other")), first);
        bench.work();
        let done = bench.delivery("a");
        let rev = now(bench.sam.head()).unwrap();
        assert_eq!(bench.receive(event("a", "issues")), done);
        assert_eq!(now(bench.sam.head()).unwrap(), rev);
        bench.work();
        assert_eq!(bench.handled(), ["a"]);
    }

    #[test]
    fn what_has_nothing_to_do_is_done_at_once() {
        let bench = Bench::new();
        let ping = bench.receive(NewDelivery::new("a", "ping", b"{}").without_work());
        assert_eq!(
            (ping.state, ping.outcome),
            (DeliveryState::Done, Some(DeliveryOutcome::Nothing))
        );
        bench.work();
        assert!(bench.handled().is_empty() && !bench.has_payload("a"));
        bench.pass(DeliveryRecord::DONE_KEPT);
        assert_eq!(now(bench.sam.delivery("a")).unwrap(), None);
    }

    #[test]
    fn of_a_burst_of_pushes_the_newest_is_handled_and_every_branch_has_its_own() {
        let bench = Bench::new();
        // Ids in another order than they come: the line goes by when they came.
        for id in ["e", "b", "d", "a"] {
            bench.receive(push(id, "refs/heads/main"));
        }
        bench.receive(push("c", "refs/heads/other"));
        bench.work();
        assert_eq!(bench.handled(), ["a", "c"]);
        for id in ["e", "b", "d"] {
            let done = bench.delivery(id);
            assert_eq!(done.outcome, Some(DeliveryOutcome::Superseded), "{id}");
            assert_eq!(done.superseded_by.as_deref(), Some("a"));
            assert!(!bench.has_payload(id));
        }
    }

    #[test]
    fn an_older_event_of_a_repository_is_handled_before_a_newer_one() {
        let bench = Bench::new();
        bench.handler.fail_next([ErrorKind::Unavailable; 3]);
        for id in ["z", "y", "x"] {
            bench.receive(event(id, "repository"));
        }
        bench.receive(push("b", "refs/heads/main"));
        bench.receive(push("a", "refs/heads/main"));
        let other = NewDelivery::new("zz", "issues", b"").with_repository(Some("2".to_owned()));
        bench.receive(other);
        bench.work();
        // The first one waits after its failure, and with it all of its repository.
        assert_eq!(bench.handled(), ["z", "zz"]);
        assert_eq!(bench.delivery("z").error.unwrap().kind, ErrorKind::Unavailable);
        bench.pass(Duration::from_millis(999));
        assert_eq!(bench.handled(), ["z", "zz"]);
        bench.pass(Duration::from_millis(1));
        bench.pass(Duration::from_secs(2));
        // Those behind it are woken, and do not wait for their own look.
        assert_eq!(bench.handled(), ["z", "zz", "z", "zz", "z", "y", "x", "a"]);
        assert_eq!(bench.delivery("z").attempts, 3);
    }

    #[test]
    fn a_push_that_waits_after_a_failure_gives_way_to_a_newer_one() {
        let bench = Bench::new();
        bench.handler.fail_next([ErrorKind::Unavailable; 5]);
        bench.receive(push("b", "refs/heads/main"));
        for _ in 0..5 {
            bench.pass(Duration::from_mins(1));
        }
        assert_eq!(bench.handled().len(), 5);
        bench.receive(push("a", "refs/heads/main"));
        bench.work();
        assert_eq!(bench.handled().last().unwrap(), "a");
        assert_eq!(bench.delivery("b").outcome, Some(DeliveryOutcome::Superseded));
    }

    #[test]
    fn one_that_fails_for_good_waits_for_a_person_and_holds_up_nobody() {
        let bench = Bench::new();
        bench.handler.fail_next([ErrorKind::Timeout; DeliveryRecord::ATTEMPTS_MAX as usize]);
        bench.receive(event("b", "issues"));
        bench.receive(event("a", "issues"));
        bench.work();
        for _ in 0..30 {
            bench.pass(Duration::from_mins(1));
        }
        let failed = bench.delivery("b");
        assert_eq!((failed.state, failed.attempts), (DeliveryState::Failed, 12));
        assert_eq!(failed.error.as_ref().unwrap().kind, ErrorKind::Timeout);
        assert_eq!(bench.delivery("a").state, DeliveryState::Done);
        assert_eq!(bench.handled().len(), 13);
        let listed = now(bench.sam.list_deliveries(Some(DeliveryState::Failed), None, 10)).unwrap();
        assert_eq!(listed.items.len(), 1);

        let person = Caller::named("ann");
        let again = now(bench.sam.retry_delivery("b", &person)).unwrap().record;
        assert_eq!((again.state, again.attempts), (DeliveryState::Received, 0));
        assert_eq!(now(bench.sam.retry_delivery("b", &person)).unwrap().record, again);
        bench.work();
        assert_eq!(bench.delivery("b").state, DeliveryState::Done);
        let refused = |id| now(bench.sam.retry_delivery(id, &person)).unwrap_err().kind();
        assert_eq!((refused("b"), refused("none")), (ErrorKind::Conflict, ErrorKind::NotFound));
    }

    #[test]
    fn what_cannot_be_handled_ever_fails_at_once_and_a_redelivery_tries_it_again() {
        let bench = Bench::new();
        bench.handler.fail_next([ErrorKind::BadInput]);
        bench.receive(event("a", "issues"));
        bench.work();
        assert_eq!(bench.delivery("a").state, DeliveryState::Failed);
        assert_eq!(bench.receive(event("a", "issues")).state, DeliveryState::Received);
        bench.work();
        assert_eq!(bench.delivery("a").state, DeliveryState::Done);
        assert_eq!(bench.handled(), ["a", "a"]);
    }

    #[test]
    fn one_that_nobody_looks_after_is_given_up_and_forgotten_with_its_payload() {
        let bench = Bench::new();
        bench.handler.fail_next([ErrorKind::BadInput]);
        bench.receive(event("a", "issues"));
        bench.work();
        bench.pass(DeliveryRecord::FAILED_KEPT.saturating_sub(Duration::from_secs(1)));
        assert!(bench.has_payload("a"));
        bench.pass(Duration::from_secs(1));
        assert_eq!(bench.delivery("a").outcome, Some(DeliveryOutcome::Abandoned));
        assert!(!bench.has_payload("a"));
        bench.pass(DeliveryRecord::DONE_KEPT);
        assert_eq!(now(bench.sam.delivery("a")).unwrap(), None);
    }

    #[test]
    fn a_restored_replacement_goes_on_with_deliveries_and_a_copy_forgets_them() {
        let bench = Bench::new();
        bench.receive(event("a", "issues"));
        let now_is = bench.clock.now();
        for key in [DeliveryRecord::key_of("a"), DeliveryPayload::key_of("a")] {
            let record = now(bench.store.load(&key)).unwrap().unwrap();
            let replaced = Restore::replace("ann", now_is);
            assert_eq!(replaced.revise(&record).unwrap(), None, "{key}");
            assert!(replaced.keeps_claims(&key.kind));
            let copied = Restore::copy(now_is).revise(&record).unwrap().unwrap();
            assert_eq!((copied.key, copied.op), (key, WriteOp::Delete));
        }
    }

    #[test]
    fn without_a_handler_none_is_taken_in() {
        let store = Arc::new(MemoryStore::new(Arc::new(ManualClock::new(Timestamp::EPOCH))));
        let sam = Sam::builder(store, Arc::new(MemoryCompute::new())).build().unwrap();
        let refused = now(sam.receive_delivery(event("a", "issues"), &Caller::named("github")));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    }

    /// Ends its process at one commit: before it, or when it is written and not yet known.
    #[derive(Debug)]
    struct Dying {
        store: Arc<MemoryStore>,
        commits: AtomicUsize,
        dies_at: usize,
        is_written: bool,
    }

    #[async_trait]
    impl Store for Dying {
        async fn load(&self, key: &RecordKey) -> Result<Option<Record>> {
            self.store.load(key).await
        }
        async fn list(&self, query: &ListQuery) -> Result<Page<Record>> {
            self.store.list(query).await
        }
        async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
            if self.commits.fetch_add(1, Ordering::Relaxed) == self.dies_at {
                if self.is_written {
                    self.store.commit(commit).await?;
                }
                return std::future::pending().await;
            }
            self.store.commit(commit).await
        }
        async fn outcome(&self, id: CommitId) -> Result<Option<Committed>> {
            self.store.outcome(id).await
        }
        async fn claim_due(&self, request: &ClaimRequest) -> Result<Claims> {
            self.store.claim_due(request).await
        }
        async fn renew(&self, lease: &Lease, span: Duration) -> Result<bool> {
            self.store.renew(lease, span).await
        }
        async fn release(&self, lease: &Lease, due: Due) -> Result<()> {
            self.store.release(lease, due).await
        }
        async fn changes(&self, after: Option<&Cursor>, limit: usize) -> Result<Feed> {
            self.store.changes(after, limit).await
        }
        async fn wait(&self, after: &Cursor) -> Result<()> {
            self.store.wait(after).await
        }
    }

    #[test]
    fn wherever_the_process_ends_the_records_tell_of_one_handling_each() {
        let mut deaths = 0;
        for (dies_at, is_written) in (0..20).flat_map(|at| [(at, false), (at, true)]) {
            let bench = Bench::new();
            let store = Arc::clone(&bench.store);
            let dying = Dying { store, commits: AtomicUsize::new(0), dies_at, is_written };
            let sam = process(Arc::new(dying), &bench.clock, &bench.handler, 2);
            let ids = ["c", "b", "a"];
            let life = async {
                sam.step().await.unwrap();
                for id in ids {
                    let new = if id == "b" { event(id, "issues") } else { push(id, "main") };
                    sam.receive_delivery(new, &bench.forge).await.unwrap();
                    sam.step().await.unwrap();
                }
                while sam.step().await.unwrap() == Stepped::Worked {}
            };
            deaths += usize::from(life.now_or_never().is_none());
            // The forge was not answered everywhere, so it sends all again.
            for id in ids {
                bench.receive(if id == "b" { event(id, "issues") } else { push(id, "main") });
            }
            for _ in 0..4 {
                bench.pass(Duration::from_mins(1));
            }
            let what = format!("at {dies_at}, written: {is_written}");
            for id in ids {
                assert_eq!(bench.delivery(id).state, DeliveryState::Done, "{id} {what}");
                let ends = ["delivery_handled", "delivery_superseded"];
                let told = bench.story(id);
                let ended = told.iter().filter(|event| ends.contains(&event.as_str())).count();
                assert_eq!(ended, 1, "{id} {what}: {told:?}");
                assert!(!bench.has_payload(id), "{id} {what}");
            }
            let handled = bench.handled();
            // Once more at most, by the process that ended.
            assert!(handled.len() <= 4, "{what}: {handled:?}");
            assert!(handled.iter().any(|id| id == "a") && handled.iter().any(|id| id == "b"));
        }
        assert!(deaths > 15, "{deaths}");
    }
}
