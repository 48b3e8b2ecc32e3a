//! Commands: their streams, their end, and what they are started with.

use std::path::Path;

use sam_agent::terminal::ExecOutput;
use sam_agent::wire::{ExecEvent, ExecRequest, ExitStatus, OpenTerminal};
use sam_core::ErrorKind;

use crate::support::{Holder, KIB, WS, alive, exec_request, lines, pattern, until};

pub(crate) async fn exec_passes_the_exit_status_and_keeps_the_streams_apart() {
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

pub(crate) async fn exec_streams_input_and_output_unchanged() {
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

pub(crate) async fn a_program_that_cannot_start_says_why() {
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
    let refused = holder.client.open_terminal(WS, Path::new("/tmp"), &request).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    let request = ExecRequest { directory: Some("../etc".into()), ..exec_request(&["true"]) };
    let stream = holder.client.exec(WS, Path::new("/tmp"), &request).await.unwrap();
    let (mut reader, _writer) = stream.split();
    let Some(ExecOutput::Event(ExecEvent::Failed { error })) = reader.next().await.unwrap() else {
        panic!("must fail")
    };
    assert_eq!(error.kind, ErrorKind::BadInput);
    let gone = holder.client.exec(WS, Path::new("/no/such"), &exec_request(&["true"])).await;
    let (mut reader, _writer) = gone.unwrap().split();
    let Some(ExecOutput::Event(ExecEvent::Failed { error })) = reader.next().await.unwrap() else {
        panic!("must fail")
    };
    assert_eq!(error.kind, ErrorKind::NotFound);
}

pub(crate) async fn dropping_a_command_ends_its_group_even_while_its_input_is_stuck() {
    let holder = Holder::start(&[]).await;
    for stuck in [false, true] {
        let script = "trap '' HUP TERM; sleep 300 & echo $! $$; wait; wait; sleep 300";
        let (mut reader, mut writer) = holder.exec(&["sh", "-c", script]).await.split();
        let Some(ExecOutput::Stdout(bytes)) = reader.next().await.unwrap() else {
            panic!("prints its ids")
        };
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let pids: Vec<i32> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
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

pub(crate) async fn signals_reach_a_command_and_a_grandchild_does_not_delay_its_end() {
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

pub(crate) async fn the_environment_is_clean_and_names_the_workspace() {
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
