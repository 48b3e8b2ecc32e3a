//! `sam github doctor`: asks GitHub what the App is, holds it against what is configured here, and says in
//! one line each what is right and what is not. It changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use sam_core::http::HttpTransport;
use sam_core::time::Clock;
use sam_core::{ErrorKind, Result};
use sam_github::{AppInfo, GithubApp, HookConfig, Level, Permissions, Rs256Signer, SentDelivery};
use sam_providers::http::{Http, HttpConfig};
use sam_providers::system::SystemClock;
use sam_server::github::GithubSettings;

use crate::failure::Failure;
use crate::finding::{Finding, Health, finding, tell};
use crate::output::Output;

/// Where deliveries are sent to, below the address of a server.
const WEBHOOK_PATH: &str = "/api/github/webhook";
pub(super) async fn run(
    output: Output,
    settings: &GithubSettings,
    url: Option<&str>,
) -> Result<u8, Failure> {
    let http: Arc<dyn HttpTransport> = Arc::new(Http::new(&HttpConfig::default())?);
    let findings = examine(settings, url, http, Arc::new(SystemClock::new())).await;
    tell(output, &findings)
}

async fn examine(
    settings: &GithubSettings,
    url: Option<&str>,
    http: Arc<dyn HttpTransport>,
    clock: Arc<dyn Clock>,
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = key_file(settings).into_iter().collect();
    let Some(issuer) = settings.issuer.clone() else {
        let hint = "set GITHUB_APP_ID to the number in the App's settings, under \"About\"";
        findings.push(finding("app", Health::Bad, "no App is configured").hint(hint));
        return findings;
    };
    let key = settings.private_key().and_then(|key| Ok(Rs256Signer::new(&key)?));
    let signer = match key {
        Ok(signer) => signer,
        Err(error) => {
            findings.push(Finding::of("key", &error));
            return findings;
        }
    };
    let app = GithubApp::builder(issuer, Arc::new(signer))
        .endpoints(settings.endpoints.clone())
        .build(http, clock);
    match app.info().await {
        Err(error) => {
            findings.push(refused(&error));
            return findings;
        }
        Ok(info) => findings.extend(of_app(&info, settings)),
    }
    let deliveries = app.hook_deliveries(None).await;
    let deliveries = deliveries.map(|page| page.items).unwrap_or_default();
    match app.hook_config().await {
        Err(error) => findings.push(Finding::of("webhook", &error)),
        Ok(hook) => findings.extend(of_hook(&hook, &deliveries, settings, url)),
    }
    findings.extend(unseen(url));
    findings
}

/// GitHub does not know the App, or not by this key.
fn refused(error: &sam_core::Error) -> Finding {
    let found = Finding::of("app", error);
    match error.kind() {
        ErrorKind::Unauthenticated | ErrorKind::NotFound => {
            found.hint("the key and GITHUB_APP_ID are of different Apps, or this clock is wrong")
        }
        _ => found,
    }
}

fn key_file(settings: &GithubSettings) -> Option<Finding> {
    let path = settings.key_file()?;
    let shown = path.display();
    let mode = match fs::metadata(path) {
        Ok(found) => found.permissions().mode() & 0o777,
        Err(error) => {
            let message = format!("{shown} cannot be read: {error}");
            return Some(finding("key file", Health::Bad, message));
        }
    };
    let for_others = mode & 0o077;
    Some(if for_others == 0 {
        finding("key file", Health::Good, format!("{shown} is its owner's alone"))
    } else {
        let message = format!("{shown} has mode {mode:04o}: others can read the key");
        finding("key file", Health::Bad, message).hint(format!("chmod 600 {shown}"))
    })
}

fn of_app(info: &AppInfo, settings: &GithubSettings) -> Vec<Finding> {
    let slug = info.slug.as_deref().unwrap_or("?");
    let mut findings =
        vec![finding("app", Health::Good, format!("{slug}, number {}; its key is right", info.id))];
    findings.push(match settings.slug.as_deref() {
        Some(told) if told == slug => finding("slug", Health::Good, slug),
        Some(told) => {
            finding("slug", Health::Bad, format!("it is {slug}, and {told} is configured"))
                .hint(format!("set GITHUB_APP_SLUG={slug}: it is part of where people install it"))
        }
        None => finding("slug", Health::Warning, format!("it is {slug}, and none is configured"))
            .hint(format!("set GITHUB_APP_SLUG={slug}")),
    });
    findings.push(layout(info, settings));
    findings.extend(permissions(&info.permissions));
    findings.push(if info.events.iter().any(|event| event == "push") {
        finding("events", Health::Good, "pushes are delivered")
    } else {
        finding("events", Health::Warning, "pushes are not delivered: nothing follows a push")
            .hint("subscribe to \"Push\" under \"Permissions & events\"")
    });
    findings
}

