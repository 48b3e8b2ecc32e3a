//! The cases: what is served to a machine, and what becomes of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use sam_core::boot::PhaseState;

use crate::machine::{AGENT, Machine, Setup, TOKEN};
use crate::server::Answer;

const PHASES: [&str; 9] = [
    "start",
    "journal",
    "swap",
    "packages",
    "docker",
    "firewall",
    "agent_download",
    "agent_verify",
    "agent_start",
];

fn other_agent() -> Vec<u8> {
    [AGENT, b"echo evil\n"].concat()
}

pub(crate) fn a_good_agent_is_installed_and_every_phase_is_reported() {
    let machine = Machine::new("good", Setup::default());
    let booted = machine.boot();
    assert!(booted.ok, "{}", booted.printed);
    let expected: Vec<_> = PHASES
        .into_iter()
        .flat_map(|phase| [(phase, PhaseState::Started), (phase, PhaseState::Done)])
        .collect();
    assert_eq!(booted.told(), expected);
    assert_eq!((booted.heard.downloads, booted.heard.refused), (1, 0));
    let program = machine.at("/usr/local/bin/sam-agentd");
    assert_eq!(fs::read(&program).unwrap(), AGENT);
    assert_eq!(fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_to_string(program.with_extension("ran")).unwrap(), "ran\n");
    assert!(!program.with_extension("part").exists());
    let boot = fs::metadata(machine.boot_file()).unwrap();
    assert_eq!(boot.permissions().mode() & 0o777, 0o600);
    let home = fs::metadata(machine.boot_file().parent().unwrap()).unwrap();
    assert_eq!(home.permissions().mode() & 0o777, 0o700);
    // The firewall is in force before the agent runs, and Docker before the firewall.
    let place = |call: &str| booted.calls.find(call).unwrap_or_else(|| panic!("{}", booted.calls));
    assert!(place("systemctl restart docker.service") < place("systemctl restart sam-firewall"));
    assert!(place("nft list table inet sam") < place("systemctl restart sam-agentd.service"));
    assert!(booted.calls.contains("systemctl restart systemd-journald.service"));
    // Everything was there already.
    assert!(!booted.calls.contains("apt-get"));
    let swap = fs::metadata(machine.at("/swapfile")).unwrap();
    assert_eq!((swap.len(), swap.permissions().mode() & 0o777), (1024 * 1024, 0o600));
    let fstab = fs::read_to_string(machine.at("/etc/fstab")).unwrap();
    assert_eq!(fstab, "/swapfile none swap sw 0 0\n");
}

pub(crate) fn a_wrong_checksum_installs_nothing() {
    let agent = vec![Answer::Whole(other_agent())];
    let machine = Machine::new("checksum", Setup { agent, ..Setup::default() });
    let booted = machine.boot();
    let (phase, message) = booted.failure();
    assert_eq!(phase, "agent_download");
    assert!(message.starts_with("the checksum of the agent is "), "{message}");
    assert!(message.ends_with("; tried 5 times"), "{message}");
    assert_eq!(booted.heard.downloads, 5);
    assert!(!booted.calls.contains("sam-agentd.service"), "{}", booted.calls);
    machine.assert_bare();
}

pub(crate) fn a_bad_signature_installs_nothing_although_the_checksum_is_right() {
    let machine = Machine::new("signature", Setup { signed: other_agent(), ..Setup::default() });
    let booted = machine.boot();
    let (phase, message) = booted.failure();
    assert_eq!(phase, "agent_verify");
    assert!(message.starts_with("the signature of the agent is not confirmed"), "{message}");
    assert_eq!(booted.heard.downloads, 1);
    machine.assert_bare();
}

pub(crate) fn an_openssl_that_cannot_check_signatures_is_a_failure() {
    // Found before the system's own, and as helpful as one that is too old.
    let machine = Machine::new("openssl", Setup::default());
    let openssl = machine.at("/fake/openssl");
    fs::write(&openssl, "#!/bin/sh\necho 'pkeyutl: unknown option -rawin' >&2\nexit 1\n").unwrap();
    fs::set_permissions(&openssl, fs::Permissions::from_mode(0o755)).unwrap();
    let (phase, message) = machine.boot().failure();
    assert_eq!(phase, "agent_verify");
    assert!(message.contains("unknown option -rawin"), "{message}");
    machine.assert_bare();
}

pub(crate) fn a_download_that_always_breaks_off_installs_nothing() {
    let agent = vec![Answer::Half(AGENT.to_vec())];
    let machine = Machine::new("truncated", Setup { agent, ..Setup::default() });
    let booted = machine.boot();
    let (phase, message) = booted.failure();
    assert_eq!((phase, booted.heard.downloads), ("agent_download", 5));
    let (half, all) = (AGENT.len() / 2, AGENT.len());
    assert_eq!(message, format!("the download ended after {half} of {all} bytes; tried 5 times"));
    machine.assert_bare();
}

pub(crate) fn five_failures_are_the_last() {
    let agent = vec![Answer::Status(503)];
    let machine = Machine::new("unavailable", Setup { agent, ..Setup::default() });
    let booted = machine.boot();
    let message = "the download was answered with status 503; tried 5 times".to_owned();
    assert_eq!(booted.failure(), ("agent_download", message));
    assert_eq!(booted.heard.downloads, 5);
    machine.assert_bare();
}

