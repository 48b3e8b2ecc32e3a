//! Values that are made once for all who wait for them, and kept while they are good.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use sam_core::{Error, Result};

/// Most values kept at once; beyond it, those that nobody is waiting for go, oldest first.
const VALUES_MAX: usize = 4_096;

type Making<V> = BoxFuture<'static, Result<V, Arc<Error>>>;
type Flight<V> = Shared<Making<V>>;

/// Keeps values by key. However many callers ask for one that is not there, it is made once; a
/// caller that goes away leaves the others what they wait for, whoever it was that began.
pub(crate) struct Flights<K: Ord, V: Clone> {
    slots: Arc<Mutex<Slots<K, V>>>,
    abandoned: Abandoned,
}

/// What becomes of a making whose callers have all gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abandoned {
    /// It is dropped, and the next caller begins anew.
    Dropped,
    /// It is kept, and the next caller goes on with it: for what cannot be asked for twice.
    Kept,
}

struct Slots<K, V: Clone> {
    by_key: BTreeMap<K, Slot<V>>,
    made: u64,
}

struct Slot<V: Clone> {
    kept: Option<(u64, V)>,
    weak: Option<WeakShared<Making<V>>>,
    strong: Option<Flight<V>>,
}

impl<K, V> Flights<K, V>
where
    K: Ord + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(abandoned: Abandoned) -> Self {
        let slots = Slots { by_key: BTreeMap::new(), made: 0 };
        Self { slots: Arc::new(Mutex::new(slots)), abandoned }
    }

    /// Returns the value that is kept, if it is good; else the one that is being made; else what
    /// `make` makes, once for all who wait.
    ///
    /// # Errors
    /// What the making failed with, for each who waited. A failure is not kept.
    pub(crate) async fn value(
        &self,
        key: &K,
        good: impl Fn(&V) -> bool + Send,
        make: impl FnOnce() -> BoxFuture<'static, Result<V>> + Send,
    ) -> Result<V> {
        let flight = {
            let mut slots = lock(&self.slots);
            let known = slots.by_key.get(key).and_then(|slot| slot.kept.as_ref());
            if let Some((_, value)) = known.filter(|(_, value)| good(value)) {
                return Ok(value.clone());
            }
            slots.make_room();
            let slot = slots.by_key.entry(key.clone()).or_default();
            match slot.weak.as_ref().and_then(WeakShared::upgrade) {
                Some(flight) => flight,
                None => self.begin(slot, key, make()),
            }
        };
        flight.await.map_err(again)
    }

    fn begin(
        &self,
        slot: &mut Slot<V>,
        key: &K,
        making: BoxFuture<'static, Result<V>>,
    ) -> Flight<V> {
        let (slots, key) = (Arc::clone(&self.slots), key.clone());
        let flight = async move {
            let made = making.await.map_err(Arc::new);
            lock(&slots).land(&key, made.as_ref().ok());
            made
        }
        .boxed()
        .shared();
        slot.weak = flight.downgrade();
        slot.strong = (self.abandoned == Abandoned::Kept).then(|| flight.clone());
        flight
    }

    /// Forgets the values that are not to be given out again.
    pub(crate) fn forget(&self, unwanted: impl Fn(&K, &V) -> bool) {
        lock(&self.slots).by_key.retain(|key, slot| {
            if slot.kept.as_ref().is_some_and(|(_, value)| unwanted(key, value)) {
                slot.kept = None;
            }
            slot.kept.is_some() || slot.weak.is_some()
        });
    }
}

impl<K: Ord + Clone, V: Clone> Slots<K, V> {
    /// Notes what came of a making.
    fn land(&mut self, key: &K, made: Option<&V>) {
        self.made += 1;
        let number = self.made;
        let Some(slot) = self.by_key.get_mut(key) else { return };
        (slot.weak, slot.strong) = (None, None);
        match made {
            Some(value) => slot.kept = Some((number, value.clone())),
            None if slot.kept.is_none() => {
                self.by_key.remove(key);
            }
            None => {}
        }
    }

