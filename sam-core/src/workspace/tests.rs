//! Every state against every wish and every observation: the decisions of a workspace.

use std::fmt::Write as _;
use std::time::Duration;

use super::*;
use crate::engine::{Decision, Stamped};
use crate::error::{Error, ErrorKind, ErrorRecord};
use crate::hold::{Hold, HoldRecord};
use crate::id::{NodeId, WorkspaceId};
use crate::node::{NodeRecord, NodeState, NodeWish};
use crate::node_link::{Activity, Preparation};
use crate::policy::Policy;
use crate::published_name::NameState;
use crate::store::{Due, Epoch, Expect, WriteOp};
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);
const WISHES: [WorkspaceWish; 3] =
    [WorkspaceWish::Running, WorkspaceWish::Stopped, WorkspaceWish::Deleted];

fn workspace(state: WorkspaceState, wish: WorkspaceWish) -> WorkspaceRecord {
    let new = NewWorkspace::new("octo/hello".parse().unwrap());
    let id = WorkspaceId::from_bits(9);
    let mut record = new.into_record(id, WorkspaceName::suggested("hello"), "ann".into(), NOW);
    record.state = state;
    record.wish = wish;
    record.instance = Some("one".into());
    if state != WorkspaceState::Requested && state != WorkspaceState::Deleted {
        record.node = Some(NodeId::from_bits(7));
    }
    record
}

fn node(state: NodeState, wish: NodeWish, instance: &str) -> WorkspaceObservation {
    let id = NodeId::from_bits(7);
    let mut record = NodeRecord::requested(id, "ann".into(), "memory".parse().unwrap(), NOW);
    record.state = state;
    record.wish = wish;
    record.instance = Some(instance.to_owned());
    WorkspaceObservation::Node(Ok(Some(Stamped::new(record, 3))))
}

fn placement() -> Placement {
    Placement {
        warm: None,
        node: NodeId::from_bits(8),
        provider: "memory".parse().unwrap(),
        credential: None,
        create_settles_within: Duration::ZERO,
        epoch: Epoch::new("e1"),
        ledger: None,
        micros_per_hour: 0,
    }
}

fn warm_placement() -> Placement {
    let id = NodeId::from_bits(7);
    let mut record = NodeRecord::requested(id, "ann".into(), "memory".parse().unwrap(), NOW);
    record.state = NodeState::Ready;
    record.unused_since = Some(NOW);
    Placement { warm: Some(Stamped::new(record, 3)), ..placement() }
}

fn observations() -> Vec<(&'static str, Option<WorkspaceObservation>)> {
    let no = || Error::new(ErrorKind::Unavailable, "no");
    let refused = ErrorRecord::new(ErrorKind::NotFound, "prepare", "no such repository");
    let prepared = |preparation| Some(WorkspaceObservation::Prepared(Ok(preparation)));
    let lost = || Error::new(ErrorKind::Unavailable, "no");
    let removed = |result| {
        let WorkspaceObservation::Node(node) = node(NodeState::Ready, NodeWish::Kept, "one") else {
            panic!("it is a node");
        };
        Some(WorkspaceObservation::Removed { result, node })
    };
    vec![
        ("nothing", None),
        ("deletion held", Some(WorkspaceObservation::Hold(Hold::Held))),
        ("no hold", Some(WorkspaceObservation::Hold(Hold::Clear { version: None }))),
        ("a node to buy", Some(WorkspaceObservation::Placement(Ok(Box::new(placement()))))),
        ("a warm node", Some(WorkspaceObservation::Placement(Ok(Box::new(warm_placement()))))),
        ("no place found", Some(WorkspaceObservation::Placement(Err(no())))),
        ("node absent", Some(WorkspaceObservation::Node(Ok(None)))),
        ("store silent", Some(WorkspaceObservation::Node(Err(no())))),
        ("node booting", Some(node(NodeState::Booting, NodeWish::Kept, "one"))),
        ("node ready", Some(node(NodeState::Ready, NodeWish::Kept, "one"))),
        ("node ready anew", Some(node(NodeState::Ready, NodeWish::Kept, "two"))),
        ("node unreachable", Some(node(NodeState::Unreachable, NodeWish::Kept, "one"))),
        ("node failed", Some(node(NodeState::Failed, NodeWish::Kept, "one"))),
        ("node lost", Some(node(NodeState::Lost, NodeWish::Kept, "one"))),
        ("node going", Some(node(NodeState::Deleting, NodeWish::Gone, "one"))),
        ("node deleted", Some(node(NodeState::Deleted, NodeWish::Gone, "one"))),
        ("prepared", prepared(Preparation::Ready { commit: None, branch: None })),
        ("preparing", prepared(Preparation::InProgress { step: "cloning".to_owned() })),
        ("cannot be prepared", prepared(Preparation::Failed { error: refused })),
        ("agent silent", Some(WorkspaceObservation::Prepared(Err(no())))),
        ("ended", Some(WorkspaceObservation::Stopped(Ok(())))),
        ("removed", removed(Ok(()))),
        ("not removed", removed(Err(lost()))),
        ("not ended", Some(WorkspaceObservation::Stopped(Err(no())))),
        ("in use", idle(IdleObservation::Activity(Ok(quiet(0))))),
        ("idle", idle(IdleObservation::Activity(Ok(quiet(3_600))))),
        ("idle and just warned", idle(IdleObservation::Activity(Ok(warned(3_600, 0))))),
        ("idle and warned in time", idle(IdleObservation::Activity(Ok(warned(4_000, 300))))),
        ("use not known", idle(IdleObservation::Activity(Err(no())))),
        ("in use after all", idle(IdleObservation::InUse)),
        ("told", idle(IdleObservation::Warned(Ok(())))),
        ("not told", idle(IdleObservation::Warned(Err(no())))),
    ]
}

