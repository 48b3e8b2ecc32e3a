//! What becomes of a replica that does not renew its record. Pure.
//!
//! Its links end with it: each deletion names the version of the link that was seen, and is made under
//! the lease on the replica's record, so that a link which another replica took over meanwhile stays.

use super::record::{LinkRecord, ReplicaRecord};
use super::resource::{ReplicaDecision, ReplicaLook, ReplicaObservation};
use crate::engine::{Decision, Transition};
use crate::node::NodeRecord;
use crate::store::{Due, Expect, Write};

/// Decides what is next for a replica whose record was due.
pub fn decide(
    replica: &ReplicaRecord,
    observation: Option<&ReplicaObservation>,
) -> ReplicaDecision {
    let missed = replica.missed >= ReplicaRecord::MISSED_MAX;
    match observation {
        None if missed => Decision::Look(ReplicaLook),
        None => {
            let missed = replica.missed.saturating_add(1);
            let next = ReplicaRecord { missed, ..replica.clone() };
            let transition = Transition::new(next, "replica_missed");
            Decision::Write(Box::new(transition.with_due(Due::In(ReplicaRecord::LOOK_AGAIN))))
        }
        // It came back while it was looked for.
        Some(_) if !missed => Decision::Rest(replica.due()),
        Some(ReplicaObservation::Links(Ok(links))) if links.is_empty() => {
            Decision::Forget { event: "replica_lapsed" }
        }
        Some(ReplicaObservation::Links(Ok(links))) => {
            let nodes = links.iter().map(|link| NodeRecord::key_of(link.node));
            let mut transition =
                Transition::new(replica.clone(), "replica_links_ended").with_wakes(nodes);
            for link in links {
                let (key, expect) = (LinkRecord::key_of(link.node), Expect::Version(link.version));
                transition = transition.with_also(Write::delete(key, expect, "link_closed"));
            }
            Decision::Write(Box::new(transition))
        }
        Some(ReplicaObservation::Links(Err(_))) => Decision::rest_for(ReplicaRecord::LOOK_AGAIN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};
    use crate::id::NodeId;
    use crate::replica::{HeldLink, Replica};
    use crate::time::Timestamp;

    #[test]
    fn what_becomes_of_a_replica_by_its_table_of_cases() {
        let links = |count: u128| {
            let held = |bits| HeldLink::new(NodeId::from_bits(bits), 3);
            Some(ReplicaObservation::Links(Ok((0..count).map(held).collect())))
        };
        let failed = || Some(ReplicaObservation::Links(Err(Error::new(ErrorKind::Timeout, "no"))));
        let cases = [
            (0, None, "replica_missed, 0 also"),
            (1, None, "replica_missed, 0 also"),
            (2, None, "look"),
            (3, None, "look"),
            (0, links(0), "rest"),
            (0, links(2), "rest"),
            (2, links(2), "replica_links_ended, 2 also"),
            (2, links(0), "replica_lapsed"),
            (2, failed(), "rest"),
        ];
        for (missed, observation, expected) in cases {
            let mut replica = ReplicaRecord::new(Replica::new("a", "http://a"), Timestamp::EPOCH);
            replica.missed = missed;
            let told = match decide(&replica, observation.as_ref()) {
                Decision::Forget { event } => event.to_owned(),
                Decision::Look(_) => "look".to_owned(),
                Decision::Rest(Due::In(_)) => "rest".to_owned(),
                Decision::Write(transition) => {
                    assert_eq!(transition.also.len(), transition.wakes.len());
                    format!("{}, {} also", transition.event, transition.also.len())
                }
                other => format!("{other:?}"),
            };
            assert_eq!(told, expected, "{missed} {observation:?}");
        }
    }
}
