//! Records: what the store keeps about one thing.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::feed::Rev;

/// Number of indexed fields a record may have.
pub const INDEX_COUNT: usize = 3;

/// The kind of a record, such as `node`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(Cow<'static, str>);

impl Kind {
    /// Names a kind known at compile time; lower-case letters and underscores.
    pub const fn new(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// Names a kind that was read from a store.
    pub fn from_stored(name: impl Into<String>) -> Self {
        Self(Cow::Owned(name.into()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one record.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct RecordKey {
    /// What it is.
    pub kind: Kind,
    /// Which one; at most [`RecordKey::ID_BYTES_MAX`] bytes.
    pub id: String,
}

impl RecordKey {
    /// Longest id, in bytes.
    pub const ID_BYTES_MAX: usize = 128;

    /// Names a record.
    pub fn new(kind: Kind, id: impl fmt::Display) -> Self {
        Self { kind, id: id.to_string() }
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The values a record can be listed by; each resource documents what it puts where.
pub type Index = [Option<String>; INDEX_COUNT];

/// A record as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Its name.
    pub key: RecordKey,
    /// Counts its writes, from 1.
    pub version: u64,
    /// The revision of its last change.
    pub rev: Rev,
    /// The values it can be listed by.
    pub index: Index,
    /// JSON text, an object with a `format` number; see [`crate::engine::Stored`].
    pub body: Arc<str>,
}

impl Record {
    /// Largest body, in bytes.
    pub const BODY_BYTES_MAX: usize = 256 * 1024;

    /// Longest indexed value, in bytes.
    pub const INDEX_BYTES_MAX: usize = 512;

    /// Puts a record together from stored parts.
    pub fn new(key: RecordKey, version: u64, rev: Rev, index: Index, body: Arc<str>) -> Self {
        Self { key, version, rev, index, body }
    }
}

/// Which indexed value to list by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexField {
    /// The first indexed value.
    First,
    /// The second indexed value.
    Second,
    /// The third indexed value.
    Third,
}

impl IndexField {
    /// Returns its position in [`Index`].
    pub const fn position(self) -> usize {
        match self {
            Self::First => 0,
            Self::Second => 1,
            Self::Third => 2,
        }
    }
}

/// Asks for one page of records.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListQuery {
    /// The kind to list.
    pub kind: Kind,
    /// Only records whose indexed value equals this.
    pub filter: Option<(IndexField, String)>,
    /// Only ids greater than this one, from [`Page::next`](crate::Page::next).
    pub after: Option<String>,
    /// Records per page, 1 to [`ListQuery::LIMIT_MAX`].
    pub limit: usize,
}

impl ListQuery {
    /// Largest page.
    pub const LIMIT_MAX: usize = 200;

    /// Asks for the first page of a kind, of [`ListQuery::LIMIT_MAX`] records.
    pub fn new(kind: Kind) -> Self {
        Self { kind, filter: None, after: None, limit: Self::LIMIT_MAX }
    }

    /// Keeps only records whose indexed value equals `value`.
    #[must_use]
    pub fn with_filter(mut self, field: IndexField, value: impl Into<String>) -> Self {
        self.filter = Some((field, value.into()));
        self
    }

    /// Continues after an id.
    #[must_use]
    pub fn with_after(mut self, after: Option<String>) -> Self {
        self.after = after;
        self
    }

    /// Asks for pages of `limit` records, cut to 1 to [`ListQuery::LIMIT_MAX`].
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, Self::LIMIT_MAX);
        self
    }
}
