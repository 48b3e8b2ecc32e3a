//! Private keys as people paste them, made here, so that none lies in the repository.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pkcs8::der::Decode as _;
use sam_core::keys::{Signer as _, Verifier as _};
use sam_core::{ErrorKind, Secret};
use sam_providers::keys::{Jwk, JwkSet, SigningAlgorithm, SigningKey};

use crate::harness::now;

#[derive(Debug, Clone)]
pub(crate) struct Rsa {
    pub(crate) pkcs1: Vec<u8>,
    pub(crate) pkcs1_pem: String,
    pub(crate) pkcs8: Vec<u8>,
    pub(crate) pkcs8_pem: String,
    pub(crate) spki_pem: String,
    pub(crate) public_pkcs1_pem: String,
}

/// One of three RSA keys, each made once.
pub(crate) fn rsa(number: usize) -> Rsa {
    static MADE: [OnceLock<Rsa>; 3] = [const { OnceLock::new() }; 3];
    let make = || {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8 = pair.as_der().unwrap().as_ref().to_vec();
        let pkcs1 = pkcs8::PrivateKeyInfo::from_der(&pkcs8).unwrap().private_key.to_vec();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Rsa {
            pkcs1_pem: pem("RSA PRIVATE KEY", &pkcs1),
            pkcs8_pem: pem("PRIVATE KEY", &pkcs8),
            spki_pem: pem("PUBLIC KEY", spki.as_ref()),
            public_pkcs1_pem: pem("RSA PUBLIC KEY", pair.public_key().as_ref()),
            pkcs1,
            pkcs8,
        }
    };
    MADE[number].get_or_init(make).clone()
}

/// An Ed25519 key in PKCS#8, and its public half.
pub(crate) fn ed25519(seed: u8) -> (String, String) {
    let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let public = sam_core::keys::Ed25519Signer::from_seed(&Secret::new([seed; 32])).public_key();
    let spki = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
    let private = pem("PRIVATE KEY", &[&head[..], &[seed; 32]].concat());
    (private, pem("PUBLIC KEY", &[&spki[..], &public].concat()))
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn wrapped(text: &str) -> String {
    let lines: Vec<&str> =
        text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join("\n")
}

fn read(text: &str) -> sam_core::Result<SigningKey> {
    SigningKey::read(&Secret::new(text.to_owned()))
}

pub(crate) fn every_wrapping_gives_the_same_key() {
    let rsa = rsa(0);
    let (ed25519, ed25519_public) = ed25519(5);
    for (pem, der, public) in [
        (&rsa.pkcs1_pem, Some(&rsa.pkcs1), &rsa.spki_pem),
        (&rsa.pkcs8_pem, Some(&rsa.pkcs8), &rsa.public_pkcs1_pem),
        (&ed25519, None, &ed25519_public),
    ] {
        let expected = Jwk::read(public, None).unwrap();
        let mut texts = vec![
            pem.clone(),
            pem.replace('\n', "\r\n"),
            pem.replace('\n', "\\n"),
            format!("\"{}\"", pem.replace('\n', "\\r\\n")),
            pem.replace('\n', " "),
            format!("\u{feff}  {}", pem.replace('\n', "\n   ")),
            format!("Bag Attributes\n{pem}{public}"),
            STANDARD.encode(pem),
            wrapped(&STANDARD.encode(pem)),
            STANDARD.encode(pem.replace('\n', "\r\n")),
        ];
        texts.extend(der.map(|der| STANDARD.encode(der)));
        for text in texts {
            let key = read(&text).unwrap();
            assert_eq!(*key.public_key(), expected, "{:?}", text.get(..40));
            let signature = now(key.sign(b"m")).unwrap();
            let published = JwkSet::new([expected.clone()]);
            published.verify(key.key_id(), b"m", &signature).unwrap();
        }
    }
}

pub(crate) fn a_key_cut_anywhere_is_refused() {
    let rsa = rsa(0);
    for text in [&rsa.pkcs1_pem, &rsa.pkcs8_pem, &ed25519(5).0] {
        let whole = text.trim_end();
        // The dashes of the last line may be lost, and nothing else.
        for end in 0..whole.len() - 5 {
            let error = read(whole.get(..end).unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput, "cut at {end}");
        }
    }
    for end in (0..rsa.pkcs8.len()).step_by(7) {
        read(&pem("PRIVATE KEY", &rsa.pkcs8[..end])).unwrap_err();
        read(&pem("RSA PRIVATE KEY", &rsa.pkcs1[..end.min(rsa.pkcs1.len() - 1)])).unwrap_err();
    }
    let longer = [&rsa.pkcs1[..], &[0]].concat();
    read(&pem("RSA PRIVATE KEY", &longer)).unwrap_err();
}

pub(crate) fn a_key_with_a_changed_number_is_refused() {
    let good = rsa(0).pkcs1;
    // Every part of the key in turn: modulus, exponents, primes and what follows from them.
    let mut refused = 0;
    for at in (8..good.len()).step_by(11) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        match read(&pem("RSA PRIVATE KEY", &bad)) {
            Err(error) => {
                refused += 1;
                assert_eq!(error.kind(), ErrorKind::BadInput);
            }
            Ok(key) => panic!("byte {at} was changed, and it is {key:?}"),
        }
    }
    assert!(refused > 50, "{refused}");
}

pub(crate) fn an_algorithm_is_never_confused_with_another() {
    let secret = |text: &str| Secret::new(text.to_owned());
    let (rsa, (ed25519, _)) = (rsa(0), ed25519(5));
    for (text, right, wrong) in [
        (&rsa.pkcs8_pem, SigningAlgorithm::Rs256, SigningAlgorithm::EdDsa),
        (&ed25519, SigningAlgorithm::EdDsa, SigningAlgorithm::Rs256),
    ] {
        assert_eq!(SigningKey::read_for(right, &secret(text)).unwrap().algorithm(), right);
        let error = SigningKey::read_for(wrong, &secret(text)).unwrap_err();
        assert!(error.public_message().contains(wrong.name()), "{error:?}");
    }
    for (text, why) in [(rsa.spki_pem, "public key"), (rsa.public_pkcs1_pem, "public key")] {
        let error = read(&text).unwrap_err();
        assert!(error.public_message().contains(why), "{error:?}");
    }
}
