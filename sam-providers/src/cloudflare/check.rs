//! What is right and what is not with a token and a zone. It changes nothing.

use sam_core::{Error, Result};

use super::Cloudflare;
use super::client::Filter;
use super::config::CloudflareId;
use super::map::code;
use super::wire::WireToken;
use super::zones::CloudflareZone;

/// What a token says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenInfo {
    /// Its id, which is no secret.
    pub id: String,
    /// Whether it works.
    pub status: TokenStatus,
    /// When it ends, as RFC 3339 writes it.
    pub expires_at: Option<String>,
    /// When it begins, as RFC 3339 writes it.
    pub begins_at: Option<String>,
}

/// Whether a token works.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenStatus {
    /// It works.
    Active,
    /// Somebody switched it off.
    Disabled,
    /// Its time is over.
    Expired,
    /// A word that is new.
    Other(String),
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Something does not work.
    Bad,
    /// It works.
    Good,
    /// It cannot be told without changing something.
    Look,
    /// It works, and may not for long or not for everybody.
    Warning,
}

/// One line of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What was looked at: `token`, `zone`, `read` or `edit`.
    pub check: &'static str,
    /// How it came out.
    pub health: Health,
    /// What was found.
    pub message: String,
    /// What a person can do.
    pub hint: Option<String>,
}

impl Finding {
    fn new(check: &'static str, health: Health, message: impl Into<String>) -> Self {
        Self { check, health, message: message.into(), hint: None }
    }

    fn of(check: &'static str, error: &Error) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self { hint, ..Self::new(check, Health::Bad, error.public_message()) }
    }

    fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Cloudflare {
    /// Asks Cloudflare what the token is. One that belongs to an account is unknown at its user's door,
    /// and is asked for at the account's, where that is configured.
    ///
    /// # Errors
    /// `Unauthenticated` for a token that Cloudflare does not know; `RateLimited`, `Unavailable`,
    /// `Timeout`.
    pub async fn verify_token(&self) -> Result<TokenInfo> {
        self.verify_token_at(self.account.as_ref()).await
    }

    async fn verify_token_at(&self, account: Option<&CloudflareId>) -> Result<TokenInfo> {
        let token = match (self.client.token(None).await, account) {
            (Err(error), Some(account)) if is_unknown(&error) => {
                self.client.token(Some(account)).await?
            }
            (told, _) => told?,
        };
        Ok(info(token))
    }

    /// Looks at the token, the zone and the permissions, and says in one line each what is right and
    /// what is not. It changes nothing, so whether records can be edited is told by the first one that
    /// is put.
    pub async fn check(&self) -> Vec<Finding> {
        let zone = self.look_up("check").await;
        let account = match &zone {
            Ok(zone) => self.account.as_ref().or(zone.account.as_ref()),
            Err(_) => self.account.as_ref(),
        };
        let token = self.verify_token_at(account).await;
        let mut findings = vec![of_token(&token), of_zone(&zone)];
        findings.extend(self.permissions().await);
        findings
    }

    async fn permissions(&self) -> Vec<Finding> {
        let zone = match self.zone("check").await {
            Ok(zone) => zone,
            Err(error) => return vec![Finding::of("read", &error)],
        };
        match self.client.records("check", &zone.id, Filter::At(&zone.name)).await {
            Ok(_) => vec![
                Finding::new("read", Health::Good, format!("records of {} can be read", zone.name)),
                Finding::new(
                    "edit",
                    Health::Look,
                    "whether records can be edited shows the first one put",
                )
                .with_hint("the token needs Zone / DNS / Edit for this zone"),
            ],
            Err(error) => vec![Finding::of("read", &error)],
        }
    }
}

fn is_unknown(error: &Error) -> bool {
    error.provider_code() == Some(code::TOKEN_UNKNOWN.to_string().as_str())
}

fn info(token: WireToken) -> TokenInfo {
    let status = match token.status.as_str() {
        "active" => TokenStatus::Active,
        "disabled" => TokenStatus::Disabled,
        "expired" => TokenStatus::Expired,
        _ => TokenStatus::Other(token.status),
    };
    let (expires_at, begins_at) = (token.expires_on, token.not_before);
    TokenInfo { id: token.id, status, expires_at, begins_at }
}

fn of_token(token: &Result<TokenInfo>) -> Finding {
    let token = match token {
        Ok(token) => token,
        Err(error) => return Finding::of("token", error),
    };
    match (&token.status, &token.expires_at) {
        (TokenStatus::Active, None) => {
            Finding::new("token", Health::Good, "the token is active and does not expire")
        }
        (TokenStatus::Active, Some(expires_at)) => {
            let message = format!("the token is active until {expires_at}");
            Finding::new("token", Health::Good, message)
        }
        (TokenStatus::Expired, _) => Finding::new("token", Health::Bad, "the token has expired")
            .with_hint("make a new one and set CF_API_TOKEN"),
        (TokenStatus::Disabled, _) => {
            Finding::new("token", Health::Bad, "the token is switched off")
                .with_hint("switch it on in the dashboard, or make a new one")
        }
        (TokenStatus::Other(word), _) => {
            Finding::new("token", Health::Warning, format!("the token is {word}"))
        }
    }
}

fn of_zone(zone: &Result<CloudflareZone>) -> Finding {
    let zone = match zone {
        Ok(zone) => zone,
        Err(error) => return Finding::of("zone", error),
    };
    let servers = zone.name_servers.join(", ");
    match zone.status.as_str() {
        "active" if zone.is_paused => {
            let message = format!("{} is active and paused: nothing of it is proxied", zone.name);
            Finding::new("zone", Health::Warning, message)
        }
        "active" => Finding::new("zone", Health::Good, format!("{} is active", zone.name)),
        status => {
            let message = format!("{} is {status}: nobody asks Cloudflare for it yet", zone.name);
            Finding::new("zone", Health::Bad, message)
                .with_hint(format!("name these servers at the registrar: {servers}"))
        }
    }
}
