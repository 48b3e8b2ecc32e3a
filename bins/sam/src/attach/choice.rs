//! Which terminal of a workspace to attach to.

use sam_api::Client;
use sam_api::wire::OpenTerminal;
use sam_core::{Error, ErrorKind, Result, TerminalId};

use super::screen::size;
use crate::connect::Context;

/// Which terminal to attach to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// A new one.
    New,
    /// The newest that runs, or a new one.
    Newest,
    /// This one.
    This(TerminalId),
}

/// Finds or opens the terminal; returns it and the offset its output is kept from.
pub(super) async fn choose(
    context: &Context,
    client: &Client,
    workspace: &str,
    choice: Choice,
) -> Result<(TerminalId, u64)> {
    let open = || async {
        let request = OpenTerminal {
            command: Vec::new(),
            size: size().unwrap_or_default(),
            term: context.settings.term.clone(),
        };
        let opened = client.open_terminal(workspace, &request).await?;
        Ok((opened.id, opened.floor_offset))
    };
    if choice == Choice::New {
        return open().await;
    }
    let terminals = client.terminals(workspace).await?;
    match choice {
        Choice::This(id) => {
            let found = terminals.iter().find(|terminal| terminal.id == id);
            let found = found.map(|terminal| (id, terminal.floor_offset));
            found.ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("there is no terminal {id}"))
                    .with_hint("leave --terminal out for the newest, or use --new")
            })
        }
        Choice::New | Choice::Newest => {
            let running = terminals.iter().rev().find(|terminal| terminal.exit.is_none());
            match running {
                Some(terminal) => Ok((terminal.id, terminal.floor_offset)),
                None => open().await,
            }
        }
    }
}
