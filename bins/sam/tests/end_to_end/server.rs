//! `sam-server` as it is installed: a program of its own on a TCP address, asked over HTTP.

use std::path::PathBuf;
use std::process::Stdio;

use futures_util::StreamExt as _;
use libtest_mimic::Trial;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::deadline::{LIMIT, eventually, within};
use crate::home::{Home, assert_failed, said, skipped};

crate::home::trials! {
    fn all,
    the_command_line_works_against_a_server,
    callers_are_known_by_the_token_alone,
    a_second_server_on_the_directory_is_refused,
    a_daemon_on_the_directory_of_a_server_is_refused,
    an_idempotency_key_gives_the_same_workspace,
    bad_requests_are_named_and_leave_nothing,
    events_go_on_after_the_last_one_seen,
    a_killed_server_goes_on_where_it_was,
}

/// The tests, or one that says why there are none.
pub(crate) fn trials() -> Vec<Trial> {
    with_programs("server", all)
}

/// Tests that need the programs of a server, or one that says why there are none.
pub(crate) fn with_programs(name: &str, all: fn() -> Vec<Trial>) -> Vec<Trial> {
    let absent: Vec<&str> =
        ["sam-server", "sam-agentd"].into_iter().filter(|name| !beside(name).is_file()).collect();
    if absent.is_empty() {
        return all();
    }
    let why = format!("not built: {}; `cargo build --workspace` builds them", absent.join(", "));
    vec![skipped(name, &why)]
}

/// A program that is built into the same directory.
pub(crate) fn beside(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_sam")).with_file_name(name)
}

/// A server that runs.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) url: String,
    /// The administrator's token, on the first start.
    pub(crate) token: Option<String>,
}

/// The program of a server without a data directory.
pub(crate) fn command(home: &Home) -> Command {
    command_at(home, "127.0.0.1:0")
}

/// The same at an address that is known before.
pub(crate) fn command_at(home: &Home, address: &str) -> Command {
    let mut command = home.command(beside("sam-server"));
    command
        .args(["--listen", address, "--allow-local-repos", "true", "--agent-command"])
        .arg(beside("sam-agentd"));
    command
}

fn on_its_data(home: &Home) -> Command {
    let mut command = command(home);
    command.arg("--data-dir").arg(home.data());
    command
}

async fn serve(home: &Home) -> Server {
    start(home, on_its_data(home)).await
}

/// Starts a server and waits until it says where it listens.
pub(crate) async fn start(home: &Home, mut command: Command) -> Server {
    std::fs::create_dir_all(home.data()).unwrap();
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(home.data().join("daemon.log"))
        .unwrap();
    let mut child = command.stderr(Stdio::from(log)).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut url, mut token) = (None, None);
    let started = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, found)) = line.split_once("(shown once): ") {
                token = Some(found.to_owned());
            }
            if let Some(found) = line.strip_prefix("listening on ") {
                url = Some(found.to_owned());
                return;
            }
        }
    };
    within("the server starts", LIMIT, started).await;
    Server { child, url: url.expect("the server says where it listens"), token }
}

impl Server {
    fn ask(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        let client = Client::builder().timeout(LIMIT).build().unwrap();
        client.request(method, format!("{}{path}", self.url)).bearer_auth(token)
    }

    async fn create(&self, token: &str, key: &str, body: &Value) -> (u16, Value) {
        let request = self.ask(Method::POST, "/api/workspaces", token);
        answer(request.header("idempotency-key", key).json(body).send().await.unwrap()).await
    }

    /// Deletes a workspace and waits until nothing of it is left.
    async fn delete(&self, token: &str, id: &str) {
        let path = format!("/api/workspaces/{id}");
        eventually("it is deleted", async || {
            let (status, body) =
                answer(self.ask(Method::DELETE, &path, token).send().await.unwrap()).await;
            assert!(status == 202, "{status} {body}");
            (body["state"] == "deleted").then_some(())
        })
        .await;
    }
}

