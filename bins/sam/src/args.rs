//! What the command line takes.

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand};
use clap_complete::Shell;

use sam_api::wire::WorkName;
use sam_api::{ParseSpanError, Span};
use sam_core::TerminalId;
use sam_core::compute::ProviderName;
use sam_core::workspace::RefName;

use crate::attach::DetachKey;
use crate::commands::{Credential, Github};

/// Status of SAM's own failure where the status of a command is passed on.
const OWN_FAILURE: u8 = 125;

/// Workspaces for coding agents.
#[derive(Debug, Parser)]
#[command(
    name = "sam",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "Examples:\n  \
        sam up .                            a terminal in a workspace of this repository\n  \
        sam up octo/hello --branch v2       the same for a tag on GitHub\n  \
        sam up . --rm --exec 'make test'    run one command, keep nothing\n  \
        sam ls                              what there is\n\n\
        Exit status: 0 done, 2 bad input, 3 not found, 4 denied, 5 conflict, 6 capacity or quota,\n\
        7 unavailable or timed out, 70 a defect. `exec` and `--exec` pass the command's own status\n\
        on (128+n for a signal); there, 125 is SAM's own failure."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Default, Group)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        help = "Where everything is kept [env: SAM_DATA_DIR] [default: ~/.local/share/sam]"
    )]
    pub(crate) data_dir: Option<PathBuf>,
    #[arg(
        long,
        global = true,
        value_name = "URL",
        help = "Use the server at this URL instead of this machine [env: SAM_SERVER]"
    )]
    pub(crate) server: Option<String>,
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "A file with the server's token, in place of the variable SAM_TOKEN"
    )]
    pub(crate) token_file: Option<PathBuf>,
    /// Write JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Tell no progress and no remarks
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a workspace of a repository, and open a terminal in it
    Up(Up),
    /// List workspaces
    #[command(alias = "list")]
    Ls {
        /// Also those that are deleted
        #[arg(long)]
        all: bool,
    },
    /// Show everything about a workspace
    Show {
        /// Its id or name
        workspace: String,
    },
    /// Attach to a terminal of a workspace
    Attach(Attach),
    /// Run a command in a workspace
    Exec(Exec),
    /// Say that a workspace is at work, so that it is not stopped for being idle
    Work(Work),
    /// End a workspace's processes and keep its files
    Stop(Power),
    /// Start a stopped workspace
    Start(Power),
    /// Take a workspace and everything of it away
    #[command(visible_alias = "rm")]
    Delete(Power),
    /// The machines that workspaces are on, and those that were left or found
    Node {
        #[command(subcommand)]
        command: Node,
    },
    /// Compare what the provider lists as ours with what is known
    Sweep {
        #[command(subcommand)]
        command: Sweep,
    },
    /// Things the provider lists as ours that nothing here answers for
    Orphan {
        #[command(subcommand)]
        command: Orphan,
    },
    /// Your own accounts at providers, which your workspaces are bought with
    Credential {
        #[command(subcommand)]
        command: Credential,
    },
    /// Check the providers and the DNS that this environment sets up, and say what is wrong
    Doctor,
    /// Where machines are bought: what is set up, what answers, sizes and prices
    Providers,
    /// The servers that share one database
    Replica {
        #[command(subcommand)]
        command: Replica,
    },
    /// Show, set or lift the hold on deleting what nobody asked to delete
    Hold {
        #[command(subcommand)]
        command: Option<Hold>,
    },
    /// A GitHub App: its key, its token, and what is wrong with its configuration
    Github {
        #[command(subcommand)]
        command: Github,
    },
    /// Sign in at a server with GitHub; the login is kept in the data directory
    Login,
    /// Sign out at a server, and forget its login
    Logout {
        /// End all logins of the account, those of browsers and other machines, too
        #[arg(long)]
        everywhere: bool,
    },
    /// Show who you are at the server
    Whoami,
    /// Follow what happens
    Events {
        /// Only what happens to this workspace
        workspace: Option<String>,
        /// Begin after this cursor instead of now
        #[arg(long, value_name = "CURSOR")]
        after: Option<String>,
    },
    /// The background process that looks after the workspaces of a data directory
    Daemon {
        #[command(subcommand)]
        command: Daemon,
    },
    /// Write the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// The agent of a node
    #[command(hide = true)]
    Agent {
        /// The node's directory
        #[arg(long)]
        dir: PathBuf,
    },
    /// What git in a workspace asks for credentials
    #[command(name = "git-credential", hide = true)]
    GitCredential {
        /// What git wants: get, store or erase
        action: String,
    },
    /// The process that keeps a node's terminals
    #[command(hide = true)]
    Holder {
        /// The node's directory
        #[arg(long)]
        dir: PathBuf,
    },
}

