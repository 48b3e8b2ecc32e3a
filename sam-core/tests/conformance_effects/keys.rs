//! A ring of keys in memory, and flawed ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use sam_core::entropy::{Entropy, SeededEntropy};
use sam_core::keys::{KeyId, KeyManager, MemoryKeys, Sealed, SecretOwner};
use sam_core::testkit::conformance::keys::{self, KeysHarness};
use sam_core::testkit::conformance::{BoxFuture, Harness, Outcome, Trial, at_once};
use sam_core::{ErrorKind, Result, Secret};

use super::refuse;

/// A ring, seen through something that wraps it.
#[derive(Debug)]
struct Over<K> {
    ring: Arc<MemoryKeys>,
    keys: K,
    others: MemoryKeys,
    added: AtomicUsize,
}

impl<K: KeyManager> Over<K> {
    fn new(ring: MemoryKeys, wrap: impl Fn(Arc<MemoryKeys>) -> K) -> Self {
        let ring = Arc::new(ring);
        let others = MemoryKeys::empty(Arc::new(SeededEntropy::new(6)));
        others.add("other".parse().unwrap(), Secret::new([6; 32])).unwrap();
        Self { keys: wrap(Arc::clone(&ring)), ring, others, added: AtomicUsize::new(2) }
    }

    fn sound(wrap: impl Fn(Arc<MemoryKeys>) -> K) -> Self {
        Self::new(MemoryKeys::new(Arc::new(SeededEntropy::new(5))), wrap)
    }
}

#[async_trait]
impl<K: KeyManager> KeysHarness for Over<K> {
    fn keys(&self) -> &dyn KeyManager {
        &self.keys
    }

    fn others(&self) -> &dyn KeyManager {
        &self.others
    }

    fn changes_keys(&self) -> bool {
        true
    }

    async fn add_key(&self) -> Outcome {
        let number = self.added.fetch_add(1, Ordering::Relaxed);
        let mut key = [0; 32];
        SeededEntropy::new(number as u64).fill(&mut key);
        Ok(self.ring.add(format!("k{number}").parse()?, Secret::new(key))?)
    }

    async fn retire_key(&self, id: &KeyId) -> Outcome {
        Ok(self.ring.retire(id)?)
    }
}

impl<K: KeyManager> Harness for Over<K> {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        at_once(case)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    AlwaysTheSameNonce,
    ForgetsOldKeys,
    HidesTheKey,
    IgnoresTheOwner,
    NamesTheFirstKey,
    OpensAnything,
    ShowsPlainText,
    TakesTooMuch,
    Trims,
}

const FLAWS: [(Flaw, &str); 10] = [
    (Flaw::Trims, "what_was_sealed_opens"),
    (Flaw::NamesTheFirstKey, "the_current_key_seals"),
    (Flaw::ForgetsOldKeys, "a_new_key_seals_and_the_old_one_still_opens"),
    (Flaw::IgnoresTheOwner, "another_owner_opens_nothing"),
    (Flaw::OpensAnything, "every_changed_byte_is_noticed"),
    (Flaw::OpensAnything, "every_cut_is_noticed"),
    (Flaw::ShowsPlainText, "the_plain_text_is_shown_nowhere"),
    (Flaw::HidesTheKey, "what_another_ring_sealed_is_not_found"),
    (Flaw::AlwaysTheSameNonce, "sealing_twice_gives_different_bytes"),
    (Flaw::TakesTooMuch, "the_largest_secret_is_sealed_and_a_larger_one_refused"),
];

#[derive(Debug)]
struct Flawed {
    inner: Arc<MemoryKeys>,
    flaw: Flaw,
    seen: std::sync::Mutex<Vec<String>>,
}

/// Entropy that never changes.
#[derive(Debug)]
struct Stuck;

impl Entropy for Stuck {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

#[async_trait]
impl KeyManager for Flawed {
    async fn current_key(&self) -> Result<KeyId> {
        match self.flaw {
            Flaw::NamesTheFirstKey => "k0".parse(),
            _ => self.inner.current_key().await,
        }
    }

    async fn wrap(&self, plain: &Secret<Vec<u8>>, owner: &SecretOwner) -> Result<Sealed> {
        let mut plain = plain.expose().clone();
        match self.flaw {
            Flaw::ShowsPlainText => {
                let text = String::from_utf8_lossy(&plain).into_owned();
                self.seen.lock().unwrap().push(text);
            }
            Flaw::TakesTooMuch => plain.truncate(Sealed::PLAIN_BYTES_MAX),
            Flaw::Trims => plain.retain(|byte| *byte != 0),
            _ => {}
        }
        let anybody = "anybody".parse()?;
        let owner = if self.flaw == Flaw::IgnoresTheOwner { &anybody } else { owner };
        self.inner.wrap(&Secret::new(plain), owner).await
    }

    async fn unwrap(&self, sealed: &Sealed, owner: &SecretOwner) -> Result<Secret<Vec<u8>>> {
        let anybody = "anybody".parse()?;
        let owner = if self.flaw == Flaw::IgnoresTheOwner { &anybody } else { owner };
        if self.flaw == Flaw::ForgetsOldKeys && *sealed.key_id() != self.inner.current_key().await?
        {
            return Err(refuse(ErrorKind::NotFound));
        }
        match (self.flaw, self.inner.unwrap(sealed, owner).await) {
            (Flaw::OpensAnything, Err(_)) => Ok(Secret::new(Vec::new())),
            (Flaw::HidesTheKey, Err(error)) => Err(refuse(error.kind())),
            (_, opened) => opened,
        }
    }
}

fn flawed(flaw: Flaw) -> Over<Flawed> {
    let stuck = flaw == Flaw::AlwaysTheSameNonce;
    let entropy: Arc<dyn Entropy> =
        if stuck { Arc::new(Stuck) } else { Arc::new(SeededEntropy::new(5)) };
    let wrap = |inner| Flawed { inner, flaw, seen: std::sync::Mutex::default() };
    Over::new(MemoryKeys::new(entropy), wrap)
}

pub(super) fn trials() -> Vec<Trial> {
    let mut all = keys::trials("keys::memory", "", || Over::sound(|ring| ring));
    all.extend(keys::trials("keys::memory_in_arc", "", || {
        Over::sound(|ring| -> Arc<dyn KeyManager> { ring })
    }));
    all.extend(keys::trials("keys::memory_in_box", "", || {
        Over::sound(|ring| -> Box<dyn KeyManager> { Box::new(ring) })
    }));
    all.extend(
        FLAWS.map(|(flaw, case)| keys::notices(&format!("{flaw:?}"), case, move || flawed(flaw))),
    );
    all
}