fn quiet(seconds: u64) -> Activity {
    Activity::quiet(Duration::from_secs(seconds))
}

fn warned(seconds: u64, ago: u64) -> Activity {
    quiet(seconds).with_warned_for(Some(Duration::from_secs(ago)))
}

#[expect(clippy::unnecessary_wraps, reason = "a cell of the table may also have none")]
fn idle(observed: IdleObservation) -> Option<WorkspaceObservation> {
    Some(WorkspaceObservation::Idle(observed))
}

fn decided(record: &WorkspaceRecord, observed: Option<&WorkspaceObservation>) -> WorkspaceDecision {
    decide(record, observed, NOW, &Policy::default()).unwrap()
}

fn cell(record: &WorkspaceRecord, observation: Option<&WorkspaceObservation>) -> String {
    match decided(record, observation) {
        Decision::Rest(Due::Never) => "rest".to_owned(),
        Decision::Rest(_) => "rest a while".to_owned(),
        Decision::Look(look) => match look {
            WorkspaceLook::Activity(_) => "look at activity".to_owned(),
            WorkspaceLook::Hold => "look at hold".to_owned(),
            WorkspaceLook::Node(_) => "look at node".to_owned(),
            WorkspaceLook::Placement => "look for node".to_owned(),
        },
        Decision::Forget { .. } => "forget".to_owned(),
        Decision::Write(transition) => {
            record.check_next(&transition.record).unwrap();
            format!("{} ({})", transition.record.state.code(), transition.event)
        }
        Decision::Act(transition, effect) => {
            let effect = match effect {
                WorkspaceEffect::Prepare(_) => "Prepare",
                WorkspaceEffect::Remove(_) => "Remove",
                WorkspaceEffect::Stop(_) => "Stop",
                WorkspaceEffect::Warn(_) => "Warn",
            };
            match transition {
                None => effect.to_owned(),
                Some(transition) => {
                    record.check_next(&transition.record).unwrap();
                    format!("{} + {effect}", transition.record.state.code())
                }
            }
        }
    }
}

/// The whole table as Markdown.
fn table() -> String {
    let mut out = String::new();
    for wish in WISHES {
        write!(out, "\n### A workspace that shall be {wish:?}\n\n| observed |").unwrap();
        for state in WorkspaceState::ALL {
            write!(out, " {} |", state.code()).unwrap();
        }
        write!(out, "\n|---|{}\n", "---|".repeat(WorkspaceState::ALL.len())).unwrap();
        for (name, observation) in observations() {
            write!(out, "| {name} |").unwrap();
            for state in WorkspaceState::ALL {
                let mut record = workspace(state, wish);
                record.idle_stop = IdleStop::After { span: Duration::from_hours(1) };
                write!(out, " {} |", cell(&record, observation.as_ref())).unwrap();
            }
            out.push('\n');
        }
    }
    out
}

