//! `sam login`, `sam logout` and `sam whoami`.

use std::io::{self, Write as _};
use std::time::Duration;

use sam_api::{Account, Client, DevicePoll, DevicePolled, DeviceSignIn, Me, Target};
use sam_core::{Error, ErrorKind, Result, Secret};

use crate::connect::Context;
use crate::deadline;
use crate::failure::Failure;
use crate::logins;
use crate::output::{self, printable};

/// Shortest pause between two questions, whatever a server says.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest one.
const PAUSE_MAX: Duration = Duration::from_mins(5);

pub(super) async fn login(context: &Context) -> Result<u8, Failure> {
    let server = server(context)?;
    let client = Client::new(Target::Http(server.to_owned()), None)?;
    if !server.starts_with("https://") && !is_loopback(server) {
        context
            .output
            .remark("sam: this server is not reached over https: others can read the login");
    }
    let begun = client.begin_device_sign_in().await?;
    show(context, &begun)?;
    let waited = deadline::within(deadline::SIGN_IN, agreed(&client, begun)).await;
    let (token, account) = waited.unwrap_or_else(|| {
        let late = Error::new(ErrorKind::Timeout, "nobody entered the code in time");
        Err(late.with_hint("begin again with `sam login`"))
    })?;
    logins::keep(&context.settings.data_dir, server, &token)?;
    if context.settings.token_is_given {
        context.output.remark("sam: SAM_TOKEN or --token-file outranks this login while it is set");
    }
    if context.output.json {
        output::object(&account)?;
    } else {
        output::line(&printable(&format!("{} is signed in at {server}", account.handle)))?;
    }
    Ok(0)
}

/// Tells what to do: it is needed, however quiet sam is to be.
fn show(context: &Context, begun: &DeviceSignIn) -> Result<(), Failure> {
    let (uri, code) = (printable(&begun.verification_uri), printable(&begun.user_code));
    let mut err = io::stderr().lock();
    if context.output.json {
        let told = serde_json::json!({ "verification_uri": uri, "user_code": code });
        writeln!(err, "{told}")?;
    } else {
        writeln!(err, "open {uri}\nand enter {code}")?;
    }
    Ok(err.flush()?)
}

/// Asks until the person has agreed or refused, at the pace the server says.
async fn agreed(client: &Client, begun: DeviceSignIn) -> Result<(Secret<String>, Account)> {
    let mut poll = DevicePoll { device: begun.device };
    let mut interval_ms = begun.interval_ms;
    // It ends with the sign-in: the server says so, or the caller's deadline.
    loop {
        deadline::pause(Duration::from_millis(interval_ms).clamp(PAUSE_MIN, PAUSE_MAX)).await;
        match client.poll_device_sign_in(&poll).await {
            Ok(DevicePolled::Done { token, account }) => {
                return Ok((Secret::new(token), *account));
            }
            Ok(DevicePolled::Pending { interval_ms: next, device }) => {
                (interval_ms, poll) = (next, DevicePoll { device });
            }
            Err(error) if passes(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Returns whether it is worth asking again.
fn passes(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::RateLimited)
}

pub(super) async fn logout(context: &Context, everywhere: bool) -> Result<u8, Failure> {
    let server = server(context)?;
    let data_dir = &context.settings.data_dir;
    let token = logins::token(data_dir, server)?.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("nobody is signed in at {server}"))
            .with_hint("`sam login` signs in")
    })?;
    let client = Client::new(Target::Http(server.to_owned()), Some(token))?;
    let outcome = if everywhere {
        client.sign_out_everywhere().await.map(drop)
    } else {
        client.sign_out().await
    };
    match outcome {
        Ok(()) => {}
        // It had ended already, or nobody can sign in there any more.
        Err(error) if matches!(error.kind(), ErrorKind::Unauthenticated | ErrorKind::NotFound) => {}
        Err(error) => return Err(error.into()),
    }
    logins::forget(data_dir, server)?;
    context.output.remark(&format!("signed out at {server}"));
    Ok(0)
}

pub(super) async fn whoami(context: &Context) -> Result<u8, Failure> {
    let me = context.connect().await?.me().await?;
    if context.output.json {
        output::object(&me)?;
    } else {
        output::line(text(&me).trim_end())?;
    }
    Ok(0)
}

fn text(me: &Me) -> String {
    let Some(account) = &me.account else {
        return format!("{:<12}{} (administrator)\n", "owner", printable(&me.owner));
    };
    let lines = [
        ("account", Some(account.id.to_string())),
        ("user", Some(format!("{} at {}", account.handle, account.forge))),
        ("name", account.name.clone()),
        ("email", account.email.clone()),
        ("until", me.login_ends_at.map(|at| at.to_string())),
    ];
    let lines = lines.into_iter().filter_map(|(name, value)| {
        value.map(|value| format!("{name:<12}{}\n", printable(&value)))
    });
    lines.collect()
}

fn server(context: &Context) -> Result<&str> {
    context.settings.server.as_deref().ok_or_else(|| {
        Error::new(ErrorKind::BadInput, "this machine's own daemon takes no login")
            .with_hint("name the server with --server URL or SAM_SERVER")
    })
}

fn is_loopback(server: &str) -> bool {
    let host = server.strip_prefix("http://").unwrap_or_default();
    let host = host.split('/').next().unwrap_or_default();
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|known| {
        host.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::golden;

    #[test]
    fn who_it_is_is_shown_as_checked_in() {
        let account = Account {
            id: sam_core::AccountId::from_bits(1),
            forge: "github.com".to_owned(),
            number: 583_231,
            handle: "mona".to_owned(),
            name: Some("Mona\nLisa".to_owned()),
            email: Some("mona@example.com".to_owned()),
            email_is_verified: true,
            avatar_url: None,
            created_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            signed_in_at: "2026-01-02T00:00:00Z".parse().unwrap(),
        };
        let person = Me {
            owner: account.id.to_string(),
            is_administrator: false,
            account: Some(account),
            login_ends_at: Some("2026-02-01T00:00:00Z".parse().unwrap()),
        };
        let administrator = Me {
            owner: "admin".to_owned(),
            is_administrator: true,
            account: None,
            login_ends_at: None,
        };
        golden("whoami.txt", &[text(&person), text(&administrator)].join("\n"));
    }

    #[test]
    fn loopback_servers_are_known() {
        for (server, expected) in [
            ("http://127.0.0.1:7070", true),
            ("http://localhost/x", true),
            ("http://[::1]:7070/", true),
            ("http://127.0.0.1.example.org", false),
            ("http://sam.example.org", false),
            ("https://sam.example.org", false),
        ] {
            assert_eq!(is_loopback(server), expected, "{server}");
        }
    }
}
