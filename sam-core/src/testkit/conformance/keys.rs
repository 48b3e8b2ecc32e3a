//! What every [`KeyManager`] must do.

use std::fmt;

use async_trait::async_trait;

use super::{Failure, Outcome, always, cases, ensure, ensure_eq, ensure_kind};
use crate::Secret;
use crate::error::{ErrorKind, Report};
use crate::keys::{KeyId, KeyManager, Sealed, SecretOwner};

/// Words that must come out nowhere.
const CANARY: &[u8] = b"conformance-canary-51c0de";

/// A ring of keys under test.
#[async_trait]
pub trait KeysHarness: fmt::Debug + Send + Sync {
    /// Returns the ring; it has a key.
    fn keys(&self) -> &dyn KeyManager;

    /// Returns another ring, with other keys under other ids.
    fn others(&self) -> &dyn KeyManager;

    /// Returns whether the ring's key can be changed here.
    fn changes_keys(&self) -> bool;

    /// Adds a key to the ring, which seals from now on.
    async fn add_key(&self) -> Outcome;

    /// Takes a key out of the ring for good.
    async fn retire_key(&self, id: &KeyId) -> Outcome;
}

cases! {
    KeysHarness, Scope;
    "KeyManager C1", always {
        what_was_sealed_opens,
        what_was_stored_opens,
    }
    "KeyManager C2", always { the_current_key_seals }
    "KeyManager C2", changes_keys { a_new_key_seals_and_the_old_one_still_opens }
    "KeyManager C3", always {
        another_owner_opens_nothing,
        every_changed_byte_is_noticed,
        every_cut_is_noticed,
        the_plain_text_is_shown_nowhere,
    }
    "KeyManager C4", always { what_another_ring_sealed_is_not_found }
    "KeyManager C4", changes_keys { what_a_retired_key_sealed_is_not_found }
    "KeyManager C5", always { sealing_twice_gives_different_bytes }
    "KeyManager C6", always { the_largest_secret_is_sealed_and_a_larger_one_refused }
}

fn changes_keys(harness: &dyn KeysHarness) -> bool {
    harness.changes_keys()
}

#[derive(Debug)]
struct Scope<'a> {
    harness: &'a dyn KeysHarness,
    owner: SecretOwner,
}

impl<'a> Scope<'a> {
    #[expect(clippy::unused_async, reason = "every suite opens its scope the same way")]
    async fn open(harness: &'a dyn KeysHarness) -> Result<Self, Failure> {
        Ok(Self { harness, owner: "credential/conformance-1".parse()? })
    }

    fn keys(&self) -> &dyn KeyManager {
        self.harness.keys()
    }

    async fn seal(&self, plain: &[u8]) -> Result<Sealed, Failure> {
        Ok(self.keys().wrap(&Secret::new(plain.to_vec()), &self.owner).await?)
    }

    async fn ensure_opens(&self, sealed: &Sealed, plain: &[u8]) -> Outcome {
        let opened = self.keys().unwrap(sealed, &self.owner).await?;
        ensure!(opened.expose() == plain, "{} bytes became others", plain.len());
        Ok(())
    }

    /// Nothing is kept, so nothing is left behind.
    #[expect(clippy::unused_async, reason = "every suite closes its scope the same way")]
    async fn close(&self) -> Outcome {
        Ok(())
    }
}

async fn what_was_sealed_opens(scope: &Scope<'_>) -> Outcome {
    let all: Vec<u8> = (0..=255).collect();
    for plain in [&b""[..], b"x", CANARY, &all] {
        let sealed = scope.seal(plain).await?;
        scope.ensure_opens(&sealed, plain).await?;
        // Opening takes nothing away.
        scope.ensure_opens(&sealed, plain).await?;
    }
    Ok(())
}

async fn what_was_stored_opens(scope: &Scope<'_>) -> Outcome {
    let sealed = scope.seal(CANARY).await?;
    let stored = Sealed::from_bytes(sealed.as_bytes().to_vec())?;
    ensure_eq!(stored.key_id(), sealed.key_id(), "the key of what was stored");
    scope.ensure_opens(&stored, CANARY).await
}

async fn the_current_key_seals(scope: &Scope<'_>) -> Outcome {
    let current = scope.keys().current_key().await?;
    ensure_eq!(*scope.seal(CANARY).await?.key_id(), current, "the key that sealed");
    ensure_eq!(scope.keys().current_key().await?, current, "the current key, asked again");
    Ok(())
}

async fn a_new_key_seals_and_the_old_one_still_opens(scope: &Scope<'_>) -> Outcome {
    let mut sealed = vec![scope.seal(CANARY).await?];
    for _ in 0..3 {
        let before = scope.keys().current_key().await?;
        scope.harness.add_key().await?;
        let current = scope.keys().current_key().await?;
        ensure!(current != before, "{before} still seals after a key was added");
        let next = scope.seal(CANARY).await?;
        ensure_eq!(*next.key_id(), current, "the key that sealed");
        sealed.push(next);
        for sealed in &sealed {
            scope.ensure_opens(sealed, CANARY).await?;
        }
    }
    Ok(())
}

