//! `sam orphan`.

use sam_api::Orphan;
use sam_core::compute::Labels;
use sam_core::time::Timestamp;
use sam_core::{ErrorKind, Result};

use super::list;
use super::nodes::refused;
use super::wait::{self, Waited};
use crate::args;
use crate::connect::Context;
use crate::failure::Failure;
use crate::output::{self, age, now, table};
use crate::signals;

pub(super) async fn run(context: &Context, command: args::Orphan) -> Result<u8, Failure> {
    match command {
        args::Orphan::Ls => ls(context).await,
        args::Orphan::Rm { orphan, no_wait } => rm(context, &orphan, no_wait).await,
    }
}

async fn ls(context: &Context) -> Result<u8, Failure> {
    let client = context.connect().await?;
    let found = list::read(context, async |after| client.orphans(after.as_deref()).await).await?;
    list::show(context, &found, "sam: there is no orphan", |found| lines(found, now()))
}

async fn rm(context: &Context, orphan: &str, no_wait: bool) -> Result<u8, Failure> {
    let client = context.connect().await?;
    let since = client.delete_orphan(orphan).await?;
    if no_wait {
        if context.output.json {
            output::object(&since)?;
        } else {
            context.output.remark(&format!("sam: {} is about to be deleted", since.id));
        }
        return Ok(0);
    }
    let waited = wait::until(async || match client.orphan(&since.id).await {
        Ok(orphan) => refused(orphan.error.as_ref(), since.error.as_ref())
            .map_or(Ok(None), |error| Err(error.with_context("orphan", &since.id))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(())),
        Err(error) => Err(error),
    });
    match waited.await? {
        Waited::Interrupted(signal) => {
            context
                .output
                .remark("sam: it goes on without us; `sam orphan ls` tells how far it is");
            Ok(signals::status(signal))
        }
        Waited::Over(()) => {
            // A record may have turned up that answers for it; then it is no orphan, and is kept.
            context.output.remark(&format!("sam: {} is no orphan any more", since.id));
            Ok(0)
        }
    }
}

fn lines(found: &[Orphan], now: Timestamp) -> String {
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|orphan| {
            let node = orphan.labels.get(Labels::NODE);
            vec![
                orphan.id.clone(),
                orphan.state.to_string(),
                orphan.reason.to_string(),
                orphan.sort.clone(),
                age(now, orphan.found_at.0),
                node.map_or_else(|| "-".to_owned(), Clone::clone),
                orphan.provider_id.clone(),
                orphan.error.as_ref().map(|error| error.message.clone()).unwrap_or_default(),
            ]
        })
        .collect();
    table(&["ID", "STATE", "WHY", "SORT", "FOUND", "NODE", "PROVIDER'S ID", "ERROR"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::golden;
    use std::time::Duration;

    #[test]
    fn orphans_are_listed_as_checked_in() {
        let orphan = |state: &str, reason: &str, labels: serde_json::Value| -> Orphan {
            serde_json::from_value(serde_json::json!({
                "id": "compute.process.00112233445566778899", "sweep": "compute.process",
                "sort": "machine", "provider_id": "nd-1", "labels": labels, "reason": reason,
                "state": state, "delete_wished": false, "found_at": "2026-01-01T00:00:00Z",
                "changed_at": "2026-01-01T00:00:00Z", "version": 1}))
            .unwrap()
        };
        let labels = serde_json::json!({"sam-node": "nd-00000000000000000000000001"});
        let found = [
            orphan("suspected", "node_deleted", labels),
            orphan("held", "unclear", serde_json::json!({})),
        ];
        let now = found[0].found_at.0.plus(Duration::from_mins(3));
        golden("orphan_ls.txt", &lines(&found, now));
    }
}
