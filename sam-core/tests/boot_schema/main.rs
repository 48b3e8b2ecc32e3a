//! Boot data as its readers judge it: cloud-init (its schema, and its YAML parser), systemd and nftables.
//!
//! A case whose program is not on this computer is reported as skipped, and fails where
//! `SAM_REQUIRE_PEERS=1`. That of the firewall is skipped, too, where no network namespace may be made.
#![expect(clippy::disallowed_types, reason = "a test that runs programs")]

#[cfg(test)]
mod cases;

use std::process::{Command, ExitCode, Stdio};

use libtest_mimic::{Arguments, Trial};

macro_rules! cases {
    ($($name:ident: $needs:expr),+ $(,)?) => {
        [$((stringify!($name), &$needs, cases::$name)),+]
    };
}

fn main() -> ExitCode {
    let cases: [cases::Case; 6] = cases![
        cloud_init_finds_boot_data_valid: ["cloud-init --version"],
        cloud_init_finds_what_is_wrong: ["cloud-init --version"],
        systemd_finds_the_units_valid: ["systemd-analyze --version"],
        systemd_finds_what_is_wrong_with_a_unit: ["systemd-analyze --version"],
        the_firewall_lets_in_what_is_named_and_keeps_metadata_from_workspaces:
            ["python3 --version", "nft --version", "ip -V", NAMESPACE, "unshare -n nft list tables"],
        the_yaml_parser_sees_what_the_json_parser_sees: ["/usr/bin/python3 -c import\tyaml"],
    ];
    #[expect(clippy::disallowed_methods, reason = "a test asks whether its peers must be there")]
    let required = std::env::var_os("SAM_REQUIRE_PEERS").is_some_and(|value| value == "1");
    let trial = |(name, needs, test): cases::Case| match needs.iter().find(|need| !works(need)) {
        None => Trial::test(name, move || {
            test();
            Ok(())
        }),
        // A right cannot be installed.
        Some(&NAMESPACE) => Trial::test(name, || Ok(()))
            .with_kind("skipped: no network namespace may be made")
            .with_ignored_flag(true),
        Some(need) => Trial::test(name, move || Err(format!("{need:?} does not work here").into()))
            .with_kind("skipped: a program is missing")
            .with_ignored_flag(!required),
    };
    libtest_mimic::run(&Arguments::from_args(), cases.into_iter().map(trial).collect()).exit_code()
}

/// What a namespace with a cable in it takes: root, or the right to it.
const NAMESPACE: &str = "unshare -n ip link add cable type veth peer name outside";

/// Whether a command succeeds; a tab stands for a space within an argument.
fn works(command: &str) -> bool {
    let mut words = command.split(' ').map(|word| word.replace('\t', " "));
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
