//! What travels with whoever signs in: sealed, so that only our replicas read or make it, and each
//! for its own use, so that one cannot be passed off as the other.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sam_core::entropy::Entropy;
use sam_core::keys::{KeyManager as _, MemoryKeys, Sealed};
use sam_core::time::Timestamp;
use sam_core::{Error, ErrorKind, Result, Secret};
use sam_github::sign_in::{DeviceSignIn, PendingSignIn};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::COOKIE_BYTES_MAX;

/// A sign-in in a browser, in its cookie.
#[derive(Serialize, Deserialize)]
pub(crate) struct SealedSignIn {
    state: String,
    verifier: String,
    redirect_uri: String,
    pub(crate) return_to: Option<String>,
    ends_at: i64,
}

impl SealedSignIn {
    pub(crate) fn new(
        pending: &PendingSignIn,
        return_to: Option<String>,
        ends_at: Timestamp,
    ) -> Self {
        Self {
            state: pending.state.expose().clone(),
            verifier: pending.verifier.expose().clone(),
            redirect_uri: pending.redirect_uri.clone(),
            return_to,
            ends_at: ends_at.as_micros(),
        }
    }

    pub(crate) fn pending(&self) -> PendingSignIn {
        let secret = |text: &String| Secret::new(text.clone());
        PendingSignIn::new(secret(&self.state), secret(&self.verifier), self.redirect_uri.clone())
    }

    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        Timestamp::from_micros(self.ends_at) <= now
    }
}

/// A sign-in by device, with the command line.
#[derive(Serialize, Deserialize)]
pub(crate) struct SealedDevice {
    device_code: String,
    interval_ms: u64,
    /// GitHub is not asked before.
    not_before: i64,
    ends_at: i64,
}

impl SealedDevice {
    /// Keeps a sign-in that GitHub was asked about now.
    pub(crate) fn new(device: &DeviceSignIn, now: Timestamp) -> Self {
        Self {
            device_code: device.device_code().expose().clone(),
            interval_ms: u64::try_from(device.interval.as_millis()).unwrap_or(u64::MAX),
            not_before: now.plus(device.interval).as_micros(),
            ends_at: device.expires_at.as_micros(),
        }
    }

    pub(crate) fn device(&self) -> DeviceSignIn {
        let code = Secret::new(self.device_code.clone());
        let ends_at = Timestamp::from_micros(self.ends_at);
        DeviceSignIn::kept(code, ends_at, Duration::from_millis(self.interval_ms))
    }

    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        Timestamp::from_micros(self.ends_at) <= now
    }

    /// Returns how long GitHub is not to be asked yet.
    pub(crate) fn too_early_by(&self, now: Timestamp) -> Duration {
        Timestamp::from_micros(self.not_before).since(now)
    }
}

/// Seals and opens both.
#[derive(Debug)]
pub(crate) struct Seals(MemoryKeys);

/// What a sealed thing is for; it opens for nothing else.
trait Purpose: Serialize + DeserializeOwned + Send + Sync {
    const OWNER: &'static str;
}

impl Purpose for SealedSignIn {
    const OWNER: &'static str = "sign-in/browser";
}

impl Purpose for SealedDevice {
    const OWNER: &'static str = "sign-in/device";
}

impl Seals {
    pub(super) fn new(key: Secret<[u8; 32]>, entropy: Arc<dyn Entropy>) -> Result<Self> {
        let ring = MemoryKeys::empty(entropy);
        ring.add("sign-in-1".parse()?, key)?;
        Ok(Self(ring))
    }

    pub(crate) async fn seal_sign_in(&self, what: &SealedSignIn) -> Result<String> {
        self.seal(what).await
    }

    pub(crate) async fn seal_device(&self, what: &SealedDevice) -> Result<String> {
        self.seal(what).await
    }

    /// Opens a browser's; `None` for what is not ours.
    pub(crate) async fn open_sign_in(&self, text: &str) -> Option<SealedSignIn> {
        self.open(text).await
    }

    /// Opens a command line's; `None` for what is not ours.
    pub(crate) async fn open_device(&self, text: &str) -> Option<SealedDevice> {
        self.open(text).await
    }

    async fn seal<T: Purpose>(&self, what: &T) -> Result<String> {
        let plain = serde_json::to_vec(what).map_err(|error| {
            Error::new(ErrorKind::Bug, "a sign-in cannot be sealed").with_source(error)
        })?;
        let sealed = self.0.wrap(&Secret::new(plain), &T::OWNER.parse()?).await?;
        Ok(URL_SAFE_NO_PAD.encode(sealed.as_bytes()))
    }

    async fn open<T: Purpose>(&self, text: &str) -> Option<T> {
        if text.len() > COOKIE_BYTES_MAX {
            return None;
        }
        let sealed = Sealed::from_bytes(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let plain = self.0.unwrap(&sealed, &T::OWNER.parse().ok()?).await.ok()?;
        serde_json::from_slice(plain.expose()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sam_core::entropy::SeededEntropy;

    fn seals(key: u8) -> Seals {
        Seals::new(Secret::new([key; 32]), Arc::new(SeededEntropy::new(1))).unwrap()
    }

    #[tokio::test]
    async fn what_was_sealed_opens_at_any_replica_for_its_own_use_alone() {
        let pending = PendingSignIn::new(
            Secret::new("state-canary".to_owned()),
            Secret::new("v".repeat(43)),
            "https://api.example.com/api/auth/callback/github".to_owned(),
        );
        let end = Timestamp::EPOCH.plus(Duration::from_mins(10));
        let sealed = SealedSignIn::new(&pending, Some("/x".repeat(250)), end);
        let text = seals(1).seal_sign_in(&sealed).await.unwrap();
        assert!(text.len() <= COOKIE_BYTES_MAX && !text.contains("canary"));
        let opened = seals(1).open_sign_in(&text).await.unwrap();
        assert_eq!(opened.pending().state.expose(), "state-canary");
        assert!(!opened.is_over(Timestamp::EPOCH) && opened.is_over(end));
        // Another installation's, another use's, a changed one, and none.
        assert!(seals(2).open_sign_in(&text).await.is_none());
        assert!(seals(1).open_device(&text).await.is_none());
        let (front, back) = text.split_at(text.len() / 2);
        let other = if back.starts_with('A') { 'B' } else { 'A' };
        let changed = format!("{front}{other}{}", back.get(1..).unwrap());
        let cut = text.get(..text.len() - 4).unwrap();
        assert_ne!(changed, text);
        for bad in ["", "x", &changed, cut, &"A".repeat(9_000)] {
            assert!(seals(1).open_sign_in(bad).await.is_none());
        }
    }

    #[tokio::test]
    async fn a_device_keeps_its_pace() {
        let code = Secret::new("device-canary".to_owned());
        let at = |secs| Timestamp::EPOCH.plus(Duration::from_secs(secs));
        let device = DeviceSignIn::kept(code, at(900), Duration::from_secs(5));
        let text = seals(1).seal_device(&SealedDevice::new(&device, at(10))).await.unwrap();
        let opened = seals(1).open_device(&text).await.unwrap();
        assert_eq!(opened.too_early_by(at(12)), Duration::from_secs(3));
        assert_eq!(opened.too_early_by(at(15)), Duration::ZERO);
        assert!(!opened.is_over(at(899)) && opened.is_over(at(900)));
        assert_eq!(opened.device().device_code().expose(), "device-canary");
        assert!(seals(1).open_sign_in(&text).await.is_none());
    }
}
