//! What goes wrong outside of us: each says which step failed and what to do, keeps the state
//! right and leaves nothing behind.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};

use sam_api::{Workspace, WorkspaceState};

use crate::deadline::{LIMIT, eventually, within};
use crate::home::{Home, assert_failed, said, skipped, trial, with_home};
use crate::processes::Role;

/// The tests of this file; the full disk needs the right to mount one.
pub(crate) fn trials() -> Vec<libtest_mimic::Trial> {
    let mut trials = always();
    let name = "faults::a_full_disk_fails_one_step_and_is_survived";
    if can_mount() {
        trials.push(trial(&format!("tests::{name}"), || {
            with_home(async |home| a_full_disk_fails_one_step_and_is_survived(home).await)
        }));
    } else {
        trials.push(skipped(name, "no right to mount a small disk"));
    }
    trials
}

crate::home::trials! {
    fn always,
    what_is_no_repository_is_refused_before_anything_is_made,
    an_unreachable_repository_fails_the_checkout,
    an_absent_repository_fails_the_checkout,
    an_unknown_branch_fails_the_checkout,
    without_git_it_says_so,
    a_data_directory_that_cannot_be_used_is_named,
    a_second_daemon_on_the_directory_is_refused,
    a_killed_agent_ends_its_commands_and_comes_back,
    a_name_that_is_too_long_is_refused,
    a_long_data_directory_works,
}

async fn failed(home: &Home) -> Workspace {
    home.client().workspace("a").await.unwrap()
}

/// Asserts that a workspace failed with its node taken away already, and deletes it.
async fn assert_failed_and_released(home: &Home) {
    assert_eq!(failed(home).await.state, WorkspaceState::Failed);
    eventually("the node is released", async || {
        let released = home.node_directories().is_empty()
            && home.processes().iter().all(|process| process.role == Role::Daemon)
            && failed(home).await.node_id.is_none();
        released.then_some(())
    })
    .await;
    let workspace = failed(home).await;
    let error = workspace.error.expect("it says why");
    assert!(error.hint.is_some(), "{error:?}");
    home.done(&["delete", "a"]).await;
}

async fn up(home: &Home, more: &[&str]) -> Output {
    let mut arguments = vec!["up", "--no-attach", "--name", "a"];
    arguments.extend(more);
    home.run(&arguments).await
}

async fn what_is_no_repository_is_refused_before_anything_is_made(home: &Home) {
    assert_failed(&up(home, &["/nowhere/at/all"]).await, 2, &["/nowhere/at/all"]);
    let plain = home.path().to_str().unwrap();
    assert_failed(&up(home, &[plain]).await, 2, &["not a git repository"]);
    assert!(!home.data().exists(), "nothing was started for it");
}

async fn an_unreachable_repository_fails_the_checkout(home: &Home) {
    // Nothing listens at port 1.
    let output = up(home, &["http://127.0.0.1:1/octo/hello.git"]).await;
    assert_failed(&output, 7, &["prepare failed", "127.0.0.1"]);
    assert_failed_and_released(home).await;
}

async fn an_absent_repository_fails_the_checkout(home: &Home) {
    let repo = home.repo().await;
    home.done(&["ls"]).await;
    // It goes between the client's look and the checkout.
    let client = home.client();
    let gone = repo.to_str().unwrap().parse().unwrap();
    fs::remove_dir_all(&repo).unwrap();
    let mut request = sam_api::CreateWorkspace::new(gone);
    request.name = Some("a".to_owned());
    let key = sam_api::IdempotencyKey::random().unwrap();
    client.create_workspace(&request, &key).await.unwrap();
    eventually("it fails", async || {
        (failed(home).await.state == WorkspaceState::Failed).then_some(())
    })
    .await;
    assert_failed_and_released(home).await;
}

async fn an_unknown_branch_fails_the_checkout(home: &Home) {
    let repo = home.repo().await;
    let output = up(home, &[repo.to_str().unwrap(), "--branch", "absent"]).await;
    assert_failed(&output, 3, &["prepare failed", "absent", "check the name"]);
    assert_failed_and_released(home).await;
    // The same name can be used again.
    home.up(&repo, "a").await;
    home.done(&["delete", "a"]).await;
}

async fn without_git_it_says_so(home: &Home) {
    let repo = home.repo().await;
    let up = async |repo: &str| {
        let mut command = home.sam(&["up", "--no-attach", "--name", "a", repo]);
        within("sam up", LIMIT, command.env("PATH", home.path()).output()).await.unwrap()
    };
    assert_failed(&up(repo.to_str().unwrap()).await, 3, &["git", "install git"]);
    // Where the client has nothing to look at, the node finds out.
    let output = up("http://127.0.0.1:1/octo/hello.git").await;
    assert!(!output.status.success());
    assert_failed(&output, output.status.code().unwrap(), &["prepare failed", "install git"]);
    assert_failed_and_released(home).await;
}

async fn a_data_directory_that_cannot_be_used_is_named(home: &Home) {
    let file = home.path().join("file");
    fs::write(&file, "x").unwrap();
    let below = file.join("data");
    let output = home.run(&["--data-dir", below.to_str().unwrap(), "ls"]).await;
    assert_failed(&output, 7, &[below.to_str().unwrap(), "--data-dir"]);

    let locked = home.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    for data_dir in [locked.clone(), locked.join("data")] {
        let output = as_nobody(home, &data_dir).await;
        assert_failed(&output, 4, &[data_dir.to_str().unwrap()]);
    }
    assert!(fs::read_dir(&locked).unwrap().next().is_none());
}

