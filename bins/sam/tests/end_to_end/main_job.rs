//! `sam up`: the job people come for.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt as _;

use crate::deadline::{LIMIT, within};
use crate::home::{Home, assert_failed, said, trials};
use crate::processes::Role;

trials! {
    a_command_in_a_fresh_workspace_leaves_nothing,
    the_status_of_a_command_is_passed_on,
    sams_own_failure_is_125,
    output_is_complete_in_order_and_apart,
    binary_input_comes_back_unchanged,
    ten_thousand_files_are_checked_out_clean,
    branches_tags_and_commits_are_checked_out,
    five_clients_at_once_start_one_daemon,
    files_stay_over_a_stop_and_a_start,
    a_client_that_is_killed_lets_its_workspace_go,
}

async fn a_command_in_a_fresh_workspace_leaves_nothing(home: &Home) {
    let repo = home.repo().await;
    let mut command = home.sam(&["up", ".", "--exec", "git log -1 --oneline", "--rm"]);
    let output = within("sam up", LIMIT, command.current_dir(&repo).output()).await.unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let line = home.git(&repo, &["log", "-1", "--oneline"]).await;
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{line}\n"));
    assert_eq!(home.done(&["ls", "--json"]).await, "");
    assert_eq!(home.node_directories(), Vec::<String>::new());
    let left: Vec<_> = home.processes();
    assert!(left.iter().all(|process| process.role == Role::Daemon), "{left:?}");
}

async fn the_status_of_a_command_is_passed_on(home: &Home) {
    let repo = home.repo().await;
    let repo = repo.to_str().unwrap();
    let output = home.run(&["up", repo, "--rm", "--exec", "exit 7"]).await;
    assert_eq!(output.status.code(), Some(7), "{}", said(&output));
    let output = home.run(&["up", repo, "--rm", "--exec", "kill -9 $$"]).await;
    assert_eq!(output.status.code(), Some(137), "{}", said(&output));
}

async fn sams_own_failure_is_125(home: &Home) {
    let repo = home.repo().await;
    let repo = repo.to_str().unwrap();
    let output = home.run(&["up", repo, "--rm", "--branch", "absent", "--exec", "true"]).await;
    assert_failed(&output, 125, &["absent"]);
    assert_failed(&home.run(&["exec", "nobody", "--", "true"]).await, 125, &["nobody"]);
    home.up(Path::new(repo), "a").await;
    let output = home.run(&["exec", "a", "--", "no-such-program"]).await;
    assert_failed(&output, 125, &["no-such-program"]);
    home.done(&["delete", "a"]).await;
}

async fn output_is_complete_in_order_and_apart(home: &Home) {
    let repo = home.repo().await;
    let script = "seq 1 200000; echo told >&2";
    let output = home.run(&["up", repo.to_str().unwrap(), "-q", "--rm", "--exec", script]).await;
    assert!(output.status.success(), "{}", said(&output));
    let mut expected = String::new();
    for number in 1..=200_000 {
        writeln!(expected, "{number}").unwrap();
    }
    assert!(output.stdout == expected.as_bytes(), "{} bytes", output.stdout.len());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "told\n");
}

async fn binary_input_comes_back_unchanged(home: &Home) {
    let repo = home.repo().await;
    home.up(&repo, "a").await;
    let sent: Vec<u8> = (0..4_u32 << 20).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect();
    let mut child = home.sam(&["exec", "a", "--", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = sent.clone();
    let feeding = tokio::spawn(async move { stdin.write_all(&input).await });
    let output = within("cat", LIMIT, child.wait_with_output()).await.unwrap();
    feeding.await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == sent, "{} bytes came back", output.stdout.len());
    home.done(&["delete", "a"]).await;
}

async fn ten_thousand_files_are_checked_out_clean(home: &Home) {
    let repo = home.repo_named("big", 10_000).await;
    let script = "git status --porcelain | wc -l; git ls-files | wc -l";
    let printed = home.done(&["up", repo.to_str().unwrap(), "--rm", "--exec", script]).await;
    assert_eq!(printed, "0\n10000\n");
}

async fn branches_tags_and_commits_are_checked_out(home: &Home) {
    let repo = home.repo().await;
    let first = home.git(&repo, &["rev-parse", "HEAD"]).await;
    let short = home.git(&repo, &["rev-parse", "--short=12", "HEAD"]).await;
    home.git(&repo, &["tag", "v1"]).await;
    home.git(&repo, &["checkout", "-q", "-b", "topic/one"]).await;
    fs::write(repo.join("more"), "more").unwrap();
    home.git(&repo, &["add", "."]).await;
    home.git(&repo, &["commit", "-qm", "second"]).await;
    let second = home.git(&repo, &["rev-parse", "HEAD"]).await;
    home.git(&repo, &["checkout", "-q", "main"]).await;
    let script = "git rev-parse HEAD; git symbolic-ref -q --short HEAD || echo detached";
    for (reference, commit, head) in [
        ("topic/one", &second, "topic/one"),
        ("v1", &first, "detached"),
        (short.as_str(), &first, "detached"),
        (second.as_str(), &second, "detached"),
    ] {
        let arguments =
            ["up", repo.to_str().unwrap(), "--rm", "--branch", reference, "--exec", script];
        assert_eq!(home.done(&arguments).await, format!("{commit}\n{head}\n"), "{reference}");
    }
}

async fn five_clients_at_once_start_one_daemon(home: &Home) {
    let repo = home.repo().await;
    let up = async |number: usize| {
        let script = format!("echo {number}");
        let printed = home.done(&["up", repo.to_str().unwrap(), "--rm", "--exec", &script]).await;
        assert_eq!(printed, format!("{number}\n"));
    };
    join_all((0..5).map(up)).await;
    assert_eq!(home.those(Role::Daemon).len(), 1);
}

async fn files_stay_over_a_stop_and_a_start(home: &Home) {
    let repo = home.repo().await;
    home.up(&repo, "a").await;
    // One that leaves its parents and ignores what it is asked.
    let script = "echo kept > kept; (setsid sh -c 'trap \"\" TERM HUP; exec sleep 600' &) ; true";
    home.done(&["exec", "a", "--shell", script]).await;
    home.done(&["stop", "a"]).await;
    let running = home.those(Role::Other);
    assert!(running.is_empty(), "{running:?}");
    assert_failed(&home.run(&["exec", "a", "--", "true"]).await, 125, &["stopped", "sam start"]);
    home.done(&["start", "a"]).await;
    assert_eq!(home.done(&["exec", "a", "--", "cat", "kept"]).await, "kept\n");
    home.done(&["delete", "a"]).await;
}

async fn a_client_that_is_killed_lets_its_workspace_go(home: &Home) {
    let repo = home.repo().await;
    let script = "echo ready; sleep 600";
    let arguments = ["up", repo.to_str().unwrap(), "--rm", "--name", "a", "--exec", script];
    let mut client = home.sam(&arguments).spawn().unwrap();
    crate::deadline::eventually("the command runs", async || {
        home.processes().into_iter().find(|process| process.command.contains("sleep 600"))
    })
    .await;
    client.kill().await.unwrap();
    // The command ends with its connection, the workspace with its lease of 30 s.
    crate::deadline::eventually("the workspace is gone", async || {
        let found = home.client().workspace("a").await;
        (found.is_err() && home.node_directories().is_empty()).then_some(())
    })
    .await;
}
