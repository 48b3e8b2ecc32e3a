//! A GitHub App on the fake, as a forge.

use std::time::Duration;

use async_trait::async_trait;
use sam_core::forge::{Access, AccessToken, GrantId, RepoAccess, RepoPath, Right};
use sam_core::testkit::conformance::forge::ForgeHarness;
use sam_core::testkit::conformance::{BoxFuture, Failure, Harness, Outcome, with_clock};
use sam_core::time::{Clock as _, ManualClock, Timestamp};
use sam_github::testkit::FakeGithub;
use sam_github::{GithubApp, Level};

use crate::support::keys::START;
use crate::support::{INSTALLATION, app, github};

#[derive(Debug)]
pub(crate) struct Github {
    clock: ManualClock,
    fake: FakeGithub,
    app: GithubApp,
}

impl Github {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new(START);
        let fake = github(&clock);
        let app = app(&fake, &clock);
        Self { clock, fake, app }
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
        known(&INSTALLATION.to_string())
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
        self.fake.allows(token.token.expose(), id, name, level)
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
