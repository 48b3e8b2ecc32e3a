//! What there is on the fake GitHub.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use sam_core::Secret;
use sam_core::time::Timestamp;

use crate::{Level, Permissions};

/// The App.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "tests write it out")]
pub struct FakeApp {
    /// Its number.
    pub id: u64,
    /// Its name in addresses.
    pub slug: String,
    /// Its client id.
    pub client_id: String,
    /// Its client secret.
    pub client_secret: String,
    /// The public half of its key: `RSAPublicKey` of PKCS#1 in DER.
    pub public_key: Vec<u8>,
    /// What it asks owners for.
    pub permissions: Permissions,
    /// Its webhook's secret.
    pub webhook_secret: Secret<String>,
    /// Its webhook's address.
    pub webhook_url: String,
}

impl FakeApp {
    /// Makes an App that asks for what SAM needs, with invented secrets.
    pub fn new(id: u64, public_key: Vec<u8>) -> Self {
        let permissions = Permissions::new()
            .with("contents", Level::Write)
            .with("metadata", Level::Read)
            .with("issues", Level::Read)
            .with("email_addresses", Level::Read);
        Self {
            id,
            slug: "fake-app".to_owned(),
            client_id: format!("Iv23liFake{id}"),
            client_secret: "fake-client-secret".to_owned(),
            public_key,
            permissions,
            webhook_secret: Secret::new("fake-webhook-secret".to_owned()),
            webhook_url: "https://app.example.com/api/github/webhook".to_owned(),
        }
    }
}

/// A user, or an organisation.
#[derive(Debug, Clone, Default)]
#[expect(clippy::exhaustive_structs, reason = "tests write it out")]
pub struct FakeUser {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub login: String,
    /// Whether it is an organisation.
    pub is_organization: bool,
    /// The address it shows to all.
    pub public_email: Option<String>,
    /// Its addresses: address, primary, verified.
    pub emails: Vec<(String, bool, bool)>,
}

/// A repository.
#[derive(Debug, Clone, Default)]
#[expect(clippy::exhaustive_structs, reason = "tests write it out")]
pub struct FakeRepository {
    /// Its number.
    pub id: u64,
    /// Its owner's name.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// Whether it is not public.
    pub is_private: bool,
    /// Whether it is archived.
    pub is_archived: bool,
    /// Whether it is disabled.
    pub is_disabled: bool,
    /// Its branches with their newest commits; the first is the default one.
    pub branches: Vec<(String, String)>,
    /// Users beside its owner who see it, by name.
    pub seen_by: Vec<String>,
    /// Those of them who may not push.
    pub read_only_for: Vec<String>,
}

impl FakeRepository {
    /// Makes a private repository with one branch, `main`.
    pub fn new(id: u64, owner: &str, name: &str) -> Self {
        Self {
            id,
            owner: owner.to_owned(),
            name: name.to_owned(),
            is_private: true,
            branches: vec![("main".to_owned(), "a".repeat(40))],
            ..Self::default()
        }
    }

    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
}

/// An installation of the App.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "tests write it out")]
pub struct FakeInstallation {
    /// Its number.
    pub id: u64,
    /// Whose it is, by name.
    pub account: String,
    /// Its repositories; `None` stands for all of its owner's.
    pub repositories: Option<BTreeSet<u64>>,
    /// What its owner granted.
    pub permissions: Permissions,
    /// When its owner suspended it.
    pub suspended_at: Option<String>,
    /// Users beside the account itself who see it.
    pub seen_by: Vec<String>,
}

impl FakeInstallation {
    /// Makes one that has all of its owner's repositories.
    pub fn new(id: u64, account: &str, permissions: Permissions) -> Self {
        Self {
            id,
            account: account.to_owned(),
            repositories: None,
            permissions: permissions.with("metadata", Level::Read),
            suspended_at: None,
            seen_by: Vec::new(),
        }
    }
}

/// A webhook that was sent, or is to be.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Sent {
    /// Its number at GitHub.
    pub id: u64,
    /// Its id, which a redelivery repeats.
    pub guid: String,
    /// Its event.
    pub event: String,
    /// What it says.
    pub body: Bytes,
    /// What the receiver answered; zero before it did.
    pub status: u16,
    /// Whether it is a redelivery.
    pub is_redelivery: bool,
}

pub(super) struct Scripted {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) answer: Response<Bytes>,
}

/// A token of an installation.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) installation: u64,
    /// `None` stands for all of the installation's.
    pub(super) repositories: Option<BTreeSet<u64>>,
    pub(super) permissions: Permissions,
    pub(super) good_from: Timestamp,
    pub(super) expires_at: Timestamp,
}

/// A token of a user.
#[derive(Debug, Clone)]
pub(super) struct UserToken {
    pub(super) user: u64,
    pub(super) expires_at: Timestamp,
}