    /// Lets go of what is idle, oldest first, where there is too much.
    fn make_room(&mut self) {
        if self.by_key.len() < VALUES_MAX {
            return;
        }
        // First what was begun and left by all.
        self.by_key.retain(|_, slot| slot.kept.is_some() || !slot.is_idle());
        while self.by_key.len() >= VALUES_MAX {
            let idle = self.by_key.iter().filter(|(_, slot)| slot.is_idle());
            let oldest = idle.min_by_key(|(_, slot)| slot.kept.as_ref().map_or(0, |(n, _)| *n));
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            self.by_key.remove(&key);
        }
    }
}

impl<V: Clone> Slot<V> {
    /// Whether nobody waits for what it makes.
    fn is_idle(&self) -> bool {
        self.strong.is_none() && self.weak.as_ref().and_then(WeakShared::upgrade).is_none()
    }
}

impl<V: Clone> Default for Slot<V> {
    fn default() -> Self {
        Self { kept: None, weak: None, strong: None }
    }
}

impl<K: Ord, V: Clone> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = lock(&self.slots).by_key.len();
        f.debug_struct("Flights").field("kept", &kept).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives each who waited an error of his own.
fn again(error: Arc<Error>) -> Error {
    let error = match Arc::try_unwrap(error) {
        Ok(error) => return error,
        Err(shared) => shared,
    };
    let mut copy = Error::new(error.kind(), error.public_message())
        .with_retry(error.retry())
        .with_effect(error.effect());
    if let Some(operation) = error.operation() {
        copy = copy.with_operation(operation);
    }
    if let Some(code) = error.provider_code() {
        copy = copy.with_provider_code(code);
    }
    if let Some(hint) = error.hint() {
        copy = copy.with_hint(hint);
    }
    for (name, value) in error.context() {
        copy = copy.with_context(name, value);
    }
    if error.retries_exhausted() { copy.with_exhausted_retries() } else { copy }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future;
    use sam_core::ErrorKind;
    use tokio::sync::{oneshot, watch};

    use super::*;

    /// Something that is made when it is told to, and counts how often that began.
    #[derive(Clone)]
    struct Maker {
        begun: Arc<AtomicU32>,
        go: watch::Receiver<Option<Result<u32, ErrorKind>>>,
    }

    impl Maker {
        fn new() -> (watch::Sender<Option<Result<u32, ErrorKind>>>, Self) {
            let (send, go) = watch::channel(None);
            (send, Self { begun: Arc::default(), go })
        }

        fn make(&self) -> BoxFuture<'static, Result<u32>> {
            let mut maker = self.clone();
            maker.begun.fetch_add(1, Ordering::SeqCst);
            async move {
                let told = maker.go.wait_for(Option::is_some).await.unwrap().unwrap();
                told.map_err(|kind| Error::new(kind, "told to fail").with_hint("wait"))
            }
            .boxed()
        }

        fn begun(&self) -> u32 {
            self.begun.load(Ordering::SeqCst)
        }
    }

    fn ask(
        flights: &Arc<Flights<u8, u32>>,
        maker: &Maker,
    ) -> future::Fuse<impl Future<Output = Result<u32>> + use<>> {
        let (flights, maker) = (Arc::clone(flights), maker.clone());
        async move { flights.value(&1, |_| true, || maker.make()).await }.fuse()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_callers_make_one_value() {
        let flights = Arc::new(Flights::new(Abandoned::Dropped));
        let (go, maker) = Maker::new();
        let callers: Vec<_> = (0..64).map(|_| tokio::spawn(ask(&flights, &maker))).collect();
        go.send(Some(Ok(7))).unwrap();
        for caller in callers {
            assert_eq!(caller.await.unwrap().unwrap(), 7);
        }
        assert_eq!(maker.begun(), 1);
        assert_eq!(ask(&flights, &maker).await.unwrap(), 7);
        flights.forget(|_, value| *value == 7);
        assert_eq!(ask(&flights, &maker).await.unwrap(), 7);
        assert_eq!(maker.begun(), 2);
    }

    #[tokio::test]
    async fn whoever_began_may_go_and_the_others_still_get_it() {
        for abandoned in [Abandoned::Dropped, Abandoned::Kept] {
            let flights = Arc::new(Flights::new(abandoned));
            let (go, maker) = Maker::new();
            let mut first = Box::pin(ask(&flights, &maker));
            let mut second = Box::pin(ask(&flights, &maker));
            assert!(future::poll_immediate(&mut first).await.is_none());
            assert!(future::poll_immediate(&mut second).await.is_none());
            // The waker of the making is the first one's; the second one has to be told all the same.
            let (told, hears) = oneshot::channel();
            let waits = tokio::spawn(async move {
                told.send(()).unwrap();
                second.await
            });
            hears.await.unwrap();
            drop(first);
            go.send(Some(Ok(3))).unwrap();
            assert_eq!(waits.await.unwrap().unwrap(), 3);
            assert_eq!(maker.begun(), 1);
        }
    }

    #[tokio::test]
    async fn what_everybody_left_is_begun_anew_or_gone_on_with() {
        for (abandoned, begun) in [(Abandoned::Dropped, 2), (Abandoned::Kept, 1)] {
            let flights = Arc::new(Flights::new(abandoned));
            let (go, maker) = Maker::new();
            let mut only = Box::pin(ask(&flights, &maker));
            assert!(future::poll_immediate(&mut only).await.is_none());
            drop(only);
            go.send(Some(Ok(5))).unwrap();
            assert_eq!(ask(&flights, &maker).await.unwrap(), 5);
            assert_eq!(maker.begun(), begun, "{abandoned:?}");
        }
    }

    #[tokio::test]
    async fn what_is_kept_and_what_was_left_is_bounded() {
        let flights = Flights::<usize, usize>::new(Abandoned::Dropped);
        let count = || lock(&flights.slots).by_key.len();
        for key in 0..VALUES_MAX + 50 {
            let never = || future::pending().boxed();
            let left = Box::pin(flights.value(&key, |_| true, never));
            assert!(future::poll_immediate(left).await.is_none());
        }
        assert!(count() <= VALUES_MAX);
        let waits = flights.value(&usize::MAX, |_| true, || future::pending().boxed());
        let mut waits = Box::pin(waits);
        assert!(future::poll_immediate(&mut waits).await.is_none());
        for key in 0..VALUES_MAX + 50 {
            flights.value(&key, |_| true, || future::ready(Ok(key)).boxed()).await.unwrap();
        }
        assert!(count() <= VALUES_MAX);
        // The oldest went, the newest and the one that is waited for are there.
        let slots = lock(&flights.slots);
        assert!(!slots.by_key.contains_key(&0) && slots.by_key.contains_key(&usize::MAX));
        assert!(slots.by_key.contains_key(&(VALUES_MAX + 49)));
    }

    #[tokio::test]
    async fn a_failure_reaches_all_and_is_not_kept() {
        let flights = Arc::new(Flights::new(Abandoned::Dropped));
        let (go, maker) = Maker::new();
        let (mut one, mut two) = (Box::pin(ask(&flights, &maker)), Box::pin(ask(&flights, &maker)));
        assert!(future::poll_immediate(&mut one).await.is_none());
        assert!(future::poll_immediate(&mut two).await.is_none());
        go.send(Some(Err(ErrorKind::RateLimited))).unwrap();
        for failed in [one.await.unwrap_err(), two.await.unwrap_err()] {
            assert_eq!((failed.kind(), failed.hint()), (ErrorKind::RateLimited, Some("wait")));
        }
        go.send(Some(Ok(1))).unwrap();
        assert_eq!(ask(&flights, &maker).await.unwrap(), 1);
        assert_eq!(maker.begun(), 2);
    }
}
