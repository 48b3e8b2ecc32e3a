//! The node: a machine that runs our agent, bought from a provider or joined.

mod commands;
mod decide;
mod record;
mod resource;

#[cfg(test)]
pub(crate) mod tests;

pub use self::decide::decide;
pub use self::record::{NodeRecord, NodeState, NodeWish};
pub use self::resource::{NodeDecision, NodeEffect, NodeLook, NodeObservation, NodeResource};
