//! What a check found: one line, and what to do about it. Shared by everything that examines.

use serde::Serialize;

use crate::failure::Failure;
use crate::output::{self, Output, printable};

/// Status when something is wrong.
pub(crate) const SICK: u8 = 2;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Health {
    Bad,
    Good,
    /// It cannot be told from here.
    Look,
    Warning,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) check: String,
    pub(crate) health: Health,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

pub(crate) fn finding(
    check: impl Into<String>,
    health: Health,
    message: impl Into<String>,
) -> Finding {
    Finding { check: check.into(), health, message: message.into(), hint: None }
}

impl Finding {
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn of(check: &str, error: &sam_core::Error) -> Self {
        let bad = finding(check, Health::Bad, error.public_message());
        Self { hint: error.hint().map(str::to_owned), ..bad }
    }

    pub(crate) fn text(&self) -> String {
        let word = match self.health {
            Health::Bad => "bad",
            Health::Good => "ok",
            Health::Look => "look",
            Health::Warning => "warn",
        };
        let line = format!("{word:<5}{:<17}{}", self.check, printable(&self.message));
        match &self.hint {
            Some(hint) => format!("{line}\n{:22}{}", "", printable(hint)),
            None => line,
        }
    }
}

/// Writes findings and returns the status to exit with.
pub(crate) fn tell(output: Output, findings: &[Finding]) -> Result<u8, Failure> {
    for finding in findings {
        if output.json {
            output::object(finding)?;
        } else {
            output::line(&finding.text())?;
        }
    }
    let is_sick = findings.iter().any(|finding| finding.health == Health::Bad);
    Ok(if is_sick { SICK } else { 0 })
}
