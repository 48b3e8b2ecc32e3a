//! Keys from variables.

use sam_core::keys::{KeyManager as _, SecretOwner, Signer as _};
use sam_core::{ErrorKind, Secret};
use sam_providers::keys::{EnvironmentKeys, KeyVariables};

use crate::harness::{entropy, now, random_key};
use crate::pasted::{ed25519, rsa};

fn of(set: &[(&str, &str)]) -> sam_core::Result<EnvironmentKeys> {
    let value = |name| set.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
    EnvironmentKeys::read(&KeyVariables::of(value), entropy())
}

pub(crate) fn a_rotation_by_variables_loses_nothing() {
    let (first, second, third) = (random_key(), random_key(), random_key());
    let owner: SecretOwner = "credential/cr-1".parse().unwrap();
    let old = of(&[("ENCRYPTION_KEY", &first)]).unwrap();
    let sealed = now(old.wrap(&Secret::new(b"canary".to_vec()), &owner)).unwrap();
    let previous = format!("{first},{second}");
    let new = of(&[("ENCRYPTION_KEY", &third), ("ENCRYPTION_KEY_PREVIOUS", &previous)]).unwrap();
    assert_eq!(now(new.unwrap(&sealed, &owner)).unwrap().expose(), b"canary");
    assert_ne!(now(new.current_key()).unwrap(), *sealed.key_id());
    let without = of(&[("ENCRYPTION_KEY", &third)]).unwrap();
    assert_eq!(now(without.unwrap(&sealed, &owner)).unwrap_err().kind(), ErrorKind::NotFound);
    // A key that is named twice is there once.
    let twice = of(&[("ENCRYPTION_KEY", &first), ("ENCRYPTION_KEY_PREVIOUS", &previous)]).unwrap();
    assert_eq!(now(twice.current_key()).unwrap(), *sealed.key_id());
}

pub(crate) fn every_refusal_names_its_variable_and_shows_nothing() {
    let (mine, other) = (rsa(0), rsa(1));
    let (ed_private, ed_public) = ed25519(3);
    let good = random_key();
    let cut = mine.pkcs8_pem.get(..900).unwrap();
    let long = "x".repeat(65);
    let short = good.get(..20).unwrap();
    for (set, name, why) in [
        (&[("ENCRYPTION_KEY", "changeme")][..], "ENCRYPTION_KEY", "placeholder"),
        (&[("ENCRYPTION_KEY", short)], "ENCRYPTION_KEY", "bytes"),
        (&[("ENCRYPTION_KEY", "")], "ENCRYPTION_KEY", "empty"),
        (
            &[("ENCRYPTION_KEY", &*good), ("ENCRYPTION_KEY_PREVIOUS", "AAAA")],
            "ENCRYPTION_KEY_PREVIOUS",
            "3 bytes",
        ),
        (
            &[("ENCRYPTION_KEY_PREVIOUS", &*good)],
            "ENCRYPTION_KEY_PREVIOUS",
            "ENCRYPTION_KEY is not",
        ),
        (&[("JWT_PRIVATE_KEY", cut)], "JWT_PRIVATE_KEY", "cut off"),
        (&[("JWT_PRIVATE_KEY", " ")], "JWT_PRIVATE_KEY", "empty"),
        (&[("JWT_PRIVATE_KEY", &*mine.spki_pem)], "JWT_PRIVATE_KEY", "public key"),
        (
            &[("JWT_PRIVATE_KEY", &*mine.pkcs8_pem), ("JWT_PUBLIC_KEY", &*other.spki_pem)],
            "JWT_PUBLIC_KEY",
            "not the public half",
        ),
        (
            &[("JWT_PRIVATE_KEY", &*mine.pkcs8_pem), ("JWT_PUBLIC_KEY", &*ed_public)],
            "JWT_PUBLIC_KEY",
            "not the public half",
        ),
        (
            &[("JWT_PRIVATE_KEY", &*mine.pkcs8_pem), ("JWT_PUBLIC_KEY", &*mine.pkcs8_pem)],
            "JWT_PUBLIC_KEY",
            "private key",
        ),
        (&[("JWT_PUBLIC_KEY", &*mine.spki_pem)], "JWT_PUBLIC_KEY", "JWT_PRIVATE_KEY is not"),
        (
            &[("JWT_PRIVATE_KEY", &*ed_private), ("JWT_KEY_ID", "two words")],
            "JWT_KEY_ID",
            "no usable name",
        ),
        (&[("JWT_PRIVATE_KEY", &*ed_private), ("JWT_KEY_ID", &*long)], "JWT_KEY_ID", "no usable"),
        (&[("JWT_KEY_ID", "a")], "JWT_KEY_ID", "JWT_PRIVATE_KEY is not"),
    ] {
        let error = of(set).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
        let shown = format!("{error:?} {}", error.public_message());
        assert!(error.public_message().starts_with(name), "{name}: {shown}");
        assert!(error.public_message().contains(why), "{why}: {shown}");
        assert!(error.hint().is_some(), "{shown}");
        // Neither a value nor a line of one.
        for line in set.iter().flat_map(|(_, value)| value.lines()).filter(|line| line.len() > 15) {
            assert!(line.starts_with("-----") || !shown.contains(line), "{shown}");
        }
    }
}

pub(crate) fn without_variables_there_are_no_keys() {
    let none = of(&[]).unwrap();
    assert_eq!(now(none.current_key()).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(none.signer().is_none() && none.jwks().keys().is_empty());
}

pub(crate) fn the_key_is_called_by_its_thumbprint_unless_it_has_a_name() {
    let key = rsa(0);
    let plain =
        of(&[("JWT_PRIVATE_KEY", &key.pkcs1_pem), ("JWT_PUBLIC_KEY", &key.spki_pem)]).unwrap();
    let thumbprint = plain.jwks().keys()[0].thumbprint();
    assert_eq!(plain.signer().unwrap().key_id(), thumbprint);
    let set = [("JWT_PRIVATE_KEY", &*key.pkcs1_pem), ("JWT_KEY_ID", "key-2026-11")];
    let named = of(&set).unwrap();
    assert_eq!(named.signer().unwrap().key_id(), "key-2026-11");
    let json = serde_json::to_value(named.jwks()).unwrap();
    let published = &json["keys"][0];
    assert_eq!(published["kid"], "key-2026-11");
    assert_eq!((&published["kty"], &published["alg"]), (&"RSA".into(), &"RS256".into()));
    assert_eq!((&published["use"], &published["e"]), (&"sig".into(), &"AQAB".into()));
    // Nothing but the public half.
    let mut members: Vec<&String> = published.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
}
