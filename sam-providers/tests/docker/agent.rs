//! Our own program in a container: it starts there, and reaches the control plane's socket.

use std::path::PathBuf;
use std::time::Instant;

use sam_core::compute::ComputeProvider as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::engine::{self, Home, PATIENCE, TOKEN, config};
use super::fake;

/// Finds the program that becomes a node: `sam` or `sam-agentd`.
pub(crate) fn program() -> Option<PathBuf> {
    if let Some(named) = engine::named("SAM_TEST_DOCKER_PROGRAM") {
        return Some(PathBuf::from(named));
    }
    // Tests lie in `deps`, programs beside it.
    let tests = std::env::current_exe().ok()?;
    let beside = tests.parent()?.parent()?.join("sam");
    beside.is_file().then_some(beside)
}

pub(crate) async fn our_agent_starts_in_a_container_and_dials() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agents.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let config = config()
        .with_node_command(vec!["/usr/local/bin/sam".to_owned()])
        .with_program(program().expect("looked for before"))
        .with_control_dir(dir.path().to_owned());
    let home = Home::of(config);
    let request = home.request_to(&format!("unix:{}", socket.display()));
    home.compute.create_machine(&request).await.unwrap();

    let begun_at = Instant::now();
    let body = loop {
        assert!(begun_at.elapsed() < PATIENCE, "the agent does not dial");
        #[expect(clippy::disallowed_methods, reason = "an agent that does not dial must fail")]
        let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await;
        let (mut stream, _) = accepted.expect("the agent dials").unwrap();
        let mut bytes = Vec::new();
        let asked = loop {
            if let Some(asked) = fake::parse(&bytes) {
                break Some(asked);
            }
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                break None;
            }
        };
        let refusal = "HTTP/1.1 503 Later\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _sent = stream.write_all(refusal.as_bytes()).await;
        if let Some(asked) = asked.filter(|asked| asked.path() == "/api/bootstrap") {
            break serde_json::from_slice::<Value>(&asked.body).unwrap();
        }
    };
    // It trades the token of its boot data for an identity, under its own name.
    assert_eq!(body["node_id"], json!(request.boot.node_id));
    assert_eq!(body["token"], TOKEN);
    assert!(body["public_key"].is_string(), "{body}");
    // Nothing that the node printed has the token in it.
    let docker = engine::docker().await;
    let options = bollard::query_parameters::LogsOptions {
        stdout: true,
        stderr: true,
        tail: "all".to_owned(),
        ..Default::default()
    };
    let lines = docker.logs(request.key.as_str(), Some(options));
    let lines: Vec<_> = futures_util::TryStreamExt::try_collect(lines).await.unwrap();
    let printed: String = lines.iter().map(ToString::to_string).collect();
    assert!(!printed.is_empty() && !printed.contains(TOKEN), "{printed}");
    home.close().await;
}
