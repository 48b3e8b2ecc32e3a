//! What each layer adds, on a clock that stands still until it is moved.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::pending;

use super::*;
use crate::compute::{
    BootData, ComputeProvider as _, CreateMachine, MachineKey, MemoryCompute, Power,
};
use crate::entropy::SeededEntropy;
use crate::error::{Effect, Error, ErrorKind, Retry};
use crate::time::{Clock as _, ManualClock, Timestamp};
use crate::{NodeId, Secret};

const READS: Call = Call::new("look", Repeat::Reads);
const SAFE: Call = Call::new("change", Repeat::Safe);
const NEVER: Call = Call::new("change_once", Repeat::Never);

fn clock() -> ManualClock {
    ManualClock::new(Timestamp::EPOCH)
}

/// Answers attempts from a list, and counts them.
#[derive(Default)]
struct Script {
    lines: Mutex<VecDeque<Result<u8>>>,
    attempts: AtomicUsize,
}

impl Script {
    fn new(lines: impl IntoIterator<Item = Result<u8>>) -> Self {
        Self { lines: Mutex::new(lines.into_iter().collect()), attempts: AtomicUsize::new(0) }
    }

    fn attempt(&self) -> BoxFuture<'_, Result<u8>> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let line = self.lines.lock().unwrap().pop_front();
        async move { line.expect("an attempt too many") }.boxed()
    }

    fn attempts(&self) -> usize {
        self.attempts.load(Ordering::Relaxed)
    }
}

fn down(effect: Effect) -> Result<u8> {
    Err(Error::new(ErrorKind::Unavailable, "down").with_effect(effect))
}

/// Polls until it is done, moving the clock to each deadline that somebody waits for.
fn drive<T>(clock: &ManualClock, future: impl Future<Output = T>) -> T {
    let mut future = Box::pin(future);
    for _ in 0..1_000 {
        if let Some(done) = future.as_mut().now_or_never() {
            return done;
        }
        let next = clock.next_deadline_in().expect("it waits for something other than time");
        clock.advance(next);
    }
    panic!("not done after a thousand waits");
}

fn retrying(clock: &ManualClock) -> Retrying {
    let entropy = Arc::new(SeededEntropy::new(3));
    Retrying::new(RetryPolicy::default(), Arc::new(clock.clone()), entropy)
}

fn retry(clock: &ManualClock, call: Call, script: &Script) -> Result<u8> {
    drive(clock, retrying(clock).around(&"test", call, || script.attempt()))
}

#[test]
fn a_call_that_works_the_second_time_succeeds_after_a_scattered_pause() {
    let clock = clock();
    let script = Script::new([down(Effect::NotApplied), Ok(7)]);
    assert_eq!(retry(&clock, NEVER, &script).unwrap(), 7);
    let waited = clock.monotonic();
    assert!(waited >= Duration::from_millis(125) && waited <= Duration::from_millis(250));
}

#[test]
fn attempts_are_bounded_and_the_error_is_marked() {
    let script = Script::new((0..9).map(|_| down(Effect::Unknown)));
    let error = retry(&clock(), SAFE, &script).unwrap_err();
    assert_eq!(script.attempts(), 3);
    assert!(error.retries_exhausted());
    assert_eq!((error.effect(), error.retry()), (Effect::Unknown, Retry::Backoff));
}

#[test]
fn stacked_retries_do_not_multiply() {
    let clock = clock();
    let script = Script::new((0..9).map(|_| down(Effect::NotApplied)));
    let (inner, outer) = (retrying(&clock), retrying(&clock));
    let twice =
        outer.around(&"test", SAFE, || inner.around(&"test", SAFE, || script.attempt()).boxed());
    assert!(drive(&clock, twice).unwrap_err().retries_exhausted());
    assert_eq!(script.attempts(), 3);
}

