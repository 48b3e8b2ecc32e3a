//! Orphans: things a provider lists as ours that no record answers for.
//!
//! Each is a record of its own from the moment it is found. One whose node is proven deleted goes
//! after a grace time, unless automatic deletion is held; every other waits for a person. When it
//! is gone its record goes, too; the feed keeps the story.

mod decide;
mod record;
mod resource;

#[cfg(test)]
mod tests;

pub use self::decide::decide;
pub use self::record::{OrphanRecord, OrphanState};
pub use self::resource::{
    OrphanDecision, OrphanEffect, OrphanLook, OrphanObservation, OrphanResource,
};
