//! The fake's answers, by method and path.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response, header};
use sam_core::time::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::credentials::{Asker, Refusal, asker};
use super::world::{Token, World};
use super::{deliveries, shapes, sign_in};
use crate::Permissions;
use crate::encode::{hex, read_pairs};

/// How long a token lasts.
const TOKEN_LIFETIME: Duration = Duration::from_hours(1);
/// Requests that are remembered, so that a long test does not grow without end.
const ASKED_MAX: usize = 100_000;

const NOT_FOUND: Refusal = (404, "Not Found");
const NOT_ACCESSIBLE: Refusal = (403, "Resource not accessible by integration");

type Outcome = Result<Reply, Refusal>;

/// What an answer is made of.
pub(super) enum Reply {
    /// One thing.
    One(u16, Value),
    /// A list, cut into pages. The name is of the member that holds it, where it is one.
    Many(Option<&'static str>, Vec<Value>),
    /// Nothing.
    Empty(u16),
    /// Something else of the interface has it.
    At(u16, String),
    /// As it is.
    Whole(Response<Bytes>),
}

/// What is asked, taken apart.
pub(super) struct Ask<'a> {
    pub(super) method: &'a Method,
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) request: &'a Request<Bytes>,
    pub(super) now: Timestamp,
}

impl Ask<'_> {
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn header(&self, name: http::HeaderName) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    fn number(&self, at: usize) -> Result<u64, Refusal> {
        self.path.get(at).and_then(|text| text.parse().ok()).ok_or(NOT_FOUND)
    }
}

pub(super) fn answer(
    world: &mut World,
    request: &Request<Bytes>,
    now: Timestamp,
) -> Response<Bytes> {
    let path = request.uri().path();
    let below = path.strip_prefix("/api/v3");
    let shown = below.unwrap_or(path).to_owned();
    let query = request.uri().query().unwrap_or_default();
    if world.asked.len() < ASKED_MAX {
        world.asked.push(format!("{} {shown}", request.method()));
    }
    if let Some(mut scripted) = scripted(world, request.method(), &shown) {
        put_date(&mut scripted, now);
        return scripted;
    }
    let segments = shown.split('/').filter(|part| !part.is_empty());
    let ask = Ask {
        method: request.method(),
        path: segments
            .map(|part| {
                String::from_utf8_lossy(&crate::encode::decoded_bytes(part.as_bytes())).into_owned()
            })
            .collect(),
        query: read_pairs(query).collect(),
        request,
        now,
    };
    let outcome = match below {
        Some(_) => route(world, &ask),
        None => sign_in::route(world, &ask),
    };
    finish(world, &ask, &shown, outcome)
}

fn scripted(world: &mut World, method: &Method, path: &str) -> Option<Response<Bytes>> {
    let fits =
        |one: &super::world::Scripted| one.method == method.as_str() && path.starts_with(&one.path);
    let at = world.scripted.iter().position(fits)?;
    Some(world.scripted.remove(at).answer)
}

fn route(world: &mut World, ask: &Ask<'_>) -> Outcome {
    let path: Vec<&str> = ask.path.iter().map(String::as_str).collect();
    if let ["applications", client_id, "token"] = path.as_slice() {
        return client(world, ask, client_id);
    }
    let asker = asker(world, ask.header(header::AUTHORIZATION), ask.now)?;
    match (asker, path.first().copied()) {
        (Asker::App, Some("app")) => app(world, ask, &path),
        (Asker::App, Some("repos" | "repositories" | "users")) => {
            installation_of(world, ask, &path)
        }
        (Asker::Installation(token), _) => installation(world, ask, &path, &token),
        (Asker::User(user), _) => as_user(world, ask, &path, user),
        (Asker::App, _) => Err((401, "A JSON web token could not be decoded")),
    }
}

fn app(world: &mut World, ask: &Ask<'_>, path: &[&str]) -> Outcome {
    match (ask.method.as_str(), path) {
        ("GET", ["app"]) => Ok(Reply::One(200, shapes::app(world))),
        ("GET", ["app", "installations"]) => {
            let all = world.installations.values().map(|found| shapes::installation(world, found));
            Ok(Reply::Many(None, all.collect()))
        }
        ("GET", ["app", "installations", _]) => {
            let found = world.installations.get(&ask.number(2)?).ok_or(NOT_FOUND)?;
            Ok(Reply::One(200, shapes::installation(world, found)))
        }
        ("POST", ["app", "installations", _, "access_tokens"]) => mint(world, ask, ask.number(2)?),
        ("GET", ["app", "hook", "config"]) => Ok(Reply::One(
            200,
            json!({
                "content_type": "json", "insecure_ssl": "0", "secret": "********",
                "url": world.app.webhook_url,
            }),
        )),
        ("GET", ["app", "hook", "deliveries"]) => Ok(Reply::Many(None, shapes::deliveries(world))),
        ("POST", ["app", "hook", "deliveries", _, "attempts"]) => {
            deliveries::ask_again(world, ask.number(3)?)
                .then_some(Reply::One(202, json!({})))
                .ok_or(NOT_FOUND)
        }
        _ => Err(NOT_FOUND),
    }
}

