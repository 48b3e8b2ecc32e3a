//! Deliveries: handled once and in order, whatever happens in between.

#[cfg(test)]
mod deliveries {
    use std::collections::BTreeMap;
    use std::pin::Pin;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use async_trait::async_trait;
    use sam_core::delivery::{
        Deliveries, DeliveryHandler, DeliveryRecord, DeliveryResource, DeliveryState, InboxRecord,
        InboxResource, NewDelivery, Received,
    };
    use sam_core::engine::{Engine, EngineConfig, Stepped};
    use sam_core::entropy::SeededEntropy;
    use sam_core::store::{
        Actor, ClaimRequest, Claims, Commit, CommitError, Committed, Cursor, Due, Feed, Lease,
        ListQuery, MemoryStore, Record, RecordKey, Store, WorkerId,
    };
    use sam_core::time::{Clock as _, ManualClock, Timestamp};
    use sam_core::{CommitId, Error, ErrorKind, Page, Policy, Result, Retry};

    const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

    /// Lets others, and a crash, come in between.
    async fn pause() {
        let mut waited = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// A store with a pause before and after everything it does.
    #[derive(Debug)]
    struct Slow(MemoryStore);

    #[async_trait]
    impl Store for Slow {
        async fn load(&self, key: &RecordKey) -> Result<Option<Record>> {
            pause().await;
            self.0.load(key).await
        }
        async fn list(&self, query: &ListQuery) -> Result<Page<Record>> {
            self.0.list(query).await
        }
        async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
            pause().await;
            let committed = self.0.commit(commit).await;
            pause().await;
            committed
        }
        async fn outcome(&self, id: CommitId) -> Result<Option<Committed>> {
            self.0.outcome(id).await
        }
        async fn claim_due(&self, request: &ClaimRequest) -> Result<Claims> {
            pause().await;
            let claims = self.0.claim_due(request).await;
            pause().await;
            claims
        }
        async fn renew(&self, lease: &Lease, span: Duration) -> Result<bool> {
            self.0.renew(lease, span).await
        }
        async fn release(&self, lease: &Lease, due: Due) -> Result<()> {
            pause().await;
            self.0.release(lease, due).await
        }
        async fn changes(&self, after: Option<&Cursor>, limit: usize) -> Result<Feed> {
            self.0.changes(after, limit).await
        }
        async fn wait(&self, after: &Cursor) -> Result<()> {
            self.0.wait(after).await
        }
    }

    /// Keeps what it was handed, in order; fails where it is told to.
    #[derive(Debug, Default)]
    struct Handler {
        begun: Mutex<Vec<String>>,
        ended: Mutex<Vec<String>>,
        fails: Mutex<BTreeMap<String, Vec<Error>>>,
    }

    #[async_trait]
    impl DeliveryHandler for Handler {
        async fn handle(&self, delivery: &DeliveryRecord) -> Result<()> {
            self.begun.lock().unwrap().push(delivery.id.clone());
            pause().await;
            let failure = self.fails.lock().unwrap().get_mut(&delivery.id).and_then(Vec::pop);
            if let Some(error) = failure {
                return Err(error);
            }
            assert_eq!(delivery.body, format!("body of {}", delivery.id));
            self.ended.lock().unwrap().push(delivery.id.clone());
            pause().await;
            Ok(())
        }
    }

    struct Host {
        clock: ManualClock,
        store: Arc<Slow>,
        handler: Arc<Handler>,
        deliveries: Deliveries,
        seed: u64,
    }

    impl Host {
        fn new() -> Self {
            let clock = ManualClock::new(START);
            let store = Arc::new(Slow(MemoryStore::new(Arc::new(clock.clone()))));
            let (shared, entropy) = (Arc::new(clock.clone()), Arc::new(SeededEntropy::new(3)));
            let deliveries = Deliveries::new(Arc::clone(&store) as Arc<dyn Store>, shared, entropy);
            Self { clock, store, handler: Arc::default(), deliveries, seed: 0 }
        }

