//! Stored credentials: an owner's own account at a vendor, from which nodes are bought.
//!
//! The record names the secret and never holds it. What was bought with a credential needs it until it
//! is gone: a credential is only deleted when no node and nothing that the vendor lists is left, and no
//! node is bought with one that is on its way out, because both are decided in one commit.

mod decide;
mod new;
mod record;
mod resource;
mod stored;

pub use self::decide::decide;
pub(crate) use self::new::checked;
pub use self::new::{Connect, NewCredential};
pub use self::record::{CredentialRecord, CredentialState};
pub use self::resource::{
    CredentialDecision, CredentialEffect, CredentialLook, CredentialObservation,
    CredentialResource, Holdings,
};
pub(crate) use self::stored::StoredProviders;

#[cfg(test)]
mod tests;
