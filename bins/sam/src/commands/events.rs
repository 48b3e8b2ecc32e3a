//! `sam events`.

use futures_util::StreamExt as _;
use serde::Serialize;

use sam_api::client::EventsFrom;
use sam_api::{Change, Event};

use crate::connect::Context;
use crate::failure::Failure;
use crate::output::{self, printable};

/// An event as one line of JSON.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Change(&'a Change),
    Stale { cursor: &'a str },
}

/// Follows the feed until a signal or an error ends it.
pub(super) async fn events(
    context: &Context,
    workspace: Option<String>,
    after: Option<String>,
) -> Result<u8, Failure> {
    let client = context.connect().await?;
    let mut events = client.events(EventsFrom { workspace, after }).await?;
    while let Some(event) = events.next().await {
        match &event? {
            Event::Change(change) if context.output.json => {
                output::object(&Line::Change(change))?;
            }
            Event::Change(change) => output::line(&text(change))?,
            Event::Stale { cursor } if context.output.json => {
                output::object(&Line::Stale { cursor })?;
            }
            Event::Stale { cursor } => context.output.remark(&format!(
                "sam: the changes asked for are no longer kept; it goes on after {cursor}"
            )),
            Event::Checkpoint { .. } => {}
        }
    }
    Ok(0)
}

fn text(change: &Change) -> String {
    let name = change.workspace.as_ref().map(|workspace| workspace.name.as_str());
    let parts = [
        change.cursor.as_str(),
        &change.at.to_string(),
        change.id.as_str(),
        name.unwrap_or("-"),
        change.event.as_str(),
        change.actor.as_str(),
    ];
    printable(&parts.join("  "))
}
