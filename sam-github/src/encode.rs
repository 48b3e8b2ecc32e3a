//! Text for URLs and forms, both ways.

use std::fmt::Write as _;

/// Appends a text so that it stands for itself in any part of a URL and in a form.
fn put(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ok = write!(out, "%{byte:02X}");
        }
    }
}

/// Writes bytes in hex.
pub(crate) fn hex(bytes: impl IntoIterator<Item = u8>) -> String {
    bytes.into_iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ok = write!(text, "{byte:02x}");
        text
    })
}

/// Encodes one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    put(&mut out, text);
    out
}

/// Encodes pairs of a query or a form.
pub(crate) fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        put(&mut out, name);
        out.push('=');
        put(&mut out, value);
    }
    out
}

/// Reads the pairs of a query or a form; bytes that are no text become the replacement character.
pub(crate) fn read_pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

fn decoded(text: &str) -> String {
    String::from_utf8(decoded_bytes(text.as_bytes()))
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Undoes the encoding of a form's value; what is no escape stands for itself.
pub(crate) fn decoded_bytes(text: &[u8]) -> Vec<u8> {
    let hex = |byte: Option<&u8>| {
        let digit = char::from(*byte?).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match (first, hex(after.first()), hex(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4) | low);
                rest = after.get(2..).unwrap_or_default();
            }
            (b'+', ..) => out.push(b' '),
            (other, ..) => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let odd = [("a b", "1+2=3&4"), ("ü", "%41"), ("empty", "")];
        let text = pairs(odd);
        assert_eq!(text, "a%20b=1%2B2%3D3%264&%C3%BC=%2541&empty=");
        let read: Vec<_> = read_pairs(&text).collect();
        let expected: Vec<_> = odd.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        assert_eq!(read, expected);
        assert_eq!(decoded("a+b%2"), "a b%2");
        assert_eq!(decoded("%ff"), "\u{fffd}");
        assert_eq!(segment("a/b?"), "a%2Fb%3F");
    }
}
