//! What the owners of workspaces ask for.

use std::path::Path;
use std::time::Duration;

use sam_api::client::IdempotencyKey;
use sam_api::wire::OpenTerminal;
use sam_api::{CreateWorkspace, Lifetime, Workspace, WorkspaceState, WorkspaceWish};
use sam_core::entropy::SeededEntropy;
use sam_core::{Error, ErrorKind, WorkspaceId};

use super::fleet::Fleet;
use crate::deadline::pause;

/// The shortest lease that is given.
const LEASE_MS: u64 = 5_000;
/// Pause between two looks of an owner.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How long an owner waits for what it asked for before it asks for the next thing. What it asked for
/// still has to come, in the end.
const PATIENCE_MS: u64 = 20_000;

/// What becomes of a workspace in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its owner deletes it.
    Deleted,
    /// It has a lease, which its owner renews for a while.
    Lapses,
    /// It runs.
    Stays,
    /// It runs, having been stopped.
    Returns,
    /// It is stopped.
    Rests,
}

impl Fate {
    const fn wish(self) -> WorkspaceWish {
        match self {
            Self::Deleted | Self::Lapses => WorkspaceWish::Deleted,
            Self::Stays | Self::Returns => WorkspaceWish::Running,
            Self::Rests => WorkspaceWish::Stopped,
        }
    }
}

/// Draws the fates of so many workspaces, of which so many are there in the end.
pub(super) fn fates(count: u64, there: u64, random: &SeededEntropy) -> Vec<Fate> {
    let mut fates: Vec<Fate> = (0..count)
        .map(|number| match number {
            _ if number >= there && random.below(5) == 0 => Fate::Lapses,
            _ if number >= there => Fate::Deleted,
            _ => [Fate::Stays, Fate::Rests, Fate::Returns][usize::try_from(number % 3).expect("3")],
        })
        .collect();
    for place in (1..fates.len()).rev() {
        let other = usize::try_from(random.below(place as u64 + 1)).expect("small");
        fates.swap(place, other);
    }
    fates
}

/// A workspace, and what its owner asked for last and was promised.
#[derive(Debug, Clone)]
pub(super) struct Owned {
    pub(super) id: WorkspaceId,
    pub(super) name: String,
    pub(super) wish: WorkspaceWish,
}

/// One owner at work.
pub(super) struct Owner<'a> {
    pub(super) fleet: &'a Fleet<'a>,
    pub(super) repo: &'a Path,
    pub(super) random: SeededEntropy,
}

