//! Placeholder while the frame is written.
