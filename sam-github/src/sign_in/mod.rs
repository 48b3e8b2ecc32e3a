//! Signing in with GitHub: the authorization code with state and PKCE, devices, tokens that are
//! refreshed, and who it is.

mod callback;
mod device;
mod error;
mod profile;
mod user_token;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use http::Method;
use sam_core::entropy::Entropy;
use sam_core::http::HttpTransport;
use sam_core::time::Clock;
use sam_core::{Error, ErrorKind, Result, Secret};
use sha2::{Digest as _, Sha256};

pub use self::callback::{Callback, install_url};
pub use self::device::{DevicePoll, DeviceSignIn};
pub use self::profile::{Profile, noreply_email};
pub use self::user_token::UserToken;
use crate::Endpoints;
use crate::client::{Call, Client, Credential, fingerprint};
use crate::encode::{pairs, segment};
use crate::flight::{Abandoned, Flights};

/// Bytes of a state and of a PKCE verifier; 43 characters as text, as PKCE asks.
const RANDOM_BYTES: usize = 32;
/// A user's token is refreshed this long before its end.
const REFRESHED_BEFORE: Duration = Duration::from_mins(5);
/// For so long after a refresh, who still holds the old token is given the new one: GitHub takes a
/// refresh token once.
const REFRESH_REMEMBERED_FOR: Duration = Duration::from_mins(2);

/// Signs people in with GitHub: by the GitHub App itself, or by an OAuth App beside it. Cloning is
/// cheap, and clones share refreshes.
///
/// The host keeps a [`PendingSignIn`] in the browser's session, sends the browser to its address,
/// and gives what comes back to [`SignIn::finish`]:
///
/// ```
/// use std::sync::Arc;
/// use sam_core::entropy::SeededEntropy;
/// use sam_core::time::{ManualClock, Timestamp};
/// use sam_core::Secret;
/// use sam_github::sign_in::{Callback, SignIn};
/// use sam_github::testkit::{FakeApp, FakeGithub, FakeUser};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
/// let github = FakeGithub::new(FakeApp::new(7, Vec::new()), clock.clone());
/// github.put_user(FakeUser { id: 1, login: "mona".to_owned(), ..FakeUser::default() });
/// let sign_in = SignIn::builder("Iv23liFake7", Secret::new("fake-client-secret".to_owned()))
///     .endpoints(github.endpoints())
///     .build(Arc::new(github.clone()), clock, Arc::new(SeededEntropy::new(1)));
///
/// let pending = sign_in.begin("https://app.example.com/api/auth/github/callback");
/// let back = github.approve(&pending.url, "mona")?;
/// let Callback::Code { code, state } = Callback::read(back.split_once('?').unwrap().1)? else {
///     panic!("it is a sign-in")
/// };
/// let token = sign_in.finish(&pending, &code, &state).await?;
/// let profile = sign_in.profile(&token).await?;
/// assert_eq!((profile.login.as_str(), profile.email.as_str()), ("mona", "1+mona@users.noreply.github.test"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct SignIn(Arc<Inner>);

struct Inner {
    client_id: String,
    scope: String,
    client_secret: Secret<String>,
    client: Client,
    entropy: Arc<dyn Entropy>,
    refreshes: Flights<String, Arc<Refreshed>>,
}

struct Refreshed {
    token: UserToken,
    made: Duration,
}

/// Puts a [`SignIn`] together.
#[derive(Debug, Clone)]
pub struct SignInBuilder {
    client_id: String,
    scope: String,
    client_secret: Secret<String>,
    endpoints: Endpoints,
}

impl SignInBuilder {
    /// Sets which GitHub it is; github.com unless set.
    #[must_use]
    pub fn endpoints(mut self, endpoints: Endpoints) -> Self {
        self.endpoints = endpoints;
        self
    }

    /// Sets what an OAuth App asks the user for, such as `read:user user:email`. A GitHub App has its
    /// permissions in its settings, and passes this over.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = scope.into();
        self
    }

    /// Finishes it with the host's transport, clock and random bytes.
    pub fn build(
        self,
        http: Arc<dyn HttpTransport>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> SignIn {
        SignIn(Arc::new(Inner {
            client_id: self.client_id,
            scope: self.scope,
            client_secret: self.client_secret,
            client: Client::new(self.endpoints, http, clock),
            entropy,
            refreshes: Flights::new(Abandoned::Kept),
        }))
    }
}

/// A sign-in that was begun. The host keeps it in the browser's session, which binds the two.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PendingSignIn {
    /// Where to send the browser. It holds no secret but the state, which is the browser's own.
    pub url: String,
    /// What must come back.
    pub state: Secret<String>,
    /// What proves to GitHub that who finishes is who began.
    pub verifier: Secret<String>,
    /// Where GitHub sends the browser back to.
    pub redirect_uri: String,
}

impl PendingSignIn {
    /// Puts one together again from what was kept.
    pub const fn new(
        state: Secret<String>,
        verifier: Secret<String>,
        redirect_uri: String,
    ) -> Self {
        Self { url: String::new(), state, verifier, redirect_uri }
    }
}

impl SignIn {
    /// Begins with the client's id and secret, from the App's settings.
    pub fn builder(client_id: impl Into<String>, client_secret: Secret<String>) -> SignInBuilder {
        let client_id = client_id.into();
        let (scope, endpoints) = (String::new(), Endpoints::default());
        SignInBuilder { client_id, scope, client_secret, endpoints }
    }

    /// Returns the client's id: the App's own, or that of an OAuth App beside it.
    pub fn client_id(&self) -> &str {
        &self.0.client_id
    }

