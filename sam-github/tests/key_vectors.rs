//! The key vectors of the contracts: keys of every sort and size, and 34 ways people paste one.
//!
//! They lie beside the checkout, at `../shared/contracts/keys` or under `SAM_SHARED`; without them
//! the test is reported as skipped, by name.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libtest_mimic::{Arguments, Failed, Trial};
use sam_github::private_key::{
    pkcs1_to_pkcs8_der, pkcs1_to_pkcs8_pem, pkcs8_to_pkcs1_der, pkcs8_to_pkcs1_pem,
};
use sam_github::{PrivateKey, PrivateKeyError};
use serde_json::Value;

#[expect(clippy::disallowed_methods, reason = "a test finds its vectors by it")]
fn folder() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    std::env::var_os("SAM_SHARED").map_or_else(beside, PathBuf::from).join("contracts/keys")
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str, Failed> {
    value[name].as_str().ok_or_else(|| format!("the index has no {name}").into())
}

fn check(holds: bool, otherwise: impl Into<String>) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(otherwise.into().into()) }
}

/// An RSA key: both forms are read, and each is converted to the very bytes of the other.
fn converts(folder: &Path, key: &Value) -> Result<(), Failed> {
    let bytes = |name| -> Result<Vec<u8>, Failed> { Ok(fs::read(folder.join(text(key, name)?))?) };
    let pem =
        |name| -> Result<String, Failed> { Ok(fs::read_to_string(folder.join(text(key, name)?))?) };
    let pkcs1 = bytes("pkcs1_der")?;
    // From the PEM: the index's `pkcs8_der` files hold PKCS#1 (openssl's traditional form).
    let body: String = pem("pkcs8")?.lines().filter(|line| !line.starts_with("--")).collect();
    let pkcs8 = STANDARD.decode(body)?;
    check(*pkcs1_to_pkcs8_der(&pkcs1)?.expose() == pkcs8, "PKCS#8 in DER differs")?;
    check(*pkcs8_to_pkcs1_der(&pkcs8)?.expose() == pkcs1, "PKCS#1 in DER differs")?;
    check(*pkcs1_to_pkcs8_pem(&pem("pkcs1")?)?.expose() == pem("pkcs8")?, "PKCS#8 in PEM differs")?;
    check(*pkcs8_to_pkcs1_pem(&pem("pkcs8")?)?.expose() == pem("pkcs1")?, "PKCS#1 in PEM differs")?;
    let found = PrivateKey::from_der(&pkcs1)?.fingerprint()?;
    check(found == text(key, "fingerprint")?, format!("the fingerprint is {found}"))?;
    for name in ["spki", "public_pkcs1"] {
        let refused = pem(name)?.parse::<PrivateKey>().err();
        check(refused == Some(PrivateKeyError::PublicKey), format!("{name} gave {refused:?}"))?;
    }
    Ok(())
}

/// A key of another sort: every form is refused for what it is.
fn is_refused(folder: &Path, key: &Value) -> Result<(), Failed> {
    for name in ["pkcs8", "sec1"] {
        let Some(file) = key[name].as_str() else { continue };
        let refused = fs::read_to_string(folder.join(file))?.parse::<PrivateKey>().err();
        let named = matches!(refused, Some(PrivateKeyError::NotRsa { .. }));
        check(named, format!("{file} gave {refused:?}"))?;
    }
    let public = fs::read_to_string(folder.join(text(key, "spki")?))?.parse::<PrivateKey>().err();
    check(public == Some(PrivateKeyError::PublicKey), format!("the public key gave {public:?}"))
}

fn is_as_expected(folder: &Path, index: &Value, case: &Value) -> Result<(), Failed> {
    let content = fs::read_to_string(folder.join(text(case, "file")?))?;
    let read = content.parse::<PrivateKey>();
    let fingerprint = |key| text(&index["keys"][key], "fingerprint");
    match (text(case, "expect")?, read) {
        ("accept", Ok(key)) => {
            let name = text(case, "key")?;
            check(key.fingerprint()? == fingerprint(name)?, "it is another key")
        }
        ("accept", Err(error)) => Err(format!("refused: {error}").into()),
        ("reject", Ok(_)) => Err("accepted".into()),
        // A damaged label may be taken or refused, but never gives another key.
        ("either", Ok(key)) => check(key.fingerprint()? == fingerprint("rsa2048")?, "another key"),
        ("reject" | "either", Err(error)) => {
            let about = case["why"].as_str().unwrap_or_default();
            let expected = [
                ("an encrypted key", error == PrivateKeyError::Encrypted),
                ("the old encrypted", error == PrivateKeyError::Encrypted),
                ("a public key", error == PrivateKeyError::PublicKey),
                ("an EC key", matches!(error, PrivateKeyError::NotRsa { .. })),
                ("an Ed25519 key", matches!(error, PrivateKeyError::NotRsa { .. })),
                ("an id-RSASSA-PSS", matches!(error, PrivateKeyError::NotRsa { .. })),
                ("1024 bits", error == PrivateKeyError::Size { bits: 1_024 }),
            ];
            let wrong = expected.iter().any(|(why, right)| about.starts_with(why) && !right);
            check(!wrong, format!("{about}, but the error is: {error}"))
        }
        (other, _) => Err(format!("the index expects {other:?}").into()),
    }
}

fn trials() -> Result<Vec<Trial>, Failed> {
    let folder = folder();
    if !folder.join("index.json").exists() {
        let skipped = Trial::test("key_vectors_of_the_contracts", || Ok(()));
        return Ok(vec![skipped.with_kind("skipped").with_ignored_flag(true)]);
    }
    let index: Value = serde_json::from_slice(&fs::read(folder.join("index.json"))?)?;
    let mut trials = Vec::new();
    for (name, key) in index["keys"].as_object().into_iter().flatten() {
        let (folder, key) = (folder.clone(), key.clone());
        let is_rsa = key["pkcs1"].is_string();
        trials.push(Trial::test(format!("key::{name}"), move || {
            if is_rsa { converts(&folder, &key) } else { is_refused(&folder, &key) }
        }));
    }
    for case in index["encodings"].as_array().into_iter().flatten() {
        let (folder, index, case) = (folder.clone(), index.clone(), case.clone());
        let name = text(&case, "file")?.to_owned();
        trials.push(Trial::test(name, move || is_as_expected(&folder, &index, &case)));
    }
    if trials.len() < 30 {
        return Err(format!("the index lists only {} vectors", trials.len()).into());
    }
    Ok(trials)
}

fn main() -> std::process::ExitCode {
    let trials = trials().unwrap_or_else(|failed| {
        let message = failed.message().unwrap_or_default().to_owned();
        vec![Trial::test("the_index_can_be_read", move || Err(message.into()))]
    });
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
