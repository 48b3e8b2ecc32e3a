//! Every state against every wish and every observation: the decisions of a workspace.

use std::fmt::Write as _;
use std::time::Duration;

use super::*;
use crate::engine::{Decision, Stamped};
use crate::error::{Error, ErrorKind, ErrorRecord};
use crate::id::{NodeId, WorkspaceId};
use crate::node::{NodeRecord, NodeState, NodeWish};
use crate::node_link::Preparation;
use crate::policy::Policy;
use crate::store::Due;
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
    let mut record = NodeRecord::requested(id, "ann".into(), "memory".into(), NOW);
    record.state = state;
    record.wish = wish;
    record.instance = Some(instance.to_owned());
    WorkspaceObservation::Node(Ok(Some(Stamped::new(record, 3))))
}

fn observations() -> Vec<(&'static str, Option<WorkspaceObservation>)> {
    let no = || Error::new(ErrorKind::Unavailable, "no");
    let refused = ErrorRecord::new(ErrorKind::NotFound, "prepare", "no such repository");
    let prepared = |preparation| Some(WorkspaceObservation::Prepared(Ok(preparation)));
    let placed = WorkspaceObservation::Placement {
        node: NodeId::from_bits(8),
        provider: "memory".to_owned(),
    };
    vec![
        ("nothing", None),
        ("a node to take", Some(placed)),
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
        ("not ended", Some(WorkspaceObservation::Stopped(Err(no())))),
    ]
}

fn decided(record: &WorkspaceRecord, observed: Option<&WorkspaceObservation>) -> WorkspaceDecision {
    decide(record, observed, NOW, &Policy::default()).unwrap()
}

fn cell(record: &WorkspaceRecord, observation: Option<&WorkspaceObservation>) -> String {
    match decided(record, observation) {
        Decision::Rest(Due::Never) => "rest".to_owned(),
        Decision::Rest(_) => "rest a while".to_owned(),
        Decision::Look(look) => match look {
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
                WorkspaceEffect::Stop(_) => "Stop",
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
                let record = workspace(state, wish);
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
         state and its event, an effect behind `+`, a question, or rest.\n\n## Node\n\n| state | may become |\n|---|---|\n",
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
    let Decision::Write(transition) = decided(&record, None) else { panic!("it lapsed") };
    assert_eq!(transition.record.wish, WorkspaceWish::Deleted);
    assert_eq!(transition.event, "lease_lapsed");
    // While it is being deleted the lapsed lease must not make it rest for zero.
    let going = node(NodeState::Deleting, NodeWish::Gone, "one");
    let decided = decided(&transition.record, Some(&going));
    assert!(matches!(decided, Decision::Rest(Due::In(span)) if span >= Duration::from_secs(1)));
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
