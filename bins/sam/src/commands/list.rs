//! `sam ls`.

use sam_api::client::ListWorkspaces;
use sam_api::{Page, Workspace};
use sam_core::time::Timestamp;
use sam_core::{Error, ErrorKind};

use super::checkout;
use crate::connect::Context;
use crate::failure::Failure;
use crate::output::{self, age, now, table};

/// Most pages read: 200,000 workspaces.
const PAGES_MAX: usize = 1_000;

pub(super) async fn list(context: &Context, all: bool) -> Result<u8, Failure> {
    let client = context.connect().await?;
    let limit = Some(Page::<Workspace>::LIMIT_MAX);
    let mut query = ListWorkspaces { limit, after: None, all };
    let mut found = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = client.workspaces(&query).await?;
        if context.output.json {
            for workspace in &page.items {
                output::object(workspace)?;
            }
        } else {
            found.extend(page.items);
        }
        if page.next.is_none() {
            return show(context, &found);
        }
        query.after = page.next;
    }
    Err(Error::new(ErrorKind::Corrupt, "the list of workspaces has no end").into())
}

fn show(context: &Context, found: &[Workspace]) -> Result<u8, Failure> {
    if context.output.json {
        return Ok(0);
    }
    if found.is_empty() {
        context.output.remark("sam: there is no workspace; `sam up .` makes one of a repository");
        return Ok(0);
    }
    output::line(lines(found, now()).trim_end())?;
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
