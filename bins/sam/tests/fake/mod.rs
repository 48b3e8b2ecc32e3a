//! A server with one workspace, to try the command line on: every operation is done as soon as
//! somebody follows the events, commands run on this machine, and its terminal echoes.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use sam_api::wire::{
    ExecEvent, ExecInput, ExecRequest, ExitStatus, Frame, TerminalEvent, TerminalRequest,
    TerminalSize,
};
use sam_api::{PROBLEM_CONTENT_TYPE, Problem};
use sam_core::{Error, ErrorKind, TerminalId};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const ID: &str = "ws-00000000000000000000000001";

/// What the server remembers.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) requests: Vec<String>,
    /// Nothing but a deletion is ever done.
    pub(crate) held: bool,
    pub(crate) sizes: Vec<TerminalSize>,
    printed: Vec<u8>,
    version: u64,
    pub(crate) wish: String,
}

type Shared = Arc<Mutex<Memory>>;

/// Starts the server; it ends with the runtime.
pub(crate) async fn start() -> (String, Shared) {
    let memory = Shared::default();
    memory.lock().unwrap().wish = "running".to_owned();
    let one = "/api/workspaces/{id}";
    let router = Router::new()
        .route("/api/workspaces", post(create).get(list))
        .route(one, get(show).delete(wish))
        .route(&format!("{one}/stop"), post(wish))
        .route(&format!("{one}/lease"), any(show))
        .route(&format!("{one}/exec"), any(exec))
        .route(&format!("{one}/terminals"), get(no_terminals).post(open))
        .route(&format!("{one}/terminals/{{tid}}/attach"), any(attach))
        .route("/api/events", get(events))
        .fallback(missing)
        .with_state(Arc::clone(&memory));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, memory)
}

fn workspace(memory: &Memory, state: &str) -> Value {
    let step = |state: &str| {
        json!({"name": "placing", "state": state, "started_at": "2026-01-01T00:00:00Z",
               "ended_at": (state == "done").then_some("2026-01-01T00:00:01Z")})
    };
    let steps = if state == "placing" { step("running") } else { step("done") };
    json!({"id": ID, "name": "hello", "state": state, "wish": memory.wish, "repo": "octo/hello",
           "size": "small", "steps": [steps], "created_at": "2026-01-01T00:00:00Z",
           "changed_at": "2026-01-01T00:00:00Z", "version": memory.version})
}

fn problem(kind: ErrorKind, detail: &str) -> Response {
    let problem = Problem::new(&Error::new(kind, detail), "r1");
    let status = StatusCode::from_u16(problem.status).unwrap();
    (status, [(header::CONTENT_TYPE, PROBLEM_CONTENT_TYPE)], Json(problem)).into_response()
}

async fn missing() -> Response {
    problem(ErrorKind::NotFound, "there is no such workspace")
}

async fn create(State(memory): State<Shared>, body: String) -> Response {
    let mut memory = memory.lock().unwrap();
    memory.requests.push(format!("create {body}"));
    memory.version += 1;
    (StatusCode::CREATED, Json(workspace(&memory, "placing"))).into_response()
}

async fn list(State(memory): State<Shared>) -> Response {
    Json(json!({"items": [workspace(&memory.lock().unwrap(), "running")]})).into_response()
}

async fn show(State(memory): State<Shared>, method: Method, uri: Uri) -> Response {
    if uri.path().ends_with("/nowhere") {
        return missing().await;
    }
    let mut memory = memory.lock().unwrap();
    memory.requests.push(format!("{method} {}", uri.path()));
    Json(workspace(&memory, "placing")).into_response()
}

async fn wish(State(memory): State<Shared>, method: Method) -> Response {
    let mut memory = memory.lock().unwrap();
    let wish = if method == Method::DELETE { "deleted" } else { "stopped" };
    memory.requests.push(wish.to_owned());
    memory.version += 1;
    wish.clone_into(&mut memory.wish);
    (StatusCode::ACCEPTED, Json(workspace(&memory, "stopping"))).into_response()
}

async fn events(State(memory): State<Shared>) -> Response {
    let mut memory = memory.lock().unwrap();
    memory.version += 1;
    let wish = memory.wish.clone();
    let change = json!({"cursor": format!("e-{}", memory.version), "kind": "workspace", "id": ID,
        "event": "x", "at": "2026-01-01T00:00:00Z", "actor": "system",
        "workspace": workspace(&memory, &wish)});
    let text = format!("id: e-{}\nevent: change\ndata: {change}\n\n", memory.version);
    let done = !memory.held || wish == "deleted";
    let first = futures_util::stream::iter(done.then_some(Ok::<_, std::io::Error>(text)));
    let body = futures_util::StreamExt::chain(first, futures_util::stream::pending());
    let head = [(header::CONTENT_TYPE, "text/event-stream")];
    (head, axum::body::Body::from_stream(body)).into_response()
}

fn frame(frame: &Frame<'_>) -> Message {
    Message::binary(frame.encode())
}

fn text(value: &impl serde::Serialize) -> Message {
    Message::text(serde_json::to_string(value).unwrap())
}

