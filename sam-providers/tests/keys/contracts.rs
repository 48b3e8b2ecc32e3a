//! The vectors of the contracts: keys of every sort and 34 ways people paste one; the RFCs' tokens
//! and thumbprints; Wycheproof's signatures.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use libtest_mimic::{Failed, Trial};
use sam_core::Secret;
use sam_core::keys::{Signer as _, Verifier as _};
use sam_providers::keys::{Jwk, JwkSet, SigningAlgorithm, SigningKey};
use serde_json::Value;

use crate::harness::now;
use crate::pasted::pem;

type Outcome = Result<(), Failed>;
type Test = (&'static str, fn(&Path) -> Outcome);

#[expect(clippy::disallowed_methods, reason = "a test finds its vectors by it")]
fn folder() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    std::env::var_os("SAM_SHARED").map_or_else(beside, PathBuf::from).join("contracts")
}

pub(crate) fn trials() -> Vec<Trial> {
    let all: [Test; 7] = [
        ("contracts::keys_of_every_sort_and_size", sorts),
        ("contracts::every_encoding_has_its_verdict", encodings),
        ("contracts::rfc_7638_thumbprints", thumbprints),
        ("contracts::rfc_7515_8037_and_7520_signatures", tokens),
        ("contracts::wycheproof_rsa_signatures", wycheproof_rsa),
        ("contracts::wycheproof_rsa_signing", wycheproof_signing),
        ("contracts::wycheproof_ed25519", wycheproof_ed25519),
    ];
    let folder = folder();
    let there = folder.join("keys/index.json").is_file();
    all.into_iter()
        .map(|(name, run)| {
            let folder = folder.clone();
            let trial = Trial::test(name, move || run(&folder));
            if there {
                trial
            } else {
                trial.with_kind("skipped: no contracts").with_ignored_flag(true)
            }
        })
        .collect()
}

fn json(path: &Path) -> Result<Value, Failed> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str, Failed> {
    value[name].as_str().ok_or_else(|| format!("there is no {name}").into())
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a Vec<Value>, Failed> {
    value[name].as_array().ok_or_else(|| format!("there is no list {name}").into())
}

fn check(holds: bool, otherwise: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise.into().into()) }
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |b: u8| u8::try_from(char::from(b).to_digit(16).unwrap()).unwrap();
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn read(text: String) -> sam_core::Result<SigningKey> {
    SigningKey::read(&Secret::new(text))
}

fn sorts(folder: &Path) -> Outcome {
    let folder = folder.join("keys");
    let index = json(&folder.join("index.json"))?;
    let file = |name: &str| fs::read_to_string(folder.join(name));
    for (name, key) in index["keys"].as_object().ok_or("no keys")? {
        if name.starts_with("ec") {
            for form in ["pkcs8", "sec1"] {
                check(read(file(text(key, form)?)?).is_err(), format!("{name} {form} is taken"))?;
            }
            check(
                Jwk::read(&file(text(key, "spki")?)?, None).is_err(),
                "a public EC key is taken",
            )?;
            continue;
        }
        let public = Jwk::read(&file(text(key, "spki")?)?, None)?;
        for form in ["pkcs1", "pkcs8"] {
            let Some(form) = key[form].as_str() else { continue };
            let private = read(file(form)?)?;
            check(*private.public_key() == public, format!("{form} is another key"))?;
            let signature = now(private.sign(form.as_bytes()))?;
            JwkSet::new([public.clone()]).verify(private.key_id(), form.as_bytes(), &signature)?;
        }
        for form in ["spki", "public_pkcs1"] {
            let Some(form) = key[form].as_str() else { continue };
            check(Jwk::read(&file(form)?, None)? == public, format!("{form} is another key"))?;
            check(read(file(form)?).is_err(), format!("{form} is taken for a private key"))?;
        }
    }
    Ok(())
}

fn encodings(folder: &Path) -> Outcome {
    let folder = folder.join("keys");
    let index = json(&folder.join("index.json"))?;
    let all = list(&index, "encodings")?;
    check(all.len() == 34, format!("{} encodings", all.len()))?;
    let expected = Jwk::read(&fs::read_to_string(folder.join("rsa2048.spki.pem"))?, None)?;
    for encoding in all {
        let file = text(encoding, "file")?;
        let content = fs::read_to_string(folder.join(file))?;
        let found = SigningKey::read_for(SigningAlgorithm::Rs256, &Secret::new(content));
        match (text(encoding, "expect")?, found) {
            ("accept" | "either", Ok(key)) => {
                check(*key.public_key() == expected, format!("{file} gave another key"))?;
            }
            ("reject" | "either", Err(error)) => {
                check(error.hint().is_some(), format!("{file} has no hint"))?;
                let told = error.public_message();
                let word = match file {
                    "encodings/public-only.pem" => "public key",
                    _ if file.contains("encrypted") => "encrypted",
                    _ if file.contains("ec-key") => "EC key",
                    _ if file.contains("pss") => "PSS",
                    _ if file.contains("1024") => "1024 bits",
                    "encodings/truncated.pem" => "cut off",
                    _ => "",
                };
                check(told.contains(word), format!("{file}: {told}"))?;
            }
            (verdict, found) => {
                return Err(format!("{file}: {verdict}, but it gave {found:?}").into());
            }
        }
    }
    Ok(())
}