fn installation_of(world: &World, ask: &Ask<'_>, path: &[&str]) -> Outcome {
    let of = |repo: u64| {
        world.installations.values().find(|found| world.of_installation(found.id).contains(&repo))
    };
    let found = match (ask.method.as_str(), path) {
        ("GET", ["repos", owner, name, "installation"]) => {
            match (world.named(owner, name), world.former(owner, name)) {
                (Some(repo), _) => of(repo.id),
                (None, Some(id)) if of(id).is_some() => {
                    let to = format!("{}/repositories/{id}/installation", world.api());
                    return Ok(Reply::At(301, to));
                }
                _ => None,
            }
        }
        ("GET", ["repositories", id, "installation"]) => of(id.parse().map_err(|_| NOT_FOUND)?),
        ("GET", ["users", login, "installation"]) => {
            world.installations.values().find(|found| found.account.eq_ignore_ascii_case(login))
        }
        _ => return Err((401, "A JSON web token could not be decoded")),
    };
    Ok(Reply::One(200, shapes::installation(world, found.ok_or(NOT_FOUND)?)))
}

/// What a client asks about tokens it was given.
fn client(world: &mut World, ask: &Ask<'_>, client_id: &str) -> Outcome {
    let pair = format!("{}:{}", world.app.client_id, world.app.client_secret);
    let wanted = format!("Basic {}", STANDARD.encode(pair));
    if client_id != world.app.client_id || ask.header(header::AUTHORIZATION) != Some(&wanted) {
        return Err(NOT_FOUND);
    }
    let body: Value =
        serde_json::from_slice(ask.request.body()).map_err(|_| (400, "Problems parsing JSON"))?;
    let token = body["access_token"].as_str().ok_or((422, "Invalid request."))?;
    match ask.method.as_str() {
        "DELETE" => world
            .user_tokens
            .remove(token)
            .map(|_| Reply::Empty(204))
            .ok_or((422, "Validation Failed")),
        _ => Err(NOT_FOUND),
    }
}

fn mint(world: &mut World, ask: &Ask<'_>, id: u64) -> Outcome {
    const OUTSIDE: Refusal = (
        422,
        "There is at least one repository that does not exist or is not accessible to the parent \
         installation.",
    );
    let found = world.installations.get(&id).cloned().ok_or(NOT_FOUND)?;
    if found.suspended_at.is_some() {
        return Err((403, "This installation has been suspended"));
    }
    let body: Value = match ask.request.body() {
        empty if empty.is_empty() => json!({}),
        body => serde_json::from_slice(body).map_err(|_| (400, "Problems parsing JSON"))?,
    };
    let mut permissions = found.permissions.clone();
    if !body["permissions"].is_null() {
        let wanted: Permissions = serde_json::from_value(body["permissions"].clone())
            .map_err(|_| (422, "Invalid request."))?;
        if !found.permissions.covers(&wanted) {
            return Err((422, "The permissions requested are not granted to this installation."));
        }
        // GitHub gives the right to look along with any other.
        permissions = wanted;
        if permissions.level("metadata").is_none() {
            permissions = permissions.with("metadata", crate::Level::Read);
        }
    }
    let held = world.of_installation(id);
    let chosen: Option<BTreeSet<u64>> =
        body["repository_ids"].as_array().map(|ids| ids.iter().filter_map(Value::as_u64).collect());
    if chosen.iter().flatten().any(|id| !held.contains(id)) {
        return Err(OUTSIDE);
    }
    // As long as GitHub's may be, and no two alike.
    let number = world.number();
    let token = format!("ghs_{}_{}.{number}.{}", world.app.id, "x".repeat(180), "y".repeat(320));
    let expires_at = ask.now.plus(TOKEN_LIFETIME);
    let mut reply = json!({
        "token": token, "expires_at": seconds(expires_at), "permissions": permissions,
        "repository_selection": if chosen.is_some() { "selected" } else { "all" },
    });
    if let Some(chosen) = &chosen {
        let repos = chosen.iter().filter_map(|id| world.repositories.get(id));
        reply["repositories"] = repos.map(|repo| shapes::repository(world, repo)).collect();
    }
    let good_from = ask.now.plus(Duration::from_millis(world.token_delay_millis));
    world.tokens.insert(
        token,
        Token { installation: id, repositories: chosen, permissions, good_from, expires_at },
    );
    Ok(Reply::One(201, reply))
}

