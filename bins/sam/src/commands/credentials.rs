//! `sam credential`: one's own accounts at providers. Tokens are read from a file or from standard
//! input, never from the command line, where every process sees them.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use sam_api::{CreateCredential, Credential};
use sam_core::time::Timestamp;
use sam_core::{Error, ErrorKind, Secret};

use super::list;
use super::nodes::refused;
use super::wait::{self, Waited};
use crate::connect::Context;
use crate::failure::Failure;
use crate::output::{self, age, now, table};
use crate::signals;

/// Longest token that is read, in bytes; one more tells that there is more.
const TOKEN_BYTES_MAX: u64 = 64 << 10;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List your credentials
    Ls,
    /// Store a token, once its provider has accepted it
    Add {
        /// Where it is accepted, such as hetzner
        provider: String,
        /// What to call it; as its provider when absent
        #[arg(short, long)]
        name: Option<String>,
        /// The file with the token; `-` or nothing is standard input
        #[arg(long, value_name = "FILE")]
        token_from: Option<PathBuf>,
        /// Only ask whether the provider accepts it
        #[arg(long)]
        check: bool,
    },
    /// Give a credential another token of the same account
    Replace {
        /// Its id or name
        credential: String,
        /// The file with the token; `-` or nothing is standard input
        #[arg(long, value_name = "FILE")]
        token_from: Option<PathBuf>,
    },
    /// Delete a credential that nothing needs any more
    Rm {
        /// Its id or name
        credential: String,
    },
}

pub(super) async fn run(context: &Context, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Ls => ls(context).await,
        Command::Add { provider, name, token_from, check } => {
            let token = token(token_from.as_deref())?.expose().clone();
            let request = CreateCredential { provider, name, token };
            if check { check_token(context, &request).await } else { add(context, &request).await }
        }
        Command::Replace { credential, token_from } => {
            let token = token(token_from.as_deref())?;
            let client = context.connect().await?;
            told(context, &client.replace_token(&credential, &token).await?)
        }
        Command::Rm { credential } => rm(context, &credential).await,
    }
}

async fn ls(context: &Context) -> Result<u8, Failure> {
    let client = context.connect().await?;
    let found =
        list::read(context, async |after| client.credentials(after.as_deref()).await).await?;
    let none = "sam: there is no credential; `sam credential add` stores one";
    list::show(context, &found, none, |found| lines(found, now()))
}

async fn add(context: &Context, request: &CreateCredential) -> Result<u8, Failure> {
    let client = context.connect().await?;
    told(context, &client.add_credential(request).await?)
}

async fn check_token(context: &Context, request: &CreateCredential) -> Result<u8, Failure> {
    let client = context.connect().await?;
    let accepted = client.validate_credential(request).await?;
    if context.output.json {
        output::object(&accepted)?;
    } else {
        context.output.remark(&format!("sam: {} accepts it", request.provider));
    }
    Ok(0)
}

async fn rm(context: &Context, credential: &str) -> Result<u8, Failure> {
    let client = context.connect().await?;
    let since = client.delete_credential(credential).await?;
    let id = since.id.to_string();
    let waited = wait::until(async || {
        let now = client.credential(&id).await?;
        if now.state == "deleted" {
            return Ok(Some(now));
        }
        refused(now.error.as_ref(), since.error.as_ref())
            .map_or(Ok(None), |error| Err(error.with_context("credential", &id)))
    });
    match waited.await? {
        Waited::Interrupted(signal) => Ok(signals::status(signal)),
        Waited::Over(gone) => told(context, &gone),
    }
}

fn told(context: &Context, credential: &Credential) -> Result<u8, Failure> {
    if context.output.json {
        output::object(credential)?;
    } else {
        let Credential { name, provider, state, .. } = credential;
        context.output.remark(&format!("sam: {name} is {state}: {provider}"));
    }
    Ok(0)
}

fn token(from: Option<&Path>) -> Result<Secret<String>, Failure> {
    let mut text = String::new();
    let read = match from.filter(|path| *path != Path::new("-")) {
        Some(path) => std::fs::File::open(path)
            .and_then(|file| file.take(TOKEN_BYTES_MAX + 1).read_to_string(&mut text)),
        None => std::io::stdin().lock().take(TOKEN_BYTES_MAX + 1).read_to_string(&mut text),
    };
    read.map_err(|cause| {
        Error::new(ErrorKind::BadInput, "the token cannot be read")
            .with_hint("give a file with --token-from, or write the token to standard input")
            .with_source(cause)
    })?;
    Ok(Secret::new(text))
}

fn lines(found: &[Credential], now: Timestamp) -> String {
    let row = |it: &Credential| {
        let why = it.error.as_ref().map(|error| error.message.clone());
        vec![
            it.name.clone(),
            it.state.clone(),
            it.provider.clone(),
            age(now, it.created_at.0),
            why.unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    table(&["NAME", "STATE", "PROVIDER", "AGE", "ERROR"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::golden;
    use std::time::Duration;

    #[test]
    fn credentials_are_listed_as_checked_in() {
        let found: Vec<Credential> = serde_json::from_value(serde_json::json!([
            {"id": "cr-00000000000000000000000001", "name": "work", "state": "active",
             "provider": "hetzner/cr-00000000000000000000000001",
             "accepted_at": "2026-01-01T00:00:00Z", "created_at": "2026-01-01T00:00:00Z",
             "error": {"kind": "conflict", "operation": "delete",
                       "message": "it is needed: its vendor lists things of this installation"}},
            {"id": "cr-00000000000000000000000002", "name": "fly", "state": "retiring",
             "provider": "fly/cr-00000000000000000000000002",
             "accepted_at": "2026-01-01T00:00:00Z", "created_at": "2026-01-01T00:00:00Z"}
        ]))
        .unwrap();
        let now = found[0].created_at.0.plus(Duration::from_hours(5));
        golden("credential_ls.txt", &lines(&found, now));
    }
}
