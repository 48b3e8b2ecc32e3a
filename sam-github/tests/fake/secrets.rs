//! No secret is in a log, an error, an address, a value that is shown, or a record.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use sam_core::entropy::SeededEntropy;
use sam_core::http::HttpTransport;
use sam_core::time::ManualClock;
use sam_core::{Error, Report, Result, Secret};
use sam_github::sign_in::{Callback, SignIn, UserToken};
use sam_github::testkit::FakeGithub;
use sam_github::{
    GitAccess, GitCredentialAction, GitCredentialRequest, Level, Permissions, RepositoryId,
    TokenScope,
};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::keys::START;
use crate::support::{APP_ID, INSTALLATION, app_by, github};

/// Everything that is logged, and the addresses and shown forms of all requests.
#[derive(Debug, Clone, Default)]
struct Seen(Arc<Mutex<Vec<u8>>>);

impl Seen {
    fn add(&self, text: &str) {
        self.0.lock().unwrap().extend_from_slice(text.as_bytes());
    }

    fn error(&self, error: &Error) {
        self.add(&format!("{error:?} {error} {} {:?}", Report::new(error), error.hint()));
    }
}

impl Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Seen {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Notes what anybody between the two could write into a log: addresses, and headers as `Debug`
/// shows them.
#[derive(Debug)]
struct Watched(FakeGithub, Seen);

#[async_trait]
impl HttpTransport for Watched {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        self.1.add(&format!("{} {:?}", request.uri(), request.headers()));
        self.0.send(request).await
    }
}

/// A refusal that repeats what it was sent.
fn echo(text: &str) -> Response<Bytes> {
    let body = serde_json::json!({ "message": format!("cannot take {text}"), "error": text });
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = http::StatusCode::UNPROCESSABLE_ENTITY;
    response
}

async fn signed_in(
    seen: &Seen,
    github: &FakeGithub,
    clock: &ManualClock,
) -> (Vec<Secret<String>>, UserToken) {
    let secret = Secret::new("fake-client-secret".to_owned());
    let sign_in = SignIn::builder(format!("Iv23liFake{APP_ID}"), secret.clone())
        .endpoints(github.endpoints())
        .build(
            Arc::new(Watched(github.clone(), seen.clone())),
            Arc::new(clock.clone()),
            Arc::new(SeededEntropy::new(5)),
        );
    let pending = sign_in.begin("https://app.example.com/callback");
    let back = github.approve(&pending.url, "mona").unwrap();
    let callback = Callback::read(back.split_once('?').unwrap().1).unwrap();
    seen.add(&format!("{callback:?} {:?} {:?}", pending.verifier, pending.state));
    let Callback::Code { code, state } = callback else { panic!("it is a sign-in") };
    let token = sign_in.finish(&pending, &code, &state).await.unwrap();
    seen.error(&sign_in.finish(&pending, &code, &state).await.unwrap_err());
    clock.advance(Duration::from_hours(8));
    let fresh = sign_in.refreshed(&token).await.unwrap().unwrap();
    github.answer_next("GET", "/user", echo(fresh.access.expose()));
    seen.error(&sign_in.profile(&fresh).await.unwrap_err());
    let device = sign_in.begin_device().await.unwrap();
    seen.add(&format!("{token:?} {fresh:?} {device:?} {sign_in:?}"));
    let secrets = [Some(token.access), token.refresh, Some(fresh.access.clone())];
    let mut all: Vec<_> = secrets.into_iter().flatten().collect();
    all.extend([fresh.refresh.clone().unwrap(), code, pending.verifier, secret]);
    (all, fresh)
}

#[tokio::test]
async fn no_secret_is_seen_by_anybody() {
    let seen = Seen::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(seen.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let clock = ManualClock::new(START);
    let github = github(&clock);
    let app = app_by(Watched(github.clone(), seen.clone()), &github, &clock);
    let (mut secrets, _) = signed_in(&seen, &github, &clock).await;

    let permissions = Permissions::new().with("contents", Level::Write);
    let scope = TokenScope::new(INSTALLATION, [RepositoryId::new(1_000)], permissions).unwrap();
    let token = app.installation_token(&scope, Duration::ZERO).await.unwrap();
    let jwt = app.jwt().await.unwrap();
    let request: GitCredentialRequest =
        "protocol=https\nhost=github.test\npassword=pasted-password\n".parse().unwrap();
    let access = GitAccess::new(INSTALLATION, RepositoryId::new(1_000));
    let git = app.git_credential(&access, GitCredentialAction::Get, &request).await.unwrap();
    app.repositories(INSTALLATION, None).await.unwrap();
    github.answer_next("GET", "/app", echo(jwt.expose()));
    seen.error(&app.info().await.unwrap_err());
    github.answer_next("DELETE", "/installation/token", echo(token.token.expose()));
    seen.error(&app.revoke_token(&token.token).await.unwrap_err());
    seen.add(&format!("{app:?} {app} {token:?} {request:?} {git:?} {scope:?} {github:?}"));

    secrets.extend([token.token.clone(), jwt, git.unwrap().password]);
    secrets.extend([Secret::new("pasted-password".to_owned())]);
    let seen = String::from_utf8_lossy(&seen.0.lock().unwrap()).into_owned();
    // It saw something: our own log line, addresses, and marked headers.
    for expected in ["a token was made", "/access_tokens", "Sensitive", "/login/oauth"] {
        assert!(seen.contains(expected), "nothing of {expected:?} was seen");
    }
    for secret in secrets {
        assert!(secret.expose().len() > 8);
        assert!(!seen.contains(secret.expose().as_str()), "{} is seen", secret.expose());
    }
}
