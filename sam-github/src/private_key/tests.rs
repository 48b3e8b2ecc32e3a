//! On one worthless key, in this repository; the vectors of the contracts are in `tests/`.

use sam_core::ErrorKind;

use super::*;

const PEM: &str = include_str!("../../tests/keys/rsa2048.pkcs1.pem");
const FINGERPRINT: &str = "SHA256:fI7mgo+V+n7UsvagndLiXft8tP2yHjY7Oi8BPjV5MOU=";

fn key() -> PrivateKey {
    PEM.parse().unwrap()
}

fn same(text: &str) {
    let read: PrivateKey = text.parse().unwrap_or_else(|error| panic!("{error}: {text:?}"));
    assert_eq!(read.to_pkcs1_der().expose(), key().to_pkcs1_der().expose());
}

#[test]
fn conversion_goes_there_and_back_without_loss() {
    let key = key();
    let pkcs1 = key.to_pkcs1_der();
    let pkcs8 = pkcs1_to_pkcs8_der(pkcs1.expose()).unwrap();
    assert_ne!(pkcs1.expose(), pkcs8.expose());
    assert_eq!(pkcs8_to_pkcs1_der(pkcs8.expose()).unwrap().expose(), pkcs1.expose());
    let pem = pkcs1_to_pkcs8_pem(PEM).unwrap();
    assert!(pem.expose().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert_eq!(pkcs8_to_pkcs1_pem(pem.expose()).unwrap().expose(), PEM);
    assert_eq!(pkcs1_to_pkcs8_pem(pem.expose()).unwrap().expose(), pem.expose());
    assert_eq!((key.bits(), key.fingerprint().unwrap().as_str()), (2_048, FINGERPRINT));
}

#[test]
fn every_wrapping_gives_the_same_key() {
    let pkcs8 = key().to_pkcs8_pem().unwrap();
    for pem in [PEM, pkcs8.expose()] {
        let flat = pem.trim().replace('\n', "\\n");
        same(&pem.replace('\n', "\r\n"));
        same(&flat);
        same(&pem.replace('\n', "\\r\\n"));
        same(&format!("  \"{flat}\\n\"\n"));
        same(&format!("'{pem}'"));
        same(&pem.replace('\n', " "));
        same(&pem.replace('\n', "\n    "));
        same(&format!("\u{feff}\n\nBag Attributes\n  name: x\n{pem}\n\n"));
        let base64 = STANDARD.encode(pem);
        same(&base64);
        same(base64.trim_end_matches('='));
        same(&STANDARD.encode(&flat));
        let wrapped: Vec<&str> = (0..base64.len())
            .step_by(76)
            .map(|at| base64.get(at..(at + 76).min(base64.len())).unwrap())
            .collect();
        same(&wrapped.join("\n"));
        same(&wrapped.join("\\n"));
    }
    same(&STANDARD.encode(key().to_pkcs1_der().expose()));
}

#[test]
fn what_is_not_a_key_is_named() {
    let block = |label: &str, body: &str| {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    let cases = [
        (String::new(), PrivateKeyError::Empty),
        ("\"\"".to_owned(), PrivateKeyError::Empty),
        ("hello world".to_owned(), PrivateKeyError::NotPem),
        ("aGVsbG8=".to_owned(), PrivateKeyError::NotPem),
        (block("PUBLIC KEY", "AAAA"), PrivateKeyError::PublicKey),
        (block("RSA PUBLIC KEY", "AAAA"), PrivateKeyError::PublicKey),
        (block("CERTIFICATE", "AAAA"), PrivateKeyError::Certificate),
        (block("ENCRYPTED PRIVATE KEY", "AAAA"), PrivateKeyError::Encrypted),
        (block("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\n\nAAAA"), PrivateKeyError::Encrypted),
        (block("EC PRIVATE KEY", "AAAA"), PrivateKeyError::NotRsa { found: "an EC key" }),
        (block("RSA PRIVATE KEY", "*"), PrivateKeyError::Base64),
        (block("RSA PRIVATE KEY", "AAAA"), PrivateKeyError::Malformed),
        (PEM.replace("-----END", ""), PrivateKeyError::Truncated),
        (PEM.replace("END RSA", "END"), PrivateKeyError::LabelMismatch),
        ("x".repeat(70_000), PrivateKeyError::TooLong),
    ];
    for (text, expected) in cases {
        assert_eq!(text.parse::<PrivateKey>().unwrap_err(), expected, "{text:.60?}");
    }
    // A certificate or a public key before the private one is passed over.
    same(&format!("{}{PEM}", block("CERTIFICATE", "AAAA")));
}

#[test]
fn a_key_whose_numbers_were_changed_is_refused() {
    let der = key().to_pkcs1_der();
    // From each of the numbers, the last byte of the whole among them.
    for at in [40, 300, 500, 700, 800, 950, 1_100, der.expose().len() - 1] {
        let mut bad = der.expose().clone();
        bad[at] ^= 1;
        PrivateKey::from_der(&bad).unwrap_err();
    }
    let mut longer = der.expose().clone();
    longer.push(0);
    assert_eq!(PrivateKey::from_der(&longer).unwrap_err(), PrivateKeyError::Malformed);
}

#[test]
fn an_error_says_what_to_do_and_shows_no_key() {
    let half = PEM.get(..PEM.len() / 2).unwrap();
    let error = sam_core::Error::from(half.parse::<PrivateKey>().unwrap_err());
    assert_eq!(error.kind(), ErrorKind::BadInput);
    assert!(error.hint().is_some_and(|hint| hint.contains("END")));
    assert!(!format!("{error:?} {:?}", key()).contains("MIIE"));
    assert_eq!(format!("{:?}", key()), "PrivateKey { bits: 2048, .. }");
}
