//! The workspace: what a user has.

mod repo;

pub use self::repo::{Checkout, ParseRefError, ParseRepoError, RefName, RepoRef};
