//! The program itself: what it refuses. (Its work is tried end to end with `sam`.)

#[cfg(test)]
mod program {
    use std::process::Command;

    #[test]
    fn a_directory_that_is_no_nodes_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_sam-agentd"))
            .args(["holder", "--dir"])
            .arg(directory.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("is no node's directory"), "{text}");
    }
}
