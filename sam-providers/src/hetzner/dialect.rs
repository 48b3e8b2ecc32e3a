//! How Hetzner refuses: a status, and a code that says more than the status.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use sam_core::{Effect, ErrorKind, Retry};
use serde::Deserialize;

use crate::api::Refusal;

/// The code of a name that is taken.
pub(super) const UNIQUENESS: &str = "uniqueness_error";
/// The code of something that another action runs on.
pub(super) const LOCKED: &str = "locked";
/// The code of something that is not there.
pub(super) const NOT_FOUND: &str = "not_found";

/// One request comes back each second; `RateLimit-Reset` is when all of them are back, which is far too
/// late, and there is no `Retry-After`.
const LIMIT_WAIT: Duration = Duration::from_secs(1);
/// Actions take a few seconds.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// Asking again for what is sold out does not help soon: longer than any layer waits, so that the engine
/// or a person decides.
const STOCK_WAIT: Duration = Duration::from_mins(1);

#[derive(Deserialize)]
struct Refused {
    error: Problem,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    #[serde(default)]
    message: String,
}

/// Reads an answer.
pub(super) fn dialect(response: &Response<Bytes>) -> Option<Refusal> {
    let plain = Refusal::of_status(response.status(), response.headers())?;
    // A gateway's answer is a page for people.
    let Ok(Refused { error }) = serde_json::from_slice(response.body()) else { return Some(plain) };
    Some(of_code(plain, &error.code).with_code(error.code).with_sentence(error.message))
}

/// What a code says; the status stands where it says nothing more.
fn of_code(refusal: Refusal, code: &str) -> Refusal {
    use ErrorKind as K;
    let never = |kind| refusal.clone().with_kind(kind).with_retry(Retry::Never);
    let again = |kind| refusal.clone().with_kind(kind).with_retry(Retry::Backoff);
    let after = |kind, wait| refusal.clone().with_kind(kind).with_retry(Retry::After(wait));
    match code {
        "unauthorized" => never(K::Unauthenticated)
            .with_hint("the token is unknown or expired: make a new one in the project's console"),
        "token_readonly" => never(K::Denied)
            .with_hint("the token may only read: make one with the permission Read & Write"),
        "forbidden" => never(K::Denied),
        "protected" => never(K::Denied)
            .with_hint("its delete protection is on: switch it off in the project's console"),
        "resource_locked" => {
            never(K::Denied).with_hint("Hetzner has locked it: ask Hetzner's support")
        }
        "resource_limit_exceeded" | "server_limit_exceeded" => never(K::QuotaExceeded)
            .with_hint("delete something, or ask for a higher limit in the project's console"),
        "deprecated_api_endpoint" => {
            never(K::Bug).with_hint("Hetzner has taken this call away: update this software")
        }
        UNIQUENESS => never(K::AlreadyExists),
        "conflict" => again(K::Conflict),
        LOCKED => {
            after(K::Conflict, LOCK_WAIT).with_hint("another action runs on it: it is tried again")
        }
        "resource_in_use" | "must_be_unassigned" => after(K::Conflict, LOCK_WAIT),
        "rate_limit_exceeded" => after(K::RateLimited, LIMIT_WAIT),
        "resource_unavailable" | "placement_error" | "no_space_left_in_location" => {
            after(K::CapacityUnavailable, STOCK_WAIT)
                .with_hint("it is sold out there: allow another location, or wait")
        }
        // Said with 422, but it is Hetzner's own trouble, and may have come late.
        "service_error" => again(K::Unavailable).with_effect(Effect::Unknown),
        "bad_gateway" | "maintenance" | "robot_unavailable" | "server_error" | "unavailable" => {
            again(K::Unavailable)
        }
        "timeout" => again(K::Timeout),
        // Its state forbids it, and stays until somebody changes that.
        "already_in_placement_group"
        | "firewall_already_applied"
        | "ip_not_available"
        | "primary_ip_already_assigned"
        | "primary_ip_assigned"
        | "server_already_added"
        | "server_already_attached"
        | "server_has_ipv4"
        | "server_has_ipv6"
        | "server_is_load_balancer_target"
        | "server_not_stopped"
        | "volume_already_attached"
        | "vswitch_id_already_used" => never(K::Conflict),
        "primary_ip_version_mismatch" | "unsupported_error" => never(K::BadInput),
        _ => refusal,
    }
}
