//! Who asks: the App by its own token, an installation, or a user.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sam_core::keys::Verifier as _;
use sam_core::time::Timestamp;
use serde_json::Value;

use super::world::World;
use crate::Rs256Verifier;

/// Longest life of an App's own token, in seconds.
const LIFETIME_SECS_MAX: u64 = 600;

pub(super) enum Asker {
    App,
    Installation(String),
    User(u64),
}

/// Why not: a status and GitHub's sentence.
pub(super) type Refusal = (u16, &'static str);

const BAD: Refusal = (401, "Bad credentials");

pub(super) fn asker(world: &World, header: Option<&str>, now: Timestamp) -> Result<Asker, Refusal> {
    let token = header
        .and_then(|header| header.split_once(' '))
        .filter(|(scheme, _)| ["bearer", "token"].contains(&scheme.to_lowercase().as_str()))
        .map(|(_, token)| token.trim())
        .ok_or((401, "Requires authentication"))?;
    if world.token(token, now).is_some() {
        return Ok(Asker::Installation(token.to_owned()));
    }
    if let Some(known) = world.user_tokens.get(token) {
        return if now < known.expires_at { Ok(Asker::User(known.user)) } else { Err(BAD) };
    }
    if token.starts_with("gh") || token.split('.').count() != 3 {
        return Err(BAD);
    }
    app(world, token, now).map(|()| Asker::App)
}

fn app(world: &World, token: &str, now: Timestamp) -> Result<(), Refusal> {
    const UNREADABLE: Refusal = (401, "A JSON web token could not be decoded");
    let (input, signature) = token.rsplit_once('.').ok_or(UNREADABLE)?;
    let (header, claims) = input.split_once('.').ok_or(UNREADABLE)?;
    let json = |part: &str| -> Option<Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    };
    let (header, claims) = json(header).zip(json(claims)).ok_or(UNREADABLE)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| UNREADABLE)?;
    let keys = Rs256Verifier::new([(String::new(), world.app.public_key.clone())]);
    if header["alg"] != "RS256" || keys.verify("", input.as_bytes(), &signature).is_err() {
        return Err(UNREADABLE);
    }
    let issuer = &claims["iss"];
    let ours = issuer.as_u64() == Some(world.app.id)
        || issuer
            .as_str()
            .is_some_and(|text| text == world.app.client_id || text.parse() == Ok(world.app.id));
    if !ours {
        return Err((404, "Integration not found"));
    }
    let now = now.as_secs_unsigned();
    match claims["iat"].as_u64() {
        Some(iat) if iat <= now => {}
        _ => {
            return Err((
                401,
                "'Issued at' claim ('iat') must be an Integer representing the time that the \
                 assertion was issued",
            ));
        }
    }
    match claims["exp"].as_u64() {
        Some(exp) if exp > now + LIFETIME_SECS_MAX => {
            Err((401, "'Expiration time' claim ('exp') is too far in the future"))
        }
        Some(exp) if exp > now => Ok(()),
        _ => Err((
            401,
            "'Expiration time' claim ('exp') must be a numeric value representing the future time \
             at which the assertion expires",
        )),
    }
}
