//! What is told of a run that failed.

use std::fmt;

use super::plan::Plan;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// The step after which it was seen.
    pub(super) step: u64,
    /// What did not hold: the invariant, a colon, and the rest.
    pub(super) what: String,
}

impl Broken {
    /// Returns the invariant alone, by which two failures are held to be alike.
    pub(super) fn invariant(&self) -> &str {
        self.what.split(':').next().unwrap_or_default()
    }
}

/// An invariant that did not hold, and how to see it again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// What the run was made of, or what shrinking left of it.
    pub plan: Box<Plan>,
    /// The step after which it was seen.
    pub step: u64,
    /// What did not hold.
    pub broken: String,
    /// What happened up to then, a line each, oldest first, with short names.
    pub history: Vec<String>,
    /// The commit of the sources, where the caller knows it.
    pub commit: Option<String>,
    /// What the run was before it was shrunk, and how many runs that took.
    pub shrunk: Option<Box<(Plan, u32)>>,
}

impl Failure {
    pub(super) fn new(plan: &Plan, broken: Broken, history: Vec<String>) -> Self {
        let Broken { step, what } = broken;
        let (seed, broken) = (plan.seed, what);
        let plan = Box::new(*plan);
        Self { seed, plan, step, broken, history, commit: None, shrunk: None }
    }

    /// Names the commit of the sources: a seed means something only together with it.
    #[must_use]
    pub fn with_commit(mut self, commit: Option<String>) -> Self {
        self.commit = commit;
        self
    }

    fn is_long(&self) -> bool {
        let drawn = self.shrunk.as_deref().map_or(*self.plan, |&(from, _)| from);
        drawn.safety_steps == Plan::LONG_STEPS && Plan::drawn(self.seed) != drawn
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} step {}: {}", self.seed, self.step, self.broken)?;
        if let Some(commit) = &self.commit {
            writeln!(f, "commit: {commit}")?;
        }
        let command = "cargo run --release -p sam-core --features testkit --example sim --";
        let long = if self.is_long() { " --long" } else { "" };
        writeln!(f, "again: {command} --seed {}{long}", self.seed)?;
        if let Some((from, runs)) = self.shrunk.as_deref() {
            writeln!(f, "was: {from}")?;
            writeln!(f, "shrunk in {runs} runs to: {}", self.plan)?;
        } else {
            writeln!(f, "run: {}", self.plan)?;
        }
        self.history.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl std::error::Error for Failure {}
