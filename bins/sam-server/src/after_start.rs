//! What is looked at once after the start, because nobody announces it: nodes whose link ended with the
//! process before, and records that came to rest under its policy. A store that is away for a while is
//! asked again.

use std::time::Duration;

use sam_core::node::NodeState;
use sam_core::workspace::WorkspaceState;
use sam_core::{Caller, Error, Policy, Report, Result, Retry, Sam};

use crate::app::App;
use crate::deadline;

/// How long after the start the nodes are looked at whose agents did not dial in again. Shorter than
/// an agent's longest pause: one that comes later is merely unreachable until then.
const RETURN_WITHIN: Duration = Duration::from_secs(3);
/// Pause before the store is asked again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Records on a page.
const PAGE: usize = 200;

/// Tells the engine which nodes have no link some time after the start. Links end with the process
/// that had them, so a node that went down meanwhile is announced by nobody else.
pub(crate) async fn miss_links(app: App) {
    deadline::sleep(RETURN_WITHIN).await;
    let page = |after| miss_links_of(app.clone(), after);
    through_all(page, "nodes without a link were not looked for").await;
}

/// Has the engine look at what came to rest under the policy of the process before, which may have
/// swept less often, stopped no idle workspaces, or let them become older.
pub(crate) async fn look_at_resting(sam: Sam, policy: Policy) {
    let page = |after| look_at_resting_of(sam.clone(), policy.clone(), after);
    through_all(page, "what rests was not looked at").await;
}

/// Goes from page to page; one that fails because something is away is looked at again.
async fn through_all<P>(page: impl Fn(Option<String>) -> P, failed: &'static str)
where
    P: Future<Output = Result<Option<String>>>,
{
    let mut after = None;
    loop {
        match page(after.clone()).await {
            Ok(None) => return,
            Ok(next) => after = next,
            Err(error) => {
                tracing::warn!(error = %Report::new(&error), "{failed}");
                if !passes(&error) {
                    return;
                }
                deadline::sleep(LOOK_AGAIN).await;
            }
        }
    }
}

/// Tells whether trying again may help.
fn passes(error: &Error) -> bool {
    error.retry() != Retry::Never
}

async fn miss_links_of(app: App, after: Option<String>) -> Result<Option<String>> {
    let page = app.sam.list_nodes(after, PAGE).await?;
    for node in page.items.iter().filter(|node| node.record.state == NodeState::Ready) {
        let id = node.record.id;
        if app.controller.is_connected(id) {
            continue;
        }
        let told = async {
            // Another replica holds it.
            match app.sam.link_of(id).await?.filter(|link| link.replica != app.replica) {
                Some(_) => Ok(()),
                None => app.sam.node_link_changed(id).await,
            }
        };
        match told.await {
            // The page is looked at again: to tell the engine twice does no harm.
            Err(error) if passes(&error) => return Err(error),
            Err(error) => {
                tracing::warn!(node.id = %id, error = %Report::new(&error), "the engine was not told");
            }
            Ok(()) => {}
        }
    }
    Ok(page.next)
}

async fn look_at_resting_of(
    sam: Sam,
    policy: Policy,
    after: Option<String>,
) -> Result<Option<String>> {
    let caller = Caller::named("policy");
    if after.is_none() {
        sam.look_at_sweeps(&caller).await?;
    }
    let page = sam.list_workspaces(after, PAGE).await?;
    for workspace in page.items {
        let concerned = match workspace.record.state {
            WorkspaceState::Running if policy.idle_stop_after.is_some() => true,
            WorkspaceState::Deleted => false,
            _ => policy.workspace_lifetime_max.is_some(),
        };
        if concerned {
            sam.look_at_workspace(workspace.record.id, &caller).await?;
        }
    }
    Ok(page.next)
}