/// Whether people sign in by the same App, or by another.
fn layout(info: &AppInfo, settings: &GithubSettings) -> Finding {
    let told = match (&settings.client_id, &settings.client_secret) {
        (None, None) => {
            return finding("sign-in", Health::Warning, "nobody can sign in with GitHub")
                .hint("set GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET");
        }
        (Some(_), None) => {
            return finding("sign-in", Health::Bad, "GITHUB_CLIENT_SECRET is not set");
        }
        (None, Some(_)) => return finding("sign-in", Health::Bad, "GITHUB_CLIENT_ID is not set"),
        (Some(id), Some(_)) => id,
    };
    if info.client_id.as_ref() == Some(told) {
        finding("sign-in", Health::Good, "by the same App: one for everything")
    } else {
        finding("sign-in", Health::Good, "by an OAuth App of its own, beside the App")
    }
}

fn permissions(has: &Permissions) -> Vec<Finding> {
    let write = Permissions::new().with("contents", Level::Write);
    let read = Permissions::new().with("contents", Level::Read);
    let contents = if has.covers(&write) {
        finding("contents", Health::Good, "read and write")
    } else if has.covers(&read) {
        finding("contents", Health::Warning, "read only: workspaces can clone, and cannot push")
            .hint("set \"Contents\" to \"Read and write\", then have installations accept it")
    } else {
        finding("contents", Health::Bad, "no access: nothing can be cloned")
            .hint("set \"Contents\" to \"Read and write\" under \"Permissions & events\"")
    };
    let others = [
        ("metadata", "Metadata", Health::Bad),
        ("email_addresses", "Email addresses", Health::Warning),
    ];
    let others = others.into_iter().map(|(name, shown, otherwise)| {
        if has.covers(&Permissions::new().with(name, Level::Read)) {
            finding(name, Health::Good, "read")
        } else {
            finding(name, otherwise, "no access")
                .hint(format!("set \"{shown}\" to \"Read-only\" under \"Permissions & events\""))
        }
    });
    std::iter::once(contents).chain(others).collect()
}

fn of_hook(
    hook: &HookConfig,
    deliveries: &[SentDelivery],
    settings: &GithubSettings,
    url: Option<&str>,
) -> Vec<Finding> {
    let Some(to) = &hook.url else {
        let hint = format!("set it to the server's address and {WEBHOOK_PATH}");
        return vec![finding("webhook", Health::Bad, "the App has no webhook URL").hint(hint)];
    };
    let expected = url.map(|url| format!("{}{WEBHOOK_PATH}", url.trim_end_matches('/')));
    let mut findings = vec![match expected {
        Some(expected) if expected != *to => {
            finding("webhook", Health::Bad, format!("it is delivered to {to}"))
                .hint(format!("set the App's webhook URL to {expected}"))
        }
        _ => finding("webhook", Health::Good, format!("it is delivered to {to}")),
    }];
    if hook.content_type.as_deref() != Some("json") {
        let told = finding("webhook", Health::Bad, "it is delivered as a form");
        findings.push(told.hint("set the content type to application/json"));
    }
    findings.push(match (hook.has_secret(), settings.has_webhook_secret) {
        (true, true) => finding("secret", Health::Good, "both sides have one"),
        (false, _) => finding("secret", Health::Bad, "the App's webhook has no secret")
            .hint("set one there and in GITHUB_WEBHOOK_SECRET: unsigned deliveries are refused"),
        (true, false) => finding("secret", Health::Bad, "GITHUB_WEBHOOK_SECRET is not set")
            .hint("every delivery is refused without it"),
    });
    findings.push(match deliveries.first() {
        None => finding("deliveries", Health::Look, "none was sent in the last days"),
        Some(last) if last.was_taken() => {
            let message =
                format!("the last one, {} at {}, was taken", last.event, last.delivered_at);
            finding("deliveries", Health::Good, message)
        }
        Some(last) => not_taken(last),
    });
    findings
}

/// What the answer to the last delivery tells of the way to the server.
fn not_taken(last: &SentDelivery) -> Finding {
    let (event, at, status) = (&last.event, &last.delivered_at, last.status_code);
    let message = format!("the last one, {event} at {at}, was answered with {status}");
    let hint = match status {
        0 => "nobody answered: GitHub must reach the address from outside",
        400 => {
            "a proxy must pass on X-GitHub-Event, X-GitHub-Delivery and X-Hub-Signature-256, and the \
             body as it is"
        }
        401 | 403 => "the secret here is another than the App's",
        404 | 405 => "the address leads somewhere else",
        413 => "a proxy must let bodies of 25 MiB through",
        _ => "look at the server's log of that time",
    };
    finding("deliveries", Health::Bad, message).hint(hint)
}

/// What GitHub tells nobody about an App.
fn unseen(url: Option<&str>) -> Vec<Finding> {
    let base = url.map_or("https://api.<your domain>", |url| url.trim_end_matches('/'));
    let look = |message| finding("settings", Health::Look, message);
    vec![
        look(format!("the callback URL shall be {base}/api/auth/callback/github")),
        look(format!("the setup URL shall be {base}/api/github/callback")),
        look("\"Request user authorization (OAuth) during installation\" shall be off".to_owned()),
    ]
}

#[cfg(test)]
mod tests;