fn document() -> String {
    let mut out = String::from(
        "# State machines\n\nGenerated by `cargo test -p sam-core state_machines` from the code \
         itself: every state against every observation. A cell says what is decided: the next \
         state and its event, an effect behind `+`, a question, or rest. The idle rule of these \
         workspaces is an hour.\n\n## Node\n\n| state | may become |\n|---|---|\n",
    );
    for state in NodeState::ALL {
        let next: Vec<_> = state.next().iter().map(|next| next.code()).collect();
        writeln!(out, "| {} | {} |", state.code(), next.join(", ")).unwrap();
    }
    out.push_str(&crate::node::tests::table());
    out.push_str("\n## Workspace\n\n| state | may become |\n|---|---|\n");
    for state in WorkspaceState::ALL {
        let next: Vec<_> = state.next().iter().map(|next| next.code()).collect();
        writeln!(out, "| {} | {} |", state.code(), next.join(", ")).unwrap();
    }
    out.push_str(&table());
    out.push_str("\n## Published name\n\n| state | may become |\n|---|---|\n");
    for state in NameState::ALL {
        let next: Vec<_> = state.next().iter().map(|next| next.code()).collect();
        writeln!(out, "| {} | {} |", state.code(), next.join(", ")).unwrap();
    }
    out.push_str(&crate::published_name::tests::table());
    out
}

#[test]
fn state_machines_are_documented_as_they_are() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/state-machines.md");
    let document = document();
    let Ok(known) = std::fs::read_to_string(path) else {
        // The packaged crate has no docs folder; in the repository the file is there.
        if std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs")).exists() {
            std::fs::write(path, &document).unwrap();
            panic!("docs/state-machines.md was missing and is written now: commit it");
        }
        return;
    };
    if known != document {
        std::fs::write(path, &document).unwrap();
        panic!("docs/state-machines.md was outdated and is written anew: commit it");
    }
}

#[test]
fn a_wish_to_delete_comes_before_everything() {
    for state in WorkspaceState::ALL {
        for (name, observation) in observations() {
            let record = workspace(state, WorkspaceWish::Deleted);
            let decided = decided(&record, observation.as_ref());
            match state {
                WorkspaceState::Deleting | WorkspaceState::Deleted => {}
                _ => assert!(
                    matches!(&decided, Decision::Write(t) if t.record.state == WorkspaceState::Deleting),
                    "{state:?} on {name}: {decided:?}"
                ),
            }
        }
    }
}

#[test]
fn a_workspace_is_deleted_only_after_its_node() {
    for (name, observation) in observations() {
        let record = workspace(WorkspaceState::Deleting, WorkspaceWish::Deleted);
        if let Decision::Write(transition) = decided(&record, observation.as_ref())
            && transition.record.state == WorkspaceState::Deleted
        {
            assert!(["node absent", "node deleted"].contains(&name), "{name}");
        }
    }
}

#[test]
fn a_lapsed_lease_is_a_wish_to_delete() {
    let mut record = workspace(WorkspaceState::Running, WorkspaceWish::Running);
    record.lifetime = Lifetime::Leased { until: NOW.plus(Duration::from_secs(9)) };
    let calm = node(NodeState::Ready, NodeWish::Kept, "one");
    assert!(matches!(
        decided(&record, Some(&calm)),
        Decision::Rest(Due::In(span)) if span == Duration::from_secs(9)
    ));
    record.lifetime = Lifetime::Leased { until: NOW };
    assert!(matches!(decided(&record, None), Decision::Look(WorkspaceLook::Hold)));
    let clear = WorkspaceObservation::Hold(Hold::Clear { version: Some(2) });
    let Decision::Write(transition) = decided(&record, Some(&clear)) else { panic!("it lapsed") };
    assert_eq!(transition.checks, [(HoldRecord::the_key(), Expect::Version(2))]);
    assert_eq!(transition.record.wish, WorkspaceWish::Deleted);
    assert_eq!(transition.event, "lease_lapsed");
    // While it is being deleted the lapsed lease must not make it rest for zero.
    let going = node(NodeState::Deleting, NodeWish::Gone, "one");
    let decided = decided(&transition.record, Some(&going));
    assert!(matches!(decided, Decision::Rest(Due::In(span)) if span >= Duration::from_secs(1)));
}

