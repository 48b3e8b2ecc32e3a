//! An engine that answers what a test says, one connection for each request, and keeps what it was
//! asked.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use sam_providers::docker::DockerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use super::contract::Contract;

/// What was asked, without the version before the path.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    body: Vec<u8>,
    /// The connection breaks in the middle of the body.
    breaks: bool,
    /// No engine answers this.
    is_strange: bool,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self { status, body: body.to_string().into_bytes(), breaks: false, is_strange: false }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, body: Vec::new(), breaks: false, is_strange: false }
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self { status, body: body.as_bytes().to_vec(), breaks: false, is_strange: true }
    }

    pub(crate) fn refusal(status: u16, message: &str) -> Self {
        Self::json(status, &serde_json::json!({ "message": message }))
    }

    pub(crate) fn that_breaks(mut self) -> Self {
        self.breaks = true;
        self
    }
}

type Script = dyn Fn(&Asked) -> Option<Answer> + Send + Sync;

/// The engine; it ends with the test's runtime.
pub(crate) struct Fake {
    dir: tempfile::TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    /// Answers by a script; what that leaves out is answered as by an engine that has nothing but
    /// the image, and takes everything.
    pub(crate) fn start(script: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let listener = UnixListener::bind(dir.path().join("engine.sock")).expect("a socket");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, kept): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&kept)));
            }
        });
        Self { dir, asked }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("engine.sock")
    }

    pub(crate) fn config(&self) -> DockerConfig {
        DockerConfig::new(self.socket().display().to_string(), "node")
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panicked here").clone()
    }

    /// Holds everything that was asked to the engine's description; returns the operations.
    pub(crate) fn held_to(&self, contract: &Contract) -> Vec<String> {
        let asked = self.asked();
        asked
            .iter()
            .map(|asked| contract.request(&asked.method, &asked.target, &asked.body))
            .collect()
    }
}

async fn serve(mut stream: UnixStream, script: Arc<Script>, kept: Arc<Mutex<Vec<Asked>>>) {
    let Some(asked) = read(&mut stream).await else { return };
    kept.lock().expect("no test panicked here").push(asked.clone());
    let answer = script(&asked).unwrap_or_else(|| usual(&asked));
    if !answer.is_strange
        && let Some(contract) = Contract::read()
    {
        contract.answer(&asked.method, &asked.target, answer.status, &answer.body);
    }
    let head = format!(
        "HTTP/1.1 {} Fake\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.status,
        answer.body.len()
    );
    let length = if answer.breaks { answer.body.len() / 2 } else { answer.body.len() };
    // A client that went away is no trouble of ours.
    let _sent = stream.write_all(head.as_bytes()).await;
    let _sent = stream.write_all(&answer.body[..length]).await;
}

/// Reads a whole request.
async fn read(stream: &mut UnixStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(asked) = parse(&bytes) {
            return Some(asked);
        }
    }
}

/// Reads the bytes of a request; `None` while some are missing.
pub(crate) fn parse(bytes: &[u8]) -> Option<Asked> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).ok()?.to_ascii_lowercase();
    let first = std::str::from_utf8(&bytes[..end]).ok()?.lines().next()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    // `/v1.41/containers/json`, where a version was agreed on.
    let target = match target.strip_prefix("/v1.").and_then(|rest| rest.split_once('/')) {
        Some((_, rest)) => format!("/{rest}"),
        None => target.to_owned(),
    };
    let rest = &bytes[end..];
    let body = if head.contains("transfer-encoding: chunked") {
        if !rest.ends_with(b"0\r\n\r\n") {
            return None;
        }
        rest.to_vec()
    } else {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(Some(0), |length| length.trim().parse().ok())?;
        rest.get(..length)?.to_vec()
    };
    Some(Asked { method, target, body })
}

fn usual(asked: &Asked) -> Answer {
    use serde_json::json;
    let path = asked.path();
    match (asked.method.as_str(), path) {
        ("GET", "/version") => Answer::json(200, &json!({ "ApiVersion": "1.41" })),
        ("GET", "/containers/json" | "/networks") => Answer::json(200, &json!([])),
        ("GET", "/volumes") => Answer::json(200, &json!({ "Volumes": [], "Warnings": [] })),
        ("POST", "/networks/create") => Answer::json(201, &json!({ "Id": "net", "Warning": "" })),
        ("POST", "/containers/create") => Answer::json(201, &json!({ "Id": "c", "Warnings": [] })),
        ("POST", "/volumes/create") => {
            let asked: serde_json::Value = serde_json::from_slice(&asked.body).expect("JSON");
            let volume = json!({
                "Name": asked["Name"], "Driver": "local", "Mountpoint": "/v", "Scope": "local",
                "Labels": asked["Labels"], "Options": {},
            });
            Answer::json(201, &volume)
        }
        ("GET", path) if path.starts_with("/images/") => Answer::json(200, &json!({})),
        ("PUT", _) => Answer::empty(200),
        ("POST" | "DELETE", _) => Answer::empty(204),
        _ => Answer::refusal(404, "no such thing"),
    }
}
