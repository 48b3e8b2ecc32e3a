//! The names of an installation below its base: one function for each, and one way back.
//!
//! | name | whose |
//! |---|---|
//! | `{base}`, `api.{base}`, `app.{base}` | the control plane |
//! | `ws-{26 characters}.{base}` | a workspace |
//! | `nd-{26 characters}.vm.{base}` | a node |
//! | `*.{base}` | everything else below the base, where a control plane answers for all workspaces |

use super::RecordName;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, WorkspaceId};

/// Names everything of an installation below one base, such as `example.com`.
///
/// ```
/// use sam_core::dns::InstallationNames;
/// use sam_core::id::WorkspaceId;
/// let names = InstallationNames::new("example.com".parse()?)?;
/// let id = WorkspaceId::from_bits(7);
/// let name = names.workspace(id);
/// assert_eq!(name.as_str(), "ws-00000000000000000000000007.example.com");
/// assert_eq!(names.workspace_of(name.as_str()), Some(id));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallationNames {
    base: RecordName,
}

impl InstallationNames {
    /// Longest base, in bytes: the longest name below it still has room for its mark
    /// ([`OwnedNames`](super::OwnedNames)).
    pub const BASE_BYTES_MAX: usize = RecordName::BYTES_MAX - "_sam.nd-.vm.".len() - 26;

    /// What names of nodes lie below, so that nobody takes one for a workspace's.
    const NODES: &'static str = "vm";

    /// Names things below a base.
    ///
    /// # Errors
    /// `BadInput` for a base that is longer than [`InstallationNames::BASE_BYTES_MAX`] or holds a
    /// wildcard.
    pub fn new(base: RecordName) -> Result<Self> {
        if base.as_str().len() > Self::BASE_BYTES_MAX || base.as_str().starts_with('*') {
            let message = format!(
                "the base of all names has at most {} characters and no wildcard",
                Self::BASE_BYTES_MAX
            );
            return Err(Error::new(ErrorKind::BadInput, message));
        }
        Ok(Self { base })
    }

    /// Returns the base itself.
    pub const fn base(&self) -> &RecordName {
        &self.base
    }

    /// Returns the name of the programming interface: `api.{base}`.
    pub fn api(&self) -> RecordName {
        RecordName::below(&self.base, "api")
    }

    /// Returns the name of the web application: `app.{base}`.
    pub fn app(&self) -> RecordName {
        RecordName::below(&self.base, "app")
    }

    /// Returns the name that stands for every other one below the base: `*.{base}`.
    pub fn wildcard(&self) -> RecordName {
        RecordName::below(&self.base, "*")
    }

    /// Returns the name of a workspace: `ws-{id}.{base}`.
    pub fn workspace(&self, id: WorkspaceId) -> RecordName {
        RecordName::below(&self.base, &id.to_string())
    }

    /// Returns the name of a node: `nd-{id}.vm.{base}`.
    pub fn node(&self, id: NodeId) -> RecordName {
        RecordName::below(&self.base, &format!("{id}.{}", Self::NODES))
    }

    /// Returns the workspace that a host name means, in any letter case and with or without a final
    /// dot; `None` when it is no workspace's.
    pub fn workspace_of(&self, host: &str) -> Option<WorkspaceId> {
        self.labels_of(host)?.parse().ok()
    }

    /// Returns the node that a host name means; `None` when it is no node's.
    pub fn node_of(&self, host: &str) -> Option<NodeId> {
        let labels = self.labels_of(host)?;
        labels.strip_suffix(Self::NODES)?.strip_suffix('.')?.parse().ok()
    }

    /// What stands in front of the base, without the dot between.
    fn labels_of(&self, host: &str) -> Option<String> {
        let name: RecordName = host.parse().ok()?;
        let labels = name.as_str().strip_suffix(self.base.as_str())?.strip_suffix('.')?;
        Some(labels.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;
    use crate::compute::Labels;
    use crate::dns::{MemoryDns, OwnedNames, RecordSet, RecordValue, Ttl};

    fn names(base: &str) -> InstallationNames {
        InstallationNames::new(base.parse().unwrap()).unwrap()
    }

    #[test]
    fn the_names_of_an_installation_are_fixed() {
        let names = names("Example.com");
        let shown = [names.api(), names.app(), names.wildcard(), names.base().clone()];
        let shown = shown.map(|name| name.to_string());
        assert_eq!(shown, ["api.example.com", "app.example.com", "*.example.com", "example.com"]);
        let node = names.node(NodeId::from_bits(1));
        assert_eq!(node.as_str(), "nd-00000000000000000000000001.vm.example.com");
    }

    #[test]
    fn other_hosts_are_no_workspaces_and_no_nodes() {
        let names = names("example.com");
        let id = WorkspaceId::from_bits(7).to_string();
        for host in [
            "api.example.com".to_owned(),
            "example.com".to_owned(),
            id.clone(),
            format!("{id}.example.org"),
            format!("{id}.badexample.com"),
            format!("x.{id}.example.com"),
            format!("{id}.vm.example.com"),
            format!("{}.example.com", NodeId::from_bits(7)),
            String::new(),
        ] {
            assert_eq!(names.workspace_of(&host), None, "{host}");
            assert_eq!(names.node_of(&host), None, "{host}");
        }
    }

    #[test]
    fn the_longest_base_leaves_room_for_every_name_and_its_mark() {
        let long = |bytes: usize| {
            let tail = ".example.com";
            let mut base = "x.".repeat(bytes);
            base.truncate(bytes - tail.len());
            // No label is empty: a cut behind a dot is filled up.
            let base = base.strip_suffix('.').map_or(base.clone(), |cut| format!("{cut}x"));
            format!("{base}{tail}").parse::<RecordName>().unwrap()
        };
        let base = long(InstallationNames::BASE_BYTES_MAX);
        let names = InstallationNames::new(base.clone()).unwrap();
        let owned = OwnedNames::new(Arc::new(MemoryDns::new(base.clone())), base);
        let labels = Labels::default().with(Labels::INSTALLATION, "home").unwrap();
        let all = [
            names.api(),
            names.wildcard(),
            names.workspace(WorkspaceId::from_bits(u128::MAX)),
            names.node(NodeId::from_bits(u128::MAX)),
        ];
        for name in all {
            assert_eq!(name.as_str().parse::<RecordName>().unwrap(), name);
            let value = RecordValue::A([192, 0, 2, 1].into());
            let set = RecordSet::new(name, [value], Ttl::DEFAULT).unwrap();
            owned.put(&set, &labels).now_or_never().unwrap().unwrap();
        }
        let longer = long(InstallationNames::BASE_BYTES_MAX + 1);
        InstallationNames::new(longer).unwrap_err();
        InstallationNames::new("*.example.com".parse().unwrap()).unwrap_err();
    }

    proptest! {
        #[test]
        fn names_read_back_as_what_they_name(bits: u128) {
            let names = names("workspaces.example.com");
            let (workspace, node) = (WorkspaceId::from_bits(bits), NodeId::from_bits(bits));
            let shouted = names.workspace(workspace).as_str().to_ascii_uppercase() + ".";
            prop_assert_eq!(names.workspace_of(&shouted), Some(workspace));
            prop_assert_eq!(names.node_of(names.node(node).as_str()), Some(node));
            prop_assert_eq!(names.node_of(names.workspace(workspace).as_str()), None);
            prop_assert_eq!(names.workspace_of(names.node(node).as_str()), None);
        }
    }
}
