//! The rules of the house that a machine can check: who may depend on whom, how large a file may
//! be, and that every row of the evidence names something that exists.

#[cfg(test)]
mod house {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::{Path, PathBuf};

    use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
    }

    fn metadata() -> Metadata {
        // For this platform alone: what others need has not been downloaded.
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let options = ["--offline", "--locked", "--filter-platform", &platform];
        MetadataCommand::new()
            .manifest_path(root().join("Cargo.toml"))
            .other_options(options.map(str::to_owned).to_vec())
            .exec()
            .unwrap()
    }

    #[test]
    fn dependencies_point_to_the_core() {
        let may: BTreeMap<&str, &[&str]> = BTreeMap::from([
            ("sam-core", &[][..]),
            ("sam-providers", &["sam-core"]),
            ("sam-github", &["sam-core"]),
            ("sam-agent", &["sam-core"]),
            ("sam-api", &["sam-core", "sam-agent"]),
            ("sam-agentd", &["sam-core", "sam-agent"]),
            ("sam-server", &["sam-core", "sam-agent", "sam-api", "sam-github", "sam-providers"]),
            (
                "sam",
                &[
                    "sam-core",
                    "sam-agent",
                    "sam-agentd",
                    "sam-api",
                    "sam-github",
                    "sam-providers",
                    "sam-server",
                ],
            ),
        ]);
        let metadata = metadata();
        for package in metadata.workspace_packages() {
            let Some(allowed) = may.get(package.name.as_str()) else {
                assert_eq!(package.name.as_str(), "sam-examples", "say what it may depend on");
                continue;
            };
            for dependency in &package.dependencies {
                let ours = dependency.name.starts_with("sam-") || dependency.name == "sam";
                if ours && dependency.kind == DependencyKind::Normal {
                    let name = dependency.name.as_str();
                    assert!(allowed.contains(&name), "{} must not depend on {name}", package.name);
                }
            }
        }
    }

    #[test]
    fn wire_types_do_not_pull_a_server_and_the_client_does_not_pull_axum() {
        let metadata = metadata();
        let api = metadata.packages.iter().find(|p| p.name.as_str() == "sam-api").unwrap();
        assert!(
            api.dependencies
                .iter()
                .all(|d| { d.name != "axum" || d.kind != DependencyKind::Normal })
        );
    }

    /// Everything below a package by normal dependencies, with the features the workspace uses.
    fn tree(metadata: &Metadata, name: &str) -> BTreeSet<String> {
        let resolve = metadata.resolve.as_ref().unwrap();
        let nodes: BTreeMap<&PackageId, _> =
            resolve.nodes.iter().map(|node| (&node.id, node)).collect();
        let package = metadata.packages.iter().find(|p| p.name.as_str() == name).unwrap();
        let (mut seen, mut open) = (BTreeSet::new(), vec![&package.id]);
        while let Some(id) = open.pop() {
            if !seen.insert(id.clone()) {
                continue;
            }
            for dependency in &nodes[id].deps {
                let normal =
                    dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
                if normal {
                    open.push(&dependency.pkg);
                }
            }
        }
        let named = |id: &PackageId| metadata[id].name.to_string();
        seen.iter().map(named).collect()
    }

    #[test]
    fn the_core_is_small_and_free_of_runtime_network_and_sql() {
        let tree = tree(&metadata(), "sam-core");
        for banned in ["tokio", "reqwest", "hyper", "axum", "rusqlite", "rustls", "url"] {
            assert!(!tree.contains(banned), "sam-core pulls {banned}");
        }
        assert!(tree.len() <= 70, "sam-core's tree has {} crates: {tree:?}", tree.len());
    }

    fn sources(below: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(below).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    #[test]
    fn files_say_what_they_are_and_are_small() {
        let mut found = Vec::new();
        sources(&root(), &mut found);
        assert!(found.len() > 100);
        for path in found {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("//!"), "{} has no header", path.display());
            let product = text.split("#[cfg(test)]").next().unwrap_or_default();
            let lines = product.lines().count();
            assert!(lines <= 800, "{} has {lines} lines before its tests", path.display());
            for word in [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("FIX", "ME")]
            {
                assert!(!text.contains(word), "{} holds {word}", path.display());
            }
        }
    }

    #[test]
    fn the_guide_to_providers_shows_code_that_is_compiled() {
        let guide = std::fs::read_to_string(root().join("docs/adding-a-provider.md")).unwrap();
        let mut found = Vec::new();
        sources(&root().join("examples/src/bin/custom_compute"), &mut found);
        let code: Vec<String> =
            found.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        let blocks = guide.split("```rust\n").skip(1);
        let blocks: Vec<&str> = blocks.map(|rest| rest.split("```").next().unwrap()).collect();
        assert!(blocks.len() >= 5, "the guide has only {} pieces of code", blocks.len());
        for block in blocks {
            let shown = |file: &String| file.contains(block);
            assert!(code.iter().any(shown), "the example does not hold\n{block}");
        }
    }

    #[test]
    fn the_readme_shows_an_example_that_runs_and_two_commands() {
        let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
        let example = readme.split("```rust\n").nth(1).unwrap().split("```").next().unwrap();
        let path = root().join("examples/src/bin/quickstart.rs");
        let program = std::fs::read_to_string(path).unwrap();
        for line in example.lines().map(str::trim).filter(|line| !line.is_empty()) {
            assert!(program.contains(line), "the README shows {line:?}, the example does not");
        }
        let main = "cargo run --release --bin sam -- up . --exec 'git log -1 --oneline' --rm";
        let run = std::fs::read_to_string(root().join(".ci/run")).unwrap();
        for command in [main, "cargo test --workspace"] {
            assert_eq!(readme.matches(&format!("\n{command}\n")).count(), 1, "{command}");
            assert!(run.contains(command), ".ci/run does not run {command}");
        }
    }

    #[test]
    fn every_row_of_the_evidence_names_a_test_that_exists() {
        let evidence = std::fs::read_to_string(root().join("docs/evidence.md")).unwrap();
        let mut found = Vec::new();
        sources(&root(), &mut found);
        let code: String =
            found.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        let mut rows = 0;
        for line in
            evidence.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| built"))
        {
            let test = line.split('|').nth(2).unwrap().trim().trim_matches('`');
            if test.starts_with(".ci/run") || test.starts_with("cargo ") {
                continue;
            }
            rows += 1;
            assert!(code.contains(test), "the evidence names {test}, which does not exist");
        }
        assert!(rows >= 20, "the evidence has only {rows} rows");
    }
}