impl Owner<'_> {
    /// Lives through one workspace.
    pub(super) async fn live(&self, number: usize, fate: Fate) -> Owned {
        let name = format!("c{number}");
        let id = self.create(&name, fate).await;
        // Some change their minds before it runs.
        if self.random.below(5) > 0 {
            self.wait(id, &name, WorkspaceState::Running).await;
            self.use_it(id, &name).await;
        }
        match fate {
            Fate::Stays => {}
            Fate::Lapses => self.renew(id, &name).await,
            Fate::Rests => self.stop(id, &name).await,
            Fate::Returns => self.bounce(id, &name).await,
            Fate::Deleted => {
                if self.random.below(5) == 0 {
                    self.bounce(id, &name).await;
                }
                self.delete(id, &name).await;
            }
        }
        if fate == Fate::Lapses {
            self.wait(id, &name, WorkspaceState::Deleted).await;
        }
        Owned { id, name, wish: fate.wish() }
    }

    async fn create(&self, name: &str, fate: Fate) -> WorkspaceId {
        let mut request = CreateWorkspace::new(self.repo.to_str().unwrap().parse().unwrap());
        request.name = Some(name.to_owned());
        if fate == Fate::Lapses {
            request.lifetime = Some(Lifetime { lease_ms: LEASE_MS });
        }
        let key = IdempotencyKey::new(format!("key-of-{name}")).unwrap();
        let create = async || {
            let made = self
                .fleet
                .ask(&self.random, async |client| client.create_workspace(&request, &key).await);
            made.await.unwrap_or_else(|error| panic!("create {name}: {error:?}"))
        };
        let made = create().await;
        self.note(format_args!("{name} is {}, {fate:?}", made.id));
        // Some do not trust the first answer.
        if self.random.below(4) == 0 {
            assert_eq!(create().await.id, made.id, "{name} was made twice");
        }
        made.id
    }

    /// Opens a terminal, and leaves a process behind that nobody asks to end.
    async fn use_it(&self, id: WorkspaceId, name: &str) {
        let script = "setsid sleep 600 >/dev/null 2>&1 & exec sleep 600";
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let request = OpenTerminal { command, ..OpenTerminal::default() };
        let client = self.fleet.client(&self.random);
        match client.open_terminal(&id.to_string(), &request).await {
            Ok(terminal) => self.note(format_args!("{name} has terminal {}", terminal.id)),
            // It may not run yet, or again, and its agent or the replica may have been killed.
            Err(error) => {
                let kinds = [ErrorKind::Conflict, ErrorKind::Timeout, ErrorKind::Unavailable];
                assert!(kinds.contains(&error.kind()), "a terminal of {name}: {error:?}");
                self.note(format_args!("{name} has no terminal: {error}"));
            }
        }
    }

    async fn stop(&self, id: WorkspaceId, name: &str) {
        self.ask(name, "stop", async |client| client.stop_workspace(&id.to_string()).await).await;
        if self.random.below(2) == 0 {
            self.wait(id, name, WorkspaceState::Stopped).await;
        }
    }

    async fn bounce(&self, id: WorkspaceId, name: &str) {
        self.stop(id, name).await;
        self.ask(name, "start", async |client| client.start_workspace(&id.to_string()).await).await;
        if self.random.below(2) == 0 {
            self.wait(id, name, WorkspaceState::Running).await;
        }
    }

    async fn delete(&self, id: WorkspaceId, name: &str) {
        self.ask(name, "delete", async |client| client.delete_workspace(&id.to_string()).await)
            .await;
        self.wait(id, name, WorkspaceState::Deleted).await;
    }

    /// Renews a lease some times; it may have lapsed by the time a replica is there to hear of it.
    async fn renew(&self, id: WorkspaceId, name: &str) {
        for _ in 0..self.random.below(4) {
            let lifetime = Lifetime { lease_ms: LEASE_MS };
            let renewed = self.fleet.ask(&self.random, async |client| {
                client.renew_lease(&id.to_string(), lifetime).await
            });
            match renewed.await {
                Ok(_) => self.note(format_args!("{name} renewed")),
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    self.note(format_args!("{name} had lapsed"));
                    return;
                }
                Err(error) => panic!("renew {name}: {error:?}"),
            }
            pause(Duration::from_millis(self.random.below(LEASE_MS / 2))).await;
        }
    }

    async fn ask(
        &self,
        name: &str,
        what: &str,
        call: impl AsyncFn(&sam_api::Client) -> Result<Workspace, Error>,
    ) {
        let answer = self.fleet.ask(&self.random, call).await;
        let answer = answer.unwrap_or_else(|error| panic!("{what} {name}: {error:?}"));
        self.note(format_args!("{name} {what}, is {}", answer.state));
    }

    /// Waits for a state, but not for ever.
    async fn wait(&self, id: WorkspaceId, name: &str, state: WorkspaceState) {
        let begun_at = self.fleet.history.elapsed();
        let patience = Duration::from_millis(PATIENCE_MS);
        loop {
            let found = self
                .fleet
                .ask(&self.random, async |client| client.workspace(&id.to_string()).await)
                .await
                .unwrap_or_else(|error| panic!("look at {name}: {error:?}"));
            let took = self.fleet.history.since(begun_at);
            if found.state == state || found.state == WorkspaceState::Deleted {
                return;
            }
            if found.state == WorkspaceState::Failed || took > patience {
                self.note(format_args!(
                    "{name} waited {took:.1?} in vain to be {state}, is {}",
                    found.state
                ));
                return;
            }
            pause(LOOK_AGAIN).await;
        }
    }

    fn note(&self, what: impl std::fmt::Display) {
        self.fleet.history.note(what);
    }
}
