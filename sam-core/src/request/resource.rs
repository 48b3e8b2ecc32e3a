//! Forgetting requests when their time is over: the smallest resource there is.

use async_trait::async_trait;

use super::record::RequestRecord;
use crate::engine::{Asked, Decision, InvalidTransition, Lane, Resource};
use crate::error::Result;
use crate::time::Timestamp;

/// Carries requests: it forgets them after [`RequestRecord::KEPT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RequestResource;

/// Nothing outside is ever asked or done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestObservation {}

#[async_trait]
impl Resource for RequestResource {
    type Record = RequestRecord;
    type Look = RequestObservation;
    type Effect = RequestObservation;
    type Observation = RequestObservation;

    fn decide(
        &self,
        record: &RequestRecord,
        _observation: Option<&RequestObservation>,
        now: Timestamp,
    ) -> Result<Decision<Self>> {
        let age = now.since(record.created_at);
        Ok(match RequestRecord::KEPT.checked_sub(age) {
            Some(left) if !left.is_zero() => Decision::rest_for(left),
            _ => Decision::Forget { event: "request_forgotten" },
        })
    }

    fn intends(&self, _record: &RequestRecord, effect: &RequestObservation) -> bool {
        match *effect {}
    }

    fn check(&self, _from: &RequestRecord, _to: &RequestRecord) -> Result<(), InvalidTransition> {
        Ok(())
    }

    fn lane(
        &self,
        _record: &RequestRecord,
        _asked: Asked<'_, RequestObservation, RequestObservation>,
    ) -> Option<Lane> {
        None
    }

    async fn look(&self, _record: &RequestRecord, look: &RequestObservation) -> RequestObservation {
        match *look {}
    }

    async fn act(
        &self,
        _record: &RequestRecord,
        effect: &RequestObservation,
    ) -> RequestObservation {
        match *effect {}
    }
}