    /// Begins a sign-in. Nothing is sent.
    pub fn begin(&self, redirect_uri: &str) -> PendingSignIn {
        let (state, verifier) = (self.random(), self.random());
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose().as_bytes()));
        let mut members = vec![
            ("client_id", self.0.client_id.as_str()),
            ("redirect_uri", redirect_uri),
            ("state", state.expose().as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        if !self.0.scope.is_empty() {
            members.push(("scope", self.0.scope.as_str()));
        }
        let query = pairs(members);
        let url = format!("{}/login/oauth/authorize?{query}", self.0.client.endpoints().web());
        PendingSignIn { url, state, verifier, redirect_uri: redirect_uri.to_owned() }
    }

    /// Trades the code that came back for a token. A code is good once.
    ///
    /// # Errors
    /// `Denied` when the state is another one: then it was begun by somebody else, and nothing is
    /// sent. `Unauthenticated` for a code that is used up or too old; `RateLimited`,
    /// `Unavailable`, `Timeout`, …
    pub async fn finish(
        &self,
        pending: &PendingSignIn,
        code: &Secret<String>,
        state: &Secret<String>,
    ) -> Result<UserToken> {
        use subtle::ConstantTimeEq as _;
        const OPERATION: &str = "finish_sign_in";
        let (ours, theirs) = (pending.state.expose().as_bytes(), state.expose().as_bytes());
        if ours.is_empty() || !bool::from(ours.ct_eq(theirs)) {
            return Err(Error::new(ErrorKind::Denied, "this sign-in was begun somewhere else")
                .with_operation(OPERATION)
                .with_provider_code("state_mismatch")
                .with_hint("begin again, in the same browser"));
        }
        let form = pairs([
            ("client_id", self.0.client_id.as_str()),
            ("client_secret", self.0.client_secret.expose()),
            ("code", code.expose()),
            ("redirect_uri", &pending.redirect_uri),
            ("code_verifier", pending.verifier.expose()),
        ]);
        self.0.token(OPERATION, form).await
    }

    /// Returns the token, refreshed where it ends within five minutes; `None` when it is still
    /// good. The host stores a new one at once: the old one is used up.
    ///
    /// However many ask at once, GitHub is asked once, and for two minutes after that all who hold
    /// the old token are given the same new one. A caller may go away: the next one goes on.
    ///
    /// # Errors
    /// `Unauthenticated` when it cannot be refreshed any more: the user signs in again;
    /// `RateLimited`, `Unavailable`, `Timeout`, …
    pub async fn refreshed(&self, token: &UserToken) -> Result<Option<UserToken>> {
        let now = self.0.client.github_now();
        let ends = token.expires_at.filter(|at| at.since(now) < REFRESHED_BEFORE);
        if ends.is_none() {
            return Ok(None);
        }
        let Some(refresh) = token.refresh.clone() else {
            return Err(Error::new(ErrorKind::Unauthenticated, "the sign-in has ended")
                .with_operation("refresh_user_token")
                .with_hint("sign in again"));
        };
        let now = self.0.client.clock().monotonic();
        let is_new = |made: Duration| now.saturating_sub(made) < REFRESH_REMEMBERED_FOR;
        self.0.refreshes.forget(|_, refreshed| !is_new(refreshed.made));
        let key = fingerprint(&refresh);
        let good = |refreshed: &Arc<Refreshed>| is_new(refreshed.made);
        let make = || {
            let inner = Arc::clone(&self.0);
            async move { inner.refresh(refresh).await }.boxed()
        };
        Ok(Some(self.0.refreshes.value(&key, good, make).await?.token.clone()))
    }

    /// Ends a user's token: for signing out. Repeatable.
    ///
    /// GitHub may hide whether it knows the client or the token; that it finds neither counts as
    /// ended. A wrong client secret is seen when signing in.
    ///
    /// # Errors
    /// `Unauthenticated`, `RateLimited`, `Unavailable`, `Timeout`, …
    pub async fn revoke(&self, token: &UserToken) -> Result<()> {
        let path = format!("/applications/{}/token", segment(&self.0.client_id));
        let body = serde_json::json!({ "access_token": token.access.expose() });
        let call = Call::new("revoke_user_token", Method::DELETE, path).with_body(&body);
        let client = Credential::basic(&self.0.client_id, &self.0.client_secret);
        match self.0.client.send(&call, &client).await {
            // Unknown to GitHub: it has ended.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::BadInput) => {
                Ok(())
            }
            outcome => outcome.map(|_| ()),
        }
    }

    fn random(&self) -> Secret<String> {
        let mut bytes = [0; RANDOM_BYTES];
        self.0.entropy.fill(&mut bytes);
        Secret::new(URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl Inner {
    async fn refresh(&self, refresh: Secret<String>) -> Result<Arc<Refreshed>> {
        let form = pairs([
            ("client_id", self.client_id.as_str()),
            ("client_secret", self.client_secret.expose()),
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.expose()),
        ]);
        let token = self.token("refresh_user_token", form).await?;
        Ok(Arc::new(Refreshed { token, made: self.client.clock().monotonic() }))
    }

    async fn token(&self, operation: &'static str, form: String) -> Result<UserToken> {
        let path = "/login/oauth/access_token";
        let body = self.client.post_form(operation, path, Secret::new(form)).await?;
        user_token::read(operation, &body, self.client.github_now())?
            .map_err(|refused| error::refused(operation, &refused))
    }
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn")
            .field("client_id", &self.0.client_id)
            .field("endpoints", self.0.client.endpoints())
            .finish_non_exhaustive()
    }
}
