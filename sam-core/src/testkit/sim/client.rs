//! The owners of workspaces, as programs that call the verbs.

use std::sync::Arc;
use std::time::Duration;

use super::link::SimLink;
use super::parts::Parts;
use super::plan::{Errand, Errands};
use crate::entropy::SeededEntropy;
use crate::error::{ErrorKind, Result};
use crate::id::WorkspaceId;
use crate::sam::{Caller, Sam};
use crate::workspace::NewWorkspace;

/// Attempts of an errand; a refusal for good (deleted, failed) is an answer, too.
const ATTEMPTS_MAX: u32 = 5;

/// What a client is going to do; the same after a crash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Errander {
    pub(super) number: u64,
    pub(super) seed: u64,
    pub(super) errands: Errands,
    pub(super) errands_max: u64,
}

/// Asks for a workspace, changes its mind a few times, and never gives up on an answer. Started
/// again after a crash it asks for the same under the same key, and gets the same workspace.
pub(super) async fn client(parts: Parts, client: Errander) {
    let Ok(sam) = parts.sam(Arc::clone(&parts.provider)) else { return };
    let choice = SeededEntropy::new(client.seed);
    let key = format!("key-{}", client.number);
    let caller = Caller::named("ann").with_idempotency_key(Some(key));
    let text = if choice.below(10) == 0 { SimLink::MISSING } else { "" };
    let Ok(repo) = format!("/repos{text}").parse() else { return };
    let lease = (choice.below(6) == 0).then(|| Duration::from_secs(30 + choice.below(300)));
    let new = NewWorkspace::new(repo).with_lease(lease);
    let id = loop {
        match sam.create_workspace(new.clone(), &caller).await {
            Ok(workspace) => break workspace.record.id,
            Err(_) => parts.pause(100 + choice.below(2_000)).await,
        }
    };
    for _ in 0..choice.below(client.errands_max + 1) {
        // Sometimes in the middle of things, sometimes long after they are settled.
        parts.pause(choice.below(60_000) >> choice.below(8)).await;
        let Some(errand) = client.errands.draw(&choice) else { return };
        for _ in 0..ATTEMPTS_MAX {
            match run(&sam, id, errand, &caller).await {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::Conflict => break,
                Err(_) => parts.pause(50 + choice.below(500)).await,
            }
        }
    }
}

async fn run(sam: &Sam, id: WorkspaceId, errand: Errand, caller: &Caller) -> Result<()> {
    match errand {
        Errand::Delete => sam.delete_workspace(id, caller).await.map(drop),
        Errand::DeleteNode => {
            let workspace = sam.workspace(id).await?;
            match workspace.and_then(|workspace| workspace.record.node) {
                Some(node) => sam.delete_node(node, caller).await.map(drop),
                None => Ok(()),
            }
        }
        Errand::Renew => sam.renew_workspace(id, Duration::from_mins(1), caller).await.map(drop),
        Errand::Start => sam.start_workspace(id, caller).await.map(drop),
        Errand::Stop => sam.stop_workspace(id, caller).await.map(drop),
    }
}
