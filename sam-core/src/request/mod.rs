//! Requests that a client may repeat: what an `Idempotency-Key` was used for, kept for a day.

mod record;
mod resource;

pub use self::record::RequestRecord;
pub use self::resource::{RequestObservation, RequestResource};
