//! The fake's web pages: signing in, and devices. Their errors come with status 200.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Response, header};
use sam_core::time::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::api::{Ask, Reply};
use super::credentials::Refusal;
use super::world::{Code, Device, UserToken, World};
use crate::encode::{pairs, read_pairs};

/// How long a user's token lasts.
const USER_TOKEN_LIFETIME: Duration = Duration::from_hours(8);
/// How long a device's code lasts.
const DEVICE_LIFETIME: Duration = Duration::from_mins(15);
/// Between questions of a device; as much is added when it asks too often.
const DEVICE_INTERVAL: Duration = Duration::from_secs(5);

const BAD_CODE: (&str, &str) =
    ("bad_verification_code", "The code passed is incorrect or expired.");

pub(super) fn route(world: &mut World, ask: &Ask<'_>) -> Result<Reply, Refusal> {
    let path: Vec<&str> = ask.path.iter().map(String::as_str).collect();
    match (ask.method.as_str(), path.as_slice()) {
        ("GET", ["login", "oauth", "authorize"]) => {
            let login = ask.query("login").unwrap_or_default().to_owned();
            let url = ask.request.uri().to_string();
            let to = approve(world, &url, &login).map_err(|_| (400, "Bad Request"))?;
            Ok(Reply::At(302, to))
        }
        ("POST", ["login", "oauth", "access_token"]) => Ok(exchange(world, ask)),
        ("POST", ["login", "device", "code"]) => Ok(device(world, ask)),
        _ => Err((404, "Not Found")),
    }
}

/// What the page at an authorization URL does when a user agrees.
pub(super) fn approve(world: &mut World, url: &str, login: &str) -> Result<String, String> {
    let (_, query) = url.split_once('?').ok_or("there is no query")?;
    let query: Vec<(String, String)> = read_pairs(query).collect();
    let value =
        |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    if value("client_id") != Some(world.app.client_id.clone()) {
        return Err("there is no such App".to_owned());
    }
    let user = world.user(login).map(|user| user.id).ok_or("there is no such user")?;
    let redirect_uri = value("redirect_uri").ok_or("the fake wants a redirect_uri")?;
    let challenge = value("code_challenge");
    if challenge.is_some() && value("code_challenge_method").as_deref() != Some("S256") {
        return Err("the challenge is not S256".to_owned());
    }
    let code = format!("code{:020}", world.number());
    let kept = Code { user, redirect_uri: Some(redirect_uri.clone()), challenge };
    world.codes.insert(code.clone(), kept);
    let state = value("state").unwrap_or_default();
    let glue = if redirect_uri.contains('?') { '&' } else { '?' };
    Ok(format!("{redirect_uri}{glue}{}", pairs([("code", code.as_str()), ("state", &state)])))
}

pub(super) fn approve_device(world: &mut World, user_code: &str, login: &str) -> bool {
    let user = world.user(login).map(|user| user.id);
    let device = world.devices.values_mut().find(|device| device.user_code == user_code);
    match (device, user) {
        (Some(device), Some(user)) => {
            device.user = Some(user);
            true
        }
        _ => false,
    }
}

fn exchange(world: &mut World, ask: &Ask<'_>) -> Reply {
    let form: Vec<(String, String)> =
        read_pairs(&String::from_utf8_lossy(ask.request.body())).collect();
    let value =
        |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let reply = match value("grant_type") {
        Some("urn:ietf:params:oauth:grant-type:device_code") => by_device(world, &value, ask.now),
        _ if value("client_id") != Some(&world.app.client_id)
            || value("client_secret") != Some(&world.app.client_secret) =>
        {
            Err((
                "incorrect_client_credentials",
                "The client_id and/or client_secret passed are incorrect.",
            ))
        }
        Some("refresh_token") => by_refresh_token(world, &value, ask.now),
        _ => by_code(world, &value, ask.now),
    };
    said(
        ask,
        reply.unwrap_or_else(
            |(error, description)| json!({ "error": error, "error_description": description }),
        ),
    )
}

type Failed = (&'static str, &'static str);

