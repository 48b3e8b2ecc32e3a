//! Every state against every wish and every observation: the decisions of a node, cell by cell.

use std::fmt::Write as _;
use std::time::Duration;

use super::*;
use crate::boot::{BootPhase, BootProgress, BootReport, PhaseState};
use crate::compute::{Deletion, Machine, MachineKey, Power};
use crate::engine::Decision;
use crate::error::{Effect, Error, ErrorKind};
use crate::hold::Hold;
use crate::id::{NodeId, WorkspaceId};
use crate::node_link::Readiness;
use crate::policy::Policy;
use crate::store::Due;
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

fn node(state: NodeState, wish: NodeWish) -> NodeRecord {
    let id = NodeId::from_bits(7);
    let mut node = NodeRecord::requested(id, "ann".into(), "memory".parse().unwrap(), NOW);
    node.state = state;
    node.wish = wish;
    node.instance = Some("one".into());
    node.workspaces.insert(WorkspaceId::from_bits(9));
    if state != NodeState::Requested {
        node.create_at = Some(NOW);
    }
    node
}

fn machine(power: Power) -> Machine {
    Machine::new(
        MachineKey::of(NodeId::from_bits(7)),
        "m1".into(),
        crate::compute::Labels::default(),
    )
    .with_power(power)
}

fn observations() -> Vec<(&'static str, Option<NodeObservation>)> {
    let no = |kind| Error::new(kind, "no");
    let lost = || no(ErrorKind::Timeout).with_effect(Effect::Unknown);
    let ready = |instance: &str| Readiness::new(instance.to_owned(), "1".into());
    let survey = |readiness, machine| NodeObservation::Survey { readiness, machine };
    vec![
        ("nothing", None),
        ("created", Some(NodeObservation::Created(Ok(machine(Power::On))))),
        ("create refused for good", Some(NodeObservation::Created(Err(no(ErrorKind::BadInput))))),
        ("create reply lost", Some(NodeObservation::Created(Err(lost())))),
        ("gone", Some(NodeObservation::Deleted(Ok(Deletion::Gone)))),
        ("deletion in progress", Some(NodeObservation::Deleted(Ok(Deletion::InProgress)))),
        ("deletion failed", Some(NodeObservation::Deleted(Err(lost())))),
        ("drained", Some(NodeObservation::Drained(Ok(())))),
        ("deletion held", Some(NodeObservation::Hold(Hold::Held))),
        ("no hold", Some(NodeObservation::Hold(Hold::Clear { version: None }))),
        ("powered", Some(NodeObservation::Powered(Ok(())))),
        ("agent answers", Some(NodeObservation::Readiness(Ok(Some(ready("one")))))),
        ("agent answers anew", Some(NodeObservation::Readiness(Ok(Some(ready("two")))))),
        ("no agent", Some(NodeObservation::Readiness(Ok(None)))),
        ("agent back", Some(survey(Ok(Some(ready("two"))), Ok(Some(machine(Power::On)))))),
        ("machine there", Some(survey(Ok(None), Ok(Some(machine(Power::On)))))),
        ("machine off", Some(survey(Ok(None), Ok(Some(machine(Power::Off)))))),
        ("machine absent", Some(survey(Ok(None), Ok(None)))),
        ("provider silent", Some(survey(Ok(None), Err(lost())))),
    ]
}

/// One cell: what is decided, in a few words.
fn cell(node: &NodeRecord, observation: Option<&NodeObservation>) -> String {
    match decide(node, observation, NOW, &Policy::default()) {
        Decision::Rest(Due::Never) => "rest".to_owned(),
        Decision::Rest(_) => "rest a while".to_owned(),
        Decision::Look(look) => format!("look {look:?}"),
        Decision::Forget { .. } => "forget".to_owned(),
        Decision::Write(transition) => {
            node.check_next(&transition.record).unwrap();
            format!("{} ({})", transition.record.state.code(), transition.event)
        }
        Decision::Act(None, effect) => format!("{effect:?}"),
        Decision::Act(Some(transition), effect) => {
            node.check_next(&transition.record).unwrap();
            format!("{} + {effect:?}", transition.record.state.code())
        }
    }
}

/// The whole table as Markdown.
pub(crate) fn table() -> String {
    let mut out = String::new();
    for wish in [NodeWish::Kept, NodeWish::Gone] {
        write!(out, "\n### A node that shall be {wish:?}\n\n| observed |").unwrap();
        for state in NodeState::ALL {
            write!(out, " {} |", state.code()).unwrap();
        }
        write!(out, "\n|---|{}\n", "---|".repeat(NodeState::ALL.len())).unwrap();
        for (name, observation) in observations() {
            write!(out, "| {name} |").unwrap();
            for state in NodeState::ALL {
                write!(out, " {} |", cell(&node(state, wish), observation.as_ref())).unwrap();
            }
            out.push('\n');
        }
    }
    out
}

