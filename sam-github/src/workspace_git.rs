//! Git's credentials for a workspace that was made of a repository's name: the name is looked up
//! once, and the number counts from then on.

use sam_core::forge::RepoPath;
use sam_core::{Error, ErrorKind, Result};

use crate::{
    GitAccess, GitCredential, GitCredentialAction, GitCredentialRequest, GithubApp, InstallationId,
    Level, Permissions, RepositoryId,
};

/// A repository by GitHub's numbers, and through which installation it was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownRepository {
    /// Another one after the repository was moved, or the App installed anew.
    pub installation: InstallationId,
    /// Stays for ever.
    pub repository: RepositoryId,
    /// Whether its workspace may only clone and fetch.
    pub read_only: bool,
}

impl KnownRepository {
    /// Names one.
    pub const fn new(installation: InstallationId, repository: RepositoryId) -> Self {
        Self { installation, repository, read_only: false }
    }

    /// Sets whether its workspace may only clone and fetch.
    #[must_use]
    pub const fn with_read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }
}

impl GithubApp {
    /// Returns whether git asks for a repository of this GitHub.
    pub fn is_asked(&self, request: &GitCredentialRequest) -> bool {
        self.is_at(&request.protocol, &request.host)
    }

    /// Returns whether git would ask this GitHub under a scheme and a host with its port.
    pub fn is_at(&self, protocol: &str, host: &str) -> bool {
        let (our_protocol, our_host) = self.endpoints().git_host();
        protocol.eq_ignore_ascii_case(our_protocol) && host.eq_ignore_ascii_case(our_host)
    }

    /// Forgets a token that git says was refused, so that nobody is given it again.
    pub fn forget_refused(&self, request: &GitCredentialRequest) {
        if let Some(refused) = &request.password {
            self.0.forget_token(refused);
        }
    }

    /// Returns a credential for the repository `own`, by which a workspace was made, and what is
    /// known of it now; the caller keeps that and gives it back as `known` the next time. Without
    /// it, whatever has the name now is taken to be meant; with it, nothing else ever is.
    ///
    /// The credential is for that repository alone. Git may ask by a newer name of it, or by none.
    ///
    /// # Errors
    /// `Denied` for another repository, or one that the App does not reach (any more);
    /// `RateLimited`, `Unavailable`, `Timeout`, …
    pub async fn workspace_git_credential(
        &self,
        own: &RepoPath,
        known: Option<KnownRepository>,
        request: &GitCredentialRequest,
    ) -> Result<(KnownRepository, GitCredential)> {
        let asked = match request.path.as_deref().map(RepoPath::in_address) {
            Some(Some(path)) if !path.is_same(own) => Some(path),
            Some(None) => return Err(other(own)),
            _ => None,
        };
        let mut found = match known {
            Some(known) => known,
            None => self.known(own).await?.ok_or_else(|| unreached(own))?,
        };
        if let Some(asked) = &asked {
            let named = self.known(asked).await?.ok_or_else(|| other(own))?;
            if named.repository != found.repository {
                return Err(other(own));
            }
            found = named.with_read_only(found.read_only);
        }
        let mut outcome = self.credential(found, request).await;
        if let Err(error) = &outcome
            && known.is_some()
            && matches!(error.kind(), ErrorKind::Denied | ErrorKind::NotFound)
        {
            // It may have been moved, or the App installed anew: another installation, perhaps.
            let now = self.known(asked.as_ref().unwrap_or(own)).await?;
            let now = now.filter(|now| now.repository == found.repository);
            let read_only = found.read_only;
            found = now.ok_or_else(|| unreached(own))?.with_read_only(read_only);
            outcome = self.credential(found, request).await;
        }
        Ok((found, outcome?))
    }

    async fn credential(
        &self,
        of: KnownRepository,
        request: &GitCredentialRequest,
    ) -> Result<GitCredential> {
        let access = GitAccess::new(of.installation, of.repository);
        let access = if of.read_only {
            access.with_permissions(Permissions::new().with("contents", Level::Read))
        } else {
            access
        };
        let given = self.git_credential(&access, GitCredentialAction::Get, request).await?;
        given.ok_or_else(|| {
            Error::new(ErrorKind::BadInput, "git asks for a repository of another host")
                .with_operation("git_credential")
        })
    }

    /// Asks what a name means now; `None` when the App reaches nothing of that name.
    async fn known(&self, name: &RepoPath) -> Result<Option<KnownRepository>> {
        let Some(installation) = self.installation_of(name).await? else { return Ok(None) };
        let repository = self.repository(installation.id, name).await?;
        Ok(repository.map(|repository| KnownRepository::new(installation.id, repository.id)))
    }
}

fn other(own: &RepoPath) -> Error {
    Error::new(ErrorKind::Denied, format!("this workspace is given credentials for {own} only"))
        .with_operation("git_credential")
        .with_hint("make a workspace of the other repository")
}

fn unreached(own: &RepoPath) -> Error {
    Error::new(ErrorKind::Denied, format!("the GitHub App does not reach {own}"))
        .with_operation("git_credential")
        .with_hint("have its owner install the App, or add the repository to its installation")
}
