//! What processes do to get away, and what crashes leave.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Command};
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};
use sam_core::compute::{
    ComputeProvider as _, CreateMachine, Deletion, ListMachines, Machine, MachineKey,
    OwnedResources as _, Power, PowerControl as _,
};
use sam_core::testkit::conformance::compute::ComputeHarness as _;
use sam_core::{Effect, ErrorKind};
use sam_providers::process::{ProcessCompute, ProcessConfig};
use tokio::task::JoinSet;

use super::harness::{Home, eventually, runs, with_home};

type Outcome = Result<(), Failed>;

macro_rules! trials {
    ($($name:ident,)*) => {
        /// Every test of this file.
        pub(crate) fn trials() -> Vec<Trial> {
            let mut trials = vec![$(Trial::test(stringify!($name), || {
                with_home(async |home| $name(home).await)
            })),*];
            trials.push(by_control_group());
            trials
        }
    };
}

trials! {
    the_directory_holds_what_the_agent_needs_and_nobody_else_reads_it,
    deleting_ends_what_ran_away_from_a_live_holder,
    deleting_ends_what_ran_away_from_a_dead_holder,
    what_a_dying_process_makes_anew_goes_too,
    switching_off_ends_everything_and_keeps_the_files,
    a_process_of_nobody_and_one_of_another_node_are_untouched,
    eight_creations_at_once_start_one_holder,
    two_providers_on_one_directory_start_one_holder,
    a_holder_that_runs_is_left_alone,
    a_killed_holder_means_off_and_starts_anew_without_leftovers,
    a_machine_that_was_never_started_is_off_and_can_be_started,
    what_a_crashed_creation_left_is_swept,
    a_deletion_broken_off_is_owned_and_ended_by_the_next_listing,
    a_deletion_broken_off_is_ended_by_the_next_deletion_or_creation,
    a_link_out_of_the_machine_is_not_followed,
    a_forged_holder_file_hits_nobody,
    what_hides_its_environment_from_a_live_holder_is_ended,
    a_storm_of_forks_is_ended,
    a_removed_directory_does_not_hide_its_processes,
    a_holder_that_does_not_come_up_is_explained,
    a_program_that_is_absent_is_explained,
    a_root_that_cannot_be_used_is_named,
    a_damaged_machine_is_an_error_and_not_absent,
    the_environment_holds_what_is_configured_and_nothing_else,
    the_holder_is_not_left_as_a_zombie,
    pages_hold_a_hundred_machines,
}

async fn create(home: &Home) -> Result<CreateMachine, Failed> {
    let request = home.request();
    home.compute.create_machine(&request).await?;
    Ok(request)
}

async fn gone(home: &Home, key: &MachineKey) -> Outcome {
    let deletion = home.compute.delete_machine(key).await?;
    assert_eq!(deletion, Deletion::Gone);
    assert_eq!(home.compute.machine(key).await?, None);
    Ok(())
}

async fn power_of(home: &Home, key: &MachineKey) -> Option<Power> {
    home.compute.machine(key).await.expect("a readable machine").map(|machine| machine.power)
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL).expect("it runs");
}

/// A process that is no node's business; ends with the test.
struct Stranger(Child);

impl Stranger {
    fn start(marker: Option<&str>) -> Self {
        let mut command = Command::new("sleep");
        command.arg("600").env_remove("SAM_NODE_ID");
        if let Some(marker) = marker {
            command.env("SAM_NODE_ID", marker);
        }
        Self(command.spawn().expect("sleep starts"))
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).expect("a pid")
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// A grandchild in a session of its own that ignores hang-ups and has lost both parents.
const RUN_AWAY: &str = "(nohup setsid sh -c 'echo $$ > away; (trap \"\" TERM HUP; echo $$ >/dev/null; exec sleep 600) & \
     echo $! > deeper; exec sleep 600' >/dev/null 2>&1 &)";

async fn the_directory_holds_what_the_agent_needs_and_nobody_else_reads_it(home: &Home) -> Outcome {
    use std::os::unix::fs::PermissionsExt as _;
    let request = create(home).await?;
    let dir = home.machine_dir(&request.key);
    let mode = |path| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
    assert_eq!(mode(dir.clone()), 0o700);
    assert_eq!(mode(dir.join("boot.json")), 0o600);
    let boot: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("boot.json"))?)?;
    assert_eq!(
        boot,
        serde_json::json!({
            "node_id": request.boot.node_id.to_string(),
            "control_url": request.boot.control_url,
            "token": "single-use",
        })
    );
    let machine = fs::read_to_string(dir.join("machine.json"))?;
    assert!(!machine.contains("single-use") && machine.contains("\"medium\""), "{machine}");
    gone(home, &request.key).await
}