#[test]
fn what_may_have_happened_is_repeated_only_where_that_is_safe() {
    for (call, attempts) in [(NEVER, 1), (SAFE, 2), (READS, 2)] {
        let script = Script::new([down(Effect::Unknown), Ok(1)]);
        let result = retry(&clock(), call, &script);
        assert_eq!((script.attempts(), result.is_ok()), (attempts, attempts == 2), "{call:?}");
    }
}

#[test]
fn an_early_attempt_that_may_have_acted_is_not_forgotten() {
    let refused = Err(Error::new(ErrorKind::Denied, "no"));
    let script = Script::new([down(Effect::Unknown), refused]);
    let error = retry(&clock(), SAFE, &script).unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Denied, Effect::Unknown));
}

#[test]
fn a_named_pause_is_kept_and_one_too_long_is_not_waited_for() {
    let clock = clock();
    let after = |seconds| {
        let retry = Retry::After(Duration::from_secs(seconds));
        Err(Error::new(ErrorKind::RateLimited, "slow down").with_retry(retry))
    };
    assert_eq!(retry(&clock, SAFE, &Script::new([after(4), Ok(1)])).unwrap(), 1);
    assert_eq!(clock.monotonic(), Duration::from_secs(4));
    let script = Script::new([after(600), Ok(1)]);
    let error = retry(&clock, SAFE, &script).unwrap_err();
    assert_eq!(error.retry(), Retry::After(Duration::from_mins(10)));
    assert_eq!((script.attempts(), clock.monotonic()), (1, Duration::from_secs(4)));
}

#[test]
fn a_call_that_can_never_work_is_made_once() {
    let script = Script::new([Err(Error::new(ErrorKind::BadInput, "wrong"))]);
    assert_eq!(retry(&clock(), SAFE, &script).unwrap_err().kind(), ErrorKind::BadInput);
    assert_eq!(script.attempts(), 1);
}

#[test]
fn a_change_that_takes_too_long_may_have_happened_and_a_look_has_not() {
    let clock = clock();
    let limited = TimeLimited::new(Duration::from_secs(30), Arc::new(clock.clone()));
    for (call, effect) in
        [(SAFE, Effect::Unknown), (NEVER, Effect::Unknown), (READS, Effect::NotApplied)]
    {
        let begun = clock.monotonic();
        let never = limited.around(&"test", call, || pending::<Result<u8>>().boxed());
        let error = drive(&clock, never).unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, effect));
        assert_eq!(error.operation(), Some(call.operation));
        assert_eq!(clock.monotonic().saturating_sub(begun), Duration::from_secs(30));
    }
    assert_eq!(clock.next_deadline_in(), None, "nobody waits any more");
}

#[test]
fn a_call_that_is_done_at_its_deadline_is_done() {
    let clock = clock();
    let limited = TimeLimited::new(Duration::from_secs(1), Arc::new(clock.clone()));
    let slow = limited.around(&"test", SAFE, || {
        async {
            clock.sleep_until(Duration::from_secs(1)).await;
            Ok(5)
        }
        .boxed()
    });
    assert_eq!(drive(&clock, slow).unwrap(), 5);
}

/// A call through a limit that never ends by itself.
fn held(limit: &Limited) -> BoxFuture<'_, Result<()>> {
    limit.around(&"test", SAFE, || pending().boxed()).boxed()
}

fn is_done(call: &mut BoxFuture<'_, Result<()>>) -> bool {
    call.now_or_never().is_some()
}

#[test]
fn a_limit_lets_its_number_through_and_serves_who_waits_in_order() {
    let limit = Limited::new(1);
    let running = AtomicUsize::new(0);
    let enter = || {
        limit
            .around(&"test", SAFE, || {
                running.fetch_add(1, Ordering::Relaxed);
                pending::<Result<()>>().boxed()
            })
            .boxed()
    };
    let (mut first, mut second, mut third) = (enter(), enter(), enter());
    for call in [&mut first, &mut second, &mut third] {
        assert!(call.now_or_never().is_none());
    }
    assert_eq!(running.load(Ordering::Relaxed), 1);
    drop(first);
    // The third comes first, but the second has waited longer.
    assert!((&mut third).now_or_never().is_none());
    assert_eq!(running.load(Ordering::Relaxed), 1);
    assert!((&mut second).now_or_never().is_none());
    assert_eq!(running.load(Ordering::Relaxed), 2);
    drop(second);
    assert!((&mut third).now_or_never().is_none());
    assert_eq!(running.load(Ordering::Relaxed), 3);
}

