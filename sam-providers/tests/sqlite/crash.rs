//! Killed processes, failing writes and second processes: this program runs itself as a child.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;

use sam_core::entropy::SeededEntropy;
use sam_core::store::{CommitError, Rev, Store as _};
use sam_core::time::ManualClock;
use sam_core::{CommitId, ErrorKind};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::support::{Place, START, block_on, commit, feed, head, key, open, put};

const COMMIT: &str = "--child-commit";
const LIMITED: &str = "--child-limited";
const OPEN: &str = "--child-open";
const TASKS: u64 = 32;
const ROUNDS: u64 = 10;

/// Does what a child is told by its arguments; `None` when this is the test program itself.
pub(crate) fn child(arguments: &[String]) -> Option<ExitCode> {
    let [_, mode, path, seed] = arguments else { return None };
    let path = Path::new(path);
    match mode.as_str() {
        COMMIT => block_on(commit_for_ever(path, seed.parse().unwrap())),
        LIMITED => block_on(commit_until_it_fails(path)),
        OPEN => match open(path, ManualClock::new(START)) {
            Ok(_) => assert!(say("opened")),
            Err(error) => assert!(say(&format!("{}|{error}", error.kind().code()))),
        },
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}

/// One line in one write, so that a kill cuts nothing but the last. Returns whether anybody hears.
fn say(line: &str) -> bool {
    io::stdout().lock().write_all(format!("{line}\n").as_bytes()).is_ok()
}

fn run(mode: &str, path: &Path, seed: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([mode, path.to_str().unwrap(), &seed.to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn commit_for_ever(path: &Path, seed: u64) {
    let store = Arc::new(open(path, ManualClock::new(START)).unwrap());
    let tasks = (0..TASKS).map(|task| {
        let store = Arc::clone(&store);
        let entropy = SeededEntropy::new(seed * TASKS + task);
        tokio::spawn(async move {
            let mut heard = true;
            while heard {
                let id = CommitId::new(START, &entropy);
                let made = commit(id.to_bits()).with_write(put(task, "{\"format\":1}"));
                let committed = store.commit(made).await.unwrap();
                let version = committed.version_of(&key(task)).unwrap();
                heard = say(&format!("{task} {version} {} {}", committed.rev, id));
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

struct Acknowledged {
    task: u64,
    version: u64,
    rev: Rev,
    id: CommitId,
}

fn parse(line: &str) -> Acknowledged {
    let parts: Vec<&str> = line.split(' ').collect();
    let [task, version, rev, id] = parts.as_slice() else { panic!("{line:?}") };
    Acknowledged {
        task: task.parse().unwrap(),
        version: version.parse().unwrap(),
        rev: Rev(rev.parse().unwrap()),
        id: id.parse().unwrap(),
    }
}

/// Runs a committing child and kills it once it has told of `count` commits.
async fn commit_and_kill(path: &Path, seed: u64, count: u64) -> Vec<Acknowledged> {
    let mut child = run(COMMIT, path, seed);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    let mut told = 0;
    while let Some(line) = lines.next_line().await.unwrap() {
        told += 1;
        if told == count {
            child.start_kill().unwrap();
        }
        acknowledged.push(parse(&line));
    }
    let status = child.wait().await.unwrap();
    assert!(told >= count && !status.success(), "the child ended by itself: {status}");
    acknowledged
}

pub(crate) async fn a_process_killed_while_committing_loses_nothing_acknowledged() {
    let place = Place::new();
    let moments = SeededEntropy::new(20_260_101);
    let mut checked = 0;
    for round in 0..ROUNDS {
        let count = 1 + moments.below(400);
        let acknowledged = commit_and_kill(&place.path, round, count).await;
        let store = place.open();
        let changes = feed(&store, Rev(0)).await;
        for one in acknowledged {
            let index = usize::try_from(one.rev.0 - 1).unwrap();
            let change = &changes[index];
            assert_eq!(change.commit_id, one.id, "revision {} after round {round}", one.rev);
            assert_eq!((&change.key, change.version), (&key(one.task), one.version));
            checked += 1;
        }
        store.integrity_check().await.unwrap();
        store.close().await;
    }
    assert!(checked >= ROUNDS);
}

/// Commits until the file cannot grow; tells what was acknowledged and how it ended.
async fn commit_until_it_fails(path: &Path) {
    let store = open(path, ManualClock::new(START)).unwrap();
    let body = format!("\"{}\"", "x".repeat(8_000));
    let cursor = head(&store).await;
    for number in 1_u64..100_000 {
        let made = commit(u128::from(number)).with_write(put(number, &body));
        match store.commit(made).await {
            Ok(_) => assert!(say(&format!("acknowledged {number}"))),
            Err(CommitError::Failed(error)) => {
                let hint = error.hint().is_some();
                assert!(say(&format!("failed {number} {:?} {hint}", error.effect())));
                break;
            }
            Err(refused) => panic!("{refused}"),
        }
    }
    // From here on only opening it again helps.
    let after = store.commit(commit(1).with_write(put("after", "{}"))).await.unwrap_err();
    let told = sam_core::Error::from(after);
    let hint = told.hint().unwrap_or_default().contains("opened again");
    let load = store.load(&key(1)).await.unwrap_err().kind();
    let wait = store.wait(&cursor).await.unwrap_err().kind();
    let all = [told.kind(), load, wait].iter().all(|kind| *kind == ErrorKind::Unavailable);
    assert!(say(&format!("stopped {}", hint && all)));
}

pub(crate) async fn a_failed_write_leaves_the_outcome_unknown_and_stops_the_store() {
    let place = Place::new();
    drop(place.open());
    // A limit on the size of files makes the write of the log fail; the signal that comes with it
    // must be ignored, which a child inherits from the shell.
    let script = r#"trap "" XFSZ; ulimit -f 1024; exec "$0" "$@""#;
    let output = Command::new("sh")
        .args(["-c", script, std::env::current_exe().unwrap().to_str().unwrap()])
        .args([LIMITED, place.path.to_str().unwrap(), "0"])
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = lines.lines().collect();
    let [acknowledged @ .., failed, stopped] = lines.as_slice() else {
        panic!("{lines:?} {errors}")
    };
    let count = u64::try_from(acknowledged.len()).unwrap();
    assert!(count > 10, "{lines:?} {errors}");
    assert_eq!(*failed, format!("failed {} Unknown true", count + 1), "{errors}");
    assert_eq!(*stopped, "stopped true", "{errors}");

    let store = place.open();
    store.integrity_check().await.unwrap();
    let changes = feed(&store, Rev(0)).await;
    let found = u64::try_from(changes.len()).unwrap();
    assert!(found == count || found == count + 1, "{found} of {count}");
    let unknown = commit(u128::from(count) + 1);
    let outcome = store.outcome(unknown.id).await.unwrap();
    assert_eq!(outcome.is_some(), found == count + 1, "its outcome can be asked");
    store.commit(unknown.with_write(put(count + 1, "{}"))).await.unwrap();
    assert_eq!(head(&store).await.rev, Rev(count + 1), "and sending it again is safe");
}

pub(crate) async fn another_process_is_refused() {
    let place = Place::new();
    let store = place.open();
    let output = run(OPEN, &place.path, 0).wait_with_output().await.unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.starts_with("conflict|"), "{told}");
    assert!(told.contains(&format!("process {}", std::process::id())), "{told}");
    store.close().await;
    let output = run(OPEN, &place.path, 0).wait_with_output().await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "opened\n");
}
