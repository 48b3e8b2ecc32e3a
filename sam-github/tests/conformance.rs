//! The suites of sam-core: `RepoAccess` against the fake GitHub, `Signer` and `Verifier` by
//! aws-lc-rs.

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use async_trait::async_trait;
use sam_core::forge::{Access, AccessToken, GrantId, RepoAccess, RepoPath, Right};
use sam_core::keys::{Signer, Verifier};
use sam_core::testkit::conformance::forge::{self, ForgeHarness};
use sam_core::testkit::conformance::signer::{self, SignerHarness};
use sam_core::testkit::conformance::{BoxFuture, Failure, Harness, Outcome, at_once, with_clock};
use sam_core::time::{Clock as _, ManualClock, Timestamp};
use sam_github::testkit::FakeGithub;
use sam_github::{GithubApp, Level, PrivateKey, Rs256Signer, Rs256Verifier};

use self::support::{START, app, github};

#[derive(Debug)]
struct Github {
    clock: ManualClock,
    github: FakeGithub,
    app: GithubApp,
}

impl Github {
    fn new() -> Self {
        let clock = ManualClock::new(START);
        let github = github(&clock);
        let app = app(&github, &clock);
        Self { clock, github, app }
    }
}

fn known<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a good value")
}

#[async_trait]
impl ForgeHarness for Github {
    fn forge(&self) -> &dyn RepoAccess {
        &self.app
    }

    fn grant(&self) -> GrantId {
        known("1")
    }

    fn no_grant(&self) -> GrantId {
        known("404")
    }

    fn repositories(&self) -> Vec<RepoPath> {
        (0..150).map(|n| known(&format!("octo/r{n:03}"))).collect()
    }

    fn foreign(&self) -> RepoPath {
        known("other/secret")
    }

    async fn allows(
        &self,
        token: &AccessToken,
        repo: &RepoPath,
        (right, access): (Right, Access),
    ) -> bool {
        let name = match right {
            Right::Contents => "contents",
            Right::Issues => "issues",
            Right::Workflows => "workflows",
            _ => "metadata",
        };
        let level = if access == Access::Read { Level::Read } else { Level::Write };
        let number = repo.as_str().strip_prefix("octo/r").and_then(|n| n.parse::<u64>().ok());
        let id = number.map_or(9_000, |number| 1_000 + number);
        self.github.allows(token.token.expose(), id, name, level)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn wait(&self, span: Duration) {
        self.clock.advance(span);
    }
}

impl Harness for Github {
    fn block_on(&self, mut case: BoxFuture<'_, Outcome>) -> Outcome {
        use futures_util::FutureExt as _;
        // The fake lets others go first once for each request, without waiting for time.
        for _ in 0..10_000 {
            if let Some(outcome) = case.as_mut().now_or_never() {
                return outcome;
            }
            if self.clock.next_deadline_in().is_some() {
                return with_clock(&self.clock, case);
            }
        }
        Err(Failure::new("it does not end"))
    }
}

#[derive(Debug)]
struct Keys {
    signers: [Rs256Signer; 3],
    verifier: Rs256Verifier,
}

impl Keys {
    /// Two keys are made for the purpose: the repository has one.
    fn new() -> Self {
        let made = || {
            let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048);
            let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(
                &pair.expect("a key is made"),
            )
            .expect("it is written");
            PrivateKey::from_der(der.as_ref()).expect("it is read")
        };
        let signers =
            [support::key(), made(), made()].map(|key| Rs256Signer::new(&key).expect("it signs"));
        let known = signers.iter().take(2).map(|one| (one.key_id().to_owned(), one.public_key()));
        let verifier = Rs256Verifier::new(known);
        Self { signers, verifier }
    }
}

impl SignerHarness for Keys {
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

impl Harness for Keys {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        at_once(case)
    }
}

sam_core::conformance_main! {
    forge::trials("github", "", Github::new),
    signer::trials("rs256", "", Keys::new),
}
