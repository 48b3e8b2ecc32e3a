//! The workspace: what a user has. A repository checked out on a node, with terminals and
//! commands in it.

mod commands;
mod decide;
mod idle;
mod leave;
mod lifetime;
mod name;
mod place;
mod record;
mod repo;
mod resource;

#[cfg(test)]
mod tests;

pub use self::commands::NewWorkspace;
pub use self::decide::decide;
pub use self::idle::{IdleSettings, IdleStop, IdleVerdict, StoppedBy, decide_idle};
pub use self::lifetime::{LifeOver, life_left};
pub use self::name::{ParseNameError, WorkspaceName};
pub use self::record::{
    Lifetime, Step, StepState, Verb, WorkspaceRecord, WorkspaceState, WorkspaceWish,
};
pub use self::repo::{Checkout, ForgeRepository, ParseRefError, ParseRepoError, RefName, RepoRef};
pub use self::resource::{
    IdleObservation, Placement, WorkspaceDecision, WorkspaceEffect, WorkspaceLook,
    WorkspaceObservation, WorkspaceResource,
};
