//! Every state against every observation, and the story of a name as the feed tells it.

use std::fmt::Write as _;
use std::time::Duration;

use super::*;
use crate::dns::{RecordType, RecordValue};
use crate::engine::{Decision, Transition};
use crate::error::{Effect, Error, ErrorKind};
use crate::id::WorkspaceId;
use crate::policy::Policy;
use crate::store::Due;
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

fn target() -> NameTarget {
    NameTarget::addresses(["192.0.2.1".parse().unwrap()]).unwrap()
}

fn name(state: NameState) -> NameRecord {
    let (owner, host, epoch) = ("ann".into(), "ws-1.example.com".into(), "e1".into());
    let id = WorkspaceId::from_bits(9);
    let mut name = NameRecord::requested(id, owner, host, epoch, NOW);
    name.state = state;
    if state != NameState::Requested {
        name.put_at = Some(NOW);
        name.target = target().texts();
    }
    name
}

fn observations() -> Vec<(&'static str, Option<NameObservation>)> {
    let no = || Error::new(ErrorKind::Conflict, "no");
    let lost = || Error::new(ErrorKind::Timeout, "no").with_effect(Effect::Unknown);
    vec![
        ("nothing", None),
        ("workspace wanted", Some(NameObservation::Wanted(Ok(true)))),
        ("workspace not wanted", Some(NameObservation::Wanted(Ok(false)))),
        ("store silent", Some(NameObservation::Wanted(Err(no())))),
        ("put", Some(NameObservation::Put(Ok(())))),
        ("put refused", Some(NameObservation::Put(Err(no())))),
        ("put reply lost", Some(NameObservation::Put(Err(lost())))),
        ("gone", Some(NameObservation::Deleted(Ok(())))),
        ("deletion failed", Some(NameObservation::Deleted(Err(lost())))),
    ]
}

fn decided(name: &NameRecord, observation: Option<&NameObservation>) -> NameDecision {
    at(name, observation, NOW)
}

fn at(name: &NameRecord, seen: Option<&NameObservation>, now: Timestamp) -> NameDecision {
    decide(name, seen, now, &Policy::default(), &target())
}

fn cell(name: &NameRecord, observation: Option<&NameObservation>) -> String {
    match decided(name, observation) {
        Decision::Rest(Due::Never) => "rest".to_owned(),
        Decision::Rest(_) => "rest a while".to_owned(),
        Decision::Look(look) => format!("look {look:?}"),
        Decision::Forget { .. } => "forget".to_owned(),
        Decision::Write(transition) => {
            name.check_next(&transition.record).unwrap();
            format!("{} ({})", transition.record.state.code(), transition.event)
        }
        Decision::Act(None, effect) => format!("{effect:?}"),
        Decision::Act(Some(transition), effect) => {
            name.check_next(&transition.record).unwrap();
            format!("{} + {effect:?}", transition.record.state.code())
        }
    }
}

/// The whole table as Markdown.
pub(crate) fn table() -> String {
    let mut out = String::from("\n| observed |");
    for state in NameState::ALL {
        write!(out, " {} |", state.code()).unwrap();
    }
    write!(out, "\n|---|{}\n", "---|".repeat(NameState::ALL.len())).unwrap();
    for (what, observation) in observations() {
        write!(out, "| {what} |").unwrap();
        for state in NameState::ALL {
            write!(out, " {} |", cell(&name(state), observation.as_ref())).unwrap();
        }
        out.push('\n');
    }
    out
}

fn written(decision: NameDecision) -> Transition<NameRecord> {
    match decision {
        Decision::Write(transition) | Decision::Act(Some(transition), _) => *transition,
        other => panic!("nothing is written: {other:?}"),
    }
}

#[test]
fn every_cell_is_decided_and_takes_only_legal_steps() {
    // `cell` checks each step; a cell that panics or is missing fails here.
    assert_eq!(table().matches("\n| ").count(), observations().len() + 1);
}

#[test]
fn what_may_have_been_put_is_deleted_before_the_record_says_deleted() {
    for (what, observation) in observations() {
        for state in NameState::ALL {
            let decided = decided(&name(state), observation.as_ref());
            if let Decision::Write(transition) = decided
                && transition.record.state == NameState::Deleted
            {
                let nothing_put = state == NameState::Requested && what == "workspace not wanted";
                let proven = state == NameState::Deleting && what == "gone";
                assert!(nothing_put || proven, "{state:?} on {what}");
            }
        }
    }
}

#[test]
fn nothing_is_put_for_a_workspace_that_nobody_wants() {
    for (what, observation) in observations() {
        for state in NameState::ALL {
            if let Decision::Act(_, NameEffect::Put) = decided(&name(state), observation.as_ref()) {
                assert_eq!(what, "workspace wanted", "{state:?}");
            }
        }
    }
}

