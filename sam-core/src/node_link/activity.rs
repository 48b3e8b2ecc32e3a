//! What goes on in a workspace, as its node sees it.
//!
//! Every span is measured on the node by a clock that no one can set: a wall clock that jumps
//! neither makes a workspace idle nor keeps it busy.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What goes on in a workspace.
///
/// ```
/// use std::time::Duration;
/// use sam_core::node_link::Activity;
///
/// let activity = Activity::quiet(Duration::from_mins(5));
/// assert!(!activity.is_working());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Activity {
    /// How long nothing has counted: no input of people, no end of work. Counted at most from the
    /// moment the node first heard of the workspace; zero while it works.
    #[serde(rename = "quiet_ms", with = "crate::millis")]
    pub quiet_for: Duration,
    /// How long ago somebody last typed or opened a terminal.
    #[serde(
        rename = "last_input_ms",
        with = "crate::millis::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub last_input_age: Option<Duration>,
    /// How long ago people were warned, while nothing has counted since.
    #[serde(
        rename = "warned_ms",
        with = "crate::millis::option",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub warned_for: Option<Duration>,
    /// Commands under way that somebody waits for.
    #[serde(default)]
    pub commands: u32,
    /// Work that was declared and has not ended; at most [`Work::COUNT_MAX`].
    #[serde(default)]
    pub work: Vec<Work>,
}

impl Activity {
    /// Describes a workspace where nothing has counted for a span.
    pub const fn quiet(quiet_for: Duration) -> Self {
        Self { quiet_for, last_input_age: None, warned_for: None, commands: 0, work: Vec::new() }
    }

    /// Sets how long ago somebody typed.
    #[must_use]
    pub fn with_last_input_age(mut self, age: Option<Duration>) -> Self {
        self.last_input_age = age;
        self
    }

    /// Sets how long ago people were warned.
    #[must_use]
    pub fn with_warned_for(mut self, age: Option<Duration>) -> Self {
        self.warned_for = age;
        self
    }

    /// Sets how many commands are under way.
    #[must_use]
    pub fn with_commands(mut self, commands: u32) -> Self {
        self.commands = commands;
        self
    }

    /// Sets the declared work.
    #[must_use]
    pub fn with_work(mut self, work: Vec<Work>) -> Self {
        self.work = work;
        self
    }

    /// Returns whether work is in progress, of whatever sort.
    pub fn is_working(&self) -> bool {
        self.commands > 0 || !self.work.is_empty()
    }
}

/// How an idle stop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IdleEnd {
    /// Every process is gone.
    Ended,
    /// Something has counted since the warning; nothing was ended.
    InUse,
}

/// A piece of declared work that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Work {
    /// Its name, unique in its workspace.
    pub name: WorkName,
    /// What sort of work it is.
    pub sort: WorkSort,
    /// When it counts as ended unless it is declared again.
    #[serde(rename = "ends_in_ms", with = "crate::millis")]
    pub ends_in: Duration,
}

impl Work {
    /// Most pieces of work declared for a workspace at a time.
    pub const COUNT_MAX: usize = 64;
    /// Longest span for which work is declared at once; it can be declared again.
    pub const SPAN_MAX: Duration = Duration::from_hours(24);

    /// Describes a piece of work.
    pub const fn new(name: WorkName, sort: WorkSort, ends_in: Duration) -> Self {
        Self { name, sort, ends_in }
    }
}

/// A sort of work. A sort that this version does not know is [`WorkSort::Other`], and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WorkSort {
    /// Work of a program that runs by itself: a build, a download.
    #[default]
    Background,
    /// A sort that this version does not know.
    #[serde(other)]
    Other,
}

/// The name of a piece of work: 1 to 64 letters, digits, `.`, `_` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkName(String);

impl WorkName {
    /// Longest name, in bytes.
    pub const BYTES_MAX: usize = 64;

    /// Returns it as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<WorkName> for String {
    fn from(name: WorkName) -> Self {
        name.0
    }
}

impl TryFrom<String> for WorkName {
    type Error = ParseWorkNameError;

    fn try_from(text: String) -> Result<Self, ParseWorkNameError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if text.is_empty() || text.len() > Self::BYTES_MAX || !text.bytes().all(legal) {
            return Err(ParseWorkNameError);
        }
        // A URL would lose these two.
        if text == "." || text == ".." {
            return Err(ParseWorkNameError);
        }
        Ok(Self(text))
    }
}

impl FromStr for WorkName {
    type Err = ParseWorkNameError;

    fn from_str(text: &str) -> Result<Self, ParseWorkNameError> {
        Self::try_from(text.to_owned())
    }
}

/// The text is no name of a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name of work is 1 to 64 letters, digits, dots, dashes or underscores")]
#[non_exhaustive]
pub struct ParseWorkNameError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_work_fit_into_a_path_and_are_bounded() {
        for good in ["build", "a", "Cargo.build-1_x", &"x".repeat(64)] {
            assert_eq!(good.parse::<WorkName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "a b", "ü", "a%2f", &"x".repeat(65)] {
            assert!(bad.parse::<WorkName>().is_err(), "{bad}");
            let json = serde_json::to_string(bad).unwrap();
            assert!(serde_json::from_str::<WorkName>(&json).is_err(), "{bad}");
        }
    }

    #[test]
    fn activity_round_trips_and_work_of_an_unknown_sort_still_counts() {
        let build =
            Work::new("build".parse().unwrap(), WorkSort::Background, Duration::from_secs(9));
        let activity = Activity::quiet(Duration::from_millis(1_500))
            .with_last_input_age(Some(Duration::from_secs(3)))
            .with_warned_for(Some(Duration::from_secs(1)))
            .with_commands(2)
            .with_work(vec![build]);
        let json = serde_json::to_string(&activity).unwrap();
        assert!(json.contains("\"quiet_ms\":1500"), "{json}");
        assert_eq!(serde_json::from_str::<Activity>(&json).unwrap(), activity);

        let newer = r#"{"quiet_ms":0,"work":[{"name":"t","sort":"turn","ends_in_ms":5}],"more":1}"#;
        let newer: Activity = serde_json::from_str(newer).unwrap();
        assert_eq!(newer.work[0].sort, WorkSort::Other);
        assert!(newer.is_working());
        assert!(Activity::quiet(Duration::ZERO).with_commands(1).is_working());
    }
}
