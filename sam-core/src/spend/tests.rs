//! The cap, case by case.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::id::NodeId;
use crate::time::{Month, Timestamp};

/// 2026-11-21 12:00:00 UTC.
const NOW: Timestamp = Timestamp::from_micros(1_795_262_400_000_000);
const HOUR: Duration = Duration::from_hours(1);

fn ledger(nodes: &[(u128, u64, Duration)]) -> SpendRecord {
    let nodes = nodes.iter().map(|&(id, price, age)| {
        let micros = i64::try_from(age.as_micros()).unwrap();
        let since = Timestamp::from_micros(NOW.as_micros() - micros);
        (NodeId::from_bits(id), Spending::new(price, since))
    });
    SpendRecord::opened("ann".into(), nodes, NOW)
}

#[test]
fn a_node_fits_or_says_why_not() {
    let cost = |max| SpendCap::default().with_micros_per_month(Some(max));
    let nodes = |max| SpendCap::default().with_nodes(Some(max));
    let two_hours = [(1, 10_000, 2 * HOUR)];
    let cases = [
        ("no cap", ledger(&two_hours), SpendCap::default(), Ok(())),
        ("room for one hour exactly", ledger(&two_hours), cost(25_000), Ok(())),
        (
            "no room for an hour",
            ledger(&two_hours),
            cost(24_999),
            Err(Refused::Cost { spent_micros: 20_000, micros_max: 24_999 }),
        ),
        ("one more node", ledger(&two_hours), nodes(2), Ok(())),
        ("too many nodes", ledger(&two_hours), nodes(1), Err(Refused::Nodes { nodes_max: 1 })),
        ("a cap of nothing", ledger(&[]), nodes(0), Err(Refused::Nodes { nodes_max: 0 })),
        (
            "a cap above what a ledger holds",
            ledger(&(1..=1_000).map(|id| (id, 0, HOUR)).collect::<Vec<_>>()),
            nodes(u32::MAX),
            Err(Refused::Nodes { nodes_max: SpendRecord::NODES_MAX }),
        ),
        ("free of charge", ledger(&[(1, 0, 500 * HOUR)]), cost(5_000), Ok(())),
    ];
    for (name, ledger, cap, expected) in cases {
        let admitted = ledger.admitting(NodeId::from_bits(9_999), Spending::new(5_000, NOW), &cap);
        assert_eq!(admitted.map(drop), expected, "{name}");
    }
}

#[test]
fn only_this_months_hours_count_and_a_new_month_starts_at_nothing() {
    // It runs since October: 20 days and 12 hours of November.
    let old = ledger(&[(1, 3_600, 60 * 24 * HOUR)]);
    let november = (20 * 24 + 12) * 3_600;
    assert_eq!(old.spent_micros(NOW), november);
    let gone = BTreeMap::from([(NodeId::from_bits(1), NOW)]);
    let closed = old.closing(&gone, NOW);
    assert_eq!((closed.spent_micros(NOW), closed.nodes.len()), (november, 0));
    let december = Month::of(NOW).start().plus(30 * 24 * HOUR);
    assert_eq!(closed.spent_micros(december), 0);
    let again = closed.admitting(
        NodeId::from_bits(2),
        Spending::new(7, december),
        &SpendCap::default().with_micros_per_month(Some(7)),
    );
    assert_eq!(again.unwrap().month, Month::of(december));
    // A clock that goes back does not forget what was spent.
    assert_eq!(closed.closing(&BTreeMap::new(), Month::of(NOW).start()).closed_micros, november);
}
