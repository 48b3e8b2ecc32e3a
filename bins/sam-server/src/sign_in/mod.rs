//! Signing people in with GitHub: what the routes of `routes/auth.rs` are made of.
//!
//! Nothing of a sign-in under way is kept here: what belongs to it travels sealed in the browser's
//! cookie, or with the command line, so that any replica can finish what another began.

mod cookie;
mod seal;
mod settings;
mod site;
mod tokens;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sam_core::account::{AccountRecord, Admission, LoginChannel, Visitor};
use sam_core::entropy::Entropy;
use sam_core::{AccountId, Caller, Error, ErrorKind, Report, Result, Retry, Sam, Secret};
use sam_github::sign_in::{SignIn, UserToken};
use tokio::sync::{Semaphore, SemaphorePermit};

pub(crate) use self::cookie::{COOKIE_BYTES_MAX, cookie, set_cookie};
pub(crate) use self::seal::{SealedDevice, SealedSignIn, Seals};
pub(crate) use self::settings::SignInPlan;
pub use self::settings::SignInSettings;
pub use self::site::Site;
pub(crate) use self::site::local_path;
use self::tokens::UserTokens;

/// How long a person has on GitHub's pages.
pub(crate) const SIGN_IN_MAX: Duration = Duration::from_mins(10);
/// Sign-ins that wait for GitHub at once; others are told to come back.
const TURNS_MAX: usize = 16;
/// When they come back.
const TURN_PAUSE: Duration = Duration::from_secs(1);

/// What signing in takes.
#[derive(Debug)]
pub struct SignInParts {
    /// GitHub, as the App or OAuth App of the installation.
    pub github: SignIn,
    /// GitHub's host, such as `github.com`: with the user's number it is the identity.
    pub forge: String,
    /// Who may.
    pub admission: Admission,
    /// Where browsers reach the server.
    pub site: Site,
    /// Where GitHub sends browsers back to: one of the paths that take it.
    pub callback_path: String,
    /// 32 random bytes that all replicas share and nothing else uses.
    pub key: Secret<[u8; 32]>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
}

/// Signs people in. Cheap to clone.
#[derive(Clone)]
pub struct SignInDesk(Arc<Inner>);

struct Inner {
    github: SignIn,
    forge: String,
    admission: Admission,
    site: Site,
    callback_url: String,
    seals: Seals,
    tokens: UserTokens,
    turns: Semaphore,
}

/// Somebody who has just signed in.
#[derive(Debug)]
pub(crate) struct SignedIn {
    pub(crate) account: AccountRecord,
    pub(crate) token: Secret<String>,
}

impl SignInDesk {
    /// Puts the parts together.
    ///
    /// # Errors
    /// Only a defect: the key of the seals is the first one of its ring.
    pub fn new(parts: SignInParts) -> Result<Self> {
        Ok(Self(Arc::new(Inner {
            github: parts.github,
            forge: parts.forge,
            admission: parts.admission,
            callback_url: parts.site.url(&parts.callback_path),
            site: parts.site,
            seals: Seals::new(parts.key, parts.entropy)?,
            tokens: UserTokens::default(),
            turns: Semaphore::new(TURNS_MAX),
        })))
    }

    pub(crate) fn github(&self) -> &SignIn {
        &self.0.github
    }

    pub(crate) fn site(&self) -> &Site {
        &self.0.site
    }

    /// Returns where GitHub sends browsers back to: it must be entered at the App.
    pub fn callback_url(&self) -> String {
        self.0.callback_url.clone()
    }

    pub(crate) fn seals(&self) -> &Seals {
        &self.0.seals
    }

    /// Takes a turn to ask GitHub for somebody whom we do not know yet.
    pub(crate) fn turn(&self) -> Result<SemaphorePermit<'_>> {
        self.0.turns.try_acquire().map_err(|_| {
            Error::new(ErrorKind::RateLimited, "too many people sign in at once")
                .with_retry(Retry::After(TURN_PAUSE))
                .with_hint("try again in a second")
        })
    }

    /// Returns whether an account that signed in before may still be here.
    pub(crate) fn keeps(&self, account: &AccountRecord) -> bool {
        account.forge == self.0.forge && self.0.admission.keeps(account)
    }

    /// Makes a login for whom GitHub gave a token. Who is not admitted has the token ended.
    pub(crate) async fn welcome(
        &self,
        sam: &Sam,
        token: UserToken,
        (channel, user_agent): (LoginChannel, Option<&str>),
        caller: &Caller,
    ) -> Result<SignedIn> {
        let profile = self.0.github.profile(&token).await?;
        let mut visitor = Visitor::new(&self.0.forge, profile.id.as_u64(), profile.login);
        visitor.name = profile.name;
        visitor.email = profile.email;
        visitor.email_is_verified = profile.email_is_verified;
        visitor.avatar_url = profile.avatar_url;
        let account = match sam.sign_in_account(&visitor, &self.0.admission, caller).await {
            Ok(account) => account.record,
            Err(error) => {
                self.revoke(&token).await;
                return Err(error);
            }
        };
        let caller =
            Caller::named(&account.id.to_string()).with_request_id(caller.request_id().cloned());
        let (ours, _) = sam.begin_login(&account, channel, user_agent, &caller).await?;
        self.0.tokens.keep(account.id, token);
        tracing::info!(account.id = %account.id, channel = channel.code(), "signed in");
        Ok(SignedIn { account, token: ours })
    }

    /// Returns the user's token at GitHub, refreshed where it is about to end. However many ask,
    /// GitHub is asked once.
    ///
    /// # Errors
    /// `Unauthenticated` when there is none, or it is over: the person signs in again; what GitHub
    /// answered.
    pub(crate) async fn user_token(&self, account: AccountId) -> Result<UserToken> {
        let token =
            self.0.tokens.of(account).ok_or_else(|| {
                again("your sign-in at GitHub is not known to this server any more")
            })?;
        match self.0.github.refreshed(&token).await {
            Ok(None) => Ok(token),
            Ok(Some(fresh)) => {
                self.0.tokens.replace(account, &token, fresh.clone());
                Ok(fresh)
            }
            Err(error) if error.kind() == ErrorKind::Unauthenticated => {
                self.0.tokens.forget(account);
                Err(again("your sign-in at GitHub has ended").with_source(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Says what GitHub's refusal of a user's token means for that user.
    pub(crate) fn of_user(&self, account: AccountId, error: Error) -> Error {
        if error.kind() != ErrorKind::Unauthenticated {
            return error;
        }
        self.0.tokens.forget(account);
        again("GitHub does not accept your sign-in any more").with_source(error)
    }

    /// Ends the user's token at GitHub, as far as it is known here.
    pub(crate) async fn end_user_token(&self, account: AccountId) {
        if let Some(token) = self.0.tokens.forget(account) {
            self.revoke(&token).await;
        }
    }

    async fn revoke(&self, token: &UserToken) {
        // It ends by itself in any case.
        if let Err(error) = self.0.github.revoke(token).await {
            tracing::warn!(error = %Report::new(&error), "a user's token was not ended at GitHub");
        }
    }
}

fn again(message: &'static str) -> Error {
    Error::new(ErrorKind::Unauthenticated, message)
        .with_hint("sign in again: `sam login`, or /api/auth/github in the browser")
}

impl fmt::Debug for SignInDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignInDesk")
            .field("github", &self.0.github)
            .field("site", &self.0.site)
            .finish_non_exhaustive()
    }
}
