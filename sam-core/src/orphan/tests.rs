//! Every state against everything that can be seen, and the story of an orphan as the feed tells it.

use std::time::Duration;

use super::*;
use crate::compute::{Labels, OwnedResource};
use crate::engine::Decision;
use crate::error::{Error, ErrorKind};
use crate::hold::Hold;
use crate::policy::Policy;
use crate::sweep::{Reason, Standing};
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

fn orphan(state: OrphanState, reason: Reason) -> OrphanRecord {
    let resource = OwnedResource::new(OwnedResource::MACHINE, "m1".into(), Labels::default());
    let mut orphan = OrphanRecord::found("compute.memory".into(), resource, reason, NOW);
    orphan.state = state;
    orphan
}

#[expect(clippy::unnecessary_wraps, reason = "a decision takes it so")]
fn seen(standing: Option<Standing>, hold: Hold) -> Option<OrphanObservation> {
    Some(OrphanObservation::Seen { standing: Ok(standing), hold })
}

fn told(decision: OrphanDecision) -> String {
    match decision {
        Decision::Act(None, _) => "delete".to_owned(),
        Decision::Act(Some(transition), _) => {
            format!("{}, {} checks", transition.event, transition.checks.len())
        }
        Decision::Forget { event } => event.to_owned(),
        Decision::Look(_) => "look".to_owned(),
        Decision::Rest(_) => "rest".to_owned(),
        Decision::Write(transition) => transition.event.to_owned(),
    }
}

#[test]
fn what_becomes_of_an_orphan() {
    use OrphanState::{Deleting, Held, Suspected};
    use Reason::{NodeDeleted, OtherEpoch, Unclear};
    let clear = Hold::Clear { version: None };
    let deleted = Some(Standing::Orphan(NodeDeleted));
    let unclear = Some(Standing::Orphan(Unclear));
    let started = "orphan_deletion_started, 1 checks";
    let asked = "orphan_deletion_started, 0 checks";
    let error = || Error::new(ErrorKind::Unavailable, "no");
    let silent = || Some(OrphanObservation::Seen { standing: Err(error()), hold: clear });
    // State, reason, wished by a person, minutes since it was found, what is seen, decision.
    let cases = [
        (Suspected, NodeDeleted, false, 9, None, "rest"),
        (Suspected, NodeDeleted, false, 10, None, "look"),
        (Suspected, NodeDeleted, false, 10, seen(deleted, clear), started),
        (Suspected, NodeDeleted, false, 10, seen(deleted, Hold::Held), "rest"),
        (Suspected, NodeDeleted, false, 10, seen(unclear, clear), "orphan_held"),
        (Suspected, NodeDeleted, false, 10, seen(None, clear), "orphan_gone"),
        (Suspected, NodeDeleted, false, 10, seen(Some(Standing::Known), clear), "orphan_claimed"),
        (Suspected, NodeDeleted, false, 10, seen(Some(Standing::Strange), clear), "orphan_claimed"),
        (Suspected, NodeDeleted, false, 10, silent(), "orphan_not_settled"),
        (Suspected, OtherEpoch, false, 0, None, "look"),
        (Suspected, Unclear, false, 0, seen(unclear, clear), "orphan_held"),
        (Suspected, NodeDeleted, true, 0, None, "look"),
        (Suspected, NodeDeleted, true, 0, seen(deleted, Hold::Held), asked),
        (Held, Unclear, false, 9_999, seen(unclear, clear), "rest"),
        (Held, Unclear, false, 9_999, seen(deleted, clear), "rest"),
        (Held, Unclear, true, 0, seen(unclear, Hold::Held), asked),
        (Held, Unclear, true, 0, seen(Some(Standing::Known), clear), "orphan_claimed"),
        (Held, Unclear, false, 0, seen(None, clear), "orphan_gone"),
        (Deleting, NodeDeleted, false, 10, None, "look"),
        (Deleting, NodeDeleted, false, 10, seen(deleted, Hold::Held), "delete"),
        (Deleting, NodeDeleted, false, 10, seen(None, clear), "orphan_deleted"),
        (Deleting, NodeDeleted, false, 10, seen(Some(Standing::Known), clear), "orphan_claimed"),
        (Deleting, NodeDeleted, false, 10, Some(OrphanObservation::Deleted(Ok(()))), "rest"),
        (
            Deleting,
            NodeDeleted,
            false,
            10,
            Some(OrphanObservation::Deleted(Err(error()))),
            "orphan_not_settled",
        ),
    ];
    for (state, reason, wished, minutes, observed, expected) in cases {
        let mut orphan = orphan(state, reason);
        orphan.delete_wished = wished;
        let now = NOW.plus(Duration::from_mins(minutes));
        let decided = told(decide(&orphan, observed.as_ref(), now, &Policy::default()));
        assert_eq!(decided, expected, "{state:?} {reason:?} {wished} {minutes} {observed:?}");
    }
}

#[test]
fn an_id_is_short_whatever_the_provider_calls_things() {
    let labels = Labels::default();
    let long = OwnedResource::new("address", "/projects/x\u{1f600}".repeat(100), labels.clone());
    let orphan = OrphanRecord::found("compute.memory".into(), long, Reason::Unclear, NOW);
    assert_eq!(orphan.id().len(), "compute.memory.".len() + 20);
    // Sort and id cannot be shifted into each other.
    let of = |sort: &'static str, id: &str| {
        let resource = OwnedResource::new(sort, id.to_owned(), labels.clone());
        OrphanRecord::found("s".into(), resource, Reason::Unclear, NOW).id()
    };
    assert_ne!(of("a", "bc"), of("ab", "c"));
}
