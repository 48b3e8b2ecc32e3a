//! `sam node`.

use sam_api::client::ListNodes;
use sam_api::{Node, NodeState};
use sam_core::time::Timestamp;
use sam_core::{Error, ErrorRecord, Result};

use super::list;
use super::wait::{self, Waited};
use crate::args;
use crate::connect::Context;
use crate::failure::Failure;
use crate::output::{self, age, now, table};
use crate::signals;

pub(super) async fn run(context: &Context, command: args::Node) -> Result<u8, Failure> {
    match command {
        args::Node::Ls { all } => ls(context, all).await,
        args::Node::Rm { node, no_wait } => rm(context, &node, no_wait).await,
    }
}

async fn ls(context: &Context, all: bool) -> Result<u8, Failure> {
    let client = context.connect().await?;
    let found =
        list::read(context, async |after| client.nodes(&ListNodes { after, all }).await).await?;
    list::show(context, &found, "sam: there is no node", |found| lines(found, now()))
}

async fn rm(context: &Context, node: &str, no_wait: bool) -> Result<u8, Failure> {
    let client = context.connect().await?;
    let since = client.delete_node(node).await?;
    let id = since.id.to_string();
    if no_wait {
        return told(context, &since);
    }
    let waited = wait::until(async || {
        let node = client.node(&id).await?;
        if node.state == NodeState::Deleted {
            return Ok(Some(node));
        }
        refused(node.error.as_ref(), since.error.as_ref())
            .map_or(Ok(None), |error| Err(error.with_context("node", &id)))
    });
    match waited.await? {
        Waited::Interrupted(signal) => {
            context.output.remark("sam: it goes on without us; `sam node ls` tells how far it is");
            Ok(signals::status(signal))
        }
        Waited::Over(node) => told(context, &node),
    }
}

fn told(context: &Context, node: &Node) -> Result<u8, Failure> {
    if context.output.json {
        output::object(node)?;
    } else {
        context.output.remark(&format!("sam: {} is {}", node.id, node.state));
    }
    Ok(0)
}

/// What a provider said against a deletion that is waited for: a failure that was not there before.
pub(super) fn refused(now: Option<&ErrorRecord>, before: Option<&ErrorRecord>) -> Option<Error> {
    let error = now.filter(|now| before != Some(*now))?.to_error();
    Some(match error.hint() {
        Some(_) => error,
        None => error.with_hint("it is tried again; nothing is forgotten before it is gone"),
    })
}

fn lines(found: &[Node], now: Timestamp) -> String {
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|node| {
            let workspaces: Vec<String> = node.workspaces.iter().map(ToString::to_string).collect();
            let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
            vec![
                node.id.to_string(),
                node.state.to_string(),
                node.provider.clone(),
                node.size.clone(),
                age(now, node.created_at.0),
                or_none(node.owner.clone()),
                or_none(workspaces.join(",")),
                node.error.as_ref().map(|error| error.message.clone()).unwrap_or_default(),
            ]
        })
        .collect();
    let head = ["ID", "STATE", "PROVIDER", "SIZE", "AGE", "OWNER", "WORKSPACE", "ERROR"];
    table(&head, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::golden;
    use sam_core::ErrorKind;
    use std::time::Duration;

    #[test]
    fn nodes_are_listed_as_checked_in() {
        let node = |state: &str, more: serde_json::Value| -> Node {
            let mut node = serde_json::json!({
                "id": "nd-00000000000000000000000001", "state": state, "owner": "ann",
                "provider": "process", "size": "small", "created_at": "2026-01-01T00:00:00Z",
                "changed_at": "2026-01-01T00:00:01Z", "version": 1});
            node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value(node).unwrap()
        };
        let used = serde_json::json!({"workspaces": ["ws-00000000000000000000000001"]});
        let failed = serde_json::json!({"owner": "", "error": ErrorRecord::new(
            ErrorKind::Timeout, "boot", "it was not ready within 1800 s")});
        let found =
            [node("ready", used), node("recovered", serde_json::json!({})), node("failed", failed)];
        let now = found[0].created_at.0.plus(Duration::from_hours(5));
        golden("node_ls.txt", &lines(&found, now));
    }

    #[test]
    fn only_a_new_refusal_ends_the_waiting() {
        let old = ErrorRecord::new(ErrorKind::Timeout, "boot", "late");
        let new = ErrorRecord::new(ErrorKind::Denied, "delete", "no");
        assert!(refused(None, None).is_none());
        assert!(refused(Some(&old), Some(&old)).is_none());
        let error = refused(Some(&new), Some(&old)).unwrap();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.hint().is_some());
    }
}