#[derive(Debug, Group)]
pub(crate) struct Up {
    /// A path, a URL, or owner/name on GitHub
    pub(crate) repo: String,
    /// The branch, tag or commit
    #[arg(short, long, value_name = "REF")]
    pub(crate) branch: Option<RefName>,
    /// A name for the workspace
    #[arg(short, long)]
    pub(crate) name: Option<String>,
    /// The size of its machine
    #[arg(long)]
    pub(crate) size: Option<String>,
    /// Where its machine is bought; `sam providers` lists them
    #[arg(long, value_name = "NAME")]
    pub(crate) provider: Option<ProviderName>,
    /// Run this with `sh -c` in it instead of opening a terminal, and exit with its status
    #[arg(short, long, value_name = "CMD")]
    pub(crate) exec: Option<String>,
    /// Delete the workspace at the end, however that comes
    #[arg(long)]
    pub(crate) rm: bool,
    /// Stop it when nobody used it for so long, after a warning: 2h, or never
    #[arg(long, value_name = "SPAN")]
    pub(crate) idle_stop: Option<IdleStop>,
    /// Only make it, and write its id
    #[arg(long, conflicts_with_all = ["exec", "rm"])]
    pub(crate) no_attach: bool,
    #[command(flatten)]
    pub(crate) keys: Keys,
}

#[derive(Debug, Group)]
pub(crate) struct Keys {
    /// The keys that detach: `ctrl-]`, `ctrl-p,ctrl-q`, or `none`
    #[arg(long, value_name = "KEYS", default_value = "ctrl-]")]
    pub(crate) detach_key: DetachKey,
}

#[derive(Debug, Group)]
pub(crate) struct Attach {
    /// Id or name of the workspace
    pub(crate) workspace: String,
    /// This terminal; the newest one that runs, or a new one, when absent
    #[arg(long, value_name = "ID", conflicts_with = "new")]
    pub(crate) terminal: Option<TerminalId>,
    /// A new terminal
    #[arg(long)]
    pub(crate) new: bool,
    #[command(flatten)]
    pub(crate) keys: Keys,
}

#[derive(Debug, Group)]
pub(crate) struct Exec {
    /// Id or name of the workspace
    pub(crate) workspace: String,
    /// Run this with `sh -c`
    #[arg(long, value_name = "CMD", conflicts_with = "command")]
    pub(crate) shell: Option<String>,
    /// The program and its arguments, not passed through a shell
    #[arg(last = true, required_unless_present = "shell", value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Group)]
pub(crate) struct Work {
    /// Id or name of the workspace
    pub(crate) workspace: String,
    /// What the work is called; the same name declares it anew
    #[arg(long)]
    pub(crate) name: WorkName,
    /// For how long, at most 24h; declare it again before that is over
    #[arg(long = "for", value_name = "SPAN", default_value = "30m", conflicts_with = "end")]
    pub(crate) span: Span,
    /// It has ended
    #[arg(long)]
    pub(crate) end: bool,
}

/// When a workspace is stopped that nobody uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdleStop {
    After(Span),
    Never,
}

impl std::str::FromStr for IdleStop {
    type Err = ParseSpanError;

    fn from_str(text: &str) -> Result<Self, ParseSpanError> {
        match text {
            "never" => Ok(Self::Never),
            text => text.parse().map(Self::After),
        }
    }
}

impl IdleStop {
    /// Returns it as the API takes it.
    pub(crate) fn millis(self) -> u64 {
        match self {
            // No span is no rule, and would be taken for never.
            Self::After(span) => u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX).max(1),
            Self::Never => 0,
        }
    }
}

