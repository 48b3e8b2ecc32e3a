//! What runs have reached, so that a short run can be shown to be no weaker than a long one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::faults::Fault;
use crate::node::{NodeRecord, NodeState};
use crate::published_name::{NameRecord, NameState};
use crate::workspace::{WorkspaceRecord, WorkspaceState};

/// A step of a record from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Passage {
    /// The kind of record.
    pub kind: &'static str,
    /// The state it had; `-` before it was made.
    pub from: &'static str,
    /// The state it got.
    pub to: &'static str,
}

impl Passage {
    pub(super) const fn new(kind: &'static str, from: &'static str, to: &'static str) -> Self {
        Self { kind, from, to }
    }
}

impl fmt::Display for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.kind, self.from, self.to)
    }
}

/// Legal steps that no run can take, each with the reason.
const OUT_OF_REACH: [(Passage, &str); 5] = [
    (
        Passage::new("node", "requested", "failed"),
        "nothing can go wrong before the provider was asked",
    ),
    (Passage::new("node", "ready", "lost"), "a node is unreachable before it is lost"),
    (Passage::new("node", "draining", "lost"), "a draining node is deleted, lost or not"),
    (
        Passage::new("node", "recovered", "deleting"),
        "a machine without a record is never made here",
    ),
    (
        Passage::new("name", "published", "putting"),
        "the control plane is reached at one place here",
    ),
];

/// What happened how often.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Coverage {
    passages: BTreeMap<Passage, u64>,
    events: BTreeMap<String, u64>,
    strikes: BTreeMap<(Fault, &'static str, &'static str), u64>,
}

impl Coverage {
    pub(super) fn passed(&mut self, passage: Passage, event: &str) {
        *self.passages.entry(passage).or_default() += 1;
        match self.events.get_mut(event) {
            Some(count) => *count += 1,
            None => drop(self.events.insert(event.to_owned(), 1)),
        }
    }

    pub(super) fn struck(&mut self, fault: Fault, kind: &'static str, state: &'static str) {
        *self.strikes.entry((fault, kind, state)).or_default() += 1;
    }

    /// Adds what another run reached.
    pub fn merge(&mut self, other: &Self) {
        for (&passage, count) in &other.passages {
            *self.passages.entry(passage).or_default() += count;
        }
        for (event, count) in &other.events {
            match self.events.get_mut(event) {
                Some(known) => *known += count,
                None => drop(self.events.insert(event.clone(), *count)),
            }
        }
        for (&strike, count) in &other.strikes {
            *self.strikes.entry(strike).or_default() += count;
        }
    }

    /// Returns every legal step of nodes, workspaces and published names from one state to another.
    pub fn legal() -> BTreeSet<Passage> {
        let nodes = NodeState::ALL.into_iter().flat_map(|from| {
            let to = from.next().iter();
            to.map(move |to| Passage::new("node", from.code(), to.code()))
        });
        let workspaces = WorkspaceState::ALL.into_iter().flat_map(|from| {
            let to = from.next().iter();
            to.map(move |to| Passage::new("workspace", from.code(), to.code()))
        });
        let names = NameState::ALL.into_iter().flat_map(|from| {
            let to = from.next().iter();
            to.map(move |to| Passage::new("name", from.code(), to.code()))
        });
        nodes.chain(workspaces).chain(names).collect()
    }

    /// Returns the legal steps that were not taken although they can be, and those that were taken
    /// although they are held to be out of reach.
    pub fn gaps(&self) -> Vec<Passage> {
        let out_of_reach = |passage: &Passage| OUT_OF_REACH.iter().any(|(out, _)| out == passage);
        let taken = |passage: &Passage| self.passages.contains_key(passage);
        Self::legal().into_iter().filter(|step| taken(step) == out_of_reach(step)).collect()
    }

    /// Returns how many pairs of a fault and a state it struck in were reached.
    pub fn strikes(&self) -> usize {
        self.strikes.len()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let legal = Self::legal();
        let taken = legal.iter().filter(|step| self.passages.contains_key(step)).count();
        let out = OUT_OF_REACH.len();
        writeln!(f, "{taken} of {} legal steps taken, {out} are out of reach:", legal.len())?;
        for (step, why) in OUT_OF_REACH {
            writeln!(f, "  {step}: {why}")?;
        }
        for step in legal {
            let count = self.passages.get(&step).copied().unwrap_or(0);
            writeln!(f, "{count:>12}  {step}")?;
        }
        writeln!(f, "{} events:", self.events.len())?;
        for (event, count) in &self.events {
            writeln!(f, "{count:>12}  {event}")?;
        }
        for kind in [NodeRecord::KIND, WorkspaceRecord::KIND, NameRecord::KIND] {
            self.strike_table(f, kind.as_str())?;
        }
        Ok(())
    }
}

impl Coverage {
    /// Faults down, states across: how often which struck where.
    fn strike_table(&self, f: &mut fmt::Formatter<'_>, kind: &str) -> fmt::Result {
        let of_kind = || self.strikes.iter().filter(|((_, known, _), _)| *known == kind);
        let states: BTreeSet<&str> = of_kind().map(|(&(_, _, state), _)| state).collect();
        write!(f, "faults by the state of the {kind}:\n{:18}", "")?;
        states.iter().try_for_each(|state| write!(f, " {state:>11}"))?;
        writeln!(f)?;
        for fault in Fault::ALL {
            write!(f, "{:18}", fault.code())?;
            for &state in &states {
                let count = of_kind()
                    .find(|((known, _, place), _)| *known == fault && *place == state)
                    .map_or(0, |(_, count)| *count);
                write!(f, " {count:>11}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
