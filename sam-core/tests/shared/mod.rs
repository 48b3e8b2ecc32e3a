//! What the tests of several suites share.

use sam_core::compute::{BootData, CreateMachine, Labels, MachineKey};
use sam_core::entropy::SeededEntropy;
use sam_core::time::Timestamp;
use sam_core::{NodeId, Secret};

/// Asks for a machine under a key that was never used.
pub(crate) fn request(entropy: &SeededEntropy) -> CreateMachine {
    let node = NodeId::new(Timestamp::EPOCH, entropy);
    let token = Secret::new("token".to_owned());
    let boot = BootData::new(node, "https://control.example".to_owned(), token);
    let labels = Labels::default().with(Labels::INSTALLATION, "memory").unwrap_or_default();
    CreateMachine::new(MachineKey::of(node), boot).with_labels(labels)
}
