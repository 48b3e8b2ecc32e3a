//! DNS: the names under which nodes and workspaces are reached.
//!
//! The unit is the *record set*: all values of one type under one name, with one time to live.
//! Names, values and times are parsed at the edge, so that no adapter sees one that is wrong.

mod forward;
mod memory;
mod name;
mod names;
mod owned;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use async_trait::async_trait;

pub use self::memory::MemoryDns;
pub use self::name::{ParseRecordNameError, RecordName};
pub use self::names::InstallationNames;
pub use self::owned::OwnedNames;
use crate::error::{Error, ErrorKind, Result};
use crate::page::Page;

/// Puts, lists and deletes record sets of one zone.
///
/// # Contract
/// - **C1** `put_record` creates the set or replaces all of it; putting the same twice is putting
///   it once.
/// - **C2** `delete_record` of the absent succeeds.
/// - **C3** After `put_record` succeeded, `record` and `list_records` show exactly that set.
/// - **C4** `record` returns `None` only when the provider is sure that there is none.
/// - **C5** `list_records` returns whole pages in the order of their keys, or an error; never a part
///   of a set.
/// - **C6** A `CNAME` stands alone: putting one beside other types, or another type beside it, is
///   `Conflict`.
/// - **C7** A name outside the zone is `BadInput`, and a time to live below what
///   [`DnsProvider::capabilities`] names is raised to it.
/// - **C8** Every name and every set that can be made is taken: labels of 63 characters,
///   [`RecordSet::VALUES_MAX`] values.
///
/// ```
/// use sam_core::dns::{DnsProvider, MemoryDns, RecordKey, RecordSet, RecordType, RecordValue, Ttl};
/// # futures_util::future::FutureExt::now_or_never(async {
/// let dns = MemoryDns::new("example.com".parse()?);
/// let name = "ws-1.example.com".parse::<sam_core::dns::RecordName>()?;
/// let value = RecordValue::A("192.0.2.1".parse()?);
/// dns.put_record(&RecordSet::new(name.clone(), [value], Ttl::DEFAULT)?).await?;
/// let key = RecordKey::new(name, RecordType::A);
/// assert!(dns.record(&key).await?.is_some());
/// dns.delete_record(&key).await?;
/// assert!(dns.record(&key).await?.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap().unwrap();
/// ```
#[async_trait]
pub trait DnsProvider: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// Returns the facts a caller plans with.
    fn capabilities(&self) -> DnsCapabilities;

    /// Creates a record set, or replaces it. Repeatable.
    ///
    /// # Errors
    /// `BadInput` for a name outside the zone; `Conflict` beside a `CNAME`; `QuotaExceeded`,
    /// `RateLimited`, `Unavailable`, `Timeout`, …; check `effect()`.
    async fn put_record(&self, record: &RecordSet) -> Result<()>;

    /// Returns the record set of a key.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, …; absence is not an error.
    async fn record(&self, key: &RecordKey) -> Result<Option<RecordSet>>;

    /// Returns one page of the record sets at and below a name.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, …
    async fn list_records(&self, query: &ListRecords) -> Result<Page<RecordSet>>;

    /// Deletes the record set of a key with all its values. Repeatable.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, …; absence is not an error.
    async fn delete_record(&self, key: &RecordKey) -> Result<()>;
}

/// Facts a caller plans with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DnsCapabilities {
    /// The shortest time to live that is kept; shorter ones are raised to it.
    pub ttl_min: Ttl,
    /// The longest a change may take until every server of the zone answers with it.
    pub propagates_within: Duration,
}

impl DnsCapabilities {
    /// Describes a provider.
    pub const fn new(ttl_min: Ttl, propagates_within: Duration) -> Self {
        Self { ttl_min, propagates_within }
    }
}

/// The types of records that SAM puts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RecordType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Another name.
    Cname,
    /// Text, for proofs of ownership.
    Txt,
}

impl RecordType {
    /// Returns the word of the DNS for it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Txt => "TXT",
        }
    }

    /// Returns the type that [`RecordType::code`] names.
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::A, Self::Aaaa, Self::Cname, Self::Txt].into_iter().find(|t| t.code() == code)
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// One value of a record set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RecordValue {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Another name.
    Cname(RecordName),
    /// A text; made by [`RecordValue::txt`].
    Txt(TxtValue),
}

impl RecordValue {
    /// Makes a text value.
    ///
    /// # Errors
    /// `BadInput` when it is empty, longer than [`TxtValue::BYTES_MAX`] bytes or not printable
    /// ASCII.
    pub fn txt(text: &str) -> Result<Self> {
        let printable = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        if text.is_empty() || text.len() > TxtValue::BYTES_MAX || !printable {
            return Err(Error::new(
                ErrorKind::BadInput,
                "a text record holds 1 to 255 printable ASCII characters",
            ));
        }
        Ok(Self::Txt(TxtValue(text.to_owned())))
    }

    /// Returns its type.
    pub const fn record_type(&self) -> RecordType {
        match self {
            Self::A(_) => RecordType::A,
            Self::Aaaa(_) => RecordType::Aaaa,
            Self::Cname(_) => RecordType::Cname,
            Self::Txt(_) => RecordType::Txt,
        }
    }
}

impl fmt::Display for RecordValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(address) => write!(f, "{address}"),
            Self::Aaaa(address) => write!(f, "{address}"),
            Self::Cname(name) => write!(f, "{name}"),
            Self::Txt(text) => f.write_str(text.as_str()),
        }
    }
}

/// A text that fits one string of a `TXT` record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxtValue(String);

impl TxtValue {
    /// Longest text, in bytes: the DNS counts a string's length in one byte.
    pub const BYTES_MAX: usize = 255;

