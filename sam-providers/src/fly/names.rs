//! What is named by a key, and how. Pure.

use sam_core::compute::MachineKey;

use crate::api::machine_key;

/// What the names of our secrets begin with.
const SECRET: &str = "SAM_BOOT_";

/// Returns the name of a machine's volume: letters, digits and underscores.
pub(super) fn volume_name(key: &MachineKey) -> String {
    key.as_str().replace('-', "_")
}

/// Returns the key that a volume was made under; `None` where it is not ours.
pub(super) fn key_of_volume(name: &str) -> Option<MachineKey> {
    machine_key(&name.replace('_', "-"))
}

/// Returns the name of a machine's secret, which is that of an environment variable.
pub(super) fn secret_name(key: &MachineKey) -> String {
    format!("{SECRET}{}", volume_name(key).to_ascii_uppercase())
}

/// Returns the key that a secret was made under; `None` where it is not ours.
pub(super) fn key_of_secret(name: &str) -> Option<MachineKey> {
    key_of_volume(&name.strip_prefix(SECRET)?.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use sam_core::NodeId;

    use super::*;

    /// Longest name of a volume.
    const VOLUME_BYTES_MAX: usize = 30;

    #[test]
    fn names_lead_back_to_their_key() {
        for bits in [0, 7, u128::MAX] {
            let key = MachineKey::of(NodeId::from_bits(bits));
            assert!(volume_name(&key).len() <= VOLUME_BYTES_MAX, "{key}");
            assert_eq!(key_of_volume(&volume_name(&key)), Some(key.clone()));
            assert_eq!(key_of_secret(&secret_name(&key)), Some(key));
        }
        assert_eq!(key_of_volume("data"), None);
        assert_eq!(key_of_secret("DATABASE_URL"), None);
    }
}
