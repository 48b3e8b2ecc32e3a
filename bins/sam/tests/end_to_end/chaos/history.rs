//! What was done and when, shown where a run fails.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most lines that are kept.
const LINES_MAX: usize = 20_000;

/// Lines with the time since the beginning.
#[derive(Debug)]
pub(super) struct History {
    begun_at: Instant,
    lines: Mutex<Vec<String>>,
}

impl History {
    pub(super) fn begin() -> Self {
        Self { begun_at: Instant::now(), lines: Mutex::default() }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.begun_at.elapsed()
    }

    /// The time since a moment that was read here.
    pub(super) fn since(&self, moment: Duration) -> Duration {
        self.elapsed().saturating_sub(moment)
    }

    pub(super) fn note(&self, what: impl std::fmt::Display) {
        let line = format!("{:8.3} s  {what}", self.elapsed().as_secs_f64());
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < LINES_MAX {
            lines.push(line);
        }
    }

    /// Counts the lines that hold a word.
    pub(super) fn count(&self, word: &str) -> usize {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line.contains(word)).count()
    }

    pub(super) fn text(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}
