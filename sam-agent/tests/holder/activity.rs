//! What counts as activity in a workspace, as its holder sees it.

use std::path::Path;

use sam_agent::terminal::{HolderClient, TerminalOutput, TerminalReader};
use sam_agent::wire::{
    Activity, DeclareWork, IdleEnd, OpenTerminal, TerminalEvent, TerminalSize, WorkSort,
};
use sam_core::ErrorKind;

use crate::support::{Holder, WS, exec_request};

const NOTICE: &str = "stopped soon";

fn hour() -> DeclareWork {
    DeclareWork { for_ms: 3_600_000, sort: WorkSort::Background }
}

async fn activity(holder: &Holder) -> Activity {
    holder.client.activity(WS).await.unwrap()
}

/// Reads until a notice comes, or until the output holds a text.
async fn notice_or(reader: &mut TerminalReader, text: &str) -> Option<String> {
    let mut seen = Vec::new();
    loop {
        match reader.next().await.unwrap().expect("the terminal goes on") {
            TerminalOutput::Event(TerminalEvent::Notice { text }) => return Some(text),
            TerminalOutput::Bytes { bytes, .. } => seen.extend_from_slice(&bytes),
            _ => {}
        }
        if seen.windows(text.len()).any(|window| window == text.as_bytes()) {
            return None;
        }
    }
}

pub(crate) async fn commands_and_declared_work_are_work_until_they_end() {
    let holder = Holder::start(&[]).await;
    assert!(!activity(&holder).await.is_working());
    let (mut reader, mut writer) = holder.exec(&["cat"]).await.split();
    let seen = activity(&holder).await;
    assert_eq!((seen.commands, seen.quiet_for.is_zero()), (1, true));
    holder.client.warn(WS, NOTICE).await.unwrap();
    assert_eq!(activity(&holder).await.warned_for, None, "nobody is warned during work");
    assert_eq!(holder.client.stop_idle(WS).await.unwrap(), IdleEnd::InUse);
    writer.eof().await.unwrap();
    while reader.next().await.unwrap().is_some() {}
    drop((reader, writer));
    while activity(&holder).await.commands > 0 {}

    let build = "build".parse().unwrap();
    // Another client declares it: what is declared does not end with the agent.
    HolderClient::new(&holder.dir).declare_work(WS, &build, &hour()).await.unwrap();
    let seen = activity(&holder).await;
    assert_eq!((seen.work.len(), &seen.work[0].name), (1, &build));
    assert_eq!(holder.client.stop_idle(WS).await.unwrap(), IdleEnd::InUse);
    holder.client.end_work(WS, &build).await.unwrap();
    holder.client.end_work(WS, &build).await.unwrap();
    assert!(!activity(&holder).await.is_working());
}

pub(crate) async fn a_warning_reaches_all_viewers_and_only_typing_takes_it_back() {
    let holder = Holder::start(&[]).await;
    let info = holder.open(&["sh", "-c", "while read -r word; do echo \"<$word>\"; done"]).await;
    assert!(activity(&holder).await.last_input_age.is_some(), "opening a terminal counts");
    let attach = async || holder.client.attach(WS, info.id, None).await.unwrap().split();
    let (mut reader, mut writer) = attach().await;
    holder.client.warn(WS, NOTICE).await.unwrap();
    assert_eq!(notice_or(&mut reader, "<").await.as_deref(), Some(NOTICE));

    // Attaching, looking on and another size are no activity.
    let (mut late, mut late_writer) = attach().await;
    late_writer.resize(TerminalSize { cols: 90, rows: 30 }).await.unwrap();
    assert_eq!(notice_or(&mut late, "<").await.as_deref(), Some(NOTICE));
    assert!(activity(&holder).await.warned_for.is_some());

    writer.input(b"here\r").await.unwrap();
    assert_eq!(notice_or(&mut reader, "<here>").await, None);
    let seen = activity(&holder).await;
    assert_eq!(seen.warned_for, None);
    assert!(seen.last_input_age.is_some_and(|age| age <= seen.quiet_for));
    assert_eq!(holder.client.stop_idle(WS).await.unwrap(), IdleEnd::InUse);
    // One who comes now is told nothing.
    let (mut later, _later_writer) = attach().await;
    assert_eq!(notice_or(&mut later, "<here>").await, None);
}

pub(crate) async fn an_idle_stop_ends_everything_or_nothing() {
    let holder = Holder::start(&[]).await;
    let first = holder.open(&["sleep", "600"]).await;
    assert_eq!(holder.client.stop_idle(WS).await.unwrap(), IdleEnd::InUse, "nobody was warned");
    assert_eq!(holder.client.terminals(WS).await.unwrap().len(), 1);
    holder.client.warn(WS, NOTICE).await.unwrap();
    let (shell, command) = (OpenTerminal::default(), exec_request(&["true"]));
    let (ended, opened, ran) = tokio::join!(
        holder.client.stop_idle(WS),
        holder.client.open_terminal(WS, Path::new("/tmp"), &shell),
        holder.client.exec(WS, Path::new("/tmp"), &command),
    );
    // Whoever came first won: the stop refused the others until it was done, or one of them kept
    // it from ending anything.
    let left = holder.client.terminals(WS).await.unwrap();
    let is_left = left.iter().any(|terminal| terminal.id == first.id);
    match ended.unwrap() {
        IdleEnd::Ended => assert!(!is_left),
        _ => assert!(is_left && (opened.is_ok() || ran.is_ok())),
    }
    for refused in [opened.err(), ran.err()].into_iter().flatten() {
        assert_eq!(refused.kind(), ErrorKind::Conflict);
    }
    while activity(&holder).await.commands > 0 {}
    holder.client.warn(WS, NOTICE).await.unwrap();
    for _ in 0..2 {
        assert_eq!(holder.client.stop_idle(WS).await.unwrap(), IdleEnd::Ended);
    }
    let fresh = activity(&holder).await;
    assert_eq!((fresh.warned_for, fresh.last_input_age), (None, None));
}
