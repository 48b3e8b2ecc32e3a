//! What happened, in words: written only where somebody will read it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::id::LABEL_LENGTH;
use crate::time::{Clock as _, ManualClock};

/// Records the events of a run, or nothing at all, which costs nothing.
#[derive(Debug, Clone)]
pub(super) struct Tape(Option<Arc<Reel>>);

#[derive(Debug)]
struct Reel {
    clock: ManualClock,
    lines: Mutex<Vec<String>>,
}

impl Tape {
    /// Most lines kept; a run that is worth reading has been shrunk to far fewer.
    const LINES_MAX: usize = 20_000;

    pub(super) const fn off() -> Self {
        Self(None)
    }

    pub(super) fn on(clock: ManualClock) -> Self {
        Self(Some(Arc::new(Reel { clock, lines: Mutex::default() })))
    }

    /// Notes a line, made only when somebody listens.
    pub(super) fn note(&self, line: impl FnOnce() -> String) {
        let Some(reel) = &self.0 else { return };
        let mut lines = reel.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < Self::LINES_MAX {
            let at = reel.clock.monotonic();
            lines.push(format!("{:>10.3} s  {}", at.as_secs_f64(), line()));
        }
    }

    /// Returns the lines, with short names in place of identifiers: `nd-1` for the first node.
    pub(super) fn lines(&self) -> Vec<String> {
        let Some(reel) = &self.0 else { return Vec::new() };
        let mut names = Names::default();
        let lines = reel.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| names.shorten(line)).collect()
    }
}

#[derive(Debug, Default)]
struct Names {
    known: BTreeMap<(&'static str, String), String>,
    counts: BTreeMap<&'static str, u32>,
}

impl Names {
    const PREFIXES: [&'static str; 2] = ["nd-", "ws-"];

    fn shorten(&mut self, line: &str) -> String {
        let mut out = String::with_capacity(line.len());
        let mut rest = line;
        while let Some((at, prefix)) = Self::PREFIXES
            .iter()
            .filter_map(|&prefix| rest.find(prefix).map(|at| (at, prefix)))
            .min()
        {
            let behind = at + prefix.len();
            out.push_str(rest.get(..at).unwrap_or_default());
            let label = rest.get(behind..behind + LABEL_LENGTH);
            let label = label.filter(|label| label.bytes().all(|b| b.is_ascii_alphanumeric()));
            let end = if let Some(label) = label {
                out.push_str(self.name(label, prefix));
                behind + LABEL_LENGTH
            } else {
                out.push_str(prefix);
                behind
            };
            rest = rest.get(end..).unwrap_or_default();
        }
        out.push_str(rest);
        out
    }

    fn name(&mut self, label: &str, prefix: &'static str) -> &str {
        let counts = &mut self.counts;
        self.known.entry((prefix, label.to_owned())).or_insert_with(|| {
            let count = counts.entry(prefix).or_default();
            *count += 1;
            format!("{prefix}{count}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{NodeId, WorkspaceId};

    #[test]
    fn identifiers_become_short_names_in_the_order_of_their_appearance() {
        let (node, other) = (NodeId::from_bits(7), NodeId::from_bits(8));
        let workspace = WorkspaceId::from_bits(7);
        let mut names = Names::default();
        assert_eq!(names.shorten(&format!("{workspace} on {node}.")), "ws-1 on nd-1.");
        assert_eq!(names.shorten(&format!("{other}, {node}")), "nd-2, nd-1");
        assert_eq!(names.shorten("nd-1 on hand-made wood"), "nd-1 on hand-made wood");
    }
}
