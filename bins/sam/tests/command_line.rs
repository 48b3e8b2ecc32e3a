//! The `sam` program as a person and a script see it, against a server with one workspace.

#[cfg(test)]
mod fake;

#[cfg(test)]
mod terminal;

#[cfg(test)]
mod tests {
    use std::process::{Output, Stdio};
    use std::time::Duration;

    use rustix::process::{Pid, Signal};
    use serde_json::Value;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::process::{Child, Command};

    use crate::fake;
    use crate::terminal::Terminal;

    /// Longest run of one command.
    const LIMIT: Duration = Duration::from_secs(30);

    pub(crate) fn sam(address: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sam"));
        command
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("SAM_SERVER", address)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    async fn within<T>(future: impl Future<Output = T>) -> T {
        #[expect(clippy::disallowed_methods, reason = "tests wait for nothing without a limit")]
        tokio::time::timeout(LIMIT, future).await.expect("the command is still running")
    }

    async fn run(address: &str, arguments: &[&str]) -> Output {
        within(sam(address).args(arguments).output()).await.unwrap()
    }

    fn kill(child: &Child, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
        rustix::process::kill_process(pid.unwrap(), signal).unwrap();
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn exec_passes_bytes_and_status_on_unchanged() {
        let (address, _) = fake::start().await;
        let sent: Vec<u8> = (0..400_000_u32).map(|n| u8::try_from(n % 256).unwrap()).collect();
        let script = "cat; printf 'e\\377' >&2; exit 7";
        let mut child = sam(&address)
            .args(["exec", "hello", "--", "sh", "-c", script])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = sent.clone();
        let feeding = tokio::spawn(async move { stdin.write_all(&input).await.unwrap() });
        let output = within(child.wait_with_output()).await.unwrap();
        feeding.await.unwrap();
        assert_eq!(output.status.code(), Some(7));
        assert_eq!(output.stderr, b"e\xff");
        assert!(output.stdout == sent, "{} bytes came back", output.stdout.len());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn exec_forwards_signals_and_tells_of_those_that_killed() {
        let (address, _) = fake::start().await;
        let script = "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
        let mut child = sam(&address).args(["exec", "hello", "--shell", script]).spawn().unwrap();
        let mut line = [0; 6];
        let stdout = child.stdout.as_mut().unwrap();
        within(stdout.read_exact(&mut line)).await.unwrap();
        kill(&child, Signal::TERM);
        let output = within(child.wait_with_output()).await.unwrap();
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(3), "got\n"));

        let killed = run(&address, &["exec", "hello", "--shell", "kill -9 $$"]).await;
        assert_eq!(killed.status.code(), Some(137), "{}", text(&killed.stderr));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_reader_that_went_away_ends_exec_like_any_command() {
        let (address, _) = fake::start().await;
        let mut child = sam(&address).args(["exec", "hello", "--", "yes"]).spawn().unwrap();
        let mut some = [0; 4];
        let mut stdout = child.stdout.take().unwrap();
        within(stdout.read_exact(&mut some)).await.unwrap();
        drop(stdout);
        let output = within(child.wait_with_output()).await.unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(141), ""));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn failures_tell_what_to_do_and_have_their_status() {
        let (address, _) = fake::start().await;
        let missing = run(&address, &["show", "nowhere"]).await;
        assert_eq!(missing.status.code(), Some(3));
        assert!(text(&missing.stderr).starts_with("sam: there is no such workspace\n"));
        assert!(text(&missing.stderr).contains("  hint: "));
        let missing = run(&address, &["--json", "show", "nowhere"]).await;
        let error: Value = serde_json::from_slice(&missing.stderr).unwrap();
        assert_eq!(error["code"], "not_found");
        let own = run("http://127.0.0.1:1", &["exec", "hello", "--", "true"]).await;
        assert_eq!(own.status.code(), Some(125));
        let local = run(&address, &["up", "."]).await;
        assert_eq!(local.status.code(), Some(2));
        assert!(text(&local.stderr).contains("  hint: "));
        assert_eq!(run(&address, &["up"]).await.status.code(), Some(2));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn up_with_rm_leaves_nothing_whatever_the_command_did() {
        let (address, memory) = fake::start().await;
        let up = ["up", "octo/hello", "--rm", "--branch", "v1", "--exec", "echo out; exit 9"];
        let output = run(&address, &up).await;
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(9), "out\n"));
        assert!(text(&output.stderr).contains("sam: placing done (1.0s)\n"));
        let requests = memory.lock().unwrap().requests.clone();
        assert!(requests[0].contains("\"lifetime\":{\"lease_ms\":30000}"), "{requests:?}");
        assert!(requests[0].contains("\"ref\":\"v1\""), "{requests:?}");
        assert!(requests.contains(&"deleted".to_owned()), "{requests:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_interrupted_up_goes_on_without_us_and_with_rm_is_taken_away() {
        let (address, memory) = fake::start().await;
        memory.lock().unwrap().held = true;
        for (rm, signal, status) in [
            (None, Signal::INT, 130),
            (Some("--rm"), Signal::INT, 130),
            (Some("--rm"), Signal::HUP, 129),
        ] {
            let mut command = sam(&address);
            let mut child = command.args(["up", "octo/hello"]).args(rm).spawn().unwrap();
            let mut line = vec![0; "sam: placing\n".len()];
            let stderr = child.stderr.as_mut().unwrap();
            within(stderr.read_exact(&mut line)).await.unwrap();
            kill(&child, signal);
            let output = within(child.wait_with_output()).await.unwrap();
            assert_eq!(output.status.code(), Some(status));
            let goes_on = text(&output.stderr).contains("goes on without us");
            assert_eq!(goes_on, rm.is_none(), "{}", text(&output.stderr));
            let requests = std::mem::take(&mut memory.lock().unwrap().requests);
            assert_eq!(requests.contains(&"deleted".to_owned()), rm.is_some(), "{requests:?}");
            "running".clone_into(&mut memory.lock().unwrap().wish);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn programs_read_json_and_scripts_an_id() {
        let (address, _) = fake::start().await;
        let output = run(&address, &["up", "octo/hello", "--no-attach", "--json"]).await;
        let lines: Vec<Value> =
            text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.first().unwrap()["type"], "step");
        assert_eq!(lines.last().unwrap()["type"], "workspace");
        assert_eq!(lines.last().unwrap()["state"], "running");
        let output = run(&address, &["up", "octo/hello", "--no-attach", "-q"]).await;
        assert_eq!(text(&output.stdout), "ws-00000000000000000000000001\n");
        assert_eq!(text(&output.stderr), "");
        let list = run(&address, &["ls", "--json"]).await;
        let listed: Value = serde_json::from_slice(&list.stdout).unwrap();
        assert_eq!(listed["state"], "running");
        assert_eq!(run(&address, &["stop", "hello"]).await.status.code(), Some(0));
        assert_eq!(run(&address, &["rm", "hello"]).await.status.code(), Some(0));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_terminal_survives_its_connection_and_is_left_as_it_was() {
        let (address, memory) = fake::start().await;
        let mut terminal = Terminal::open(101, 37);
        let before = terminal.modes();
        let mut child = terminal.spawn(sam(&address).args(["attach", "hello"]));
        within(terminal.read_until("ready>")).await;
        assert_ne!(terminal.modes(), before, "raw mode");
        terminal.write(b"one!");
        within(terminal.read_until("ready>ONE!")).await;
        terminal.write(b"two");
        within(terminal.read_until("ready>ONE!TWO")).await;
        let size = sam_api::wire::TerminalSize { cols: 101, rows: 37 };
        assert_eq!(memory.lock().unwrap().sizes, [size, size]);
        terminal.write(b"\x1d");
        assert_eq!(within(child.wait()).await.unwrap().code(), Some(0));
        let seen = within(terminal.read_until("goes on")).await;
        assert_eq!(seen.matches("ONE!TWO").count(), 1, "{seen:?}");
        assert!(seen.contains("\u{1b}[?1049l"), "{seen:?}");
        assert_eq!(terminal.modes(), before, "detached");

        let mut child = terminal.spawn(sam(&address).args(["attach", "hello"]));
        within(terminal.read_until("goes on\r\n\u{1b}[?1049hready>ONE!TWO")).await;
        kill(&child, Signal::TERM);
        assert_eq!(within(child.wait()).await.unwrap().code(), Some(143));
        assert_eq!(terminal.modes(), before, "terminated");

        let mut child = terminal.spawn(sam(&address).args(["attach", "hello"]));
        terminal.write(b".");
        assert_eq!(within(child.wait()).await.unwrap().code(), Some(7));
        assert_eq!(terminal.modes(), before, "ended");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn attaching_works_without_a_terminal() {
        let (address, _) = fake::start().await;
        let mut child =
            sam(&address).args(["attach", "hello"]).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"hi.").await.unwrap();
        let output = within(child.wait_with_output()).await.unwrap();
        assert_eq!(output.status.code(), Some(7));
        assert!(text(&output.stdout).ends_with("ready>"), "{:?}", text(&output.stdout));
        drop(stdin);
    }
}