async fn another_owner_opens_nothing(scope: &Scope<'_>) -> Outcome {
    let sealed = scope.seal(CANARY).await?;
    for other in
        ["credential/conformance-2", "credential/conformance-11", "redential/conformance-1"]
    {
        let opened = scope.keys().unwrap(&sealed, &other.parse()?).await;
        ensure_kind!(opened.map(drop), ErrorKind::Corrupt, "opened for {other}");
    }
    scope.ensure_opens(&sealed, CANARY).await
}

async fn every_changed_byte_is_noticed(scope: &Scope<'_>) -> Outcome {
    let good = scope.seal(CANARY).await?.as_bytes().to_vec();
    for at in 0..good.len() {
        for bit in [1, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= bit;
            // What cannot even be read is not handed to the ring.
            let Ok(bad) = Sealed::from_bytes(bad) else { continue };
            let opened = scope.keys().unwrap(&bad, &scope.owner).await.map(drop);
            // A changed id names a key that is not there.
            let noticed = ErrorKind::Corrupt;
            match opened {
                Err(error) if error.kind() == noticed || error.kind() == ErrorKind::NotFound => {}
                other => {
                    return Err(Failure::new(format!("byte {at} was changed, and gave {other:?}")));
                }
            }
        }
    }
    Ok(())
}

async fn every_cut_is_noticed(scope: &Scope<'_>) -> Outcome {
    let good = scope.seal(CANARY).await?.as_bytes().to_vec();
    let longer = [good.clone(), vec![0]].concat();
    let cuts = (0..good.len()).map(|end| good.iter().take(end).copied().collect());
    for bad in cuts.chain([longer]) {
        let length = bad.len();
        let Ok(bad) = Sealed::from_bytes(bad) else { continue };
        let opened = scope.keys().unwrap(&bad, &scope.owner).await;
        ensure_kind!(opened.map(drop), ErrorKind::Corrupt, "{length} of {} bytes", good.len());
    }
    Ok(())
}

async fn the_plain_text_is_shown_nowhere(scope: &Scope<'_>) -> Outcome {
    let sealed = scope.seal(CANARY).await?;
    let bytes = sealed.as_bytes();
    let bare = bytes.windows(CANARY.len()).any(|window| window == CANARY);
    ensure!(!bare, "the sealed bytes hold the plain text");
    let other: SecretOwner = "credential/conformance-2".parse()?;
    let Err(error) = scope.keys().unwrap(&sealed, &other).await else {
        return Err(Failure::new("opened for another owner"));
    };
    let shown = format!("{error:?} {} {sealed:?} {:?}", Report::new(&error), scope.keys());
    ensure!(!shown.contains("conformance-canary"), "the plain text can be read: {shown}");
    Ok(())
}

async fn what_another_ring_sealed_is_not_found(scope: &Scope<'_>) -> Outcome {
    let sealed = scope.harness.others().wrap(&Secret::new(CANARY.to_vec()), &scope.owner).await?;
    ensure_names_its_key(scope, &sealed).await
}

async fn what_a_retired_key_sealed_is_not_found(scope: &Scope<'_>) -> Outcome {
    let old = scope.seal(CANARY).await?;
    scope.harness.add_key().await?;
    let new = scope.seal(CANARY).await?;
    scope.harness.retire_key(old.key_id()).await?;
    ensure_names_its_key(scope, &old).await?;
    scope.ensure_opens(&new, CANARY).await
}

async fn ensure_names_its_key(scope: &Scope<'_>, sealed: &Sealed) -> Outcome {
    match scope.keys().unwrap(sealed, &scope.owner).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let (text, key) = (error.public_message(), sealed.key_id());
            ensure!(text.contains(key.as_str()), "{text:?} does not name {key}");
            Ok(())
        }
        other => Err(Failure::new(format!("opened without its key: {:?}", other.map(drop)))),
    }
}

async fn sealing_twice_gives_different_bytes(scope: &Scope<'_>) -> Outcome {
    let (first, second) = (scope.seal(CANARY).await?, scope.seal(CANARY).await?);
    ensure!(first.as_bytes() != second.as_bytes(), "the same bytes for the same secret");
    Ok(())
}

async fn the_largest_secret_is_sealed_and_a_larger_one_refused(scope: &Scope<'_>) -> Outcome {
    let largest = vec![7; Sealed::PLAIN_BYTES_MAX];
    let sealed = scope.seal(&largest).await?;
    scope.ensure_opens(&sealed, &largest).await?;
    let larger = Secret::new(vec![7; Sealed::PLAIN_BYTES_MAX + 1]);
    let refused = scope.keys().wrap(&larger, &scope.owner).await;
    ensure_kind!(refused, ErrorKind::BadInput, "one byte more");
    Ok(())
}
