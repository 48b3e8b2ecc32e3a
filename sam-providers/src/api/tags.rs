//! How a thing at a vendor says whose it is, where the vendor's labels are names with values.

use std::collections::BTreeMap;

use sam_core::compute::{Labels, MachineKey};
use sam_core::{Error, ErrorKind, NodeId, Result};

/// The label by which an adapter knows its own: the key that a thing was made under. A thing of the same
/// name without it is somebody else's, and is never touched.
pub(crate) const KEY_LABEL: &str = "sam-key";

/// Labels as a vendor keeps them.
pub(crate) type Tags = BTreeMap<String, String>;

/// Returns what a thing made under a key carries.
///
/// # Errors
/// `BadInput` when a label has the adapter's own name, or begins or ends with something but a letter or
/// a digit, which vendors refuse.
pub(crate) fn tags(labels: &Labels, key: &str) -> Result<Tags> {
    let mut tags = Tags::new();
    for (name, value) in labels.iter() {
        if name == KEY_LABEL || !has_plain_ends(name) || !has_plain_ends(value) {
            let message = format!("the label {name:?}={value:?} is not allowed here");
            return Err(Error::new(ErrorKind::BadInput, message)
                .with_hint("begin and end it with a letter or a digit, and leave sam-key alone"));
        }
        tags.insert(name.to_owned(), value.to_owned());
    }
    tags.insert(KEY_LABEL.to_owned(), key.to_owned());
    Ok(tags)
}

/// Returns whether a text begins and ends with a letter or a digit.
pub(crate) fn has_plain_ends(text: &str) -> bool {
    let plain = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    plain(text.bytes().next()) && plain(text.bytes().next_back())
}

/// Returns the key that a thing was made under; `None` where it is not ours.
pub(crate) fn key_of(tags: &Tags) -> Option<&str> {
    tags.get(KEY_LABEL).map(String::as_str)
}

/// Returns the labels that the caller gave a thing. What people added and [`Labels`] cannot hold is left
/// out, ours never.
pub(crate) fn labels_of(tags: &Tags) -> Labels {
    let (ours, others): (Vec<_>, Vec<_>) = tags
        .iter()
        .filter(|(name, _)| *name != KEY_LABEL)
        .partition(|(name, _)| name.starts_with("sam-"));
    ours.into_iter().chain(others).fold(Labels::default(), |labels, (name, value)| {
        labels.clone().with(name, value).unwrap_or(labels)
    })
}

/// Reads the key of a machine; `None` where the text is none.
pub(crate) fn machine_key(text: &str) -> Option<MachineKey> {
    let key = MachineKey::of(text.parse::<NodeId>().ok()?);
    (key.as_str() == text).then_some(key)
}

/// Says that a name is taken by something that is not ours.
pub(crate) fn taken(what: &str, name: &str) -> Error {
    let message = format!("there is a {what} named {name} already, and it is not ours");
    Error::new(ErrorKind::Conflict, message)
        .with_retry(sam_core::Retry::Never)
        .with_hint(format!("rename or delete it, or give it back its label {KEY_LABEL}={name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_back_and_the_key_beside_them() {
        let labels = Labels::default().with("sam-node", "n").unwrap().with("A.b_c-1", "x").unwrap();
        let mut tags = tags(&labels, "k").unwrap();
        assert_eq!(key_of(&tags), Some("k"));
        assert_eq!(labels_of(&tags), labels);
        // What people add does not push out ours.
        for added in 0..40 {
            tags.insert(format!("added-{added}"), "1".to_owned());
        }
        tags.insert("example.com/x".to_owned(), String::new());
        assert_eq!(labels_of(&tags).value("sam-node"), Some("n"));
        assert_eq!(labels_of(&tags).iter().count(), Labels::COUNT_MAX);
    }

    #[test]
    fn what_a_vendor_would_refuse_is_refused_before() {
        for (name, value) in [("-a", "x"), ("a", "x."), (KEY_LABEL, "other")] {
            let labels = Labels::default().with(name, value).unwrap();
            assert_eq!(tags(&labels, "k").unwrap_err().kind(), ErrorKind::BadInput);
        }
    }

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let key = MachineKey::of(NodeId::from_bits(7));
        assert_eq!(machine_key(key.as_str()), Some(key.clone()));
        assert_eq!(machine_key(&key.as_str().to_uppercase()), None);
        assert_eq!(machine_key("web-1"), None);
    }
}
