//! Tests.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::FutureExt as _;

use super::*;
use crate::entropy::SeededEntropy;
use crate::keys::{KeyManager as _, MemoryKeys};
use crate::time::{ManualClock, Timestamp};
use crate::{Error, ErrorKind, Secret};

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing in memory waits")
}

fn name(text: impl AsRef<str>) -> SecretOwner {
    text.as_ref().parse().unwrap()
}

fn plain(text: &str) -> Secret<Vec<u8>> {
    Secret::new(text.as_bytes().to_vec())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meddling {
    Deletes,
    Fails,
    PutsAnew,
}

/// A store to which something happens right before each replacement.
#[derive(Debug)]
struct Busy {
    inner: MemorySecrets,
    keys: Arc<MemoryKeys>,
    meddling: Mutex<Option<Meddling>>,
}

#[async_trait]
impl SecretStore for Busy {
    async fn put_secret(&self, name: &SecretOwner, sealed: &Sealed) -> Result<()> {
        self.inner.put_secret(name, sealed).await
    }

    async fn replace_secret(&self, request: &ReplaceSecret) -> Result<bool> {
        let meddling = *self.meddling.lock().unwrap();
        match meddling {
            Some(Meddling::Deletes) => self.inner.delete_secret(&request.name).await?,
            Some(Meddling::Fails) => {
                return Err(Error::new(ErrorKind::Unavailable, "the store is away"));
            }
            Some(Meddling::PutsAnew) => {
                let newer = self.keys.wrap(&plain("newer"), &request.name).await?;
                self.inner.put_secret(&request.name, &newer).await?;
            }
            None => {}
        }
        self.inner.replace_secret(request).await
    }

    async fn secret(&self, name: &SecretOwner) -> Result<Option<Sealed>> {
        self.inner.secret(name).await
    }

    async fn delete_secret(&self, name: &SecretOwner) -> Result<()> {
        self.inner.delete_secret(name).await
    }

    async fn list_secrets(&self, query: &ListSecrets) -> Result<Page<SecretEntry>> {
        self.inner.list_secrets(query).await
    }
}

struct World {
    clock: ManualClock,
    keys: Arc<MemoryKeys>,
    store: Arc<Busy>,
    secrets: Secrets,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new(Timestamp::EPOCH);
        let keys = Arc::new(MemoryKeys::new(Arc::new(SeededEntropy::new(1))));
        let inner = MemorySecrets::new(Arc::new(clock.clone()));
        let meddling = Mutex::default();
        let store = Arc::new(Busy { inner, keys: Arc::clone(&keys), meddling });
        let secrets = Secrets::new(Arc::clone(&keys) as _, Arc::clone(&store) as _);
        Self { clock, keys, store, secrets }
    }

    fn keep(&self, text: &str) -> SecretOwner {
        let name = name(text);
        now(self.secrets.keep(&name, &plain(text))).unwrap();
        name
    }

    fn open(&self, name: &SecretOwner) -> Option<String> {
        let opened = now(self.secrets.open(name)).unwrap();
        opened.map(|opened| String::from_utf8(opened.expose().clone()).unwrap())
    }

    fn change_key(&self, id: &str) {
        self.keys.add(id.parse().unwrap(), Secret::new([id.as_bytes()[1]; 32])).unwrap();
    }

    fn meddle(&self, meddling: Option<Meddling>) {
        *self.store.meddling.lock().unwrap() = meddling;
    }

    /// Reseals everything; returns how many were moved, and in how many pages.
    fn reseal_all(&self) -> (usize, usize) {
        let (mut after, mut moved) = (None, 0);
        for pages in 1..100 {
            let done = now(self.secrets.reseal(after)).unwrap();
            assert_eq!(done.unopened, []);
            moved += done.moved;
            after = done.next;
            if after.is_none() {
                return (moved, pages);
            }
        }
        panic!("it does not come to an end");
    }

    fn keys_in_use(&self) -> Vec<(String, u64)> {
        let keys = now(self.secrets.keys_in_use()).unwrap();
        keys.into_iter().map(|(key, count)| (key.to_string(), count)).collect()
    }
}

#[test]
fn what_is_kept_opens_until_it_is_forgotten() {
    let world = World::new();
    let (a, b) = (world.keep("a"), world.keep("b"));
    assert_eq!((world.open(&a), world.open(&b)), (Some("a".into()), Some("b".into())));
    now(world.secrets.keep(&a, &plain("changed"))).unwrap();
    assert_eq!(world.open(&a).as_deref(), Some("changed"));
    for _ in 0..2 {
        now(world.secrets.forget(&a)).unwrap();
    }
    assert_eq!((world.open(&a), world.open(&b)), (None, Some("b".into())));
}

