//! Telling of steps: drawn over itself on a terminal, as lines elsewhere, as JSON where asked.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

use sam_api::{Step, StepState, Workspace};

use super::tracker::{StepChange, Tracker, took, word};
use crate::failure::Failure;
use crate::output::{self, Output, elapsed, json, printable};

/// How often a running step is drawn.
const TICK: Duration = Duration::from_millis(120);
/// Most steps drawn; an operation has far fewer.
const BARS_MAX: usize = 64;

/// Tells of steps.
#[derive(Debug)]
pub(crate) struct Printer {
    tracker: Tracker,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// JSON lines: on standard output, or on standard error where that belongs to a command.
    Json { to_stderr: bool },
    /// Drawn over itself on standard error.
    Live { area: MultiProgress, bars: BTreeMap<String, ProgressBar> },
    /// Lines on standard error.
    Plain,
    /// Not at all.
    Silent,
}

#[derive(Serialize)]
struct StepLine<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    workspace_id: String,
    #[serde(flatten)]
    step: &'a Step,
}

#[derive(Serialize)]
struct WorkspaceLine<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    workspace: &'a Workspace,
}

impl Printer {
    /// Chooses the way. `stdout_is_taken` says that standard output belongs to a command.
    pub(crate) fn new(output: Output, stdout_is_taken: bool) -> Self {
        let way = if output.json {
            Way::Json { to_stderr: stdout_is_taken }
        } else if output.is_quiet() {
            Way::Silent
        } else if output.is_live() {
            Way::Live { area: MultiProgress::new(), bars: BTreeMap::new() }
        } else {
            Way::Plain
        };
        Self { tracker: Tracker::default(), way }
    }

    /// Begins with a workspace whose steps that have ended are not told.
    pub(crate) fn begin(&mut self, workspace: &Workspace) {
        self.tracker.pass_over_ended(workspace);
    }

    /// Tells what is new in a workspace.
    pub(crate) fn show(&mut self, workspace: &Workspace) -> Result<(), Failure> {
        for change in self.tracker.update(workspace) {
            match &mut self.way {
                Way::Json { to_stderr } => {
                    let workspace_id = workspace.id.to_string();
                    let line = StepLine { kind: "step", workspace_id, step: &change.step };
                    write_object(*to_stderr, &line)?;
                }
                Way::Live { area, bars } => draw(area, bars, &change.step),
                Way::Plain => {
                    if let Some(line) = plain_line(&change) {
                        tell(&line);
                    }
                }
                Way::Silent => {}
            }
        }
        Ok(())
    }

    /// Tells of the workspace at the end, where that is for programs.
    pub(crate) fn finish(&self, workspace: &Workspace) -> Result<(), Failure> {
        if let Way::Json { to_stderr } = &self.way {
            let line = WorkspaceLine { kind: "workspace", workspace };
            write_object(*to_stderr, &line)?;
        }
        Ok(())
    }

    /// Leaves the terminal to others; called before anything else writes to it.
    pub(crate) fn end(&mut self) {
        if let Way::Live { bars, .. } = &mut self.way {
            for bar in std::mem::take(bars).into_values() {
                if !bar.is_finished() {
                    bar.abandon();
                }
            }
        }
    }
}

fn write_object(to_stderr: bool, line: &impl Serialize) -> Result<(), Failure> {
    if to_stderr {
        tell(&json(line)?);
        return Ok(());
    }
    output::object(line)
}

fn tell(line: &str) {
    // Progress is worth no failure.
    let _outcome = writeln!(std::io::stderr().lock(), "{line}");
}

fn plain_line(change: &StepChange) -> Option<String> {
    if !change.is_new_state {
        return None;
    }
    let name = printable(&change.step.name);
    Some(match took(&change.step) {
        Some(span) => format!("sam: {name} {} ({})", word(change.step.state), elapsed(span)),
        None if change.step.state == StepState::Running => format!("sam: {name}"),
        None => format!("sam: {name} {}", word(change.step.state)),
    })
}

fn draw(area: &MultiProgress, bars: &mut BTreeMap<String, ProgressBar>, step: &Step) {
    if !bars.contains_key(&step.name) {
        if bars.len() == BARS_MAX {
            return;
        }
        let bar = area.add(ProgressBar::new_spinner());
        bars.insert(step.name.clone(), bar);
    }
    let Some(bar) = bars.get(&step.name) else { return };
    let name = printable(&step.name);
    let detail = step.detail.as_deref().map(printable).unwrap_or_default();
    match step.state {
        StepState::Running => {
            bar.set_style(style("{spinner} {prefix} {msg} ({elapsed})"));
            bar.set_prefix(name);
            bar.set_message(detail);
            bar.enable_steady_tick(TICK);
        }
        StepState::Done | StepState::Failed => {
            let mark = if step.state == StepState::Done { "\u{2713}" } else { "\u{2717}" };
            let span = took(step).map(elapsed).unwrap_or_default();
            bar.set_style(style("{msg}"));
            bar.finish_with_message(format!("{mark} {name} {span}"));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are ours; a spinner without one is better than none.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sam_core::time::Timestamp;

    fn change(state: StepState, ended: Option<i64>, is_new_state: bool) -> StepChange {
        let at = |micros| Timestamp::from_micros(micros).into();
        let step = Step {
            name: "placing".to_owned(),
            state,
            detail: None,
            started_at: at(0),
            ended_at: ended.map(at),
        };
        StepChange { step, is_new_state }
    }

    #[test]
    fn a_pipe_gets_one_line_when_a_step_begins_and_one_when_it_ends() {
        let line = |state, ended, new| plain_line(&change(state, ended, new));
        assert_eq!(line(StepState::Running, None, true).unwrap(), "sam: placing");
        assert_eq!(line(StepState::Running, None, false), None);
        let done = line(StepState::Done, Some(1_250_000), true).unwrap();
        assert_eq!(done, "sam: placing done (1.2s)");
        let failed = line(StepState::Failed, Some(61_000_000), true).unwrap();
        assert_eq!(failed, "sam: placing failed (1m01s)");
    }

    #[test]
    fn programs_get_flat_objects_that_say_what_they_are() {
        let change = change(StepState::Done, Some(1_000), true);
        let line = StepLine { kind: "step", workspace_id: "ws-1".to_owned(), step: &change.step };
        assert_eq!(
            json(&line).unwrap(),
            "{\"type\":\"step\",\"workspace_id\":\"ws-1\",\"name\":\"placing\",\"state\":\"done\",\
             \"started_at\":\"1970-01-01T00:00:00.000Z\",\"ended_at\":\"1970-01-01T00:00:00.001Z\"}"
        );
        let workspace = crate::progress::tests::workspace("running", "running", 3);
        let line = WorkspaceLine { kind: "workspace", workspace: &workspace };
        assert!(json(&line).unwrap().starts_with("{\"type\":\"workspace\",\"id\":\"ws-"));
    }
}