fn installation(world: &mut World, ask: &Ask<'_>, path: &[&str], token: &str) -> Outcome {
    let known = world.token(token, ask.now).cloned().ok_or((401, "Bad credentials"))?;
    match (ask.method.as_str(), path) {
        ("DELETE", ["installation", "token"]) => {
            world.tokens.remove(token);
            Ok(Reply::Empty(204))
        }
        ("GET", ["installation", "repositories"]) => {
            let ids = world.of_installation(known.installation);
            let seen = ids.iter().filter(|id| world.reaches(&known, **id));
            let repos = seen.filter_map(|id| world.repositories.get(id));
            let items = repos.map(|repo| shapes::repository(world, repo)).collect();
            Ok(Reply::Many(Some("repositories"), items))
        }
        ("GET", ["repositories", _, "collaborators", login, "permission"]) => {
            let repo = world.repositories.get(&ask.number(1)?);
            let repo = repo.filter(|repo| world.reaches(&known, repo.id));
            let found = repo.zip(world.user(login)).ok_or(NOT_FOUND)?;
            Ok(Reply::One(200, shapes::user_permission(world, found.0, found.1)))
        }
        ("GET", ["repos" | "repositories", ..]) => {
            let sees =
                |world: &World, id: u64, is_private: bool| !is_private || world.reaches(&known, id);
            let reads = known.permissions.level("contents").is_some();
            repository(world, path, sees, reads)
        }
        _ => Err(NOT_ACCESSIBLE),
    }
}

/// Answers about one repository, for those who see it.
fn repository(
    world: &World,
    path: &[&str],
    sees: impl Fn(&World, u64, bool) -> bool,
    reads_contents: bool,
) -> Outcome {
    let (found, rest) = match path {
        ["repositories", id, rest @ ..] => {
            let id: u64 = id.parse().map_err(|_| NOT_FOUND)?;
            (world.repositories.get(&id), rest)
        }
        ["repos", owner, name, rest @ ..] => {
            let found = world.named(owner, name);
            if let (None, Some(id)) = (found, world.former(owner, name)) {
                let shown = world
                    .repositories
                    .get(&id)
                    .is_some_and(|repo| sees(world, id, repo.is_private));
                let end: String = rest.iter().flat_map(|part| ["/", *part]).collect();
                let to = format!("{}/repositories/{id}{end}", world.api());
                return if shown { Ok(Reply::At(301, to)) } else { Err(NOT_FOUND) };
            }
            (found, rest)
        }
        _ => return Err(NOT_FOUND),
    };
    let found = found.filter(|repo| sees(world, repo.id, repo.is_private)).ok_or(NOT_FOUND)?;
    match rest {
        [] => Ok(Reply::One(200, shapes::repository(world, found))),
        ["branches"] if reads_contents || !found.is_private => {
            Ok(Reply::Many(None, shapes::branches(world, found)))
        }
        ["branches"] => Err(NOT_ACCESSIBLE),
        _ => Err(NOT_FOUND),
    }
}

fn as_user(world: &World, ask: &Ask<'_>, path: &[&str], user: u64) -> Outcome {
    let me = world.users.get(&user).ok_or((401, "Bad credentials"))?;
    let installations = || {
        world.installations.values().filter(|found| {
            found.account.eq_ignore_ascii_case(&me.login) || found.seen_by.contains(&me.login)
        })
    };
    match (ask.method.as_str(), path) {
        ("GET", ["user"]) => Ok(Reply::One(200, shapes::myself(world, me))),
        ("GET", ["user", "emails"]) => match shapes::emails(me) {
            Value::Array(emails) => Ok(Reply::Many(None, emails)),
            _ => Err(NOT_FOUND),
        },
        ("GET", ["user", "installations"]) => {
            let seen = installations().map(|found| shapes::installation(world, found)).collect();
            Ok(Reply::Many(Some("installations"), seen))
        }
        ("GET", ["user", "installations", _, "repositories"]) => {
            let id = ask.number(2)?;
            if !installations().any(|found| found.id == id) {
                return Err(NOT_FOUND);
            }
            let ids = world.of_installation(id);
            let repos = ids.iter().filter_map(|id| world.repositories.get(id));
            let seen = repos.filter(|repo| world.sees(user, repo));
            let items = seen.map(|repo| shapes::repository_for(world, repo, user)).collect();
            Ok(Reply::Many(Some("repositories"), items))
        }
        ("GET", ["repos" | "repositories", ..]) => {
            let sees = |world: &World, id: u64, _: bool| {
                world.repositories.get(&id).is_some_and(|repo| world.sees(user, repo))
            };
            repository(world, path, sees, true)
        }
        _ => Err(NOT_FOUND),
    }
}

