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

/// An element of DER with a content of less than 128 bytes.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
}

#[test]
fn der_without_a_label_is_named_by_its_outline() {
    let oid = |bytes: &[u8]| element(0x06, bytes);
    let encrypted = |kind: &[u8]| {
        element(0x30, &[element(0x30, &oid(kind)), element(0x04, b"sealed")].concat())
    };
    let ec = element(0x30, &[element(0x02, &[1]), element(0x04, &[7; 32])].concat());
    let signed = element(0x30, &[element(0xa0, &element(0x02, &[2])), element(2, &[1])].concat());
    let certificate = element(0x30, &[signed, element(0x30, &[]), element(3, &[0])].concat());
    let whole = key().to_pkcs1_der();
    let cut = whole.expose().split_at(600).0.to_vec();
    let cut8 = key().to_pkcs8_der().expose().split_at(600).0.to_vec();
    let spki = key().public.to_public_key_der().unwrap().into_vec();
    let ed25519 = [element(2, &[0]), element(0x30, &oid(&[0x2b, 0x65, 0x70]))].concat();
    let ed25519 = element(0x30, &[ed25519, element(4, &element(4, &[7; 32]))].concat());
    for (der, expected) in [
        (ec, PrivateKeyError::NotRsa { found: "an EC key" }),
        (ed25519, PrivateKeyError::NotRsa { found: "an Ed25519 key" }),
        (encrypted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13]), PrivateKeyError::Encrypted),
        (encrypted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 1, 3]), PrivateKeyError::Encrypted),
        (encrypted(&[0x2a]), PrivateKeyError::Malformed),
        (certificate, PrivateKeyError::Certificate),
        (spki, PrivateKeyError::PublicKey),
        (cut, PrivateKeyError::Truncated),
        (cut8, PrivateKeyError::Truncated),
        (Vec::new(), PrivateKeyError::Malformed),
        (vec![0x30, 0x84], PrivateKeyError::Malformed),
    ] {
        assert_eq!(PrivateKey::from_der(&der).unwrap_err(), expected, "{der:02x?}");
        PrivateKey::from_bytes(&der).unwrap_err();
        let both = [pkcs1_to_pkcs8_der(&der), pkcs8_to_pkcs1_der(&der)];
        assert!(both.iter().all(Result::is_err), "{expected:?} was converted");
    }
}

#[test]
fn what_is_wrapped_as_a_key_and_is_none_is_not_unwrapped() {
    for inner in [&[][..], &[0x30, 0], b"junk", &[0x02, 1, 0]] {
        let wrapped = der::wrap(inner);
        pkcs8_to_pkcs1_der(wrapped.expose()).unwrap_err();
        PrivateKey::from_der(wrapped.expose()).unwrap_err();
    }
}

#[test]
fn conversion_of_der_fills_exactly_what_it_allocates() {
    use pkcs8::der::Encode as _;
    let pkcs8 = pkcs1_to_pkcs8_der(key().to_pkcs1_der().expose()).unwrap();
    assert_eq!(pkcs8.expose().capacity(), pkcs8.expose().len());
    // The library that reads PKCS#8 writes the same bytes.
    let again = PrivateKeyInfo::from_der(pkcs8.expose()).unwrap().to_der().unwrap();
    assert_eq!(&again, pkcs8.expose());
}

#[test]
fn a_setting_is_a_key_or_the_path_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let key8 = key().to_pkcs8_der();
    for (name, bytes) in [("key.pem", PEM.as_bytes()), ("key.der", key8.expose())] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let path = path.to_str().unwrap();
        for setting in [path.to_owned(), format!(" file://{path}\n"), format!("\"{path}\"")] {
            let read = PrivateKey::from_setting(&setting).unwrap();
            assert_eq!(read.to_pkcs1_der().expose(), key().to_pkcs1_der().expose());
        }
    }
    PrivateKey::from_setting(PEM).unwrap();
    let missing = folder.path().join("none.pem");
    let error = PrivateKey::from_setting(missing.to_str().unwrap()).unwrap_err();
    assert_eq!(error, PrivateKeyError::File { why: std::io::ErrorKind::NotFound });
    let large = folder.path().join("large.pem");
    std::fs::write(&large, "x".repeat(70_000)).unwrap();
    let error = PrivateKey::from_setting(large.to_str().unwrap()).unwrap_err();
    assert_eq!(error, PrivateKeyError::TooLong);
}

proptest::proptest! {
    #[test]
    fn no_text_and_no_bytes_make_the_reading_panic(
        text in "(-----BEGIN |-----END |RSA PRIVATE KEY-----|MII|=|\\\\n|\"|.|\n){0,30}",
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
    ) {
        let _either = text.parse::<PrivateKey>();
        let _either = PrivateKey::from_bytes(&bytes);
        let _either = PrivateKey::from_der(&[&[0x30, 0x82], bytes.as_slice()].concat());
        let _either = pkcs1_to_pkcs8_der(&bytes);
        let _either = pkcs8_to_pkcs1_der(&bytes);
    }

    #[test]
    fn a_key_with_a_bit_changed_anywhere_is_refused_or_the_same(
        at in 0_usize..1_192, bit in 0..8_u8,
    ) {
        let good = key().to_pkcs1_der();
        let mut bad = good.expose().clone();
        let at = at % bad.len();
        bad[at] ^= 1 << bit;
        proptest::prop_assert!(PrivateKey::from_der(&bad).is_err());
    }

    #[test]
    fn a_key_cut_anywhere_is_refused(at in 0_usize..1_000) {
        let good = key().to_pkcs1_der();
        let cut = good.expose().split_at(at % good.expose().len()).0;
        proptest::prop_assert!(PrivateKey::from_der(cut).is_err());
        proptest::prop_assert!(pkcs1_to_pkcs8_der(cut).is_err());
        let text = PEM.split_at(at % PEM.len()).0;
        proptest::prop_assert!(text.parse::<PrivateKey>().is_err());
    }
}
