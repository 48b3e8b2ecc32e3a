//! `sam daemon status` and `sam daemon stop`.

use std::time::Duration;

use sam_core::{Error, ErrorKind};

use crate::connect::{Context, nobody_listens};
use crate::deadline;
use crate::failure::Failure;
use crate::output;

const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub(super) async fn status(context: &Context) -> Result<u8, Failure> {
    let Some(client) = context.running_daemon().await? else {
        return Err(Error::new(ErrorKind::NotFound, "no daemon runs")
            .with_context("data_dir", context.settings.data_dir.display())
            .with_hint("the next command that needs one starts it")
            .into());
    };
    let status = client.daemon().await?;
    if context.output.json {
        output::object(&status)?;
    } else {
        output::line(&format!(
            "pid         {}\nversion     {}\ndata dir    {}\nstarted     {}\nnodes       {}\n\
             workspaces  {}",
            status.pid,
            status.version,
            status.data_dir,
            status.started_at,
            status.nodes,
            status.workspaces
        ))?;
    }
    Ok(0)
}

/// Ends the daemon and waits until nobody listens. That none runs is no failure.
pub(super) async fn stop(context: &Context) -> Result<u8, Failure> {
    let Some(client) = context.running_daemon().await? else {
        context.output.remark("sam: no daemon runs");
        return Ok(0);
    };
    client.stop_daemon().await?;
    let ending = async {
        loop {
            match client.health().await {
                Err(error) if nobody_listens(&error) => return,
                _ => deadline::pause(LOOK_AGAIN).await,
            }
        }
    };
    let late = || Error::new(ErrorKind::Timeout, "the daemon still answers after 30 seconds");
    deadline::within(deadline::DAEMON_STOP, ending).await.ok_or_else(late)?;
    context.output.remark("sam: the daemon has ended; workspaces keep running");
    Ok(0)
}
