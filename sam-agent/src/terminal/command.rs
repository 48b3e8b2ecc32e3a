//! What is started for a workspace, and with which environment.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use sam_core::{Error, ErrorKind, NodeId, Result, WorkspaceId};

use crate::git_credential;

/// Variables taken over from the holder's configuration; nothing else is, so that no secret of
/// the agent reaches a workspace.
const BASE_VARIABLES: [&str; 7] = ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "USER"];
/// Where programs are looked for when the configuration does not say.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Names the node in the environment of everything a workspace starts.
pub(super) const NODE_VARIABLE: &str = "SAM_NODE_ID";
/// Names the workspace in the environment of everything it starts.
pub(super) const WORKSPACE_VARIABLE: &str = "SAM_WORKSPACE_ID";
/// Most variables of one command.
const VARIABLES_MAX: usize = 64;

/// Where and as what something is started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) node_id: NodeId,
    pub(super) workspace_id: WorkspaceId,
    pub(super) environment: &'a [(OsString, OsString)],
    pub(super) directory: &'a Path,
    /// The program that git asks for credentials, and the socket through which it asks.
    pub(super) git_helper: Option<(&'a OsStr, &'a Path)>,
}

impl Place<'_> {
    /// Makes a command from its words; no words mean the user's shell as a login shell.
    ///
    /// # Errors
    /// `NotFound` when the directory is not there, `BadInput` for a bad variable.
    pub(super) fn command(
        &self,
        words: &[String],
        variables: &[(String, String)],
    ) -> Result<Command> {
        if !self.directory.is_dir() {
            let message = format!("the directory {} is not there", self.directory.display());
            return Err(Error::new(ErrorKind::NotFound, message)
                .with_hint("name a directory of the checkout"));
        }
        check_variables(variables)?;
        let mut command = match words.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments);
                command
            }
            None => self.login_shell(),
        };
        command.current_dir(self.directory).env_clear().env("PATH", PATH_DEFAULT);
        let base =
            |(name, _): &&(OsString, OsString)| BASE_VARIABLES.iter().any(|known| name == known);
        command
            .envs(self.environment.iter().filter(base).map(|(name, value)| (name, value)))
            .envs(
                self.git_helper
                    .into_iter()
                    .flat_map(|(program, socket)| git_credential::variables(program, socket)),
            )
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .env(NODE_VARIABLE, self.node_id.to_string())
            .env(WORKSPACE_VARIABLE, self.workspace_id.to_string());
        Ok(command)
    }

    fn login_shell(&self) -> Command {
        let named = self.environment.iter().find(|(name, _)| name == "SHELL");
        let shell = named.map(|(_, value)| Path::new(value)).filter(|path| path.is_absolute());
        let shell = shell.unwrap_or(Path::new("/bin/sh"));
        let mut zeroth = OsString::from("-");
        zeroth.push(shell.file_name().unwrap_or(shell.as_os_str()));
        let mut command = Command::new(shell);
        command.arg0(zeroth);
        command
    }
}

fn check_variables(variables: &[(String, String)]) -> Result<()> {
    if variables.len() > VARIABLES_MAX {
        let message = format!("a command takes at most {VARIABLES_MAX} variables");
        return Err(Error::new(ErrorKind::BadInput, message)
            .with_hint("put them into a file and let the command read it"));
    }
    let bad = |(name, value): &&(String, String)| {
        name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
    };
    match variables.iter().find(bad) {
        None => Ok(()),
        Some((name, _)) => {
            let message = format!("{name:?} cannot be set as a variable");
            Err(Error::new(ErrorKind::BadInput, message)
                .with_hint("a name holds no '=', and neither name nor value a zero byte"))
        }
    }
}

/// Returns the directory `below` a checkout.
///
/// # Errors
/// `BadInput` when it would lead out of it.
pub(super) fn directory_below(checkout: &str, below: Option<&str>) -> Result<PathBuf> {
    let below = Path::new(below.unwrap_or(""));
    if below.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Ok(Path::new(checkout).join(below));
    }
    let message = format!("{} is not a directory below the checkout", below.display());
    Err(Error::new(ErrorKind::BadInput, message)
        .with_hint("name it relative to the checkout, without '..'"))
}

/// Says why a program could not be started.
pub(super) fn start_error(program: &str, error: io::Error) -> Error {
    let (kind, message, hint) = match error.kind() {
        io::ErrorKind::NotFound => (
            ErrorKind::NotFound,
            format!("there is no program {program:?}"),
            "install it in the workspace, or name it with its path",
        ),
        io::ErrorKind::PermissionDenied => (
            ErrorKind::Denied,
            format!("{program:?} may not be run"),
            "make it executable with chmod +x",
        ),
        io::ErrorKind::ArgumentListTooLong
        | io::ErrorKind::ExecutableFileBusy
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory => (
            ErrorKind::BadInput,
            format!("{program:?} cannot be run with these arguments"),
            "check the command: no zero bytes, less than 128 KiB an argument",
        ),
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => (
            ErrorKind::BadInput,
            format!("{program:?} is no program this machine can run"),
            "check that it was built for this machine, or begins with #! and its interpreter",
        ),
        _ => (
            ErrorKind::Unavailable,
            format!("{program:?} could not be started now"),
            "the node may be out of processes or memory; end something and try again",
        ),
    };
    Error::new(kind, message).with_hint(hint).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_below_the_checkout_are_taken() {
        assert_eq!(directory_below("/w", None).unwrap(), Path::new("/w"));
        assert_eq!(directory_below("/w", Some("a/./b")).unwrap(), Path::new("/w/a/b"));
        for bad in ["..", "a/../../b", "/etc"] {
            assert_eq!(directory_below("/w", Some(bad)).unwrap_err().kind(), ErrorKind::BadInput);
        }
    }

    #[test]
    fn a_workspace_gets_a_clean_environment_that_names_it() {
        let environment = [("HOME", "/home/me"), ("AWS_SECRET_ACCESS_KEY", "x")]
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let place = Place {
            node_id: NodeId::from_bits(1),
            workspace_id: WorkspaceId::from_bits(2),
            environment: &environment,
            directory: Path::new("/"),
            git_helper: None,
        };
        let sneaky = [(WORKSPACE_VARIABLE.to_owned(), "other".to_owned())];
        let command = place.command(&[], &sneaky).unwrap();
        let names: Vec<_> = command.get_envs().map(|(name, _)| name).collect();
        assert_eq!(names, ["HOME", "PATH", NODE_VARIABLE, WORKSPACE_VARIABLE]);
        let marker = WorkspaceId::from_bits(2).to_string();
        assert!(command.get_envs().any(|(_, value)| value == Some(marker.as_ref())));
        let refused = place.command(&[], &[("a=b".into(), String::new())]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::BadInput);
    }
}
