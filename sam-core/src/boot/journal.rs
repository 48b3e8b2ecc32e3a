//! How much a machine's journal keeps, and for how long.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// An amount of disk as journald writes it: a whole number and `K`, `M`, `G` or `T` (powers of 1024),
/// from [`Self::BYTES_MIN`] to [`Self::BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JournalSize {
    number: u64,
    unit: char,
}

impl JournalSize {
    /// Smallest amount: 16 MiB. Below it journald cannot keep two files of its least size.
    pub const BYTES_MIN: u64 = 16 << 20;
    /// Largest amount: 1 TiB.
    pub const BYTES_MAX: u64 = 1 << 40;

    /// Returns it in bytes.
    pub fn bytes(self) -> u64 {
        self.number.saturating_mul(unit_bytes(self.unit).unwrap_or(1))
    }
}

const fn unit_bytes(unit: char) -> Option<u64> {
    match unit {
        'K' => Some(1 << 10),
        'M' => Some(1 << 20),
        'G' => Some(1 << 30),
        'T' => Some(1 << 40),
        _ => None,
    }
}

impl FromStr for JournalSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = || {
            let shown: String = text.chars().take(32).collect();
            Error::new(ErrorKind::BadInput, format!("{shown:?} is no size of a journal"))
                .with_hint("write it as 500M or 1G, from 16M to 1T")
        };
        let unit = text.chars().last().filter(|&unit| unit_bytes(unit).is_some());
        let unit = unit.ok_or_else(refused)?;
        let number =
            whole_number(text.strip_suffix(unit).unwrap_or_default()).ok_or_else(refused)?;
        let size = Self { number, unit };
        let allowed = Self::BYTES_MIN..=Self::BYTES_MAX;
        if allowed.contains(&size.bytes()) { Ok(size) } else { Err(refused()) }
    }
}

/// Digits alone: no sign, no space, no zero before them, nothing that another parser could read as
/// more. So one value has one text.
fn whole_number(text: &str) -> Option<u64> {
    let digits = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && !text.starts_with('0') { text.parse().ok() } else { None }
}

impl fmt::Display for JournalSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.number, self.unit)
    }
}

/// A span as journald writes it: a whole number and `h`, `day`, `week` or `month`, from an hour to
/// [`Self::HOURS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JournalSpan {
    number: u64,
    unit: SpanUnit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SpanUnit {
    Hour,
    Day,
    Week,
    Month,
}

impl SpanUnit {
    /// The hour last: its letter ends the word for the month, too.
    const ALL: [Self; 4] = [Self::Month, Self::Week, Self::Day, Self::Hour];

    const fn code(self) -> &'static str {
        match self {
            Self::Hour => "h",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    const fn hours(self) -> u64 {
        match self {
            Self::Hour => 1,
            Self::Day => 24,
            Self::Week => 24 * 7,
            Self::Month => 24 * 31,
        }
    }
}

impl JournalSpan {
    /// Longest span: 400 days.
    pub const HOURS_MAX: u64 = 400 * 24;

    /// Returns it in hours; a month has 31 days.
    pub const fn hours(self) -> u64 {
        self.number.saturating_mul(self.unit.hours())
    }
}

impl FromStr for JournalSpan {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = || {
            let shown: String = text.chars().take(32).collect();
            Error::new(ErrorKind::BadInput, format!("{shown:?} is no span of a journal"))
                .with_hint("write it as 12h, 7day, 2week or 1month, from 1h to 400day")
        };
        let unit = SpanUnit::ALL.into_iter().find(|unit| text.ends_with(unit.code()));
        let unit = unit.ok_or_else(refused)?;
        let number = text.strip_suffix(unit.code()).and_then(whole_number).ok_or_else(refused)?;
        let span = Self { number, unit };
        if (1..=Self::HOURS_MAX).contains(&span.hours()) { Ok(span) } else { Err(refused()) }
    }
}

impl fmt::Display for JournalSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.number, self.unit.code())
    }
}

macro_rules! text_form {
    ($($type:ty),*) => {$(
        impl TryFrom<String> for $type {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )*};
}

text_form!(JournalSize, JournalSpan);

/// How much the journal of a machine keeps. It is always on the disk, and compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalLimits {
    /// Most disk it takes (`SystemMaxUse`).
    pub max_use: JournalSize,
    /// What it leaves free at least (`SystemKeepFree`).
    pub keep_free: JournalSize,
    /// How long an entry is kept at most (`MaxRetentionSec`).
    pub max_retention: JournalSpan,
}

impl Default for JournalLimits {
    /// Half a GiB at most, a GiB left free, a week: what the system that this replaces keeps.
    fn default() -> Self {
        Self {
            max_use: JournalSize { number: 500, unit: 'M' },
            keep_free: JournalSize { number: 1, unit: 'G' },
            max_retention: JournalSpan { number: 7, unit: SpanUnit::Day },
        }
    }
}

