//! The answer to git in a workspace, asked for by its node.

use sam_agent::wire::{GitCredentialAsk, GitCredentialReply};
use sam_core::forge::{GrantId, RepoPath};
use sam_core::workspace::{ForgeRepository, WorkspaceRecord};
use sam_core::{AccountId, Caller, Error, ErrorKind, NodeId, Report, Result, Secret};
use sam_github::{
    GitCredentialAction, GitCredentialRequest, GithubApp, InstallationId, KnownRepository,
    RepositoryId,
};

use crate::app::App;
use crate::github::visible;

/// Answers a node that has proved who it is. What GitHub refuses is a part of the answer, for the
/// person in front of git.
///
/// # Errors
/// `Denied` when the workspace is not at work on the node; `BadInput` for what is no question of
/// git; what the store answered.
pub(crate) async fn answer(
    app: &App,
    node: NodeId,
    ask: GitCredentialAsk,
) -> Result<GitCredentialReply> {
    let workspace = app.sam.workspace_on(node, ask.workspace_id).await?.record;
    let action: GitCredentialAction = ask.action.parse()?;
    let question: GitCredentialRequest = Secret::new(ask.question).expose().parse()?;
    let Some(question) = Question::of(app, &workspace, &question) else {
        return Ok(GitCredentialReply::default());
    };
    let credential = match action {
        GitCredentialAction::Get => question.credential(app, node, &workspace).await,
        GitCredentialAction::Erase => {
            question.github.forget_refused(question.request);
            return Ok(GitCredentialReply::default());
        }
        _ => return Ok(GitCredentialReply::default()),
    };
    Ok(match credential {
        Ok(answer) => GitCredentialReply { answer: Some(answer.expose().clone()), refusal: None },
        Err(error) => {
            tracing::info!(
                workspace.id = %workspace.id,
                error = %Report::new(&error),
                "git was given no credential"
            );
            let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            let refusal = Some(format!("{}{hint}", error.public_message()));
            GitCredentialReply { answer: None, refusal }
        }
    })
}

/// A question that is for our GitHub, of a workspace that has a repository there.
struct Question<'a> {
    github: &'a GithubApp,
    own: RepoPath,
    request: &'a GitCredentialRequest,
}

impl<'a> Question<'a> {
    fn of(
        app: &'a App,
        workspace: &WorkspaceRecord,
        request: &'a GitCredentialRequest,
    ) -> Option<Self> {
        let github = app.github.as_ref().filter(|github| github.is_asked(request))?;
        let (protocol, host, own) = workspace.repo.on_forge()?;
        let is_ours = github.is_at(protocol, host) && is_settled(workspace);
        is_ours.then_some(Self { github, own, request })
    }

    async fn credential(
        &self,
        app: &App,
        node: NodeId,
        workspace: &WorkspaceRecord,
    ) -> Result<Secret<String>> {
        let known = workspace.forge.as_ref().map(known).transpose()?;
        let settled_read_only = known.is_some_and(|known| known.read_only);
        let known = match (known, workspace.owner.parse::<AccountId>()) {
            (Some(known), Ok(owner)) => {
                Some(visible::still(app, self.github, owner, (&self.own, known)).await?)
            }
            (known, _) => known,
        };
        let (found, credential) =
            self.github.workspace_git_credential(&self.own, known, self.request).await?;
        if known != Some(found) {
            let grant: GrantId = found.installation.to_string().parse()?;
            let repository = ForgeRepository::new(grant, found.repository.as_u64())
                .with_read_only(settled_read_only);
            let caller = Caller::named(&node.to_string());
            app.sam.know_repository(workspace.id, &repository, &caller).await?;
        }
        Ok(credential.to_lines())
    }
}

fn known(repository: &ForgeRepository) -> Result<KnownRepository> {
    let installation = InstallationId::try_from(&repository.grant).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "the workspace's repository cannot be read")
            .with_source(error)
    })?;
    Ok(KnownRepository::new(installation, RepositoryId::new(repository.number))
        .with_read_only(repository.read_only))
}

