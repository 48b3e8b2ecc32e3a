//! A GitHub App: its own token, the tokens of its installations, and calls with them.

mod calls;
mod hook;
mod jwt;
mod records;
mod token;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::Method;
use sam_core::http::HttpTransport;
use sam_core::keys::Signer;
use sam_core::time::Clock;
use sam_core::{Error, ErrorKind, Result, Secret};

pub use self::hook::{HookConfig, SentDelivery};
use self::jwt::AppJwt;
pub use self::jwt::mint as mint_app_jwt;
pub use self::records::{Account, AppInfo, Installation};
use self::token::Given;
pub(crate) use self::token::Secretly;
pub use self::token::{InstallationToken, TokenScope};
use crate::client::{Answer, Call, Client, Credential, code};
use crate::flight::{Abandoned, Flights};
use crate::{Endpoints, Issuer, RepositoryId};

/// A token is replaced this long before its end, so that none ends on the way: clients agree on a
/// minute, a clone may take longer.
const RENEWED_BEFORE: Duration = Duration::from_mins(5);
/// For so long after its making a token may be refused, because not all of GitHub knows it yet.
const REPLICATION: Duration = Duration::from_secs(5);
/// Between tries with such a token.
const REPLICATION_PAUSE: Duration = Duration::from_secs(1);

/// A GitHub App. Cloning is cheap, and clones share tokens, limits and what is remembered.
///
/// ```
/// use std::sync::Arc;
/// use sam_core::http::ScriptedHttp;
/// use sam_core::time::{ManualClock, Timestamp};
/// use sam_github::{Endpoints, GithubApp, Rs256Signer};
/// # let pem = include_str!("../../tests/keys/rsa2048.pkcs1.pem");
/// # futures_util::future::FutureExt::now_or_never(async {
/// let http = ScriptedHttp::new()
///     .answer(200, r#"{"id": 7, "slug": "demo", "permissions": {"contents": "write"}}"#);
/// let app = GithubApp::builder("7".parse()?, Arc::new(Rs256Signer::new(&pem.parse()?)?))
///     .endpoints(Endpoints::enterprise("https://git.example.com")?)
///     .build(Arc::new(http), Arc::new(ManualClock::new(Timestamp::EPOCH)));
/// assert_eq!(app.info().await?.slug.as_deref(), Some("demo"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap().unwrap();
/// ```
#[derive(Clone)]
pub struct GithubApp(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) client: Client,
    jwt: AppJwt,
    tokens: Flights<TokenScope, Arc<Issued>>,
    pub(crate) names: crate::access::Names,
    recent: calls::Recent,
}

/// A token, and how long it is good by a clock that nobody sets.
struct Issued {
    token: Arc<InstallationToken>,
    made: Duration,
    ends: Duration,
}

/// Puts a [`GithubApp`] together.
#[derive(Debug, Clone)]
pub struct GithubAppBuilder {
    issuer: Issuer,
    signer: Arc<dyn Signer>,
    endpoints: Endpoints,
}

impl GithubAppBuilder {
    /// Sets which GitHub it is; github.com unless set.
    #[must_use]
    pub fn endpoints(mut self, endpoints: Endpoints) -> Self {
        self.endpoints = endpoints;
        self
    }

    /// Finishes it with the host's transport and clock.
    pub fn build(self, http: Arc<dyn HttpTransport>, clock: Arc<dyn Clock>) -> GithubApp {
        GithubApp(Arc::new(Inner {
            client: Client::new(self.endpoints, http, clock),
            jwt: AppJwt::new(self.issuer, self.signer),
            tokens: Flights::new(Abandoned::Dropped),
            names: crate::access::Names::default(),
            recent: calls::Recent::default(),
        }))
    }
}

impl GithubApp {
    /// Begins with who the App is and what signs for it.
    pub fn builder(issuer: Issuer, signer: Arc<dyn Signer>) -> GithubAppBuilder {
        GithubAppBuilder { issuer, signer, endpoints: Endpoints::default() }
    }

    /// Returns which GitHub it is.
    pub fn endpoints(&self) -> &Endpoints {
        self.0.client.endpoints()
    }

    /// Returns the App's own token. It is good for a minute at least, and kept until then.
    ///
    /// # Errors
    /// What the signer says.
    pub async fn jwt(&self) -> Result<Secret<String>> {
        self.0.jwt.token(self.0.client.github_now()).await
    }

    /// Returns a token for a scope that is good for at least `valid_for`, cut to 55 minutes.
    ///
    /// It is kept, and shared by all who ask for the same scope, until five minutes before its end.
    /// However many ask at once, GitHub is asked once; a caller may go away at any time.
    ///
    /// # Errors
    /// `NotFound` when there is no such installation; `Denied` for what it does not hold or when it
    /// is suspended; `RateLimited`, `Unauthenticated`, `Unavailable`, `Timeout`, …
    pub async fn installation_token(
        &self,
        scope: &TokenScope,
        valid_for: Duration,
    ) -> Result<Arc<InstallationToken>> {
        Ok(Arc::clone(&self.issued(scope, valid_for).await?.token))
    }

    async fn issued(&self, scope: &TokenScope, valid_for: Duration) -> Result<Arc<Issued>> {
        let need = valid_for.clamp(RENEWED_BEFORE, sam_core::forge::TokenRequest::VALID_FOR_MAX);
        let good = |issued: &Arc<Issued>| self.0.is_good(issued, need);
        let make = || {
            let (inner, wanted) = (Arc::clone(&self.0), scope.clone());
            async move { inner.mint(&wanted).await }.boxed()
        };
        let issued = self.0.tokens.value(scope, good, make).await?;
        if good(&issued) {
            return Ok(issued);
        }
        Err(Error::new(ErrorKind::Unavailable, "GitHub's token ends sooner than was asked for")
            .with_operation("installation_token")
            .with_hint("check this machine's clock"))
    }

