//! What the crate brings along, and what it allocates.

#[cfg(test)]
mod tree {
    use std::collections::BTreeSet;
    use std::process::Command;

    use sam_github::PrivateKey;
    use sam_github::private_key::{pkcs1_to_pkcs8_der, pkcs8_to_pkcs1_der};

    /// Most crates below this one, with it, that a host is asked to accept.
    const CRATES_MAX: usize = 100;

    /// By `cargo tree`, which takes the crate's own features: `cargo metadata` takes the union of
    /// what the whole workspace asks of its dependencies.
    #[test]
    fn the_default_tree_is_small_and_free_of_runtime_client_and_tls() {
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--locked", "-p", "sam-github", "-e", "normal"])
            .args(["--prefix", "none", "--format", "{p}", "--no-dedupe", "--target", &target])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let crates: BTreeSet<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        let names: BTreeSet<&str> =
            crates.iter().filter_map(|line| line.split(' ').next()).collect();
        assert!(names.contains("sam-core") && names.contains("aws-lc-rs"));
        for banned in ["tokio", "hyper", "reqwest", "rustls", "ring", "url", "openssl-sys"] {
            assert!(!names.contains(banned), "sam-github pulls {banned}");
        }
        let stated = include_str!("../README.md");
        let stated = stated.split("tree has ").nth(1).and_then(|rest| rest.split(' ').next());
        assert_eq!(
            stated,
            Some(crates.len().to_string().as_str()),
            "the README says another number"
        );
        assert!(crates.len() < CRATES_MAX, "{} crates: {names:?}", crates.len());
    }

    #[test]
    fn conversion_of_der_allocates_once() {
        let key: PrivateKey = include_str!("keys/rsa2048.pkcs1.pem").parse().unwrap();
        let (pkcs1, pkcs8) = (key.to_pkcs1_der(), key.to_pkcs8_der());
        let there = allocation_counter::measure(|| {
            pkcs1_to_pkcs8_der(pkcs1.expose()).unwrap();
        });
        let back = allocation_counter::measure(|| {
            pkcs8_to_pkcs1_der(pkcs8.expose()).unwrap();
        });
        assert_eq!((there.count_total, back.count_total), (1, 1));
    }
}
