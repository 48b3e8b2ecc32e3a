//! The whole control plane in one thread under one seed: several engines, a store and a world
//! that fail in every way they may, and a clock that stands still until everybody waits.
//!
//! A crash is the drop of a process's future at whatever point it waits; no `Drop` has an effect.
//! Each run has two phases: *safety* with faults, where only the invariants are checked, then
//! *liveness* without faults, where everything must come to where its owner wanted it.
//! The same seed gives the same run, step by step.
//!
//! # Your own parts in it
//!
//! Hosts put their own code around a provider, a store or a link. Each can be tried here: give
//! [`Simulation::with_compute`], [`Simulation::with_store`] or [`Simulation::with_link`] what makes
//! it from the simulation's own part, and run a few thousand seeds. A run that fails names the
//! invariant, and [`Simulation::run_and_shrink`] looks for the smallest run that fails alike.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use futures_util::future::BoxFuture;
//! use sam_core::Result;
//! use sam_core::layer::{Call, Layer, Layered};
//! use sam_core::testkit::sim::Simulation;
//!
//! /// Counts calls: stands for what a host adds to a provider.
//! #[derive(Debug, Clone, Default)]
//! struct Counting(Arc<AtomicU64>);
//!
//! impl Layer for Counting {
//!     async fn around<'a, T, A>(
//!         &'a self,
//!         _provider: &'a (dyn std::fmt::Display + Sync),
//!         _call: Call,
//!         attempt: A,
//!     ) -> Result<T>
//!     where
//!         T: Send + 'a,
//!         A: Fn() -> BoxFuture<'a, Result<T>> + Send + Sync + 'a,
//!     {
//!         self.0.fetch_add(1, Ordering::Relaxed);
//!         attempt().await
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let counting = Counting::default();
//! for seed in 0..20 {
//!     let counting = counting.clone();
//!     Simulation::new(seed)
//!         .with_compute(move |sim| Arc::new(Layered::new(counting.clone(), sim)))
//!         .run_and_shrink()?;
//! }
//! assert!(counting.0.load(Ordering::Relaxed) > 20);
//! # Ok(()) }
//! ```

mod audit;
mod client;
mod compute;
mod coverage;
mod dns;
mod executor;
mod failure;
mod faults;
mod idle;
mod ledger;
mod link;
mod parts;
mod plan;
mod rules;
mod run;
mod shrink;
mod simulation;
mod store;
mod tape;
mod world;

pub use self::compute::SimCompute;
pub use self::coverage::{Coverage, Passage};
pub use self::failure::Failure;
pub use self::faults::{Fault, Faults};
pub use self::link::SimLink;
pub use self::parts::Parts;
pub use self::plan::{Errand, Errands, Plan};
pub use self::rules::Rules;
pub use self::run::Summary;
pub use self::simulation::Simulation;
pub use self::store::SimStore;
pub use self::world::World;
