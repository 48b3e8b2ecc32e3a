//! Nodes that are containers, on a real engine.

use std::path::PathBuf;

use libtest_mimic::Trial;
use serde_json::Value;
use tokio::process::Command;

use crate::deadline::{LIMIT, within};
use crate::home::{Home, said, skipped};

crate::home::trials! {
    fn all,
    a_workspace_in_a_container_runs_a_command_and_leaves_nothing,
    a_container_sees_its_own_processes_and_files_only,
}

/// The tests, or one that says why there are none.
pub(crate) fn trials() -> Vec<Trial> {
    let socket = socket();
    if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
        return all();
    }
    let why =
        format!("no Docker engine answers at {}; set SAM_TEST_DOCKER_SOCKET", socket.display());
    vec![skipped("docker", &why)]
}

fn socket() -> PathBuf {
    variable("SAM_TEST_DOCKER_SOCKET").unwrap_or_else(|| "/var/run/docker.sock".to_owned()).into()
}

fn image() -> String {
    variable("SAM_TEST_DOCKER_IMAGE").unwrap_or_else(|| "sam-test-node:latest".to_owned())
}

#[expect(clippy::disallowed_methods, reason = "a test is told by it where its peer is")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `sam` with containers set up, on a network of the test's own.
fn sam(home: &Home, arguments: &[&str]) -> Command {
    let name = home.path().file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let mut command = home.sam(arguments);
    command
        .env("SAM_DOCKER_SOCKET", format!("unix:{}", socket().display()))
        .env("SAM_DOCKER_IMAGE", image())
        .env("SAM_DOCKER_NETWORK", name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"))
        .env("SAM_DOCKER_SHOWN", home.path().join("repo"));
    command
}

async fn done(home: &Home, arguments: &[&str]) -> String {
    let output = within("sam", LIMIT, sam(home, arguments).output()).await.expect("sam starts");
    assert!(output.status.success(), "sam {arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// What the engine has of an installation's nodes: containers and volumes, by name.
async fn left(home: &Home, nodes: &[String]) -> Vec<String> {
    let mut left = Vec::new();
    for node in nodes {
        for sort in ["container", "volume"] {
            let mut docker = home.command("docker");
            docker.arg("-H").arg(format!("unix://{}", socket().display()));
            docker.args([sort, "inspect", "--format", "{{.Name}}", node]);
            let output = within("docker", LIMIT, docker.output()).await.expect("docker starts");
            if output.status.success() {
                left.push(format!("{sort} {node}"));
            }
        }
    }
    left
}

async fn nodes(home: &Home) -> Vec<String> {
    let listed = done(home, &["node", "ls", "--all", "--json"]).await;
    let read = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
    let nodes: Vec<Value> = listed.lines().map(read).collect();
    assert!(nodes.iter().all(|node| node["provider"] == "docker"), "{nodes:?}");
    nodes.iter().filter_map(|node| node["id"].as_str().map(str::to_owned)).collect()
}

async fn a_workspace_in_a_container_runs_a_command_and_leaves_nothing(home: &Home) {
    let repo = home.repo().await;
    let repo = repo.to_str().expect("UTF-8");
    let up = ["up", repo, "--provider", "docker", "--rm", "--exec"];
    let exec = |command: &'static str| [&up[..], &[command]].concat();
    let printed = done(home, &exec("uname -a && git log -1 --format=%s && hostname")).await;
    assert!(printed.starts_with("Linux "), "{printed}");
    let output =
        within("sam", LIMIT, sam(home, &exec("exit 7")).output()).await.expect("sam starts");
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    let providers = done(home, &["providers"]).await;
    assert!(providers.contains("docker") && providers.contains("small"), "{providers}");
    let nodes = nodes(home).await;
    assert_eq!(nodes.len(), 2);
    assert_eq!(left(home, &nodes).await, Vec::<String>::new());
    done(home, &["daemon", "stop"]).await;
}

async fn a_container_sees_its_own_processes_and_files_only(home: &Home) {
    let repo = home.repo().await;
    let repo = repo.to_str().expect("UTF-8");
    done(home, &["up", repo, "--provider", "docker", "--no-attach", "--name", "one"]).await;
    // The control plane's keys are beside the socket's directory, and not in it.
    let keys = home.data().join("keys.json");
    assert!(keys.is_file());
    let look = format!("test ! -e {} && ls /proc | grep -c '^[0-9]*$'", keys.display());
    let printed = done(home, &["exec", "one", "--", "sh", "-c", &look]).await;
    let processes: usize = printed.trim().parse().expect("a number");
    assert!(processes < 20, "{processes}");
    // A node that is off comes back with its files.
    done(home, &["exec", "one", "--", "sh", "-c", "echo kept > kept"]).await;
    done(home, &["stop", "one"]).await;
    done(home, &["start", "one"]).await;
    assert_eq!(done(home, &["exec", "one", "--", "cat", "kept"]).await, "kept\n");
    let nodes = nodes(home).await;
    assert_eq!(left(home, &nodes).await.len(), 2);
    done(home, &["delete", "one"]).await;
    assert_eq!(left(home, &nodes).await, Vec::<String>::new());
    done(home, &["daemon", "stop"]).await;
}
