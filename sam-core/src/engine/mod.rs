//! The engine: claims a due record, decides purely, writes the intention, performs one effect,
//! writes the outcome. It knows no resource by name.
//!
//! All waits are due times in the store, so nothing is lost when a process ends: what runs after
//! a crash is the same code that always runs.

mod lane;
mod resource;
mod stored;
mod worker;

pub use self::lane::{Asked, Lane};
pub use self::resource::{Decision, InvalidTransition, Resource, Transition};
pub use self::stored::{Stamped, Stored, decode, encode};
pub use self::worker::{Engine, EngineConfig, Stepped};
