//! `sam replica`.

use sam_api::Replica;
use sam_core::time::Timestamp;

use super::list;
use crate::args;
use crate::connect::Context;
use crate::failure::Failure;
use crate::output::{age, now, table};

pub(super) async fn run(context: &Context, command: args::Replica) -> Result<u8, Failure> {
    let args::Replica::Ls = command;
    let client = context.connect().await?;
    let found = list::read(context, async |_| client.replicas().await).await?;
    list::show(context, &found, "sam: no server is announced", |found| lines(found, now()))
}

fn lines(found: &[Replica], now: Timestamp) -> String {
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|replica| {
            let state = match (replica.missed, replica.answers) {
                (0, true) => "answers",
                (0, false) => "lives",
                _ => "missed",
            };
            let renewed = replica.renewed_at.map(|at| format!("{} ago", age(now, at.0)));
            let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
            vec![
                replica.id.clone(),
                state.to_owned(),
                age(now, replica.since.0),
                or_none(renewed.unwrap_or_default()),
                or_none(replica.url.clone()),
            ]
        })
        .collect();
    table(&["ID", "STATE", "AGE", "RENEWED", "ADDRESS"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::golden;
    use std::time::Duration;

    #[test]
    fn replicas_are_listed_as_checked_in() {
        let replica = |id: &str, answers: bool, missed: u32, url: &str| -> Replica {
            serde_json::from_value(serde_json::json!({
                "id": id, "url": url, "answers": answers, "missed": missed,
                "since": "2026-01-01T00:00:00Z",
                "renewed_at": (!url.is_empty()).then_some("2026-01-01T04:59:00Z")}))
            .unwrap()
        };
        let found = [
            replica("00000000000000a1", true, 0, "http://10.0.0.5:7070"),
            replica("00000000000000a2", false, 0, "http://10.0.0.6:7070"),
            replica("00000000000000a3", false, 1, "http://10.0.0.7:7070"),
            replica("00000000000000a4", true, 0, ""),
        ];
        let now = found[0].since.0.plus(Duration::from_hours(5));
        golden("replica_ls.txt", &lines(&found, now));
    }
}
