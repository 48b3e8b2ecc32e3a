//! The holder itself: its lock and socket, what it ends, and what it keeps running.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use sam_agent::terminal::ExecOutput;
use sam_agent::wire::OpenTerminal;
use sam_core::{ErrorKind, WorkspaceId};

use crate::support::{
    Holder, WS, alive, exec_request, has, marked, start, to_the_end, until, watch,
};

pub(crate) async fn nothing_is_started_while_a_workspace_is_being_stopped() {
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

pub(crate) async fn stopping_finds_daemons_that_left_their_session() {
    let holder = Holder::start(&[]).await;
    let other = WorkspaceId::from_bits(9);
    let request = OpenTerminal { command: vec!["cat".into()], ..OpenTerminal::default() };
    let kept = holder.client.open_terminal(other, Path::new("/tmp"), &request).await.unwrap();
    let script =
        "setsid sh -c 'trap \"\" HUP TERM; (setsid sleep 301 &) ; while :; do sleep 0.2; done' &
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

pub(crate) async fn malformed_frames_harm_nobody_else() {
    let holder = Holder::start(&[]).await;
    let info = holder.open(&["sh", "-c", "read line; printf \"got $line\"; read line"]).await;
    let (mut reader, mut writer) = holder.client.attach(WS, info.id, None).await.unwrap().split();
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

pub(crate) async fn one_directory_has_one_holder_and_its_path_may_be_long() {
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

pub(crate) async fn leftovers_of_a_killed_holder_are_ended_by_the_next() {
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

pub(crate) async fn an_agent_that_was_killed_is_started_again() {
    let script = "echo $$; exec sleep 300";
    let holder = Holder::start(&["sh", "-c", script]).await;
    let log = holder.dir.join("agent.log");
    let pids = || -> Vec<i32> {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    };
    let info = holder.open(&["cat"]).await;
    let (mut reader, mut writer) = holder.client.attach(WS, info.id, None).await.unwrap().split();
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
