//! One suite for each effect trait: whoever implements the trait runs it.

pub mod compute;
