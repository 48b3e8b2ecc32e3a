//! Failures on purpose, from a seed: for tests of what stands outside.

use std::fmt;

use futures_util::future::BoxFuture;

use super::{Call, Layer, Repeat};
use crate::entropy::SeededEntropy;
use crate::error::{Effect, Error, ErrorKind, Result};

/// Fails some calls: by refusing them before anything happens, or, where they change something, by
/// losing the answer after it did. The same seed fails the same calls.
#[derive(Debug)]
pub struct Faulty {
    dice: SeededEntropy,
    percent: u64,
}

impl Faulty {
    /// Fails about this many of a hundred calls.
    pub fn new(seed: u64, percent: u8) -> Self {
        Self { dice: SeededEntropy::new(seed), percent: u64::from(percent.min(100)) }
    }

    fn strikes(&self) -> bool {
        self.dice.below(100) < self.percent
    }
}

impl Layer for Faulty {
    async fn around<'a, T, A>(
        &'a self,
        _provider: &'a (dyn fmt::Display + Sync),
        call: Call,
        attempt: A,
    ) -> Result<T>
    where
        T: Send + 'a,
        A: Fn() -> BoxFuture<'a, Result<T>> + Send + Sync + 'a,
    {
        let fault = |why: &str, effect| {
            let error = Error::new(ErrorKind::Unavailable, why);
            Err(error.with_operation(call.operation).with_effect(effect))
        };
        if !self.strikes() {
            return attempt().await;
        }
        if call.repeat == Repeat::Reads || self.dice.below(2) == 0 {
            return fault("refused on purpose", Effect::NotApplied);
        }
        attempt().await?;
        fault("the answer was lost on purpose", Effect::Unknown)
    }
}
