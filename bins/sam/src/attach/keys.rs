//! The keys that detach, and finding them in what is typed.

use std::fmt;
use std::str::FromStr;

/// Most keys of a sequence.
const KEYS_MAX: usize = 8;

/// A sequence of keys that detaches; empty means none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DetachKey(Vec<u8>);

/// The text names no keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParseKeyError;

impl std::error::Error for ParseKeyError {}

impl fmt::Display for ParseKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write keys as `ctrl-]`, `ctrl-p,ctrl-q`, `x`, or `none`; at most 8")
    }
}

impl FromStr for DetachKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        let keys = text.split(',').map(key).collect::<Option<Vec<u8>>>().ok_or(ParseKeyError)?;
        if keys.len() > KEYS_MAX { Err(ParseKeyError) } else { Ok(Self(keys)) }
    }
}

fn key(text: &str) -> Option<u8> {
    let single = |text: &str| match text.as_bytes() {
        [byte] if byte.is_ascii_graphic() => Some(*byte),
        _ => None,
    };
    match text.strip_prefix("ctrl-") {
        Some(rest) => match single(rest)?.to_ascii_uppercase() {
            byte @ b'@'..=b'_' => Some(byte - b'@'),
            _ => None,
        },
        None => single(text),
    }
}

impl fmt::Display for DetachKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (position, byte) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            match byte {
                0..=0x1f => {
                    write!(f, "{comma}ctrl-{}", char::from(byte + b'@').to_ascii_lowercase())?;
                }
                _ => write!(f, "{comma}{}", char::from(*byte))?,
            }
        }
        Ok(())
    }
}

/// Finds the keys, wherever the reads cut them.
#[derive(Debug)]
pub(crate) struct KeyScanner {
    key: Vec<u8>,
    held: Vec<u8>,
}

/// What was found in a piece of input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// What to pass on.
    pub(crate) forward: Vec<u8>,
    /// The keys were there; what followed them is dropped.
    pub(crate) detached: bool,
}

impl KeyScanner {
    pub(crate) fn new(key: &DetachKey) -> Self {
        Self { key: key.0.clone(), held: Vec::new() }
    }

    /// Takes the next piece. A beginning of the keys is held back until it is known what it is.
    pub(crate) fn scan(&mut self, piece: &[u8]) -> Scanned {
        if self.key.is_empty() {
            return Scanned { forward: piece.to_vec(), detached: false };
        }
        let mut forward = Vec::with_capacity(piece.len() + self.held.len());
        for byte in piece {
            self.held.push(*byte);
            while !self.key.starts_with(&self.held) {
                forward.push(self.held.remove(0));
            }
            if self.held == self.key {
                self.held.clear();
                return Scanned { forward, detached: true };
            }
        }
        Scanned { forward, detached: false }
    }

    /// Returns what is held back, at the end of the input.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanner(key: &str) -> KeyScanner {
        KeyScanner::new(&key.parse().unwrap())
    }

    #[test]
    fn keys_are_written_as_they_are_read() {
        for text in ["ctrl-]", "ctrl-p,ctrl-q", "none", "x", "ctrl-@", "ctrl-a,d"] {
            assert_eq!(text.parse::<DetachKey>().unwrap().to_string(), text);
        }
        assert_eq!("ctrl-]".parse(), Ok(DetachKey(vec![0x1d])));
        for bad in ["", "ctrl-", "ctrl-1", "ctrl-ab", "ab", "a,,b", "ä", "a,a,a,a,a,a,a,a,a"] {
            assert_eq!(bad.parse::<DetachKey>(), Err(ParseKeyError), "{bad}");
        }
    }

    #[test]
    fn keys_are_found_wherever_the_input_is_cut() {
        let input = b"x\x10y\x10\x10\x11rest";
        for cut in 0..=input.len() {
            let mut scanner = scanner("ctrl-p,ctrl-q");
            let (left, right) = input.split_at(cut);
            let first = scanner.scan(left);
            let mut forward = first.forward;
            let mut detached = first.detached;
            if !detached {
                let second = scanner.scan(right);
                forward.extend(second.forward);
                detached = second.detached;
            }
            assert!(detached, "cut at {cut}");
            assert_eq!(forward, b"x\x10y\x10", "cut at {cut}");
        }
    }

    #[test]
    fn a_beginning_is_passed_on_once_it_is_none() {
        let mut scanner = scanner("a,b,a,c");
        assert_eq!(scanner.scan(b"abab").forward, b"ab");
        assert_eq!(scanner.scan(b"x").forward, b"abx");
        assert_eq!(scanner.scan(b"ab").forward, b"");
        assert_eq!(scanner.finish(), b"ab");
        let all = KeyScanner::new(&"none".parse().unwrap()).scan(b"\x1d");
        assert_eq!(all, Scanned { forward: b"\x1d".to_vec(), detached: false });
    }
}