async fn deleting_ends_what_ran_away_from_a_live_holder(home: &Home) -> Outcome {
    let request = create(home).await?;
    home.tell(&request.key, RUN_AWAY);
    let away = home.pid_in(&request.key, "away").await;
    let deeper = home.pid_in(&request.key, "deeper").await;
    let holder = home.holder_pid(&request.key);
    assert!(runs(away) && runs(deeper) && runs(holder));
    gone(home, &request.key).await?;
    assert!(!runs(away) && !runs(deeper) && !runs(holder));
    Ok(())
}

async fn deleting_ends_what_ran_away_from_a_dead_holder(home: &Home) -> Outcome {
    let request = create(home).await?;
    home.tell(&request.key, RUN_AWAY);
    let away = home.pid_in(&request.key, "away").await;
    let deeper = home.pid_in(&request.key, "deeper").await;
    kill(home.holder_pid(&request.key));
    assert!(runs(away) && runs(deeper));
    gone(home, &request.key).await?;
    assert!(!runs(away) && !runs(deeper));
    Ok(())
}

async fn what_a_dying_process_makes_anew_goes_too(home: &Home) -> Outcome {
    // Four at once, so that one is at it between the renaming and its end.
    let mut made = Vec::new();
    for _ in 0..4 {
        let request = create(home).await?;
        let dir = home.machine_dir(&request.key);
        let script = format!("while :; do mkdir -p {}/ws/x; done", dir.display());
        home.tell(&request.key, &format!("({script}) & echo ready > ready"));
        eventually("the script runs", || dir.join("ws/x").is_dir()).await;
        made.push(request.key);
    }
    for key in &made {
        gone(home, key).await?;
        assert!(!home.machine_dir(key).exists());
    }
    Ok(())
}

async fn switching_off_ends_everything_and_keeps_the_files(home: &Home) -> Outcome {
    let request = create(home).await?;
    home.tell(&request.key, RUN_AWAY);
    let away = home.pid_in(&request.key, "away").await;
    home.compute.set_power(&request.key, Power::Off).await?;
    assert!(!runs(away) && !runs(home.holder_pid(&request.key)));
    assert!(home.machine_dir(&request.key).join("away").exists());
    assert_eq!(power_of(home, &request.key).await, Some(Power::Off));
    gone(home, &request.key).await
}

async fn a_process_of_nobody_and_one_of_another_node_are_untouched(home: &Home) -> Outcome {
    let (request, other) = (create(home).await?, create(home).await?);
    home.tell(&other.key, RUN_AWAY);
    let others = [home.pid_in(&other.key, "away").await, home.holder_pid(&other.key)];
    let longer = format!("{}x", request.key);
    let strangers = [Stranger::start(None), Stranger::start(Some(&longer))];
    gone(home, &request.key).await?;
    assert!(strangers.iter().all(|stranger| runs(stranger.pid())));
    assert!(others.into_iter().all(runs));
    assert_eq!(power_of(home, &other.key).await, Some(Power::On));
    gone(home, &other.key).await
}

async fn eight_creations_at_once_start_one_holder(home: &Home) -> Outcome {
    let request = home.request();
    let mut creations = JoinSet::new();
    for _ in 0..8 {
        let (compute, request) = (Arc::clone(&home.compute), request.clone());
        creations.spawn(async move { compute.create_machine(&request).await });
    }
    let machines: Vec<Machine> =
        creations.join_all().await.into_iter().collect::<sam_core::Result<_>>()?;
    assert!(machines.iter().all(|machine| *machine == machines[0]));
    assert_eq!(holders(&request.key), [home.holder_pid(&request.key)]);
    gone(home, &request.key).await
}

