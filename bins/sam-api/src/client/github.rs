//! The GitHub App of an installation: what its webhook delivered, and where it is installed.

use reqwest::Method;

use sam_core::Result;

use super::Client;
use super::api::add;
use super::send::Call;
use crate::{
    Delivery, DeliveryState, GithubBranch, GithubInstallUrl, GithubInstallation, GithubRepository,
    Page,
};

/// Which deliveries to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListDeliveries {
    /// Go on after this, from [`Page::next`].
    pub after: Option<String>,
    /// Only those in this state.
    pub state: Option<DeliveryState>,
}

/// Errors of every method: as of every call.
impl Client {
    /// Returns one page of the deliveries of the webhook, by id.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn github_deliveries(&self, query: &ListDeliveries) -> Result<Page<Delivery>> {
        let mut url = self.url(&["api", "github", "deliveries"])?;
        add(&mut url, "after", query.after.as_deref());
        add(&mut url, "state", query.state.map(DeliveryState::code));
        self.call(Call::new(Method::GET, url, "list_deliveries")).await
    }

    /// Has a delivery that failed tried again. Repeatable.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when it is done, and those of every call.
    pub async fn retry_github_delivery(&self, delivery: &str) -> Result<Delivery> {
        self.post(&["api", "github", "deliveries", delivery, "retry"], "retry_delivery").await
    }

    /// Returns one page of the App's installations.
    ///
    /// # Errors
    /// `NotFound` where no App is configured, and those of every call.
    pub async fn github_installations(
        &self,
        after: Option<&str>,
    ) -> Result<Page<GithubInstallation>> {
        let mut url = self.url(&["api", "github", "installations"])?;
        add(&mut url, "after", after);
        self.call(Call::new(Method::GET, url, "list_installations")).await
    }

    /// Returns one page of an installation's repositories.
    ///
    /// # Errors
    /// `NotFound` where there is no such installation or no App, and those of every call.
    pub async fn github_repositories(
        &self,
        installation: u64,
        after: Option<&str>,
    ) -> Result<Page<GithubRepository>> {
        let installation = installation.to_string();
        let mut url =
            self.url(&["api", "github", "installations", &installation, "repositories"])?;
        add(&mut url, "after", after);
        self.call(Call::new(Method::GET, url, "list_repositories")).await
    }

    /// Returns one page of the branches of an installation's repository.
    ///
    /// # Errors
    /// `NotFound` where there is no such repository or no App, and those of every call.
    pub async fn github_branches(
        &self,
        installation: u64,
        repository: u64,
        after: Option<&str>,
    ) -> Result<Page<GithubBranch>> {
        let repository = repository.to_string();
        let mut url = self.url(&["api", "github", "repositories", &repository, "branches"])?;
        add(&mut url, "installation", Some(&installation.to_string()));
        add(&mut url, "after", after);
        self.call(Call::new(Method::GET, url, "list_branches")).await
    }

    /// Returns the page on which the App is installed.
    ///
    /// # Errors
    /// `NotFound` where no App is configured, and those of every call.
    pub async fn github_install_url(&self) -> Result<GithubInstallUrl> {
        self.get(&["api", "github", "install-url"], "install_url").await
    }
}
