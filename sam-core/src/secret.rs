//! A value that must not be seen: no `Display`, no `Serialize`, a redacting `Debug`, wiped on drop.

use std::fmt;

use zeroize::Zeroize;

/// Holds a value that no log, error, feed entry or reply may show.
///
/// Reading it takes a deliberate [`Secret::expose`], which a reviewer can search for.
///
/// ```
/// use sam_core::Secret;
/// let token = Secret::new(String::from("hunter2"));
/// assert_eq!(format!("{token:?}"), "Secret(redacted)");
/// assert_eq!(token.expose(), "hunter2");
/// ```
#[derive(Clone)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Borrows the value; the caller takes care not to copy it anywhere that is kept.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_even_inside_another_type() {
        let nested = Some(vec![Secret::new(String::from("canary"))]);
        assert!(!format!("{nested:#?}").contains("canary"));
    }
}
