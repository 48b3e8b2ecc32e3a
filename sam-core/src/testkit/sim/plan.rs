//! What a run is made of: drawn from its seed, and small enough to be taken apart when it fails.

use std::fmt;
use std::time::Duration;

use super::faults::Faults;
use super::rules::Rules;
use crate::entropy::SeededEntropy;

/// Streams of random numbers that are kept apart, so that a change of one part of a plan does not
/// change what the others draw.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    Plan,
    Schedule,
    Faults,
    Agents,
    Client(u64),
    Part(u64),
    Person,
    Rules,
    Names,
}

/// Something a client asks for after its workspace was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Errand {
    /// Delete the workspace.
    Delete,
    /// Delete the node below the workspace.
    DeleteNode,
    /// Renew the lease on the workspace's life.
    Renew,
    /// Start the workspace.
    Start,
    /// Stop the workspace.
    Stop,
}

impl Errand {
    /// Every errand, for drawing and for shrinking.
    pub const ALL: [Self; 5] =
        [Self::Delete, Self::DeleteNode, Self::Renew, Self::Start, Self::Stop];

    const fn code(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::DeleteNode => "delete_node",
            Self::Renew => "renew",
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

/// How often clients ask for what, relative to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errands([u64; Errand::ALL.len()]);

impl Errands {
    fn drawn(seed: &SeededEntropy) -> Self {
        let mut drawn = [0; Errand::ALL.len()];
        for weight in &mut drawn {
            let on = seed.below(3) > 0;
            let drawn = 1 << seed.below(5);
            if on {
                *weight = drawn;
            }
        }
        Self(drawn)
    }

    /// Returns it without an errand.
    #[must_use]
    pub const fn without(mut self, errand: Errand) -> Self {
        self.0[errand as usize] = 0;
        self
    }

    /// Returns an errand's weight.
    pub const fn weight(&self, errand: Errand) -> u64 {
        self.0[errand as usize]
    }

    /// Draws one, or none where all weigh nothing.
    pub(super) fn draw(&self, seed: &SeededEntropy) -> Option<Errand> {
        let mut place = seed.below(self.0.iter().sum());
        Errand::ALL.into_iter().find(|&errand| {
            let weight = self.weight(errand);
            let found = place < weight;
            place = place.saturating_sub(weight);
            found
        })
    }
}

/// What a run is made of. Two runs of one plan are the same, step by step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The seed of everything that is drawn.
    pub seed: u64,
    /// Changes what is drawn during the run and not the plan: another run of the same kind.
    pub salt: u64,
    /// Engines at work at once, 1 to [`Plan::ENGINES_MAX`].
    pub engines: usize,
    /// Clients, each with one workspace, 1 to [`Plan::CLIENTS_MAX`].
    pub clients: usize,
    /// Errands of each client after the first.
    pub errands_max: u64,
    /// What they are.
    pub errands: Errands,
    /// Steps before the first fault, so that some runs meet theirs late in a life.
    pub calm_steps: u64,
    /// Steps of the phase with faults.
    pub safety_steps: u64,
    /// Which faults strike.
    pub faults: Faults,
    /// How many of them strike at most.
    pub fault_budget: u64,
    /// The step at which the first engine crashes in any case.
    pub crash_at: Option<u64>,
    /// How long a node that nobody uses is kept for the next workspace.
    pub keep_warm: Duration,
    /// What is capped, ended and held.
    pub rules: Rules,
}

impl Plan {
    /// Most engines.
    pub const ENGINES_MAX: usize = 4;
    /// Most clients.
    pub const CLIENTS_MAX: usize = 5;
    /// One of so many seeds is long.
    pub const LONG_ONE_IN: u64 = 64;
    /// Steps of the phase with faults of a long run.
    pub const LONG_STEPS: u64 = 3_000;
    /// Most steps before the first fault.
    pub const CALM_STEPS_MAX: u64 = 120;
    /// Fewest and most steps of the phase with faults of a usual run.
    pub const USUAL_STEPS: (u64, u64) = (60, 300);

