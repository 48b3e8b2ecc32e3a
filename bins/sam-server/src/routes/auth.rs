//! Signing in and out: in a browser, by device, and what GitHub sends a browser back with.

use std::time::Duration;

use axum::extract::{Query, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY, SET_COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderValue, StatusCode};
use sam_api::{Account, DevicePoll, DevicePolled, DeviceSignIn, LoginsEnded, Me, Page};
use sam_core::account::{LoginChannel, LoginRecord};
use sam_core::{Caller, Error, ErrorKind, Result, Secret};
use sam_github::InstallationId;
use sam_github::sign_in::{Callback, DevicePoll as GithubPoll};
use serde::Deserialize;

use crate::SignInDesk;
use crate::access::{Admin, Identity, Person};
use crate::app::App;
use crate::github::visible;
use crate::problem::{ApiError, RequestId};
use crate::project;
use crate::sign_in::{SIGN_IN_MAX, SealedDevice, SealedSignIn, cookie, local_path, set_cookie};

/// Where a sign-in begins.
pub(super) const BEGIN_PATH: &str = "/api/auth/github";
/// Where GitHub may send browsers back to: those of the reference documents. Each takes a sign-in
/// and an installation.
pub(crate) const CALLBACK_PATHS: [&str; 4] = [
    "/api/auth/callback/github",
    "/api/auth/github/callback",
    "/api/github/callback",
    "/api/integrations/github/callback",
];

fn desk(app: &App) -> Result<&SignInDesk> {
    app.sign_in.as_ref().ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "nobody can sign in here").with_hint(
            "an administrator sets GITHUB_CLIENT_ID, GITHUB_CLIENT_SECRET and \
             SAM_SIGN_IN_GITHUB_LOGINS",
        )
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BeginQuery {
    return_to: Option<String>,
}

/// Sends a browser to GitHub, with what belongs to the sign-in sealed in a cookie.
pub(super) async fn begin(
    State(app): State<App>,
    Query(query): Query<BeginQuery>,
) -> Result<Response, ApiError> {
    let desk = desk(&app)?;
    let return_to = match query.return_to {
        None => None,
        Some(text) => Some(local_path(&text).map(str::to_owned).ok_or_else(|| {
            Error::new(ErrorKind::BadInput, "return_to is a path of this server, such as /settings")
        })?),
    };
    let pending = desk.github().begin(&desk.callback_url());
    let ends_at = app.sam.clock().now().plus(SIGN_IN_MAX);
    let sealed = SealedSignIn::new(&pending, return_to, ends_at);
    let sealed = desk.seals().seal_sign_in(&sealed).await?;
    let mut response = found(&pending.url)?;
    put_cookie(&mut response, desk, desk.site().sign_in_cookie(), (&sealed, SIGN_IN_MAX));
    Ok(response)
}