/// Whole seconds, as GitHub writes times.
fn seconds(at: Timestamp) -> String {
    let seconds = i64::try_from(at.as_secs_unsigned()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

fn put_date(response: &mut Response<Bytes>, now: Timestamp) {
    let stamp = jiff::Timestamp::from_microsecond(now.as_micros()).unwrap_or_default();
    let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
    let date = printer.timestamp_to_rfc9110_string(&stamp).unwrap_or_default();
    if let Ok(date) = date.parse() {
        response.headers_mut().entry(header::DATE).or_insert(date);
    }
}

fn finish(world: &World, ask: &Ask<'_>, shown: &str, outcome: Outcome) -> Response<Bytes> {
    let (status, body, more) = match outcome {
        Ok(Reply::Whole(mut whole)) => {
            put_date(&mut whole, ask.now);
            return whole;
        }
        Ok(Reply::Empty(status)) => (status, None, None),
        Ok(Reply::One(status, body)) => (status, Some(body), None),
        Ok(Reply::At(status, to)) => {
            let message = "Moved Permanently";
            (status, Some(json!({ "message": message, "url": to })), Some((header::LOCATION, to)))
        }
        Ok(Reply::Many(member, items)) => page(world, ask, shown, member, items),
        Err((status, message)) => (status, Some(refusal(status, message)), None),
    };
    let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let etag = format!("W/\"{}\"", hex(Sha256::digest(&body)));
    let unchanged = status == 200 && ask.header(header::IF_NONE_MATCH) == Some(etag.as_str());
    let mut response = Response::new(if unchanged { Bytes::new() } else { body });
    let code = if unchanged { 304 } else { status };
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
    let reset = ask.now.as_secs_unsigned() + 3_600;
    let mut headers = vec![
        (header::CONTENT_TYPE, "application/json; charset=utf-8".to_owned()),
        (header::ETAG, etag),
        (http::HeaderName::from_static("x-ratelimit-limit"), "5000".to_owned()),
        (http::HeaderName::from_static("x-ratelimit-remaining"), "4999".to_owned()),
        (http::HeaderName::from_static("x-ratelimit-reset"), reset.to_string()),
        (http::HeaderName::from_static("x-ratelimit-resource"), "core".to_owned()),
    ];
    headers.extend(more);
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    put_date(&mut response, ask.now);
    response
}

type Finished = (u16, Option<Value>, Option<(http::HeaderName, String)>);

fn page(
    world: &World,
    ask: &Ask<'_>,
    shown: &str,
    member: Option<&'static str>,
    items: Vec<Value>,
) -> Finished {
    let number = |name, otherwise| {
        ask.query(name).and_then(|text| text.parse::<usize>().ok()).unwrap_or(otherwise)
    };
    let (size, page) = (number("per_page", 30).clamp(1, 100), number("page", 1).max(1));
    let total = items.len();
    let on_page: Vec<Value> = items.into_iter().skip((page - 1) * size).take(size).collect();
    let body = match member {
        Some(member) => json!({ "total_count": total, member: on_page }),
        None => Value::Array(on_page),
    };
    let more = (page * size < total).then(|| {
        let at = |page: usize| {
            format!("{}{}?per_page={size}&page={page}", world.api(), numbered(world, shown))
        };
        let last = total.div_ceil(size);
        let link = format!("<{}>; rel=\"next\", <{}>; rel=\"last\"", at(page + 1), at(last));
        (header::LINK, link)
    });
    (200, Some(body), more)
}

/// GitHub's pages of a repository's parts go on under its number.
fn numbered(world: &World, shown: &str) -> String {
    let mut parts = shown.trim_start_matches('/').splitn(4, '/');
    let (Some("repos"), Some(owner), Some(name), Some(rest)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return shown.to_owned();
    };
    match world.named(owner, name) {
        Some(repo) => format!("/repositories/{}/{rest}", repo.id),
        None => shown.to_owned(),
    }
}

fn refusal(status: u16, message: &str) -> Value {
    json!({
        "message": message, "documentation_url": "https://docs.github.com/rest",
        "status": status.to_string(),
    })
}