#[test]
fn a_name_whose_put_was_not_answered_is_deleted_when_it_is_settled() {
    let (wanted, unwanted) =
        (NameObservation::Wanted(Ok(true)), NameObservation::Wanted(Ok(false)));
    let settles = Policy::default().name_settles_within;
    // An engine ended while it put; another one takes over.
    let left = written(decided(&name(NameState::Putting), Some(&unwanted)));
    assert_eq!((left.record.state, left.due), (NameState::Deleting, Due::In(settles)));
    // Or a reply was lost, and the next put was answered.
    let lost = Error::new(ErrorKind::Timeout, "no").with_effect(Effect::Unknown);
    let failed =
        written(decided(&name(NameState::Putting), Some(&NameObservation::Put(Err(lost)))));
    assert_eq!(failed.event, "name_put_failed");
    assert!(failed.record.put_unsettled && failed.record.error.is_some());
    let again = written(decided(&failed.record, Some(&wanted)));
    let put = written(decided(&again.record, Some(&NameObservation::Put(Ok(())))));
    assert_eq!((put.event, put.record.error.as_ref()), ("name_published", None));
    let deleting = written(decided(&put.record, Some(&unwanted)));
    assert_eq!((deleting.record.state, deleting.due), (NameState::Deleting, Due::In(settles)));
    // Woken early it waits on, and then it is deleted.
    let second = Duration::from_secs(1);
    let early = at(&deleting.record, None, NOW.plus(settles.saturating_sub(second)));
    assert!(matches!(early, Decision::Rest(Due::In(span)) if span == second));
    let late = at(&deleting.record, None, NOW.plus(settles));
    assert!(matches!(late, Decision::Act(None, NameEffect::Delete)));
}

#[test]
fn a_name_whose_put_was_answered_is_deleted_at_once() {
    let unwanted = NameObservation::Wanted(Ok(false));
    let decided = decided(&name(NameState::Published), Some(&unwanted));
    assert!(matches!(decided, Decision::Act(Some(_), NameEffect::Delete)), "{decided:?}");
}

#[test]
fn trouble_with_the_dns_is_shown_and_tried_again_for_ever() {
    let mut name = name(NameState::Putting);
    let mut now = NOW;
    for attempt in 1..=40 {
        let refused = Err(Error::new(ErrorKind::Conflict, "it belongs to somebody else"));
        let failed = written(at(&name, Some(&NameObservation::Put(refused)), now));
        assert_eq!((failed.record.attempts, failed.record.state), (attempt, NameState::Putting));
        let Due::In(pause) = failed.due else { panic!("it waits") };
        assert!(!pause.is_zero() && pause <= Policy::default().backoff_max);
        now = now.plus(pause);
        name = written(at(&failed.record, Some(&NameObservation::Wanted(Ok(true))), now)).record;
        assert!(name.error.is_some(), "it is shown until it is made good");
    }
}

#[test]
fn a_name_is_put_anew_when_the_control_plane_is_reached_elsewhere() {
    let wanted = NameObservation::Wanted(Ok(true));
    let published = name(NameState::Published);
    let every = Policy::default().name_check_every;
    let same = decided(&published, Some(&wanted));
    assert!(matches!(same, Decision::Rest(Due::In(span)) if span == every));
    let other = NameTarget::name("cp.example.org".parse().unwrap());
    let moved = decide(&published, Some(&wanted), NOW, &Policy::default(), &other);
    let Decision::Act(Some(moved), NameEffect::Put) = moved else { panic!("it moves") };
    assert_eq!(moved.record.target, ["cp.example.org"]);
    assert!(!moved.record.put_unsettled, "the put before it was answered");
}

#[test]
fn a_target_has_a_set_for_each_type_and_bounds() {
    let host = "ws-1.example.com".parse().unwrap();
    let both = NameTarget::addresses(["2001:db8::1", "192.0.2.1"].map(|a| a.parse().unwrap()));
    let sets = both.unwrap().record_sets(&host).unwrap();
    let types: Vec<_> = sets.iter().map(|set| set.key().record_type).collect();
    assert_eq!(types, [RecordType::A, RecordType::Aaaa]);
    let name = NameTarget::name("cp.example.org".parse().unwrap()).record_sets(&host).unwrap();
    let cname = RecordValue::Cname("cp.example.org".parse().unwrap());
    assert_eq!(name[0].values().collect::<Vec<_>>(), [&cname]);
    let many = |count: u8| (0..count).map(|last| [192, 0, 2, last].into());
    NameTarget::addresses(many(16)).unwrap();
    for wrong in [0, 17, 200] {
        let error = NameTarget::addresses(many(wrong)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
    }
}
