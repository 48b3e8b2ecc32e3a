//! Git's questions, from a workspace's socket to the control plane.

use std::os::unix::fs::PermissionsExt as _;

use axum::Json;

use super::*;
use crate::git_credential::{SOCKET_FILE, ask};
use crate::wire::{GitCredentialAsk, GitCredentialReply};

const QUESTION: &str = "protocol=https\nhost=github.com\npath=octo/hello.git\n";

/// Answers with who asked what; refuses what the node's key has not signed.
pub(super) async fn git_credential(
    State(server): State<Arc<Server>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let key = *server.public_key.lock().unwrap();
    let verify = || {
        let assertion: Assertion = headers.get(ASSERTION_HEADER)?.to_str().ok()?.parse().ok()?;
        let fresh = (&server.challenge, wall_clock());
        assertion.verify_request(key?, fresh, GIT_CREDENTIAL_PATH, &body).ok()
    };
    if verify().is_none() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let asked: GitCredentialAsk = serde_json::from_slice(&body).unwrap();
    let answer = format!("{} {} {}", asked.workspace_id, asked.action, asked.question);
    Json(GitCredentialReply { answer: Some(answer), refusal: None }).into_response()
}

fn socket(rig: &Rig, workspace: WorkspaceId) -> PathBuf {
    rig.directory.path().join("ws").join(workspace.to_string()).join(SOCKET_FILE)
}

#[tokio::test]
async fn a_socket_speaks_for_its_own_workspace_and_only_to_its_owner() {
    let mut rig = Rig::server().await;
    // As an agent finds them that is started anew.
    let other = WorkspaceId::from_bits(6);
    for workspace in [WORKSPACE, other] {
        std::fs::create_dir_all(socket(&rig, workspace).parent().unwrap()).unwrap();
    }
    // One address of the control plane is not there.
    rig.write_boot(&format!("http://127.0.0.1:1,{}", rig.url()));
    rig.start_agent();
    rig.wait_until_connected().await;
    let question = Secret::new(QUESTION.to_owned());
    for workspace in [WORKSPACE, other] {
        let path = socket(&rig, workspace);
        let reply = ask(&path, "get", &question).await.unwrap();
        assert_eq!(reply.answer.unwrap(), format!("{workspace} get {QUESTION}"));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    // With the workspace its socket goes.
    let path = format!("/v1/workspaces/{WORKSPACE}");
    let nothing = serde_json::Value::Null;
    let (status, _) = rig.ask("DELETE", &path, &nothing, [NodeRight::Remove]).await;
    assert_eq!(status, 204);
    assert!(!socket(&rig, WORKSPACE).exists());
}

#[tokio::test]
async fn what_the_control_plane_refuses_is_told_and_is_no_credential() {
    let mut rig = Rig::server().await;
    rig.fake_checkout();
    rig.write_boot(&rig.url());
    rig.start_agent();
    rig.wait_until_connected().await;
    // Another key than the one that signs.
    *rig.server.public_key.lock().unwrap() = Some([7; 32]);
    let question = Secret::new(format!("{QUESTION}password=canary\n"));
    let reply = ask(&socket(&rig, WORKSPACE), "erase", &question).await.unwrap();
    assert_eq!(reply.answer, None);
    let refusal = reply.refusal.unwrap();
    assert!(refusal.contains("401") && !refusal.contains("canary"), "{refusal}");
}
