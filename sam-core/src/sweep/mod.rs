//! The sweep: everything a credential owns, compared with the records.
//!
//! One record per credential, so that one that fails, hangs or is slow holds up no other. What no
//! record answers for becomes a record of its own, an [orphan](crate::orphan) or a node that is
//! Recovered: what happens to it is then decided, announced and seen in the feed like everything
//! else.

mod answering;
mod decide;
mod inventory;
mod record;
mod resource;
mod rule;

#[cfg(test)]
mod tests;

pub use self::decide::decide;
pub use self::inventory::{Finding, Inventory};
pub use self::record::{SweepRecord, Tally};
pub use self::resource::{Reach, Scope, SweepDecision, SweepLook, SweepObservation, SweepResource};
pub use self::rule::{Answer, Facts, Named, Reason, Standing, standing};
