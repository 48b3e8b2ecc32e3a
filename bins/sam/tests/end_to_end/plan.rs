//! What was asked for on the command line, beside what the harness takes.

/// Kills of each sort of process when nobody asks for more.
const KILLS: u64 = 15;
/// Workspaces of the chaos test when nobody asks for more.
const CHAOS: u64 = 20;

/// How much is tried, and from which seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Kills of each sort of process.
    pub(crate) kills: u64,
    /// Workspaces of the chaos test; its kills and restarts grow with them.
    pub(crate) chaos: u64,
    pub(crate) seed: u64,
}

impl Plan {
    /// Takes `--kills N`, `--chaos N` and `--seed S` out of the arguments.
    pub(crate) fn take(arguments: Vec<String>) -> (Self, Vec<String>) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed = u64::from(now.unwrap_or_default().subsec_nanos());
        let mut plan = Self { kills: KILLS, chaos: CHAOS, seed };
        let mut rest = Vec::new();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let place = match argument.as_str() {
                "--kills" => &mut plan.kills,
                "--chaos" => &mut plan.chaos,
                "--seed" => &mut plan.seed,
                _ => {
                    rest.push(argument);
                    continue;
                }
            };
            let value = arguments.next().and_then(|value| value.parse().ok());
            *place = value.unwrap_or_else(|| panic!("{argument} takes a number"));
        }
        (plan, rest)
    }
}