/// A code of the sign-in.
#[derive(Debug, Clone)]
pub(super) struct Code {
    pub(super) user: u64,
    pub(super) redirect_uri: Option<String>,
    pub(super) challenge: Option<String>,
}

/// A device that waits for a person.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) user_code: String,
    pub(super) user: Option<u64>,
    pub(super) asked_at: Option<Timestamp>,
    pub(super) interval: Duration,
    pub(super) expires_at: Timestamp,
}

pub(super) struct World {
    pub(super) app: FakeApp,
    pub(super) base: String,
    pub(super) users: BTreeMap<u64, FakeUser>,
    pub(super) repositories: BTreeMap<u64, FakeRepository>,
    pub(super) installations: BTreeMap<u64, FakeInstallation>,
    pub(super) former_names: BTreeMap<String, u64>,
    pub(super) tokens: BTreeMap<String, Token>,
    pub(super) user_tokens: BTreeMap<String, UserToken>,
    pub(super) refresh_tokens: BTreeMap<String, u64>,
    pub(super) codes: BTreeMap<String, Code>,
    pub(super) devices: BTreeMap<String, Device>,
    pub(super) sent: Vec<Sent>,
    pub(super) scripted: Vec<Scripted>,
    pub(super) asked: Vec<String>,
    pub(super) token_delay_millis: u64,
    pub(super) git: Option<PathBuf>,
    made: u64,
}

impl World {
    pub(super) fn new(app: FakeApp) -> Self {
        Self {
            app,
            base: "https://github.test".to_owned(),
            users: BTreeMap::new(),
            repositories: BTreeMap::new(),
            installations: BTreeMap::new(),
            former_names: BTreeMap::new(),
            tokens: BTreeMap::new(),
            user_tokens: BTreeMap::new(),
            refresh_tokens: BTreeMap::new(),
            codes: BTreeMap::new(),
            devices: BTreeMap::new(),
            sent: Vec::new(),
            scripted: Vec::new(),
            asked: Vec::new(),
            token_delay_millis: 0,
            git: None,
            made: 0,
        }
    }

    /// Returns a number that was not given out before.
    pub(super) fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    pub(super) fn api(&self) -> String {
        format!("{}/api/v3", self.base)
    }

    pub(super) fn user(&self, login: &str) -> Option<&FakeUser> {
        self.users.values().find(|user| user.login.eq_ignore_ascii_case(login))
    }

    pub(super) fn named(&self, owner: &str, name: &str) -> Option<&FakeRepository> {
        self.repositories.values().find(|repo| {
            repo.owner.eq_ignore_ascii_case(owner) && repo.name.eq_ignore_ascii_case(name)
        })
    }

    pub(super) fn former(&self, owner: &str, name: &str) -> Option<u64> {
        self.former_names.get(&format!("{owner}/{name}").to_lowercase()).copied()
    }

    pub(super) fn rename(&mut self, id: u64, owner: &str, name: &str) {
        let Some(repository) = self.repositories.get_mut(&id) else { return };
        self.former_names.insert(repository.full_name().to_lowercase(), id);
        (repository.owner, repository.name) = (owner.to_owned(), name.to_owned());
    }

    /// Lists an installation's repositories by number.
    pub(super) fn of_installation(&self, id: u64) -> Vec<u64> {
        let Some(installation) = self.installations.get(&id) else { return Vec::new() };
        let has = |repo: &&FakeRepository| match &installation.repositories {
            Some(chosen) => chosen.contains(&repo.id),
            None => repo.owner.eq_ignore_ascii_case(&installation.account),
        };
        self.repositories.values().filter(has).map(|repo| repo.id).collect()
    }

    /// Returns a token that is good now.
    pub(super) fn token(&self, token: &str, now: Timestamp) -> Option<&Token> {
        let found = self.tokens.get(token)?;
        let installation = self.installations.get(&found.installation)?;
        let good = found.good_from <= now && now < found.expires_at;
        (good && installation.suspended_at.is_none()).then_some(found)
    }

    pub(super) fn reaches(&self, token: &Token, repository: u64) -> bool {
        token.repositories.as_ref().is_none_or(|only| only.contains(&repository))
            && self.of_installation(token.installation).contains(&repository)
    }

    pub(super) fn pushes(&self, user: u64, repository: &FakeRepository) -> bool {
        let Some(user) = self.users.get(&user) else { return false };
        repository.owner.eq_ignore_ascii_case(&user.login)
            || repository.seen_by.contains(&user.login)
                && !repository.read_only_for.contains(&user.login)
    }

    pub(super) fn sees(&self, user: u64, repository: &FakeRepository) -> bool {
        let Some(user) = self.users.get(&user) else { return false };
        !repository.is_private
            || repository.owner.eq_ignore_ascii_case(&user.login)
            || repository.seen_by.contains(&user.login)
    }
}
