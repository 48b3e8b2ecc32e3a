//! The rule, case by case and over everything that labels and records can say.

use super::*;
use crate::compute::{Labels, MachineKey, OwnedResource};
use crate::dns::OwnedNames;
use crate::id::{NodeId, WorkspaceId};
use crate::node::{NodeRecord, NodeState};
use crate::published_name::{NameRecord, NameState};
use crate::store::Epoch;
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);
const OURS: &str = "home";

fn id() -> NodeId {
    NodeId::from_bits(7)
}

fn labels(installation: Option<&str>, epoch: &str, node: Option<&str>, owner: &str) -> Labels {
    let named = [
        (Labels::INSTALLATION, installation),
        (Labels::EPOCH, Some(epoch)),
        (Labels::NODE, node),
        (Labels::OWNER, Some(owner)),
    ];
    let known = named.into_iter().filter_map(|(name, value)| Some((name, value?)));
    known.fold(Labels::default(), |labels, (name, value)| labels.with(name, value).unwrap())
}

fn machine(labels: Labels) -> OwnedResource {
    let key = MachineKey::of(id()).to_string();
    OwnedResource::new(OwnedResource::MACHINE, "m2".into(), labels).with_key(key)
}

fn node(state: NodeState, machine: Option<&str>) -> NodeRecord {
    let mut node = NodeRecord::requested(id(), "ann".into(), "memory".parse().unwrap(), NOW);
    node.state = state;
    node.provider_id = machine.map(str::to_owned);
    node
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn a_thing_is_deleted_only_on_proof() {
    use Reason::{Duplicate, NodeDeleted, OtherEpoch, Unclear};
    let right = || labels(Some(OURS), "e1", Some(&id().to_string()), "ann");
    let other_epoch = || labels(Some(OURS), "e0", Some(&id().to_string()), "ann");
    let volume = |labels| OwnedResource::new(OwnedResource::VOLUME, "v1".into(), labels);
    let deleted = || Some(node(NodeState::Deleted, Some("m2")));
    let ready = |machine| Some(node(NodeState::Ready, Some(machine)));
    let strange = |installation| labels(installation, "e1", Some(&id().to_string()), "ann");
    // What is listed, the node's record, whether its own machine is listed, whose the thing is.
    let cases = [
        (
            "another installation's",
            machine(strange(Some("work"))),
            deleted(),
            true,
            Standing::Strange,
        ),
        ("a stranger's", machine(strange(None)), deleted(), true, Standing::Strange),
        ("ours and used", machine(right()), ready("m2"), true, Standing::Known),
        (
            "ours and being made",
            machine(right()),
            Some(node(NodeState::Creating, None)),
            false,
            Standing::Known,
        ),
        (
            "ours and failed",
            machine(right()),
            Some(node(NodeState::Failed, None)),
            false,
            Standing::Known,
        ),
        ("ours and deleted", machine(right()), deleted(), true, Standing::Orphan(NodeDeleted)),
        ("its volume", volume(right()), deleted(), true, Standing::Orphan(NodeDeleted)),
        ("a second one", machine(right()), ready("m1"), true, Standing::Orphan(Duplicate)),
        ("another than recorded", machine(right()), ready("m1"), false, Standing::Known),
        ("a second volume", volume(right()), ready("m1"), true, Standing::Known),
        (
            "deleted, of before a restore",
            machine(other_epoch()),
            deleted(),
            true,
            Standing::Orphan(OtherEpoch),
        ),
        (
            "second, of before a restore",
            machine(other_epoch()),
            ready("m1"),
            true,
            Standing::Orphan(OtherEpoch),
        ),
        ("without a record", machine(right()), None, false, Standing::Recover(id())),
        (
            "without a record since a restore",
            machine(other_epoch()),
            None,
            false,
            Standing::Recover(id()),
        ),
        ("a volume without a record", volume(right()), None, false, Standing::Orphan(Unclear)),
        (
            "without a node",
            machine(labels(Some(OURS), "e1", None, "ann")),
            None,
            false,
            Standing::Orphan(Unclear),
        ),
        (
            "with a garbled node",
            machine(labels(Some(OURS), "e1", Some("nd-x"), "ann")),
            None,
            false,
            Standing::Orphan(Unclear),
        ),
        (
            "deleted, of another owner",
            machine(labels(Some(OURS), "e1", Some(&id().to_string()), "bob")),
            deleted(),
            true,
            Standing::Orphan(Unclear),
        ),
        (
            "without a record, under another name",
            OwnedResource::new(OwnedResource::MACHINE, "m2".into(), right()).with_key("pet".into()),
            None,
            false,
            Standing::Orphan(Unclear),
        ),
    ];
    for (name, resource, node, own_listed, expected) in cases {
        let epoch = Epoch::new("e1");
        let answer = node.as_ref().map(NodeRecord::answer);
        let facts = Facts::new(OURS, &epoch).with_answer(answer, own_listed);
        assert_eq!(standing(&resource, facts), expected, "{name}");
    }
}

/// Every combination of labels and record: whatever is deleted without a person has exactly our
/// labels, is of this epoch, and a record says that nobody can want it.
#[test]
fn no_combination_is_deleted_without_proof() {
    let (epoch, own) = (Epoch::new("e1"), id().to_string());
    let (mut seen, mut proven) = (0, 0);
    for installation in [None, Some(OURS), Some("work")] {
        for made_in in ["e0", "e1"] {
            for named in [None, Some("nd-x"), Some(own.as_str())] {
                for owner in ["ann", "bob"] {
                    for state in NodeState::ALL.map(Some).into_iter().chain([None]) {
                        for (machine_known, own_listed) in [
                            (None, false),
                            (Some("m1"), false),
                            (Some("m1"), true),
                            (Some("m2"), true),
                        ] {
                            let node = state.map(|state| node(state, machine_known));
                            let resource = machine(labels(installation, made_in, named, owner));
                            let answer = node.as_ref().map(NodeRecord::answer);
                            let facts = Facts::new(OURS, &epoch).with_answer(answer, own_listed);
                            seen += 1;
                            let Standing::Orphan(reason) = standing(&resource, facts) else {
                                continue;
                            };
                            if !reason.is_proof() {
                                continue;
                            }
                            proven += 1;
                            let exact = installation == Some(OURS)
                                && made_in == "e1"
                                && named == Some(own.as_str())
                                && owner == "ann";
                            let second = machine_known == Some("m1") && own_listed;
                            let unwanted =
                                state == Some(NodeState::Deleted) || state.is_some() && second;
                            assert!(exact && unwanted, "{resource:?} {node:?} {own_listed}");
                        }
                    }
                }
            }
        }
    }
    // One set of labels in 36 is exact; a deleted node in four forms, ten others as a second one.
    assert_eq!((seen, proven), (1_728, 14));
}

const HOST: &str = "ws-1.example.com";

fn of_workspace() -> WorkspaceId {
    WorkspaceId::from_bits(9)
}

fn name(state: NameState) -> NameRecord {
    let (owner, host, epoch) = ("ann".into(), HOST.into(), "e1".into());
    NameRecord { state, ..NameRecord::requested(of_workspace(), owner, host, epoch, NOW) }
}

fn listed(host: &str, labels: Labels) -> OwnedResource {
    OwnedResource::new(OwnedNames::SORT, host.to_owned(), labels)
}

#[test]
fn a_name_is_deleted_only_when_its_record_says_so() {
    use NameState::{Deleted, Deleting, Published, Putting, Requested};
    use Reason::{Duplicate, NameDeleted, OtherEpoch, Unclear};
    use Standing::{Known, Orphan, Strange};
    let right = || name(Published).labels(OURS).unwrap();
    let with = |label: &str, value: &str| right().with(label, value).unwrap();
    let of_node = || with(Labels::NODE, &id().to_string());
    // What is listed, what its record says, whether the record's own name is listed, whose it is.
    let cases = [
        ("wanted", listed(HOST, right()), Some(Requested), true, Known),
        ("being put", listed(HOST, right()), Some(Putting), true, Known),
        ("published", listed(HOST, right()), Some(Published), true, Known),
        ("being deleted", listed(HOST, right()), Some(Deleting), true, Known),
        ("deleted", listed(HOST, right()), Some(Deleted), true, Orphan(NameDeleted)),
        ("deleted, and unlike it", listed("x", right()), Some(Deleted), false, Orphan(NameDeleted)),
        ("a second one", listed("x", right()), Some(Published), true, Orphan(Duplicate)),
        ("the only one", listed("x", right()), Some(Published), false, Known),
        ("without a record", listed(HOST, right()), None, false, Orphan(Unclear)),
        (
            "deleted, of another epoch",
            listed(HOST, with(Labels::EPOCH, "e0")),
            Some(Deleted),
            true,
            Orphan(OtherEpoch),
        ),
        (
            "deleted, of another owner",
            listed(HOST, with(Labels::OWNER, "bob")),
            Some(Deleted),
            true,
            Orphan(Unclear),
        ),
        (
            "another installation's",
            listed(HOST, with(Labels::INSTALLATION, "work")),
            Some(Deleted),
            true,
            Strange,
        ),
        (
            "deleted, with a garbled workspace",
            listed(HOST, with(Labels::WORKSPACE, "ws-x")),
            Some(Deleted),
            true,
            Orphan(Unclear),
        ),
        ("naming two records", listed(HOST, of_node()), Some(Deleted), true, Orphan(Unclear)),
    ];
    for (case, resource, state, own_listed, expected) in cases {
        let (epoch, name) = (Epoch::new("e1"), state.map(name));
        let answer = name.as_ref().map(NameRecord::answer);
        let facts = Facts::new(OURS, &epoch).with_answer(answer, own_listed);
        assert_eq!(standing(&resource, facts), expected, "{case}");
    }
}

/// A label that names a record leads to that record and to no other.
#[test]
fn a_label_names_one_record() {
    let of = |label: &str, value: &str| Named::of(&Labels::default().with(label, value).unwrap());
    let (node, workspace) = (id(), of_workspace());
    assert_eq!(of(Labels::NODE, &node.to_string()), Some(Named::Node(node)));
    assert_eq!(of(Labels::WORKSPACE, &workspace.to_string()), Some(Named::Name(workspace)));
    assert_eq!(of(Labels::NODE, &workspace.to_string()), None);
    assert_eq!(of(Labels::OWNER, &node.to_string()), None);
    assert_eq!(Named::Node(node).key(), NodeRecord::key_of(node));
    assert_eq!(Named::Name(workspace).key(), NameRecord::key_of(workspace));
}
