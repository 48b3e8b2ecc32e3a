//! Which modes a program has switched on in the terminal of this machine, so that they can be
//! switched off when its client leaves while it goes on.
//!
//! Only what would make the person's own shell unusable is followed: the alternate screen, a
//! hidden cursor, mouse reports, bracketed paste, application keys.

use std::collections::BTreeSet;

/// Private modes that are off in a fresh terminal.
const OFF_AT_FIRST: [u16; 14] =
    [1, 9, 47, 66, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1015, 1047, 1049];
/// Reports that programs switch on to see pasted text whole.
const BRACKETED_PASTE: u16 = 2004;
/// The cursor: on in a fresh terminal.
const CURSOR: u16 = 25;
/// Longest parameter text followed, in bytes; real ones have a handful.
const PARAMETERS_MAX: usize = 64;

/// Follows the modes through the bytes a terminal is sent.
#[derive(Debug, Default)]
pub(crate) struct Modes {
    state: State,
    parameters: Vec<u8>,
    on: BTreeSet<u16>,
    cursor_hidden: bool,
    keypad: bool,
    styled: bool,
    /// Bytes that the character under way still needs.
    character: u8,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    Control,
    /// One more byte chooses a character set or the like.
    Choice,
    /// A title, a picture or another text that is not shown.
    Text,
}

impl Modes {
    /// Takes the next bytes.
    pub(crate) fn follow(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.character = match *byte {
                0x80..=0xbf => self.character.saturating_sub(1),
                0xc0..=0xdf => 1,
                0xe0..=0xef => 2,
                0xf0..=0xf7 => 3,
                _ => 0,
            };
            self.state = match (self.state, *byte) {
                (_, 0x1b) => State::Escape,
                (State::Escape, b'[') => {
                    self.parameters.clear();
                    State::Control
                }
                (State::Escape, 0x20..=0x2f) => State::Choice,
                (State::Text, 0x07 | 0x18 | 0x1a) => State::Ground,
                (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') | (State::Text, _) => State::Text,
                (State::Escape, byte) => {
                    match byte {
                        b'=' => self.keypad = true,
                        b'>' => self.keypad = false,
                        // A full reset.
                        b'c' => *self = Self::default(),
                        _ => {}
                    }
                    State::Ground
                }
                (State::Control, 0x20..=0x3f) => {
                    if self.parameters.len() < PARAMETERS_MAX {
                        self.parameters.push(*byte);
                    }
                    State::Control
                }
                (State::Control, end @ 0x40..=0x7e) => {
                    self.control(end);
                    State::Ground
                }
                // Other control characters act in the middle of a sequence and do not end it.
                (State::Control, 0..=0x1f) => State::Control,
                _ => State::Ground,
            };
        }
    }

    /// Returns whether the program is between two characters and sequences, so that what is sent
    /// now tears nothing apart.
    pub(crate) fn is_between(&self) -> bool {
        self.state == State::Ground && self.character == 0
    }

    fn control(&mut self, end: u8) {
        if end == b'm' {
            self.styled = !matches!(self.parameters.as_slice(), b"" | b"0");
        }
        let Some(modes) = self.parameters.strip_prefix(b"?") else { return };
        if !matches!(end, b'h' | b'l') {
            return;
        }
        let modes = std::str::from_utf8(modes).unwrap_or_default().split(';');
        for mode in modes.filter_map(|mode| mode.parse::<u16>().ok()) {
            if mode == CURSOR {
                self.cursor_hidden = end == b'l';
            } else if OFF_AT_FIRST.contains(&mode) || mode == BRACKETED_PASTE {
                if end == b'h' {
                    self.on.insert(mode);
                } else {
                    self.on.remove(&mode);
                }
            }
        }
    }

    /// Returns what brings the terminal back, and nothing that it does not need.
    pub(crate) fn reset(&self) -> Vec<u8> {
        let off = |mode: &u16| format!("\u{1b}[?{mode}l");
        let (screens, others): (Vec<u16>, Vec<u16>) =
            self.on.iter().partition(|mode| is_screen(**mode));
        let mut parts: Vec<String> = others.iter().map(off).collect();
        if self.keypad {
            parts.push("\u{1b}>".to_owned());
        }
        if self.styled {
            parts.push("\u{1b}[0m".to_owned());
        }
        // The alternate screen last but for the cursor: leaving it restores the position.
        parts.extend(screens.iter().map(off));
        if self.cursor_hidden {
            parts.push("\u{1b}[?25h".to_owned());
        }
        parts.concat().into_bytes()
    }
}

const fn is_screen(mode: u16) -> bool {
    matches!(mode, 47 | 1047 | 1049)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDITOR: &[u8] = b"\x1b[?1049h\x1b[?1;2004h\x1b=\x1b[?25l\x1b[31mtext\x1b[?1002h";

    fn reset(pieces: &[&[u8]]) -> String {
        let mut modes = Modes::default();
        for piece in pieces {
            modes.follow(piece);
        }
        String::from_utf8(modes.reset()).unwrap()
    }

    #[test]
    fn what_an_editor_switched_on_is_switched_off_wherever_its_output_is_cut() {
        let expected =
            "\u{1b}[?1l\u{1b}[?1002l\u{1b}[?2004l\u{1b}>\u{1b}[0m\u{1b}[?1049l\u{1b}[?25h";
        for cut in 0..=EDITOR.len() {
            let (left, right) = EDITOR.split_at(cut);
            assert_eq!(reset(&[left, right]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_terminal_as_it_was_is_left_as_it_is() {
        assert_eq!(reset(&[b"plain \x1b[1mbold\x1b[0m text\r\n\x1b[2J"]), "");
        assert_eq!(reset(&[EDITOR, b"\x1b[?1049;1;2004;1002l\x1b>\x1b[?25h\x1b[m"]), "");
        assert_eq!(reset(&[EDITOR, b"\x1bc"]), "");
    }

    #[test]
    fn nothing_is_sent_into_the_middle_of_a_sequence_or_a_character() {
        let whole: [&[u8]; 8] = [
            b"\x1b[1;31m",
            b"\x1b]0;title\x07",
            b"\x1b]8;;url\x1b\\",
            b"\x1bPq#0\x1b\\",
            b"\x1b(B",
            b"\x1b=",
            "\u{e4}".as_bytes(),
            "\u{1f600}".as_bytes(),
        ];
        for sequence in whole {
            for cut in 0..=sequence.len() {
                let mut modes = Modes::default();
                modes.follow(&sequence[..cut]);
                let is_between = cut == 0 || cut == sequence.len();
                assert_eq!(modes.is_between(), is_between, "{sequence:?} cut at {cut}");
            }
        }
        let mut modes = Modes::default();
        modes.follow(b"\x1b]2;never ended \x1b[?25l");
        assert!(modes.is_between());
        assert_eq!(modes.reset(), b"\x1b[?25h");
    }
}
