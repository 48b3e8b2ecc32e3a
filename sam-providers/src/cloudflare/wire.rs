//! What goes over the wire, and how one record is written and read.

use sam_core::dns::{RecordKey, RecordSet, RecordType, RecordValue};
use serde::{Deserialize, Serialize};
use serde_json::Number;

/// What Cloudflare calls automatic, and what every proxied record reads as.
pub(super) const TTL_AUTOMATIC: u32 = 1;
/// What automatic means, in seconds.
const TTL_AUTOMATIC_SECS: u32 = 300;

/// Any good answer. `success` is not looked at here: the dialect did, and some answers lack it.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<T> {
    pub(super) result: Option<T>,
    pub(super) result_info: Option<ResultInfo>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct ResultInfo {
    total_count: Option<Number>,
}

impl ResultInfo {
    pub(super) fn total(&self) -> Option<usize> {
        usize::try_from(whole(self.total_count.as_ref()?)?).ok()
    }
}

/// What comes back for something that was deleted or changed together; nothing of it is needed.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Ignored(serde::de::IgnoredAny);

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    name: String,
    #[serde(rename = "type")]
    code: String,
    content: Option<String>,
    #[serde(default)]
    pub(super) proxied: Option<bool>,
    ttl: Number,
}

impl Record {
    /// Returns the name and the type, if both are such as SAM puts.
    pub(super) fn key(&self) -> Option<RecordKey> {
        let record_type = RecordType::from_code(&self.code)?;
        Some(RecordKey::new(self.name.parse().ok()?, record_type))
    }

    /// Returns the value; `None` for one that SAM never puts.
    pub(super) fn value(&self) -> Option<RecordValue> {
        let content = self.content.as_deref()?;
        match RecordType::from_code(&self.code)? {
            RecordType::A => content.parse().ok().map(RecordValue::A),
            RecordType::Aaaa => content.parse().ok().map(RecordValue::Aaaa),
            RecordType::Cname => content.parse().ok().map(RecordValue::Cname),
            RecordType::Txt => RecordValue::txt(&unquoted(content)?).ok(),
            _ => None,
        }
    }

    /// Returns the time to live as it is written.
    pub(super) fn ttl(&self) -> Option<u32> {
        u32::try_from(whole(&self.ttl)?).ok()
    }

    /// Returns the time to live that is meant, in seconds.
    pub(super) fn ttl_secs(&self) -> u32 {
        match self.ttl() {
            Some(TTL_AUTOMATIC) | None => TTL_AUTOMATIC_SECS,
            Some(seconds) => seconds,
        }
    }
}

/// A whole number, which clients with types of their own may have made a float of.
fn whole(number: &Number) -> Option<u64> {
    number.as_u64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && *float >= 0.0)?;
        format!("{float:.0}").parse().ok()
    })
}

/// A record as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Wanted {
    #[serde(rename = "type")]
    record_type: &'static str,
    name: String,
    content: String,
    pub(super) ttl: u32,
    /// Left out where nothing can be proxied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) proxied: Option<bool>,
    /// Left out where a record is changed: it keeps what it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

impl Wanted {
    /// One value of a set, without comment and tags.
    pub(super) fn new(set: &RecordSet, value: &RecordValue, proxied: bool) -> Self {
        let key = set.key();
        let can_be_proxied = key.record_type != RecordType::Txt;
        Self {
            record_type: key.record_type.code(),
            name: key.name.to_string(),
            content: match value {
                RecordValue::Txt(text) => quoted(text.as_str()),
                other => other.to_string(),
            },
            ttl: if proxied && can_be_proxied { TTL_AUTOMATIC } else { set.ttl().as_secs() },
            proxied: can_be_proxied.then_some(proxied),
            comment: None,
            tags: Vec::new(),
        }
    }