#[test]
fn every_cell_is_decided_and_takes_only_legal_steps() {
    // `cell` checks each step; a cell that panics or is missing fails here.
    assert_eq!(table().matches("\n| ").count(), 2 * (observations().len() + 1));
}

#[test]
fn what_may_have_been_bought_is_deleted_before_the_record_says_deleted() {
    for (name, observation) in observations() {
        for state in NodeState::ALL {
            let node = node(state, NodeWish::Gone);
            let decided = decide(&node, observation.as_ref(), NOW, &Policy::default());
            if let Decision::Write(transition) = decided
                && transition.record.state == NodeState::Deleted
            {
                let nothing_bought = state == NodeState::Requested;
                let proven = state == NodeState::Deleting && name == "gone";
                assert!(nothing_bought || proven, "{state:?} on {name}");
            }
        }
    }
}

#[test]
fn a_lost_create_is_waited_for_before_the_machine_is_called_gone() {
    let policy = Policy { create_settles_within: Duration::from_mins(2), ..Policy::default() };
    let mut node = node(NodeState::Deleting, NodeWish::Gone);
    node.create_unsettled = true;
    let gone = NodeObservation::Deleted(Ok(Deletion::Gone));
    let decided = decide(&node, Some(&gone), NOW, &policy);
    assert!(
        matches!(decided, Decision::Rest(Due::In(span)) if span == policy.create_settles_within)
    );
    let later = NOW.plus(policy.create_settles_within);
    let Decision::Write(transition) = decide(&node, Some(&gone), later, &policy) else {
        panic!("it is settled");
    };
    assert_eq!(transition.record.state, NodeState::Deleted);
}

#[test]
fn a_node_that_never_calls_fails_after_the_deadline_and_wakes_its_workspaces() {
    let policy = Policy::default();
    let node = node(NodeState::Booting, NodeWish::Kept);
    let late = NOW.plus(policy.provision_deadline);
    let silent = NodeObservation::Survey { readiness: Ok(None), machine: Ok(None) };
    let Decision::Write(transition) = decide(&node, Some(&silent), late, &policy) else {
        panic!("it is late");
    };
    assert_eq!(transition.record.state, NodeState::Failed);
    assert_eq!(transition.record.error.unwrap().kind, ErrorKind::Timeout);
    assert_eq!(
        transition.wakes,
        [crate::workspace::WorkspaceRecord::key_of(WorkspaceId::from_bits(9))]
    );
}

#[test]
fn a_deadline_names_the_phase_it_ended_in() {
    let policy = Policy::default();
    let late = NOW.plus(policy.provision_deadline);
    let mut node = node(NodeState::Booting, NodeWish::Kept);
    for (key, phase) in [(None, "has not called"), (Some("key"), "opened no link")] {
        node.public_key = key.map(str::to_owned);
        let Decision::Write(transition) = decide(&node, None, late, &policy) else {
            panic!("it is late");
        };
        let error = transition.record.error.unwrap();
        assert!(error.message.contains(phase), "{}", error.message);
    }
}

/// What becomes of a node that no workspace uses: state, minutes unused, what is known of the hold,
/// and the decision under a policy that keeps nodes warm for ten minutes.
#[test]
fn an_unused_node_goes_when_it_was_kept_long_enough_and_nothing_is_held() {
    use NodeState as S;
    let clear = || Some(NodeObservation::Hold(Hold::Clear { version: Some(4) }));
    let held = || Some(NodeObservation::Hold(Hold::Held));
    let policy = Policy { keep_warm: Duration::from_mins(10), ..Policy::default() };
    let cases = [
        (S::Ready, 9, false, None, "look Readiness"),
        (S::Ready, 10, false, None, "look Hold"),
        (S::Ready, 10, false, clear(), "unused_node_given_up"),
        (S::Ready, 10, false, held(), "rest"),
        (S::Ready, 0, true, None, "look Hold"),
        (S::Ready, 0, true, clear(), "unused_node_given_up"),
        (S::Unreachable, 9, false, None, "look Survey"),
        (S::Unreachable, 10, false, clear(), "unused_node_given_up"),
        (S::Lost, 0, false, clear(), "unused_node_given_up"),
        (S::Failed, 0, true, clear(), "unused_node_given_up"),
        (S::Failed, 0, true, held(), "rest"),
        (S::Recovered, 99, false, clear(), "rest"),
        (S::Deleted, 99, false, clear(), "rest"),
    ];
    for (state, minutes, retired, observed, expected) in cases {
        let mut node = node(state, NodeWish::Kept);
        node.workspaces.clear();
        node.unused_since = Some(NOW);
        node.retired = retired;
        let now = NOW.plus(Duration::from_mins(minutes));
        let decided = match decide(&node, observed.as_ref(), now, &policy) {
            Decision::Look(look) => format!("look {look:?}"),
            Decision::Rest(_) => "rest".to_owned(),
            Decision::Write(transition) => {
                let key = crate::hold::HoldRecord::the_key();
                let version = crate::store::Expect::Version(4);
                assert_eq!(transition.checks, [(key, version)]);
                transition.event.to_owned()
            }
            other => format!("{other:?}"),
        };
        assert_eq!(decided, expected, "{state:?} after {minutes} min, retired: {retired}");
    }
}

