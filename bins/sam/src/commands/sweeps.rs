//! `sam sweep`.

use sam_api::{Client, Sweep};
use sam_core::time::Timestamp;
use sam_core::{Error, ErrorKind, Result};

use super::list;
use super::wait::{self, Waited};
use crate::args;
use crate::connect::Context;
use crate::failure::Failure;
use crate::output::{self, age, now, table};
use crate::signals;

/// Most sweeps that are read.
const SWEEPS_MAX: usize = 10_000;
const NONE: &str = "sam: nothing is swept: no provider can tell what it made";

pub(super) async fn run(context: &Context, command: args::Sweep) -> Result<u8, Failure> {
    match command {
        args::Sweep::Ls => ls(context).await,
        args::Sweep::Run { sweep, no_wait } => sweep_now(context, sweep, no_wait).await,
    }
}

async fn ls(context: &Context) -> Result<u8, Failure> {
    let client = context.connect().await?;
    let found = list::read(context, async |after| client.sweeps(after.as_deref()).await).await?;
    list::show(context, &found, NONE, |found| lines(found, now()))
}

async fn sweep_now(context: &Context, sweep: Option<String>, no_wait: bool) -> Result<u8, Failure> {
    let client = context.connect().await?;
    let asked = match sweep {
        Some(sweep) => vec![client.run_sweep(&sweep).await?],
        None => run_all(&client).await?,
    };
    if no_wait {
        return tell(context, &asked);
    }
    let waited = wait::until(async || {
        let made = sweeps(&client).await?;
        let of_ours = |made: &Sweep| asked.iter().any(|asked| asked.name == made.name);
        let made: Vec<Sweep> = made.into_iter().filter(of_ours).collect();
        Ok(made.iter().all(Sweep::is_over).then_some(made))
    });
    let made = match waited.await? {
        Waited::Interrupted(signal) => {
            context
                .output
                .remark("sam: it goes on without us; `sam sweep ls` tells what was found");
            return Ok(signals::status(signal));
        }
        Waited::Over(made) => made,
    };
    let status = tell(context, &made)?;
    let found: u64 = made.iter().map(|sweep| sweep.tally.orphans).sum();
    let recovered: u64 = made.iter().map(|sweep| sweep.tally.recovered).sum();
    if found > 0 {
        context.output.remark("sam: `sam orphan ls` lists the orphans");
    }
    if recovered > 0 {
        context.output.remark("sam: `sam node ls` lists the recovered machines");
    }
    match made.iter().find_map(|sweep| Some((sweep, sweep.error.as_ref()?))) {
        Some((sweep, error)) => Err(error.to_error().with_context("sweep", &sweep.name).into()),
        None => Ok(status),
    }
}

/// Reads every sweep. There are as many as credentials, which are few.
async fn sweeps(client: &Client) -> Result<Vec<Sweep>> {
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = client.sweeps(after.as_deref()).await?;
        found.extend(page.items);
        match page.next {
            Some(next) if found.len() < SWEEPS_MAX => after = Some(next),
            Some(_) => return Err(Error::new(ErrorKind::Corrupt, "the list has no end")),
            None => return Ok(found),
        }
    }
}

/// Asks for every sweep that is still made. The record of one whose credential is gone stays.
async fn run_all(client: &Client) -> Result<Vec<Sweep>> {
    let mut asked = Vec::new();
    for sweep in sweeps(client).await? {
        match client.run_sweep(&sweep.name).await {
            Ok(sweep) => asked.push(sweep),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(asked)
}

fn tell(context: &Context, sweeps: &[Sweep]) -> Result<u8, Failure> {
    if context.output.json {
        for sweep in sweeps {
            output::object(sweep)?;
        }
    }
    list::show(context, sweeps, NONE, |sweeps| lines(sweeps, now()))
}

fn lines(found: &[Sweep], now: Timestamp) -> String {
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|sweep| {
            let tally = &sweep.tally;
            let swept = sweep.swept_at.map(|at| format!("{} ago", age(now, at.0)));
            let mut row = vec![sweep.name.clone(), swept.unwrap_or_else(|| "-".to_owned())];
            let counts = [
                tally.listed,
                tally.known,
                tally.orphans,
                tally.recovered,
                tally.vanished,
                tally.strange,
            ];
            row.extend(counts.map(|count| count.to_string()));
            let error = sweep.error.as_ref().map(|error| error.message.clone());
            row.push(error.unwrap_or_default());
            row
        })
        .collect();
    let head = [
        "SWEEP",
        "SWEPT",
        "LISTED",
        "KNOWN",
        "ORPHANS",
        "RECOVERED",
        "VANISHED",
        "STRANGE",
        "ERROR",
    ];
    table(&head, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::golden;
    use sam_core::ErrorRecord;
    use std::time::Duration;

    #[test]
    fn sweeps_are_listed_as_checked_in() {
        let tally = serde_json::json!({"listed": 12, "known": 9, "orphans": 1, "recovered": 2,
                                       "vanished": 0, "strange": 0});
        let first: Sweep = serde_json::from_value(serde_json::json!({
            "name": "compute.process", "tally": tally, "swept_at": "2026-01-01T00:00:00Z",
            "attempts": 0, "version": 3}))
        .unwrap();
        let now = first.swept_at.unwrap().0.plus(Duration::from_mins(3));
        let second = Sweep {
            name: "dns.cloudflare".to_owned(),
            swept_at: None,
            attempts: 2,
            error: Some(ErrorRecord::new(ErrorKind::Denied, "sweep", "the token was revoked")),
            ..first
        };
        assert!(first.is_over() && second.is_over());
        let asked = Sweep { swept_at: None, ..first.clone() };
        assert!(!asked.is_over());
        golden("sweep_ls.txt", &lines(&[first, second], now));
    }
}