#[test]
fn a_waiter_that_is_dropped_passes_its_permit_on() {
    let limit = Limited::new(1);
    let (mut first, mut second) = (held(&limit), held(&limit));
    assert!(!is_done(&mut first) && !is_done(&mut second));
    // The permit is granted to the second, which never comes for it.
    drop(first);
    drop(second);
    let quick = limit.around(&"test", SAFE, || async { Ok(1) }.boxed());
    assert_eq!(quick.now_or_never().expect("a permit is free").unwrap(), 1);
}

#[test]
fn the_queue_before_a_limit_is_bounded() {
    let limit = Limited::new(1);
    let mut calls: Vec<_> = (0..=Limited::WAITING_MAX).map(|_| held(&limit)).collect();
    assert!(calls.iter_mut().all(|call| !is_done(call)));
    let refused = limit.around(&"test", SAFE, || async { Ok(1) }.boxed()).now_or_never();
    let error = refused.expect("refused at once").unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
}

#[test]
fn a_meter_counts_calls_failures_and_time() {
    let clock = clock();
    let meter = Arc::new(MemoryMeter::new());
    let metered = Metered::new(Arc::<MemoryMeter>::clone(&meter), Arc::new(clock.clone()));
    for (span, line) in [(1, Ok(1)), (3, down(Effect::NotApplied))] {
        let line = Mutex::new(Some(line));
        let deadline = clock.monotonic() + Duration::from_secs(span);
        let call = metered.around(&"test", SAFE, || {
            let line = line.lock().unwrap().take().unwrap();
            let clock = clock.clone();
            async move {
                clock.sleep_until(deadline).await;
                line
            }
            .boxed()
        });
        let _result = drive(&clock, call);
    }
    let tally = meter.tally("change");
    assert_eq!((tally.calls, tally.failures.get(&ErrorKind::Unavailable)), (2, Some(&1)));
    assert_eq!((tally.total, tally.slowest), (Duration::from_secs(4), Duration::from_secs(3)));
    assert_eq!(meter.tally("other"), Tally::default());
}

#[test]
fn the_same_seed_fails_the_same_calls_and_a_lost_answer_has_acted() {
    let run = |seed| -> Vec<(bool, usize)> {
        let faulty = Faulty::new(seed, 50);
        (0..64)
            .map(|_| {
                let script = Script::new([Ok(1)]);
                let call = faulty.around(&"test", SAFE, || script.attempt());
                let result = call.now_or_never().unwrap();
                if let Err(error) = &result {
                    let acted = script.attempts() == 1;
                    assert_eq!(error.effect() == Effect::Unknown, acted);
                }
                (result.is_ok(), script.attempts())
            })
            .collect()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    for kind in [(true, 1), (false, 0), (false, 1)] {
        assert!(run(1).contains(&kind), "{kind:?} never happened");
    }
}

fn request() -> CreateMachine {
    let node = NodeId::from_bits(1);
    let token = Secret::new("canary".to_owned());
    let boot = BootData::new(node, "https://control.example".to_owned(), token);
    CreateMachine::new(MachineKey::of(node), boot)
}

#[test]
fn a_guard_refuses_what_is_not_claimed_before_it_is_sent() {
    let meter = Arc::new(MemoryMeter::new());
    let metered = Metered::new(Arc::<MemoryMeter>::clone(&meter), Arc::new(clock()));
    let compute = Guarded::new(Layered::new(metered, MemoryCompute::new()));
    let wish = request().with_region(Some("moon-1".to_owned()));
    let error = compute.create_machine(&wish).now_or_never().unwrap().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::NotApplied));
    assert_eq!(meter.tally("create_machine").calls, 0);
    compute.create_machine(&request()).now_or_never().unwrap().unwrap();
    assert_eq!(meter.tally("create_machine").calls, 1);
    assert!(compute.power().is_some() && compute.volumes().is_some());
}

