//! Published names: the host name under which a workspace is reached, `ws-{label}.{base}`.
//!
//! Each is a record beside its workspace's, written in the same commit, under the same id. It is put
//! into the DNS while the workspace is wanted and deleted with it; trouble with the DNS is shown on
//! this record, is tried again for ever, and never fails a workspace.

mod decide;
mod publishing;
mod record;
mod resource;

#[cfg(test)]
pub(crate) mod tests;

pub use self::decide::decide;
pub use self::publishing::{NameTarget, Publishing};
pub use self::record::{NameRecord, NameState};
pub use self::resource::{NameDecision, NameEffect, NameLook, NameObservation, NameResource};