#[test]
fn a_held_end_of_life_lets_the_workspace_go_on() {
    let mut record = workspace(WorkspaceState::Running, WorkspaceWish::Stopped);
    record.lifetime = Lifetime::Leased { until: NOW };
    let held = WorkspaceObservation::Hold(Hold::Held);
    let Decision::Act(Some(transition), _) = decided(&record, Some(&held)) else {
        panic!("its owner's wish counts");
    };
    assert_eq!(transition.record.state, WorkspaceState::Stopping);
    record.wish = WorkspaceWish::Running;
    assert!(matches!(decided(&record, Some(&held)), Decision::Look(WorkspaceLook::Node(_))));
    let calm = node(NodeState::Ready, NodeWish::Kept, "one");
    let poll = Policy::default().hold_poll;
    assert!(matches!(decided(&record, Some(&calm)), Decision::Rest(Due::In(span)) if span == poll));
}

#[test]
fn a_node_that_is_away_for_long_interrupts_and_brings_back() {
    let policy = Policy::default();
    let record = workspace(WorkspaceState::Running, WorkspaceWish::Running);
    let away = node(NodeState::Unreachable, NodeWish::Kept, "one");
    let left = Duration::from_mins(3);
    let soon = NOW.plus(policy.unreachable_patience.saturating_sub(left));
    let decided = decide(&record, Some(&away), soon, &policy).unwrap();
    assert!(matches!(decided, Decision::Rest(Due::In(span)) if span == left));
    let late = NOW.plus(policy.unreachable_patience);
    let Decision::Write(transition) = decide(&record, Some(&away), late, &policy).unwrap() else {
        panic!("it is away for long");
    };
    assert_eq!(transition.record.state, WorkspaceState::Interrupted);
    let back = node(NodeState::Ready, NodeWish::Kept, "one");
    let again = decide(&transition.record, Some(&back), late, &policy).unwrap();
    let Decision::Act(Some(again), WorkspaceEffect::Prepare(_)) = again else {
        panic!("it is back")
    };
    assert_eq!(again.record.state, WorkspaceState::Starting);
}

#[test]
fn a_warm_node_is_taken_by_one_and_handed_back_clean() {
    let policy = Policy { keep_warm: Duration::from_mins(10), ..Policy::default() };
    let mut record = workspace(WorkspaceState::Placing, WorkspaceWish::Running);
    record.node = None;
    let found = WorkspaceObservation::Placement(Ok(Box::new(warm_placement())));
    let Decision::Write(taking) = decide(&record, Some(&found), NOW, &policy).unwrap() else {
        panic!("it takes the node");
    };
    let write = taking.also.first().unwrap();
    assert_eq!((write.expect, write.event), (Expect::Version(3), "node_reused"));

    let mut record = workspace(WorkspaceState::Deleting, WorkspaceWish::Deleted);
    let mut used = warm_placement().warm.unwrap();
    used.record = used.record.taken_by(record.id);
    let found = WorkspaceObservation::Node(Ok(Some(used.clone())));
    let cleaning = decide(&record, Some(&found), NOW, &policy).unwrap();
    assert!(matches!(cleaning, Decision::Act(None, WorkspaceEffect::Remove(_))));
    let removed = |result| WorkspaceObservation::Removed { result, node: Ok(Some(used.clone())) };
    let Decision::Write(done) = decide(&record, Some(&removed(Ok(()))), NOW, &policy).unwrap()
    else {
        panic!("it hands the node back");
    };
    assert_eq!((done.record.state, done.record.node), (WorkspaceState::Deleted, None));
    assert_eq!(done.also.first().unwrap().event, "node_kept_warm");
    // A node that cannot be made clean is nobody's next one.
    let dirty = removed(Err(Error::new(ErrorKind::Unavailable, "no")));
    let Decision::Write(given_up) = decide(&record, Some(&dirty), NOW, &policy).unwrap() else {
        panic!("it gives the node up");
    };
    assert_eq!(given_up.also.first().unwrap().event, "node_given_up");
    // One that a person had deleted meanwhile is looked at again, and not written.
    used.record = used.record.wished(NodeWish::Gone).moved_to(NodeState::Deleted, NOW);
    let result = Err(Error::new(ErrorKind::NotFound, "the node is gone"));
    let gone = WorkspaceObservation::Removed { result, node: Ok(Some(used.clone())) };
    let looking = decide(&record, Some(&gone), NOW, &policy).unwrap();
    assert!(matches!(looking, Decision::Look(_)), "{looking:?}");
    // A failed one leaves it, and nobody else gets it.
    (record.state, record.wish) = (WorkspaceState::Failed, WorkspaceWish::Running);
    let Decision::Write(left) = decide(&record, Some(&found), NOW, &policy).unwrap() else {
        panic!("it leaves the node");
    };
    let WriteOp::Put { body, .. } = &left.also.first().unwrap().op else { panic!("it is written") };
    assert!(body.contains("\"retired\":true"), "{body}");
}

