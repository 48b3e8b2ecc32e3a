//! A forge in memory, one with a cache before it, and flawed ones.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use sam_core::entropy::SeededEntropy;
use sam_core::forge::{
    Access, AccessToken, GrantId, ListRepositories, MemoryForge, RepoAccess, RepoPath, Right,
    TokenRequest,
};
use sam_core::testkit::conformance::forge::{self, ForgeHarness};
use sam_core::testkit::conformance::{BoxFuture, Harness, Outcome, Trial, at_once};
use sam_core::time::{Clock as _, ManualClock, Timestamp};
use sam_core::{ErrorKind, Page, Result};

use super::refuse;

/// One page and a half.
const REPOSITORIES: usize = 150;

/// A forge, seen through something that wraps it.
#[derive(Debug)]
struct Over<F> {
    memory: Arc<MemoryForge>,
    forge: F,
    clock: ManualClock,
}

fn repositories() -> Vec<RepoPath> {
    (0..REPOSITORIES).map(|n| format!("octo/r{n:03}").parse().unwrap()).collect()
}

fn grant(text: &str) -> GrantId {
    text.parse().unwrap()
}

impl<F: RepoAccess> Over<F> {
    fn new(wrap: impl Fn(Arc<MemoryForge>, ManualClock) -> F) -> Self {
        let clock = ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000));
        let entropy = Arc::new(SeededEntropy::new(9));
        let rights = [(Right::Contents, Access::Write), (Right::Issues, Access::Read)];
        let memory = MemoryForge::new(Arc::new(clock.clone()), entropy)
            .with_grant(grant("1"), repositories(), rights)
            .with_grant(grant("2"), ["other/secret".parse().unwrap()], rights);
        let memory = Arc::new(memory);
        Self { forge: wrap(Arc::clone(&memory), clock.clone()), memory, clock }
    }
}

#[async_trait]
impl<F: RepoAccess> ForgeHarness for Over<F> {
    fn forge(&self) -> &dyn RepoAccess {
        &self.forge
    }

    fn grant(&self) -> GrantId {
        grant("1")
    }

    fn no_grant(&self) -> GrantId {
        grant("3")
    }

    fn repositories(&self) -> Vec<RepoPath> {
        repositories()
    }

    fn foreign(&self) -> RepoPath {
        "other/secret".parse().unwrap()
    }

    async fn allows(
        &self,
        token: &AccessToken,
        repo: &RepoPath,
        (right, access): (Right, Access),
    ) -> bool {
        self.memory.allows(token.token.expose(), repo, right, access)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn wait(&self, span: Duration) {
        self.clock.advance(span);
    }
}

impl<F: RepoAccess> Harness for Over<F> {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        at_once(case)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    CachesByGrant,
    CachesRevoked,
    CachesTooLong,
    DropsThePage,
    GivesAllRights,
    GivesLessInSilence,
    /// No flaw: it keeps tokens for those who ask for the same again.
    None,
    RevokesNothing,
    RevokesOnce,
    ShowsTokens,
    ShuffledPages,
}

const FLAWS: [(Flaw, &str); 11] = [
    (Flaw::GivesAllRights, "a_token_reaches_what_was_asked_for_and_no_more"),
    (Flaw::GivesLessInSilence, "a_foreign_repository_is_denied"),
    (Flaw::GivesLessInSilence, "more_rights_than_the_grant_holds_are_denied"),
    (Flaw::CachesByGrant, "less_asked_for_later_is_less_given"),
    (Flaw::CachesTooLong, "a_token_near_its_end_is_not_given_out"),
    (Flaw::DropsThePage, "every_repository_is_listed_once"),
    (Flaw::ShuffledPages, "every_repository_is_listed_once"),
    (Flaw::RevokesNothing, "a_revoked_token_ends_at_once"),
    (Flaw::RevokesOnce, "a_token_that_has_ended_can_be_revoked"),
    (Flaw::CachesRevoked, "a_revoked_token_is_never_given_out_again"),
    (Flaw::ShowsTokens, "no_token_is_shown"),
];

/// Tokens kept for those who ask for the same again.
struct Caching {
    inner: Arc<MemoryForge>,
    clock: ManualClock,
    flaw: Flaw,
    kept: Mutex<BTreeMap<String, AccessToken>>,
    listings: std::sync::atomic::AtomicUsize,
}

impl Caching {
    fn place(&self, request: &TokenRequest) -> String {
        match self.flaw {
            Flaw::CachesByGrant => request.grant().to_string(),
            _ => format!("{:?} {:?}", request.repositories(), request.rights()),
        }
    }

