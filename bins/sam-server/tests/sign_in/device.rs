//! Signing in from a machine without a browser.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::bench::{Answer, Bench, send};

async fn post(bench: &Bench, path: &str, body: Value) -> Answer {
    let request = Request::post(path).header("content-type", "application/json");
    let request = request.header("user-agent", "sam/test");
    send(&bench.router, request.body(Body::from(body.to_string())).unwrap()).await
}

async fn begin(bench: &Bench) -> Value {
    let begun = post(bench, "/api/auth/device", json!({})).await;
    assert_eq!(begun.status, 200, "{}", begun.text);
    begun.json()
}

async fn poll(bench: &Bench, device: &Value) -> Answer {
    post(bench, "/api/auth/device/poll", json!({ "device": device })).await
}

fn asked(bench: &Bench) -> usize {
    bench.github.count("POST /login/oauth/access_token")
}

#[tokio::test]
async fn a_command_line_signs_in_at_the_pace_that_github_says() {
    let bench = Bench::new().await;
    let begun = begin(&bench).await;
    assert_eq!(begun["interval_ms"], json!(5_000));
    assert!(begun["verification_uri"].as_str().unwrap().ends_with("/login/device"));
    // Too early: GitHub is not asked.
    let early = poll(&bench, &begun["device"]).await.json();
    assert_eq!((&early["status"], asked(&bench)), (&json!("pending"), 0));
    bench.clock.advance(Duration::from_secs(5));
    let first = poll(&bench, &begun["device"]).await.json();
    assert_eq!((&first["interval_ms"], asked(&bench)), (&json!(5_000), 1));
    // Who goes on with an old answer is told by GitHub to slow down, and that is kept to.
    let slowed = poll(&bench, &begun["device"]).await.json();
    assert_eq!((&slowed["interval_ms"], asked(&bench)), (&json!(10_000), 2));
    bench.clock.advance(Duration::from_secs(9));
    let still = poll(&bench, &slowed["device"]).await.json();
    assert_eq!((&still["interval_ms"], asked(&bench)), (&json!(1_000), 2));
    assert!(bench.github.approve_device(begun["user_code"].as_str().unwrap(), "mona"));
    bench.clock.advance(Duration::from_secs(1));
    let done = poll(&bench, &still["device"]).await.json();
    assert_eq!((&done["status"], &done["account"]["handle"]), (&json!("done"), &json!("mona")));
    let token = done["token"].as_str().unwrap();
    let me = bench.ask(Method::GET, "/api/auth/me", token).await;
    assert_eq!((me.status, &me.json()["account"]), (200, &done["account"]));
    // No Origin is needed where a page cannot have sent it.
    assert_eq!(bench.ask(Method::POST, "/api/auth/sign-out", token).await.status, 204);
    assert_eq!(bench.ask(Method::GET, "/api/auth/me", token).await.status, 401);
    // The code is used up.
    assert_eq!(poll(&bench, &still["device"]).await.status, 401);
}

#[tokio::test]
async fn nobody_in_time_a_foreign_code_and_who_is_not_listed_come_to_nothing() {
    let bench = Bench::new().await;
    let late = begin(&bench).await;
    bench.clock.advance(Duration::from_mins(15));
    let over = poll(&bench, &late["device"]).await;
    assert_eq!((over.status, asked(&bench)), (401, 0), "{}", over.text);
    for none in [json!(""), json!("AAAA"), json!("x".repeat(9_000))] {
        assert_eq!(poll(&bench, &none).await.status, 401);
    }
    assert_eq!(post(&bench, "/api/auth/device/poll", json!({})).await.status, 422);
    let begun = begin(&bench).await;
    assert!(bench.github.approve_device(begun["user_code"].as_str().unwrap(), "eve"));
    bench.clock.advance(Duration::from_secs(5));
    let refused = poll(&bench, &begun["device"]).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    // Of another replica with the same keys it is taken; where nobody can sign in, nothing is.
    let begun = begin(&bench).await;
    let request = |path: &str| {
        let body = Body::from(json!({ "device": begun["device"] }).to_string());
        Request::post(path).header("content-type", "application/json").body(body).unwrap()
    };
    let there = send(&bench.replica(None), request("/api/auth/device/poll")).await;
    assert_eq!(there.json()["status"], "pending");
    for path in ["/api/auth/device", "/api/auth/device/poll"] {
        assert_eq!(send(&bench.closed(), request(path)).await.status, 404, "{path}");
    }
}