    /// With what a new record is given.
    #[must_use]
    pub(super) fn with_notes(mut self, comment: Option<&str>, tags: &[String]) -> Self {
        self.comment = comment.map(str::to_owned);
        self.tags = tags.to_vec();
        self
    }
}

/// A record that is there, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Patch {
    pub(super) id: String,
    #[serde(flatten)]
    pub(super) to: Wanted,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Delete {
    pub(super) id: String,
}

/// Changes that are carried out together, or none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Changes {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) deletes: Vec<Delete>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) patches: Vec<Patch>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) posts: Vec<Wanted>,
}

impl Changes {
    pub(super) fn len(&self) -> usize {
        self.deletes.len() + self.patches.len() + self.posts.len()
    }
}

/// A zone.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct WireZone {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) status: Option<String>,
    #[serde(default)]
    pub(super) paused: Option<bool>,
    #[serde(default)]
    pub(super) name_servers: Option<Vec<String>>,
    #[serde(default)]
    pub(super) account: Option<WireAccount>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct WireAccount {
    pub(super) id: Option<String>,
}

/// What a token says of itself.
#[derive(Debug, Deserialize)]
pub(super) struct WireToken {
    pub(super) id: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) expires_on: Option<String>,
    #[serde(default)]
    pub(super) not_before: Option<String>,
}

/// A text as one string of a zone file. Cloudflare takes others, and shows this form.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The text of a `TXT` record: strings of a zone file put together, or, as it was shown until 2024,
/// the text as it is. `None` for bytes that are no text.
fn unquoted(content: &str) -> Option<String> {
    if !content.starts_with('"') {
        return Some(content.to_owned());
    }
    match strings(content) {
        Some(bytes) => String::from_utf8(bytes).ok(),
        // It only begins like one.
        None => Some(content.to_owned()),
    }
}

/// Reads strings in quotes with blanks between them; `None` when it is something else.
fn strings(content: &str) -> Option<Vec<u8>> {
    let mut bytes = content.bytes();
    let mut text = Vec::with_capacity(content.len());
    let mut inside = false;
    while let Some(byte) = bytes.next() {
        match (inside, byte) {
            (_, b'"') => inside = !inside,
            (false, b' ' | b'\t') => {}
            (false, _) => return None,
            (true, b'\\') => text.push(match bytes.next()? {
                first @ b'0'..=b'9' => {
                    let digits = [first, bytes.next()?, bytes.next()?];
                    std::str::from_utf8(&digits).ok()?.parse().ok()?
                }
                escaped => escaped,
            }),
            (true, other) => text.push(other),
        }
    }
    (!inside).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_in_every_form() {
        for (content, text) in [
            ("v=1; a  b", "v=1; a  b"),
            ("\"v=1\"", "v=1"),
            ("\"one \" \"two\"", "one two"),
            ("\"a\\\"b\\\\c\\034d\"", "a\"b\\c\"d"),
            ("\"open", "\"open"),
            ("\"a\" b", "\"a\" b"),
        ] {
            assert_eq!(unquoted(content).as_deref(), Some(text), "{content}");
        }
        assert_eq!(unquoted("\"\\255\""), None);
        for text in ["plain", "\"", "\\", "a \"b\" \\ c", "\\034"] {
            assert_eq!(unquoted(&quoted(text)).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_time_to_live_may_be_a_float_and_automatic() {
        let record = |ttl: &str| {
            let text = format!(
                "{{\"id\":\"1\",\"name\":\"A.example.com\",\"type\":\"A\",\"content\":\"192.0.2.1\",\"ttl\":{ttl}}}"
            );
            serde_json::from_str::<Record>(&text).unwrap()
        };
        for (ttl, secs) in [("60", 60), ("60.0", 60), ("1", 300), ("1.0", 300), ("60.5", 300)] {
            assert_eq!(record(ttl).ttl_secs(), secs, "{ttl}");
        }
        assert_eq!(record("60").key().unwrap().name.as_str(), "a.example.com");
    }
}
