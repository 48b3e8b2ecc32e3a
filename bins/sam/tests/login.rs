//! `sam login`, `sam whoami` and `sam logout` as a person sees them, against a server that has one
//! account and agrees at the third question.

#[cfg(test)]
mod login {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::process::{Output, Stdio};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use axum::extract::State;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::{delete, get, post};
    use axum::{Json, Router};
    use serde_json::{Value, json};
    use tokio::net::TcpListener;
    use tokio::process::Command;

    /// Longest run of one command.
    const LIMIT: Duration = Duration::from_secs(30);
    const TOKEN: &str = "sam_login_canary";

    #[derive(Default)]
    struct Facts {
        polls: Vec<String>,
        refuses: bool,
        ended: bool,
    }

    type Shared = State<Arc<Mutex<Facts>>>;
    type Answer = (StatusCode, Json<Value>);

    fn problem(status: StatusCode, code: &str) -> Answer {
        (status, Json(json!({"status": status.as_u16(), "code": code, "detail": code})))
    }

    fn account() -> Value {
        json!({
            "id": "ac-00000000000000000000000001", "forge": "github.com", "number": 1,
            "handle": "mona", "created_at": "2026-01-01T00:00:00Z",
            "signed_in_at": "2026-01-01T00:00:00Z",
        })
    }

    fn is_known(facts: &Facts, headers: &HeaderMap) -> bool {
        let known = format!("Bearer {TOKEN}");
        !facts.ended && headers.get("authorization").is_some_and(|found| *found == known)
    }

    async fn begin() -> Json<Value> {
        Json(json!({
            "user_code": "FAKE-0001", "verification_uri": "https://github.test/login/device",
            "expires_at": "2100-01-01T00:00:00Z", "interval_ms": 1, "device": "d0",
        }))
    }

    async fn poll(State(facts): Shared, Json(body): Json<Value>) -> Answer {
        let mut facts = facts.lock().unwrap();
        facts.polls.push(body["device"].as_str().unwrap().to_owned());
        match facts.polls.len() {
            _ if facts.refuses => problem(StatusCode::FORBIDDEN, "denied"),
            // Trouble on the way is no refusal.
            1 => problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            number @ 2..=3 => {
                let device = format!("d{number}");
                let pending = json!({"status": "pending", "interval_ms": 1, "device": device});
                (StatusCode::OK, Json(pending))
            }
            _ => {
                let done = json!({"status": "done", "token": TOKEN, "account": account()});
                (StatusCode::OK, Json(done))
            }
        }
    }

    async fn me(State(facts): Shared, headers: HeaderMap) -> Answer {
        if !is_known(&facts.lock().unwrap(), &headers) {
            return problem(StatusCode::UNAUTHORIZED, "unauthenticated");
        }
        let owner = account()["id"].clone();
        (
            StatusCode::OK,
            Json(json!({
                "owner": owner, "is_administrator": false, "account": account(),
            })),
        )
    }

    async fn sign_out(State(facts): Shared, headers: HeaderMap) -> Answer {
        let mut facts = facts.lock().unwrap();
        if !is_known(&facts, &headers) {
            return problem(StatusCode::UNAUTHORIZED, "unauthenticated");
        }
        facts.ended = true;
        (StatusCode::OK, Json(json!({"ended": 1})))
    }

    async fn serve(facts: Facts) -> (String, Arc<Mutex<Facts>>) {
        let facts = Arc::new(Mutex::new(facts));
        let router = Router::new()
            .route("/api/auth/device", post(begin))
            .route("/api/auth/device/poll", post(poll))
            .route("/api/auth/me", get(me))
            .route("/api/auth/sign-out", post(sign_out))
            .route("/api/auth/sessions", delete(sign_out))
            .with_state(Arc::clone(&facts));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (address, facts)
    }

    async fn sam(data_dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sam"));
        command
            .env_clear()
            .envs(variables.iter().copied())
            .env("SAM_DATA_DIR", data_dir)
            .args(arguments)
            .kill_on_drop(true)
            .stdin(Stdio::null());
        #[expect(clippy::disallowed_methods, reason = "tests wait for nothing without a limit")]
        let output = tokio::time::timeout(LIMIT, command.output()).await;
        output.expect("the command is still running").unwrap()
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn a_person_signs_in_is_known_by_the_kept_login_and_signs_out() {
        let dir = tempfile::tempdir().unwrap();
        let (server, facts) = serve(Facts::default()).await;
        let at = ["--server", &server];
        let run = async |arguments: &[&str], variables: &[(&str, &str)]| {
            let arguments: Vec<&str> = at.iter().chain(arguments).copied().collect();
            sam(dir.path(), &arguments, variables).await
        };
        let unknown = run(&["whoami"], &[]).await;
        assert_eq!(unknown.status.code(), Some(4), "{}", text(&unknown.stderr));
        let done = run(&["login"], &[]).await;
        assert!(done.status.success(), "{}", text(&done.stderr));
        assert!(text(&done.stderr).contains("https://github.test/login/device"));
        assert!(text(&done.stderr).contains("FAKE-0001"));
        assert_eq!(text(&done.stdout), format!("mona is signed in at {server}\n"));
        assert!(!format!("{}{}", text(&done.stdout), text(&done.stderr)).contains(TOKEN));
        // Each question is asked with the newest answer.
        assert_eq!(facts.lock().unwrap().polls, ["d0", "d0", "d2", "d3"]);
        let file = dir.path().join("logins.json");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let me = run(&["whoami"], &[]).await;
        assert!(text(&me.stdout).contains("mona at github.com"), "{}", text(&me.stdout));
        let me = run(&["--json", "whoami"], &[]).await;
        let me: Value = serde_json::from_slice(&me.stdout).unwrap();
        assert_eq!(me["account"]["handle"], "mona");
        // A token that is given outranks it.
        let given = run(&["whoami"], &[("SAM_TOKEN", "another")]).await;
        assert_eq!(given.status.code(), Some(4));
        // A login is one server's: another is not shown it.
        let (other, seen) = serve(Facts::default()).await;
        let there = sam(dir.path(), &["--server", &other, "whoami"], &[]).await;
        assert_eq!((there.status.code(), seen.lock().unwrap().ended), (Some(4), false));
        let out = run(&["logout"], &[]).await;
        assert!(out.status.success() && facts.lock().unwrap().ended, "{}", text(&out.stderr));
        assert!(!std::fs::read_to_string(&file).unwrap().contains(TOKEN));
        let again = run(&["logout"], &[]).await;
        assert_eq!(again.status.code(), Some(3), "{}", text(&again.stderr));
    }

    #[tokio::test]
    async fn a_refusal_keeps_nothing_and_a_daemon_takes_no_login() {
        let dir = tempfile::tempdir().unwrap();
        let (server, _) = serve(Facts { refuses: true, ..Facts::default() }).await;
        let refused = sam(dir.path(), &["--server", &server, "login"], &[]).await;
        assert_eq!(refused.status.code(), Some(4), "{}", text(&refused.stderr));
        assert!(!dir.path().join("logins.json").exists());
        for command in ["login", "logout"] {
            let local = sam(dir.path(), &[command], &[]).await;
            assert_eq!(local.status.code(), Some(2), "{}", text(&local.stderr));
            assert!(text(&local.stderr).contains("--server"));
        }
    }
}