        /// A process that has just started.
        fn engine(&mut self) -> Engine {
            self.seed += 1;
            let store = || Arc::clone(&self.store) as Arc<dyn Store>;
            let handler = Arc::clone(&self.handler) as Arc<dyn DeliveryHandler>;
            Engine::new(
                store(),
                Arc::new(self.clock.clone()),
                Arc::new(SeededEntropy::new(self.seed)),
                WorkerId::new(format!("worker-{}", self.seed)),
                EngineConfig::default(),
            )
            .with_resource(InboxResource::new(store(), handler, Policy::default()))
            .with_resource(DeliveryResource::default())
        }

        fn receive(&self, new: &NewDelivery) -> Received {
            done(self.deliveries.receive(new)).unwrap()
        }

        /// Carries everything that is due within the span, and moves the clock to it.
        fn run(&mut self, span: Duration) {
            let engine = self.engine();
            let end = self.clock.monotonic() + span;
            for _ in 0..100_000 {
                let left = end.saturating_sub(self.clock.monotonic());
                match done(engine.step()).unwrap() {
                    Stepped::Idle { next_due_in: Some(next) } if next <= left => {
                        self.clock.advance(next.max(Duration::from_micros(1)));
                    }
                    Stepped::Idle { .. } => return,
                    _ => {}
                }
            }
            panic!("it does not come to rest");
        }

        fn state(&self, id: &str) -> Option<DeliveryState> {
            let page = done(self.deliveries.list(None, None, 200)).unwrap();
            page.items.iter().find(|found| found.record.id == id).map(|found| found.record.state)
        }

        fn ended(&self) -> Vec<String> {
            self.handler.ended.lock().unwrap().clone()
        }

        fn begun(&self) -> usize {
            self.handler.begun.lock().unwrap().len()
        }
    }

    fn done<T>(work: impl Future<Output = T>) -> T {
        let mut work = Box::pin(work);
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..1_000_000 {
            if let Poll::Ready(value) = work.as_mut().poll(&mut context) {
                return value;
            }
        }
        panic!("it does not end");
    }

    fn delivery(id: &str, stream: &str) -> NewDelivery {
        NewDelivery::new("github", id, "push", format!("body of {id}")).with_stream(stream)
    }

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn a_stream_is_handled_in_order_and_each_delivery_once() {
        let mut host = Host::new();
        for n in 0..20 {
            let stream = if n % 2 == 0 { "even" } else { "odd" };
            assert_eq!(host.receive(&delivery(&format!("d{n:02}"), stream)), Received::Queued);
        }
        let again = host.receive(&delivery("d07", "odd"));
        assert_eq!(again, Received::Duplicate(DeliveryState::Queued));
        host.run(MINUTE);
        assert_eq!(host.begun(), 20);
        for parity in 0..2 {
            let mine: Vec<String> = host
                .ended()
                .into_iter()
                .filter(|id| id.trim_start_matches('d').parse::<usize>().unwrap() % 2 == parity)
                .collect();
            assert!(mine.len() == 10 && mine.is_sorted(), "{mine:?}");
        }
        // Known for a month, without what it said; forgotten after it, and its stream before.
        let again = host.receive(&delivery("d07", "odd"));
        assert_eq!(again, Received::Duplicate(DeliveryState::Done));
        let page = done(host.deliveries.list(Some(DeliveryState::Done), None, 200)).unwrap();
        assert!(
            page.items.len() == 20 && page.items.iter().all(|found| found.record.body.is_empty())
        );
        let inboxes = done(host.store.list(&ListQuery::new(InboxRecord::KIND))).unwrap();
        assert!(inboxes.items.is_empty());
        host.run(DeliveryRecord::KEPT + MINUTE);
        assert_eq!(host.state("d07"), None);
        assert_eq!(host.begun(), 20);
    }

