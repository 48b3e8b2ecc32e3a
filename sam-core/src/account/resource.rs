//! Forgetting logins when their time is over. Nothing outside is asked or done.

use async_trait::async_trait;

use super::login::LoginRecord;
use crate::engine::{Asked, Decision, InvalidTransition, Lane, Resource};
use crate::error::Result;
use crate::time::Timestamp;

/// Carries logins: it forgets those whose time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LoginResource;

/// Nothing outside is ever asked or done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginObservation {}

#[async_trait]
impl Resource for LoginResource {
    type Record = LoginRecord;
    type Look = LoginObservation;
    type Effect = LoginObservation;
    type Observation = LoginObservation;

    fn decide(
        &self,
        record: &LoginRecord,
        _observation: Option<&LoginObservation>,
        now: Timestamp,
    ) -> Result<Decision<Self>> {
        let left = record.left(now);
        Ok(if left.is_zero() {
            Decision::Forget { event: "login_expired" }
        } else {
            Decision::rest_for(left)
        })
    }

    fn intends(&self, _record: &LoginRecord, effect: &LoginObservation) -> bool {
        match *effect {}
    }

    fn check(&self, _from: &LoginRecord, _to: &LoginRecord) -> Result<(), InvalidTransition> {
        Ok(())
    }

    fn lane(
        &self,
        _record: &LoginRecord,
        _asked: Asked<'_, LoginObservation, LoginObservation>,
    ) -> Option<Lane> {
        None
    }

    async fn look(&self, _record: &LoginRecord, look: &LoginObservation) -> LoginObservation {
        match *look {}
    }

    async fn act(&self, _record: &LoginRecord, effect: &LoginObservation) -> LoginObservation {
        match *effect {}
    }
}
