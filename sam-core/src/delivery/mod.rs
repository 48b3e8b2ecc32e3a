//! Deliveries: what others tell us once and hope we heard, such as webhooks.
//!
//! A delivery that was received is durable before it is acknowledged, and known by its id for a month, so
//! that one that comes again is handled once. Those of a *stream* (on GitHub, a repository) are handled one
//! after the other, in the order they came; of several that replace each other (pushes to one branch) only
//! the newest is. One that fails is tried again with growing pauses, the rest of its stream waiting
//! behind it; after [`InboxRecord::ATTEMPTS_MAX`] tries, or when trying again cannot help, it is
//! *failed*, the stream goes on, and a person or a redelivery can queue it again.
//!
//! The stream's record, the *inbox*, is what the engine claims, so that its lease makes the order.

mod commands;
mod decide;
mod record;
mod resource;

pub use self::commands::{Deliveries, Received};
pub use self::decide::{decide_delivery, decide_inbox};
pub use self::record::{DeliveryRecord, DeliveryState, InboxRecord, NewDelivery, PendingDelivery};
pub use self::resource::{
    DeliveryHandler, DeliveryResource, InboxDecision, InboxEffect, InboxObservation, InboxResource,
    NothingAsked,
};
