//! A shared or boxed provider of volumes is one.

use std::sync::Arc;

use async_trait::async_trait;

use super::{CreateVolume, Volume, VolumeProvider};
use crate::compute::{Labels, MachineKey};
use crate::error::Result;

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: VolumeProvider + ?Sized> VolumeProvider for $pointer {
            async fn create_volume(&self, request: &CreateVolume) -> Result<Volume> {
                (**self).create_volume(request).await
            }
            async fn volume(&self, key: &str) -> Result<Option<Volume>> {
                (**self).volume(key).await
            }
            async fn list_volumes(&self, labels: &Labels) -> Result<Vec<Volume>> {
                (**self).list_volumes(labels).await
            }
            async fn attach(&self, key: &str, machine: &MachineKey) -> Result<()> {
                (**self).attach(key, machine).await
            }
            async fn detach(&self, key: &str) -> Result<()> {
                (**self).detach(key).await
            }
            async fn grow(&self, key: &str, size_gib: u32) -> Result<Volume> {
                (**self).grow(key, size_gib).await
            }
            async fn delete_volume(&self, key: &str) -> Result<()> {
                (**self).delete_volume(key).await
            }
        }
    )*};
}

forward!(Arc<T>, Box<T>);
