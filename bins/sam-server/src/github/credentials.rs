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
        let (found, credential) =
            self.github.workspace_git_credential(&self.own, known, self.request).await?;
        if known != Some(found) {
            let grant: GrantId = found.installation.to_string().parse()?;
            let repository = ForgeRepository::new(grant, found.repository.as_u64())
                .with_read_only(found.read_only);
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

    use sam_core::Sam;
    use sam_core::compute::MemoryCompute;
    use sam_core::store::MemoryStore;
    use sam_core::time::{ManualClock, Timestamp};
    use sam_core::workspace::NewWorkspace;

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
}
