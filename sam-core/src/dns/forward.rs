//! A shared or boxed provider is a provider.

use std::sync::Arc;

use async_trait::async_trait;

use super::{DnsCapabilities, DnsProvider, ListRecords, RecordKey, RecordSet};
use crate::error::Result;
use crate::page::Page;

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: DnsProvider + ?Sized> DnsProvider for $pointer {
            fn capabilities(&self) -> DnsCapabilities {
                (**self).capabilities()
            }
            async fn put_record(&self, record: &RecordSet) -> Result<()> {
                (**self).put_record(record).await
            }
            async fn record(&self, key: &RecordKey) -> Result<Option<RecordSet>> {
                (**self).record(key).await
            }
            async fn list_records(&self, query: &ListRecords) -> Result<Page<RecordSet>> {
                (**self).list_records(query).await
            }
            async fn delete_record(&self, key: &RecordKey) -> Result<()> {
                (**self).delete_record(key).await
            }
        }
    )*};
}

forward!(Arc<T>, Box<T>);
