//! A shared or boxed forge is a forge.

use std::sync::Arc;

use async_trait::async_trait;

use super::{AccessToken, ListRepositories, RepoAccess, RepoPath, TokenRequest};
use crate::error::Result;
use crate::page::Page;

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: RepoAccess + ?Sized> RepoAccess for $pointer {
            async fn access_token(&self, request: &TokenRequest) -> Result<AccessToken> {
                (**self).access_token(request).await
            }
            async fn repositories(&self, query: &ListRepositories) -> Result<Page<RepoPath>> {
                (**self).repositories(query).await
            }
            async fn revoke(&self, token: &AccessToken) -> Result<()> {
                (**self).revoke(token).await
            }
        }
    )*};
}

forward!(Arc<T>, Box<T>);
