//! What the program can be asked to do.

use sam_core::Result;

use crate::backup;
use crate::config::{RestoreAs, ServerConfig, Task};
use crate::server::{self, Started};

/// Does what the configuration asks for, and returns what to tell the caller of it. Serving tells
/// `started` and goes on until `shutdown` completes; anything else ends by itself.
///
/// # Errors
/// Those of the task.
pub async fn carry_out(
    config: ServerConfig,
    started: impl FnOnce(Started),
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Option<String>> {
    let told = match config.task.clone() {
        Task::Backup { file } => {
            let summary = backup::back_up(&config, &file).await?;
            format!(
                "backed up {} records and {} changes to {}, and restored them on trial\n\
                 the keys are not in it: keep {} as well",
                summary.records,
                summary.changes,
                file.display(),
                config.keys_file.display(),
            )
        }
        Task::Migrate => {
            server::migrate(config).await?;
            "the schema is the one this program knows".to_owned()
        }
        Task::Restore { file, mode } => {
            let restore_as = mode.restore_as();
            let summary = backup::restore(&config, &file, restore_as).await?;
            let (records, at) = (summary.records, summary.at);
            match restore_as {
                RestoreAs::Copy => format!(
                    "restored {records} records as of {at} as another installation, which owns no machine\n\
                     its keys are made when its server first starts"
                ),
                RestoreAs::Replacement => format!(
                    "restored {records} records as of {at}; nothing is deleted by itself for now\n\
                     start the server, look at `sam sweep run`, `sam node ls` and `sam orphan ls`, then `sam hold lift`"
                ),
            }
        }
        Task::Serve => {
            server::run(config, started, shutdown).await?;
            return Ok(None);
        }
    };
    Ok(Some(told))
}
