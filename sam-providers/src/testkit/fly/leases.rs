//! Leases, and how often something may be asked.

use std::time::Duration;

use sam_core::time::Timestamp;
use serde_json::{Value, json};

use super::{FlyModel, Reply, not_found, refuse};

/// A lease that somebody holds.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    nonce: String,
    ends: Timestamp,
}

/// Requests of one sort to one machine that are still allowed, in thousandths.
#[derive(Debug)]
pub(super) struct Bucket {
    left: u64,
    filled: Timestamp,
}

impl FlyModel {
    /// Takes one request off the budget of an action and a machine; `false` where nothing is left of it.
    pub(super) fn is_within_limit(&mut self, action: &str, machine: &str) -> bool {
        let (per_second, burst) = if action == "GET" { (5, 10) } else { (1, 3) };
        let now = self.now;
        let name = (action.to_owned(), machine.to_owned());
        let bucket =
            self.buckets.entry(name).or_insert_with(|| Bucket { left: burst * 1_000, filled: now });
        let passed = now.since(bucket.filled).as_millis();
        let more = u64::try_from(passed).unwrap_or(u64::MAX).saturating_mul(per_second);
        bucket.left = bucket.left.saturating_add(more).min(burst * 1_000);
        bucket.filled = now;
        let allowed = bucket.left >= 1_000;
        if allowed {
            bucket.left -= 1_000;
        }
        allowed
    }

    /// Lets somebody else hold a machine's lease for a while.
    pub fn hold_lease(&mut self, machine: &str, span: Duration) {
        let ends = self.now.plus(span);
        if let Some(machine) = self.machines.get_mut(machine) {
            machine.lease = Some(Lease { nonce: "theirs".to_owned(), ends });
        }
    }

    /// Refuses what comes without the nonce of a lease that is held.
    pub(super) fn check_lease(&self, id: &str, nonce: Option<&str>) -> Result<(), Reply> {
        let held = self.machines.get(id).and_then(|machine| machine.lease.as_ref());
        match held.filter(|lease| lease.ends > self.now) {
            Some(lease) if nonce != Some(&*lease.nonce) => {
                let ends = lease.ends;
                Err(refuse(
                    409,
                    &format!("machine ID {id} lease currently held by a@b, expires at {ends}"),
                ))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn take_lease(&mut self, id: &str, nonce: Option<&str>, body: &Value) -> Reply {
        if let Err(refused) = self.check_lease(id, nonce) {
            return refused;
        }
        let fresh = format!("{:012x}", self.fresh_id());
        let ends = self.now.plus(Duration::from_secs(body["ttl"].as_u64().unwrap_or(30)));
        let Some(machine) = self.machines.get_mut(id) else { return not_found("machine") };
        // Refreshing keeps the nonce.
        let nonce = nonce.map_or(fresh, str::to_owned);
        machine.lease = Some(Lease { nonce: nonce.clone(), ends });
        let data = json!({
            "nonce": nonce, "expires_at": ends.as_secs_unsigned(), "owner": "tests@example.com",
            "description": body["description"], "version": machine.instance,
        });
        (201, json!({ "status": "success", "data": data }))
    }

    pub(super) fn release_lease(&mut self, id: &str, nonce: Option<&str>) -> Reply {
        if let Err(refused) = self.check_lease(id, nonce) {
            return refused;
        }
        let Some(machine) = self.machines.get_mut(id) else { return not_found("machine") };
        machine.lease = None;
        (200, Value::Null)
    }
}
