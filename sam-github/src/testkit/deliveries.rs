//! Webhooks that the fake sends.

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::Request;
use sam_core::http::HttpTransport;
use sam_core::{Error, ErrorKind, Result};
use serde_json::Value;

use super::FakeGithub;
use super::world::{Sent, World};
use crate::encode::hex;

/// Asks for a redelivery; `false` when there is no such delivery.
pub(super) fn ask_again(world: &mut World, id: u64) -> bool {
    let Some(old) = world.sent.iter().find(|sent| sent.id == id).cloned() else { return false };
    let id = world.number();
    world.sent.push(Sent { id, status: 0, is_redelivery: true, ..old });
    true
}

impl FakeGithub {
    /// Prepares a webhook: signed as GitHub signs, with an id of its own. It is in the list of
    /// deliveries from now on.
    pub fn event(&self, event: &str, payload: &Value) -> Sent {
        let mut world = self.world();
        let id = world.number();
        let guid = format!("{id:08x}-0000-4000-8000-{id:012x}");
        let body = Bytes::from(payload.to_string());
        let event = event.to_owned();
        let sent = Sent { id, guid, event, body, status: 0, is_redelivery: false };
        world.sent.push(sent.clone());
        sent
    }

    /// Returns the request that delivers a webhook to an address.
    ///
    /// # Errors
    /// `BadInput` when the address is none.
    pub fn delivery(&self, sent: &Sent, address: &str) -> Result<Request<Bytes>> {
        let world = self.world();
        let signature = sign(world.app.webhook_secret.expose().as_bytes(), &sent.body);
        Request::post(address)
            .header("accept", "*/*")
            .header("content-type", "application/json")
            .header("user-agent", "GitHub-Hookshot/fake")
            .header("x-github-event", &sent.event)
            .header("x-github-delivery", &sent.guid)
            .header("x-github-hook-id", "1")
            .header("x-github-hook-installation-target-id", world.app.id)
            .header("x-github-hook-installation-target-type", "integration")
            .header("x-hub-signature-256", signature)
            .body(sent.body.clone())
            .map_err(|_| Error::new(ErrorKind::BadInput, "a webhook's address is none"))
    }

    /// Delivers a webhook and returns the status that came back.
    ///
    /// # Errors
    /// What the transport says. GitHub itself does not try again.
    pub async fn deliver(&self, sent: &Sent, address: &str, by: &dyn HttpTransport) -> Result<u16> {
        let status = by.send(self.delivery(sent, address)?).await?.status().as_u16();
        if let Some(known) = self.world().sent.iter_mut().find(|known| known.id == sent.id) {
            known.status = status;
        }
        Ok(status)
    }

    /// Returns the redeliveries that somebody asked for and that were not sent yet.
    pub fn redeliveries(&self) -> Vec<Sent> {
        let waits = |sent: &&Sent| sent.is_redelivery && sent.status == 0;
        self.world().sent.iter().filter(waits).cloned().collect()
    }
}

fn sign(secret: &[u8], body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    format!("sha256={}", hex(hmac::sign(&key, body).as_ref().iter().copied()))
}