fn by_code<'a>(
    world: &mut World,
    value: &impl Fn(&str) -> Option<&'a str>,
    now: Timestamp,
) -> Result<Value, Failed> {
    let code = value("code").and_then(|code| world.codes.remove(code)).ok_or(BAD_CODE)?;
    if value("redirect_uri").is_some_and(|given| code.redirect_uri.as_deref() != Some(given)) {
        return Err((
            "redirect_uri_mismatch",
            "The redirect_uri MUST match the registered callback URL for this application.",
        ));
    }
    if let Some(challenge) = &code.challenge {
        let verifier = value("code_verifier").unwrap_or_default();
        if URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())) != *challenge {
            return Err(BAD_CODE);
        }
    }
    Ok(issue(world, code.user, now))
}

fn by_refresh_token<'a>(
    world: &mut World,
    value: &impl Fn(&str) -> Option<&'a str>,
    now: Timestamp,
) -> Result<Value, Failed> {
    let token = value("refresh_token").unwrap_or_default();
    // Each is good once.
    let user = world.refresh_tokens.remove(token);
    let user =
        user.ok_or(("bad_refresh_token", "The refresh token passed is incorrect or expired."))?;
    world.user_tokens.retain(|_, known| known.user != user);
    Ok(issue(world, user, now))
}

fn by_device<'a>(
    world: &mut World,
    value: &impl Fn(&str) -> Option<&'a str>,
    now: Timestamp,
) -> Result<Value, Failed> {
    let code = value("device_code").unwrap_or_default().to_owned();
    let device = world
        .devices
        .get_mut(&code)
        .ok_or(("incorrect_device_code", "The device_code provided is not valid."))?;
    if now >= device.expires_at {
        return Err(("expired_token", "The device_code has expired."));
    }
    let early = device.asked_at.is_some_and(|asked| now.since(asked) < device.interval);
    device.asked_at = Some(now);
    if early {
        device.interval += DEVICE_INTERVAL;
        let interval = device.interval.as_secs();
        return Ok(json!({
            "error": "slow_down", "interval": interval,
            "error_description": "Too many requests have been made in the same timeframe.",
        }));
    }
    let Some(user) = device.user else {
        return Err(("authorization_pending", "The authorization request is still pending."));
    };
    world.devices.remove(&code);
    Ok(issue(world, user, now))
}

fn issue(world: &mut World, user: u64, now: Timestamp) -> Value {
    let number = world.number();
    let (token, refresh) = (format!("ghu_{number:036}"), format!("ghr_{number:076}"));
    let expires_at = now.plus(USER_TOKEN_LIFETIME);
    world.user_tokens.insert(token.clone(), UserToken { user, expires_at });
    world.refresh_tokens.insert(refresh.clone(), user);
    json!({
        "access_token": token, "expires_in": USER_TOKEN_LIFETIME.as_secs(),
        "refresh_token": refresh, "refresh_token_expires_in": 15_897_600,
        "scope": "", "token_type": "bearer",
    })
}

fn device(world: &mut World, ask: &Ask<'_>) -> Reply {
    let number = world.number();
    let seed = STANDARD.encode(number.to_be_bytes());
    let code = format!("device{number:034}{seed}");
    let user_code = format!("FAKE-{number:04}");
    let device = Device {
        user_code: user_code.clone(),
        user: None,
        asked_at: None,
        interval: DEVICE_INTERVAL,
        expires_at: ask.now.plus(DEVICE_LIFETIME),
    };
    world.devices.insert(code.clone(), device);
    let reply = json!({
        "device_code": code, "user_code": user_code, "interval": DEVICE_INTERVAL.as_secs(),
        "verification_uri": format!("{}/login/device", world.base),
        "expires_in": DEVICE_LIFETIME.as_secs(),
    });
    said(ask, reply)
}

/// As JSON for those who ask for it, else as a form.
fn said(ask: &Ask<'_>, reply: Value) -> Reply {
    let accepts = ask.request.headers().get(header::ACCEPT);
    if accepts.is_some_and(|accept| accept == "application/json") {
        return Reply::One(200, reply);
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let owned: Vec<(String, String)> =
        reply.as_object().into_iter().flatten().map(|(k, v)| (k.clone(), text(v))).collect();
    let form = pairs(owned.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    Reply::Whole(Response::new(Bytes::from(form)))
}
