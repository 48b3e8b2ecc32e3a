//! The agent's routes: who may ask what, what malformed messages earn, and how work is reported.

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tower::ServiceExt as _;

use sam_core::auth::{NodeToken, sign_node_token};
use sam_core::keys::Ed25519Verifier;
use sam_core::node_link::{Activity, IdleEnd, NodeLink as _, Preparation, Prepare};
use sam_core::workspace::Checkout;

use super::fake::ECHO;
use super::link::{attach_path, next};
use super::*;
use crate::wire::{ExecEvent, ExitStatus, Frame};

/// The name of work that a workspace declares.
const WORK: &str = "build";

/// The router with the fake holder, for requests without a link.
pub(super) async fn bare_router(directory: &std::path::Path, node: NodeId) -> Router {
    let git = Git::new("git".into(), environment());
    router::router(Arc::new(Parts {
        node,
        verifier: Arc::new(Ed25519Verifier::new([server_signer().public_key()]).unwrap()),
        now: wall_clock,
        holder: Arc::new(FakeHolder::default()),
        workspaces: Workspaces::open(directory, git, None).await.unwrap(),
    }))
}

async fn bearer(token: &NodeToken, signer: &Ed25519Signer) -> String {
    format!("Bearer {}", sign_node_token(token, signer).await.unwrap().expose())
}

