//! How a command fails, and how that is told.

use std::io::{self, Write as _};

use sam_core::{Error, ErrorKind, Report};

use crate::output::printable;

/// Status when whoever read standard output went away: that of a process ended by SIGPIPE.
pub(crate) const PIPE_STATUS: u8 = 141;

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever read standard output went away. Nothing is told.
    Pipe,
    /// Anything else.
    Sam(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Sam(error)
    }
}

impl From<io::Error> for Failure {
    fn from(cause: io::Error) -> Self {
        if cause.kind() == io::ErrorKind::BrokenPipe {
            return Self::Pipe;
        }
        Self::Sam(system("the output cannot be written", cause))
    }
}

/// Says that the operating system refused something.
pub(crate) fn system(message: &str, cause: io::Error) -> Error {
    let kind = match cause.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, message).with_source(cause)
}

/// Writes an error to standard error.
pub(crate) fn tell(error: &Error, json: bool) {
    let text = if json { as_json(error) } else { as_text(error) };
    // There is nowhere else to say it.
    let _outcome = io::stderr().lock().write_all(text.as_bytes());
}

fn as_text(error: &Error) -> String {
    // One line: the message first, then where it came from.
    let mut lines = vec![format!("sam: {}", printable(&Report::new(error).to_string()))];
    let context = error.context().iter();
    lines.extend(context.map(|(name, value)| format!("  {name}: {}", printable(value))));
    let hint = error.hint().or_else(|| usual_hint(error.kind()));
    let hints = hint.into_iter().flat_map(str::lines);
    lines.extend(hints.map(|line| format!("  hint: {}", printable(line))));
    lines.push(String::new());
    lines.join("\n")
}

fn as_json(error: &Error) -> String {
    let context: serde_json::Map<_, _> = error
        .context()
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone().into()))
        .collect();
    let object = serde_json::json!({
        "type": "error",
        "code": error.kind().code(),
        "message": Report::new(error).to_string(),
        "hint": error.hint().or_else(|| usual_hint(error.kind())),
        "operation": error.operation(),
        "context": context,
    });
    format!("{object}\n")
}

/// What to do about an error that does not say so itself.
const fn usual_hint(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::AlreadyExists => "choose another name, or use the one that is there",
        ErrorKind::BadInput => return None,
        ErrorKind::CapacityUnavailable => "try again later, or another size or region",
        ErrorKind::Conflict => "look at it with `sam show`, then try again",
        ErrorKind::Denied => "ask whoever runs the server for the right to do this",
        ErrorKind::NotFound => "`sam ls --all` lists what there is",
        ErrorKind::QuotaExceeded => "delete what is not needed, or raise the account's limit",
        ErrorKind::RateLimited => "wait a moment, then try again",
        ErrorKind::Timeout | ErrorKind::Unavailable => {
            "try again; `sam daemon status` or the server's log may say more"
        }
        ErrorKind::Unauthenticated => "give a token by SAM_TOKEN or --token-file",
        ErrorKind::Unsupported => "choose a provider that can do this",
        // A defect, unreadable data, or a kind that is newer than this table.
        _ => "this is a defect of SAM: please report it with the command and this message",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::golden;

    #[test]
    fn errors_look_like_the_golden_files() {
        let mut text = String::new();
        for kind in ErrorKind::ALL {
            text.push_str(&as_text(&Error::new(kind, format!("an error of kind {}", kind.code()))));
        }
        let full = Error::new(ErrorKind::Conflict, "it is being \u{1b}[31mdeleted")
            .with_hint("first line\nsecond line")
            .with_operation("start_workspace")
            .with_context("step", "placing")
            .with_source(io::Error::other("no\nroute"));
        text.push_str(&as_text(&full));
        golden("errors.txt", &text);
        let json: serde_json::Value = serde_json::from_str(&as_json(&full)).unwrap();
        assert_eq!(json["code"], "conflict");
        assert_eq!(json["context"]["step"], "placing");
        assert_eq!(json["hint"], "first line\nsecond line");
    }

    #[test]
    fn a_reader_that_went_away_is_not_an_error_to_tell() {
        let pipe = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(pipe, Failure::Pipe));
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(full, Failure::Sam(_)));
    }
}
