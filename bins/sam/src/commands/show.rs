//! `sam show`.

use std::time::Duration;

use sam_api::{Span, Workspace};

use super::checkout;
use crate::connect::Context;
use crate::failure::Failure;
use crate::output::{self, elapsed, printable};

pub(super) async fn show(context: &Context, workspace: &str) -> Result<u8, Failure> {
    let client = context.connect().await?;
    let workspace = client.workspace(workspace).await?;
    if context.output.json {
        output::object(&workspace)?;
    } else {
        output::line(text(&workspace).trim_end())?;
    }
    Ok(0)
}

fn text(workspace: &Workspace) -> String {
    let mut lines = vec![
        ("id", workspace.id.to_string()),
        ("name", workspace.name.clone()),
        ("state", workspace.state.to_string()),
        ("repository", workspace.repo.to_string()),
        ("checkout", checkout(workspace)),
        ("size", workspace.size.clone()),
    ];
    let optional = [
        ("provider", workspace.provider.as_ref().map(ToString::to_string)),
        ("node", workspace.node_id.map(|id| id.to_string())),
        ("host", workspace.host.clone()),
        ("host error", workspace.host_error.as_ref().map(|error| error.message.clone())),
        ("operation", workspace.operation.as_ref().map(|o| o.verb.clone())),
        ("deleted at", workspace.lease_expires_at.map(|at| format!("{at} unless renewed"))),
        ("idle stop", workspace.idle_stop_ms.map(idle_stop)),
        ("warned", workspace.idle_warned_at.map(|at| format!("{at}: idle, about to be stopped"))),
        ("stopped by", workspace.stopped_by.clone()),
        ("error", workspace.error.as_ref().map(|error| error.message.clone())),
        ("hint", workspace.error.as_ref().and_then(|error| error.hint.clone())),
    ];
    lines.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    lines.push(("created", workspace.created_at.to_string()));
    lines.push(("changed", workspace.changed_at.to_string()));
    for step in &workspace.steps {
        let span = step.ended_at.map(|at| elapsed(at.0.since(step.started_at.0)));
        let detail = step.detail.as_deref().unwrap_or_default();
        let word = serde_json::to_value(step.state).unwrap_or_default();
        let word = word.as_str().unwrap_or_default().to_owned();
        let parts = [step.name.clone(), word, span.unwrap_or_default(), detail.to_owned()];
        lines.push(("step", parts.join(" ").trim_end().to_owned()));
    }
    let lines: Vec<String> =
        lines.iter().map(|(name, value)| format!("{name:<12}{}\n", printable(value))).collect();
    lines.concat()
}

fn idle_stop(millis: u64) -> String {
    match millis {
        0 => "never".to_owned(),
        millis => format!("after {}", Span(Duration::from_millis(millis))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::golden;

    #[test]
    fn a_workspace_is_shown_as_checked_in() {
        let mut workspace = crate::progress::tests::workspace("failed", "running", 4);
        workspace.error = Some(
            sam_core::ErrorRecord::new(sam_core::ErrorKind::NotFound, "preparing", "no such ref")
                .with_hint("check the name"),
        );
        workspace.steps = serde_json::from_value(serde_json::json!([
            {"name": "placing", "state": "done", "started_at": "2026-01-01T00:00:00Z",
             "ended_at": "2026-01-01T00:00:02.500Z"},
            {"name": "preparing", "state": "failed", "detail": "cloning",
             "started_at": "2026-01-01T00:00:03Z", "ended_at": "2026-01-01T00:00:04Z"},
        ]))
        .unwrap();
        golden("show.txt", &text(&workspace));

        let mut idle = crate::progress::tests::workspace("stopped", "stopped", 9);
        idle.idle_stop_ms = Some(7_200_000);
        idle.stopped_by = Some("idle".to_owned());
        let shown = text(&idle);
        assert!(shown.contains("idle stop   after 2h\nstopped by  idle\n"), "{shown}");
        idle.host = Some("ws-1.example.com".to_owned());
        assert!(text(&idle).contains("host        ws-1.example.com\n"), "{}", text(&idle));
        idle.idle_stop_ms = Some(0);
        assert!(text(&idle).contains("idle stop   never\n"));
    }
}
