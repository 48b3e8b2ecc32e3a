//! Records as typed values: encoding, decoding and the steps from one format to the next.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::store::{Index, Kind, Record, RecordKey};

/// A typed record. Its JSON is an object with a `format` number.
pub trait Stored: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static {
    /// The kind it is stored under.
    const KIND: Kind;
    /// The format this code writes.
    const FORMAT: u32;

    /// Returns its key.
    fn key(&self) -> RecordKey;

    /// Returns the values it can be listed by.
    fn index(&self) -> Index;

    /// Returns the format it was read in.
    fn format(&self) -> u32;

    /// Lifts a body from format `from` to `from + 1`. A record in its first format needs no step: nothing
    /// older was ever written.
    ///
    /// # Errors
    /// `Corrupt` when the body is not of that format.
    fn upcast(from: u32, body: Value) -> Result<Value> {
        drop(body);
        let message = format!("no {} was ever written in format {from}", Self::KIND);
        Err(Error::new(ErrorKind::Corrupt, message))
    }
}

/// A record together with the version it had.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stamped<R> {
    /// The record.
    pub record: R,
    /// Its version in the store.
    pub version: u64,
}

impl<R> Stamped<R> {
    /// Puts the two together.
    pub const fn new(record: R, version: u64) -> Self {
        Self { record, version }
    }
}

/// Writes a record's body.
///
/// # Errors
/// `Bug` when the record cannot be written as JSON.
pub fn encode<R: Stored>(record: &R) -> Result<String> {
    serde_json::to_string(record).map_err(|error| {
        Error::new(ErrorKind::Bug, format!("a {} cannot be encoded", R::KIND)).with_source(error)
    })
}

/// Reads a record of today's or an older format.
///
/// # Errors
/// `Corrupt` when it cannot be read; `Unsupported` when a newer version wrote it.
pub fn decode<R: Stored>(stored: &Record) -> Result<Stamped<R>> {
    let version = stored.version;
    if let Ok(record) = serde_json::from_str::<R>(&stored.body)
        && record.format() == R::FORMAT
    {
        return Ok(Stamped { record, version });
    }
    let corrupt = |error: serde_json::Error| {
        Error::new(ErrorKind::Corrupt, format!("{} cannot be read", stored.key)).with_source(error)
    };
    let mut body: Value = serde_json::from_str(&stored.body).map_err(corrupt)?;
    let format = body.get("format").and_then(Value::as_u64).unwrap_or(0);
    let mut format = u32::try_from(format).unwrap_or(u32::MAX);
    if format > R::FORMAT {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("{} has format {format}, this version reads up to {}", stored.key, R::FORMAT),
        )
        .with_hint("start a version at least as new as the one that wrote it"));
    }
    while format < R::FORMAT {
        body = R::upcast(format, body)?;
        format += 1;
    }
    let record = serde_json::from_value(body).map_err(corrupt)?;
    Ok(Stamped { record, version })
}