    #[test]
    fn of_a_burst_the_newest_is_handled_and_others_keep_their_place() {
        let mut host = Host::new();
        for id in ["a1", "b1", "a2", "a3", "b2"] {
            let branch = id.trim_end_matches(char::is_numeric);
            host.receive(&delivery(id, "1").with_replaces(format!("refs/heads/{branch}")));
        }
        host.receive(&delivery("other", "1"));
        host.receive(&delivery("a4", "2").with_replaces("refs/heads/a"));
        host.run(MINUTE);
        let mut ended = host.ended();
        ended.retain(|id| id != "a4");
        assert_eq!(ended, ["a3", "b2", "other"]);
        for (id, state) in [("a1", DeliveryState::Superseded), ("a4", DeliveryState::Done)] {
            assert_eq!(host.state(id), Some(state));
        }
        let again = host.receive(&delivery("a1", "1").with_replaces("refs/heads/a"));
        assert_eq!(again, Received::Duplicate(DeliveryState::Superseded));
    }

    #[test]
    fn one_that_comes_while_another_is_handled_disturbs_neither() {
        let mut host = Host::new();
        host.receive(&delivery("one", "1").with_replaces("main"));
        let engine = host.engine();
        let mut step = Box::pin(engine.step());
        let mut context = Context::from_waker(Waker::noop());
        while host.begun() == 0 {
            assert!(step.as_mut().poll(&mut context).is_pending());
        }
        // What is being handled is not replaced any more.
        for id in ["two", "three", "four"] {
            host.receive(&delivery(id, "1").with_replaces("main"));
        }
        done(step).unwrap();
        drop(engine);
        host.run(MINUTE);
        assert_eq!(host.ended(), ["one", "four"]);
        assert_eq!(host.begun(), 2);
        assert_eq!(host.state("one"), Some(DeliveryState::Done));
    }

    #[test]
    fn two_hundred_at_once_for_one_stream_are_all_kept() {
        let mut host = Host::new();
        let all: Vec<NewDelivery> = (0..200).map(|n| delivery(&format!("d{n:03}"), "1")).collect();
        let receiving = all.iter().map(|new| host.deliveries.receive(new));
        let received = done(futures_util::future::join_all(receiving));
        assert!(received.iter().all(|one| matches!(one, Ok(Received::Queued))));
        host.run(MINUTE);
        let mut ended = host.ended();
        ended.sort();
        ended.dedup();
        assert_eq!((ended.len(), host.begun()), (200, 200));
    }

