//! Ed25519, and flawed signers and verifiers.

use std::sync::Arc;

use async_trait::async_trait;
use sam_core::keys::{Ed25519Signer, Ed25519Verifier, Signer, Verifier};
use sam_core::testkit::conformance::signer::{self, SignerHarness};
use sam_core::testkit::conformance::{BoxFuture, Harness, Outcome, Trial, at_once};
use sam_core::{ErrorKind, Result, Secret};

use super::refuse;

#[derive(Debug)]
struct Pair<S, V> {
    signers: [S; 3],
    verifier: V,
}

impl<S: Signer, V: Verifier> Pair<S, V> {
    fn new(wrap: impl Fn(Ed25519Signer) -> S, check: impl Fn(Ed25519Verifier) -> V) -> Self {
        let keys = [1, 2, 3].map(|seed| Ed25519Signer::from_seed(&Secret::new([seed; 32])));
        let known = [keys[0].public_key(), keys[1].public_key()];
        let verifier = Ed25519Verifier::new(known).expect("good keys");
        Self { signers: keys.map(wrap), verifier: check(verifier) }
    }
}

impl<S: Signer, V: Verifier> SignerHarness for Pair<S, V> {
    fn signer(&self) -> &dyn Signer {
        &self.signers[0]
    }

    fn other(&self) -> &dyn Signer {
        &self.signers[1]
    }

    fn stranger(&self) -> &dyn Signer {
        &self.signers[2]
    }

    fn verifier(&self) -> &dyn Verifier {
        &self.verifier
    }
}

impl<S: Signer, V: Verifier> Harness for Pair<S, V> {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        at_once(case)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    ChecksNothing,
    ForgetsTheEmpty,
    HasOneName,
    IgnoresTheEnd,
    IgnoresTheName,
    NamesTheUnknown,
    SignsOnce,
    TrimsMessages,
}

const FLAWS: [(Flaw, &str); 10] = [
    (Flaw::HasOneName, "keys_have_names_of_their_own"),
    (Flaw::ForgetsTheEmpty, "messages_of_any_length_and_content_are_signed"),
    (Flaw::SignsOnce, "every_signature_of_a_message_is_good"),
    (Flaw::TrimsMessages, "another_message_is_refused"),
    (Flaw::ChecksNothing, "another_message_is_refused"),
    (Flaw::ChecksNothing, "every_changed_byte_of_a_signature_is_refused"),
    (Flaw::IgnoresTheName, "another_key_is_refused"),
    (Flaw::ChecksNothing, "a_cut_or_longer_signature_is_refused"),
    (Flaw::IgnoresTheEnd, "a_cut_or_longer_signature_is_refused"),
    (Flaw::NamesTheUnknown, "an_unknown_key_and_a_wrong_signature_are_one_error"),
];

#[derive(Debug)]
struct FlawedSigner {
    inner: Ed25519Signer,
    flaw: Flaw,
    signed: std::sync::atomic::AtomicUsize,
}

#[async_trait]
impl Signer for FlawedSigner {
    fn key_id(&self) -> &str {
        if self.flaw == Flaw::HasOneName { "key" } else { self.inner.key_id() }
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let earlier = self.signed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        match self.flaw {
            Flaw::ForgetsTheEmpty if message.is_empty() => Ok(Vec::new()),
            Flaw::SignsOnce if earlier > 0 => self.inner.sign(b"").await,
            _ => self.inner.sign(message).await,
        }
    }
}

#[derive(Debug)]
struct FlawedVerifier {
    inner: Ed25519Verifier,
    flaw: Flaw,
}

impl Verifier for FlawedVerifier {
    fn verify(&self, key_id: &str, message: &[u8], signature: &[u8]) -> Result<()> {
        let names = [1, 2]
            .map(|seed| Ed25519Signer::from_seed(&Secret::new([seed; 32])).key_id().to_owned());
        let known = names.iter().any(|name| name == key_id);
        match self.flaw {
            Flaw::ChecksNothing if known => Ok(()),
            Flaw::IgnoresTheName => {
                let any = |name: &String| self.inner.verify(name, message, signature).is_ok();
                if names.iter().any(any) {
                    return Ok(());
                }
                Err(refuse(ErrorKind::Unauthenticated))
            }
            Flaw::IgnoresTheEnd => {
                let end = signature.len().min(64);
                self.inner.verify(key_id, message, &signature[..end])
            }
            Flaw::NamesTheUnknown if !known => Err(refuse(ErrorKind::NotFound)),
            Flaw::TrimsMessages => {
                let trimmed: Vec<u8> = message.iter().copied().filter(|byte| *byte != 0).collect();
                self.inner.verify(key_id, &trimmed, signature)
            }
            _ => self.inner.verify(key_id, message, signature),
        }
    }
}

pub(super) fn trials() -> Vec<Trial> {
    let mut all = signer::trials("signer::ed25519", "", || Pair::new(|s| s, |v| v));
    all.extend(signer::trials("signer::ed25519_in_arc", "", || {
        Pair::new(
            |signer| -> Arc<dyn Signer> { Arc::new(signer) },
            |verifier| -> Arc<dyn Verifier> { Arc::new(verifier) },
        )
    }));
    all.extend(signer::trials("signer::ed25519_in_box", "", || {
        Pair::new(
            |signer| -> Box<dyn Signer> { Box::new(signer) },
            |verifier| -> Box<dyn Verifier> { Box::new(verifier) },
        )
    }));
    all.extend(FLAWS.map(|(flaw, case)| {
        signer::notices(&format!("{flaw:?}"), case, move || {
            Pair::new(
                |inner| FlawedSigner { inner, flaw, signed: 0.into() },
                |inner| FlawedVerifier { inner, flaw },
            )
        })
    }));
    all
}