/// Returns whether it is known what git may be given. What a person's workspace reaches was settled
/// when it was made, by what that person sees; an administrator's reaches what the App does.
fn is_settled(workspace: &WorkspaceRecord) -> bool {
    let is_persons = workspace.owner.parse::<AccountId>().is_ok();
    workspace.forge.is_some() || !is_persons
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    use sam_agent::controller::{Controller, ControllerConfig};
    use sam_core::Sam;
    use sam_core::account::{Admission, Visitor};
    use sam_core::auth::ChallengeKey;
    use sam_core::compute::MemoryCompute;
    use sam_core::entropy::SeededEntropy;
    use sam_core::keys::Ed25519Signer;
    use sam_core::replica::{ControlUrls, Replica};
    use sam_core::store::MemoryStore;
    use sam_core::time::{Clock as _, ManualClock, Timestamp};
    use sam_core::workspace::NewWorkspace;
    use sam_github::sign_in::SignIn;
    use sam_github::testkit::{FakeApp, FakeGithub, FakeInstallation, FakeRepository, FakeUser};
    use sam_github::{Level, Permissions, PrivateKey, Rs256Signer, WebhookSecrets};
    use tokio_util::sync::CancellationToken;

    use crate::{Access, AppParts, SignInDesk, SignInParts, Site};

    #[tokio::test]
    async fn a_persons_workspace_is_given_what_was_settled_when_it_was_made_and_nothing_else() {
        let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
        let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
        let sam = Sam::builder(store, Arc::new(MemoryCompute::new())).clock(clock).build().unwrap();
        let made = async |owner: &str, forge: Option<ForgeRepository>| {
            let new = NewWorkspace::new("octo/hello".parse().unwrap()).with_forge(forge);
            sam.create_workspace(new, &Caller::named(owner)).await.unwrap().record
        };
        let own = ForgeRepository::new("42".parse().unwrap(), 1_000).with_read_only(true);
        let person = AccountId::from_bits(1).to_string();
        assert!(is_settled(&made(&person, Some(own.clone())).await));
        assert!(!is_settled(&made(&person, None).await));
        assert!(is_settled(&made("admin", None).await));
        assert!(known(&own).unwrap().read_only);
        // Of before there were accounts: no word of it, and not read-only.
        let before: ForgeRepository =
            serde_json::from_str(r#"{"grant":"42","number":1000}"#).unwrap();
        assert!(!known(&before).unwrap().read_only);
    }

    #[tokio::test]
    async fn a_person_who_lost_access_is_given_nothing_any_more() {
        let clock: Arc<ManualClock> = Arc::new(ManualClock::new(Timestamp::EPOCH));
        let key: PrivateKey =
            include_str!("../../../../sam-github/tests/keys/rsa2048.pkcs1.pem").parse().unwrap();
        let signer = Rs256Signer::new(&key).unwrap();
        let fake = FakeGithub::new(FakeApp::new(7, signer.public_key()), Arc::clone(&clock) as _);
        fake.put_user(FakeUser { id: 1, login: "mona".to_owned(), ..FakeUser::default() });
        let write = Permissions::new().with("contents", Level::Write);
        fake.put_installation(FakeInstallation::new(42, "octo", write.clone()));
        let github = GithubApp::builder("7".parse().unwrap(), Arc::new(signer))
            .endpoints(fake.endpoints())
            .build(Arc::new(fake.clone()), Arc::clone(&clock) as _);
        let app = app(&fake, &github, &clock);
        let visitor = Visitor::new("github.com", 1, "mona");
        let caller = Caller::named("test");
        let signed_in = app.sam.sign_in_account(&visitor, &Admission::Anybody, &caller).await;
        let owner = signed_in.unwrap().record.id;
        let own: RepoPath = "octo/hello".parse().unwrap();
        let settled = KnownRepository::new(InstallationId::new(42), RepositoryId::new(1_000));
        let now = async |owner, seen: bool, pushes: bool| {
            let mona = |is: bool| if is { vec!["mona".to_owned()] } else { Vec::new() };
            let repository = FakeRepository::new(1_000, "octo", "hello");
            let (seen_by, read_only_for) = (mona(seen), mona(!pushes));
            fake.put_repository(FakeRepository { seen_by, read_only_for, ..repository });
            let still = visible::still(&app, &github, owner, (&own, settled)).await;
            still.map(|known| known.read_only).map_err(|error| error.kind())
        };
        assert_eq!(now(owner, true, true).await, Ok(false));
        assert_eq!(now(owner, true, false).await, Ok(true));
        assert_eq!(now(owner, false, false).await, Err(ErrorKind::Denied));
        assert_eq!(now(owner, true, true).await, Ok(false));
        // The App was installed anew, under another number. A token that was just made would be tried
        // again for a while.
        clock.advance(Duration::from_mins(1));
        fake.delete_installation(42);
        fake.put_installation(FakeInstallation::new(44, "octo", write));
        assert_eq!(now(owner, true, true).await, Ok(false));
        // Nobody that we know, and somebody else who has the name by now.
        assert_eq!(now(AccountId::from_bits(9), true, true).await, Err(ErrorKind::Denied));
        fake.put_user(FakeUser { id: 1, login: "lisa".to_owned(), ..FakeUser::default() });
        fake.put_user(FakeUser { id: 2, login: "mona".to_owned(), ..FakeUser::default() });
        assert_eq!(now(owner, true, true).await, Err(ErrorKind::Denied));
    }

    fn app(fake: &FakeGithub, github: &GithubApp, clock: &Arc<ManualClock>) -> App {
        let entropy = || Arc::new(SeededEntropy::new(1));
        let client_secret = Secret::new("fake-client-secret".to_owned());
        let sign_in = SignIn::builder("Iv23liFake7", client_secret)
            .endpoints(fake.endpoints())
            .build(Arc::new(fake.clone()), Arc::clone(clock) as _, entropy());
        let desk = SignInDesk::new(SignInParts {
            github: sign_in,
            forge: "github.com".to_owned(),
            admission: Admission::Anybody,
            site: Site::of_domain("example.com").unwrap(),
            callback_path: "/api/auth/callback/github".to_owned(),
            key: Secret::new([7; 32]),
            entropy: entropy(),
        });
        let store = Arc::new(MemoryStore::new(Arc::clone(clock) as _));
        let sam = Sam::builder(store, Arc::new(MemoryCompute::new()));
        let signer = Arc::new(Ed25519Signer::from_seed(&Secret::new([1; 32])));
        let config = ControllerConfig::new("home".into(), signer, Arc::clone(clock) as _);
        App::new(AppParts {
            sam: sam.clock(Arc::clone(clock) as _).build().unwrap(),
            controller: Controller::new(config),
            challenge: ChallengeKey::new(Secret::new([2; 32])),
            server_keys: Vec::new(),
            access: Access::Owner,
            replica: Replica::new("t", ""),
            control_urls: ControlUrls::new(["memory:"]),
            upkeep: None,
            started_at: clock.now(),
            github: Some(github.clone()),
            sign_in: Some(desk.unwrap()),
            base_domain: None,
            webhook_secrets: WebhookSecrets::none(),
            local_repos: false,
            shutdown: CancellationToken::new(),
            daemon: None,
        })
    }
}
