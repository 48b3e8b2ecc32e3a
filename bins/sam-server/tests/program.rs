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
