//! Notices to people on a terminal: the bell and the window's title, so that nothing is drawn into
//! a full-screen program; whoever leaves without having typed since is told in words.

use crate::output::printable;

/// Longest title, in bytes; longer ones are cut off by many terminals.
const TITLE_BYTES_MAX: usize = 200;
/// Keeps the title of the window, and gives it back. Terminals that cannot ignore it.
const KEEP_TITLE: &str = "\u{1b}[22;2t";
const GIVE_BACK_TITLE: &str = "\u{1b}[23;2t";
const BELL: char = '\u{7}';

/// The notice that stands, if one does.
#[derive(Debug, Default)]
pub(super) struct Notice {
    text: Option<String>,
    /// It is in the window's title.
    is_shown: bool,
    /// The title is to be given back.
    is_kept: bool,
}

impl Notice {
    /// Takes a notice, in place of the one before.
    pub(super) fn take(&mut self, text: &str) {
        self.text = Some(printable(text));
        self.is_shown = false;
    }

    /// Somebody typed: what was to be known is known.
    pub(super) fn typed(&mut self) {
        self.text = None;
        self.is_shown = false;
    }

    /// Returns what the window is to be sent now. Only between characters and sequences of the
    /// program may anything be sent.
    pub(super) fn signs(&mut self, is_between: bool) -> String {
        if !is_between {
            return String::new();
        }
        match &self.text {
            Some(text) if !self.is_shown => {
                let title = text.get(..text.floor_char_boundary(TITLE_BYTES_MAX));
                let title = title.unwrap_or_default();
                let keep = if self.is_kept { "" } else { KEEP_TITLE };
                self.is_shown = true;
                self.is_kept = true;
                format!("{keep}\u{1b}]2;sam: {title}{BELL}{BELL}")
            }
            Some(_) => String::new(),
            None => self.lowered(),
        }
    }

    /// Returns what gives the window its title back.
    pub(super) fn lowered(&mut self) -> String {
        let kept = std::mem::take(&mut self.is_kept);
        if kept { GIVE_BACK_TITLE.to_owned() } else { String::new() }
    }

    /// Returns the notice that nobody has reacted to.
    pub(super) fn pending(&self) -> Option<&str> {
        self.text.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_rings_once_between_sequences_and_goes_when_somebody_types() {
        let mut notice = Notice::default();
        assert_eq!(notice.signs(true), "");
        notice.take("soon\u{1b}[2J over");
        assert_eq!(notice.signs(false), "");
        let signs = notice.signs(true);
        assert!(signs.starts_with("\u{1b}[22;2t\u{1b}]2;sam: soon"), "{signs:?}");
        assert!(signs.ends_with("\u{7}\u{7}") && !signs.contains("\u{1b}[2J"), "{signs:?}");
        assert_eq!(notice.signs(true), "");
        assert!(notice.pending().is_some_and(|text| text.starts_with("soon")));
        notice.take("again");
        assert_eq!(notice.signs(true), "\u{1b}]2;sam: again\u{7}\u{7}");
        notice.typed();
        assert_eq!(notice.pending(), None);
        assert_eq!(notice.signs(false), "");
        assert_eq!(notice.signs(true), "\u{1b}[23;2t");
        assert_eq!(notice.signs(true), "");
        notice.take(&"ä".repeat(500));
        assert!(notice.signs(true).len() < TITLE_BYTES_MAX + 40);
        assert_eq!(notice.lowered(), "\u{1b}[23;2t");
    }
}
