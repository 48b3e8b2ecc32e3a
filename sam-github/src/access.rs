//! [`RepoAccess`] by a GitHub App: the grant is an installation's number.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sam_core::forge::{AccessToken, GrantId, ListRepositories, RepoAccess, RepoPath, TokenRequest};
use sam_core::{Error, ErrorKind, Page, Result};

use crate::client::code;
use crate::{GithubApp, InstallationId, Permissions, Repository, RepositoryId, TokenScope};

/// For so long a name is taken to mean the repository it meant; afterwards GitHub is asked.
const NAME_TRUSTED_FOR: Duration = Duration::from_mins(5);
/// Most names that are remembered.
const NAMES_MAX: usize = 16_384;

/// Which repository a name meant when GitHub was last asked.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<BTreeMap<(InstallationId, String), Known>>);

#[derive(Debug, Clone, Copy)]
struct Known {
    id: RepositoryId,
    asked: Duration,
}

impl Names {
    fn id(
        &self,
        installation: InstallationId,
        repo: &RepoPath,
        now: Duration,
    ) -> Option<RepositoryId> {
        let known = *self.lock().get(&(installation, repo.as_str().to_lowercase()))?;
        (now.saturating_sub(known.asked) < NAME_TRUSTED_FOR).then_some(known.id)
    }

    fn put(&self, installation: InstallationId, repo: &RepoPath, id: RepositoryId, now: Duration) {
        let mut names = self.lock();
        if names.len() >= NAMES_MAX {
            names.retain(|_, known| now.saturating_sub(known.asked) < NAME_TRUSTED_FOR);
        }
        if names.len() < NAMES_MAX {
            let key = (installation, repo.as_str().to_lowercase());
            names.insert(key, Known { id, asked: now });
        }
    }

    pub(crate) fn forget_installation(&self, installation: InstallationId) {
        self.lock().retain(|(of, _), _| *of != installation);
    }

    pub(crate) fn forget_repository(&self, repository: RepositoryId) {
        self.lock().retain(|_, known| known.id != repository);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(InstallationId, String), Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RepoAccess for GithubApp {
    async fn access_token(&self, request: &TokenRequest) -> Result<AccessToken> {
        let scope = self.scope(request).await?;
        let token = match self.installation_token(&scope, request.valid_for()).await {
            Err(error) if error.provider_code() == Some(code::REPOSITORY_OUTSIDE) => {
                // A name may mean another repository by now: ask again what they mean, once.
                for repository in scope.repositories() {
                    self.0.names.forget_repository(*repository);
                }
                let scope = self.scope(request).await?;
                self.installation_token(&scope, request.valid_for()).await
            }
            outcome => outcome,
        };
        let token = token.map_err(|error| error.with_operation("access_token"))?;
        Ok(AccessToken::new(token.token.clone(), token.expires_at))
    }

    async fn repositories(&self, query: &ListRepositories) -> Result<Page<RepoPath>> {
        let installation = installation(&query.grant)?;
        let page = Self::repositories(self, installation, query.after.as_deref()).await?;
        let paths = page.items.iter().map(Repository::path).collect::<Result<_>>()?;
        Ok(Page::new(paths, page.next))
    }

    async fn revoke(&self, token: &AccessToken) -> Result<()> {
        self.revoke_token(&token.token).await
    }
}

impl GithubApp {
    /// Turns names into numbers.
    async fn scope(&self, request: &TokenRequest) -> Result<TokenScope> {
        let installation = installation(request.grant())?;
        let mut ids = Vec::with_capacity(request.repositories().len());
        // At most `TokenRequest::REPOSITORIES_MAX`, one after the other: GitHub asks for no more
        // than one request of a caller at a time.
        for repo in request.repositories() {
            ids.push(self.repository_id(installation, repo).await?);
        }
        let rights = request.rights().iter().map(|(right, access)| (*right, *access));
        TokenScope::new(installation, ids, rights.collect::<Permissions>())
    }

    async fn repository_id(
        &self,
        installation: InstallationId,
        repo: &RepoPath,
    ) -> Result<RepositoryId> {
        let now = self.0.client.clock().monotonic();
        if let Some(id) = self.0.names.id(installation, repo, now) {
            return Ok(id);
        }
        let Some(found) = self.repository(installation, repo).await? else {
            return Err(Error::new(
                ErrorKind::Denied,
                format!("the installation {installation} has no repository {repo}"),
            )
            .with_operation("access_token")
            .with_provider_code(code::REPOSITORY_OUTSIDE)
            .with_hint("check its name, and that its owner added it to the App's installation"));
        };
        self.0.names.put(installation, repo, found.id, now);
        Ok(found.id)
    }
}

fn installation(grant: &GrantId) -> Result<InstallationId> {
    InstallationId::try_from(grant)
}