async fn two_providers_on_one_directory_start_one_holder(home: &Home) -> Outcome {
    let request = home.request();
    let other = ProcessCompute::new(Home::config(home.root()));
    let (one, two) =
        tokio::join!(home.compute.create_machine(&request), other.create_machine(&request));
    assert_eq!(one?, two?);
    assert_eq!(holders(&request.key), [home.holder_pid(&request.key)]);
    let (one, two) =
        tokio::join!(home.compute.delete_machine(&request.key), other.delete_machine(&request.key));
    assert_eq!((one?, two?), (Deletion::Gone, Deletion::Gone));
    gone(home, &request.key).await
}

async fn a_holder_that_runs_is_left_alone(home: &Home) -> Outcome {
    let request = create(home).await?;
    let holder = home.holder_pid(&request.key);
    home.compute.set_power(&request.key, Power::On).await?;
    home.compute.create_machine(&request).await?;
    // Another program, which did not start it, knows it too.
    let other = ProcessCompute::new(Home::config(home.root()));
    other.set_power(&request.key, Power::On).await?;
    assert!(runs(holder));
    assert_eq!(holders(&request.key), [holder]);
    gone(home, &request.key).await
}

/// Returns the pids of the processes that were started as the holder of a node.
fn holders(key: &MachineKey) -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("processes can be listed").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command);
        runs(*pid) && command.contains("fake-node") && command.contains(key.as_str())
    })
    .collect()
}

async fn a_killed_holder_means_off_and_starts_anew_without_leftovers(home: &Home) -> Outcome {
    let request = create(home).await?;
    home.tell(&request.key, RUN_AWAY);
    let away = home.pid_in(&request.key, "away").await;
    let first = home.holder_pid(&request.key);
    kill(first);
    eventually("the holder is dead", || !runs(first)).await;
    assert_eq!(power_of(home, &request.key).await, Some(Power::Off));
    home.compute.set_power(&request.key, Power::On).await?;
    assert_eq!(power_of(home, &request.key).await, Some(Power::On));
    assert_ne!(home.holder_pid(&request.key), first);
    assert!(!runs(away));
    gone(home, &request.key).await
}