    /// Draws the plan of a seed.
    pub fn drawn(seed: u64) -> Self {
        let draw = SeededEntropy::new(mixed(seed, 0, Stream::Plan));
        if draw.below(Self::LONG_ONE_IN) == 0 { Self::long(seed) } else { Self::usual(seed) }
    }

    /// Draws a plan with many steps, whatever the seed would have had.
    pub fn long(seed: u64) -> Self {
        let draw = SeededEntropy::new(mixed(seed, 0, Stream::Plan));
        let clients = usize::try_from(draw.below(Self::CLIENTS_MAX as u64)).unwrap_or(0) + 1;
        let usual = Self::usual(seed);
        Self { clients, errands_max: 10, safety_steps: Self::LONG_STEPS, ..usual }
    }

    fn usual(seed: u64) -> Self {
        let draw = SeededEntropy::new(mixed(seed, 1, Stream::Plan));
        let (fewest, most) = Self::USUAL_STEPS;
        // What goes wrong between engines goes wrong between two.
        let engines = [1, 1, 1, 2, 2, 2, 3, Self::ENGINES_MAX];
        let engines = engines[usize::try_from(draw.below(8)).unwrap_or(0)];
        // Most failures need one workspace, some two; a crowd is for the long runs.
        let clients = if draw.below(4) == 0 { 2 } else { 1 };
        Self {
            seed,
            salt: 0,
            engines,
            clients,
            errands_max: draw.below(5),
            errands: Errands::drawn(&draw),
            safety_steps: fewest + draw.below(most - fewest + 1),
            faults: Faults::drawn(&draw),
            fault_budget: u64::MAX,
            calm_steps: match draw.below(2) {
                0 => draw.below(Self::CALM_STEPS_MAX + 1),
                _ => 0,
            },
            crash_at: None,
            keep_warm: match draw.below(4) {
                0 => Duration::from_secs(draw.below(300)),
                _ => Duration::ZERO,
            },
            rules: Rules::drawn(seed),
        }
    }

    /// Returns the random numbers of a stream.
    pub(super) fn stream(&self, stream: Stream) -> u64 {
        mixed(self.seed, self.salt, stream)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} engines, {} clients, ", self.engines, self.clients)?;
        write!(f, "up to {} errands (", self.errands_max)?;
        let mut parted = "";
        for errand in Errand::ALL.into_iter().filter(|&errand| self.errands.weight(errand) > 0) {
            write!(f, "{parted}{} {}", errand.code(), self.errands.weight(errand))?;
            parted = ", ";
        }
        write!(f, "), {} calm steps, ", self.calm_steps)?;
        write!(f, "{} steps with faults: {}", self.safety_steps, self.faults)?;
        if self.fault_budget != u64::MAX {
            write!(f, "; at most {} strike", self.fault_budget)?;
        }
        if !self.keep_warm.is_zero() {
            write!(f, "; unused nodes are kept for {} s", self.keep_warm.as_secs())?;
        }
        write!(f, "{}", self.rules)
    }
}

/// Mixes a stream's own seed: neighbouring seeds and streams share no numbers.
pub(super) fn mixed(seed: u64, salt: u64, stream: Stream) -> u64 {
    let (family, number) = match stream {
        Stream::Plan => (1, 0),
        Stream::Schedule => (2, 0),
        Stream::Faults => (3, 0),
        Stream::Agents => (4, 0),
        Stream::Client(number) => (5, number),
        Stream::Part(number) => (6, number),
        Stream::Person => (7, 0),
        Stream::Rules => (8, 0),
        Stream::Names => (9, 0),
    };
    [salt, family, number].into_iter().fold(seed, |mixed, part| {
        SeededEntropy::new(SeededEntropy::new(mixed).next_u64() ^ part).next_u64()
    })
}
