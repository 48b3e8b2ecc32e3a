//! One error for the whole SDK. Callers branch on [`ErrorKind`], [`Retry`] and [`Effect`]; nobody
//! inspects text.

mod kind;
mod record;

use std::fmt;
use std::time::Duration;

pub use self::kind::ErrorKind;
pub use self::record::ErrorRecord;

/// The result of everything fallible in the SDK.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// Not before this span has passed; the other side said so.
    After(Duration),
    /// Yes, with growing pauses.
    Backoff,
    /// No: the same request fails again.
    Never,
}

/// Whether the failed call may have changed the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Nothing happened outside.
    NotApplied,
    /// It may have happened: look before acting again.
    Unknown,
}

/// What went wrong, where, and what can be done about it.
///
/// `Display` is one lower-case fragment and never repeats the source; [`Report`] prints the chain.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    retry: Retry,
    effect: Effect,
    exhausted: bool,
    operation: Option<&'static str>,
    provider_code: Option<String>,
    hint: Option<String>,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Makes an error. Its message must hold no secret: it reaches users, logs and records.
    ///
    /// `retry` starts as the kind's usual answer and `effect` as [`Effect::NotApplied`].
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            retry: kind.usual_retry(),
            effect: Effect::NotApplied,
            exhausted: false,
            operation: None,
            provider_code: None,
            hint: None,
            context: Vec::new(),
            source: None,
        }))
    }

    /// Names the operation or step that failed, such as `create_machine`.
    #[must_use]
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.0.operation = Some(operation);
        self
    }

    /// Replaces the answer to "does trying again help".
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Replaces the answer to "may it have happened".
    #[must_use]
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.0.effect = effect;
        self
    }

    /// Marks that somebody has tried again already and given up, so that callers further out do not
    /// multiply the attempts. What [`Error::retry`] says of later stays.
    #[must_use]
    pub fn with_exhausted_retries(mut self) -> Self {
        self.0.exhausted = true;
        self
    }

    /// Adds the other side's own code, such as `uniqueness_error`.
    #[must_use]
    pub fn with_provider_code(mut self, code: impl Into<String>) -> Self {
        self.0.provider_code = Some(code.into());
        self
    }

    /// Says what the reader should do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds a named value that helps to find the cause. No secrets.
    #[must_use]
    pub fn with_context(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((name, value.to_string()));
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Returns what sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns whether trying again can help.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// Returns whether the failed call may have changed the outside.
    pub fn effect(&self) -> Effect {
        self.0.effect
    }

    /// Returns whether somebody has tried again already and given up.
    pub fn retries_exhausted(&self) -> bool {
        self.0.exhausted
    }

    /// Returns the operation or step that failed.
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// Returns the other side's own code.
    pub fn provider_code(&self) -> Option<&str> {
        self.0.provider_code.as_deref()
    }

    /// Returns what the reader should do next.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Returns the named values added on the way.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.0.context
    }

    /// Returns the text a client may see: the message, without the chain of causes.
    pub fn public_message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        writeln!(f, "{:?}: {}", inner.kind, inner.message)?;
        writeln!(f, "  retry: {:?}, effect: {:?}", inner.retry, inner.effect)?;
        if let Some(operation) = inner.operation {
            writeln!(f, "  operation: {operation}")?;
        }
        if let Some(code) = &inner.provider_code {
            writeln!(f, "  provider code: {code}")?;
        }
        for (name, value) in &inner.context {
            writeln!(f, "  {name}: {value}")?;
        }
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            writeln!(f, "  caused by: {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// Prints an error and its chain of causes on one line: `outer: inner: innermost`.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a>(&'a (dyn std::error::Error + 'static));

impl<'a> Report<'a> {
    /// Wraps the error to print.
    pub fn new(error: &'a (dyn std::error::Error + 'static)) -> Self {
        Self(error)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_pointer_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn display_leaves_the_source_to_the_report() {
        let cause = std::io::Error::other("no route to host");
        let error = Error::new(ErrorKind::Unavailable, "the provider does not answer")
            .with_operation("create_machine")
            .with_effect(Effect::Unknown)
            .with_source(cause);
        assert_eq!(error.to_string(), "the provider does not answer");
        assert_eq!(
            Report::new(&error).to_string(),
            "the provider does not answer: no route to host"
        );
        assert_eq!(error.retry(), Retry::Backoff);
    }
}
