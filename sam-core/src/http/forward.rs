//! A shared or boxed transport is a transport.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::HttpTransport;
use crate::error::Result;

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: HttpTransport + ?Sized> HttpTransport for $pointer {
            async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
                (**self).send(request).await
            }
        }
    )*};
}

forward!(Arc<T>, Box<T>);
