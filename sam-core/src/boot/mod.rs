//! What a new machine is told on its first boot: cloud-init user data, rendered from data.
//!
//! Invariants: the text is made by a serialiser from typed values, never by pasting texts together, and
//! no value is ever seen by a shell; it holds the single-use boot token once, and no other secret (I8);
//! the machine reports each phase, and the first that fails ends the boot, so nothing that was not
//! checked is ever run.
//!
//! The boot program is Python, not shell: cloud-init is a Python program itself, so its interpreter is
//! on every machine that reads this, and JSON, keyed hashes and lists of arguments need no quoting.

mod firewall;
mod journal;
mod plan;
mod release;
mod render;
mod report;
mod unit;

pub use self::firewall::{Firewall, Inbound, Network, Protocol};
pub use self::journal::{JournalLimits, JournalOverrides, JournalSize, JournalSpan};
pub use self::plan::{BootPlan, BootSettings, Docker, SwapSize};
pub use self::release::{AgentRelease, Arch, Download, UserName};
pub use self::render::UserData;
pub use self::report::{BootPhase, BootProgress, BootReport, PhaseState};
