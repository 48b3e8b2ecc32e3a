//! A shared or boxed store is a store.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Blob, BlobCapabilities, BlobInfo, BlobKey, BlobStore, ListBlobs, PutBlob, SignUrl, UrlSigner,
};
use crate::Secret;
use crate::error::Result;
use crate::page::Page;

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: BlobStore + ?Sized> BlobStore for $pointer {
            fn capabilities(&self) -> BlobCapabilities {
                (**self).capabilities()
            }
            async fn put(&self, request: PutBlob) -> Result<BlobInfo> {
                (**self).put(request).await
            }
            async fn get(&self, key: &BlobKey) -> Result<Option<Blob>> {
                (**self).get(key).await
            }
            async fn list(&self, query: &ListBlobs) -> Result<Page<BlobInfo>> {
                (**self).list(query).await
            }
            async fn delete(&self, key: &BlobKey) -> Result<()> {
                (**self).delete(key).await
            }
            fn url_signer(&self) -> Option<&dyn UrlSigner> {
                (**self).url_signer()
            }
        }

        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: UrlSigner + ?Sized> UrlSigner for $pointer {
            async fn sign_url(&self, request: &SignUrl) -> Result<Secret<String>> {
                (**self).sign_url(request).await
            }
        }
    )*};
}

forward!(Arc<T>, Box<T>);
