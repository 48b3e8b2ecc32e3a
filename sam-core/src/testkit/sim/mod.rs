//! The whole control plane in one thread under one seed: several engines, a store and a world
//! that fail in every way they may, and a clock that stands still until everybody waits.
//!
//! A crash is the drop of an engine's future at whatever point it waits; no `Drop` has an effect.
//! Each run has two phases: *safety* with faults, where only the invariants are checked, then
//! *liveness* without faults, where everything must come to where its owner wanted it.
//! The same seed gives the same run, step by step.

mod checks;
mod compute;
mod executor;
mod faults;
mod idle;
mod link;
mod run;
mod store;
mod world;

pub use self::compute::SimCompute;
pub use self::faults::Faults;
pub use self::link::SimLink;
pub use self::run::{Failure, Parts, Simulation, Summary};
pub use self::store::SimStore;
pub use self::world::World;
