//! The product under the simulator, and deliberate bugs that it must find.
//!
//! The long run is the `sim` stage of `.ci/run`; this is the part every `cargo test` does.

#[cfg(test)]
mod planted;
#[cfg(test)]
mod product;