    /// Keeps a token no longer, and returns whether it did.
    fn forget(&self, token: &AccessToken) -> bool {
        let mut kept = self.kept.lock().unwrap();
        let before = kept.len();
        if self.flaw != Flaw::CachesRevoked {
            kept.retain(|_, known| known.token.expose() != token.token.expose());
        }
        kept.len() < before
    }

    /// Leaves out what the grant does not hold, instead of saying so.
    fn held(request: &TokenRequest) -> Result<TokenRequest> {
        let known = repositories();
        let repos = request.repositories().iter().filter(|r| known.contains(r)).cloned();
        let rights = [(Right::Contents, Access::Read)];
        TokenRequest::new(request.grant().clone(), repos.chain([known[0].clone()]), rights)
    }
}

impl fmt::Debug for Caching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept.lock().unwrap();
        let shown = kept.values().map(|token| match self.flaw {
            Flaw::ShowsTokens => token.token.expose().clone(),
            _ => format!("{token:?}"),
        });
        f.debug_list().entries(shown).finish()
    }
}

impl fmt::Display for Caching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl RepoAccess for Caching {
    async fn access_token(&self, request: &TokenRequest) -> Result<AccessToken> {
        let place = self.place(request);
        if let Some(token) = self.kept.lock().unwrap().get(&place) {
            let left = token.expires_at.since(self.clock.now());
            let good = left >= request.valid_for() || self.flaw == Flaw::CachesTooLong;
            if good && left > Duration::ZERO {
                return Ok(token.clone());
            }
        }
        let request = match self.flaw {
            Flaw::GivesAllRights => TokenRequest::new(
                request.grant().clone(),
                request.repositories().clone(),
                [(Right::Contents, Access::Write), (Right::Issues, Access::Read)],
            )?,
            Flaw::GivesLessInSilence => Self::held(request)?,
            _ => request.clone(),
        };
        let token = self.inner.access_token(&request).await?;
        self.kept.lock().unwrap().insert(place, token.clone());
        Ok(token)
    }

    async fn repositories(&self, query: &ListRepositories) -> Result<Page<RepoPath>> {
        let listing = self.listings.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut page = self.inner.repositories(query).await?;
        match self.flaw {
            Flaw::DropsThePage => page.next = None,
            Flaw::ShuffledPages if listing.is_multiple_of(4) => page.items.reverse(),
            _ => {}
        }
        Ok(page)
    }

    async fn revoke(&self, token: &AccessToken) -> Result<()> {
        let known = self.forget(token);
        match self.flaw {
            Flaw::RevokesNothing => Ok(()),
            Flaw::RevokesOnce if !known => Err(refuse(ErrorKind::NotFound)),
            _ => self.inner.revoke(token).await,
        }
    }
}

fn caching(flaw: Flaw) -> Over<Caching> {
    Over::new(|inner, clock| Caching {
        inner,
        clock,
        flaw,
        kept: Mutex::default(),
        listings: 0.into(),
    })
}

pub(super) fn trials() -> Vec<Trial> {
    let mut all = forge::trials("forge::memory", "", || Over::new(|memory, _| memory));
    all.extend(forge::trials("forge::memory_in_arc", "", || {
        Over::new(|memory, _| -> Arc<dyn RepoAccess> { memory })
    }));
    all.extend(forge::trials("forge::memory_in_box", "", || {
        Over::new(|memory, _| -> Box<dyn RepoAccess> { Box::new(memory) })
    }));
    all.extend(forge::trials("forge::caching", "", || caching(Flaw::None)));
    all.extend(
        FLAWS.map(|(flaw, case)| forge::notices(&format!("{flaw:?}"), case, move || caching(flaw))),
    );
    all
}