#[test]
fn a_cap_that_is_reached_fails_the_workspace_and_says_so() {
    use crate::spend::{SpendCap, SpendRecord};
    let cap = SpendCap::default().with_nodes(Some(1));
    let policy = Policy { spend: cap, ..Policy::default() };
    let mut record = workspace(WorkspaceState::Placing, WorkspaceWish::Running);
    record.node = None;
    let placed = |ledger, version| {
        let ledger = Some(Stamped::new(ledger, version));
        let found =
            WorkspaceObservation::Placement(Ok(Box::new(Placement { ledger, ..placement() })));
        let Decision::Write(transition) = decide(&record, Some(&found), NOW, &policy).unwrap()
        else {
            panic!("it is decided");
        };
        transition
    };
    let empty = SpendRecord::opened("ann".into(), [], NOW);
    let first = placed(empty.clone(), 0);
    let ledger = first.also.last().unwrap();
    assert_eq!((first.also.len(), ledger.expect), (2, Expect::Absent));
    let spending = crate::spend::Spending::new(0, NOW);
    let full = empty.admitting(NodeId::from_bits(1), spending, &cap).unwrap();
    let refused = placed(full, 5);
    assert_eq!(refused.record.state, WorkspaceState::Failed);
    assert_eq!(refused.record.error.unwrap().kind, ErrorKind::QuotaExceeded);
    assert!(refused.also.is_empty());
}

#[test]
fn wishes_are_refused_where_they_make_no_sense() {
    use WorkspaceState as S;
    use WorkspaceWish as W;
    let kind =
        |state, held, wish| workspace(state, held).wished(wish).map_err(|error| error.kind());
    let conflict = Err(ErrorKind::Conflict);
    assert_eq!(kind(S::Failed, W::Running, W::Stopped), conflict);
    assert_eq!(kind(S::Deleted, W::Deleted, W::Running), conflict);
    assert_eq!(kind(S::Running, W::Deleted, W::Running), conflict);
    assert_eq!(kind(S::Running, W::Running, W::Running), Ok(None));
    assert!(kind(S::Failed, W::Running, W::Deleted).unwrap().is_some());
    assert_eq!(kind(S::Deleted, W::Deleted, W::Deleted), Ok(None));
}

/// A running workspace with the idle rule, a minute warned or not.
fn idle_workspace(is_warned: bool) -> WorkspaceRecord {
    let mut record = workspace(WorkspaceState::Running, WorkspaceWish::Running);
    record.idle_stop = IdleStop::After { span: Duration::from_hours(1) };
    record.idle_warned_at = is_warned.then_some(NOW);
    record
}

