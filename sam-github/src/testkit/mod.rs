//! A GitHub to test against: the parts of its interface that this crate and its hosts use, with its
//! habits (limits, redirects after a rename, errors with status 200, tokens of any length), in the
//! process or on a loopback socket.
//!
//! It is held to GitHub's own description of its interface, as far as that describes it. Outside
//! semver.

mod api;
mod credentials;
mod deadline;
mod deliveries;
mod git;
mod server;
mod shapes;
mod sign_in;
mod world;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use sam_core::Result;
use sam_core::http::HttpTransport;
use sam_core::time::Clock;

pub use self::server::{LoopbackHttp, Served};
use self::world::World;
pub use self::world::{FakeApp, FakeInstallation, FakeRepository, FakeUser, Sent};
use crate::{Endpoints, Level, Permissions};

/// A GitHub of one's own. Cloning is cheap, and clones are the same GitHub.
///
/// As an [`HttpTransport`] it answers in the process; [`FakeGithub::serve`] puts it on a socket.
#[derive(Clone)]
pub struct FakeGithub {
    world: Arc<Mutex<World>>,
    clock: Arc<dyn Clock>,
}

impl FakeGithub {
    /// Makes a GitHub with one App and nothing else. Its clock is the one given, so that tokens end
    /// when a test says so.
    pub fn new(app: FakeApp, clock: Arc<dyn Clock>) -> Self {
        Self { world: Arc::new(Mutex::new(World::new(app))), clock }
    }

    /// Returns where it is: an invented host in the process, and its socket once it is served.
    pub fn endpoints(&self) -> Endpoints {
        let base = self.world().base.clone();
        // Both are plain addresses of this crate's own making.
        Endpoints::enterprise(&base).unwrap_or_default()
    }

    /// Adds a user or an organisation, or replaces the one of that number.
    pub fn put_user(&self, user: FakeUser) {
        self.world().users.insert(user.id, user);
    }

    /// Adds a repository, or replaces the one of that number.
    pub fn put_repository(&self, repository: FakeRepository) {
        self.world().repositories.insert(repository.id, repository);
    }

    /// Adds an installation, or replaces the one of that number.
    pub fn put_installation(&self, installation: FakeInstallation) {
        self.world().installations.insert(installation.id, installation);
    }

    /// Renames or moves a repository. Its old names lead to it until somebody else takes them.
    pub fn rename_repository(&self, id: u64, owner: &str, name: &str) {
        self.world().rename(id, owner, name);
    }

    /// Deletes a repository.
    pub fn delete_repository(&self, id: u64) {
        self.world().repositories.remove(&id);
    }

    /// Deletes an installation and its tokens.
    pub fn delete_installation(&self, id: u64) {
        let mut world = self.world();
        world.installations.remove(&id);
        world.tokens.retain(|_, token| token.installation != id);
    }

    /// Suspends an installation, or takes that back.
    pub fn suspend_installation(&self, id: u64, suspended: Option<&str>) {
        if let Some(installation) = self.world().installations.get_mut(&id) {
            installation.suspended_at = suspended.map(str::to_owned);
        }
    }

    /// Ends all tokens of installations at once, as GitHub does when a key leaks.
    pub fn revoke_all_tokens(&self) {
        self.world().tokens.clear();
    }

    /// From now on a new token is refused for so long, in milliseconds, after its making.
    pub fn delay_tokens(&self, millis: u64) {
        self.world().token_delay_millis = millis;
    }

    /// Answers the next request whose method and path (below the interface, or of the web pages)
    /// begin so with this instead. Several are used in order.
    pub fn answer_next(&self, method: &str, path: &str, answer: Response<Bytes>) {
        let scripted = world::Scripted { method: method.to_owned(), path: path.to_owned(), answer };
        self.world().scripted.push(scripted);
    }

    /// Keeps git repositories below a folder, each as `<number>.git`, and serves them by
    /// `git http-backend` where tokens allow it.
    pub fn serve_git_below(&self, folder: impl Into<PathBuf>) {
        self.world().git = Some(folder.into());
    }

    /// Returns what it was asked so far, oldest first: method and path, without hosts.
    pub fn asked(&self) -> Vec<String> {
        self.world().asked.clone()
    }

    /// Returns how many requests so far begin with this, such as `POST /app/installations/`.
    pub fn count(&self, start: &str) -> usize {
        self.world().asked.iter().filter(|line| line.starts_with(start)).count()
    }

    /// Returns whether a token gives a permission at a repository now.
    pub fn allows(&self, token: &str, repository: u64, permission: &str, level: Level) -> bool {
        let wanted = Permissions::new().with(permission, level);
        let now = self.clock.now();
        let world = self.world();
        world.token(token, now).is_some_and(|token| {
            world.reaches(token, repository) && token.permissions.covers(&wanted)
        })
    }

    /// Signs in as a user at an authorization URL and returns where the browser is sent.
    ///
    /// # Errors
    /// What the page would say.
    pub fn approve(&self, authorization_url: &str, login: &str) -> Result<String, String> {
        sign_in::approve(&mut self.world(), authorization_url, login)
    }

    /// Enters a device's code as a user; `false` when there is no such code.
    pub fn approve_device(&self, user_code: &str, login: &str) -> bool {
        sign_in::approve_device(&mut self.world(), user_code, login)
    }

    /// Answers a request, apart from git's own.
    pub fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let (now, mut world) = (self.clock.now(), self.world());
        api::answer(&mut world, request, now)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FakeGithub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let world = self.world();
        f.debug_struct("FakeGithub")
            .field("base", &world.base)
            .field("asked", &world.asked.len())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpTransport for FakeGithub {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        // Others get their turn here, as with any network.
        let mut waited = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
        Ok(self.answer(&request))
    }
}
