//! Terminals: every byte once and in order, whoever watches and whoever is slow.

use std::path::Path;

use rustix::process::Signal;
use sam_agent::terminal::TerminalOutput;
use sam_agent::wire::{
    ExitStatus, OpenTerminal, TERMINAL_RING_BYTES, TERMINALS_PER_WORKSPACE_MAX, TerminalSize,
};
use sam_core::{ErrorKind, TerminalId, WorkspaceId};

use crate::support::{Holder, KIB, WS, alive, has, lines, pattern, to_the_end, until, watch};

pub(crate) async fn all_byte_values_survive_a_raw_terminal() {
    let holder = Holder::start(&[]).await;
    let info = holder.open(&["sh", "-c", "stty raw -echo; printf ready; exec cat"]).await;
    let (mut reader, mut writer) = holder.client.attach(WS, info.id, None).await.unwrap().split();
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

pub(crate) async fn two_viewers_get_all_output_in_order() {
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

pub(crate) async fn reattaching_at_an_offset_continues_exactly_there() {
    let holder = Holder::start(&[]).await;
    let script = "stty raw -echo; read go; seq 1 100000; read end";
    let info = holder.open(&["sh", "-c", script]).await;
    let (mut reader, mut writer) = holder.client.attach(WS, info.id, None).await.unwrap().split();
    writer.input(b"go\n").await.unwrap();
    let mut seen = watch(&mut reader, |seen| seen.bytes.len() > 10_000).await;
    // As when the agent is killed: what was on its way to it is read again.
    drop((reader, writer));
    for _ in 0..100 {
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

pub(crate) async fn a_viewer_that_takes_nothing_is_dropped_and_the_others_go_on() {
    let holder = Holder::start(&[]).await;
    let script = "stty raw -echo; read go; seq 1 600000";
    let info = holder.open(&["sh", "-c", script]).await;
    let (mut slow, _slow_writer) = holder.client.attach(WS, info.id, None).await.unwrap().split();
    let (mut reader, mut writer) = holder.client.attach(WS, info.id, None).await.unwrap().split();
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

/// Looks until the terminal prints nothing for a while; returns its end.
async fn quiet_end(holder: &Holder) -> u64 {
    let (mut end, mut same) = (0, 0);
    for _ in 0..1_000 {
        let now = holder.client.terminals(WS).await.unwrap()[0].end_offset;
        same = if now == end { same + 1 } else { 0 };
        end = now;
        if same > 10 && end > 0 {
            return end;
        }
        moment().await;
    }
    panic!("prints for ever");
}

async fn moment() {
    let mut first = true;
    until("a moment", move || !std::mem::take(&mut first)).await;
}

pub(crate) async fn a_program_waits_for_a_viewer_that_is_slow() {
    let holder = Holder::start(&[]).await;
    let info =
        holder.open(&["sh", "-c", "stty raw -echo; printf ready; read go; seq 1 600000"]).await;
    let (mut reader, mut writer) = holder.client.attach(WS, info.id, None).await.unwrap().split();
    let _seen = watch(&mut reader, has("ready")).await;
    writer.input(b"go\n").await.unwrap();
    let expected = lines(600_000);
    let held = quiet_end(&holder).await;
    let most = TERMINAL_RING_BYTES + 1024 * KIB;
    assert!(held >= TERMINAL_RING_BYTES as u64, "{held}");
    assert!(held <= most as u64 && most < expected.len(), "held back at {held}");
    let seen = watch(&mut reader, to_the_end).await;
    assert!(seen.bytes == expected, "complete and in order, {} bytes", seen.bytes.len());
}

pub(crate) async fn what_was_printed_just_before_the_end_is_not_lost() {
    let holder = Holder::start(&[]).await;
    let go = holder.dir.join("go");
    let script = format!(
        "stty raw -echo; printf \"$$ \"; while [ ! -e {} ]; do sleep 0.02; done; seq 1 700; exit 6",
        go.display()
    );
    let info = holder.open(&["sh", "-c", &script]).await;
    let (mut reader, _writer) = holder.client.attach(WS, info.id, None).await.unwrap().split();
    let seen = watch(&mut reader, has(" ")).await;
    let pid: i32 = String::from_utf8(seen.bytes).unwrap().trim().parse().unwrap();
    // The holder sleeps while the program prints, less than the kernel keeps, and ends.
    holder.signal(Signal::STOP);
    std::fs::write(&go, "").unwrap();
    until("the program's end", || !alive(pid)).await;
    holder.signal(Signal::CONT);
    let seen = watch(&mut reader, to_the_end).await;
    assert!(seen.bytes == lines(700), "complete and in order, {} bytes", seen.bytes.len());
    assert_eq!(seen.exit, Some(ExitStatus::Code(6)));
}

pub(crate) async fn bytes_below_the_floor_are_only_lost_while_nobody_watches() {
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
        moment().await;
    }
    assert_eq!(floor, end - TERMINAL_RING_BYTES as u64);
    let (mut reader, _writer) = holder.client.attach(WS, info.id, Some(5)).await.unwrap().split();
    let seen = watch(&mut reader, |seen| seen.end() == end).await;
    assert_eq!((seen.first, seen.gap), (floor, Some((5, floor))));
    assert!(seen.bytes == expected[usize::try_from(floor).unwrap()..]);
}

pub(crate) async fn an_offset_beyond_the_end_is_refused_and_one_below_the_floor_is_a_gap() {
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

pub(crate) async fn exit_code_and_signal_of_a_terminal_are_told_after_the_last_byte() {
    let holder = Holder::start(&[]).await;
    for (script, exit) in [
        ("seq 1 20000; exit 7", ExitStatus::Code(7)),
        ("seq 1 20000; kill -9 $$", ExitStatus::Signal(9)),
        // Keeps the terminal open after the program's end.
        ("seq 1 20000; trap '' HUP; sleep 300 & exit 4", ExitStatus::Code(4)),
    ] {
        let script = format!("stty raw -echo; {script}");
        let info = holder.open(&["sh", "-c", &script]).await;
        let (mut reader, _writer) = holder.client.attach(WS, info.id, None).await.unwrap().split();
        let seen = watch(&mut reader, to_the_end).await;
        assert!(seen.bytes == lines(20_000), "{script}");
        assert_eq!(seen.exit, Some(exit));
    }
}

pub(crate) async fn sizes_reach_the_program_and_the_other_viewers() {
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

pub(crate) async fn ended_terminals_stay_listed_and_are_bounded() {
    let holder = Holder::start(&[]).await;
    let mut ids: Vec<TerminalId> = Vec::new();
    for _ in 0..20 {
        let info = holder.open(&["true"]).await;
        let (mut reader, _writer) = holder.client.attach(WS, info.id, None).await.unwrap().split();
        let _seen = watch(&mut reader, to_the_end).await;
        ids.push(info.id);
    }
    let list = holder.client.terminals(WS).await.unwrap();
    let listed: Vec<_> = list.iter().map(|info| info.id).collect();
    assert_eq!(listed.len(), 16);
    assert!(listed.iter().all(|id| ids.contains(id)));
    assert!(list.iter().all(|info| info.exit == Some(ExitStatus::Code(0))));
}

pub(crate) async fn a_workspace_has_a_bounded_number_of_terminals() {
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
    let refused = holder.client.open_terminal(WS, Path::new("/tmp"), &request).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::QuotaExceeded);
    let status = std::fs::read_to_string(format!("/proc/{}/status", holder.process.id()));
    let anonymous = status.unwrap();
    let anonymous = anonymous.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let kib: usize = anonymous.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 4 * KIB, "64 idle terminals take {kib} KiB");
}

pub(crate) async fn closing_ends_the_program_and_is_repeatable() {
    let holder = Holder::start(&[]).await;
    for script in ["printf $$; exec sleep 300", "trap '' HUP; printf $$; while :; do sleep 1; done"]
    {
        let info = holder.open(&["sh", "-c", script]).await;
        let (mut reader, _writer) = holder.client.attach(WS, info.id, None).await.unwrap().split();
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