    /// Returns the text, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How long a resolver may keep an answer: [`Ttl::MIN`] to [`Ttl::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ttl(u32);

impl Ttl {
    /// 30 seconds, the least that any provider we know keeps.
    pub const MIN: Self = Self(30);
    /// A minute: an address of a workspace changes whenever its node does.
    pub const DEFAULT: Self = Self(60);
    /// A day.
    pub const MAX: Self = Self(86_400);

    /// Makes a time to live from seconds.
    ///
    /// # Errors
    /// `BadInput` outside 30 to 86,400 seconds.
    pub fn from_secs(seconds: u32) -> Result<Self> {
        if (Self::MIN.0..=Self::MAX.0).contains(&seconds) {
            Ok(Self(seconds))
        } else {
            Err(Error::new(
                ErrorKind::BadInput,
                format!("a time to live is 30 to 86400 seconds, not {seconds}"),
            ))
        }
    }

    /// Returns the seconds.
    pub const fn as_secs(self) -> u32 {
        self.0
    }
}

impl Default for Ttl {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Which record set: a name and a type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct RecordKey {
    /// The name.
    pub name: RecordName,
    /// The type.
    pub record_type: RecordType,
}

impl RecordKey {
    /// Puts a key together.
    pub const fn new(name: RecordName, record_type: RecordType) -> Self {
        Self { name, record_type }
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.record_type, self.name)
    }
}

/// All values of one type under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSet {
    key: RecordKey,
    values: BTreeSet<RecordValue>,
    ttl: Ttl,
}

impl RecordSet {
    /// Most values in one set.
    pub const VALUES_MAX: usize = 16;

    /// Makes a set; its type is that of its values.
    ///
    /// # Errors
    /// `BadInput` for no value, more than [`RecordSet::VALUES_MAX`], values of several types, or
    /// more than one `CNAME`.
    pub fn new(
        name: RecordName,
        values: impl IntoIterator<Item = RecordValue>,
        ttl: Ttl,
    ) -> Result<Self> {
        let refuse = |why: &str| Err(Error::new(ErrorKind::BadInput, why));
        // One more than allowed is enough to know that it is too many.
        let values: BTreeSet<RecordValue> = values.into_iter().take(Self::VALUES_MAX + 1).collect();
        let Some(record_type) = values.first().map(RecordValue::record_type) else {
            return refuse("a record set has at least one value");
        };
        if values.len() > Self::VALUES_MAX {
            return refuse("a record set has at most 16 values");
        }
        if values.iter().any(|value| value.record_type() != record_type) {
            return refuse("the values of a record set have one type");
        }
        if record_type == RecordType::Cname && values.len() > 1 {
            return refuse("a name has at most one CNAME");
        }
        Ok(Self { key: RecordKey::new(name, record_type), values, ttl })
    }

    /// Returns its name and type.
    pub const fn key(&self) -> &RecordKey {
        &self.key
    }

    /// Returns its values, ordered and each once.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &RecordValue> {
        self.values.iter()
    }

    /// Returns its time to live.
    pub const fn ttl(&self) -> Ttl {
        self.ttl
    }

    /// Raises the time to live to at least `ttl`.
    #[must_use]
    pub fn with_ttl_at_least(mut self, ttl: Ttl) -> Self {
        self.ttl = self.ttl.max(ttl);
        self
    }
}

/// Asks for one page of record sets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListRecords {
    /// Lists this name and everything below it.
    pub under: RecordName,
    /// Continues a listing, from [`Page::next`](crate::Page::next).
    pub after: Option<String>,
}

impl ListRecords {
    /// Most sets on a page.
    pub const LIMIT_MAX: usize = 100;

    /// Asks for the first page.
    pub const fn new(under: RecordName) -> Self {
        Self { under, after: None }
    }

    /// Continues a listing.
    #[must_use]
    pub fn with_after(mut self, after: Option<String>) -> Self {
        self.after = after;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RecordName {
        text.parse().unwrap()
    }

    #[test]
    fn a_set_has_one_type_and_a_bounded_number_of_values() {
        let v4 = |last| RecordValue::A(Ipv4Addr::new(192, 0, 2, last));
        let v6 = RecordValue::Aaaa(Ipv6Addr::LOCALHOST);
        let make = |values: Vec<RecordValue>| RecordSet::new(name("a.example"), values, Ttl::MIN);
        assert_eq!(make(vec![]).unwrap_err().kind(), ErrorKind::BadInput);
        assert_eq!(make(vec![v4(1), v6]).unwrap_err().kind(), ErrorKind::BadInput);
        assert_eq!(make((0..17).map(v4).collect()).unwrap_err().kind(), ErrorKind::BadInput);
        assert_eq!(make(vec![v4(1), v4(1)]).unwrap().values().len(), 1);
        let cname = |to| RecordValue::Cname(name(to));
        make(vec![cname("b.example"), cname("c.example")]).unwrap_err();
    }

    #[test]
    fn texts_and_times_have_bounds() {
        RecordValue::txt(&"x".repeat(255)).unwrap();
        for wrong in [String::new(), "x".repeat(256), "a\nb".to_owned(), "\u{e4}".to_owned()] {
            assert_eq!(RecordValue::txt(&wrong).unwrap_err().kind(), ErrorKind::BadInput);
        }
        assert!(Ttl::from_secs(29).is_err() && Ttl::from_secs(86_401).is_err());
        assert_eq!(Ttl::from_secs(60).unwrap(), Ttl::default());
    }

    #[test]
    fn the_words_of_the_dns_read_back() {
        for code in ["A", "AAAA", "CNAME", "TXT"] {
            assert_eq!(RecordType::from_code(code).map(RecordType::code), Some(code));
        }
        assert_eq!(RecordType::from_code("MX"), None);
    }
}
