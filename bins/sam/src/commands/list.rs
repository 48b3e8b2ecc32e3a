//! `sam ls`, and what all lists have in common.

use serde::Serialize;

use sam_api::client::ListWorkspaces;
use sam_api::{Page, Workspace};
use sam_core::time::Timestamp;
use sam_core::{Error, ErrorKind, Result};

use super::checkout;
use crate::connect::Context;
use crate::failure::Failure;
use crate::output::{self, age, now, table};

/// Most pages read of a list: 200,000 items.
const PAGES_MAX: usize = 1_000;

pub(super) async fn list(context: &Context, all: bool) -> Result<u8, Failure> {
    let client = context.connect().await?;
    let limit = Some(Page::<Workspace>::LIMIT_MAX);
    let found =
        read(context, async |after| client.workspaces(&ListWorkspaces { limit, after, all }).await);
    let none = "sam: there is no workspace; `sam up .` makes one of a repository";
    show(context, &found.await?, none, |found| lines(found, now()))
}

/// Reads every page of a list. For programs the items are written as they come, and none is
/// returned.
pub(super) async fn read<T: Serialize>(
    context: &Context,
    mut page_after: impl AsyncFnMut(Option<String>) -> Result<Page<T>>,
) -> Result<Vec<T>, Failure> {
    let mut found = Vec::new();
    let mut after = None;
    for _ in 0..PAGES_MAX {
        let page = page_after(after.take()).await?;
        if context.output.json {
            for item in &page.items {
                output::object(item)?;
            }
        } else {
            found.extend(page.items);
        }
        if page.next.is_none() {
            return Ok(found);
        }
        after = page.next;
    }
    Err(Error::new(ErrorKind::Corrupt, "the list has no end").into())
}

/// Writes what [`read`] returned as a table, or remarks that there is nothing.
pub(super) fn show<T>(
    context: &Context,
    found: &[T],
    none: &str,
    lines: impl FnOnce(&[T]) -> String,
) -> Result<u8, Failure> {
    if context.output.json {
        return Ok(0);
    }
    if found.is_empty() {
        context.output.remark(none);
    } else {
        output::line(lines(found).trim_end())?;
    }
    Ok(0)
}

fn lines(found: &[Workspace], now: Timestamp) -> String {
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|workspace| {
            vec![
                workspace.name.clone(),
                workspace.state.to_string(),
                checkout(workspace),
                age(now, workspace.created_at.0),
                workspace.size.clone(),
                workspace.id.to_string(),
                workspace.repo.to_string(),
            ]
        })
        .collect();
    table(&["NAME", "STATE", "CHECKOUT", "AGE", "SIZE", "ID", "REPOSITORY"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::golden;
    use crate::progress::tests::workspace;
    use std::time::Duration;

    #[test]
    fn the_list_is_as_checked_in() {
        let mut first = workspace("running", "running", 3);
        first.branch = Some("main".to_owned());
        first.commit = Some("0123456789abcdef".to_owned());
        let mut second = workspace("deleting", "deleted", 9);
        second.name = "a-longer-name".to_owned();
        let now = first.created_at.0.plus(Duration::from_hours(5));
        golden("ls.txt", &lines(&[first, second], now));
    }
}