/// Runs `sam ls` as somebody whom the rights of directories concern.
async fn as_nobody(home: &Home, data_dir: &Path) -> Output {
    let mut command = home.sam(&["--data-dir", data_dir.to_str().unwrap(), "ls"]);
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = home.path().join("sam");
        if !program.exists() {
            fs::copy(env!("CARGO_BIN_EXE_sam"), &program).unwrap();
        }
        command = home.command(program);
        command.args(["--data-dir", data_dir.to_str().unwrap(), "ls"]).uid(65_534).gid(65_534);
    }
    within("sam ls", LIMIT, command.output()).await.unwrap()
}

async fn a_second_daemon_on_the_directory_is_refused(home: &Home) {
    let repo = home.repo().await;
    home.up(&repo, "a").await;
    let pid = home.one(Role::Daemon).await.pid;
    assert_failed(&home.run(&["daemon", "run"]).await, 5, &["sam.db", &pid.to_string()]);
    assert_eq!(home.done(&["exec", "a", "--", "echo", "undisturbed"]).await, "undisturbed\n");
    assert_eq!(home.one(Role::Daemon).await.pid, pid);
    home.done(&["delete", "a"]).await;
}

async fn a_killed_agent_ends_its_commands_and_comes_back(home: &Home) {
    let repo = home.repo().await;
    home.up(&repo, "a").await;
    let command = home.sam(&["exec", "a", "--", "sleep", "600"]).spawn().unwrap();
    let sleeps = || {
        let found = home.those(Role::Other).into_iter();
        found.filter(|process| process.command.starts_with("sleep 600")).count()
    };
    eventually("the command runs", async || (sleeps() == 1).then_some(())).await;
    home.one(Role::Agent).await.kill();
    let output = within("the command ends", LIMIT, command.wait_with_output()).await.unwrap();
    assert_failed(&output, 125, &[]);
    eventually("nothing of it is left", async || (sleeps() == 0).then_some(())).await;
    eventually("commands run again", async || {
        let output = home.run(&["exec", "a", "--", "echo", "back"]).await;
        if output.status.success() {
            assert_eq!(output.stdout, b"back\n");
            return Some(());
        }
        assert_failed(&output, 125, &[]);
        None
    })
    .await;
    home.done(&["delete", "a"]).await;
}

async fn a_name_that_is_too_long_is_refused(home: &Home) {
    let repo = home.repo().await;
    let name = "x".repeat(1_000);
    let output = home.run(&["up", repo.to_str().unwrap(), "--no-attach", "--name", &name]).await;
    assert_failed(&output, 2, &["name"]);
    assert_eq!(home.done(&["ls", "--all", "--json"]).await, "");
}

async fn a_long_data_directory_works(home: &Home) {
    let repo = home.repo().await;
    // A socket's path has 107 bytes at most.
    let data_dir = home.data().join("x".repeat(100)).join("y".repeat(100));
    let arguments = ["--data-dir", data_dir.to_str().unwrap(), "up", repo.to_str().unwrap()];
    let output = home.run(&[&arguments[..], &["--rm", "--exec", "echo long"]].concat()).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "long\n", "{}", said(&output));
    assert_eq!(fs::read_dir(data_dir.join("nodes")).unwrap().count(), 1, "only the lock is left");
}

/// A small disk that is there for one test.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(place: &'a Path) -> Option<Self> {
        let status = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=6m,mode=0700", "sam-test"])
            .arg(place)
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success()).then_some(Self(place))
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        // Lazily: a failed test may have left something that still uses it.
        let _status = std::process::Command::new("umount").arg("-l").arg(self.0).status();
    }
}

fn can_mount() -> bool {
    let place = tempfile::tempdir().unwrap();
    Disk::mount(place.path()).is_some()
}

async fn a_full_disk_fails_one_step_and_is_survived(home: &Home) {
    let repo = home.repo().await;
    let large = home.repo_named("large", 1).await;
    // What cannot be compressed, so that it is as large in the clone.
    let mut noise = vec![0; 8 << 20];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut noise).unwrap();
    fs::write(large.join("noise"), noise).unwrap();
    home.git(&large, &["add", "."]).await;
    home.git(&large, &["commit", "-qm", "large"]).await;
    fs::create_dir(home.data()).unwrap();
    let data = home.data();
    let _disk = Disk::mount(&data).expect("it was possible just now");

    // The checkout fails, and gives back what it took.
    let output = up(home, &[large.to_str().unwrap()]).await;
    assert_failed(&output, output.status.code().unwrap(), &["prepare failed", "space"]);
    assert_failed_and_released(home).await;

    // Nothing fits any more, not even a record.
    let ballast = home.data().join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    while std::io::Write::write_all(&mut file, &[1; 4_096]).is_ok() {}
    let output = up(home, &[repo.to_str().unwrap()]).await;
    let status = output.status.code().unwrap();
    assert!(status == 6 || status == 7, "{}", said(&output));
    assert_failed(&output, status, &[]);

    // With room again everything is as it should be.
    drop(file);
    fs::remove_file(&ballast).unwrap();
    eventually("it works again", async || {
        let output = home.run(&["delete", "a"]).await;
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 3 | 6 | 7)), "{}", said(&output));
        matches!(code, Some(0 | 3)).then_some(())
    })
    .await;
    home.up(&repo, "b").await;
    home.done(&["delete", "b"]).await;
    for daemon in home.those(Role::Daemon) {
        crate::processes::signal(daemon.pid, rustix::process::Signal::TERM);
    }
    eventually("the daemon ends", async || home.processes().is_empty().then_some(())).await;
    let left = home.node_directories();
    assert!(left.is_empty(), "{left:?}");
}
