//! The program itself: what it says before it serves. (Serving is tried end to end with `sam`.)

#[cfg(test)]
mod program {
    use std::process::{Command, Output};

    fn run(arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sam-server")).args(arguments).output().unwrap()
    }

    #[test]
    fn help_names_every_setting_with_its_variable() {
        let output = run(&["--help"]);
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        for variable in [
            "SAM_LISTEN",
            "SAM_DATA_DIR",
            "SAM_CONFIG",
            "SAM_ALLOW_LOCAL_REPOS",
            "SAM_AGENT_COMMAND",
            "SAM_DATABASE_URL",
            "RUN_MIGRATIONS",
            "SAM_KEYS_FILE",
            "SAM_NODES_DIR",
            "SAM_REPLICA_URL",
            "BASE_DOMAIN",
            "SAM_IDLE_STOP_AFTER",
            "SAM_WORKSPACE_LIFETIME_MAX",
            "SAM_KEEP_WARM",
            "SAM_NODES_MAX",
            "SAM_SPEND_MONTH_MAX",
            "SAM_PROVISION_DEADLINE",
            "SAM_PREPARE_DEADLINE",
            "SAM_UNREACHABLE_PATIENCE",
            "SAM_SWEEP_EVERY",
            "SAM_ORPHAN_GRACE",
            "SAM_HOLD_POLL",
            "SAM_LOG",
            "SAM_LOG_FORMAT",
        ] {
            assert!(text.contains(variable), "{variable} is missing in:\n{text}");
        }
    }

    #[test]
    fn a_data_directory_that_cannot_be_made_is_named_with_a_hint() {
        // A file stands where the directory should be.
        let place = tempfile::NamedTempFile::new().unwrap();
        let path = place.path().join("data");
        let path = path.to_str().unwrap();
        let output = run(&["--listen", "127.0.0.1:0", "--data-dir", path]);
        assert!(matches!(output.status.code(), Some(4 | 7)), "{:?}", output.status);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(path) && text.contains("hint:"), "{text}");
    }
}