async fn exec(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| async move {
        // A client that goes away ends it.
        let _outcome = run(socket).await;
    })
}

async fn run(mut socket: WebSocket) -> Option<()> {
    let request = socket.recv().await?.ok()?.into_text().ok()?;
    let request: ExecRequest = serde_json::from_str(&request).unwrap();
    let (program, arguments) = request.command.split_first()?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let group = rustix::process::Pid::from_raw(i32::try_from(child.id()?).ok()?)?;
    let (mut out, mut err) = (child.stdout.take()?, child.stderr.take()?);
    let mut stdin = child.stdin.take()?;
    // Beside the loop: a command that waits for us to read must not keep us from reading.
    let (feed, mut queue) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
    let mut feed = Some(feed);
    tokio::spawn(async move {
        while let Some(bytes) = queue.recv().await {
            if stdin.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let (mut out_buffer, mut err_buffer) = (vec![0; 60_000], vec![0; 60_000]);
    let (mut out_ended, mut err_ended) = (false, false);
    while !(out_ended && err_ended) {
        tokio::select! {
            count = out.read(&mut out_buffer), if !out_ended => {
                let count = count.ok()?;
                out_ended = count == 0;
                socket.send(frame(&Frame::Stdout(&out_buffer[..count]))).await.ok()?;
            }
            count = err.read(&mut err_buffer), if !err_ended => {
                let count = count.ok()?;
                err_ended = count == 0;
                socket.send(frame(&Frame::Stderr(&err_buffer[..count]))).await.ok()?;
            }
            message = socket.recv() => match message?.ok()? {
                Message::Binary(bytes) => {
                    let payload = Frame::parse(&bytes).unwrap().payload().to_vec();
                    feed.as_ref()?.send(payload).ok()?;
                }
                Message::Text(said) => match serde_json::from_str(&said).unwrap() {
                    ExecInput::Eof => feed = None,
                    ExecInput::Signal { number } => {
                        let signal = rustix::process::Signal::from_named_raw(i32::from(number))?;
                        rustix::process::kill_process_group(group, signal).ok()?;
                    }
                },
                _ => return None,
            }
        }
    }
    let status = child.wait().await.ok()?;
    let status = match (status.code(), status.signal()) {
        (Some(code), _) => ExitStatus::Code(u8::try_from(code).ok()?),
        (None, signal) => ExitStatus::Signal(u8::try_from(signal?).ok()?),
    };
    socket.send(text(&ExecEvent::Exit { status })).await.ok()?;
    // As the agent does: reading on until the client agrees to the end. Input that lies unread when
    // a TCP connection is dropped makes the kernel reset it, and the last message is lost.
    socket.send(Message::Close(None)).await.ok()?;
    while let Some(Ok(_)) = socket.recv().await {}
    Some(())
}

async fn no_terminals() -> Response {
    Json(json!({"items": []})).into_response()
}

async fn open() -> Response {
    let info = json!({"id": TerminalId::from_bits(1), "workspace_id": ID, "end_offset": 0,
                      "floor_offset": 0, "size": {"cols": 80, "rows": 24}});
    (StatusCode::CREATED, Json(info)).into_response()
}

async fn attach(
    State(memory): State<Shared>,
    Query(query): Query<BTreeMap<String, usize>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.on_upgrade(move |socket| async move {
        let _outcome = echo(socket, memory, query["offset"]).await;
    })
}

/// Prints what it is told, in capitals; `!` hangs up in the middle of a word, `.` ends it.
async fn echo(mut socket: WebSocket, memory: Shared, offset: usize) -> Option<()> {
    let size = TerminalSize::default();
    let terminal_id = TerminalId::from_bits(1);
    let at = u64::try_from(offset).ok()?;
    socket.send(text(&TerminalEvent::Attached { terminal_id, offset: at, size })).await.ok()?;
    let mut sent = offset;
    if sent == 0 && memory.lock().unwrap().printed.is_empty() {
        memory.lock().unwrap().printed.extend(b"\x1b[?1049hready>");
    }
    loop {
        let fresh = memory.lock().unwrap().printed[sent..].to_vec();
        let at = u64::try_from(sent).ok()?;
        sent += fresh.len();
        let output = Frame::Output { offset: at, bytes: &fresh };
        socket.send(frame(&output)).await.ok()?;
        match socket.recv().await?.ok()? {
            Message::Binary(bytes) => {
                let payload = Frame::parse(&bytes).unwrap().payload().to_vec();
                let loud = payload.to_ascii_uppercase();
                memory.lock().unwrap().printed.extend(&loud);
                if payload.contains(&b'.') {
                    let status = ExitStatus::Code(7);
                    socket.send(text(&TerminalEvent::Exit { status })).await.ok()?;
                    return socket.recv().await.map(|_| ());
                }
                if payload.contains(&b'!') {
                    return None;
                }
            }
            Message::Text(said) => {
                let TerminalRequest::Resize(size) = serde_json::from_str(&said).unwrap();
                memory.lock().unwrap().sizes.push(size);
            }
            _ => return None,
        }
    }
}
