//! What an owner spends on nodes, and the cap on it.
//!
//! Where a cap is set, a node is only asked for by a commit that also enters it in its owner's
//! ledger, so two requests at once cannot both take what is left.

mod record;
mod resource;

#[cfg(test)]
mod tests;

pub use self::record::{Refused, SpendCap, SpendRecord, Spending};
pub use self::resource::{SpendLook, SpendObservation, SpendResource};
