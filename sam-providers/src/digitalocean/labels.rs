//! Labels as tags, which have no values and do not tell `A` from `a`. Pure.
//!
//! A label is the tag `name:value`. Tags hold letters, digits, `:`, `-` and `_`, and a tag that somebody
//! once wrote in capitals comes back in capitals everywhere. So only small letters, digits and `-` stand
//! for themselves: `_` begins what stands for something else, `_a` for `A`, `_0` for `.`, `_1` for `_`.

use sam_core::compute::Labels;
use sam_core::{Error, ErrorKind, Result};

use crate::api::{KEY_LABEL, Tags};

/// The tag of everything that an adapter of ours made, to list it by.
pub(super) const MADE: &str = "sam-made";

/// Returns the tags of a thing made under a key. None is longer than 253 characters, of 255.
///
/// # Errors
/// `BadInput` when a label has the adapter's own name.
pub(super) fn tags(labels: &Labels, key: &str) -> Result<Vec<String>> {
    if labels.value(KEY_LABEL).is_some() {
        let message = format!("the label {KEY_LABEL} is the adapter's own");
        return Err(Error::new(ErrorKind::BadInput, message).with_hint("leave it out"));
    }
    let mut all = vec![MADE.to_owned(), key_tag(key)];
    all.extend(labels.iter().map(|(name, value)| tag(name, value)));
    Ok(all)
}

/// Returns the tag of a key.
pub(super) fn key_tag(key: &str) -> String {
    tag(KEY_LABEL, key)
}

/// Returns the tag by which what carries the labels is listed: the fewest things have that of an
/// installation.
pub(super) fn listed_by(labels: &Labels) -> String {
    let name = Labels::INSTALLATION;
    labels.value(name).map_or_else(|| MADE.to_owned(), |value| tag(name, value))
}

/// Reads tags; those of other people that are no labels are left out.
pub(super) fn read(tags: &[String]) -> Tags {
    let pairs = tags.iter().filter_map(|tag| {
        let (name, value) = tag.split_once(':')?;
        Some((decoded(name)?, decoded(value)?))
    });
    pairs.collect()
}

fn tag(name: &str, value: &str) -> String {
    format!("{}:{}", encoded(name), encoded(value))
}

/// Writes a text without capitals, dots and underscores, other than those that begin a pair.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '.' => out.push_str("_0"),
            '_' => out.push_str("_1"),
            'A'..='Z' => out.extend(['_', letter.to_ascii_lowercase()]),
            _ => out.push(letter),
        }
    }
    out
}

/// Reads what was written; `None` where it is nothing that we write, but for capitals that somebody else
/// brought in.
fn decoded(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let (mut out, mut letters) = (String::new(), lower.chars());
    while let Some(letter) = letters.next() {
        out.push(match letter {
            '_' => match letters.next()? {
                '0' => '.',
                '1' => '_',
                capital @ 'a'..='z' => capital.to_ascii_uppercase(),
                _ => return None,
            },
            'a'..='z' | '0'..='9' | '-' => letter,
            _ => return None,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{key_of, labels_of};

    #[test]
    fn labels_come_back_and_the_key_beside_them() {
        let long = "Z".repeat(63);
        let labels = Labels::default()
            .with("sam-node", "n")
            .and_then(|labels| labels.with("A.b_c-1", "._-"))
            .and_then(|labels| labels.with("a.b_c-1", "B_A"))
            .and_then(|labels| labels.with(&long, &long))
            .unwrap();
        let mut tags = tags(&labels, "k.V_1").unwrap();
        for tag in &tags {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b":-_".contains(&byte);
            assert!(tag.len() <= 255 && tag.bytes().all(legal), "{tag}");
        }
        // Somebody had them in capitals before, and people add their own.
        for tag in &mut tags {
            tag.make_ascii_uppercase();
        }
        tags.extend(["web", "a:b:c", ":", "_", "x_:y", "x_9:y"].map(str::to_owned));
        let read = read(&tags);
        assert_eq!(key_of(&read), Some("k.V_1"));
        assert_eq!(labels_of(&read), labels);
    }

    #[test]
    fn the_key_is_nobody_elses_label() {
        let labels = Labels::default().with(KEY_LABEL, "other").unwrap();
        assert_eq!(tags(&labels, "k").unwrap_err().kind(), ErrorKind::BadInput);
    }
}
