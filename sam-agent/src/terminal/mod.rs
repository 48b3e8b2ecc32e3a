//! Terminals and commands that outlive the agent.
//!
//! One single-threaded *holder* process per node owns every terminal, reaps every process its
//! workspaces start, and keeps the agent running; the agent is a client of it that may be killed
//! and come back. [`run`] is the holder, [`HolderClient`] the agent's side.
//!
//! Invariants: a byte a terminal printed has one offset for ever, and reaches an attached viewer
//! once; a process that a workspace started is found and ended when the workspace is stopped; a
//! signal is only sent to a process whose start time was compared.

mod children;
mod client;
mod command;
mod exec;
mod held;
mod holder;
mod peer;
mod processes;
mod protocol;
mod pty;
mod pulse;
mod ring;
mod serve;
mod streams;
mod viewer;
mod workspaces;

pub use self::client::HolderClient;
pub use self::holder::{HolderConfig, run};
pub use self::protocol::HolderInfo;
pub use self::streams::{
    ExecOutput, ExecReader, ExecStream, ExecWriter, TerminalOutput, TerminalReader, TerminalStream,
    TerminalWriter,
};
