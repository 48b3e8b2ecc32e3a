//! `sam github key` and `sam github jwt` from a shell, held to openssl byte for byte where it is there.

#[cfg(test)]
mod keys {
    use std::io::Write as _;
    use std::process::{Command, Output, Stdio};

    const PEM: &str = include_str!("../../../sam-github/tests/keys/rsa2048.pkcs1.pem");

    /// Runs a program with something on its standard input.
    fn run(program: &str, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", "/nonexistent");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Who refuses at once does not read it all.
        let _written = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    fn sam(arguments: &[&str], input: &[u8]) -> Output {
        run(env!("CARGO_BIN_EXE_sam"), &[&["github"], arguments].concat(), input)
    }

    fn done(output: Output) -> Vec<u8> {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// What openssl makes of it, or nothing where there is none.
    fn openssl(arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
        if !std::path::Path::new("/usr/bin/openssl").exists() {
            println!("skipped: openssl is not at hand");
            return None;
        }
        Some(done(run("/usr/bin/openssl", arguments, input)))
    }

    #[test]
    fn a_key_goes_into_each_form_and_back_without_losing_a_byte() {
        let convert = |to: &str, form: &str, input: &[u8]| {
            done(sam(&["key", "convert", "--to", to, "--form", form], input))
        };
        let pkcs8 = convert("pkcs8", "pem", PEM.as_bytes());
        assert!(pkcs8.starts_with(b"-----BEGIN PRIVATE KEY-----\n"));
        for input in
            [pkcs8.clone(), convert("pkcs8", "der", &pkcs8), convert("pkcs1", "der", &pkcs8)]
        {
            assert_eq!(convert("pkcs1", "pem", &input), PEM.as_bytes());
            assert_eq!(convert("pkcs8", "pem", &input), pkcs8);
        }
        let theirs = openssl(&["pkcs8", "-topk8", "-nocrypt"], PEM.as_bytes());
        if let Some(theirs) = theirs {
            assert_eq!(pkcs8, theirs);
            let traditional = openssl(&["rsa", "-traditional"], &pkcs8).unwrap();
            assert_eq!(convert("pkcs1", "pem", &pkcs8), traditional);
            let der = openssl(&["rsa", "-traditional", "-outform", "DER"], &pkcs8).unwrap();
            assert_eq!(convert("pkcs1", "der", &pkcs8), der);
        }
    }

    #[test]
    fn a_key_is_shown_without_its_secret() {
        let shown = done(sam(&["key", "inspect", "--json"], PEM.as_bytes()));
        let shown: serde_json::Value = serde_json::from_slice(&shown).unwrap();
        assert_eq!((&shown["sort"], &shown["bits"]), (&"RSA".into(), &2_048.into()));
        if let Some(public) = openssl(&["rsa", "-pubout", "-outform", "DER"], PEM.as_bytes()) {
            let hash = openssl(&["dgst", "-sha256", "-binary"], &public).unwrap();
            let base64 = openssl(&["base64", "-A"], &hash).unwrap();
            let expected = format!("SHA256:{}", String::from_utf8(base64).unwrap());
            assert_eq!(shown["fingerprint"], expected.as_str());
        }
        let text = String::from_utf8(done(sam(&["key", "inspect"], PEM.as_bytes()))).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    #[test]
    fn what_is_no_key_is_named_with_what_to_do() {
        let public = b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        for (input, word) in [(&public[..], "public key"), (b"", "empty"), (b"canary", "PEM")] {
            let output = sam(&["key", "inspect"], input);
            assert_eq!(output.status.code(), Some(2));
            let told = String::from_utf8(output.stderr).unwrap();
            assert!(told.contains(word) && told.contains("hint: "), "{told}");
            assert!(!told.contains("canary"), "{told}");
        }
        let output = sam(&["key", "inspect", "/nonexistent/key.pem"], b"");
        assert!(String::from_utf8(output.stderr).unwrap().contains("/nonexistent/key.pem"));
    }

    #[test]
    fn an_app_token_is_signed_by_the_key() {
        let token = done(sam(&["jwt", "--app-id", "7", "--key", "-"], PEM.as_bytes()));
        let token = String::from_utf8(token).unwrap();
        let (signed, signature) = token.trim_end().rsplit_once('.').unwrap();
        assert_eq!(signed.split('.').count(), 2);
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let Some(public) = openssl(&["rsa", "-pubout"], PEM.as_bytes()) else { return };
        std::fs::write(path("public.pem"), public).unwrap();
        let padded = signature.replace('-', "+").replace('_', "/")
            + &"=".repeat((4 - signature.len() % 4) % 4);
        let signature = openssl(&["base64", "-d", "-A"], padded.as_bytes()).unwrap();
        std::fs::write(path("signature"), signature).unwrap();
        let (key, signature) = (path("public.pem"), path("signature"));
        let verify = ["dgst", "-sha256", "-verify", &key, "-signature", &signature];
        let verified = openssl(&verify, signed.as_bytes()).unwrap();
        assert_eq!(verified, b"Verified OK\n");
        // Without an App's id there is nobody to be.
        assert_eq!(sam(&["jwt", "--key", "-"], PEM.as_bytes()).status.code(), Some(2));
    }
}
