//! `sam stop`, `sam start`, `sam delete`.

use sam_api::{Client, Workspace};
use sam_core::ErrorKind;

use crate::args::Power;
use crate::connect::Context;
use crate::failure::Failure;
use crate::progress::{Goal, Printer, Wait, Waited};
use crate::signals::{self, Signals};

pub(super) async fn change(context: &Context, power: &Power, goal: Goal) -> Result<u8, Failure> {
    let client = context.connect().await?;
    let workspace = match goal {
        Goal::Deleted => client.delete_workspace(&power.workspace).await,
        Goal::Running => client.start_workspace(&power.workspace).await,
        Goal::Stopped => client.stop_workspace(&power.workspace).await,
    }?;
    let mut printer = Printer::new(context.output, false);
    if power.no_wait {
        printer.finish(&workspace)?;
        return Ok(0);
    }
    let mut signals = Signals::listen()?;
    let wait = Wait { context, client: &client, goal, since: &workspace, printer: &mut printer };
    match wait.run(&mut signals).await? {
        Waited::Interrupted(signal) => {
            context.output.remark(&format!(
                "sam: it goes on without us; `sam show {}` tells how far it is",
                workspace.name
            ));
            Ok(signals::status(signal))
        }
        Waited::Reached(workspace) => {
            printer.finish(&workspace)?;
            if !context.output.json {
                context.output.remark(&format!("sam: {} is {}", workspace.name, workspace.state));
            }
            Ok(0)
        }
    }
}

/// Deletes a workspace and waits until nothing of it is left. `Ok(false)` when a signal ended the
/// waiting.
pub(super) async fn delete_and_wait(
    context: &Context,
    client: &Client,
    workspace: &Workspace,
    signals: &mut Signals,
) -> Result<bool, Failure> {
    let deleting = match client.delete_workspace(&workspace.id.to_string()).await {
        // Its lease may have lapsed meanwhile, and even its tombstone may be gone.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        other => other?,
    };
    let mut printer = Printer::new(context.output, true);
    let wait =
        Wait { context, client, goal: Goal::Deleted, since: &deleting, printer: &mut printer };
    Ok(matches!(wait.run(signals).await?, Waited::Reached(_)))
}
