//! Placeholder while the frame is written.
fn main() {}
