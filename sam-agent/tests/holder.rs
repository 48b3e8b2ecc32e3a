//! A real holder as a process of its own, driven through its client: the test binary starts
//! itself again with [`tests::HOLDER_MODE`] as its first argument.

fn main() -> std::process::ExitCode {
    tests::main()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixStream;
    use std::path::{Path, PathBuf};
    use std::pin::Pin;
    use std::process::{Child, Command, ExitCode, Stdio};
    use std::time::Duration;

    use libtest_mimic::{Arguments, Trial};
    use rustix::process::{Pid, Signal};
    use sam_agent::terminal::{
        ExecOutput, HolderClient, HolderConfig, TerminalOutput, TerminalReader,
    };
    use sam_agent::wire::{
        ExecEvent, ExecRequest, ExitStatus, OpenTerminal, TERMINAL_RING_BYTES,
        TERMINALS_PER_WORKSPACE_MAX, TerminalEvent, TerminalInfo, TerminalSize,
    };
    use sam_core::{ErrorKind, NodeId, TerminalId, WorkspaceId};
    use tempfile::TempDir;

    /// First argument of a holder's process; then its directory, node id and the agent.
    const HOLDER_MODE: &str = "hold-for-test";
    /// Longest any test may take.
    const DEADLINE: Duration = Duration::from_mins(1);
    const WS: WorkspaceId = WorkspaceId::from_bits(7);
    const KIB: usize = 1024;

    type Test = fn() -> Pin<Box<dyn Future<Output = ()>>>;

    pub(crate) fn main() -> ExitCode {
        let words: Vec<_> = std::env::args_os().collect();
        if words.get(1).is_some_and(|word| word == HOLDER_MODE) {
            return hold(&words);
        }
        macro_rules! all {
            ($($name:ident)*) => { vec![$((stringify!($name), (|| Box::pin($name())) as Test)),*] };
        }
        let tests: Vec<(&str, Test)> = all![
            a_program_that_cannot_start_says_why
            a_viewer_that_takes_nothing_is_dropped_and_the_others_go_on
            a_workspace_has_a_bounded_number_of_terminals
            all_byte_values_survive_a_raw_terminal
            an_agent_that_was_killed_is_started_again
            an_offset_beyond_the_end_is_refused_and_one_below_the_floor_is_a_gap
            bytes_below_the_floor_are_only_lost_while_nobody_watches
            closing_ends_the_program_and_is_repeatable
            dropping_a_command_ends_its_group_even_while_its_input_is_stuck
            ended_terminals_stay_listed_and_are_bounded
            exec_passes_the_exit_status_and_keeps_the_streams_apart
            exec_streams_input_and_output_unchanged
            exit_code_and_signal_of_a_terminal_are_told_after_the_last_byte
            leftovers_of_a_killed_holder_are_ended_by_the_next
            malformed_frames_harm_nobody_else
            nothing_is_started_while_a_workspace_is_being_stopped
            one_directory_has_one_holder_and_its_path_may_be_long
            reattaching_at_an_offset_continues_exactly_there
            signals_reach_a_command_and_a_grandchild_does_not_delay_its_end
            sizes_reach_the_program_and_the_other_viewers
            stopping_finds_daemons_that_left_their_session
            the_environment_is_clean_and_names_the_workspace
            two_viewers_get_all_output_in_order
        ];
        let trials = tests.into_iter().map(|(name, test)| {
            Trial::test(name, move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(within(DEADLINE, test()));
                Ok(())
            })
        });
        libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
    }

    /// The holder's process.
    fn hold(words: &[std::ffi::OsString]) -> ExitCode {
        let node: NodeId = words[3].to_str().unwrap().parse().unwrap();
        let environment = vec![
            ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
            ("SECRET".into(), "must not be passed on".into()),
        ];
        let config = HolderConfig::new(&words[2], node)
            .with_agent_command(words[4..].to_vec())
            .with_environment(environment);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        match runtime.block_on(sam_agent::terminal::run(config)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:?}");
                ExitCode::from(error.kind().exit_code())
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own deadline")]
    async fn within<F: Future>(span: Duration, future: F) -> F::Output {
        tokio::time::timeout(span, future).await.expect("in time")
    }

    #[expect(clippy::disallowed_methods, reason = "polls for what cannot be awaited")]
    async fn until(what: &str, mut ready: impl FnMut() -> bool) {
        for _ in 0..1_000 {
            if ready() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not in time: {what}");
    }

    /// A holder's process; ended with everything below it when dropped.
    struct Holder {
        process: Child,
        dir: PathBuf,
        node: NodeId,
        client: HolderClient,
        _root: TempDir,
    }

    fn start(dir: &Path, node: NodeId, agent: &[&str]) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .arg(HOLDER_MODE)
            .arg(dir)
            .arg(node.to_string())
            .args(agent)
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    impl Holder {
        async fn start(agent: &[&str]) -> Self {
            let root = tempfile::tempdir().unwrap();
            let dir = root.path().join("a-long-directory-name-".repeat(6));
            std::fs::create_dir(&dir).unwrap();
            let node = node_id();
            let process = start(&dir, node, agent);
            let client = HolderClient::new(&dir);
            let holder = Self { process, dir, node, client, _root: root };
            holder.ready().await;
            holder
        }

        async fn ready(&self) {
            let record = self.dir.join("holder.json");
            let pid = format!("\"pid\":{},", self.process.id());
            until("the holder's record", || {
                std::fs::read_to_string(&record).is_ok_and(|text| text.contains(&pid))
            })
            .await;
        }

        async fn open(&self, command: &[&str]) -> TerminalInfo {
            let command = command.iter().map(|word| (*word).to_owned()).collect();
            let request = OpenTerminal { command, ..OpenTerminal::default() };
            self.client.open_terminal(WS, Path::new("/tmp"), &request).await.unwrap()
        }

        async fn exec(&self, command: &[&str]) -> sam_agent::terminal::ExecStream {
            self.client.exec(WS, Path::new("/tmp"), &exec_request(command)).await.unwrap()
        }

        /// Runs a command without input to its end.
        async fn output(&self, command: &[&str]) -> (Vec<u8>, Vec<u8>, ExecEvent) {
            let (mut reader, mut writer) = self.exec(command).await.split();
            // It may have ended by now.
            let _late = writer.eof().await;
            let (mut out, mut err) = (Vec::new(), Vec::new());
            loop {
                match reader.next().await.unwrap().unwrap() {
                    ExecOutput::Stdout(bytes) => out.extend_from_slice(&bytes),
                    ExecOutput::Stderr(bytes) => err.extend_from_slice(&bytes),
                    ExecOutput::Event(event) => {
                        assert_eq!(reader.next().await.unwrap(), None);
                        return (out, err, event);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }

        fn signal(&self, signal: Signal) {
            rustix::process::kill_process(Pid::from_child(&self.process), signal).unwrap();
        }
    }

    impl Drop for Holder {
        fn drop(&mut self) {
            self.signal(Signal::TERM);
            self.process.wait().unwrap();
            let left = marked("SAM_NODE_ID", &self.node.to_string());
            if !std::thread::panicking() {
                assert_eq!(left, Vec::<i32>::new(), "the holder leaves nothing behind");
            }
        }
    }

    fn node_id() -> NodeId {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        NodeId::from_bits((u128::from(std::process::id()) << 64) | u128::from(number))
    }

    fn exec_request(command: &[&str]) -> ExecRequest {
        ExecRequest {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            env: Vec::new(),
            directory: None,
        }
    }

    /// Returns the processes alive whose environment has this variable.
    fn marked(name: &str, value: &str) -> Vec<i32> {
        let wanted = format!("{name}={value}");
        let pids = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| {
            let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        })
        .collect()
    }

    fn alive(pid: i32) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().starts_with(" Z"))
    }

    /// What a viewer saw.
    #[derive(Debug)]
    struct Seen {
        first: u64,
        bytes: Vec<u8>,
        exit: Option<ExitStatus>,
        gap: Option<(u64, u64)>,
        sizes: Vec<TerminalSize>,
    }

    impl Seen {
        fn end(&self) -> u64 {
            self.first + self.bytes.len() as u64
        }
    }

    /// Reads until `enough`, checking that offsets have neither holes nor overlaps.
    async fn watch(reader: &mut TerminalReader, enough: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen =
            Seen { first: u64::MAX, bytes: Vec::new(), exit: None, gap: None, sizes: Vec::new() };
        while !enough(&seen) {
            match reader.next().await.unwrap() {
                None => return seen,
                Some(TerminalOutput::Event(TerminalEvent::Attached { offset, .. })) => {
                    seen.first = offset;
                }
                Some(TerminalOutput::Event(TerminalEvent::Gap { from, to })) => {
                    seen.gap = Some((from, to));
                }
                Some(TerminalOutput::Event(TerminalEvent::Resized(size))) => seen.sizes.push(size),
                Some(TerminalOutput::Event(TerminalEvent::Exit { status })) => {
                    seen.exit = Some(status);
                }
                Some(TerminalOutput::Bytes { offset, bytes }) => {
                    if seen.first == u64::MAX {
                        seen.first = offset;
                    }
                    assert_eq!(offset, seen.end(), "no hole and nothing twice");
                    seen.bytes.extend_from_slice(&bytes);
                }
                Some(other) => panic!("{other:?}"),
            }
        }
        seen
    }

    fn has(text: &'static str) -> impl Fn(&Seen) -> bool {
        move |seen| seen.bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }

    fn to_the_end(seen: &Seen) -> bool {
        seen.exit.is_some()
    }

    /// All byte values, in an order that shows a piece lost or moved.
    fn pattern(length: usize) -> Vec<u8> {
        let wave = (0..=255_u8).cycle();
        let bytes = wave.enumerate().map(|(at, byte)| if at % 1_009 == 0 { 7 } else { byte });
        bytes.take(length).collect()
    }

    /// Lines of a given number as `seq` prints them on a raw terminal.
    fn lines(count: usize) -> Vec<u8> {
        (1..=count).flat_map(|number| format!("{number}\n").into_bytes()).collect()
    }

    async fn all_byte_values_survive_a_raw_terminal() {
        let holder = Holder::start(&[]).await;
        let info = holder.open(&["sh", "-c", "stty raw -echo; printf ready; exec cat"]).await;
        let (mut reader, mut writer) =
            holder.client.attach(WS, info.id, None).await.unwrap().split();
        let seen = watch(&mut reader, has("ready")).await;
        assert_eq!(seen.bytes, b"ready");
        let bytes: Vec<u8> = pattern(200 * KIB);
        let sent = bytes.clone();
        let (seen, ()) =
            tokio::join!(watch(&mut reader, |seen| seen.bytes.len() >= 200 * KIB), async {
                writer.input(&sent).await.unwrap();
            },);
        assert!(seen.bytes == bytes, "the bytes came back unchanged");
        assert!((0..=255).all(|byte| bytes.contains(&byte)));
    }

    async fn two_viewers_get_all_output_in_order() {
        let holder = Holder::start(&[]).await;
        let script = "stty raw -echo; read go; seq 1 300000; exit 3";
        let info = holder.open(&["sh", "-c", script]).await;
        let (mut one, mut writer) = holder.client.attach(WS, info.id, None).await.unwrap().split();
        let (mut two, _other) = holder.client.attach(WS, info.id, Some(0)).await.unwrap().split();
        writer.input(b"go\n").await.unwrap();
        let (one, two) = tokio::join!(watch(&mut one, to_the_end), watch(&mut two, to_the_end));
        let expected = lines(300_000);
        assert!(expected.len() > TERMINAL_RING_BYTES, "more than the ring holds");
        for seen in [one, two] {
            let output = seen.bytes.strip_prefix(b"go\r\n").unwrap_or(&seen.bytes);
            assert!(output == expected, "complete and in order, {} bytes", output.len());
            assert_eq!((seen.first, seen.gap), (0, None));
            assert_eq!(seen.exit, Some(ExitStatus::Code(3)));
        }
    }

    async fn reattaching_at_an_offset_continues_exactly_there() {
        let holder = Holder::start(&[]).await;
        let script = "stty raw -echo; read go; seq 1 100000; read end";
        let info = holder.open(&["sh", "-c", script]).await;
        let (mut reader, mut writer) =
            holder.client.attach(WS, info.id, None).await.unwrap().split();
        writer.input(b"go\n").await.unwrap();
        let mut seen = watch(&mut reader, |seen| seen.bytes.len() > 10_000).await;
        // As when the agent is killed: what was on its way to it is read again.
        drop((reader, writer));
        for _ in 0..20 {
            let (mut reader, writer) =
                holder.client.attach(WS, info.id, Some(seen.end())).await.unwrap().split();
            let enough = seen.bytes.len() + 20_000;
            let more = watch(&mut reader, |more| {
                seen.bytes.len() + more.bytes.len() >= enough
                    || more.bytes.ends_with(b"99999\n100000\n")
            })
            .await;
            assert_eq!((more.first, more.gap), (seen.end(), None));
            seen.bytes.extend_from_slice(&more.bytes);
            drop((reader, writer));
            if seen.bytes.ends_with(b"99999\n100000\n") {
                break;
            }
        }
        let output = seen.bytes.strip_prefix(b"go\r\n").unwrap_or(&seen.bytes);
        assert!(output == lines(100_000), "complete and in order, {} bytes", output.len());
    }

    async fn a_viewer_that_takes_nothing_is_dropped_and_the_others_go_on() {
        let holder = Holder::start(&[]).await;
        let script = "stty raw -echo; read go; seq 1 600000";
        let info = holder.open(&["sh", "-c", script]).await;
        let (mut slow, _slow_writer) =
            holder.client.attach(WS, info.id, None).await.unwrap().split();
        let (mut reader, mut writer) =
            holder.client.attach(WS, info.id, None).await.unwrap().split();
        writer.input(b"go\n").await.unwrap();
        let seen = watch(&mut reader, to_the_end).await;
        let output = seen.bytes.strip_prefix(b"go\r\n").unwrap_or(&seen.bytes);
        assert!(output == lines(600_000), "complete and in order, {} bytes", output.len());
        let mut offset = 0;
        let error = loop {
            match slow.next().await {
                Ok(Some(TerminalOutput::Bytes { offset: at, bytes })) => {
                    assert_eq!(at, offset);
                    offset += bytes.len() as u64;
                }
                Ok(Some(TerminalOutput::Event(_))) => {}
                Ok(other) => panic!("{other:?}"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(offset < seen.end());
    }

    async fn bytes_below_the_floor_are_only_lost_while_nobody_watches() {
        let holder = Holder::start(&[]).await;
        let info = holder.open(&["sh", "-c", "stty raw -echo; seq 1 300000; read end"]).await;
        let expected = lines(300_000);
        let end = expected.len() as u64;
        let mut floor = 0;
        // Nobody watches, so the program is not held back.
        for _ in 0..1_000 {
            let list = holder.client.terminals(WS).await.unwrap();
            floor = list[0].floor_offset;
            if list[0].end_offset == end {
                break;
            }
            until("a moment", {
                let mut first = true;
                move || !std::mem::take(&mut first)
            })
            .await;
        }
        assert_eq!(floor, end - TERMINAL_RING_BYTES as u64);
        let (mut reader, _writer) =
            holder.client.attach(WS, info.id, Some(5)).await.unwrap().split();
        let seen = watch(&mut reader, |seen| seen.end() == end).await;
        assert_eq!((seen.first, seen.gap), (floor, Some((5, floor))));
        assert!(seen.bytes == expected[usize::try_from(floor).unwrap()..]);
    }

    async fn an_offset_beyond_the_end_is_refused_and_one_below_the_floor_is_a_gap() {
        let holder = Holder::start(&[]).await;
        let info = holder.open(&["sh", "-c", "printf hello"]).await;
        let (mut reader, _writer) = holder.client.attach(WS, info.id, None).await.unwrap().split();
        let seen = watch(&mut reader, to_the_end).await;
        assert_eq!(seen.bytes, b"hello");
        let refused = holder.client.attach(WS, info.id, Some(6)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::BadInput);
        let (mut late, _writer) = holder.client.attach(WS, info.id, Some(5)).await.unwrap().split();
        let seen = watch(&mut late, to_the_end).await;
        assert_eq!((seen.bytes.len(), seen.exit), (0, Some(ExitStatus::Code(0))));
        let foreign = WorkspaceId::from_bits(8);
        let refused = holder.client.attach(foreign, info.id, None).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
    }

    async fn exit_code_and_signal_of_a_terminal_are_told_after_the_last_byte() {
        let holder = Holder::start(&[]).await;
        for (script, exit) in [
            ("seq 1 20000; exit 7", ExitStatus::Code(7)),
            ("seq 1 20000; kill -9 $$", ExitStatus::Signal(9)),
            // Keeps the terminal open after the program's end.
            ("seq 1 20000; trap '' HUP; sleep 300 & exit 4", ExitStatus::Code(4)),
        ] {
            let script = format!("stty raw -echo; {script}");
            let info = holder.open(&["sh", "-c", &script]).await;
            let (mut reader, _writer) =
                holder.client.attach(WS, info.id, None).await.unwrap().split();
            let seen = watch(&mut reader, to_the_end).await;
            assert!(seen.bytes == lines(20_000), "{script}");
            assert_eq!(seen.exit, Some(exit));
        }
    }

    async fn sizes_reach_the_program_and_the_other_viewers() {
        let holder = Holder::start(&[]).await;
        let script = "stty -echo; stty size; while read line; do stty size; done";
        let request = OpenTerminal {
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            size: TerminalSize { cols: 101, rows: 31 },
            term: None,
        };
        let info = holder.client.open_terminal(WS, Path::new("/tmp"), &request).await.unwrap();
        let (mut one, mut writer) = holder.client.attach(WS, info.id, None).await.unwrap().split();
        let (mut two, _writer) = holder.client.attach(WS, info.id, None).await.unwrap().split();
        let _first = watch(&mut one, has("31 101")).await;
        let size = TerminalSize { cols: 132, rows: 43 };
        writer.resize(size).await.unwrap();
        writer.input(b"\n").await.unwrap();
        let seen = watch(&mut one, has("43 132")).await;
        assert!(seen.sizes.is_empty(), "who changed it is not told");
        let seen = watch(&mut two, has("43 132")).await;
        assert_eq!(seen.sizes, [size]);
        assert_eq!(holder.client.terminals(WS).await.unwrap()[0].size, size);
    }

    async fn ended_terminals_stay_listed_and_are_bounded() {
        let holder = Holder::start(&[]).await;
        let mut ids: Vec<TerminalId> = Vec::new();
        for _ in 0..20 {
            let info = holder.open(&["true"]).await;
            let (mut reader, _writer) =
                holder.client.attach(WS, info.id, None).await.unwrap().split();
            let _seen = watch(&mut reader, to_the_end).await;
            ids.push(info.id);
        }
        let list = holder.client.terminals(WS).await.unwrap();
        let listed: Vec<_> = list.iter().map(|info| info.id).collect();
        assert_eq!(listed.len(), 16);
        assert!(listed.iter().all(|id| ids.contains(id)));
        assert!(list.iter().all(|info| info.exit == Some(ExitStatus::Code(0))));
    }

    async fn a_workspace_has_a_bounded_number_of_terminals() {
        let holder = Holder::start(&[]).await;
        let ended = holder.open(&["true"]).await;
        let (mut reader, _writer) = holder.client.attach(WS, ended.id, None).await.unwrap().split();
        let _seen = watch(&mut reader, to_the_end).await;
        for _ in 0..TERMINALS_PER_WORKSPACE_MAX {
            // The last one takes the place of the one that ended.
            holder.open(&["cat"]).await;
        }
        let list = holder.client.terminals(WS).await.unwrap();
        assert_eq!(list.len(), TERMINALS_PER_WORKSPACE_MAX);
        let request = OpenTerminal { command: vec!["cat".into()], ..OpenTerminal::default() };
        let refused =
            holder.client.open_terminal(WS, Path::new("/tmp"), &request).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::QuotaExceeded);
        let status = std::fs::read_to_string(format!("/proc/{}/status", holder.process.id()));
        let anonymous = status.unwrap();
        let anonymous = anonymous.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        let kib: usize = anonymous.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kib < 4 * KIB, "64 idle terminals take {kib} KiB");
    }

    async fn nothing_is_started_while_a_workspace_is_being_stopped() {
        let holder = Holder::start(&[]).await;
        let script = "trap '' HUP TERM; printf ready; while :; do sleep 0.1; done";
        let info = holder.open(&["sh", "-c", script]).await;
        let (mut reader, _writer) = holder.client.attach(WS, info.id, None).await.unwrap().split();
        let _seen = watch(&mut reader, has("ready")).await;
        let tries = async {
            // Until the holder has heard of the stop, it starts what it is asked to.
            loop {
                match holder.client.exec(WS, Path::new("/tmp"), &exec_request(&["true"])).await {
                    Ok(stream) => drop(stream),
                    Err(error) => return error,
                }
            }
        };
        let (stopped, error) = tokio::join!(holder.client.stop_workspace(WS), tries);
        stopped.unwrap();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let (out, _, _) = holder.output(&["echo", "again"]).await;
        assert_eq!(out, b"again\n");
    }

    async fn closing_ends_the_program_and_is_repeatable() {
        let holder = Holder::start(&[]).await;
        for script in
            ["printf $$; exec sleep 300", "trap '' HUP; printf $$; while :; do sleep 1; done"]
        {
            let info = holder.open(&["sh", "-c", script]).await;
            let (mut reader, _writer) =
                holder.client.attach(WS, info.id, None).await.unwrap().split();
            let seen = watch(&mut reader, |seen| !seen.bytes.is_empty()).await;
            let pid = String::from_utf8(seen.bytes).unwrap().parse().unwrap();
            assert!(alive(pid));
            holder.client.close_terminal(WS, info.id).await.unwrap();
            holder.client.close_terminal(WS, info.id).await.unwrap();
            assert!(!alive(pid));
            assert!(watch(&mut reader, to_the_end).await.exit.is_some());
            assert_eq!(holder.client.terminals(WS).await.unwrap(), []);
        }
    }

    async fn exec_passes_the_exit_status_and_keeps_the_streams_apart() {
        let holder = Holder::start(&[]).await;
        let exit = |code| ExecEvent::Exit { status: ExitStatus::Code(code) };
        let found = holder.output(&["sh", "-c", "echo out; echo err >&2; exit 7"]).await;
        assert_eq!(found, (b"out\n".to_vec(), b"err\n".to_vec(), exit(7)));
        let (out, err, end) = holder.output(&["seq", "1", "200000"]).await;
        assert!(out == lines(200_000), "complete, {} bytes", out.len());
        assert_eq!((err.len(), end), (0, exit(0)));
        let (_, _, end) = holder.output(&["sh", "-c", "kill -15 $$"]).await;
        assert_eq!(end, ExecEvent::Exit { status: ExitStatus::Signal(15) });
    }

    async fn exec_streams_input_and_output_unchanged() {
        let holder = Holder::start(&[]).await;
        let (mut reader, mut writer) = holder.exec(&["cat"]).await.split();
        let bytes: Vec<u8> = pattern(5 * KIB * KIB);
        let mut found = Vec::with_capacity(bytes.len());
        let send = async {
            writer.stdin(&bytes).await.unwrap();
            writer.eof().await.unwrap();
            // Only the reader keeps the command running from here on.
            drop(writer);
        };
        let receive = async {
            loop {
                match reader.next().await.unwrap().unwrap() {
                    ExecOutput::Stdout(bytes) => found.extend_from_slice(&bytes),
                    ExecOutput::Event(event) => return event,
                    other => panic!("{other:?}"),
                }
            }
        };
        let ((), end) = tokio::join!(send, receive);
        assert_eq!(end, ExecEvent::Exit { status: ExitStatus::Code(0) });
        assert!(found == bytes, "5 MiB came back unchanged");
    }

    async fn a_program_that_cannot_start_says_why() {
        let holder = Holder::start(&[]).await;
        for (command, kind) in [
            (&["no-such-program"][..], ErrorKind::NotFound),
            (&["/etc/passwd"], ErrorKind::Denied),
            (&["/tmp/\0"], ErrorKind::BadInput),
            (&[], ErrorKind::BadInput),
        ] {
            let (_, _, end) = holder.output(command).await;
            let ExecEvent::Failed { error } = end else { panic!("{end:?}") };
            assert_eq!((error.kind, error.hint.is_some()), (kind, true), "{command:?}");
        }
        let request = OpenTerminal { command: vec!["nope".into()], ..OpenTerminal::default() };
        let refused =
            holder.client.open_terminal(WS, Path::new("/tmp"), &request).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
        let request = ExecRequest { directory: Some("../etc".into()), ..exec_request(&["true"]) };
        let stream = holder.client.exec(WS, Path::new("/tmp"), &request).await.unwrap();
        let (mut reader, _writer) = stream.split();
        let Some(ExecOutput::Event(ExecEvent::Failed { error })) = reader.next().await.unwrap()
        else {
            panic!("must fail")
        };
        assert_eq!(error.kind, ErrorKind::BadInput);
        let gone = holder.client.exec(WS, Path::new("/no/such"), &exec_request(&["true"])).await;
        let (mut reader, _writer) = gone.unwrap().split();
        let Some(ExecOutput::Event(ExecEvent::Failed { error })) = reader.next().await.unwrap()
        else {
            panic!("must fail")
        };
        assert_eq!(error.kind, ErrorKind::NotFound);
    }

    async fn dropping_a_command_ends_its_group_even_while_its_input_is_stuck() {
        let holder = Holder::start(&[]).await;
        for stuck in [false, true] {
            let script = "trap '' HUP TERM; sleep 300 & echo $! $$; wait; wait; sleep 300";
            let (mut reader, mut writer) = holder.exec(&["sh", "-c", script]).await.split();
            let Some(ExecOutput::Stdout(bytes)) = reader.next().await.unwrap() else {
                panic!("prints its ids")
            };
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            let pids: Vec<i32> =
                text.split_whitespace().map(|word| word.parse().unwrap()).collect();
            assert!(pids.len() == 2 && pids.iter().all(|pid| alive(*pid)));
            if stuck {
                let bytes = vec![0; 4 * KIB * KIB];
                let mut sending = Box::pin(writer.stdin(&bytes));
                // The pipe and the socket are full long before 4 MiB.
                tokio::select! {
                    biased;
                    sent = &mut sending => panic!("{sent:?}"),
                    () = until("a full pipe", { let mut looks = 0; move || { looks += 1; looks > 10 } }) => {}
                }
            }
            drop((reader, writer));
            until("the group's end", || pids.iter().all(|pid| !alive(*pid))).await;
        }
    }

    async fn signals_reach_a_command_and_a_grandchild_does_not_delay_its_end() {
        let holder = Holder::start(&[]).await;
        let script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done";
        let (mut reader, mut writer) = holder.exec(&["sh", "-c", script]).await.split();
        assert_eq!(reader.next().await.unwrap(), Some(ExecOutput::Stdout("ready\n".into())));
        writer.signal(2).await.unwrap();
        assert_eq!(reader.next().await.unwrap(), Some(ExecOutput::Stdout("caught\n".into())));
        let end = ExecEvent::Exit { status: ExitStatus::Code(9) };
        assert_eq!(reader.next().await.unwrap(), Some(ExecOutput::Event(end)));
        let (out, _, end) = holder.output(&["sh", "-c", "sleep 300 & echo started"]).await;
        assert_eq!(out, b"started\n");
        assert_eq!(end, ExecEvent::Exit { status: ExitStatus::Code(0) });
    }

    async fn stopping_finds_daemons_that_left_their_session() {
        let holder = Holder::start(&[]).await;
        let other = WorkspaceId::from_bits(9);
        let request = OpenTerminal { command: vec!["cat".into()], ..OpenTerminal::default() };
        let kept = holder.client.open_terminal(other, Path::new("/tmp"), &request).await.unwrap();
        let script = "setsid sh -c 'trap \"\" HUP TERM; (setsid sleep 301 &) ; while :; do sleep 0.2; done' &
                      nohup sleep 302 >/dev/null 2>&1 & printf ready; cat";
        let info = holder.open(&["sh", "-c", script]).await;
        let (mut reader, _writer) = holder.client.attach(WS, info.id, None).await.unwrap().split();
        let _seen = watch(&mut reader, has("ready")).await;
        let ours = || -> Vec<i32> {
            let node = marked("SAM_NODE_ID", &holder.node.to_string());
            let ws = marked("SAM_WORKSPACE_ID", &WS.to_string());
            node.into_iter().filter(|pid| ws.contains(pid)).collect()
        };
        until("all processes", || ours().len() >= 5).await;
        holder.client.stop_workspace(WS).await.unwrap();
        assert_eq!(ours(), Vec::<i32>::new());
        assert_eq!(holder.client.terminals(WS).await.unwrap(), []);
        assert!(watch(&mut reader, to_the_end).await.exit.is_some());
        let others = holder.client.terminals(other).await.unwrap();
        assert_eq!((others[0].id, others[0].exit), (kept.id, None));
        holder.client.stop_workspace(WS).await.unwrap();
        // Now the other is the only one: its daemon without any mark is found as well.
        let request = exec_request(&["env", "-i", "sh", "-c", "setsid sleep 303 & echo $!"]);
        let stream = holder.client.exec(other, Path::new("/tmp"), &request).await.unwrap();
        let (mut reader, _writer) = stream.split();
        let Some(ExecOutput::Stdout(bytes)) = reader.next().await.unwrap() else {
            panic!("prints its id")
        };
        let pid = String::from_utf8(bytes.to_vec()).unwrap().trim().parse().unwrap();
        assert!(alive(pid));
        holder.client.stop_workspace(other).await.unwrap();
        assert!(!alive(pid));
    }

    async fn the_environment_is_clean_and_names_the_workspace() {
        let holder = Holder::start(&[]).await;
        let request = ExecRequest {
            env: vec![("MINE".into(), "1".into()), ("SAM_NODE_ID".into(), "forged".into())],
            ..exec_request(&["env"])
        };
        let stream = holder.client.exec(WS, Path::new("/tmp"), &request).await.unwrap();
        let (mut reader, _writer) = stream.split();
        let mut text = Vec::new();
        while let Some(ExecOutput::Stdout(bytes)) = reader.next().await.unwrap() {
            text.extend_from_slice(&bytes);
        }
        let text = String::from_utf8(text).unwrap();
        let mut found: Vec<&str> = text.lines().filter(|line| !line.starts_with("PWD=")).collect();
        found.sort_unstable();
        let (node, ws) = (format!("SAM_NODE_ID={}", holder.node), format!("SAM_WORKSPACE_ID={WS}"));
        assert_eq!(found, ["MINE=1", "PATH=/usr/local/bin:/usr/bin:/bin", &node, &ws]);
    }

    async fn malformed_frames_harm_nobody_else() {
        let holder = Holder::start(&[]).await;
        let info = holder.open(&["sh", "-c", "read line; printf \"got $line\"; read line"]).await;
        let (mut reader, mut writer) =
            holder.client.attach(WS, info.id, None).await.unwrap().split();
        let dir = std::fs::File::open(&holder.dir).unwrap();
        let path = format!("/proc/self/fd/{}/holder.sock", std::os::fd::AsRawFd::as_raw_fd(&dir));
        for bytes in [
            &b"\xff\xff\xff\xff\x01"[..],
            b"\0\0\0\0",
            b"\0\0\0\x02\x63x",
            b"\0\0\0\x05\x05oops",
            b"\0\0\0\x03\x01{}",
            b"GET / HTTP/1.1\r\n\r\n",
        ] {
            let mut raw = UnixStream::connect(&path).unwrap();
            raw.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            raw.write_all(bytes).unwrap();
            let mut answer = Vec::new();
            // Refused: closed, with or without an answer, and maybe with a reset.
            let end = std::io::Read::read_to_end(&mut raw, &mut answer);
            let late = |error: std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
            assert!(!end.is_err_and(late), "{bytes:?}");
        }
        writer.input(b"it\n").await.unwrap();
        let _seen = watch(&mut reader, has("got it")).await;
    }

    async fn one_directory_has_one_holder_and_its_path_may_be_long() {
        let holder = Holder::start(&[]).await;
        assert!(holder.dir.as_os_str().len() > 120);
        let first = holder.client.info().await.unwrap();
        assert_eq!((first.pid, first.instance.len()), (holder.process.id(), 32));
        let mut second = start(&holder.dir, holder.node, &[]);
        let status = second.wait().unwrap();
        assert_eq!(status.code(), Some(i32::from(ErrorKind::Conflict.exit_code())));
        assert_eq!(holder.client.info().await.unwrap(), first);
        let socket = std::fs::metadata(holder.dir.join("holder.sock")).unwrap();
        assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    }

    async fn leftovers_of_a_killed_holder_are_ended_by_the_next() {
        let mut holder = Holder::start(&[]).await;
        let first = holder.client.info().await.unwrap();
        let script = "setsid sh -c 'trap \"\" HUP; sleep 300' & echo $!; wait";
        let (mut reader, _writer) = holder.exec(&["sh", "-c", script]).await.split();
        let Some(ExecOutput::Stdout(bytes)) = reader.next().await.unwrap() else {
            panic!("prints its id")
        };
        let pid: i32 = String::from_utf8(bytes.to_vec()).unwrap().trim().parse().unwrap();
        holder.signal(Signal::KILL);
        holder.process.wait().unwrap();
        assert_eq!(holder.client.info().await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(alive(pid));
        holder.process = start(&holder.dir, holder.node, &[]);
        holder.ready().await;
        assert!(!alive(pid));
        assert_ne!(holder.client.info().await.unwrap().instance, first.instance);
    }

    async fn an_agent_that_was_killed_is_started_again() {
        let script = "echo $$; exec sleep 300";
        let holder = Holder::start(&["sh", "-c", script]).await;
        let log = holder.dir.join("agent.log");
        let pids = || -> Vec<i32> {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            text.lines().map(|line| line.parse().unwrap()).collect()
        };
        let info = holder.open(&["cat"]).await;
        let (mut reader, mut writer) =
            holder.client.attach(WS, info.id, None).await.unwrap().split();
        for round in 1..=2 {
            until("the agent", || pids().len() == round).await;
            let pid = pids()[round - 1];
            rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        }
        until("the agent", || pids().len() == 3).await;
        writer.input(b"still here\n").await.unwrap();
        let _seen = watch(&mut reader, has("still here\r\n")).await;
        // Stopping a workspace is not for the agent.
        holder.client.stop_workspace(WS).await.unwrap();
        assert!(alive(pids()[2]));
    }
}
