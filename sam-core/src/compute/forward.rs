//! A shared or boxed provider is a provider.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, ListMachines, Machine,
    MachineKey, MachinePage, PowerControl,
};
use crate::error::Result;
use crate::volume::VolumeProvider;

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: ComputeProvider + ?Sized> ComputeProvider for $pointer {
            fn capabilities(&self) -> ComputeCapabilities {
                (**self).capabilities()
            }
            async fn catalog(&self) -> Result<Catalog> {
                (**self).catalog().await
            }
            async fn verify_credentials(&self) -> Result<()> {
                (**self).verify_credentials().await
            }
            async fn create_machine(&self, request: &CreateMachine) -> Result<Machine> {
                (**self).create_machine(request).await
            }
            async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
                (**self).machine(key).await
            }
            async fn list_machines(&self, query: &ListMachines) -> Result<MachinePage> {
                (**self).list_machines(query).await
            }
            async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion> {
                (**self).delete_machine(key).await
            }
            fn power(&self) -> Option<&dyn PowerControl> {
                (**self).power()
            }
            fn volumes(&self) -> Option<&dyn VolumeProvider> {
                (**self).volumes()
            }
        }
    )*};
}

forward!(Arc<T>, Box<T>);
