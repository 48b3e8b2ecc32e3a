//! Tests.

use super::record::CredentialState as S;
use super::*;
use crate::engine::Decision;
use crate::error::{Error, ErrorKind, Result};
use crate::id::CredentialId;
use crate::policy::Policy;
use crate::store::Due;
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_micros(9_000_000);

fn credential(state: CredentialState) -> CredentialRecord {
    let secret = "t".to_owned().into();
    let new = NewCredential::new("hetzner", None, &secret).unwrap();
    let made = new.into_record(CredentialId::from_bits(7), "ann".into(), Timestamp::EPOCH);
    made.moved_to(state, Timestamp::EPOCH)
}

/// What is decided, in a word.
fn decided(state: CredentialState, observation: Option<&CredentialObservation>) -> String {
    let before = credential(state);
    let decision = decide(&before, observation, NOW, &Policy::default());
    let moved = |to: &CredentialRecord| {
        before.check_next(to).unwrap();
        to.state.code()
    };
    match decision {
        Decision::Act(Some(to), CredentialEffect::Forget) => {
            format!("{}, forget", moved(&to.record))
        }
        Decision::Act(None, CredentialEffect::Forget) => "forget".to_owned(),
        Decision::Look(CredentialLook) => "look".to_owned(),
        Decision::Rest(Due::Never) => "rest".to_owned(),
        Decision::Write(to) => format!("{} {}", moved(&to.record), to.event),
        other => format!("{other:?}"),
    }
}

#[test]
fn every_cell_is_decided_and_takes_only_legal_steps() {
    let away = || Error::new(ErrorKind::Unavailable, "away");
    let needed = |node, listed| CredentialObservation::Needed(Ok(Holdings::new(node, listed)));
    let observations = [
        ("none", None),
        ("free", Some(needed(false, false))),
        ("node", Some(needed(true, false))),
        ("listed", Some(needed(false, true))),
        ("unknown", Some(CredentialObservation::Needed(Err(away())))),
        ("forgotten", Some(CredentialObservation::Forgotten(Ok(())))),
        ("not forgotten", Some(CredentialObservation::Forgotten(Err(away())))),
    ];
    for (name, observation) in &observations {
        let (name, observation) = (*name, observation.as_ref());
        for state in [S::Active, S::Deleted] {
            assert_eq!(decided(state, observation), "rest", "{state:?} {name}");
        }
        let retiring = match name {
            "free" => "deleting, forget",
            "node" | "listed" => "active credential_needed",
            "unknown" => "retiring credential_deletion_failed",
            _ => "look",
        };
        assert_eq!(decided(S::Retiring, observation), retiring, "{name}");
        let deleting = match name {
            "forgotten" => "deleted credential_deleted",
            "not forgotten" => "deleting credential_deletion_failed",
            _ => "forget",
        };
        assert_eq!(decided(S::Deleting, observation), deleting, "{name}");
    }
}

#[test]
fn what_is_still_needed_says_why() {
    let needed = CredentialObservation::Needed(Ok(Holdings::new(true, false)));
    let decision = decide(&credential(S::Retiring), Some(&needed), NOW, &Policy::default());
    let Decision::Write(to) = decision else { panic!("it is written") };
    let error = to.record.error.unwrap();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.message.contains("nodes") && error.hint.is_some());
}

#[test]
fn names_and_tokens_are_checked_and_not_shown() {
    let made = |name: Option<&str>, token: &str| -> Result<NewCredential> {
        NewCredential::new("hetzner", name, &token.to_owned().into())
    };
    let new = made(None, "  canary\n").unwrap();
    assert_eq!((new.name.as_str(), new.secret.expose().as_str()), ("hetzner", "canary"));
    assert!(!format!("{new:?}").contains("canary"));
    made(Some("work-2"), "t").unwrap();
    let (long, large) = ("x".repeat(49), "x".repeat(65_537));
    for (name, token) in [
        (Some(""), "canary"),
        (Some("Work"), "canary"),
        (Some(long.as_str()), "canary"),
        (None, ""),
        (None, " \n"),
        (None, "canary\ncanary"),
        (None, large.as_str()),
    ] {
        let error = made(name, token).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
        assert!(!error.to_string().contains("canary"));
    }
}