#[test]
fn the_stack_has_its_order_and_the_name_of_the_provider() {
    let clock = clock();
    let meter = Arc::new(MemoryMeter::new());
    let stack = Stack::new(Arc::new(clock.clone()))
        .with_limit(1)
        .with_meter(Arc::<MemoryMeter>::clone(&meter))
        .with_retry(RetryPolicy::default(), Arc::new(SeededEntropy::new(1)));
    let compute = stack.compute(Arc::new(Layered::new(Faulty::new(1, 100), MemoryCompute::new())));
    assert_eq!(compute.to_string(), "memory");
    assert_eq!(compute.capabilities(), MemoryCompute::new().capabilities());
    // Every attempt fails: three of them with pauses between, and one call for the meter.
    let error = drive(&clock, compute.create_machine(&request())).unwrap_err();
    assert!(error.retries_exhausted());
    let tally = meter.tally("create_machine");
    assert_eq!((tally.calls, tally.total > Duration::from_millis(300)), (1, true));
    // Power control is under the same layers.
    let power = compute.power().expect("memory has power control");
    let key = request().key;
    drive(&clock, power.set_power(&key, Power::Off)).unwrap_err();
    assert_eq!(meter.tally("set_power").calls, 1);
    // The meter stands outside the guard and sees what it refuses.
    let wish = request().with_region(Some("moon-1".to_owned()));
    drive(&clock, compute.create_machine(&wish)).unwrap_err();
    assert_eq!(meter.tally("create_machine").failures.get(&ErrorKind::Unsupported), Some(&1));
}

mod spans {
    //! A subscriber that keeps the fields of every span and event as text.

    use std::fmt::Write as _;
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    #[derive(Debug, Clone, Default)]
    pub(super) struct Kept(Arc<Mutex<String>>);

    impl Kept {
        pub(super) fn text(&self) -> String {
            self.0.lock().unwrap().clone()
        }
    }

    struct Line<'a>(&'a mut String);

    impl Visit for Line<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            writeln!(self.0, "{}={value:?}", field.name()).unwrap();
        }
    }

    impl Subscriber for Kept {
        fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, span: &Attributes<'_>) -> Id {
            span.record(&mut Line(&mut self.0.lock().unwrap()));
            Id::from_u64(1)
        }
        fn record(&self, _span: &Id, values: &Record<'_>) {
            values.record(&mut Line(&mut self.0.lock().unwrap()));
        }
        fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
        fn event(&self, event: &Event<'_>) {
            event.record(&mut Line(&mut self.0.lock().unwrap()));
        }
        fn enter(&self, _span: &Id) {}
        fn exit(&self, _span: &Id) {}
    }
}

#[test]
fn a_trace_says_what_was_called_how_long_it_took_and_no_secret() {
    let kept = spans::Kept::default();
    tracing::subscriber::with_default(kept.clone(), || {
        let compute = Layered::new(Trace::new(Arc::new(clock())), MemoryCompute::new());
        compute.create_machine(&request()).now_or_never().unwrap().unwrap();
        let wish = request().with_region(Some("moon-1".to_owned()));
        compute.create_machine(&wish).now_or_never().unwrap().unwrap_err();
    });
    let text = kept.text();
    for line in [
        "provider=memory",
        "operation=\"create_machine\"",
        "duration_ms=0",
        "outcome=\"ok\"",
        "outcome=\"bad_input\"",
        "effect=NotApplied",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(!text.contains("canary"));
}
