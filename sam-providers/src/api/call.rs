//! What is asked.

use std::fmt::{self, Write as _};

use bytes::Bytes;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

/// What stands for itself in a path or a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One call of an interface. Its `Debug` shows neither body nor headers: they hold secrets.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    pub(super) method: Method,
    /// Path and query below the base URL.
    pub(super) target: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) content_type: Option<&'static str>,
    pub(super) body: Bytes,
}

impl Call {
    /// Asks for something at a path that begins with a slash. What of it comes from outside goes
    /// through [`segment`] first.
    pub(crate) fn new(operation: &'static str, method: Method, path: impl Into<String>) -> Self {
        Self {
            operation,
            method,
            target: path.into(),
            headers: Vec::new(),
            content_type: None,
            body: Bytes::new(),
        }
    }

    /// Looks at something.
    pub(crate) fn get(operation: &'static str, path: impl Into<String>) -> Self {
        Self::new(operation, Method::GET, path)
    }

    /// Adds a member to the query.
    #[must_use]
    pub(crate) fn with_query(mut self, name: &str, value: &str) -> Self {
        let separator = if self.target.contains('?') { '&' } else { '?' };
        // Writing to a text never fails.
        let _written = write!(
            self.target,
            "{separator}{}={}",
            utf8_percent_encode(name, PLAIN),
            utf8_percent_encode(value, PLAIN)
        );
        self
    }

    /// Adds a header of the vendor's own.
    #[cfg(any(test, feature = "fly"))]
    #[must_use]
    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Gives it a body of JSON.
    #[must_use]
    pub(crate) fn with_body(mut self, body: &impl Serialize) -> Self {
        // Our own types have texts for keys, so this holds; an empty body would be refused.
        self.body = Bytes::from(serde_json::to_vec(body).unwrap_or_default());
        self.content_type = Some("application/json");
        self
    }

    /// Returns whether it changes nothing.
    pub(super) fn only_looks(&self) -> bool {
        self.method.is_safe()
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({} {} {})", self.operation, self.method, self.target)
    }
}

/// Makes a text one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}