#[test]
fn an_identity_is_given_once_and_given_again_to_the_same_key() {
    let mut node = node(NodeState::Booting, NodeWish::Kept);
    let next = node.identified("key").unwrap().unwrap();
    assert_eq!(next.public_key.as_deref(), Some("key"));
    node.public_key = Some("key".into());
    assert_eq!(node.identified("key").unwrap(), None);
    assert_eq!(node.identified("other").unwrap_err().kind(), ErrorKind::Denied);
    node.public_key = None;
    node.state = NodeState::Deleting;
    assert_eq!(node.identified("key").unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn pauses_double_up_to_the_bound() {
    let policy = Policy::default();
    assert_eq!(policy.backoff(1), Duration::from_secs(1));
    assert_eq!(policy.backoff(3), Duration::from_secs(4));
    assert_eq!(policy.backoff(u32::MAX), policy.backoff_max);
}

/// What is reported, one after the other, and what is told of it then.
#[test]
fn boot_reports_only_lead_further_and_end_with_the_start() {
    use BootPhase as P;
    use PhaseState as S;
    let id = NodeId::from_bits(7);
    let mut booting = node(NodeState::Booting, NodeWish::Kept);
    let known = [
        (P::Start, S::Started, Some("starting the machine")),
        (P::Start, S::Done, Some("starting the machine (done)")),
        (P::Start, S::Started, None),
        (P::Docker, S::Started, Some("installing docker")),
        (P::Docker, S::Started, None),
        (P::Swap, S::Failed, None),
        (P::Docker, S::Failed, Some("installing docker (failed: no space left)")),
        (P::AgentStart, S::Done, None),
    ];
    for (phase, state, told) in known {
        let report = BootReport::new(id, phase, state).with_message("no space left");
        let next = booting.boot_reported(&report, NOW).unwrap();
        assert_eq!(next.as_ref().map(|next| next.boot_phase().into_owned()).as_deref(), told);
        booting = next.unwrap_or(booting);
    }
    let report = BootReport::new(id, P::AgentStart, S::Failed);
    for state in NodeState::ALL {
        let outcome = node(state, NodeWish::Kept).boot_reported(&report, NOW);
        match state {
            NodeState::Creating | NodeState::Booting => assert!(outcome.unwrap().is_some()),
            NodeState::Ready | NodeState::Unreachable => assert_eq!(outcome.unwrap(), None),
            _ => assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Conflict, "{state:?}"),
        }
    }
}

#[test]
fn a_boot_that_failed_is_not_waited_for_and_the_error_says_where() {
    let report =
        BootReport::new(NodeId::from_bits(7), BootPhase::AgentDownload, PhaseState::Failed)
            .with_message("the checksum differs");
    for (wish, expected) in
        [(NodeWish::Kept, NodeState::Failed), (NodeWish::Gone, NodeState::Deleting)]
    {
        let mut node = node(NodeState::Booting, wish);
        node.boot = Some(BootProgress::heard(&report, NOW));
        let next = match decide(&node, None, NOW, &Policy::default()) {
            Decision::Write(transition) | Decision::Act(Some(transition), _) => transition,
            other => panic!("{other:?}"),
        };
        assert_eq!(next.record.state, expected);
        if expected == NodeState::Failed {
            let error = next.record.error.unwrap();
            let told = "downloading the agent (failed: the checksum differs)";
            assert!(error.message.ends_with(told), "{}", error.message);
            assert_eq!(
                next.wakes,
                [crate::workspace::WorkspaceRecord::key_of(WorkspaceId::from_bits(9))]
            );
        }
    }
}
