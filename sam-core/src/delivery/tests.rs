//! Every state against everything that can be seen, and what a line means for those in it.

use std::time::Duration;

use super::line::Waiting;
use super::*;
use crate::engine::{Decision, Stored as _};
use crate::error::{Error, ErrorKind, Result};
use crate::policy::Policy;
use crate::store::{Due, Record};
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

fn delivery(id: &str, state: DeliveryState, place: Option<u64>) -> DeliveryRecord {
    let new = NewDelivery::new(id, "push", b"{}")
        .with_repository(Some("1".to_owned()))
        .with_branch(Some("refs/heads/main".to_owned()));
    let (record, _) = new.into_records(NOW).unwrap();
    DeliveryRecord { state, place, ..record }
}

fn told(decision: &DeliveryDecision) -> String {
    match decision {
        Decision::Act(Some(transition), DeliveryEffect::Handle) => {
            format!("{} {}, handle", transition.event, transition.record.attempts)
        }
        Decision::Act(None, DeliveryEffect::Handle) => "handle".to_owned(),
        Decision::Forget { event } => (*event).to_owned(),
        Decision::Look(_) => "look".to_owned(),
        Decision::Rest(Due::In(span)) => format!("rest {}s", span.as_secs()),
        Decision::Rest(due) => format!("rest {due:?}"),
        Decision::Write(transition) => {
            let wakes = transition.wakes.iter().map(|key| format!(", wakes {}", key.id));
            let also = transition.also.iter().map(|write| format!(", {}", write.event));
            format!("{}{}{}", transition.event, wakes.collect::<String>(), also.collect::<String>())
        }
    }
}

fn line(is_blocked: bool, superseded_by: Option<&str>, next: Option<&str>) -> DeliveryObservation {
    DeliveryObservation::Line(Ok(Line {
        place: Some(5),
        is_blocked,
        superseded_by: superseded_by.map(str::to_owned),
        next: next.map(str::to_owned),
    }))
}

fn handled(outcome: Result<()>) -> DeliveryObservation {
    DeliveryObservation::Handled(outcome)
}

#[test]
fn what_becomes_of_a_delivery() {
    use DeliveryState::{Done, Failed, Queued, Received};
    let error = |kind| Err(Error::new(kind, "no"));
    let silent =
        || DeliveryObservation::Line(error(ErrorKind::Unavailable).map(|()| Line::default()));
    let free = || line(false, None, None);
    let (min, day) = (60, 86_400);
    // State, attempts, seconds since it got its state, until it is tried again, what is seen, decision.
    let cases = [
        (Received, 0, 0, 0, None, "look"),
        (Received, 0, 0, 0, Some(free()), "delivery_queued 1, handle"),
        (Received, 0, 0, 0, Some(line(true, None, None)), "rest 900s"),
        (
            Received,
            0,
            0,
            0,
            Some(line(true, Some("b"), None)),
            "delivery_superseded, delivery_payload_dropped",
        ),
        (Received, 0, 0, 0, Some(silent()), "rest 1s"),
        // A crash came between intention and outcome.
        (Queued, 1, min, 0, None, "look"),
        (Queued, 1, min, 0, Some(free()), "delivery_queued 2, handle"),
        (Queued, 12, min, 0, Some(free()), "delivery_failed"),
        // Woken before its pause is over.
        (Queued, 1, 0, 30, Some(free()), "rest 30s"),
        (
            Queued,
            1,
            0,
            30,
            Some(line(false, Some("b"), None)),
            "delivery_superseded, delivery_payload_dropped",
        ),
        (Queued, 1, 0, 0, Some(handled(Ok(()))), "delivery_handled, delivery_payload_dropped"),
        (Queued, 1, 0, 0, Some(handled(error(ErrorKind::Unavailable))), "delivery_not_handled"),
        (Queued, 12, 0, 0, Some(handled(error(ErrorKind::Unavailable))), "delivery_failed"),
        (Queued, 1, 0, 0, Some(handled(error(ErrorKind::BadInput))), "delivery_failed"),
        (Done, 1, 0, 0, None, "look"),
        (Done, 1, 0, 0, Some(line(false, None, Some("b"))), "delivery_line_moved, wakes b"),
        (Done, 1, 60, 0, Some(free()), "rest 259140s"),
        (Done, 1, 0, 0, Some(silent()), "rest 1s"),
        (Done, 1, 3 * day, 0, None, "delivery_forgotten"),
        (Failed, 12, 0, 0, None, "look"),
        (Failed, 12, 0, 0, Some(line(false, None, Some("b"))), "delivery_line_moved, wakes b"),
        (Failed, 12, 3 * day, 0, Some(free()), "rest 2332800s"),
        (Failed, 12, 30 * day, 0, None, "delivery_abandoned, delivery_payload_dropped"),
    ];
    for (state, attempts, since, until, observed, expected) in cases {
        let mut delivery = delivery("a", state, None);
        delivery.attempts = attempts;
        let now = NOW.plus(Duration::from_secs(since));
        delivery.retry_at = (until > 0).then(|| now.plus(Duration::from_secs(until)));
        let decision = decide(&delivery, observed.as_ref(), now, &Policy::default());
        let decided = told(&decision);
        assert_eq!(decided, expected, "{state:?} {attempts} {since} {until} {observed:?}");
        if let Decision::Write(transition) | Decision::Act(Some(transition), _) = decision {
            delivery.check_next(&transition.record).unwrap();
        }
    }
}

