//! `sam hold`.

use sam_api::{DeletionHold, SetDeletionHold};

use crate::args::Hold;
use crate::connect::Context;
use crate::failure::Failure;
use crate::output::{self, printable};

pub(super) async fn run(context: &Context, command: Option<Hold>) -> Result<u8, Failure> {
    let client = context.connect().await?;
    let hold = match command {
        None => client.deletion_hold().await,
        Some(Hold::Set { reason }) => {
            client.set_deletion_hold(&SetDeletionHold { held: true, reason }).await
        }
        Some(Hold::Lift { reason }) => {
            client.set_deletion_hold(&SetDeletionHold { held: false, reason }).await
        }
    }?;
    if context.output.json {
        output::object(&hold)?;
    } else {
        output::line(text(&hold).trim_end())?;
    }
    Ok(0)
}

fn text(hold: &DeletionHold) -> String {
    let state = if hold.held {
        "held: nothing is deleted that no person asks to delete"
    } else {
        "not held: what is over or proven to be left over is deleted"
    };
    let lines = [
        ("deletion", Some(state.to_owned())),
        ("since", hold.since.map(|at| at.to_string())),
        ("by", hold.by.clone()),
        ("reason", hold.reason.clone()),
    ];
    let lines = lines.into_iter().filter_map(|(name, value)| {
        value.map(|value| format!("{name:<12}{}\n", printable(&value)))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::golden;

    #[test]
    fn a_hold_is_shown_as_checked_in() {
        let never = DeletionHold { held: false, reason: None, by: None, since: None };
        let held = DeletionHold {
            held: true,
            reason: Some("restored\nfrom a backup".to_owned()),
            by: Some("admin".to_owned()),
            since: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        };
        let lifted = DeletionHold { held: false, reason: Some("done".to_owned()), ..held.clone() };
        golden("hold.txt", &[text(&never), text(&held), text(&lifted)].join("\n"));
    }
}
