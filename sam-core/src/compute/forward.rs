//! A shared or boxed provider is a provider, with its power control and its list of what it made.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, ListMachines,
    ListOwned, Machine, MachineKey, OwnedResource, OwnedResources, Power, PowerControl,
};
use crate::error::Result;
use crate::page::Page;
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
            async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
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
            fn owned(&self) -> Option<&dyn OwnedResources> {
                (**self).owned()
            }
        }

        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: PowerControl + ?Sized> PowerControl for $pointer {
            async fn set_power(&self, key: &MachineKey, power: Power) -> Result<()> {
                (**self).set_power(key, power).await
            }
        }

        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: OwnedResources + ?Sized> OwnedResources for $pointer {
            async fn list_owned(&self, query: &ListOwned) -> Result<Page<OwnedResource>> {
                (**self).list_owned(query).await
            }
            async fn delete_owned(&self, resource: &OwnedResource) -> Result<()> {
                (**self).delete_owned(resource).await
            }
        }
    )*};
}

forward!(Arc<T>, Box<T>);
