//! `sam up`: a workspace of a repository, and a terminal or a command in it.

use std::time::Duration;

use tokio::task::JoinHandle;

use sam_api::{Client, CreateWorkspace, IdempotencyKey, Lifetime, Workspace};

use super::power::delete_and_wait;
use crate::args::{IdleStop, Up, shell_command};
use crate::attach::{self, Choice, Place, is_interactive};
use crate::connect::Context;
use crate::deadline;
use crate::exec::exec;
use crate::failure::{self, Failure};
use crate::output;
use crate::progress::{Goal, Printer, Wait, Waited};
use crate::repo;
use crate::signals::{self, Signals};

/// How long a workspace of `--rm` outlives a client that was killed.
const LEASE: Lifetime = Lifetime { lease_ms: 30_000 };
/// How often the lease is renewed: two renewals may be lost.
const RENEW_EVERY: Duration = Duration::from_secs(10);

pub(super) async fn up(context: &Context, up: Up) -> Result<u8, Failure> {
    let resolved = repo::resolve(&up.repo, context.is_local()).await?;
    if let Some(remark) = resolved.remark {
        context.output.remark(remark);
    }
    let request = CreateWorkspace {
        repo: resolved.repo,
        reference: up.branch.clone(),
        name: up.name.clone(),
        size: up.size.clone(),
        provider: up.provider.clone(),
        lifetime: up.rm.then_some(LEASE),
        idle_stop_ms: up.idle_stop.map(IdleStop::millis),
    };
    let client = context.connect().await?;
    let mut signals = Signals::listen()?;
    let workspace = match create(&client, &request, &mut signals).await? {
        Created::Workspace(workspace) => workspace,
        Created::Interrupted { signal, workspace } => {
            if let Some(workspace) = workspace.filter(|_| up.rm) {
                delete_and_wait(context, &client, &workspace, &mut signals).await?;
            }
            return Ok(signals::status(signal));
        }
    };
    if !up.rm {
        return use_workspace(context, &client, &workspace, &up, &mut signals).await;
    }
    let renewing = renew(client.clone(), workspace.id.to_string());
    let outcome = use_workspace(context, &client, &workspace, &up, &mut signals).await;
    renewing.abort();
    let deleted = delete_and_wait(context, &client, &workspace, &mut signals).await;
    after_deletion(context, outcome, deleted)
}

enum Created {
    Interrupted { signal: u8, workspace: Option<Box<Workspace>> },
    Workspace(Box<Workspace>),
}

/// Asks for the workspace. A signal does not lose the answer that is on its way, so that what was
/// made can be taken away again.
async fn create(
    client: &Client,
    request: &CreateWorkspace,
    signals: &mut Signals,
) -> Result<Created, Failure> {
    let key = IdempotencyKey::random()?;
    let creating = client.create_workspace(request, &key);
    tokio::pin!(creating);
    tokio::select! {
        biased;
        created = &mut creating => Ok(Created::Workspace(Box::new(created?))),
        signal = signals.next() => {
            let answer = deadline::within(deadline::LAST_ANSWER, creating).await;
            let workspace = answer.and_then(Result::ok).map(Box::new);
            Ok(Created::Interrupted { signal, workspace })
        }
    }
}

/// Keeps the lease alive until it is aborted. A renewal that fails is tried again at the next
/// turn; when all fail the workspace goes away, which is what a lease is for.
fn renew(client: Client, workspace: String) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            deadline::pause(RENEW_EVERY).await;
            let renewing = client.renew_lease(&workspace, LEASE);
            let _outcome = deadline::within(RENEW_EVERY, renewing).await;
        }
    })
}

async fn use_workspace(
    context: &Context,
    client: &Client,
    workspace: &Workspace,
    up: &Up,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    let id = workspace.id.to_string();
    let attaching = !up.no_attach && up.exec.is_none() && (up.rm || is_interactive());
    let attaching = attaching && !context.output.json;
    let mut printer = Printer::new(context.output, up.exec.is_some() || attaching);
    printer.show(workspace)?;
    let goal = Goal::Running;
    let wait = Wait { context, client, goal, since: workspace, printer: &mut printer };
    let workspace = match wait.run(signals).await? {
        Waited::Reached(workspace) => workspace,
        Waited::Interrupted(signal) => {
            if !up.rm {
                let name = &workspace.name;
                context.output.remark(&format!(
                    "sam: {name} goes on without us; `sam attach {name}` goes there, \
                     `sam delete {name}` takes it away"
                ));
            }
            return Ok(signals::status(signal));
        }
    };
    printer.finish(&workspace)?;
    if let Some(line) = &up.exec {
        return exec(client, &id, shell_command(line), signals).await;
    }
    if attaching {
        let key = &up.keys.detach_key;
        let name = &workspace.name;
        context.output.remark(&format!("sam: {name} is running; {key} detaches"));
        let place = Place { workspace: &id, choice: Choice::Newest, key };
        return attach::attach(context, client.clone(), place, signals).await;
    }
    if !context.output.json {
        output::line(&id)?;
    }
    Ok(0)
}

/// Puts together how the use and how the deletion ended: the first failure counts, both are told.
fn after_deletion(
    context: &Context,
    outcome: Result<u8, Failure>,
    deleted: Result<bool, Failure>,
) -> Result<u8, Failure> {
    match (outcome, deleted) {
        (outcome, Ok(true)) => outcome,
        (outcome, Ok(false)) => {
            context.output.remark("sam: the workspace is being deleted without us");
            outcome
        }
        (Ok(0), Err(failure)) => Err(failure),
        (outcome, Err(failure)) => {
            if let Failure::Sam(error) = &failure {
                failure::tell(error, context.output.json);
            }
            outcome
        }
    }
}
