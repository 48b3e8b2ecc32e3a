//! From a workspace that is asked for to a name that is gone.

use futures_util::StreamExt as _;
use libtest_mimic::{Failed, Trial};
use reqwest::Method;
use sam_agent::wire::Frame;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::home::{BASE, Home, agent, eventually, within};

pub(crate) fn trials() -> Vec<Trial> {
    let name = "a_terminal_is_attached_under_the_name_of_its_workspace";
    let attached = if agent().is_file() {
        Trial::test(name, || run(attached()))
    } else {
        skipped(name, "sam-agentd is not built; `cargo build --workspace` builds it")
    };
    let led = "a_name_leads_to_its_workspace_alone_and_asks_who_is_there";
    vec![attached, Trial::test(led, || run(led_to_one_workspace()))]
}

fn skipped(name: &str, why: &str) -> Trial {
    #[expect(clippy::disallowed_methods, reason = "a test is told by it what must be there")]
    let required = std::env::var_os("SAM_REQUIRE_PEERS").is_some_and(|value| value == "1");
    let name = format!("{name}: skipped, {why}");
    let message = name.clone();
    Trial::test(name, move || Err(message.into())).with_ignored_flag(!required)
}

fn run(test: impl Future<Output = ()>) -> Result<(), Failed> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(test);
    Ok(())
}

/// Creates a workspace and waits until its name is published; its id and its name.
async fn published(home: &Home, repo: &Value) -> (String, String) {
    let new = json!({ "repo": repo });
    let (status, made) = home.ask_with(Method::POST, &home.address, "/api/workspaces", &new).await;
    assert_eq!((status, &made["host"]), (201, &Value::Null), "{made}");
    let id = made["id"].as_str().unwrap().to_owned();
    let path = format!("/api/workspaces/{id}");
    let host = eventually("its name is published", async || {
        let (_, shown) = home.ask(Method::GET, &home.address, &path).await;
        shown["host"].as_str().map(str::to_owned)
    })
    .await;
    assert_eq!(host, format!("{id}.{BASE}"));
    let (_, list) = home.ask(Method::GET, &home.address, "/api/workspaces").await;
    assert_eq!(list["items"][0]["host"], json!(host));
    assert_eq!(home.zone().await, [format!("TXT _sam.{host}"), format!("A {host}")]);
    (id, host)
}

async fn attached() {
    let home = Home::start(agent()).await;
    let (id, host) = published(&home, &json!(home.repo())).await;
    eventually("it runs", async || {
        let (status, shown) = home.ask(Method::GET, &host, "/").await;
        assert_eq!((status, &shown["id"]), (200, &json!(id)), "{shown}");
        assert_ne!(shown["state"], "failed", "{shown}");
        (shown["state"] == "running").then_some(())
    })
    .await;
    let command = json!({"command": ["sh", "-c", "printf 'from %s' \"$(cat file)\"; sleep 600"]});
    let (status, terminal) = home.ask_with(Method::POST, &host, "/terminals", &command).await;
    assert!((200..300).contains(&status), "{status} {terminal}");
    let terminal = terminal["id"].as_str().unwrap().to_owned();
    let (_, listed) = home.ask(Method::GET, &host, "/terminals").await;
    assert_eq!(listed["items"][0]["id"], json!(terminal));
    let (status, activity) = home.ask(Method::GET, &host, "/activity").await;
    assert_eq!(status, 200, "{activity}");

    // Nobody gets there without the token, nor with another.
    for token in [None, Some("sam_admin_wrong")] {
        assert_eq!(attach(&home, &host, &terminal, token).await.unwrap_err(), 401);
    }
    // The name is dialled as a browser would, in whatever case; the address is this server's.
    let shouted = host.to_uppercase();
    let seen = within("it prints", attach(&home, &shouted, &terminal, Some(&home.token))).await;
    assert_eq!(seen.unwrap(), b"from first");

    home.delete(&id).await;
    eventually("its name is gone", async || home.zone().await.is_empty().then_some(())).await;
    let (_, shown) = home.ask(Method::GET, &host, "/").await;
    assert_eq!((&shown["state"], &shown["host"]), (&json!("deleted"), &Value::Null));
    let (status, _) = home.ask(Method::GET, &host, "/terminals").await;
    assert_eq!(status, 409);
    home.end().await;
}

