//! Deliveries: events that a forge sends, kept until they are handled.
//!
//! A delivery is known by the forge's own id. It is stored in one commit before it is acknowledged, and
//! a replay of it finds that record. The engine hands it to a [`DeliveryHandler`]: the oldest of a
//! repository first, and of a burst of pushes to one branch only the newest. A crash at any point has
//! the handler asked again, so handling can be repeated; the record tells of it once.
//!
//! Beside the record is the payload, a record of its own that is written once and goes when the
//! delivery is done, so that a line of deliveries is looked through without reading what they say.

mod decide;
mod handler;
mod line;
mod new;
mod record;
mod resource;

#[cfg(test)]
mod tests;

pub use self::decide::decide;
pub use self::handler::{DeliveryHandler, MemoryDeliveries, ReceivedDelivery};
pub use self::line::Line;
pub use self::new::NewDelivery;
pub use self::record::{DeliveryOutcome, DeliveryPayload, DeliveryRecord, DeliveryState};
pub use self::resource::{
    DeliveryDecision, DeliveryEffect, DeliveryLook, DeliveryObservation, DeliveryResource,
};