async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// Asserts that an answer is a problem as RFC 9457 has it.
async fn assert_problem(response: Response, status: u16, code: &str) -> Value {
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let (found, body) = answer(response).await;
    assert_eq!((found, body["code"].as_str()), (status, Some(code)), "{body}");
    assert!(kind.starts_with("application/problem+json"), "{kind}");
    assert_eq!((&body["status"], &body["request_id"]), (&json!(status), &json!(id)), "{body}");
    assert!(body["detail"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    body
}

fn write_token(home: &Home, name: &str, token: &str) -> String {
    let path = home.path().join(name);
    std::fs::write(&path, format!("{token}\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

async fn the_command_line_works_against_a_server(home: &Home) {
    let repo = home.repo().await;
    let server = serve(home).await;
    let file = write_token(home, "token", server.token.as_ref().unwrap());
    let url = format!("file://{}", repo.display());
    let sam = async |arguments: &[&str]| {
        let mut all = vec!["--server", &server.url, "--token-file", &file];
        all.extend(arguments);
        home.run(&all).await
    };
    let output = sam(&["up", &url, "--rm", "--exec", "git log -1 --format=%s; exit 3"]).await;
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert_eq!(output.stdout, b"first\n");
    let output = sam(&["ls", "--json"]).await;
    assert!(output.status.success() && output.stdout.is_empty(), "{}", said(&output));
    // A directory of the client's machine means nothing to a server.
    assert_failed(&sam(&["up", repo.to_str().unwrap(), "--no-attach"]).await, 2, &["server"]);
}

async fn callers_are_known_by_the_token_alone(home: &Home) {
    let mut server = serve(home).await;
    let token = server.token.take().unwrap();
    for path in [
        "/api/workspaces",
        "/api/nodes",
        "/api/sweeps",
        "/api/orphans",
        "/api/deletion-hold",
        "/api/events",
        "/api/workspaces/x/exec",
    ] {
        let bare = reqwest::get(format!("{}{path}", server.url)).await.unwrap();
        assert_problem(bare, 401, "unauthenticated").await;
        let wrong = server.ask(Method::GET, path, "sam_admin_wrong").send().await.unwrap();
        assert_problem(wrong, 401, "unauthenticated").await;
    }
    let (status, _) =
        answer(server.ask(Method::GET, "/api/workspaces", &token).send().await.unwrap()).await;
    assert_eq!(status, 200);
    let wrong = write_token(home, "wrong", "sam_admin_wrong");
    let arguments = ["--server", &server.url, "--token-file", &wrong, "ls"];
    assert_failed(&home.run(&arguments).await, 4, &["token"]);
    assert_failed(&home.run(&["--server", &server.url, "ls"]).await, 4, &["token"]);
    // It is shown on the first start only, and still valid after the second.
    server.child.kill().await.unwrap();
    let again = serve(home).await;
    assert_eq!(again.token, None);
    let (status, _) =
        answer(again.ask(Method::GET, "/api/workspaces", &token).send().await.unwrap()).await;
    assert_eq!(status, 200);
}

async fn a_second_server_on_the_directory_is_refused(home: &Home) {
    let server = serve(home).await;
    let pid = server.child.id().unwrap().to_string();
    let second = within("the second", LIMIT, on_its_data(home).output()).await.unwrap();
    assert_failed(&second, 5, &["sam.db", &pid]);
    // The first is not disturbed.
    let (status, _) = answer(reqwest::get(format!("{}/readyz", server.url)).await.unwrap()).await;
    assert_eq!(status, 200);
}

async fn a_daemon_on_the_directory_of_a_server_is_refused(home: &Home) {
    let server = serve(home).await;
    let pid = server.child.id().unwrap().to_string();
    assert_failed(&home.run(&["daemon", "run"]).await, 5, &["sam.db", &pid]);
    let output = home.run(&["ls"]).await;
    assert_failed(&output, 5, &["sam.db", &pid]);
}

async fn an_idempotency_key_gives_the_same_workspace(home: &Home) {
    let repo = home.repo().await;
    let server = serve(home).await;
    let token = server.token.clone().unwrap();
    let body = json!({"repo": repo, "name": "same"});
    let (status, first) = server.create(&token, "key-1", &body).await;
    assert_eq!(status, 201, "{first}");
    let (status, again) = server.create(&token, "key-1", &body).await;
    assert_eq!((status, &again["id"]), (201, &first["id"]), "{again}");
    let other = json!({"repo": repo, "name": "other"});
    let (status, refused) = server.create(&token, "key-1", &other).await;
    assert_eq!((status, &refused["code"]), (409, &json!("conflict")), "{refused}");
    let (status, same_name) = server.create(&token, "key-2", &body).await;
    assert_eq!((status, &same_name["code"]), (409, &json!("already_exists")), "{same_name}");
    let list = server.ask(Method::GET, "/api/workspaces?all=true", &token).send().await.unwrap();
    assert_eq!(answer(list).await.1["items"].as_array().unwrap().len(), 1);
    server.delete(&token, first["id"].as_str().unwrap()).await;
}

async fn bad_requests_are_named_and_leave_nothing(home: &Home) {
    let server = serve(home).await;
    let token = server.token.clone().unwrap();
    let post = async |body: Vec<u8>| {
        let request = server.ask(Method::POST, "/api/workspaces", &token);
        request.header("content-type", "application/json").body(body).send().await.unwrap()
    };
    let long = json!({"repo": "octo/hello", "name": "x".repeat(1_000)});
    assert_problem(post(serde_json::to_vec(&long).unwrap()).await, 400, "bad_input").await;
    let large = json!({"repo": "octo/hello", "name": "x".repeat(100_000)});
    assert_problem(post(serde_json::to_vec(&large).unwrap()).await, 413, "bad_input").await;
    let secret = json!({"repo": "https://user:canary@example.org/x"});
    let body = assert_problem(post(serde_json::to_vec(&secret).unwrap()).await, 422, "bad_input");
    assert!(!body.await.to_string().contains("canary"));
    assert_problem(post(b"{".to_vec()).await, 400, "bad_input").await;
    let get = async |path: &str| server.ask(Method::GET, path, &token).send().await.unwrap();
    assert_problem(get("/api/nothing").await, 404, "not_found").await;
    assert_problem(get("/api/workspaces/nobody").await, 404, "not_found").await;
    assert_problem(get("/api/daemon").await, 404, "not_found").await;
    assert_problem(get("/api/events?after=nonsense").await, 400, "bad_input").await;
    let (_, list) = answer(get("/api/workspaces?all=true").await).await;
    assert_eq!(list["items"], json!([]));
}

/// Reads changes until `enough` were seen; each is its id and its data.
async fn changes(
    server: &Server,
    token: &str,
    after: &str,
    enough: usize,
) -> Vec<(String, String)> {
    let request = server.ask(Method::GET, "/api/events", token).header("last-event-id", after);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let (mut pieces, mut text) = (response.bytes_stream(), String::new());
    let reading = async {
        loop {
            let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
            let found: Vec<(String, String)> = whole
                .split("\n\n")
                .filter(|event| event.lines().any(|line| line == "event: change"))
                .map(|event| {
                    let field = |name: &str| {
                        let mut lines = event.lines();
                        lines.find_map(|line| line.strip_prefix(name)).unwrap().to_owned()
                    };
                    (field("id: "), field("data: "))
                })
                .collect();
            if found.len() >= enough {
                return found;
            }
            let piece = pieces.next().await.expect("the stream goes on").unwrap();
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    };
    within("changes come", LIMIT, reading).await
}

async fn events_go_on_after_the_last_one_seen(home: &Home) {
    let repo = home.repo().await;
    let server = serve(home).await;
    let token = server.token.clone().unwrap();
    let request = server.ask(Method::GET, "/api/events", &token);
    let mut begin = request.send().await.unwrap();
    let first = begin.chunk().await.unwrap().unwrap();
    let first = std::str::from_utf8(&first).unwrap();
    let start = first.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    drop(begin);

    let (_, made) = server.create(&token, "key", &json!({"repo": repo, "name": "a"})).await;
    server.delete(&token, made["id"].as_str().unwrap()).await;
    let all = changes(&server, &token, &start, 6).await;
    let split = 2;
    let rest = changes(&server, &token, &all[split].0, all.len() - split - 1).await;
    let expected = &all[split + 1..];
    assert_eq!(&rest[..expected.len()], expected);
}

async fn a_killed_server_goes_on_where_it_was(home: &Home) {
    let repo = home.repo().await;
    let mut server = serve(home).await;
    let token = server.token.take().unwrap();
    let (status, made) = server.create(&token, "key", &json!({"repo": repo, "name": "a"})).await;
    assert_eq!(status, 201, "{made}");
    server.child.kill().await.unwrap();
    let again = serve(home).await;
    // The same key gives the same workspace, also after the crash.
    let (status, same) = again.create(&token, "key", &json!({"repo": repo, "name": "a"})).await;
    assert_eq!((status, &same["id"]), (201, &made["id"]), "{same}");
    eventually("it runs", async || {
        let request = again.ask(Method::GET, "/api/workspaces/a", &token);
        let (_, body) = answer(request.send().await.unwrap()).await;
        assert_ne!(body["state"], "failed", "{body}");
        (body["state"] == "running").then_some(())
    })
    .await;
    again.delete(&token, made["id"].as_str().unwrap()).await;
}
