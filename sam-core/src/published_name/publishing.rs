//! Where names are published, and what they point to.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::compute::OwnedResources;
use crate::dns::{InstallationNames, OwnedNames, RecordName, RecordSet, RecordValue, Ttl};
use crate::error::{Error, ErrorKind, Result};
use crate::id::WorkspaceId;

/// What published names point to: where the control plane is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTarget(BTreeSet<RecordValue>);

impl NameTarget {
    /// Points to addresses.
    ///
    /// # Errors
    /// `BadInput` for none, or more than [`RecordSet::VALUES_MAX`] of one family.
    pub fn addresses(addresses: impl IntoIterator<Item = IpAddr>) -> Result<Self> {
        // One more than fits of each family is enough to know that it is too many.
        let most = 2 * RecordSet::VALUES_MAX + 1;
        let values = addresses.into_iter().take(most).map(|address| match address {
            IpAddr::V4(address) => RecordValue::A(address),
            IpAddr::V6(address) => RecordValue::Aaaa(address),
        });
        let values: BTreeSet<_> = values.collect();
        let v4 = values.iter().filter(|value| matches!(value, RecordValue::A(_))).count();
        if v4.max(values.len() - v4) > RecordSet::VALUES_MAX {
            return Err(Error::new(
                ErrorKind::BadInput,
                "a name has at most 16 addresses of a family",
            ));
        }
        if values.is_empty() {
            return Err(Error::new(ErrorKind::BadInput, "a name points to at least one address"));
        }
        Ok(Self(values))
    }

    /// Points to another name.
    pub fn name(name: RecordName) -> Self {
        Self([RecordValue::Cname(name)].into())
    }

    /// Returns the texts of what it points to, ordered.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// Returns the record sets that make `name` point to it: one for each type.
    ///
    /// # Errors
    /// Never for a target that was made by its constructors; those of [`RecordSet::new`].
    pub fn record_sets(&self, name: &RecordName) -> Result<Vec<RecordSet>> {
        let types: BTreeSet<_> = self.0.iter().map(RecordValue::record_type).collect();
        let set = |wanted| {
            let values = self.0.iter().filter(|value| value.record_type() == wanted).cloned();
            RecordSet::new(name.clone(), values, Ttl::DEFAULT)
        };
        types.into_iter().map(set).collect()
    }
}

/// How an installation publishes names.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Publishing {
    /// Puts and deletes them.
    pub dns: OwnedNames,
    /// What they lie below.
    pub base: RecordName,
    /// What they point to.
    pub target: NameTarget,
}

impl Publishing {
    /// Names the sweep of names.
    pub const SCOPE: &'static str = "names";

    /// Publishes names below `base`.
    pub const fn new(dns: OwnedNames, base: RecordName, target: NameTarget) -> Self {
        Self { dns, base, target }
    }

    /// Returns the name of a workspace.
    ///
    /// # Errors
    /// As [`InstallationNames::new`].
    pub fn name_of(&self, workspace: WorkspaceId) -> Result<RecordName> {
        Ok(InstallationNames::new(self.base.clone())?.workspace(workspace))
    }

    /// Returns what is swept: every name that carries the installation's label.
    pub(crate) fn owned(&self) -> impl OwnedResources {
        self.dns.clone()
    }
}
