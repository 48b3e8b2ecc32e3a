//! Webhooks: a request is checked over its raw bytes, and becomes a [`Delivery`].
//!
//! A receiver checks, keeps the delivery durably ([`Delivery::queued`], for
//! [`sam_core::delivery::Deliveries`]), answers within a second, and works afterwards: GitHub waits ten
//! seconds, sends nothing again by itself, and repeats the id when it is asked to. [`Delivery::event`]
//! says what happened.

mod error;
mod event;
mod queue;

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::HeaderMap;
use sam_core::Secret;

pub use self::error::WebhookError;
pub(crate) use self::event::lenient;
pub use self::event::{
    Event, InstallationAction, InstallationEvent, InstallationRepositories, OtherEvent, Ping, Push,
    RepositoryAction, RepositoryEvent,
};
use crate::encode::decoded_bytes;

/// Largest body, in bytes: GitHub's own bound.
pub const WEBHOOK_BYTES_MAX: usize = 25 << 20;

const SIGNATURE: &str = "x-hub-signature-256";
const EVENT: &str = "x-github-event";
const DELIVERY: &str = "x-github-delivery";
const PREFIX: &[u8] = b"sha256=";
const MAC_BYTES: usize = 32;

/// What a delivery is known by; a redelivery repeats it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(String);

impl DeliveryId {
    /// Longest id, in bytes. GitHub's are UUIDs.
    pub const BYTES_MAX: usize = 64;

    /// Returns its text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for DeliveryId {
    type Err = WebhookError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if text.is_empty() || text.len() > Self::BYTES_MAX || !text.bytes().all(legal) {
            return Err(WebhookError::Header { name: DELIVERY });
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// The secrets a webhook may be signed with: one, and beside it the previous one while it is being
/// changed. Without any, every delivery is refused.
///
/// ```
/// use bytes::Bytes;
/// use http::HeaderMap;
/// use sam_core::Secret;
/// use sam_github::{Event, WebhookError, WebhookSecrets};
/// let secrets = WebhookSecrets::new(&Secret::new("It's a Secret to Everybody".to_owned()))?;
/// let mut headers = HeaderMap::new();
/// headers.insert("x-github-event", "ping".parse()?);
/// headers.insert("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958".parse()?);
/// let body = Bytes::from_static(b"Hello, World!");
/// assert_eq!(secrets.delivery(&headers, &body).unwrap_err(), WebhookError::Unsigned);
/// let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
/// headers.insert("x-hub-signature-256", signature.parse()?);
/// let delivery = secrets.delivery(&headers, &body)?;
/// assert_eq!(delivery.event_name, "ping");
/// assert_eq!(delivery.event().unwrap_err(), WebhookError::Unreadable);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct WebhookSecrets {
    current: Option<hmac::Key>,
    previous: Option<hmac::Key>,
}

impl WebhookSecrets {
    /// Takes the secret.
    ///
    /// # Errors
    /// [`WebhookError::NoSecret`] for an empty one, with which anybody could sign.
    pub fn new(secret: &Secret<String>) -> Result<Self, WebhookError> {
        Ok(Self { current: Some(key(secret)?), previous: None })
    }

    /// Refuses everything: for a host that has no secret.
    pub const fn none() -> Self {
        Self { current: None, previous: None }
    }

    /// Takes the secret it was before as well, until GitHub has the new one.
    ///
    /// # Errors
    /// As [`WebhookSecrets::new`].
    pub fn with_previous(mut self, secret: &Secret<String>) -> Result<Self, WebhookError> {
        self.previous = Some(key(secret)?);
        Ok(self)
    }

    /// Checks a request and returns what it delivers. The signature is compared in constant time,
    /// and nothing of the body is read before it holds.
    ///
    /// # Errors
    /// Why it is refused; [`WebhookError::http_status`] is the answer.
    pub fn delivery(&self, headers: &HeaderMap, body: &Bytes) -> Result<Delivery, WebhookError> {
        if body.len() > WEBHOOK_BYTES_MAX {
            return Err(WebhookError::TooLarge);
        }
        self.check(headers, body)?;
        let event_name = text(headers, EVENT)?;
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if event_name.is_empty() || event_name.len() > 64 || !event_name.bytes().all(legal) {
            return Err(WebhookError::Header { name: EVENT });
        }
        Ok(Delivery {
            id: text(headers, DELIVERY)?.parse()?,
            event_name: event_name.to_owned(),
            body: payload(headers, body)?,
        })
    }

