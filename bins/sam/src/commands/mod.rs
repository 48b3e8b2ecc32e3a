//! One file per command.

mod credentials;
mod daemon;
mod doctor;
mod events;
mod github;
mod hold;
mod list;
mod login;
mod nodes;
mod orphans;
mod power;
mod providers;
mod replicas;
mod show;
mod sweeps;
mod up;
mod wait;
mod work;

pub(crate) use self::credentials::Command as Credential;
pub(crate) use self::github::Github;

use std::io::Write as _;

use clap::CommandFactory as _;

use sam_api::Workspace;
use sam_core::workspace::RefName;

use crate::args::{self, Args, Command};
use crate::attach::{self, Choice, Place};
use crate::config::Settings;
use crate::connect::Context;
use crate::exec;
use crate::failure::Failure;
use crate::node;
use crate::progress::Goal;
use crate::signals::Signals;

/// Runs those commands that are processes of their own, with a runtime of their own or none.
pub(crate) fn run_process(command: &Command, settings: &Settings) -> Option<Result<u8, Failure>> {
    let outcome = match command {
        Command::Agent { dir } => node::agent(dir),
        Command::GitCredential { action } => node::git_credential(action),
        Command::Holder { dir } => node::holder(dir),
        Command::Daemon { command: args::Daemon::Run } => crate::daemon::run(&settings.data_dir),
        Command::Completions { shell } => return Some(completions(*shell)),
        _ => return None,
    };
    Some(outcome.map(|()| 0).map_err(Failure::from))
}

/// Runs a command and returns the status to exit with.
pub(crate) async fn run(command: Command, settings: Settings) -> Result<u8, Failure> {
    let context = Context::new(settings);
    match command {
        Command::Up(up) => up::up(&context, up).await,
        Command::Ls { all } => list::list(&context, all).await,
        Command::Show { workspace } => show::show(&context, &workspace).await,
        Command::Attach(arguments) => attach(&context, &arguments).await,
        Command::Exec(arguments) => run_command(&context, arguments).await,
        Command::Work(arguments) => work::work(&context, &arguments).await,
        Command::Stop(power) => power::change(&context, &power, Goal::Stopped).await,
        Command::Start(power) => power::change(&context, &power, Goal::Running).await,
        Command::Delete(power) => power::change(&context, &power, Goal::Deleted).await,
        Command::Node { command } => nodes::run(&context, command).await,
        Command::Sweep { command } => sweeps::run(&context, command).await,
        Command::Orphan { command } => orphans::run(&context, command).await,
        Command::Credential { command } => credentials::run(&context, command).await,
        Command::Doctor => doctor::run(context.output).await,
        Command::Providers => providers::run(&context).await,
        Command::Replica { command } => replicas::run(&context, command).await,
        Command::Hold { command } => hold::run(&context, command).await,
        Command::Github { command } => github::run(context.output, command).await,
        Command::Login => login::login(&context).await,
        Command::Logout { everywhere } => login::logout(&context, everywhere).await,
        Command::Whoami => login::whoami(&context).await,
        Command::Events { workspace, after } => events::events(&context, workspace, after).await,
        Command::Daemon { command: args::Daemon::Status } => daemon::status(&context).await,
        Command::Daemon { command: args::Daemon::Stop } => daemon::stop(&context).await,
        // Handled by `run_process`, before there is a runtime.
        Command::Agent { .. }
        | Command::GitCredential { .. }
        | Command::Holder { .. }
        | Command::Completions { .. }
        | Command::Daemon { command: args::Daemon::Run } => Ok(0),
    }
}

async fn attach(context: &Context, arguments: &args::Attach) -> Result<u8, Failure> {
    let choice = match (arguments.terminal, arguments.new) {
        (Some(id), _) => Choice::This(id),
        (None, true) => Choice::New,
        (None, false) => Choice::Newest,
    };
    let client = context.connect().await?;
    let place = Place { workspace: &arguments.workspace, choice, key: &arguments.keys.detach_key };
    let mut signals = Signals::listen()?;
    attach::attach(context, client, place, &mut signals).await
}

async fn run_command(context: &Context, arguments: args::Exec) -> Result<u8, Failure> {
    let command = match &arguments.shell {
        Some(line) => args::shell_command(line),
        None => arguments.command,
    };
    let client = context.connect().await?;
    let mut signals = Signals::listen()?;
    exec::exec(&client, &arguments.workspace, command, &mut signals).await
}

fn completions(shell: clap_complete::Shell) -> Result<u8, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "sam", &mut text);
    let mut out = std::io::stdout().lock();
    out.write_all(&text)?;
    out.flush()?;
    Ok(0)
}

/// Returns what a workspace has checked out, in few words.
fn checkout(workspace: &Workspace) -> String {
    let commit = workspace.commit.as_deref().and_then(|commit| commit.get(..12));
    let name = workspace.branch.as_deref();
    let name = name.or_else(|| workspace.reference.as_ref().map(RefName::as_str));
    match (name, commit) {
        (Some(name), Some(commit)) if !commit.starts_with(name) => format!("{name} {commit}"),
        (Some(name), _) => name.to_owned(),
        (None, Some(commit)) => commit.to_owned(),
        (None, None) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::golden;

    #[test]
    fn help_is_as_checked_in() {
        let mut root = Args::command().term_width(100).version("0.0.0");
        root.build();
        let mut parts = vec![root.render_long_help().to_string()];
        for command in root.get_subcommands_mut() {
            if !command.is_hide_set() && command.get_name() != "help" {
                let name = command.get_name().to_owned();
                let mut command = command.clone().term_width(100);
                parts.push(format!("\n==== {name}\n{}", command.render_help()));
                for nested in command.get_subcommands_mut() {
                    if !nested.is_hide_set() && nested.get_name() != "help" {
                        let title = format!("{name} {}", nested.get_name());
                        let mut nested = nested.clone().term_width(100);
                        parts.push(format!("\n==== {title}\n{}", nested.render_help()));
                    }
                }
            }
        }
        golden("help.txt", &parts.concat());
    }

    #[test]
    fn a_checkout_is_named_by_its_branch_and_commit() {
        let mut workspace = crate::progress::tests::workspace("running", "running", 1);
        assert_eq!(checkout(&workspace), "-");
        workspace.commit = Some("0123456789abcdef0123".to_owned());
        assert_eq!(checkout(&workspace), "0123456789ab");
        workspace.branch = Some("main".to_owned());
        assert_eq!(checkout(&workspace), "main 0123456789ab");
        workspace.branch = Some("0123456".to_owned());
        assert_eq!(checkout(&workspace), "0123456");
    }
}