#[test]
fn steps_outside_the_table_are_refused() {
    for from in DeliveryState::ALL {
        for to in DeliveryState::ALL {
            let legal = from == to || from.next().contains(&to);
            let (from, to) = (delivery("a", from, None), delivery("a", to, None));
            assert_eq!(from.check_next(&to).is_ok(), legal, "{:?} {:?}", from.state, to.state);
        }
    }
    assert!(DeliveryState::Done.next().is_empty());
}

#[test]
fn a_line_goes_by_the_place_and_a_branch_by_its_newest() {
    let waiting = |id: &str, place, branch: Option<&str>| {
        let new = NewDelivery::new(id, "push", b"").with_repository(Some("1".to_owned()));
        let (record, _) = new.with_branch(branch.map(str::to_owned)).into_records(NOW).unwrap();
        Waiting { id: id.to_owned(), place, coalesced_by: record.coalesced_by() }
    };
    let main = Some("refs/heads/main");
    // Out of order, as a listing by id is.
    let all = [
        waiting("d", 9, main),
        waiting("a", 3, main),
        waiting("c", 7, None),
        waiting("b", 5, main),
        waiting("e", 8, Some("refs/heads/other")),
    ];
    let of = |id: &str, place| {
        let line = Line::of(&delivery(id, DeliveryState::Received, place), &all);
        (line.place, line.is_blocked, line.superseded_by, line.next)
    };
    let (b, d) = (Some("b".to_owned()), Some("d".to_owned()));
    assert_eq!(of("a", None), (Some(3), false, d.clone(), b));
    assert_eq!(of("b", Some(5)), (Some(5), true, d, None));
    assert_eq!(of("d", None), (Some(9), true, None, None));
    // One that has left the line wakes the oldest, unless that was before it anyway.
    assert_eq!(of("z", Some(1)).3, Some("a".to_owned()));
    assert_eq!(of("z", Some(4)).3, None);
}

#[test]
fn a_delivery_that_is_not_open_is_in_no_line() {
    for state in DeliveryState::ALL {
        let [told, line, branch] = delivery("a", state, None).index();
        assert_eq!(told.as_deref(), Some(state.code()));
        assert_eq!((line.is_some(), branch.is_some()), (state.is_open(), state.is_open()));
    }
    let installation = NewDelivery::new("a", "installation", b"")
        .with_installation(Some("2".to_owned()))
        .with_branch(Some("refs/heads/main".to_owned()));
    let (record, _) = installation.into_records(NOW).unwrap();
    assert_eq!(record.line().as_deref(), Some("installation/2"));
    assert_eq!(record.coalesced_by(), None);
}

#[test]
fn what_a_record_cannot_hold_is_kept_as_its_essentials() {
    let whole = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
    let new = |text: &str, essentials: &str| {
        NewDelivery::new("a", "push", text.as_bytes())
            .with_payload(text, |_| Ok(essentials.to_owned()))
            .and_then(|new| new.into_records(NOW))
    };
    let (record, payload) = new(&whole(1_000), "-").unwrap();
    assert!(record.is_whole);
    assert_eq!(payload.unwrap().text, whole(1_000));
    let large = whole(Record::BODY_BYTES_MAX);
    let (record, payload) = new(&large, "{}").unwrap();
    assert_eq!((record.is_whole, record.body_bytes), (false, large.len() as u64));
    assert_eq!(payload.unwrap().text, "{}");
    assert_eq!(record.body_sha256.len(), 64);
    assert_eq!(new(&large, &large).unwrap_err().kind(), ErrorKind::BadInput);
    // Text that grows where it is quoted fits in what there is said to be room for.
    let quotes = NewDelivery::new("a", "push", b"");
    let quotes = quotes.with_payload(&large, |room| Ok("\"".repeat(room))).unwrap();
    quotes.into_records(NOW).unwrap();
}

#[test]
fn ids_and_names_outside_their_bounds_are_refused() {
    let (long_id, long) = ("a".repeat(65), "a".repeat(129));
    let (no_id, no_event) = (NewDelivery::new("", "push", b""), NewDelivery::new("a", "", b""));
    let named = || NewDelivery::new("a", "push", b"");
    for bad in [
        no_id,
        no_event,
        NewDelivery::new("A", "push", b""),
        NewDelivery::new("a/b", "push", b""),
        NewDelivery::new(long_id, "push", b""),
        NewDelivery::new("a", long.clone(), b""),
        named().with_repository(Some(long)),
        named().with_repository(Some(String::new())),
        named().with_branch(Some("b".repeat(1_025))),
    ] {
        let shown = format!("{bad:?}");
        assert_eq!(bad.into_records(NOW).unwrap_err().kind(), ErrorKind::BadInput, "{shown}");
    }
}
