//! Machines at Fly.io, by the Machines API, all of them in one app.
//!
//! A key is the name of the machine, which Fly keeps unique in an app, and a metadata item of it. With
//! each machine come a volume and a secret that are named by the key: the volume is its disk (a root
//! file system may be wiped), the secret is what it is told on its first boot. Neither can carry labels,
//! so they have those of their machine, and without one those that the configuration and the key tell.
//!
//! Invariants:
//! - Nothing is kept here but a cookie that Fly gave: Fly is the truth.
//! - Every change of a machine holds its lease, and gives it back.
//! - Every wait is on the clock, and a call waits no longer than 20 s: less than the deadline of the
//!   layer around it. What takes longer is looked at by the next call.
//! - One attempt in each region that is allowed, and none elsewhere.
//! - The token of the organisation and that of the first boot are in requests to Fly, and nowhere else.

mod apps;
mod config;
mod create;
mod delete;
mod dialect;
mod disks;
mod find;
mod lease;
mod names;
mod owned;
mod power;
mod provider;
mod wait;
mod wire;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::SET_COOKIE;
use sam_core::{ErrorKind, Result, Retry};

pub use self::config::{CpuKind, FlyConfig};
use crate::api::{Answer, Api, Call, Credential, Looks, Outside, Pace};

/// The longest that one call waits; [`sam_core::layer::Stack::DEADLINE`] is 30 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// How things are looked at: Fly allows one request a second for each action and machine.
const PACE: Pace =
    Pace { first: Duration::from_secs(1), most: Duration::from_secs(4), total: PATIENCE };

/// Most times that one request is sent while Fly says that it is one too many.
const SENDS_MAX: usize = 5;

/// Longest pause that is waited for here; what is longer is for the layers.
const LIMIT_WAIT_MAX: Duration = Duration::from_secs(2);

/// The cookie that leads to the node that knows a fresh app.
const AFFINITY: &str = "fly_flaps_affinity=";

/// Longest cookie that is kept.
const AFFINITY_BYTES_MAX: usize = 1_024;

/// Machines at Fly.io, in one app.
pub struct FlyCompute {
    api: Api,
    config: FlyConfig,
    affinity: Mutex<Option<String>>,
}

impl FlyCompute {
    /// Makes a provider. Nothing is asked yet.
    pub fn new(config: FlyConfig, outside: Outside) -> Self {
        let credential = Credential::bearer(&config.token);
        let base = config.base_url.clone();
        let api = Api::new("Fly", base, credential, dialect::dialect, outside);
        Self { api, config, affinity: Mutex::new(None) }
    }

    /// Starts the waiting of one call.
    fn looks(&self) -> Looks<'_> {
        Looks::new(self.api.clock(), PACE)
    }

    /// Sends a call, to the node that the last answer named.
    async fn send(&self, call: Call) -> Result<Answer> {
        let known = self.affinity.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let call = match known {
            Some(cookie) => call.with_header("cookie", cookie),
            None => call,
        };
        let answer = self.send_paced(&call).await?;
        let set = answer.response.headers().get_all(SET_COOKIE).into_iter();
        let news = set
            .filter_map(|cookie| cookie.to_str().ok()?.split(';').next())
            .find(|cookie| cookie.starts_with(AFFINITY) && cookie.len() <= AFFINITY_BYTES_MAX);
        if let Some(cookie) = news {
            let kept = Some(cookie.to_owned());
            *self.affinity.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        }
        Ok(answer)
    }

    /// Sends a call, and again when it was one too many: Fly counts by the second, so it is soon allowed.
    async fn send_paced(&self, call: &Call) -> Result<Answer> {
        let mut left = SENDS_MAX;
        loop {
            left = left.saturating_sub(1);
            let error = match self.api.send(call).await {
                Err(error) if left > 0 && error.kind() == ErrorKind::RateLimited => error,
                done => return done,
            };
            match error.retry() {
                Retry::After(wait) if wait <= LIMIT_WAIT_MAX => {
                    let clock = self.api.clock();
                    clock.sleep_until(clock.monotonic().saturating_add(wait)).await;
                }
                _ => return Err(error),
            }
        }
    }
}

impl fmt::Debug for FlyCompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlyCompute")
            .field("api", &self.api)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for FlyCompute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fly")
    }
}