/// Attaches over a connection of its own and reads the first ten bytes that are printed; the status of a
/// refusal.
async fn attach(
    home: &Home,
    host: &str,
    terminal: &str,
    token: Option<&str>,
) -> Result<Vec<u8>, u16> {
    let port = home.address.rsplit_once(':').unwrap().1;
    let url = format!("ws://{host}:{port}/terminals/{terminal}/attach?offset=0");
    let mut request = url.into_client_request().unwrap();
    if let Some(token) = token {
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
    }
    let stream = TcpStream::connect(&home.address).await.unwrap();
    let opened = tokio_tungstenite::client_async(request, stream).await;
    let (mut socket, _) = match opened {
        Ok(opened) => opened,
        Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => {
            return Err(answer.status().as_u16());
        }
        Err(error) => panic!("{error}"),
    };
    let mut seen = Vec::new();
    while seen.len() < 10 {
        let message = socket.next().await.expect("the terminal goes on").unwrap();
        if let Message::Binary(bytes) = message
            && let Ok(Frame::Output { bytes, .. }) = Frame::parse(&bytes)
        {
            seen.extend_from_slice(bytes);
        }
    }
    Ok(seen)
}

async fn led_to_one_workspace() {
    // Its node never comes up: a name does not wait for it.
    let home = Home::start("/bin/false").await;
    let (id, host) = published(&home, &json!("octo/hello")).await;
    let (port, plain) = (home.address.rsplit_once(':').unwrap().1, home.address.as_str());
    let stranger = format!("ws-{}.{BASE}", "0".repeat(26));
    let bearer = format!("Bearer {}", home.token);

    let upper = host.to_uppercase();
    let with_port = format!("{host}:{port}");
    for name in [host.as_str(), upper.as_str(), with_port.as_str()] {
        let (status, shown) = home.ask(Method::GET, name, "/").await;
        assert_eq!((status, &shown["id"]), (200, &json!(id)), "{name}: {shown}");
    }
    // What is asked of the control plane is not to be had there, and its own name has all of it.
    for path in ["/api/workspaces", "/api/health", "/healthz", "/stop", "/api/bootstrap", "/x"] {
        let (status, body) = home.ask(Method::GET, &host, path).await;
        assert_eq!((status, &body["code"]), (404, &json!("not_found")), "{path}: {body}");
    }
    assert_eq!(home.ask(Method::GET, plain, "/api/workspaces").await.0, 200);
    assert_eq!(home.ask(Method::GET, BASE, "/api/workspaces").await.0, 200);
    let (status, _) = home.ask(Method::DELETE, &host, "/").await;
    assert_eq!(status, 404, "a workspace is deleted at the control plane");
    // It does not run, and says so to those who may know.
    let (status, body) = home.ask(Method::GET, &host, "/terminals").await;
    assert_eq!((status, &body["code"]), (409, &json!("conflict")), "{body}");
    for path in ["/", "/terminals", "/exec", "/activity", "/terminals/tm-1/attach"] {
        for name in [&host, &stranger] {
            for headers in [&[][..], &[("authorization", "Bearer sam_admin_wrong")]] {
                let (status, _) = home.send((Method::GET, name), path, headers, &Value::Null).await;
                assert_eq!(status, 401, "{name}{path}");
            }
        }
        let (status, _) = home.ask(Method::GET, &stranger, path).await;
        assert_eq!(status, 404, "{stranger}{path}");
        let nobody = format!("ws-nobody.{BASE}");
        assert_eq!(home.ask(Method::GET, &nobody, path).await.0, 404, "{path}");
    }
    // What a proxy adds, anybody can.
    let forwarded = [("authorization", bearer.as_str()), ("x-forwarded-host", host.as_str())];
    let (status, _) = home.send((Method::GET, plain), "/", &forwarded, &Value::Null).await;
    assert_eq!(status, 404);
    let other = [("authorization", bearer.as_str()), ("x-forwarded-host", plain)];
    let (status, _) =
        home.send((Method::GET, &host), "/api/workspaces", &other, &Value::Null).await;
    assert_eq!(status, 404);

    home.delete(&id).await;
    eventually("its name is gone", async || home.zone().await.is_empty().then_some(())).await;
    home.end().await;
}