impl JournalLimits {
    /// Returns them with what one node wants otherwise.
    #[must_use]
    pub fn overridden(self, by: &JournalOverrides) -> Self {
        Self {
            max_use: by.max_use.unwrap_or(self.max_use),
            keep_free: by.keep_free.unwrap_or(self.keep_free),
            max_retention: by.max_retention.unwrap_or(self.max_retention),
        }
    }

    /// `/etc/systemd/journald.conf.d/sam.conf`.
    pub(super) fn to_conf(self) -> String {
        let Self { max_use, keep_free, max_retention } = self;
        format!(
            "[Journal]\nStorage=persistent\nCompress=yes\nSystemMaxUse={max_use}\n\
             SystemKeepFree={keep_free}\nMaxRetentionSec={max_retention}\n"
        )
    }
}

/// What one node wants otherwise.
///
/// ```
/// use sam_core::boot::{JournalLimits, JournalOverrides};
/// let json = r#"{"logJournalMaxUse": "2G", "logJournalMaxRetention": "1month"}"#;
/// let overrides: JournalOverrides = serde_json::from_str(json)?;
/// let limits = JournalLimits::default().overridden(&overrides);
/// assert_eq!(limits.max_use.to_string(), "2G");
/// assert_eq!(limits.keep_free.to_string(), "1G");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct JournalOverrides {
    /// `SystemMaxUse`.
    #[serde(default, rename = "logJournalMaxUse", skip_serializing_if = "Option::is_none")]
    pub max_use: Option<JournalSize>,
    /// `SystemKeepFree`.
    #[serde(default, rename = "logJournalKeepFree", skip_serializing_if = "Option::is_none")]
    pub keep_free: Option<JournalSize>,
    /// `MaxRetentionSec`.
    #[serde(default, rename = "logJournalMaxRetention", skip_serializing_if = "Option::is_none")]
    pub max_retention: Option<JournalSpan>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_and_spans_are_bounded_and_written_as_they_were_read() {
        for good in ["500M", "1G", "16M", "1T", "16384K"] {
            assert_eq!(good.parse::<JournalSize>().unwrap().to_string(), good);
        }
        let (mib, gib) =
            ("500M".parse::<JournalSize>().unwrap(), "1G".parse::<JournalSize>().unwrap());
        assert_eq!((mib.bytes(), gib.bytes()), (500 * 1024 * 1024, 1024 * 1024 * 1024));
        for bad in
            ["", "M", "500", "15M", "2T", "1g", "-1G", "+1G", "1.5G", "1G ", " 1G", "1G\nX=1"]
        {
            assert_eq!(
                bad.parse::<JournalSize>().unwrap_err().kind(),
                ErrorKind::BadInput,
                "{bad:?}"
            );
        }
        for good in ["7day", "12h", "2week", "1month", "400day"] {
            assert_eq!(good.parse::<JournalSpan>().unwrap().to_string(), good);
        }
        assert_eq!("2week".parse::<JournalSpan>().unwrap().hours(), 336);
        for bad in
            ["", "day", "7", "0h", "401day", "7days", "7 day", "7day\n", "1year", "999999999month"]
        {
            assert_eq!(
                bad.parse::<JournalSpan>().unwrap_err().kind(),
                ErrorKind::BadInput,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn overrides_are_known_by_their_names_and_nothing_else_is() {
        let read = |json| serde_json::from_str::<JournalOverrides>(json);
        let json =
            r#"{"logJournalMaxUse":"2G","logJournalKeepFree":"4G","logJournalMaxRetention":"12h"}"#;
        let overrides = read(json).unwrap();
        assert_eq!(serde_json::to_string(&overrides).unwrap(), json);
        let conf = JournalLimits::default().overridden(&overrides).to_conf();
        for line in ["SystemMaxUse=2G", "SystemKeepFree=4G", "MaxRetentionSec=12h"] {
            assert!(conf.lines().any(|found| found == line), "{conf}");
        }
        let none = read("{}").unwrap();
        assert_eq!(JournalLimits::default().overridden(&none), JournalLimits::default());
        for bad in [r#"{"logJournalMaxUse":"lots"}"#, r#"{"logJournal":"1G"}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_is_one_plain_word(text in "\\PC{0,12}|[0-9]{1,10}[KMGThday]{1,4}") {
            let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if let Ok(size) = text.parse::<JournalSize>() {
                prop_assert_eq!(size.to_string(), &*text);
                prop_assert!(plain(&text));
            }
            if let Ok(span) = text.parse::<JournalSpan>() {
                prop_assert_eq!(span.to_string(), &*text);
                prop_assert!(plain(&text));
            }
        }
    }
}
