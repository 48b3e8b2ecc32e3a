//! Tests.

use futures_util::FutureExt as _;
use http::{Method, StatusCode};
use sam_core::http::ScriptedHttp;
use sam_core::time::{ManualClock, Timestamp};

use super::*;

fn dialect(response: &Response<Bytes>) -> Option<Refusal> {
    let refusal = Refusal::of_status(response.status(), response.headers())?;
    Some(refusal.with_sentence(String::from_utf8_lossy(response.body())))
}

fn api(http: ScriptedHttp) -> (Api, Arc<ScriptedHttp>, ManualClock) {
    let (http, clock) = (Arc::new(http), ManualClock::new(Timestamp::EPOCH));
    let token = Secret::new("canary".to_owned());
    let outside = Outside::new(Arc::clone(&http) as _, Arc::new(clock.clone()));
    let base = BaseUrl::known("https://api.example/v1");
    let api = Api::new("Example", base, Credential::bearer(&token), dialect, outside);
    (api, http, clock)
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing waits")
}

#[test]
fn a_call_carries_path_query_body_and_credential() {
    let (api, http, _) = api(ScriptedHttp::new().answer(201, "{\"id\":7}"));
    let call = Call::new("create", Method::POST, format!("/things/{}", segment("a/b c")))
        .with_query("label", "x==y&z")
        .with_query("page", "1")
        .with_header("x-lease", "l")
        .with_body(&serde_json::json!({ "name": "n" }));
    let answer = now(api.send(&call)).unwrap();
    assert_eq!(answer.read::<serde_json::Value>().unwrap()["id"], 7);
    let asked = &http.asked()[0];
    assert_eq!(asked.uri(), "https://api.example/v1/things/a%2Fb%20c?label=x%3D%3Dy%26z&page=1");
    assert_eq!(asked.headers()["authorization"], "Bearer canary");
    assert!(asked.headers()["authorization"].is_sensitive());
    assert_eq!(asked.headers()["x-lease"], "l");
    assert_eq!(asked.headers()["content-type"], "application/json");
    assert_eq!(&asked.body()[..], b"{\"name\":\"n\"}");
}

#[test]
fn what_may_have_happened_is_told_from_what_did_not() {
    use Effect::{NotApplied, Unknown};
    let effect = |method: Method, status: u16| {
        let (api, ..) = api(ScriptedHttp::new().answer(status, "no"));
        let error = now(api.send(&Call::new("x", method, "/"))).unwrap_err();
        assert_eq!(error.provider_code(), Some(status.to_string().as_str()));
        (error.kind(), error.effect())
    };
    assert_eq!(effect(Method::POST, 500), (ErrorKind::Unavailable, Unknown));
    assert_eq!(effect(Method::POST, 504), (ErrorKind::Timeout, Unknown));
    assert_eq!(effect(Method::DELETE, 408), (ErrorKind::Timeout, Unknown));
    assert_eq!(effect(Method::GET, 500), (ErrorKind::Unavailable, NotApplied));
    assert_eq!(effect(Method::POST, 422), (ErrorKind::BadInput, NotApplied));
    assert_eq!(effect(Method::POST, 401), (ErrorKind::Unauthenticated, NotApplied));
    assert_eq!(effect(Method::POST, 302), (ErrorKind::Corrupt, NotApplied));
    let cut = || Err(Error::new(ErrorKind::Unavailable, "cut").with_effect(Unknown));
    for (method, expected) in [(Method::POST, Unknown), (Method::GET, NotApplied)] {
        let (api, ..) = api(ScriptedHttp::new().line(cut()));
        let error = now(api.send(&Call::new("x", method, "/"))).unwrap_err();
        assert_eq!(error.effect(), expected);
    }
}

#[test]
fn an_announced_limit_is_kept_and_ends() {
    let mut limited = Response::new(Bytes::new());
    *limited.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    limited.headers_mut().insert("retry-after", HeaderValue::from_static("7"));
    let (api, http, clock) = api(ScriptedHttp::new().line(Ok(limited)).answer(200, "{}"));
    let call = Call::get("list", "/");
    let wait = Retry::After(Duration::from_secs(7));
    assert_eq!(now(api.send(&call)).unwrap_err().retry(), wait);
    let error = now(api.send(&call)).unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::RateLimited, wait));
    assert_eq!(http.asked().len(), 1);
    clock.advance(Duration::from_secs(7));
    now(api.send(&call)).unwrap();
}

#[test]
fn neither_the_credential_nor_a_body_is_told() {
    let (api, ..) = api(ScriptedHttp::new()
        .answer(401, "token canary is wrong")
        .answer(200, "<html>canary</html>")
        .answer(400, format!("line\none{}", "x".repeat(400))));
    let refused = now(api.send(&Call::get("x", "/"))).unwrap_err();
    let answer = now(api.send(&Call::get("x", "/"))).unwrap();
    let unread = answer.read::<serde_json::Value>().unwrap_err();
    assert_eq!(unread.kind(), ErrorKind::Corrupt);
    let call = Call::get("x", "/").with_header("x", "canary").with_body(&"canary");
    assert!(!format!("{call:?}").contains("canary"), "{call:?}");
    for error in [refused, unread] {
        let told = format!("{error} {error:?} {api:?}");
        assert!(!told.contains("canary"), "{told}");
    }
    let long = now(api.send(&Call::get("x", "/"))).unwrap_err().to_string();
    assert!(long.len() < 350 && !long.contains('\n'), "{long}");
}