/// Brings a machine into the state in which a crash after the rename left it.
async fn never_started(home: &Home) -> Result<CreateMachine, Failed> {
    let request = create(home).await?;
    home.compute.set_power(&request.key, Power::Off).await?;
    for entry in fs::read_dir(home.machine_dir(&request.key))? {
        let entry = entry?;
        if entry.file_name() != "machine.json" && entry.file_name() != "boot.json" {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(request)
}

async fn a_machine_that_was_never_started_is_off_and_can_be_started(home: &Home) -> Outcome {
    let request = never_started(home).await?;
    assert_eq!(power_of(home, &request.key).await, Some(Power::Off));
    home.compute.set_power(&request.key, Power::On).await?;
    assert_eq!(power_of(home, &request.key).await, Some(Power::On));
    gone(home, &request.key).await?;

    let request = never_started(home).await?;
    let machine = home.compute.create_machine(&request).await?;
    assert_eq!((machine.power, machine.labels), (Power::On, request.labels));
    gone(home, &request.key).await
}

async fn what_a_crashed_creation_left_is_swept(home: &Home) -> Outcome {
    let crashed = home.request();
    let left = home.root().join(format!(".creating-{}", crashed.key));
    fs::create_dir_all(&left)?;
    fs::write(left.join("machine.json"), "{\"for")?;
    assert_eq!(home.compute.machine(&crashed.key).await?, None);
    let listed = home.compute.list_machines(&ListMachines::default()).await?;
    assert!(listed.items.is_empty());
    assert!(!left.exists());
    // A directory that somebody else put there is no machine and stays.
    fs::create_dir_all(&left)?;
    let foreign = home.root().join("backup");
    fs::create_dir(&foreign)?;
    let other = create(home).await?;
    assert!(!left.exists());
    let listed = home.compute.list_machines(&ListMachines::default()).await?;
    assert_eq!(listed.items.len(), 1);
    fs::remove_dir(foreign)?;
    fs::create_dir_all(&left)?;
    home.compute.create_machine(&crashed).await?;
    gone(home, &crashed.key).await?;
    gone(home, &other.key).await
}

/// Brings a machine into the state in which a crash at the beginning of a deletion left it.
async fn half_deleted(home: &Home) -> Result<(CreateMachine, i32), Failed> {
    let request = create(home).await?;
    home.tell(&request.key, RUN_AWAY);
    let away = home.pid_in(&request.key, "away").await;
    let deleting = home.root().join(format!(".deleting-{}", request.key));
    fs::rename(home.machine_dir(&request.key), deleting)?;
    Ok((request, away))
}

async fn a_deletion_broken_off_is_owned_and_ended_by_the_next_listing(home: &Home) -> Outcome {
    let (request, away) = half_deleted(home).await?;
    // While somebody is at the deletion it is listed, and nobody else goes on with it.
    let lock = fs::File::create(home.root().join(format!(".deleting-{}/start.lock", request.key)))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    let owned = home.compute.list_owned(&sam_core::compute::ListOwned::default()).await?;
    assert_eq!(owned.items.len(), 1);
    assert_eq!(owned.items[0].provider_id, request.key.as_str());
    assert!(home.compute.machine(&request.key).await?.is_some() && runs(away));
    let refused = home.compute.set_power(&request.key, Power::On).await.expect_err("it is deleted");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    drop(lock);
    let owned = home.compute.list_owned(&sam_core::compute::ListOwned::default()).await?;
    assert!(owned.items.is_empty() && !runs(away));
    assert_eq!(home.compute.machine(&request.key).await?, None);
    Ok(())
}

async fn a_deletion_broken_off_is_ended_by_the_next_deletion_or_creation(home: &Home) -> Outcome {
    let (request, away) = half_deleted(home).await?;
    gone(home, &request.key).await?;
    assert!(!runs(away));
    let (request, away) = half_deleted(home).await?;
    home.compute.create_machine(&request).await?;
    assert!(!runs(away));
    assert_eq!(power_of(home, &request.key).await, Some(Power::On));
    gone(home, &request.key).await
}

async fn a_link_out_of_the_machine_is_not_followed(home: &Home) -> Outcome {
    let outside = home.dir.path().join("outside");
    fs::create_dir_all(outside.join("deep"))?;
    fs::write(outside.join("deep/kept"), "kept")?;
    let request = create(home).await?;
    let dir = home.machine_dir(&request.key);
    fs::create_dir_all(dir.join("a/b"))?;
    symlink(&outside, dir.join("link"))?;
    symlink(outside.join("deep"), dir.join("a/b/link"))?;
    gone(home, &request.key).await?;
    assert_eq!(fs::read_to_string(outside.join("deep/kept"))?, "kept");
    // A link in the place of a machine is no machine either.
    symlink(&outside, &dir)?;
    assert_eq!(home.compute.delete_machine(&request.key).await?, Deletion::Gone);
    assert_eq!(fs::read_to_string(outside.join("deep/kept"))?, "kept");
    fs::remove_file(&dir)?;
    Ok(())
}

async fn a_forged_holder_file_hits_nobody(home: &Home) -> Outcome {
    let request = never_started(home).await?;
    let stranger = Stranger::start(None);
    let stat = fs::read_to_string(format!("/proc/{}/stat", stranger.pid()))?;
    let (_, rest) = stat.rsplit_once(')').expect("a process");
    let start_time: u64 = rest.split_whitespace().nth(19).expect("a start time").parse()?;
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let forge = |boot_id: &str, start_time: u64| {
        let file = serde_json::json!({
            "boot_id": boot_id, "pid": stranger.pid(), "start_time": start_time, "instance": "00",
        });
        fs::write(home.machine_dir(&request.key).join("holder.json"), file.to_string())
    };
    // The pid was reused, the computer was restarted, and the file is a lie.
    for (boot_id, start_time) in [
        (boot_id.trim(), start_time - 1),
        ("another boot", start_time),
        (boot_id.trim(), start_time),
    ] {
        forge(boot_id, start_time)?;
        assert_eq!(power_of(home, &request.key).await, Some(Power::Off));
        home.compute.set_power(&request.key, Power::Off).await?;
        assert!(runs(stranger.pid()));
        forge(boot_id, start_time)?;
        home.compute.set_power(&request.key, Power::On).await?;
        assert!(runs(stranger.pid()));
        assert_eq!(power_of(home, &request.key).await, Some(Power::On));
        home.compute.set_power(&request.key, Power::Off).await?;
    }
    forge(boot_id.trim(), start_time)?;
    gone(home, &request.key).await?;
    assert!(runs(stranger.pid()));
    Ok(())
}

async fn what_hides_its_environment_from_a_live_holder_is_ended(home: &Home) -> Outcome {
    let request = create(home).await?;
    home.tell(
        &request.key,
        "(env -i PATH=$PATH SAM_NODE_ID=nd-another setsid sh -c 'echo $$ > away; exec sleep 600' &)",
    );
    let away = home.pid_in(&request.key, "away").await;
    assert!(runs(away));
    gone(home, &request.key).await?;
    assert!(!runs(away));
    Ok(())
}

async fn a_storm_of_forks_is_ended(home: &Home) -> Outcome {
    let request = create(home).await?;
    // A chain of short-lived processes, each the child of one that is gone already.
    home.tell(
        &request.key,
        "echo 'n=$((${1:-0}+1)); [ $n = 20 ] && echo $$ > away; sh chain $n & exit 0' > chain; \
         for i in 1 2 3; do sh chain & done",
    );
    home.pid_in(&request.key, "away").await;
    gone(home, &request.key).await
}

async fn a_removed_directory_does_not_hide_its_processes(home: &Home) -> Outcome {
    let request = create(home).await?;
    let holder = home.holder_pid(&request.key);
    fs::remove_dir_all(home.machine_dir(&request.key))?;
    assert!(runs(holder));
    gone(home, &request.key).await?;
    assert!(!runs(holder));
    Ok(())
}

async fn a_holder_that_does_not_come_up_is_explained(home: &Home) -> Outcome {
    let request = never_started(home).await?;
    fs::write(home.machine_dir(&request.key).join("refuse"), "")?;
    let error =
        home.compute.set_power(&request.key, Power::On).await.expect_err("it refuses to start");
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
    assert!(error.public_message().contains("told to refuse"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("holder.log")), "{error:?}");
    assert_eq!(power_of(home, &request.key).await, Some(Power::Off));
    gone(home, &request.key).await
}

async fn a_program_that_is_absent_is_explained(home: &Home) -> Outcome {
    let absent = home.dir.path().join("absent-program");
    let config = ProcessConfig::new(home.root(), vec![absent.into()]);
    let compute = ProcessCompute::new(config);
    let request = home.request();
    let error = compute.create_machine(&request).await.expect_err("there is no program");
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
    assert!(error.hint().is_some_and(|hint| hint.contains("absent-program")), "{error:?}");
    gone(home, &request.key).await?;

    let compute = ProcessCompute::new(ProcessConfig::new(home.root(), Vec::new()));
    let error = compute.create_machine(&home.request()).await.expect_err("nothing is configured");
    assert_eq!((error.kind(), error.effect()), (ErrorKind::BadInput, Effect::NotApplied));
    Ok(())
}

async fn a_root_that_cannot_be_used_is_named(home: &Home) -> Outcome {
    let file = home.dir.path().join("file");
    fs::write(&file, "")?;
    let compute = ProcessCompute::new(Home::config(file.join("nodes")));
    let error = compute.verify_credentials().await.expect_err("a file is no directory");
    assert_eq!(error.kind(), ErrorKind::BadInput);
    assert!(error.hint().is_some_and(|hint| hint.contains("file/nodes")), "{error:?}");
    let error = compute.create_machine(&home.request()).await.expect_err("a file is no directory");
    assert_eq!(error.kind(), ErrorKind::BadInput);
    let error = compute.machine(&home.request().key).await.expect_err("not sure of absence");
    assert_eq!(error.kind(), ErrorKind::BadInput);

    let compute = ProcessCompute::new(Home::config("relative/nodes".into()));
    let error = compute.create_machine(&home.request()).await.expect_err("the root is relative");
    assert_eq!(error.kind(), ErrorKind::BadInput);
    Ok(())
}

async fn a_damaged_machine_is_an_error_and_not_absent(home: &Home) -> Outcome {
    let request = create(home).await?;
    let path = home.machine_dir(&request.key).join("machine.json");
    fs::write(&path, "not json")?;
    let error = home.compute.machine(&request.key).await.expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    fs::remove_file(&path)?;
    let error = home.compute.machine(&request.key).await.expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let listing = home.compute.list_machines(&ListMachines::default()).await;
    assert_eq!(listing.expect_err("a part of the truth").kind(), ErrorKind::Corrupt);
    gone(home, &request.key).await
}

async fn the_environment_holds_what_is_configured_and_nothing_else(home: &Home) -> Outcome {
    let request = create(home).await?;
    let bytes = fs::read(format!("/proc/{}/environ", home.holder_pid(&request.key)))?;
    let mut found: Vec<String> = bytes
        .split(|&byte| byte == 0)
        .filter(|entry| !entry.is_empty())
        .map(|entry| String::from_utf8_lossy(entry).into_owned())
        .collect();
    found.sort();
    assert_eq!(found, ["PATH=/usr/bin:/bin".to_owned(), format!("SAM_NODE_ID={}", request.key)]);
    gone(home, &request.key).await
}

async fn the_holder_is_not_left_as_a_zombie(home: &Home) -> Outcome {
    let request = create(home).await?;
    let holder = home.holder_pid(&request.key);
    gone(home, &request.key).await?;
    let entry = std::path::PathBuf::from(format!("/proc/{holder}"));
    eventually("the exit status is taken", || !entry.exists()).await;
    Ok(())
}

async fn pages_hold_a_hundred_machines(home: &Home) -> Outcome {
    let first = create(home).await?;
    let file = fs::read_to_string(home.machine_dir(&first.key).join("machine.json"))?;
    let mut made = vec![first.key.to_string()];
    for _ in 0..204 {
        let key = home.request().key.to_string();
        fs::create_dir(home.root().join(&key))?;
        fs::write(home.root().join(&key).join("machine.json"), file.replace(&made[0], &key))?;
        made.push(key);
    }
    let (mut query, mut sizes, mut listed) = (ListMachines::default(), Vec::new(), Vec::new());
    loop {
        let page = home.compute.list_machines(&query).await?;
        sizes.push(page.items.len());
        listed.extend(page.items.into_iter().map(|machine| machine.key.to_string()));
        match page.next {
            None => break,
            next => query = query.with_after(next),
        }
    }
    assert_eq!(sizes, [100, 100, 5]);
    made.sort();
    assert_eq!(listed, made);
    for key in made.iter().filter(|key| *key != first.key.as_str()) {
        fs::remove_dir_all(home.root().join(key))?;
    }
    gone(home, &first.key).await
}

/// Needs control groups of version 2 that this user may make.
fn by_control_group() -> Trial {
    let probe = format!("sam-probe-{}", std::process::id());
    let mounts = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(std::path::Path::new);
    let mount = mounts.into_iter().find(|mount| mount.join("cgroup.controllers").exists());
    let writable = mount.is_some_and(|mount| {
        fs::create_dir(mount.join(&probe)).and_then(|()| fs::remove_dir(mount.join(&probe))).is_ok()
    });
    Trial::test("what_left_every_other_trace_is_found_by_its_control_group", move || {
        with_home(async |home| left_every_other_trace(home, mount.expect("looked at above")).await)
    })
    .with_kind(if writable { "control groups" } else { "skipped: no control groups" })
    .with_ignored_flag(!writable)
}

async fn left_every_other_trace(home: &Home, mount: &std::path::Path) -> Outcome {
    let request = create(home).await?;
    let group = mount.join(format!("sam-{}", request.key));
    assert!(group.is_dir());
    home.tell(
        &request.key,
        "(env -i PATH=$PATH setsid sh -c 'echo $$ > away; cd /; exec sleep 600' &)",
    );
    let away = home.pid_in(&request.key, "away").await;
    kill(home.holder_pid(&request.key));
    assert!(runs(away));
    // A group below the group, as a container engine in the workspace would make.
    fs::create_dir(group.join("inner"))?;
    gone(home, &request.key).await?;
    assert!(!runs(away) && !group.exists());
    Ok(())
}
