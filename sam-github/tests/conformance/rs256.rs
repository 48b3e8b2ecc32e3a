//! RS256, by a key of the repository and two that are made.

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use sam_core::keys::{Signer, Verifier};
use sam_core::testkit::conformance::signer::SignerHarness;
use sam_core::testkit::conformance::{BoxFuture, Harness, Outcome, at_once};
use sam_github::{PrivateKey, Rs256Signer, Rs256Verifier};

use crate::support::keys::signer;

#[derive(Debug)]
pub(crate) struct Keys {
    signers: [Arc<Rs256Signer>; 3],
    verifier: Rs256Verifier,
}

impl Keys {
    /// Two keys are made for the purpose: the repository has one.
    pub(crate) fn new() -> Self {
        let made = || {
            let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key is made");
            let der: Pkcs8V1Der<'_> = pair.as_der().expect("it is written");
            PrivateKey::from_der(der.as_ref()).expect("it is read")
        };
        let other = || Arc::new(Rs256Signer::new(&made()).expect("it signs"));
        let signers = [signer(), other(), other()];
        let known = signers.iter().take(2).map(|one| (one.key_id().to_owned(), one.public_key()));
        let verifier = Rs256Verifier::new(known);
        Self { signers, verifier }
    }
}

impl SignerHarness for Keys {
    fn signer(&self) -> &dyn Signer {
        &*self.signers[0]
    }

    fn other(&self) -> &dyn Signer {
        &*self.signers[1]
    }

    fn stranger(&self) -> &dyn Signer {
        &*self.signers[2]
    }

    fn verifier(&self) -> &dyn Verifier {
        &self.verifier
    }
}

impl Harness for Keys {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        at_once(case)
    }
}
