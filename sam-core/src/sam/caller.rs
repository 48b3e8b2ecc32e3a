//! Who asks, and under which request.

use crate::store::Actor;

/// On whose behalf a verb is used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    actor: Actor,
    request_id: Option<String>,
    idempotency_key: Option<String>,
}

impl Caller {
    /// Somebody by name.
    pub fn named(name: &str) -> Self {
        Self { actor: Actor::named(name), request_id: None, idempotency_key: None }
    }

    /// Nobody: the process itself.
    pub(crate) fn system() -> Self {
        Self { actor: Actor::system(), request_id: None, idempotency_key: None }
    }

    /// Names the request, for the feed.
    #[must_use]
    pub fn with_request_id(mut self, request_id: Option<String>) -> Self {
        self.request_id = request_id;
        self
    }

    /// Makes a creating verb repeatable: the same key with the same request gives the same thing,
    /// for a day.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: Option<String>) -> Self {
        self.idempotency_key = key;
        self
    }

    /// Returns who it is.
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Returns the request's name.
    pub const fn request_id(&self) -> Option<&String> {
        self.request_id.as_ref()
    }

    /// Returns the key that makes a creating verb repeatable.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }
}