    fn check(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), WebhookError> {
        let current = self.current.as_ref().ok_or(WebhookError::NoSecret)?;
        let mut signatures = headers.get_all(SIGNATURE).into_iter();
        let signature = match (signatures.next(), signatures.next()) {
            (Some(one), None) => one,
            (Some(_), Some(_)) => return Err(WebhookError::Header { name: SIGNATURE }),
            (None, _) => return Err(WebhookError::Unsigned),
        };
        let mac = mac(signature.as_bytes()).ok_or(WebhookError::WrongSignature)?;
        let by = |key: &hmac::Key| hmac::verify(key, body, &mac).is_ok();
        // Both are tried, whichever holds, so that the time does not tell which.
        let (now, before) = (by(current), self.previous.as_ref().is_some_and(by));
        if now | before { Ok(()) } else { Err(WebhookError::WrongSignature) }
    }
}

impl fmt::Debug for WebhookSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSecrets")
            .field("current", &self.current.is_some())
            .field("previous", &self.previous.is_some())
            .finish()
    }
}

fn key(secret: &Secret<String>) -> Result<hmac::Key, WebhookError> {
    let bytes = secret.expose().as_bytes();
    if bytes.is_empty() {
        return Err(WebhookError::NoSecret);
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, bytes))
}

/// Reads `sha256=` and 64 digits in hex.
fn mac(header: &[u8]) -> Option<[u8; MAC_BYTES]> {
    let digits = header.strip_prefix(PREFIX)?;
    if digits.len() != 2 * MAC_BYTES {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut mac = [0; MAC_BYTES];
    for (byte, pair) in mac.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (digit(*pair.first()?)? << 4) | digit(*pair.last()?)?;
    }
    Some(mac)
}

/// Returns a header that must be there once.
fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, WebhookError> {
    let mut values = headers.get_all(name).into_iter();
    match (values.next(), values.next()) {
        (Some(one), None) => one.to_str().map_err(|_| WebhookError::Header { name }),
        _ => Err(WebhookError::Header { name }),
    }
}

/// Returns the JSON: the body itself, or the member `payload` where the hook sends a form.
fn payload(headers: &HeaderMap, body: &Bytes) -> Result<Bytes, WebhookError> {
    let sort = headers.get(http::header::CONTENT_TYPE).map_or(&b""[..], |sort| sort.as_bytes());
    let sort = sort.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if sort.is_empty() || sort.eq_ignore_ascii_case(b"application/json") {
        return Ok(body.clone());
    }
    if !sort.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
        return Err(WebhookError::ContentType);
    }
    let mut members = body.split(|byte| *byte == b'&');
    let member = members.find_map(|member| member.strip_prefix(b"payload="));
    member.map(|text| Bytes::from(decoded_bytes(text))).ok_or(WebhookError::Unreadable)
}

/// A webhook whose signature holds.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// What it is known by, so that it is handled once.
    pub id: DeliveryId,
    /// Its event, such as `push`.
    pub event_name: String,
    /// What it says, in JSON: exactly GitHub's bytes, unless the hook sends a form.
    pub body: Bytes,
}

impl Delivery {
    /// Puts a delivery together that was checked earlier, such as one that was stored.
    pub fn new(id: DeliveryId, event_name: impl Into<String>, body: Bytes) -> Self {
        Self { id, event_name: event_name.into(), body }
    }

    /// Reads what happened. Events and actions that are not known are [`Event::Other`].
    ///
    /// # Errors
    /// [`WebhookError::Unreadable`] when the body is not the JSON of its event.
    pub fn event(&self) -> Result<Event, WebhookError> {
        Event::read(&self.event_name, &self.body)
    }
}

/// Bodies hold names and messages of private repositories: only the length is shown.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("id", &self.id)
            .field("event_name", &self.event_name)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
