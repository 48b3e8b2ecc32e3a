//! A shared or boxed store is a store.

use std::sync::Arc;

use async_trait::async_trait;

use super::{ListSecrets, ReplaceSecret, SecretEntry, SecretStore};
use crate::error::Result;
use crate::keys::{Sealed, SecretOwner};
use crate::page::Page;

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: SecretStore + ?Sized> SecretStore for $pointer {
            async fn put_secret(&self, name: &SecretOwner, sealed: &Sealed) -> Result<()> {
                (**self).put_secret(name, sealed).await
            }
            async fn replace_secret(&self, request: &ReplaceSecret) -> Result<bool> {
                (**self).replace_secret(request).await
            }
            async fn secret(&self, name: &SecretOwner) -> Result<Option<Sealed>> {
                (**self).secret(name).await
            }
            async fn delete_secret(&self, name: &SecretOwner) -> Result<()> {
                (**self).delete_secret(name).await
            }
            async fn list_secrets(&self, query: &ListSecrets) -> Result<Page<SecretEntry>> {
                (**self).list_secrets(query).await
            }
        }
    )*};
}

forward!(Arc<T>, Box<T>);
