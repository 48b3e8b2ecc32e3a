//! The GitHub App of an installation: what the installation is told of it, and its deliveries.

mod follow;
mod inbox;

pub(crate) mod credentials;
pub(crate) mod visible;

use std::path::Path;
use std::sync::Arc;

use sam_core::entropy::Entropy;
use sam_core::http::HttpTransport;
use sam_core::time::Clock;
use sam_core::{Error, ErrorKind, Result, Secret};
use sam_github::sign_in::SignIn;
use sam_github::{Endpoints, GithubApp, Issuer, PrivateKey, Rs256Signer, WebhookSecrets};

pub(crate) use self::follow::forget_changed;
pub use self::inbox::GithubDeliveries;
pub(crate) use self::inbox::new_delivery;

/// What an OAuth App asks people for. A GitHub App has its permissions at GitHub, and passes it over.
const SCOPE: &str = "read:user user:email";

/// The GitHub App of an installation, as far as it is configured. Each variable is also read with
/// `GH_` in place of `GITHUB_`, because some hosts reserve that prefix for themselves.
///
/// | variable | holds |
/// |---|---|
/// | `GITHUB_APP_ID` | the App's number, or its client id |
/// | `GITHUB_APP_SLUG` | its name in addresses |
/// | `GITHUB_APP_PRIVATE_KEY` | its private key in any wrapping, or the path of a file with it |
/// | `GITHUB_APP_PRIVATE_KEY_PATH` | the path of a file with it, in place of the key |
/// | `GITHUB_CLIENT_ID`, `GITHUB_CLIENT_SECRET` | for signing people in |
/// | `GITHUB_WEBHOOK_SECRET` | what deliveries are signed with |
/// | `GITHUB_WEBHOOK_SECRET_PREVIOUS` | the one before, while it is being changed |
/// | `SAM_GITHUB_BASE_URL` | `https://github.example.com` for GitHub Enterprise Server |
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct GithubSettings {
    /// Who the App's tokens are from.
    pub issuer: Option<Issuer>,
    /// The App's name in addresses.
    pub slug: Option<String>,
    /// The private key as it was given.
    key: Option<Secret<String>>,
    /// The file it is in.
    key_path: Option<String>,
    /// For signing people in.
    pub client_id: Option<String>,
    /// For signing people in.
    pub client_secret: Option<Secret<String>>,
    /// What deliveries are checked with; refuses all where no secret is set.
    pub webhook_secrets: WebhookSecrets,
    /// Whether there is a webhook secret.
    pub has_webhook_secret: bool,
    /// Where GitHub is.
    pub endpoints: Endpoints,
}

impl GithubSettings {
    /// Reads the variables. An empty one is an unset one.
    ///
    /// # Errors
    /// `BadInput` naming the variable: one that cannot be read, a key given twice, or an alias with
    /// another value.
    pub fn from_environment(read: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let read = |name: &str| read(name).filter(|value| !value.trim().is_empty());
        let text = |name: &str| {
            let alias = name.replacen("GITHUB_", "GH_", 1);
            match (read(name), read(&alias)) {
                (Some(value), Some(other)) if value != other => {
                    let message = format!("{name} and {alias} are both set, and differ");
                    Err(Error::new(ErrorKind::BadInput, message).with_hint("unset one of them"))
                }
                (value, other) => Ok(value.or(other)),
            }
        };
        let (key, key_path) =
            (text("GITHUB_APP_PRIVATE_KEY")?, text("GITHUB_APP_PRIVATE_KEY_PATH")?);
        if key.is_some() && key_path.is_some() {
            let message = "GITHUB_APP_PRIVATE_KEY and GITHUB_APP_PRIVATE_KEY_PATH are both set";
            return Err(Error::new(ErrorKind::BadInput, message).with_hint("unset one of them"));
        }
        let issuer = text("GITHUB_APP_ID")?;
        let issuer =
            issuer.map(|id| id.trim().parse()).transpose().map_err(named("GITHUB_APP_ID"))?;
        let endpoints = read("SAM_GITHUB_BASE_URL");
        let endpoints = endpoints.map(|url| Endpoints::enterprise(url.trim())).transpose();
        let secret = text("GITHUB_WEBHOOK_SECRET")?.map(Secret::new);
        let previous = text("GITHUB_WEBHOOK_SECRET_PREVIOUS")?.map(Secret::new);
        Ok(Self {
            issuer,
            slug: text("GITHUB_APP_SLUG")?,
            key: key.map(Secret::new),
            key_path,
            client_id: text("GITHUB_CLIENT_ID")?,
            client_secret: text("GITHUB_CLIENT_SECRET")?.map(Secret::new),
            has_webhook_secret: secret.is_some(),
            webhook_secrets: webhook_secrets(secret.as_ref(), previous.as_ref())?,
            endpoints: endpoints.map_err(named("SAM_GITHUB_BASE_URL"))?.unwrap_or_default(),
        })
    }

