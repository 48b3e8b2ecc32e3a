//! What a ring in a file goes through.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use sam_core::keys::{KeyManager as _, MemoryKeys, SecretOwner, Signer as _, Verifier as _};
use sam_core::{ErrorKind, Report, Secret};
use sam_providers::keys::{EnvironmentKeys, FileKeys, Jwk, KeyVariables, SigningAlgorithm};

use crate::harness::{config, entropy, now, open, place, random_key};
use crate::pasted::rsa;

fn owner() -> SecretOwner {
    "credential/cr-1".parse().unwrap()
}

fn secret() -> Secret<Vec<u8>> {
    Secret::new(b"canary".to_vec())
}

pub(crate) fn of_many_that_make_a_ring_one_does() {
    let place = place();
    let gate = std::sync::Barrier::new(8);
    let made: Vec<_> = std::thread::scope(|scope| {
        let start = || {
            scope.spawn(|| {
                gate.wait();
                let keys = open(&place);
                (now(keys.current_key()).unwrap(), now(keys.signer()).unwrap().key_id().to_owned())
            })
        };
        let started: Vec<_> = (0..8).map(|_| start()).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(made.iter().all(|one| *one == made[0]), "{made:?}");
    // No draft is left.
    assert_eq!(fs::read_dir(place.path().join("keys")).unwrap().count(), 1);
}

pub(crate) fn a_ring_is_found_again_and_is_private() {
    let place = place();
    let first = open(&place);
    let sealed = now(first.wrap(&secret(), &owner())).unwrap();
    now(first.rotate()).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(first.path()), 0o600);
    assert_eq!(mode(first.path().parent().unwrap()), 0o700);
    drop(first);
    let again = open(&place);
    assert_eq!(now(again.unwrap(&sealed, &owner())).unwrap().expose(), b"canary");
    assert_eq!(now(again.sealing_keys()).unwrap().len(), 2);
}

pub(crate) fn another_replica_sees_a_rotation_with_its_next_call() {
    let place = place();
    let (one, other) = (open(&place), open(&place));
    for _ in 0..5 {
        let id = now(one.rotate()).unwrap();
        let sealed = now(one.wrap(&secret(), &owner())).unwrap();
        assert_eq!(now(other.unwrap(&sealed, &owner())).unwrap().expose(), b"canary");
        assert_eq!(now(other.current_key()).unwrap(), id);
        let back = now(other.rotate()).unwrap();
        assert_eq!(now(one.current_key()).unwrap(), back);
    }
    let old = now(one.sealing_keys()).unwrap()[0].clone();
    now(one.retire(&old)).unwrap();
    assert!(!now(other.sealing_keys()).unwrap().contains(&old));
}

pub(crate) fn a_rotated_signer_is_published_beside_the_old_one_until_it_is_retired() {
    let place = place();
    let keys = open(&place);
    let old = now(keys.signer()).unwrap();
    let signature = now(old.sign(b"m")).unwrap();
    let new = now(keys.rotate_signer(SigningAlgorithm::Rs256)).unwrap();
    let published = now(keys.jwks()).unwrap();
    let names: Vec<_> = published.keys().iter().map(Jwk::key_id).collect();
    assert_eq!(names, [new.key_id(), old.key_id()]);
    published.verify(old.key_id(), b"m", &signature).unwrap();
    let fresh = now(new.sign(b"m")).unwrap();
    published.verify(new.key_id(), b"m", &fresh).unwrap();
    // A key's algorithm is its own: one's signature is not the other's.
    assert!(published.verify(new.key_id(), b"m", &signature).is_err());
    now(keys.retire_signer(old.key_id())).unwrap();
    let published = now(open(&place).jwks()).unwrap();
    assert!(published.verify(old.key_id(), b"m", &signature).is_err());
    published.verify(new.key_id(), b"m", &fresh).unwrap();
}

pub(crate) fn the_current_and_an_unknown_key_are_not_retired() {
    let place = place();
    let keys = open(&place);
    let current = now(keys.current_key()).unwrap();
    let error = now(keys.retire(&current)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let error = now(keys.retire(&"k-0000000000000000".parse().unwrap())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let signer = now(keys.signer()).unwrap();
    assert_eq!(now(keys.retire_signer(signer.key_id())).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(now(keys.retire_signer("none")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(now(keys.sealing_keys()).unwrap(), [current]);
}

pub(crate) fn a_ring_has_a_bound() {
    let place = place();
    let keys = open(&place);
    let first = now(keys.current_key()).unwrap();
    for _ in 1..MemoryKeys::KEYS_MAX {
        now(keys.rotate()).unwrap();
    }
    assert_eq!(now(keys.rotate()).unwrap_err().kind(), ErrorKind::QuotaExceeded);
    now(keys.retire(&first)).unwrap();
    now(keys.rotate()).unwrap();
    for _ in 1..FileKeys::SIGNING_KEYS_MAX {
        now(keys.rotate_signer(SigningAlgorithm::EdDsa)).unwrap();
    }
    let full = now(keys.rotate_signer(SigningAlgorithm::EdDsa)).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::QuotaExceeded);
    assert_eq!(now(open(&place).sealing_keys()).unwrap().len(), MemoryKeys::KEYS_MAX);
}

pub(crate) fn changes_at_the_same_time_lose_no_key() {
    let place = place();
    drop(open(&place));
    let added: Vec<_> = std::thread::scope(|scope| {
        let start = || {
            scope.spawn(|| {
                let keys = open(&place);
                let one = || match now(keys.rotate()) {
                    Ok(id) => Some(id),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
                        None
                    }
                };
                (0..10).filter_map(|_| one()).collect::<Vec<_>>()
            })
        };
        let started: Vec<_> = (0..4).map(|_| start()).collect();
        started.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let there = now(open(&place).sealing_keys()).unwrap();
    assert_eq!(there.len(), added.len() + 1);
    assert!(added.iter().all(|id| there.contains(id)));
}

pub(crate) fn a_ring_that_is_open_to_others_is_refused() {
    let place = place();
    let keys = open(&place);
    let path = keys.path().to_owned();
    let set = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for mode in [0o644, 0o640, 0o660, 0o604] {
        set(&path, mode);
        let error = now(FileKeys::open(config(&place), entropy())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.hint().unwrap().contains("chmod 600"), "{error:?}");
        // One that is open notices, too.
        assert_eq!(now(keys.current_key()).unwrap_err().kind(), ErrorKind::Denied);
    }
    set(&path, 0o400);
    now(FileKeys::open(config(&place), entropy())).unwrap();
    set(path.parent().unwrap(), 0o777);
    let error = now(FileKeys::open(config(&place), entropy())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.hint().unwrap().contains("chmod 700"), "{error:?}");
}

pub(crate) fn every_damage_is_noticed_and_nothing_is_replaced() {
    let place = place();
    let keys = open(&place);
    now(keys.rotate_signer(SigningAlgorithm::Rs256)).unwrap();
    let path = keys.path().to_owned();
    let good = fs::read_to_string(&path).unwrap();
    let refused = |content: &str, what: &str| {
        fs::write(&path, content).unwrap();
        let error = now(FileKeys::open(config(&place), entropy())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error:?}");
        assert!(error.hint().unwrap().contains("backup"), "{error:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    };
    for end in [0, 1, good.len() / 2, good.len() - 2] {
        refused(good.get(..end).unwrap(), "cut");
    }
    let value: serde_json::Value = serde_json::from_str(&good).unwrap();
    // Each key with one character changed in its middle, and each name.
    for (list, entry) in [("sealing", 0), ("signing", 0), ("signing", 1)] {
        for field in ["key", "id"] {
            if (list, field) == ("signing", "id") {
                continue;
            }
            let mut bad = value.clone();
            let text = bad[list][entry][field].as_str().unwrap();
            let at = text.len() / 2;
            let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
            let (before, after) = text.split_at(at);
            let changed = format!("{before}{other}{}", after.get(1..).unwrap());
            bad[list][entry][field] = changed.into();
            refused(&bad.to_string(), &format!("{list} {entry} {field}"));
        }
    }
    let mut bad = value.clone();
    bad["sealing"] = serde_json::json!([]);
    refused(&bad.to_string(), "no key");
    let mut bad = value.clone();
    let twice = bad["sealing"][0].clone();
    bad["sealing"].as_array_mut().unwrap().push(twice);
    refused(&bad.to_string(), "a key twice");
    let mut bad = value;
    bad["surprise"] = true.into();
    refused(&bad.to_string(), "an unknown member");
    refused(&" ".repeat((1 << 20) + 1), "too long");
    fs::write(&path, &good).unwrap();
    now(FileKeys::open(config(&place), entropy())).unwrap();
}

pub(crate) fn a_newer_ring_is_refused_and_left_alone() {
    let place = place();
    let path = open(&place).path().to_owned();
    let newer = r#"{"format":2,"vault":"of the future"}"#;
    fs::write(&path, newer).unwrap();
    let error = now(FileKeys::open(config(&place), entropy())).unwrap_err();
    assert!(error.hint().unwrap().contains("newer version"), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
    let other = r#"{"format":1,"protection":"aws-kms","sealing":[{"id":"a","key":""}],
        "signing":[{"id":"a","algorithm":"EdDSA","thumbprint":"","key":""}]}"#;
    fs::write(&path, other).unwrap();
    let error = now(FileKeys::open(config(&place), entropy())).unwrap_err();
    assert!(error.public_message().contains("aws-kms"), "{error:?}");
}

pub(crate) fn a_ring_that_is_gone_seals_nothing() {
    let place = place();
    let keys = open(&place);
    let sealed = now(keys.wrap(&secret(), &owner())).unwrap();
    let aside = place.path().join("aside");
    fs::rename(keys.path(), &aside).unwrap();
    let error = now(keys.wrap(&secret(), &owner())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.hint().unwrap().contains("backup"), "{error:?}");
    assert_eq!(now(keys.rotate()).unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(!keys.path().exists(), "a ring was made where one was lost");
    let existing = now(FileKeys::open(config(&place).existing(), entropy())).unwrap_err();
    assert_eq!(existing.kind(), ErrorKind::Unavailable);
    assert!(!keys.path().exists(), "a ring was made where none was to be");
    fs::rename(&aside, keys.path()).unwrap();
    now(FileKeys::open(config(&place).existing(), entropy())).unwrap();
    assert_eq!(now(keys.unwrap(&sealed, &owner())).unwrap().expose(), b"canary");
}

pub(crate) fn what_a_killed_writer_left_is_cleared_by_the_next_change() {
    let place = place();
    let keys = open(&place);
    let left = place.path().join("keys/ring.json.0123456789abcdef.draft");
    let foreign = place.path().join("keys/other.json.0123456789abcdef.draft");
    fs::copy(keys.path(), &left).unwrap();
    fs::write(&foreign, "x").unwrap();
    now(keys.rotate()).unwrap();
    assert!(!left.exists() && foreign.exists());
}

pub(crate) fn no_key_is_shown() {
    let place = place();
    let keys = open(&place);
    let content = fs::read_to_string(keys.path()).unwrap();
    let value: serde_json::Value = serde_json::from_str(&content).unwrap();
    let opened = format!("{keys:?} {:?}", now(keys.signer()).unwrap());
    fs::write(keys.path(), content.get(..content.len() - 3).unwrap()).unwrap();
    let error = now(keys.current_key()).unwrap_err();
    let shown = format!("{opened} {error:?} {}", Report::new(&error));
    for list in ["sealing", "signing"] {
        let key = value[list][0]["key"].as_str().unwrap();
        assert!(key.len() == 43 && !shown.contains(key.get(..8).unwrap()), "{shown}");
    }
}

pub(crate) fn keys_from_variables_move_into_the_file_and_stay_rotated() {
    let place = place();
    let (encryption, pem) = (random_key(), rsa(0).pkcs8_pem);
    let variables = KeyVariables::of(|name| match name {
        KeyVariables::ENCRYPTION_KEY => Some(encryption.clone()),
        KeyVariables::JWT_PRIVATE_KEY => Some(pem.clone()),
        KeyVariables::JWT_KEY_ID => Some("key-2026".to_owned()),
        _ => None,
    });
    let environment = EnvironmentKeys::read(&variables, entropy()).unwrap();
    let sealed = now(environment.wrap(&secret(), &owner())).unwrap();
    let keys = open(&place);
    assert_eq!(now(keys.import(&environment)).unwrap(), 2);
    assert_eq!(now(keys.current_key()).unwrap(), *sealed.key_id());
    assert_eq!(now(keys.unwrap(&sealed, &owner())).unwrap().expose(), b"canary");
    assert_eq!(now(keys.signer()).unwrap().key_id(), "key-2026");
    let newer = now(keys.rotate()).unwrap();
    // A restart with the same variables.
    assert_eq!(now(open(&place).import(&environment)).unwrap(), 0);
    assert_eq!(now(keys.current_key()).unwrap(), newer);
    assert_eq!(now(keys.unwrap(&sealed, &owner())).unwrap().expose(), b"canary");
}