/// A JSON Web Key of the vectors as one of ours, by the way of PEM; `None` for other sorts.
fn of_jwk(jwk: &Value) -> Result<Option<Jwk>, Failed> {
    let number =
        |name| -> Result<Vec<u8>, Failed> { Ok(URL_SAFE_NO_PAD.decode(text(jwk, name)?)?) };
    let armoured = match (text(jwk, "kty")?, jwk["crv"].as_str()) {
        ("RSA", _) => {
            let (n, e) = (number("n")?, number("e")?);
            let key = pkcs1::RsaPublicKey {
                modulus: pkcs1::UintRef::new(&n)?,
                public_exponent: pkcs1::UintRef::new(&e)?,
            };
            pem("RSA PUBLIC KEY", &pkcs1::der::Encode::to_der(&key)?)
        }
        ("OKP", Some("Ed25519")) => {
            let head = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
            pem("PUBLIC KEY", &[&head[..], &number("x")?].concat())
        }
        _ => return Ok(None),
    };
    Ok(Some(Jwk::read(&armoured, None)?))
}

fn thumbprints(folder: &Path) -> Outcome {
    let vectors = json(&folder.join("jose/rfc-jwk.json"))?;
    for vector in list(&vectors, "thumbprints")? {
        let key = of_jwk(&vector["jwk"])?.ok_or("another sort of key")?;
        check(key.thumbprint() == text(vector, "sha256")?, format!("{}", vector["source"]))?;
        let shown = serde_json::to_value(&key)?;
        for member in vector["jwk"].as_object().ok_or("no key")? {
            check(shown[member.0] == *member.1, format!("{} {}", vector["source"], member.0))?;
        }
    }
    Ok(())
}

fn token_holds(key: &Jwk, token: &str) -> Outcome {
    let (signed, signature) = token.rsplit_once('.').ok_or("no token")?;
    let signature = URL_SAFE_NO_PAD.decode(signature)?;
    let known = JwkSet::new([key.clone()]);
    known.verify(key.key_id(), signed.as_bytes(), &signature)?;
    let other = known.verify(key.key_id(), &signed.as_bytes()[1..], &signature);
    check(other.is_err(), "another message passes")
}

fn tokens(folder: &Path) -> Outcome {
    let mut tried = 0;
    for vector in json(&folder.join("jose/rfc-jws.json"))?.as_array().ok_or("no list")? {
        if !matches!(text(vector, "alg")?, "RS256" | "EdDSA") {
            continue;
        }
        let key = of_jwk(&vector["key"])?.ok_or("another sort of key")?;
        token_holds(&key, text(vector, "jws")?)?;
        tried += 1;
    }
    for file in ["jws.4_1.rsa_v15_signature.json", "curve25519.jws.json"] {
        let vector = json(&folder.join("jose/rfc7520").join(file))?;
        let key = of_jwk(&vector["input"]["key"])?.ok_or("another sort of key")?;
        token_holds(&key, text(&vector["output"], "compact")?)?;
        tried += 1;
    }
    check(tried == 4, format!("{tried} of 4 tokens were tried"))
}

fn wycheproof_rsa(folder: &Path) -> Outcome {
    for bits in [2_048, 3_072, 4_096] {
        let file = folder.join(format!("wycheproof/rsa_signature_{bits}_sha256.json"));
        signatures(&json(&file)?, "publicKeyPem")?;
    }
    Ok(())
}

fn wycheproof_ed25519(folder: &Path) -> Outcome {
    signatures(&json(&folder.join("wycheproof/ed25519.json"))?, "publicKeyPem")
}

fn signatures(vectors: &Value, key: &str) -> Outcome {
    let mut tried = [0, 0];
    for group in list(vectors, "testGroups")? {
        let key = Jwk::read(text(group, key)?, None)?;
        let known = JwkSet::new([key.clone()]);
        for test in list(group, "tests")? {
            let (message, signature) = (hex(text(test, "msg")?), hex(text(test, "sig")?));
            let passes = known.verify(key.key_id(), &message, &signature).is_ok();
            let result = text(test, "result")?;
            check(
                result == "acceptable" || passes == (result == "valid"),
                format!("{} {}: {passes}", test["tcId"], test["comment"]),
            )?;
            tried[usize::from(passes)] += 1;
        }
    }
    check(tried.iter().all(|count| *count >= 5), format!("{tried:?} were refused and accepted"))
}

fn wycheproof_signing(folder: &Path) -> Outcome {
    let mut tried = 0;
    for bits in [2_048, 3_072, 4_096] {
        let file = folder.join(format!("wycheproof/rsa_pkcs1_{bits}_sig_gen.json"));
        for group in list(&json(&file)?, "testGroups")? {
            if text(group, "sha")? != "SHA-256" {
                continue;
            }
            let pkcs8 = STANDARD.encode(hex(text(group, "privateKeyPkcs8")?));
            let keys = [read(text(group, "privateKeyPem")?.to_owned())?, read(pkcs8)?];
            for test in list(group, "tests")? {
                for key in &keys {
                    let signature = now(key.sign(&hex(text(test, "msg")?)))?;
                    check(signature == hex(text(test, "sig")?), format!("{}", test["tcId"]))?;
                    tried += 1;
                }
            }
        }
    }
    check(tried >= 6, format!("{tried} signatures"))
}