    /// Ends a token. Nobody is given it again; whoever shares it loses it, too. Repeatable.
    ///
    /// # Errors
    /// `RateLimited`, `Unavailable`, `Timeout`, …
    pub async fn revoke_token(&self, token: &Secret<String>) -> Result<()> {
        // First here, so that it is not given out while GitHub is being told.
        self.0.forget_token(token);
        let call = Call::new("revoke_token", Method::DELETE, "/installation/token");
        let credential =
            Credential::bearer(format!("revoked:{}", crate::client::fingerprint(token)), token);
        match self.0.client.send(&call, &credential).await {
            // Unknown to GitHub: it has ended.
            Err(error) if error.kind() == ErrorKind::Unauthenticated => Ok(()),
            outcome => outcome.map(|_| ()),
        }
    }

    /// Forgets the tokens of an installation, for when it was deleted, suspended or changed.
    pub fn forget_installation(&self, installation: crate::InstallationId) {
        self.0.tokens.forget(|scope, _| scope.installation() == installation);
        self.0.names.forget_installation(installation);
    }

    /// Forgets what is known of a repository's name, for when it was renamed, moved or deleted, and
    /// the tokens that reach it.
    pub fn forget_repository(&self, repository: RepositoryId) {
        self.0.tokens.forget(|scope, _| scope.repositories().contains(&repository));
        self.0.names.forget_repository(repository);
    }
}

impl Inner {
    /// Sends a call with the App's own token. When GitHub says that the clocks differ, its time is
    /// known from that answer, and one more try is made with it.
    pub(crate) async fn send_as_app(&self, call: &Call) -> Result<Answer> {
        let first = self.try_as_app(call).await;
        match first {
            Err(error) if error.provider_code() == Some(code::CLOCK_SKEW) => {
                self.jwt.forget();
                self.try_as_app(call).await
            }
            outcome => outcome,
        }
    }

    async fn try_as_app(&self, call: &Call) -> Result<Answer> {
        let token = self.jwt.token(self.client.github_now()).await?;
        self.client
            .send(call, &Credential::bearer(format!("app:{}", self.jwt.issuer()), &token))
            .await
    }

    async fn mint(&self, scope: &TokenScope) -> Result<Arc<Issued>> {
        const OPERATION: &str = "installation_token";
        let path = format!("/app/installations/{}/access_tokens", scope.installation());
        let call = Call::new(OPERATION, Method::POST, path).with_body(&scope.body());
        let made = self.client.clock().monotonic();
        let answer = self.send_as_app(&call).await?;
        let token = answer.read::<Given>(OPERATION)?.checked(scope, OPERATION)?;
        let lifetime = token.expires_at.since(self.client.github_now());
        tracing::debug!(scope = %scope, expires_at = %token.expires_at, "a token was made");
        Ok(Arc::new(Issued { token: Arc::new(token), made, ends: made.saturating_add(lifetime) }))
    }

    /// Both clocks must agree that it is: one is set by people, the other stands still while the
    /// machine sleeps.
    fn is_good(&self, issued: &Issued, need: Duration) -> bool {
        let now = self.client.clock().monotonic();
        issued.ends.saturating_sub(now) >= need
            && issued.token.expires_at.since(self.client.github_now()) >= need
    }

    pub(crate) fn forget_token(&self, token: &Secret<String>) {
        use subtle::ConstantTimeEq as _;
        let same = |kept: &Issued| {
            kept.token.token.expose().as_bytes().ct_eq(token.expose().as_bytes()).into()
        };
        self.tokens.forget(|_, kept| same(kept));
    }
}

impl GithubApp {
    /// Sends a call with a token of an installation. What is remembered is remembered for the
    /// installation, so a remembered call is made with a scope of all repositories.
    ///
    /// A token that is refused right after its making is tried again for five seconds, since not
    /// all of GitHub may know it yet, and then that is final; an older one is replaced, once.
    pub(crate) async fn send_as_installation(
        &self,
        call: &Call,
        scope: &TokenScope,
    ) -> Result<Answer> {
        let clock = self.0.client.clock();
        let mut replaced = false;
        // At most two tokens, and five seconds of pauses for the second one.
        loop {
            let issued = self.issued(scope, Duration::ZERO).await?;
            let who = format!("installation:{}", scope.installation());
            let credential = Credential::bearer(who, &issued.token.token);
            let refused = match self.0.client.send(call, &credential).await {
                Err(error) if error.provider_code() == Some(code::BAD_CREDENTIALS) => error,
                outcome => return outcome,
            };
            let age = || clock.monotonic().saturating_sub(issued.made);
            if age() < REPLICATION {
                clock.sleep_until(clock.monotonic().saturating_add(REPLICATION_PAUSE)).await;
                // The next try with it is the last one.
                replaced |= age() >= REPLICATION;
                continue;
            }
            self.0.forget_token(&issued.token.token);
            if replaced {
                return Err(refused);
            }
            replaced = true;
        }
    }
}

impl fmt::Debug for GithubApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GithubApp")
            .field("jwt", &self.0.jwt)
            .field("endpoints", self.endpoints())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for GithubApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "App {} at {}", self.0.jwt.issuer(), self.endpoints())
    }
}
