//! Git over HTTP: `git http-backend` behind a check of the token.

use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::FakeGithub;
use super::deadline::bounded;
use crate::Level;

/// What git asks for.
pub(super) struct Wanted {
    owner: String,
    name: String,
    /// Below the repository, with its slash.
    rest: String,
    is_push: bool,
}

/// Reads git's requests: `/{owner}/{name}.git/...`.
pub(super) fn wanted(request: &Request<Bytes>) -> Option<Wanted> {
    let path = request.uri().path().strip_prefix('/')?;
    let (owner, rest) = path.split_once('/')?;
    let (name, rest) = rest.split_once(".git/")?;
    let query = request.uri().query().unwrap_or_default();
    let is_push = rest == "git-receive-pack" || query.contains("service=git-receive-pack");
    Some(Wanted {
        owner: owner.to_owned(),
        name: name.to_owned(),
        rest: format!("/{rest}"),
        is_push,
    })
}

pub(super) async fn answer(
    fake: &FakeGithub,
    request: &Request<Bytes>,
    wanted: &Wanted,
) -> Response<Bytes> {
    fake.world().asked.push(format!("{} {} (git)", request.method(), request.uri().path()));
    let (folder, id) = {
        let world = fake.world();
        let named = world.named(&wanted.owner, &wanted.name).map(|repo| repo.id);
        (world.git.clone(), named.or_else(|| world.former(&wanted.owner, &wanted.name)))
    };
    let (Some(folder), Some(id)) = (folder, id) else { return status(StatusCode::NOT_FOUND) };
    let level = if wanted.is_push { Level::Write } else { Level::Read };
    let token = token(request);
    if !token.is_some_and(|token| fake.allows(&token, id, "contents", level)) {
        let mut refused = status(StatusCode::UNAUTHORIZED);
        let realm = http::HeaderValue::from_static("Basic realm=\"GitHub\"");
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
        return refused;
    }
    let repository = folder.join(format!("{id}.git"));
    match bounded(backend(request, &repository, wanted)).await {
        Ok(Ok(response)) => response,
        _ => status(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// Git sends a token as the password of any user.
fn token(request: &Request<Bytes>) -> Option<String> {
    let header = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

/// Runs git's own program, as a web server would.
async fn backend(
    request: &Request<Bytes>,
    repository: &std::path::Path,
    wanted: &Wanted,
) -> std::io::Result<Response<Bytes>> {
    let header = |name: &str| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", repository)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "x-access-token")
        .env("REQUEST_METHOD", request.method().as_str())
        .env("PATH_INFO", &wanted.rest)
        .env("QUERY_STRING", request.uri().query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", request.body().len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let input = child.stdin.take();
    let feed = async {
        if let Some(mut input) = input {
            // A program that has heard enough closes its end.
            let _closed = input.write_all(request.body()).await;
        }
    };
    let ((), output) = futures_util::future::join(feed, child.wait_with_output()).await;
    Ok(cgi(&output?.stdout))
}

/// Reads a program's answer: headers, an empty line, a body.
fn cgi(output: &[u8]) -> Response<Bytes> {
    let split = output.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = match split {
        Some(at) => (output.get(..at), output.get(at + 4..)),
        None => (None, None),
    };
    let Some((head, body)) = head.zip(body) else { return status(StatusCode::BAD_GATEWAY) };
    let mut response = Response::new(Bytes::copy_from_slice(body));
    for line in String::from_utf8_lossy(head).lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().and_then(|code| code.parse().ok());
            *response.status_mut() = code.unwrap_or(StatusCode::BAD_GATEWAY);
        } else if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