#[test]
fn an_idle_workspace_is_warned_then_stopped_and_started_again() {
    let ready = node(NodeState::Ready, NodeWish::Kept, "one");
    let record = idle_workspace(false);
    let look = decided(&record, Some(&ready));
    assert!(matches!(look, Decision::Look(WorkspaceLook::Activity(_))), "{look:?}");

    let seen = idle(IdleObservation::Activity(Ok(quiet(3_600))));
    let Decision::Act(Some(transition), WorkspaceEffect::Warn(_)) = decided(&record, seen.as_ref())
    else {
        panic!("people are warned first")
    };
    assert_eq!((transition.event, transition.record.idle_warned_at), ("idle_warned", Some(NOW)));
    assert_eq!(transition.record.wish, WorkspaceWish::Running);

    let seen = idle(IdleObservation::Activity(Ok(warned(3_900, 300))));
    let Decision::Write(transition) = decided(&transition.record, seen.as_ref()) else {
        panic!("the warning had its time")
    };
    let stopped = transition.record;
    assert_eq!((transition.event, stopped.wish), ("idle_stopped", WorkspaceWish::Stopped));
    assert_eq!(stopped.stopped_by, Some(StoppedBy::Idle));
    assert!(matches!(decided(&stopped, None), Decision::Act(Some(_), WorkspaceEffect::Stop(_))));

    // Somebody comes back before anything is ended.
    let stopping = stopped.moved_to(WorkspaceState::Stopping, NOW);
    let Decision::Write(transition) = decided(&stopping, idle(IdleObservation::InUse).as_ref())
    else {
        panic!("it runs on")
    };
    let back = transition.record;
    assert_eq!((back.state, back.wish), (WorkspaceState::Running, WorkspaceWish::Running));
    assert_eq!(back.stopped_by, None);

    // The owner's own word outranks the rule's.
    let owners = stopped.wished(WorkspaceWish::Stopped).unwrap().unwrap();
    assert_eq!((owners.wish, owners.stopped_by), (WorkspaceWish::Stopped, None));
    let started = stopped.wished(WorkspaceWish::Running).unwrap().unwrap();
    assert_eq!(started.stopped_by, None);
}

#[test]
fn what_counts_after_the_warning_withdraws_it() {
    let record = idle_workspace(true);
    let seen = idle(IdleObservation::Activity(Ok(quiet(5))));
    let Decision::Write(transition) = decided(&record, seen.as_ref()) else { panic!("withdrawn") };
    assert_eq!(transition.event, "idle_warning_withdrawn");
    assert_eq!(transition.record.idle_warned_at, None);
    assert_eq!(transition.due, Due::In(Duration::from_secs(3_595)));
    // What is not known withdraws nothing and stops nothing.
    let unknown = idle(IdleObservation::Activity(Err(Error::new(ErrorKind::Timeout, "late"))));
    assert!(matches!(decided(&record, unknown.as_ref()), Decision::Rest(Due::In(_))));
    // Another state ends it.
    assert_eq!(record.moved_to(WorkspaceState::Interrupted, NOW).idle_warned_at, None);
}

#[test]
fn a_wall_clock_that_jumps_makes_no_workspace_idle() {
    let clocks = [NOW, Timestamp::EPOCH, NOW.plus(Duration::from_hours(24 * 365))];
    for observed in [quiet(10), quiet(3_000), warned(3_700, 100)] {
        let seen = idle(IdleObservation::Activity(Ok(observed.clone())));
        let record = idle_workspace(observed.warned_for.is_some());
        for now in clocks {
            let decided = decide(&record, seen.as_ref(), now, &Policy::default()).unwrap();
            assert!(matches!(decided, Decision::Rest(Due::In(_))), "{now}: {decided:?}");
        }
    }
}

#[test]
fn without_the_idle_rule_a_workspace_is_not_asked() {
    let ready = node(NodeState::Ready, NodeWish::Kept, "one");
    for idle_stop in [IdleStop::Default, IdleStop::Never] {
        let record = WorkspaceRecord { idle_stop, ..idle_workspace(false) };
        assert!(matches!(decided(&record, Some(&ready)), Decision::Rest(Due::Never)));
    }
    let on = Policy { idle_stop_after: Some(Duration::from_hours(1)), ..Policy::default() };
    let asked = |idle_stop| {
        let record = WorkspaceRecord { idle_stop, ..idle_workspace(false) };
        matches!(decide(&record, Some(&ready), NOW, &on).unwrap(), Decision::Look(_))
    };
    assert!(asked(IdleStop::Default) && !asked(IdleStop::Never));
}