#[derive(Debug, Group)]
pub(crate) struct Power {
    /// Id or name of the workspace
    pub(crate) workspace: String,
    /// Do not wait until it is done
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// List nodes
    #[command(alias = "list")]
    Ls {
        /// Also those that are deleted
        #[arg(long)]
        all: bool,
    },
    /// Delete a node that no workspace uses, with everything bought for it
    #[command(alias = "delete")]
    Rm {
        /// Its id
        node: String,
        /// Do not wait until it is done
        #[arg(long)]
        no_wait: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sweep {
    /// List the sweeps, one for each credential, with what they counted
    #[command(alias = "list")]
    Ls,
    /// Sweep now
    Run {
        /// This one; all when absent
        sweep: Option<String>,
        /// Do not wait until it is done
        #[arg(long)]
        no_wait: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Orphan {
    /// List orphans
    #[command(alias = "list")]
    Ls,
    /// Delete an orphan at the provider
    #[command(alias = "delete")]
    Rm {
        /// Its id
        orphan: String,
        /// Do not wait until it is done
        #[arg(long)]
        no_wait: bool,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Replica {
    /// List them, with those that are missed
    #[command(alias = "list")]
    Ls,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Hold {
    /// Let nothing be deleted that no person asks to delete
    Set {
        /// Why, for others who find it
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Let it be deleted again
    Lift {
        /// Why, for others who look
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Daemon {
    /// Show whether it runs
    Status,
    /// End it; workspaces keep running
    Stop,
    /// Be it
    #[command(hide = true)]
    Run,
}

impl Command {
    /// Returns the status of SAM's own failure, where it is not the error's.
    pub(crate) const fn own_failure(&self) -> Option<u8> {
        match self {
            Self::Exec(_) | Self::Up(Up { exec: Some(_), .. }) => Some(OWN_FAILURE),
            _ => None,
        }
    }
}

/// Returns a program's arguments that run a line of shell.
pub(crate) fn shell_command(line: &str) -> Vec<String> {
    vec!["sh".to_owned(), "-c".to_owned(), line.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    fn parse(line: &str) -> Result<Args, ErrorKind> {
        Args::try_parse_from(line.split(' ')).map_err(|error| error.kind())
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn everything_after_two_dashes_belongs_to_the_command() {
        let args = parse("sam exec ws -- ls --json -q").unwrap();
        assert!(!args.global.json);
        let Command::Exec(exec) = args.command else { panic!("not exec") };
        assert_eq!(exec.command, ["ls", "--json", "-q"]);
        assert_eq!(parse("sam exec ws").unwrap_err(), ErrorKind::MissingRequiredArgument);
        assert_eq!(parse("sam exec ws ls").unwrap_err(), ErrorKind::UnknownArgument);
        assert!(matches!(parse("sam exec ws --shell ls").unwrap().command, Command::Exec(_)));
        let both = parse("sam exec ws --shell ls -- ls").unwrap_err();
        assert_eq!(both, ErrorKind::ArgumentConflict);
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        for line in ["sam up . --no-attach --rm", "sam up . --no-attach --exec x"] {
            assert_eq!(parse(line).unwrap_err(), ErrorKind::ArgumentConflict);
        }
        for line in ["sam up . --branch -x", "sam up . --branch=a..b", "sam attach w --terminal 1"]
        {
            assert!(matches!(
                parse(line).unwrap_err(),
                ErrorKind::ValueValidation | ErrorKind::InvalidValue | ErrorKind::UnknownArgument
            ));
        }
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for line in ["sam --json -q ls", "sam ls --json -q"] {
            let args = parse(line).unwrap();
            assert!(args.global.json && args.global.quiet);
        }
        assert!(matches!(parse("sam rm x").unwrap().command, Command::Delete(_)));
    }

    #[test]
    fn a_hold_takes_a_reason_and_is_shown_without_one() {
        assert!(matches!(parse("sam hold").unwrap().command, Command::Hold { command: None }));
        parse("sam hold set --reason audit").unwrap();
        for verb in ["set", "lift"] {
            let missing = parse(&format!("sam hold {verb}")).unwrap_err();
            assert_eq!(missing, ErrorKind::MissingRequiredArgument);
        }
        assert!(parse("sam node").is_err() && parse("sam orphan rm").is_err());
    }

    #[test]
    fn own_failures_are_125_only_where_a_command_runs() {
        let status = |line: &str| parse(line).unwrap().command.own_failure();
        assert_eq!(status("sam exec ws -- ls"), Some(125));
        assert_eq!(status("sam up . --exec ls"), Some(125));
        assert_eq!(status("sam up ."), None);
    }

    #[test]
    fn spans_of_idleness_and_work_are_read() {
        let idle_stop = |line: &str| match parse(line).unwrap().command {
            Command::Up(up) => up.idle_stop.map(IdleStop::millis),
            _ => panic!("not up"),
        };
        assert_eq!(idle_stop("sam up ."), None);
        assert_eq!(idle_stop("sam up . --idle-stop never"), Some(0));
        assert_eq!(idle_stop("sam up . --idle-stop 2h"), Some(7_200_000));
        assert_eq!(idle_stop("sam up . --idle-stop 0s"), Some(1));
        assert_eq!(parse("sam up . --idle-stop 2").unwrap_err(), ErrorKind::ValueValidation);
        parse("sam work w --name build --for 5m").unwrap();
        parse("sam work w --name build --end").unwrap();
        for bad in ["sam work w", "sam work w --name a/b", "sam work w --name a --for 5m --end"] {
            parse(bad).unwrap_err();
        }
    }
}
