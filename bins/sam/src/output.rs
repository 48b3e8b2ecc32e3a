//! What commands write: lines, JSON, tables, remarks.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use serde::Serialize;

use sam_core::time::Timestamp;

use crate::config::Settings;
use crate::failure::Failure;

/// Where a command writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Write JSON.
    pub(crate) json: bool,
    quiet: bool,
}

impl Output {
    pub(crate) const fn new(settings: &Settings) -> Self {
        Self { json: settings.json, quiet: settings.quiet }
    }

    /// Tells something on standard error, unless it is to be quiet.
    pub(crate) fn remark(self, text: &str) {
        if !self.quiet {
            // Remarks are worth no failure.
            let _outcome = writeln!(io::stderr().lock(), "{}", printable(text));
        }
    }

    /// Returns whether progress may be drawn over itself.
    pub(crate) fn is_live(self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }

    pub(crate) const fn is_quiet(self) -> bool {
        self.quiet
    }
}

/// Writes a line to standard output.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Writes an object as one line to standard output.
pub(crate) fn object(object: &impl Serialize) -> Result<(), Failure> {
    line(&json(object)?)
}

/// Writes a value as JSON, without line ends.
pub(crate) fn json(object: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(object).map_err(|cause| {
        sam_core::Error::new(sam_core::ErrorKind::Bug, "the answer cannot be written as JSON")
            .with_source(cause)
            .into()
    })
}

/// Replaces control characters, so that nothing a server says can drive the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Lays rows out in columns; the last column is not padded.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&head).chain(&rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Writes a span as people say it: `45s`, `12m`, `3h`, `9d`.
pub(crate) fn age(now: Timestamp, then: Timestamp) -> String {
    match now.since(then).as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3_600 => format!("{}m", seconds / 60),
        seconds @ 3_600..86_400 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// Writes a span to a tenth of a second: `1.2s`, `2m03s`.
pub(crate) fn elapsed(span: Duration) -> String {
    if span < Duration::from_mins(1) {
        return format!("{:.1}s", span.as_secs_f64());
    }
    format!("{}m{:02}s", span.as_secs() / 60, span.as_secs() % 60)
}

/// Returns the time of this machine.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::EPOCH.plus(since.unwrap_or_default())
}

/// Compares a text with a checked-in file, or writes the file where `SAM_GOLDEN=write`.
#[cfg(test)]
pub(crate) fn golden(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    #[expect(clippy::disallowed_methods, reason = "a switch of the tests, not of the program")]
    if std::env::var_os("SAM_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "tests/golden/{name} differs; SAM_GOLDEN=write refreshes it");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_by_characters_and_carry_no_control_characters() {
        let rows = vec![
            vec!["ä".to_owned(), "running".to_owned(), "/srv/x".to_owned()],
            vec!["longer\u{1b}".to_owned(), "failed".to_owned(), String::new()],
        ];
        let text = table(&["NAME", "STATE", "REPO"], &rows);
        assert_eq!(
            text,
            "NAME     STATE    REPO\nä        running  /srv/x\nlonger\u{fffd}  failed\n"
        );
    }

    #[test]
    fn spans_are_short() {
        let at = |seconds: u64| Timestamp::EPOCH.plus(Duration::from_secs(seconds));
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (3_599, "59m"), (7_200, "2h"), (172_800, "2d")]
        {
            assert_eq!(age(at(seconds), at(0)), text);
        }
        assert_eq!(elapsed(Duration::from_millis(1_240)), "1.2s");
        assert_eq!(elapsed(Duration::from_secs(123)), "2m03s");
    }
}