    /// Returns the path of the private key's file, where it is in one.
    pub fn key_file(&self) -> Option<&Path> {
        let given = self.key.as_ref().map(|key| key.expose().trim());
        let path = self.key_path.as_deref().or(given.filter(|key| key.starts_with('/')));
        path.filter(|path| !path.contains('\n')).map(Path::new)
    }

    /// Reads the private key, from wherever it is.
    ///
    /// # Errors
    /// `NotFound` when none is set; `BadInput` saying what it is instead.
    pub fn private_key(&self) -> Result<PrivateKey> {
        let read = match (&self.key, &self.key_path) {
            (Some(key), _) => PrivateKey::from_setting(key.expose()),
            (None, Some(path)) => PrivateKey::from_file(Path::new(path)),
            (None, None) => {
                return Err(Error::new(ErrorKind::NotFound, "no private key is set")
                    .with_hint("set GITHUB_APP_PRIVATE_KEY, or GITHUB_APP_PRIVATE_KEY_PATH"));
            }
        };
        read.map_err(Error::from)
    }

    /// Returns the App, or `None` where its number or its key is not set. The transport is asked for
    /// only where there is an App.
    ///
    /// # Errors
    /// `BadInput` saying what the key is instead, when it cannot be used; what the transport says.
    pub fn app(
        &self,
        http: impl FnOnce() -> Result<Arc<dyn HttpTransport>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<GithubApp>> {
        let has_key = self.key.is_some() || self.key_path.is_some();
        let Some(issuer) = self.issuer.clone().filter(|_| has_key) else { return Ok(None) };
        let signer = self.private_key().and_then(|key| Ok(Rs256Signer::new(&key)?));
        let in_file = self.key_path.is_some();
        let variable =
            if in_file { "GITHUB_APP_PRIVATE_KEY_PATH" } else { "GITHUB_APP_PRIVATE_KEY" };
        let signer = signer.map_err(named(variable))?;
        let app = GithubApp::builder(issuer, Arc::new(signer)).endpoints(self.endpoints.clone());
        Ok(Some(app.build(http()?, clock)))
    }

    /// Returns what signs people in: the App itself, or an OAuth App beside it.
    ///
    /// # Errors
    /// `BadInput` unless both the client's id and its secret are set; what the transport says.
    pub fn sign_in(
        &self,
        http: impl FnOnce() -> Result<Arc<dyn HttpTransport>>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<SignIn> {
        let (Some(id), Some(secret)) = (&self.client_id, &self.client_secret) else {
            let message = "people may sign in with GitHub, and it is not said by which App";
            return Err(Error::new(ErrorKind::BadInput, message)
                .with_hint("set GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET"));
        };
        let sign_in = SignIn::builder(id.trim(), Secret::new(secret.expose().trim().to_owned()));
        let sign_in = sign_in.endpoints(self.endpoints.clone()).scope(SCOPE);
        Ok(sign_in.build(http()?, clock, entropy))
    }
}

/// GitHub's refusal of us is no refusal of whoever asks us.
pub(crate) fn of_github(error: Error) -> Error {
    if error.kind() != ErrorKind::Unauthenticated {
        return error;
    }
    Error::new(ErrorKind::Denied, "GitHub does not accept this installation's App")
        .with_hint("`sam github doctor` tells what is wrong")
        .with_source(error)
}

fn webhook_secrets(
    secret: Option<&Secret<String>>,
    previous: Option<&Secret<String>>,
) -> Result<WebhookSecrets> {
    let Some(secret) = secret else { return Ok(WebhookSecrets::none()) };
    let secrets = WebhookSecrets::new(secret).map_err(Error::from);
    let secrets = secrets.map_err(named("GITHUB_WEBHOOK_SECRET"))?;
    let Some(previous) = previous else { return Ok(secrets) };
    let both = secrets.with_previous(previous).map_err(Error::from);
    both.map_err(named("GITHUB_WEBHOOK_SECRET_PREVIOUS"))
}

/// Says which variable it was.
fn named(variable: &'static str) -> impl Fn(Error) -> Error {
    move |error| {
        let hint = error.hint().unwrap_or("see the App's settings at GitHub").to_owned();
        Error::new(ErrorKind::BadInput, format!("{variable}: {}", error.public_message()))
            .with_hint(hint)
            .with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use sam_core::time::Timestamp;

    use super::*;

    const PEM: &str = include_str!("../../../../sam-github/tests/keys/rsa2048.pkcs1.pem");

    fn with(variables: &[(&str, &str)]) -> Result<GithubSettings> {
        GithubSettings::from_environment(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn both_prefixes_are_read_and_must_agree() {
        for prefix in ["GITHUB", "GH"] {
            let (id, key) = (format!("{prefix}_APP_ID"), format!("{prefix}_APP_PRIVATE_KEY"));
            let settings = with(&[(&id, "7"), (&key, PEM)]).unwrap();
            assert_eq!(settings.issuer, Some("7".parse().unwrap()));
            assert_eq!(settings.private_key().unwrap().bits(), 2_048);
            assert_eq!(settings.key_file(), None);
        }
        with(&[("GITHUB_APP_ID", "7"), ("GH_APP_ID", "7")]).unwrap();
        let error = with(&[("GITHUB_APP_ID", "7"), ("GH_APP_ID", "8")]).unwrap_err();
        assert!(error.to_string().contains("GH_APP_ID"), "{error}");
    }

    #[test]
    fn an_app_is_made_of_a_number_and_a_key_and_one_that_cannot_be_read_stops_the_start() {
        let made = |variables: &[(&str, &str)]| {
            let http: Arc<dyn HttpTransport> = Arc::new(sam_core::http::ScriptedHttp::new());
            let clock = Arc::new(sam_core::time::ManualClock::new(Timestamp::EPOCH));
            with(variables).unwrap().app(|| Ok(http), clock)
        };
        let (id, key) = (("GITHUB_APP_ID", "7"), ("GITHUB_APP_PRIVATE_KEY", PEM));
        assert_eq!(made(&[id, key]).unwrap().unwrap().to_string(), "App 7 at https://github.com");
        assert!(made(&[id]).unwrap().is_none());
        assert!(made(&[key]).unwrap().is_none());
        for (variable, value) in [
            ("GITHUB_APP_PRIVATE_KEY", "canary"),
            ("GITHUB_APP_PRIVATE_KEY_PATH", "/nowhere/canary.pem"),
        ] {
            let error = made(&[id, (variable, value)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput);
            assert!(error.to_string().starts_with(&format!("{variable}: ")), "{error}");
            assert!(error.hint().is_some());
        }
        // Nobody is asked for a transport that nobody needs.
        let clock = Arc::new(sam_core::time::ManualClock::new(Timestamp::EPOCH));
        let no_http = || Err(Error::new(ErrorKind::Bug, "it was asked for"));
        assert!(with(&[id]).unwrap().app(no_http, clock).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_used_is_named_and_not_shown() {
        for (variables, named) in [
            (vec![("GITHUB_APP_ID", "canary canary")], "GITHUB_APP_ID"),
            (vec![("SAM_GITHUB_BASE_URL", "canary")], "SAM_GITHUB_BASE_URL"),
            (
                vec![("GITHUB_APP_PRIVATE_KEY", PEM), ("GITHUB_APP_PRIVATE_KEY_PATH", "/canary")],
                "GITHUB_APP_PRIVATE_KEY_PATH",
            ),
        ] {
            let error = with(&variables).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput);
            let told = format!("{error} {:?}", error.hint());
            assert!(told.contains(named) && !told.contains("canary"), "{told}");
        }
        let settings = with(&[
            ("GITHUB_CLIENT_SECRET", "canary"),
            ("GITHUB_WEBHOOK_SECRET", "canary-canary"),
            ("GITHUB_APP_PRIVATE_KEY", "canary"),
        ]);
        let settings = settings.unwrap();
        assert!(settings.has_webhook_secret);
        assert!(!format!("{settings:?}").contains("canary"));
        assert_eq!(settings.private_key().unwrap_err().kind(), ErrorKind::BadInput);
        assert_eq!(with(&[]).unwrap().private_key().unwrap_err().kind(), ErrorKind::NotFound);
    }
}
