//! What people and agents ask of a node.

use super::record::{NodeRecord, NodeState, NodeWish};
use crate::boot::{BootProgress, BootReport};
use crate::error::{Error, ErrorKind, Result};
use crate::time::Timestamp;

impl NodeRecord {
    /// Returns it with an identity: the public key its agent made.
    ///
    /// `None` when it has exactly this identity already, so that a lost reply can be asked for
    /// again (invariant 9).
    ///
    /// # Errors
    /// `Denied` when another key was registered; `Conflict` when it is not being set up.
    pub fn identified(&self, public_key: &str) -> Result<Option<Self>> {
        match &self.public_key {
            Some(known) if known == public_key => return Ok(None),
            Some(_) => {
                return Err(Error::new(ErrorKind::Denied, "the bootstrap token was used before")
                    .with_hint("delete the node and create it again"));
            }
            None => {}
        }
        // The agent may call before the provider's reply is written.
        if !matches!(self.state, NodeState::Creating | NodeState::Booting) {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("a node that is {} takes no identity", self.state.code()),
            ));
        }
        Ok(Some(Self { public_key: Some(public_key.to_owned()), ..self.clone() }))
    }

    /// Returns it with what its machine reports of its first start.
    ///
    /// `None` when that leads no further than what is known, or comes after the start is over: a
    /// report that is late, or heard twice, changes nothing.
    ///
    /// # Errors
    /// `Conflict` when nothing is awaited of the machine (any more); it may stop reporting.
    pub fn boot_reported(&self, report: &BootReport, now: Timestamp) -> Result<Option<Self>> {
        let known = self.boot.as_ref();
        match self.state {
            // The machine may report before the provider's reply is written.
            NodeState::Creating | NodeState::Booting => {
                let is_news = known.is_none_or(|known| known.is_behind(report));
                // Nothing follows a failure.
                let is_news = is_news && known.is_none_or(|known| !known.has_failed());
                let next = || Self { boot: Some(BootProgress::heard(report, now)), ..self.clone() };
                Ok(is_news.then(next))
            }
            NodeState::Ready | NodeState::Unreachable => Ok(None),
            NodeState::Requested
            | NodeState::Draining
            | NodeState::Deleting
            | NodeState::Deleted
            | NodeState::Failed
            | NodeState::Lost
            | NodeState::Recovered => Err(Error::new(
                ErrorKind::Conflict,
                format!("a node that is {} takes no boot report", self.state.code()),
            )),
        }
    }

    /// Returns whether its agent may open a link.
    pub fn may_link(&self) -> bool {
        self.wish == NodeWish::Kept && !self.state.is_final() && self.public_key.is_some()
    }
}