    #[test]
    fn a_crash_at_any_moment_loses_nothing_and_breaks_no_order() {
        // Until the process is dropped only after it was done.
        for polls in 0.. {
            let mut host = Host::new();
            for id in ["a", "b", "c"] {
                host.receive(&delivery(id, "1"));
            }
            let engine = host.engine();
            let mut work: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async {
                for _ in 0..5 {
                    engine.step().await.unwrap();
                    host.clock.advance(Duration::from_micros(1));
                }
            });
            let mut context = Context::from_waker(Waker::noop());
            let crashed = (0..polls).all(|_| work.as_mut().poll(&mut context).is_pending());
            drop(work);
            drop(engine);
            host.run(MINUTE);
            let mut once = host.ended();
            once.dedup();
            assert_eq!(once, ["a", "b", "c"], "after {polls} polls");
            assert!(host.begun() <= 4, "more than one was handled again after {polls} polls");
            for id in ["a", "b", "c"] {
                assert_eq!(host.state(id), Some(DeliveryState::Done), "after {polls} polls");
            }
            if !crashed {
                assert!(polls > 20, "only {polls} moments were tried");
                return;
            }
        }
    }

    #[test]
    fn a_crash_while_receiving_leaves_a_delivery_whole_or_absent() {
        for polls in 0.. {
            let mut host = Host::new();
            host.receive(&delivery("a", "1").with_replaces("main"));
            let next = delivery("b", "1").with_replaces("main");
            let mut work = Box::pin(host.deliveries.receive(&next));
            let mut context = Context::from_waker(Waker::noop());
            let crashed = (0..polls).all(|_| work.as_mut().poll(&mut context).is_pending());
            drop(work);
            // It is delivered again, whatever became of it.
            host.receive(&next);
            host.run(MINUTE);
            assert_eq!(host.ended(), ["b"], "after {polls} polls");
            if !crashed {
                return;
            }
        }
    }

    #[test]
    fn a_failure_is_tried_again_with_pauses_and_given_up_on_in_the_end() {
        let mut host = Host::new();
        let unavailable = || Error::new(ErrorKind::Unavailable, "away");
        let denied = Error::new(ErrorKind::Denied, "no").with_provider_code("suspended");
        {
            let mut fails = host.handler.fails.lock().unwrap();
            fails.insert("twice".to_owned(), vec![unavailable(), unavailable()]);
            fails.insert("always".to_owned(), (0..8).map(|_| unavailable()).collect());
            fails.insert("never".to_owned(), vec![denied]);
            let after = unavailable().with_retry(Retry::After(Duration::from_mins(2)));
            fails.insert("after".to_owned(), vec![after]);
        }
        for id in ["twice", "always", "never", "after", "good"] {
            host.receive(&delivery(id, "1"));
        }
        host.run(Duration::from_hours(2));
        assert_eq!(host.ended(), ["twice", "after", "good"]);
        assert_eq!(host.begun(), 3 + 8 + 1 + 2 + 1);
        let page = done(host.deliveries.list(Some(DeliveryState::Failed), None, 200)).unwrap();
        let failed: Vec<_> = page.items.iter().map(|found| found.record.clone()).collect();
        assert_eq!(failed.len(), 2);
        assert_eq!(failed[1].error.as_ref().unwrap().kind, ErrorKind::Denied);
        // By redelivery, and by a person.
        assert_eq!(host.receive(&delivery("always", "1")), Received::QueuedAgain);
        let ann = Actor::named("ann");
        for _ in 0..2 {
            done(host.deliveries.retry("github", "never", &ann)).unwrap();
        }
        host.run(MINUTE);
        assert_eq!(host.ended()[3..], ["always", "never"]);
        let error = done(host.deliveries.retry("github", "never", &ann)).unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Conflict, Retry::Never));
        let error = done(host.deliveries.retry("github", "none", &ann)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn one_that_waits_for_another_try_is_replaced_by_a_newer_one() {
        let mut host = Host::new();
        let away = Error::new(ErrorKind::Unavailable, "away");
        let away = away.with_retry(Retry::After(Duration::from_mins(3)));
        host.handler.fails.lock().unwrap().insert("old".to_owned(), vec![away]);
        host.receive(&delivery("old", "1").with_replaces("main"));
        host.run(Duration::from_secs(1));
        assert_eq!((host.begun(), host.state("old")), (1, Some(DeliveryState::Queued)));
        host.receive(&delivery("new", "1").with_replaces("main"));
        host.run(Duration::from_secs(1));
        assert_eq!(host.ended(), ["new"]);
        assert_eq!(host.state("old"), Some(DeliveryState::Superseded));
    }

    #[test]
    fn a_full_stream_and_what_is_malformed_or_too_large_are_refused() {
        let mut host = Host::new();
        for n in 0..InboxRecord::PENDING_MAX {
            host.receive(&delivery(&format!("d{n:03}"), "1"));
        }
        let error = done(host.deliveries.receive(&delivery("more", "1"))).unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::After(MINUTE)));
        assert_eq!(host.state("more"), None);
        host.receive(&delivery("more", "2"));
        host.run(Duration::from_secs(1));
        assert_eq!(host.ended().len(), InboxRecord::PENDING_MAX + 1);
        let large = NewDelivery::new("github", "large", "push", "x".repeat(300_000));
        for wrong in [
            large,
            delivery("a b", "1"),
            delivery("", "1"),
            delivery("a", "1/2"),
            delivery("a", &"x".repeat(65)),
            NewDelivery::new("git.hub", "a", "push", ""),
            delivery("a", "1").with_replaces("x".repeat(257)),
        ] {
            let error = done(host.deliveries.receive(&wrong)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput, "{wrong:.100?}");
        }
    }

    #[test]
    fn a_state_that_is_last_stays() {
        for from in DeliveryState::ALL {
            for to in from.next() {
                assert_ne!(from, *to);
            }
        }
        assert!(DeliveryState::Done.next().is_empty());
        assert!(DeliveryState::Superseded.next().is_empty());
        assert_eq!(DeliveryState::Failed.next(), [DeliveryState::Queued]);
    }
}