pub(crate) fn what_is_not_there_is_asked_for_once() {
    let agent = vec![Answer::Status(404)];
    let machine = Machine::new("absent", Setup { agent, ..Setup::default() });
    let booted = machine.boot();
    let message = "the download was answered with status 404".to_owned();
    assert_eq!(booted.failure(), ("agent_download", message));
    assert_eq!(booted.heard.downloads, 1);
    machine.assert_bare();
}

pub(crate) fn a_download_is_tried_again_until_it_is_whole() {
    let whole = Answer::Whole(AGENT.to_vec());
    let agent = vec![
        Answer::Status(503),
        Answer::Half(AGENT.to_vec()),
        Answer::Whole(other_agent()),
        Answer::Moved("/elsewhere"),
        whole,
    ];
    let machine = Machine::new("retry", Setup { agent, ..Setup::default() });
    let booted = machine.boot();
    assert!(booted.ok, "{}", booted.printed);
    assert_eq!(booted.heard.downloads, 5);
    assert_eq!(fs::read(machine.at("/usr/local/bin/sam-agentd")).unwrap(), AGENT);
}

pub(crate) fn a_phase_that_fails_ends_the_boot_and_tells_why_without_the_token() {
    let body = format!("cat <<'END'\nno space left: {TOKEN}\nEND\nexit 3");
    let programs = vec![("docker", body)];
    let machine = Machine::new("docker", Setup { programs, ..Setup::default() });
    let booted = machine.boot();
    let (phase, message) = booted.failure();
    assert_eq!(phase, "docker");
    let told = "docker info --format {{.LoggingDriver}} ended with 3: no space left: [redacted]";
    assert_eq!(message, told);
    assert!(!booted.calls.contains("nft"), "{}", booted.calls);
    assert_eq!(booted.heard.downloads, 0);
    machine.assert_bare();
}

pub(crate) fn a_firewall_that_is_not_in_force_ends_the_boot() {
    let programs =
        vec![("nft", "echo 'table inet sam { policy drop 169.254.169.254 }'".to_owned())];
    let machine = Machine::new("firewall", Setup { programs, ..Setup::default() });
    let booted = machine.boot();
    let message = "the firewall is not in force: it lacks fd00:ec2::254".to_owned();
    assert_eq!(booted.failure(), ("firewall", message));
    machine.assert_bare();
}

pub(crate) fn programs_that_are_missing_are_installed_and_looked_for_again() {
    // The package manager brings it on its second try.
    let apt = "case \"$*\" in *install*) [ -e \"$root/once\" ] || { : >\"$root/once\"; exit 100; }\n\
               printf '#!/bin/sh\\n' >\"$root/fake/new\"; chmod 755 \"$root/fake/new\";; esac";
    let machine = Machine::new(
        "packages",
        Setup { programs: vec![("apt-get", apt.to_owned())], ..Setup::default() },
    );
    machine.demand("new", "of-a-package");
    let booted = machine.boot();
    assert!(booted.ok, "{}", booted.printed);
    assert_eq!(booted.calls.matches("apt-get -q -y ").count(), 2, "{}", booted.calls);
    assert!(
        booted.calls.contains("--no-install-recommends install of-a-package\n"),
        "{}",
        booted.calls
    );
}

pub(crate) fn reports_are_repeated_and_a_silent_control_plane_does_not_stop_the_boot() {
    let machine = Machine::new("reports", Setup { reports: vec![503, 500], ..Setup::default() });
    let booted = machine.boot();
    assert!(booted.ok, "{}", booted.printed);
    assert_eq!((booted.told().len(), booted.heard.refused), (2 * PHASES.len(), 2));
    // One that is refused is not sent again; one that is never taken is given up.
    let reports = [vec![401], vec![503; 4]].concat();
    let machine = Machine::new("unheard", Setup { reports, ..Setup::default() });
    let booted = machine.boot();
    assert!(booted.ok, "{}", booted.printed);
    assert_eq!((booted.told().len(), booted.heard.refused), (2 * PHASES.len() - 2, 5));
}

pub(crate) fn a_second_control_plane_is_told_where_the_first_does_not_answer() {
    // Port 1 of the loopback: nobody listens there.
    let control_before = "unix:/run/sam.sock,http://127.0.0.1:1,".to_owned();
    let machine = Machine::new("second", Setup { control_before, ..Setup::default() });
    let booted = machine.boot();
    assert!(booted.ok, "{}", booted.printed);
    assert_eq!(booted.told().len(), 2 * PHASES.len());
}

pub(crate) fn a_node_whose_token_was_used_is_left_alone() {
    let machine = Machine::new("again", Setup::default());
    let text = fs::read_to_string(machine.boot_file()).unwrap();
    let mut boot: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(boot.as_object_mut().unwrap().remove("token").is_some());
    fs::write(machine.boot_file(), boot.to_string()).unwrap();
    let booted = machine.boot();
    assert!(booted.ok, "{}", booted.printed);
    assert_eq!((booted.told().len(), booted.calls.as_str()), (0, ""));
    machine.assert_bare();
}
