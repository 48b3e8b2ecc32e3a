//! What every [`Signer`] and every [`Verifier`] must do: one is nothing without the other.

use std::fmt;

use super::{Failure, Outcome, always, cases, ensure, ensure_eq};
use crate::error::ErrorKind;
use crate::keys::{Signer, Verifier};

/// Longest message of the cases.
const LONG_BYTES: usize = 64 << 10;

/// A signer and a verifier under test. To try one, the other may be any that is known to be good.
pub trait SignerHarness: fmt::Debug + Send + Sync {
    /// Returns the signer.
    fn signer(&self) -> &dyn Signer;

    /// Returns a signer with another key, which the verifier knows, too.
    fn other(&self) -> &dyn Signer;

    /// Returns a signer of the same kind whose key the verifier does not know.
    fn stranger(&self) -> &dyn Signer;

    /// Returns the verifier, which knows the keys of the first two.
    fn verifier(&self) -> &dyn Verifier;
}

cases! {
    SignerHarness, Scope;
    "Signer C1", always {
        a_key_keeps_its_name,
        keys_have_names_of_their_own,
    }
    "Signer C2", always {
        messages_of_any_length_and_content_are_signed,
    }
    "Signer C3", always {
        every_signature_of_a_message_is_good,
    }
    "Verifier C1", always {
        another_message_is_refused,
        another_key_is_refused,
        every_changed_byte_of_a_signature_is_refused,
        a_cut_or_longer_signature_is_refused,
    }
    "Verifier C2", always {
        an_unknown_key_and_a_wrong_signature_are_one_error,
    }
}

#[derive(Debug)]
struct Scope<'a>(&'a dyn SignerHarness);

impl<'a> Scope<'a> {
    #[expect(clippy::unused_async, reason = "every suite opens its scope the same way")]
    async fn open(harness: &'a dyn SignerHarness) -> Result<Self, Failure> {
        Ok(Self(harness))
    }

    fn ensure_refused(&self, key_id: &str, message: &[u8], signature: &[u8], why: &str) -> Outcome {
        match self.0.verifier().verify(key_id, message, signature) {
            Err(error) if error.kind() == ErrorKind::Unauthenticated => Ok(()),
            other => Err(Failure::new(format!("{why} gave {other:?}"))),
        }
    }

    /// Nothing is kept, so nothing is left behind.
    #[expect(clippy::unused_async, reason = "every suite closes its scope the same way")]
    async fn close(&self) -> Outcome {
        Ok(())
    }
}

async fn a_key_keeps_its_name(scope: &Scope<'_>) -> Outcome {
    let signer = scope.0.signer();
    let name = signer.key_id().to_owned();
    ensure!(!name.is_empty(), "the key has no name");
    signer.sign(b"one").await?;
    ensure_eq!(signer.key_id(), name, "the name after signing");
    Ok(())
}

async fn keys_have_names_of_their_own(scope: &Scope<'_>) -> Outcome {
    let names = [scope.0.signer(), scope.0.other(), scope.0.stranger()].map(Signer::key_id);
    ensure!(
        names[0] != names[1] && names[1] != names[2] && names[0] != names[2],
        "three keys are called {names:?}"
    );
    Ok(())
}

async fn messages_of_any_length_and_content_are_signed(scope: &Scope<'_>) -> Outcome {
    let long: Vec<u8> = (0..=255).cycle().take(LONG_BYTES).collect();
    for signer in [scope.0.signer(), scope.0.other()] {
        for message in [&b""[..], b"\0", b"header.claims", &long] {
            let signature = signer.sign(message).await?;
            scope.0.verifier().verify(signer.key_id(), message, &signature)?;
        }
    }
    Ok(())
}

async fn every_signature_of_a_message_is_good(scope: &Scope<'_>) -> Outcome {
    let signer = scope.0.signer();
    for _ in 0..3 {
        let signature = signer.sign(b"again").await?;
        scope.0.verifier().verify(signer.key_id(), b"again", &signature)?;
    }
    Ok(())
}

async fn another_message_is_refused(scope: &Scope<'_>) -> Outcome {
    let signer = scope.0.signer();
    let signature = signer.sign(b"message").await?;
    for other in [&b""[..], b"messag", b"message\0", b"Message", b"other"] {
        scope.ensure_refused(signer.key_id(), other, &signature, "another message")?;
    }
    Ok(())
}

async fn another_key_is_refused(scope: &Scope<'_>) -> Outcome {
    let signature = scope.0.signer().sign(b"message").await?;
    let other = scope.0.other().key_id();
    scope.ensure_refused(other, b"message", &signature, "the name of another key")?;
    let forged = scope.0.stranger().sign(b"message").await?;
    let name = scope.0.signer().key_id();
    scope.ensure_refused(name, b"message", &forged, "a signature by a stranger")
}

async fn every_changed_byte_of_a_signature_is_refused(scope: &Scope<'_>) -> Outcome {
    let signer = scope.0.signer();
    let good = signer.sign(b"message").await?;
    for at in 0..good.len() {
        for bit in [1, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= bit;
            let why = format!("a change of byte {at}");
            scope.ensure_refused(signer.key_id(), b"message", &bad, &why)?;
        }
    }
    Ok(())
}

async fn a_cut_or_longer_signature_is_refused(scope: &Scope<'_>) -> Outcome {
    let signer = scope.0.signer();
    let good = signer.sign(b"message").await?;
    let longer = [good.clone(), vec![0]].concat();
    let cuts = (0..good.len()).map(|end| good.iter().take(end).copied().collect::<Vec<u8>>());
    for bad in cuts.chain([longer]) {
        let why = format!("{} of {} bytes", bad.len(), good.len());
        scope.ensure_refused(signer.key_id(), b"message", &bad, &why)?;
    }
    Ok(())
}

async fn an_unknown_key_and_a_wrong_signature_are_one_error(scope: &Scope<'_>) -> Outcome {
    let (signer, stranger) = (scope.0.signer(), scope.0.stranger());
    let good = signer.sign(b"message").await?;
    let foreign = stranger.sign(b"message").await?;
    let verifier = scope.0.verifier();
    let mut seen = Vec::new();
    for (name, message, signature) in [
        (stranger.key_id(), &b"message"[..], &foreign),
        ("no-such-key", b"message", &good),
        ("", b"message", &good),
        (signer.key_id(), b"other", &good),
    ] {
        match verifier.verify(name, message, signature) {
            Err(error) => seen.push((error.kind(), error.public_message().to_owned())),
            Ok(()) => return Err(Failure::new(format!("{name:?} passed"))),
        }
    }
    ensure_eq!(seen[0].0, ErrorKind::Unauthenticated, "the kind");
    ensure!(seen.iter().all(|one| *one == seen[0]), "they can be told apart: {seen:?}");
    Ok(())
}
