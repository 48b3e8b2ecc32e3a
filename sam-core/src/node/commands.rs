//! What people and agents ask of a node.

use super::record::{NodeRecord, NodeState, NodeWish};
use crate::error::{Error, ErrorKind, Result};

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

    /// Returns whether its agent may open a link.
    pub fn may_link(&self) -> bool {
        self.wish == NodeWish::Kept && !self.state.is_final() && self.public_key.is_some()
    }
}