#[test]
fn a_row_under_another_name_opens_nothing() {
    let world = World::new();
    let (mine, other) = (world.keep("credential/cr-1/1"), name("credential/cr-2/1"));
    let sealed = now(world.store.secret(&mine)).unwrap().unwrap();
    now(world.store.put_secret(&other, &sealed)).unwrap();
    let error = now(world.secrets.open(&other)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn nothing_of_a_secret_is_shown() {
    let world = World::new();
    let name = name("a");
    now(world.secrets.keep(&name, &plain("canary"))).unwrap();
    assert!(!format!("{:?}", world.secrets).contains("canary"));
    let large = Secret::new(b"canary".repeat(Sealed::PLAIN_BYTES_MAX));
    let error = now(world.secrets.keep(&name, &large)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadInput);
    assert!(!format!("{error:?}").contains("canary"));
    assert_eq!(world.open(&name).as_deref(), Some("canary"), "and the one before is still there");
}

#[test]
fn an_old_key_can_go_once_everything_was_moved() {
    let world = World::new();
    let names: Vec<_> = (0..250).map(|number| world.keep(&format!("s/{number}"))).collect();
    world.change_key("k2");
    let late = world.keep("late");
    assert_eq!(world.keys_in_use(), [("k1".to_owned(), 250), ("k2".to_owned(), 1)]);
    assert_eq!(world.reseal_all(), (250, 3), "250 of 251, 100 at a time");
    assert_eq!(world.keys_in_use(), [("k2".to_owned(), 251)]);
    assert_eq!(world.reseal_all(), (0, 3), "nothing is moved twice");
    world.keys.retire(&"k1".parse().unwrap()).unwrap();
    for name in names.iter().chain([&late]) {
        assert_eq!(world.open(name).as_deref(), Some(name.as_str()));
    }
}

#[test]
fn moving_goes_on_where_it_was_broken_off() {
    let world = World::new();
    for number in 0..150 {
        world.keep(&format!("s/{number}"));
    }
    world.change_key("k2");
    let first = now(world.secrets.reseal(None)).unwrap();
    assert_eq!(first.moved, 100);
    world.meddle(Some(Meddling::Fails));
    let error = now(world.secrets.reseal(first.next.clone())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    world.meddle(None);
    let second = now(world.secrets.reseal(first.next)).unwrap();
    assert_eq!((second.moved, second.next), (50, None));
    assert_eq!(world.keys_in_use(), [("k2".to_owned(), 150)]);
}

#[test]
fn moving_brings_nothing_back_and_overwrites_nothing_newer() {
    for (meddling, expected) in [(Meddling::Deletes, None), (Meddling::PutsAnew, Some("newer"))] {
        let world = World::new();
        let name = world.keep("a");
        world.change_key("k2");
        world.meddle(Some(meddling));
        assert_eq!(now(world.secrets.reseal(None)).unwrap(), Resealed::default(), "{meddling:?}");
        assert_eq!(world.open(&name).as_deref(), expected, "{meddling:?}");
    }
}

#[test]
fn what_does_not_open_is_named_and_does_not_stop_the_others() {
    let world = World::new();
    let (swapped, fine) = (name("a"), world.keep("b"));
    let lost = world.keep("c");
    let sealed = now(world.store.secret(&fine)).unwrap().unwrap();
    now(world.store.put_secret(&swapped, &sealed)).unwrap();
    world.change_key("k2");
    let stranger = MemoryKeys::empty(Arc::new(SeededEntropy::new(9)));
    stranger.add("gone".parse().unwrap(), Secret::new([9; 32])).unwrap();
    let foreign = now(stranger.wrap(&plain("x"), &lost)).unwrap();
    now(world.store.put_secret(&lost, &foreign)).unwrap();
    let done = now(world.secrets.reseal(None)).unwrap();
    assert_eq!((done.moved, done.unopened), (1, vec![swapped, lost.clone()]));
    assert_eq!(now(world.store.secret(&lost)).unwrap(), Some(foreign), "left as it was");
    let keys = [("gone", 1), ("k1", 1), ("k2", 1)];
    assert_eq!(world.keys_in_use(), keys.map(|(key, count)| (key.to_owned(), count)));
}

#[test]
fn only_what_a_crash_left_over_is_forgotten() {
    let world = World::new();
    let (named, left, others) =
        (world.keep("credential/1"), world.keep("credential/2"), world.keep("session/1"));
    world.clock.advance(Secrets::UNNAMED_FOR_MIN);
    world.keep("credential/3");
    let known = BTreeSet::from([named.clone()]);
    let forget = |older_than| {
        now(world.secrets.forget_unnamed(&name("credential/"), &known, older_than)).unwrap()
    };
    assert_eq!(forget(Duration::ZERO), 0, "an hour is the least, and it is not over");
    world.clock.advance(Duration::from_micros(1));
    assert_eq!(forget(Secrets::UNNAMED_FOR_MIN * 2), 0);
    assert_eq!(forget(Duration::ZERO), 1);
    let kept = now(world.store.list_secrets(&ListSecrets::new())).unwrap().items;
    let kept: Vec<_> = kept.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(kept, ["credential/1", "credential/3", "session/1"]);
    assert_eq!(world.open(&left), None);
    assert!(world.open(&named).is_some() && world.open(&others).is_some());
    assert_eq!(forget(Duration::ZERO), 0, "again");
}

#[test]
fn everything_left_over_is_forgotten_however_many_pages_it_is() {
    let world = World::new();
    let named: BTreeSet<_> = (0..1_200).map(|number| world.keep(&format!("s/{number}"))).collect();
    let kept: BTreeSet<_> = named.into_iter().step_by(100).collect();
    world.clock.advance(Secrets::UNNAMED_FOR_MIN * 2);
    let forget = || now(world.secrets.forget_unnamed(&name("s/"), &kept, Duration::ZERO)).unwrap();
    assert_eq!((forget(), forget()), (1_188, 0));
    assert_eq!(world.keys_in_use(), [("k1".to_owned(), 12)]);
}