async fn answer(router: &Router, method: &str, path: &str, bearer: Option<&str>) -> (u16, Value) {
    let mut request = http::Request::builder().method(method).uri(path);
    if let Some(bearer) = bearer {
        request = request.header("authorization", bearer);
    }
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    if status >= 400 {
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
    let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn every_route_refuses_no_wrong_and_foreign_tokens() {
    let here = tempfile::tempdir().unwrap();
    let router = bare_router(here.path(), NODE).await;
    let now = wall_clock();
    let all = [
        NodeRight::Activity,
        NodeRight::Drain,
        NodeRight::Exec,
        NodeRight::Prepare,
        NodeRight::Remove,
        NodeRight::Status,
        NodeRight::Stop,
        NodeRight::Terminal,
        NodeRight::Warn,
        NodeRight::Work,
    ];
    let claims = |node, at| {
        NodeToken::new("rig".into(), node, "tester".into(), at).with_workspace(Some(WORKSPACE))
    };
    let long_ago = Timestamp::from_micros(now.as_micros() - 120_000_000);
    let foreigner = Ed25519Signer::from_seed(&Secret::new([9; 32]));
    let mine = server_signer();
    let elsewhere = Some(WorkspaceId::from_bits(6));
    let workspace = format!("/v1/workspaces/{WORKSPACE}");
    let table = [
        ("GET", "/v1/status".to_owned(), NodeRight::Status),
        ("POST", "/v1/drain".to_owned(), NodeRight::Drain),
        ("PUT", workspace.clone(), NodeRight::Prepare),
        ("DELETE", workspace.clone(), NodeRight::Remove),
        ("POST", format!("{workspace}/stop"), NodeRight::Stop),
        ("POST", format!("{workspace}/stop-idle"), NodeRight::Stop),
        ("GET", format!("{workspace}/activity"), NodeRight::Activity),
        ("POST", format!("{workspace}/warning"), NodeRight::Warn),
        ("PUT", format!("{workspace}/work/{WORK}"), NodeRight::Work),
        ("DELETE", format!("{workspace}/work/{WORK}"), NodeRight::Work),
        ("GET", format!("{workspace}/terminals"), NodeRight::Terminal),
        ("POST", format!("{workspace}/terminals"), NodeRight::Terminal),
        ("DELETE", format!("{workspace}/terminals/{ECHO}"), NodeRight::Terminal),
        ("GET", format!("{workspace}/terminals/{ECHO}/attach"), NodeRight::Terminal),
        ("GET", format!("{workspace}/exec"), NodeRight::Exec),
    ];
    for (method, path, right) in &table {
        let others = all.into_iter().filter(|other| other != right);
        let mut cases = vec![
            (None, 401),
            (Some("Bearer x".to_owned()), 401),
            (Some("Basic eDp5".to_owned()), 401),
            (Some(bearer(&claims(NODE, long_ago).with_rights(all), &mine).await), 401),
            (Some(bearer(&claims(NodeId::from_bits(1), now).with_rights(all), &mine).await), 401),
            (Some(bearer(&claims(NODE, now).with_rights(all), &foreigner).await), 401),
            (Some(bearer(&claims(NODE, now).with_rights(others), &mine).await), 403),
        ];
        if path.contains("workspaces") {
            for workspace in [None, elsewhere] {
                let foreign = claims(NODE, now).with_rights(all).with_workspace(workspace);
                cases.push((Some(bearer(&foreign, &mine).await), 403));
            }
        }
        for (index, (bearer, expected)) in cases.into_iter().enumerate() {
            let (status, problem) = answer(&router, method, path, bearer.as_deref()).await;
            assert_eq!(status, expected, "{method} {path}, case {index}");
            let code = if expected == 401 { "unauthenticated" } else { "denied" };
            assert_eq!(problem["code"], code, "{method} {path}, case {index}");
        }
    }
}

#[tokio::test]
async fn unknown_routes_ids_and_methods_are_problems() {
    let here = tempfile::tempdir().unwrap();
    let router = bare_router(here.path(), NODE).await;
    for (method, path, status) in [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/drain", 405),
        ("POST", "/v1/workspaces/nd-1/stop", 400),
    ] {
        let (found, problem) = answer(&router, method, path, None).await;
        assert_eq!((found, problem["detail"].is_string()), (status, true), "{method} {path}");
    }
}

#[tokio::test]
async fn a_workspace_that_is_not_prepared_has_no_terminals_and_runs_nothing() {
    let rig = Rig::connected().await;
    let list = format!("/v1/workspaces/{WORKSPACE}/terminals");
    for method in ["GET", "POST"] {
        let (status, problem) = rig.ask(method, &list, &json!({}), [NodeRight::Terminal]).await;
        assert_eq!((status, problem["code"].as_str()), (404, Some("not_found")));
    }
    for path in [attach_path(ECHO), format!("v1/workspaces/{WORKSPACE}/exec")] {
        let refused = rig.open(&path).await.unwrap_err();
        assert!(refused.to_string().contains("404"), "{refused}");
    }
}

#[tokio::test]
async fn terminals_are_opened_listed_and_closed() {
    let rig = Rig::connected().await;
    rig.fake_checkout();
    let path = format!("/v1/workspaces/{WORKSPACE}/terminals");
    let size = json!({"size": {"cols": 90, "rows": 30}});
    let (status, info) = rig.ask("POST", &path, &size, [NodeRight::Terminal]).await;
    assert_eq!((status, &info["size"]["cols"]), (201, &json!(90)));
    let (status, list) = rig.ask("GET", &path, &Value::Null, [NodeRight::Terminal]).await;
    assert_eq!((status, &list["items"][0]["id"]), (200, &json!(ECHO)));
    let one = format!("{path}/{ECHO}");
    let (status, _) = rig.ask("DELETE", &one, &Value::Null, [NodeRight::Terminal]).await;
    assert_eq!(status, 204);
    let (status, problem) =
        rig.ask("POST", &path, &json!({"nope": 1}), [NodeRight::Terminal]).await;
    assert_eq!((status, problem["code"].as_str()), (400, Some("bad_input")));
}

#[tokio::test]
async fn malformed_messages_end_their_own_socket_and_nothing_else() {
    let rig = Rig::connected().await;
    rig.fake_checkout();
    let mut bystander = rig.open(&attach_path(ECHO)).await.unwrap();
    let input = |length| Message::Binary(Frame::Input(&vec![0; length]).encode().into());
    for (message, code) in [
        (Message::Binary(vec![9, 9].into()), 1002),
        (Message::Binary(vec![].into()), 1002),
        (input(crate::wire::FRAME_PAYLOAD_BYTES_MAX + 1), 1002),
        (Message::Binary(Frame::Output { offset: 0, bytes: b"x" }.encode().into()), 1003),
        (Message::Text("{\"type\":\"reboot\"}".into()), 1002),
    ] {
        let mut client = rig.open(&attach_path(ECHO)).await.unwrap();
        client.send(message.clone()).await.unwrap();
        let Message::Close(Some(frame)) = next(&mut client).await else {
            panic!("{message:?} closes the socket")
        };
        assert_eq!(u16::from(frame.code), code, "{message:?}");
        assert!(!frame.reason.is_empty());
    }
    bystander.send(input(3)).await.unwrap();
    assert!(next(&mut bystander).await.is_binary());
}

#[tokio::test]
async fn a_command_gets_its_input_and_says_how_it_ended() {
    let rig = Rig::connected().await;
    rig.fake_checkout();
    let path = format!("v1/workspaces/{WORKSPACE}/exec");
    let mut client = rig.open(&path).await.unwrap();
    client.send(Message::Text(r#"{"command":["cat"]}"#.into())).await.unwrap();
    client.send(Message::Binary(Frame::Input(b"some").encode().into())).await.unwrap();
    let Message::Binary(bytes) = next(&mut client).await else { panic!("output comes first") };
    assert_eq!(Frame::parse(&bytes), Ok(Frame::Stdout(b"some")));
    client.send(Message::Text(r#"{"type":"eof"}"#.into())).await.unwrap();
    let Message::Text(event) = next(&mut client).await else { panic!("then the end") };
    let event: ExecEvent = serde_json::from_str(event.as_str()).unwrap();
    assert_eq!(event, ExecEvent::Exit { status: ExitStatus::Code(0) });
    assert!(next(&mut client).await.is_close());

    let mut client = rig.open(&path).await.unwrap();
    client.send(Message::Text(r#"{"command":["nope"]}"#.into())).await.unwrap();
    let Message::Text(event) = next(&mut client).await else { panic!("it says why not") };
    let ExecEvent::Failed { error } = serde_json::from_str(event.as_str()).unwrap() else {
        panic!("it failed")
    };
    assert_eq!(error.kind, ErrorKind::NotFound);

    for bad in [Message::Text("{}".into()), Message::Binary(Frame::Input(b"x").encode().into())] {
        let mut client = rig.open(&path).await.unwrap();
        client.send(bad).await.unwrap();
        let Message::Close(Some(frame)) = next(&mut client).await else { panic!("it closes") };
        assert_eq!(u16::from(frame.code), 1002);
    }
}

#[tokio::test]
async fn input_after_the_end_of_a_command_does_not_hide_how_it_ended() {
    let rig = Rig::connected().await;
    rig.fake_checkout();
    let mut client = rig.open(&format!("v1/workspaces/{WORKSPACE}/exec")).await.unwrap();
    client.feed(Message::Text(r#"{"command":["true"]}"#.into())).await.unwrap();
    client.send(Message::Binary(Frame::Input(b"unread").encode().into())).await.unwrap();
    let Message::Binary(bytes) = next(&mut client).await else { panic!("output comes first") };
    assert_eq!(Frame::parse(&bytes), Ok(Frame::Stderr(b"word")));
    let Message::Text(event) = next(&mut client).await else { panic!("then the end") };
    let event: ExecEvent = serde_json::from_str(event.as_str()).unwrap();
    assert_eq!(event, ExecEvent::Exit { status: ExitStatus::Code(0) });
    let Message::Close(Some(frame)) = next(&mut client).await else { panic!("it closes") };
    assert_eq!(u16::from(frame.code), 1000);
}

#[tokio::test]
async fn the_engine_prepares_drains_and_removes_through_the_link() {
    let rig = Rig::connected().await;
    let controller = &rig.server.controller;
    let repo = checkout::tests::Repo::new().await;
    let request = Prepare::new(WORKSPACE, repo.repo_ref(), Checkout::Default);
    let ready = until_done(controller, &request).await;
    let commit = Some(repo.main_commit.clone());
    assert_eq!(ready, Preparation::Ready { commit, branch: Some("main".into()) });
    controller.stop(NODE, WORKSPACE).await.unwrap();
    controller.drain(NODE).await.unwrap();
    // What is there stays usable; what is new is refused.
    assert_eq!(until_done(controller, &request).await, ready);
    let other = WorkspaceId::from_bits(6);
    let new = Prepare::new(other, repo.repo_ref(), Checkout::Default);
    let error = controller.prepare(NODE, &new).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    controller.remove(NODE, WORKSPACE).await.unwrap();
    controller.remove(NODE, WORKSPACE).await.unwrap();
    assert!(!rig.directory.path().join("ws").join(WORKSPACE.to_string()).exists());
}

#[tokio::test]
async fn a_failed_checkout_is_told_once_and_then_tried_again() {
    let rig = Rig::connected().await;
    let controller = &rig.server.controller;
    let repo = checkout::tests::Repo::new().await;
    let name = "late".parse().unwrap();
    let request = Prepare::new(WORKSPACE, repo.repo_ref(), Checkout::Ref(name));
    let Preparation::Failed { error } = until_done(controller, &request).await else {
        panic!("there is no such branch yet")
    };
    assert_eq!(error.kind, ErrorKind::NotFound);
    repo.git(&["branch", "late"]).await;
    let ready = until_done(controller, &request).await;
    assert!(matches!(ready, Preparation::Ready { branch: Some(branch), .. } if branch == "late"));
}

#[tokio::test]
async fn activity_work_and_warnings_travel_through_the_link() {
    let rig = Rig::connected().await;
    let controller = &rig.server.controller;
    let absent = controller.activity(NODE, WORKSPACE).await.unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);
    rig.fake_checkout();
    let quiet = Activity::quiet(Duration::from_secs(90));
    assert_eq!(controller.activity(NODE, WORKSPACE).await.unwrap(), quiet);
    assert_eq!(controller.stop_idle(NODE, WORKSPACE).await.unwrap(), IdleEnd::InUse);

    let path = format!("/v1/workspaces/{WORKSPACE}/work/{WORK}");
    let declared = json!({"for_ms": 60_000});
    for _ in 0..2 {
        let (status, _) = rig.ask("PUT", &path, &declared, [NodeRight::Work]).await;
        assert_eq!(status, 204);
    }
    let seen = controller.activity(NODE, WORKSPACE).await.unwrap();
    assert_eq!((seen.work.len(), seen.work[0].name.as_str()), (1, WORK));
    for bad in [json!({"for_ms": 0}), json!({"for_ms": 86_400_001}), json!({"for": 5}), json!({})] {
        let (status, _) = rig.ask("PUT", &path, &bad, [NodeRight::Work]).await;
        assert_eq!(status, 400, "{bad}");
    }
    let odd = path.replace(WORK, "a%20b");
    assert_eq!(rig.ask("PUT", &odd, &declared, [NodeRight::Work]).await.0, 400);
    for _ in 0..2 {
        let (status, _) = rig.ask("DELETE", &path, &Value::Null, [NodeRight::Work]).await;
        assert_eq!(status, 204);
    }

    let long = "x".repeat(crate::wire::NOTICE_BYTES_MAX + 1);
    let refused = controller.warn(NODE, WORKSPACE, &long).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::BadInput);
    controller.warn(NODE, WORKSPACE, "soon").await.unwrap();
    let warned = quiet.with_warned_for(Some(Duration::from_secs(7)));
    assert_eq!(controller.activity(NODE, WORKSPACE).await.unwrap(), warned);
    assert_eq!(controller.stop_idle(NODE, WORKSPACE).await.unwrap(), IdleEnd::Ended);
}

/// Asks as the engine does, until the checkout has ended.
async fn until_done(controller: &Controller, request: &Prepare) -> Preparation {
    for _ in 0..30 {
        let preparation = controller.prepare(NODE, request).await.unwrap();
        if !matches!(preparation, Preparation::InProgress { .. }) {
            return preparation;
        }
    }
    panic!("the checkout did not end")
}
