//! A forge in memory, for tests, examples and measurements.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{
    Access, AccessToken, GrantId, ListRepositories, RepoAccess, RepoPath, Right, TokenRequest,
};
use crate::Secret;
use crate::entropy::Entropy;
use crate::error::{Error, ErrorKind, Result};
use crate::page::Page;
use crate::time::{Clock, Timestamp};

/// How long a token lasts, as at the forges we know.
const TOKEN_LIFETIME: Duration = Duration::from_hours(1);

/// A forge whose grants and tokens live in this process.
pub struct MemoryForge {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    grants: BTreeMap<GrantId, Grant>,
    tokens: Mutex<BTreeMap<String, Issued>>,
}

struct Grant {
    repositories: BTreeSet<RepoPath>,
    rights: BTreeMap<Right, Access>,
}

struct Issued {
    repositories: BTreeSet<RepoPath>,
    rights: BTreeMap<Right, Access>,
    expires_at: Timestamp,
}

impl MemoryForge {
    /// Makes a forge without grants.
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy, grants: BTreeMap::new(), tokens: Mutex::default() }
    }

    /// Adds a grant.
    #[must_use]
    pub fn with_grant(
        mut self,
        id: GrantId,
        repositories: impl IntoIterator<Item = RepoPath>,
        rights: impl IntoIterator<Item = (Right, Access)>,
    ) -> Self {
        let grant = Grant {
            repositories: repositories.into_iter().collect(),
            rights: rights.into_iter().collect(),
        };
        self.grants.insert(id, grant);
        self
    }

    /// Returns whether a token gives this access to this repository now.
    pub fn allows(&self, token: &str, repo: &RepoPath, right: Right, access: Access) -> bool {
        self.lock().get(token).is_some_and(|issued| {
            issued.expires_at > self.clock.now()
                && issued.repositories.contains(repo)
                && issued.rights.get(&right).is_some_and(|given| *given >= access)
        })
    }

    fn grant(&self, id: &GrantId) -> Result<&Grant> {
        self.grants.get(id).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no grant {id}"))
                .with_hint("install the app for the owner of the repository")
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Issued>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryForge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryForge")
            .field("grants", &self.grants.len())
            .field("tokens", &self.lock().len())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for MemoryForge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

#[async_trait]
impl RepoAccess for MemoryForge {
    async fn access_token(&self, request: &TokenRequest) -> Result<AccessToken> {
        let grant = self.grant(request.grant())?;
        let denied = |what: String| {
            Error::new(ErrorKind::Denied, format!("the grant {} holds no {what}", request.grant()))
                .with_operation("access_token")
                .with_hint("ask the owner to extend the app's access")
        };
        if let Some(repo) = request.repositories().difference(&grant.repositories).next() {
            return Err(denied(format!("access to {repo}")));
        }
        for (right, access) in request.rights() {
            if grant.rights.get(right).is_none_or(|held| held < access) {
                return Err(denied(format!("{access:?} right for {right:?}")));
            }
        }
        let mut bytes = [0; 20];
        self.entropy.fill(&mut bytes);
        let token = bytes.iter().fold(String::from("mem_"), |mut text, byte| {
            use fmt::Write as _;
            // Writing to a String cannot fail.
            let _ok = write!(text, "{byte:02x}");
            text
        });
        let now = self.clock.now();
        let expires_at = now.plus(TOKEN_LIFETIME);
        let issued = Issued {
            repositories: request.repositories().clone(),
            rights: request.rights().clone(),
            expires_at,
        };
        let mut tokens = self.lock();
        // What has ended is forgotten here, so that the table does not grow without end.
        tokens.retain(|_, old| old.expires_at > now);
        tokens.insert(token.clone(), issued);
        Ok(AccessToken::new(Secret::new(token), expires_at))
    }

    async fn repositories(&self, query: &ListRepositories) -> Result<Page<RepoPath>> {
        let grant = self.grant(&query.grant)?;
        let left = grant
            .repositories
            .iter()
            .filter(|repo| query.after.as_deref().is_none_or(|after| repo.as_str() > after))
            .cloned();
        Ok(Page::first(left, ListRepositories::LIMIT_MAX, ToString::to_string))
    }

    async fn revoke(&self, token: &AccessToken) -> Result<()> {
        self.lock().remove(token.token.expose());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::entropy::SeededEntropy;
    use crate::time::ManualClock;

    fn now<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("nothing in memory waits")
    }

    fn repo(text: &str) -> RepoPath {
        text.parse().unwrap()
    }

    fn grant() -> GrantId {
        "42".parse().unwrap()
    }

    fn forge() -> (ManualClock, MemoryForge) {
        let clock = ManualClock::new(Timestamp::EPOCH);
        let forge = MemoryForge::new(Arc::new(clock.clone()), Arc::new(SeededEntropy::new(1)))
            .with_grant(
                grant(),
                [repo("octo/a"), repo("octo/b")],
                [(Right::Contents, Access::Write), (Right::Issues, Access::Read)],
            );
        (clock, forge)
    }

    fn ask(repos: &[&str], right: Right, access: Access) -> TokenRequest {
        TokenRequest::new(grant(), repos.iter().copied().map(repo), [(right, access)]).unwrap()
    }

    #[test]
    fn a_token_reaches_what_was_asked_for_and_no_more() {
        let (_, forge) = forge();
        let token =
            now(forge.access_token(&ask(&["octo/a"], Right::Contents, Access::Read))).unwrap();
        let allows =
            |at: &str, right, access| forge.allows(token.token.expose(), &repo(at), right, access);
        assert!(allows("octo/a", Right::Contents, Access::Read));
        assert!(!allows("octo/a", Right::Contents, Access::Write));
        assert!(!allows("octo/a", Right::Issues, Access::Read));
        assert!(!allows("octo/b", Right::Contents, Access::Read));
    }

    #[test]
    fn more_than_the_grant_holds_is_denied() {
        let (_, forge) = forge();
        for request in [
            ask(&["octo/a", "octo/other"], Right::Contents, Access::Read),
            ask(&["octo/a"], Right::Issues, Access::Write),
            ask(&["octo/a"], Right::Workflows, Access::Read),
        ] {
            let error = now(forge.access_token(&request)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied);
        }
        let other: GrantId = "43".parse().unwrap();
        let error = now(forge.repositories(&ListRepositories::new(other))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_token_ends_when_it_is_revoked_and_when_it_expires() {
        let (clock, forge) = forge();
        let request = ask(&["octo/a"], Right::Contents, Access::Read);
        let first = now(forge.access_token(&request)).unwrap();
        let second = now(forge.access_token(&request)).unwrap();
        let good = |token: &AccessToken| {
            forge.allows(token.token.expose(), &repo("octo/a"), Right::Contents, Access::Read)
        };
        assert!(good(&first) && good(&second));
        for _ in 0..2 {
            now(forge.revoke(&first)).unwrap();
        }
        assert!(!good(&first) && good(&second));
        clock.advance(TOKEN_LIFETIME);
        assert!(!good(&second));
    }

    #[test]
    fn a_request_is_for_something() {
        let none = TokenRequest::new(grant(), [], [(Right::Contents, Access::Read)]);
        assert_eq!(none.unwrap_err().kind(), ErrorKind::BadInput);
        TokenRequest::new(grant(), [repo("a/b")], []).unwrap_err();
        let many = (0..101).map(|n| repo(&format!("a/{n}")));
        TokenRequest::new(grant(), many, [(Right::Contents, Access::Read)]).unwrap_err();
        let long = ask(&["a/b"], Right::Contents, Access::Read).with_valid_for(Duration::MAX);
        assert_eq!(long.valid_for(), TokenRequest::VALID_FOR_MAX);
    }

    #[test]
    fn a_repository_has_an_owner_and_a_name() {
        for wrong in ["", "a", "a/", "/a", "a/b/c", "a/..", "a b/c", "-/\n"] {
            assert!(wrong.parse::<RepoPath>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn repositories_come_in_pages() {
        let (clock, entropy) = (ManualClock::new(Timestamp::EPOCH), SeededEntropy::new(1));
        let repos = (0..150).map(|n| repo(&format!("octo/r{n:03}")));
        let forge = MemoryForge::new(Arc::new(clock), Arc::new(entropy)).with_grant(
            grant(),
            repos,
            [(Right::Metadata, Access::Read)],
        );
        let query = ListRepositories::new(grant());
        let first = now(forge.repositories(&query)).unwrap();
        let second = now(forge.repositories(&query.with_after(first.next.clone()))).unwrap();
        assert_eq!((first.items.len(), second.items.len()), (100, 50));
        assert_eq!(second.next, None);
        assert!(first.items.last() < second.items.first());
    }

    #[test]
    fn debug_shows_no_token() {
        let (_, forge) = forge();
        let token =
            now(forge.access_token(&ask(&["octo/a"], Right::Contents, Access::Read))).unwrap();
        assert!(!format!("{forge:?} {token:?}").contains(token.token.expose().as_str()));
    }
}