/// Takes what GitHub sends a browser back with: a sign-in, or an installation of the App.
pub(super) async fn callback(
    State(app): State<App>,
    identity: Result<Identity, ApiError>,
    request_id: Option<Extension<RequestId>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let request_id = request_id.map(|Extension(id)| id.0);
    let outcome = async {
        match Callback::read(query.as_deref().unwrap_or_default())? {
            Callback::Code { code, state } => {
                let caller = Caller::named("github").with_request_id(request_id);
                finish(desk(&app)?, &app, &headers, (&code, &state), &caller).await
            }
            Callback::Refused { code } => Err(refused(code)),
            Callback::Setup { installation, action, .. } => {
                // Somebody else's page may have sent the browser here; nothing is changed by it.
                let person = identity.as_ref().ok().and_then(Identity::person);
                set_up(&app, person, installation, &action).await
            }
            _ => Err(Error::new(ErrorKind::BadInput, "this callback is of no known kind")),
        }
    };
    let mut response = match outcome.await {
        Ok(response) => response,
        Err(error) => ApiError::from(error).into_response(),
    };
    if let Some(desk) = &app.sign_in
        && cookie(&headers, desk.site().sign_in_cookie()).is_some()
    {
        // It is good once, however it ended.
        put_cookie(&mut response, desk, desk.site().sign_in_cookie(), ("", Duration::ZERO));
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The address holds a code.
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

async fn finish(
    desk: &SignInDesk,
    app: &App,
    headers: &HeaderMap,
    (code, state): (&Secret<String>, &Secret<String>),
    caller: &Caller,
) -> Result<Response> {
    let begun = match cookie(headers, desk.site().sign_in_cookie()) {
        Some(sealed) => desk.seals().open_sign_in(sealed).await,
        None => None,
    };
    let begun = begun.ok_or_else(|| not_begun("this sign-in was not begun in this browser"))?;
    if begun.is_over(app.sam.clock().now()) {
        return Err(not_begun("this sign-in took too long"));
    }
    let _turn = desk.turn()?;
    let token = desk.github().finish(&begun.pending(), code, state).await?;
    let holder = (LoginChannel::Browser, user_agent(headers));
    let signed_in = desk.welcome(&app.sam, token, holder, caller).await?;
    let mut response = found(&desk.site().after_sign_in(begun.return_to.as_deref()))?;
    let login = (signed_in.token.expose().as_str(), LoginRecord::LIFE_MAX);
    put_cookie(&mut response, desk, desk.site().login_cookie(), login);
    Ok(response)
}

/// Somebody installed the App, or says so: the number counts only once the person is seen to see it.
async fn set_up(
    app: &App,
    person: Option<&Person>,
    installation: Option<InstallationId>,
    action: &str,
) -> Result<Response> {
    let desk = desk(app)?;
    let Some(person) = person else {
        // First who it is; then here again.
        let number = installation.map(|id| format!("installation_id={id}&")).unwrap_or_default();
        let action: String = action.chars().filter(char::is_ascii_lowercase).take(32).collect();
        let back = format!("/api/github/callback?{number}setup_action={action}");
        let back: String = form_urlencode(&back);
        return found(&format!("{BEGIN_PATH}?return_to={back}"));
    };
    if let Some(installation) = installation {
        let seen = visible::sees_installation(app, desk, person, installation).await?;
        if !seen {
            let message = format!("there is no installation {installation}, or you do not see it");
            return Err(Error::new(ErrorKind::NotFound, message).with_hint(
                "install the App as somebody who may; /api/github/install-url leads there",
            ));
        }
        if let Some(github) = &app.github {
            github.forget_installation(installation);
        }
    }
    found(&desk.site().settings())
}

/// Says who asks.
pub(super) async fn me(identity: Identity) -> Json<Me> {
    let person = identity.person();
    Json(Me {
        owner: identity.owner().to_owned(),
        is_administrator: person.is_none(),
        account: person.map(|person| project::account(&person.account)),
        login_ends_at: person.map(|person| person.login.ends_at().into()),
    })
}

fn signed_in(identity: &Identity) -> Result<&Person> {
    identity.person().ok_or_else(|| {
        Error::new(ErrorKind::BadInput, "an administrator's token is no login")
            .with_hint("there is nothing to sign out of")
    })
}

pub(super) async fn sign_out(
    State(app): State<App>,
    identity: Identity,
) -> Result<Response, ApiError> {
    let (desk, person) = (desk(&app)?, signed_in(&identity)?);
    app.sam.end_login(&person.login.id, &identity.caller()).await?;
    let account = person.account.id;
    if app.sam.logins_of(account).await?.is_empty() {
        desk.end_user_token(account).await;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    put_cookie(&mut response, desk, desk.site().login_cookie(), ("", Duration::ZERO));
    Ok(response)
}

pub(super) async fn sign_out_everywhere(
    State(app): State<App>,
    identity: Identity,
) -> Result<Response, ApiError> {
    let (desk, person) = (desk(&app)?, signed_in(&identity)?);
    let ended = app.sam.end_logins(person.account.id, &identity.caller()).await?;
    desk.end_user_token(person.account.id).await;
    let mut response = Json(LoginsEnded { ended }).into_response();
    put_cookie(&mut response, desk, desk.site().login_cookie(), ("", Duration::ZERO));
    Ok(response)
}

/// Begins a sign-in for a machine without a browser.
pub(super) async fn device(State(app): State<App>) -> Result<Json<DeviceSignIn>, ApiError> {
    let desk = desk(&app)?;
    let _turn = desk.turn()?;
    let begun = desk.github().begin_device().await?;
    let sealed = SealedDevice::new(&begun, app.sam.clock().now());
    Ok(Json(DeviceSignIn {
        device: desk.seals().seal_device(&sealed).await?,
        user_code: begun.user_code,
        verification_uri: begun.verification_uri,
        expires_at: begun.expires_at.into(),
        interval_ms: millis(begun.interval),
    }))
}

/// Asks GitHub whether the person has agreed, unless it is too early to.
pub(super) async fn poll_device(
    State(app): State<App>,
    request_id: Option<Extension<RequestId>>,
    headers: HeaderMap,
    Json(poll): Json<DevicePoll>,
) -> Result<Json<DevicePolled>, ApiError> {
    let (desk, now) = (desk(&app)?, app.sam.clock().now());
    let known = desk.seals().open_device(&poll.device).await;
    let known = known.ok_or_else(|| not_begun("this sign-in was not begun here"))?;
    if known.is_over(now) {
        return Err(not_begun("nobody entered the code in time").into());
    }
    let early = known.too_early_by(now);
    if !early.is_zero() {
        return Ok(Json(DevicePolled::Pending { interval_ms: millis(early), device: poll.device }));
    }
    let mut device = known.device();
    let polled = {
        let _turn = desk.turn()?;
        desk.github().poll_device(&mut device).await?
    };
    let GithubPoll::Done(token) = polled else {
        let sealed = SealedDevice::new(&device, app.sam.clock().now());
        let device_text = desk.seals().seal_device(&sealed).await?;
        let interval_ms = millis(device.interval);
        return Ok(Json(DevicePolled::Pending { interval_ms, device: device_text }));
    };
    let caller = Caller::named("github").with_request_id(request_id.map(|Extension(id)| id.0));
    let holder = (LoginChannel::Device, user_agent(&headers));
    let signed_in = desk.welcome(&app.sam, token, holder, &caller).await?;
    Ok(Json(DevicePolled::Done {
        token: signed_in.token.expose().clone(),
        account: Box::new(project::account(&signed_in.account)),
    }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    after: Option<String>,
}

pub(super) async fn accounts(
    State(app): State<App>,
    _admin: Admin,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Account>>, ApiError> {
    let page = app.sam.list_accounts(query.after, Page::<Account>::LIMIT_MAX).await?;
    let items = page.items.iter().map(|account| project::account(&account.record)).collect();
    Ok(Json(Page::new(items, page.next)))
}

fn not_begun(message: &'static str) -> Error {
    Error::new(ErrorKind::Unauthenticated, message).with_hint("begin again, in the same browser")
}

fn refused(code: String) -> Error {
    let message = match code.as_str() {
        "access_denied" => "you refused on GitHub's page",
        _ => "GitHub refused the sign-in",
    };
    Error::new(ErrorKind::Denied, message)
        .with_provider_code(code)
        .with_hint("begin again, and agree on GitHub's page")
}

fn user_agent(headers: &HeaderMap) -> Option<&str> {
    headers.get(USER_AGENT).and_then(|value| value.to_str().ok())
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Sends a browser elsewhere; what leads there is not kept.
fn found(to: &str) -> Result<Response> {
    let location = HeaderValue::try_from(to).map_err(|error| {
        Error::new(ErrorKind::Bug, "an address cannot be put into a header").with_source(error)
    })?;
    let headers = [(LOCATION, location), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    Ok((StatusCode::FOUND, headers).into_response())
}

fn put_cookie(
    response: &mut Response,
    desk: &SignInDesk,
    name: &str,
    (value, lasts): (&str, Duration),
) {
    if let Some(header) = set_cookie(name, value, lasts, desk.site().is_secure()) {
        response.headers_mut().append(SET_COOKIE, header);
    }
}

/// Writes a text as a value of a query.
fn form_urlencode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len() * 3), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _infallible = write!(out, "%{byte:02X}");
        }
        out
    })
}
