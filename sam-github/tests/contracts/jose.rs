//! The App's own token against tokens of other makers, and RS256 against Wycheproof.

use std::fs;

use futures_util::FutureExt as _;
use libtest_mimic::{Failed, Trial};
use sam_core::keys::{Signer as _, Verifier as _};
use sam_core::time::Timestamp;
use sam_github::{PrivateKey, Rs256Signer, Rs256Verifier, mint_app_jwt};
use serde_json::Value;

use crate::folder::contracts;

fn json(path: &str) -> Result<Value, Failed> {
    Ok(serde_json::from_slice(&fs::read(contracts().join(path))?)?)
}

fn signer(file: &str) -> Result<Rs256Signer, Failed> {
    let key = PrivateKey::from_file(&contracts().join("keys").join(file))?;
    Ok(Rs256Signer::new(&key)?)
}

fn token(case: &Value) -> Result<(), Failed> {
    let signer = signer(case["key"].as_str().ok_or("no key")?)?;
    let input = case["signing_input"].as_str().ok_or("no input")?;
    let issuer = match &case["claims"]["iss"] {
        Value::String(text) => text.clone(),
        number => number.to_string(),
    };
    let now = Timestamp::from_micros(case["now"].as_i64().ok_or("no time")? * 1_000_000);
    let minted = mint_app_jwt(&signer, &issuer.parse()?, now).now_or_never().ok_or("waits")??;
    // Our header and claims have the same members in the same order, so the bytes are the same.
    if case["jwt"] == minted.expose().as_str() && minted.expose().starts_with(input) {
        return Ok(());
    }
    Err(format!("minted {}", minted.expose()).into())
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap_or_default().as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default();
    let byte = |pair: &[u8]| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).unwrap_or_default();
    hex.chunks_exact(2).map(byte).collect()
}

fn verifies(group: &Value) -> Result<(), Failed> {
    let verifier = Rs256Verifier::new([("k".to_owned(), bytes(&group["publicKeyAsn"]))]);
    let mut tried = 0;
    for test in group["tests"].as_array().into_iter().flatten() {
        let good = verifier.verify("k", &bytes(&test["msg"]), &bytes(&test["sig"])).is_ok();
        let expected = test["result"].as_str().unwrap_or_default();
        if (expected == "valid" && !good) || (expected == "invalid" && good) {
            return Err(format!("case {} is {expected}", test["tcId"]).into());
        }
        tried += 1;
    }
    if tried > 0 { Ok(()) } else { Err("no case".into()) }
}

fn signs(group: &Value) -> Result<(), Failed> {
    let pem: PrivateKey = group["privateKeyPem"].as_str().ok_or("no key")?.parse()?;
    let der = PrivateKey::from_der(&bytes(&group["privateKeyPkcs8"]))?;
    for signer in [Rs256Signer::new(&pem)?, Rs256Signer::new(&der)?] {
        for test in group["tests"].as_array().into_iter().flatten() {
            let signature = signer.sign(&bytes(&test["msg"])).now_or_never().ok_or("waits")??;
            if signature != bytes(&test["sig"]) {
                return Err(format!("case {} has other bytes", test["tcId"]).into());
            }
        }
    }
    Ok(())
}

pub(crate) fn trials() -> Result<Vec<Trial>, Failed> {
    let mut trials = Vec::new();
    let tokens = json("jose/github-app-jwt.json")?;
    for case in tokens["cases"].as_array().ok_or("no cases")?.clone() {
        let title = format!("jwt::{} {}", case["key"], case["note"]).replace('"', "");
        trials.push(Trial::test(title, move || token(&case)));
    }
    for bits in [2048, 3072, 4096] {
        let verify = json(&format!("wycheproof/rsa_signature_{bits}_sha256.json"))?;
        let sign = json(&format!("wycheproof/rsa_pkcs1_{bits}_sig_gen.json"))?;
        for (at, group) in
            verify["testGroups"].as_array().ok_or("no groups")?.clone().into_iter().enumerate()
        {
            trials.push(Trial::test(format!("wycheproof::verify_{bits}_{at}"), move || {
                verifies(&group)
            }));
        }
        for (at, group) in
            sign["testGroups"].as_array().ok_or("no groups")?.clone().into_iter().enumerate()
        {
            if group["sha"] != "SHA-256" {
                continue;
            }
            trials
                .push(Trial::test(format!("wycheproof::sign_{bits}_{at}"), move || signs(&group)));
        }
    }
    Ok(trials)
}
