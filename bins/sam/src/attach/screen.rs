//! The terminal of this machine in raw mode, brought back on every way out.

use std::sync::{Mutex, Once, PoisonError};

use rustix::stdio::{stdin, stdout};
use rustix::termios::{self, OptionalActions, Termios, isatty};

use sam_api::wire::TerminalSize;
use sam_core::Result;

use crate::failure::system;

/// How the terminal was. Kept outside the guard, for the hook that runs when a thread panics.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// Raw mode, until dropped.
#[derive(Debug)]
pub(crate) struct RawMode(());

impl RawMode {
    /// Enters raw mode, or returns `None` where standard input is no terminal.
    pub(crate) fn enter() -> Result<Option<Self>> {
        if !isatty(stdin()) {
            return Ok(None);
        }
        let refused = |errno: rustix::io::Errno| {
            system("the terminal cannot be set up", std::io::Error::from(errno))
        };
        let saved = termios::tcgetattr(stdin()).map_err(refused)?;
        let mut raw = saved.clone();
        raw.make_raw();
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(saved);
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            // First the terminal, so that the message is readable.
            std::panic::set_hook(Box::new(move |info| {
                restore();
                before(info);
            }));
        });
        let guard = Self(());
        termios::tcsetattr(stdin(), OptionalActions::Drain, &raw).map_err(refused)?;
        Ok(Some(guard))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    let saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(saved) = saved {
        // A terminal that is gone needs nothing.
        let _outcome = termios::tcsetattr(stdin(), OptionalActions::Now, &saved);
    }
}

/// Returns whether both ends of this process are a terminal.
pub(crate) fn is_interactive() -> bool {
    isatty(stdin()) && isatty(stdout())
}

/// Returns whether standard output is a terminal.
pub(crate) fn is_drawn() -> bool {
    isatty(stdout())
}

/// Returns the size of the terminal, where there is one.
pub(crate) fn size() -> Option<TerminalSize> {
    let found = termios::tcgetwinsize(stdout()).or_else(|_| termios::tcgetwinsize(stdin())).ok()?;
    let size = TerminalSize { cols: found.ws_col, rows: found.ws_row };
    // Some terminals do not know their size and say zero.
    (size.cols > 0 && size.rows > 0).then_some(size)
}
