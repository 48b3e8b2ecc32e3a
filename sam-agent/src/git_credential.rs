//! The helper that git in a workspace asks for credentials.
//!
//! Git is told of it by variables of its environment. It passes git's question to the workspace's
//! own socket at the agent, which asks the control plane, and says the answer to git: a credential
//! is in no address, no argument, no file and no variable (I8). What the control plane has no
//! credential for goes to the helpers that git was configured with otherwise, so that a workspace
//! on somebody's own machine clones what he can clone.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::Command;

use sam_core::{Error, ErrorKind, Report, Result, Secret};

use crate::deadline;
use crate::wire::{GIT_QUESTION_BYTES_MAX, GitCredentialReply};

/// The subcommand by which a program is the helper; git adds `get`, `store` or `erase`.
pub const SUBCOMMAND: &str = "git-credential";
/// Names the workspace's socket at the agent in the environment of its processes.
pub const SOCKET_VARIABLE: &str = "SAM_GIT_CREDENTIAL_SOCKET";

/// The file of a workspace's socket, beside its checkout.
pub(crate) const SOCKET_FILE: &str = "git.sock";
/// Longest answer of the agent, in bytes.
const REPLY_BYTES_MAX: u64 = 64 * 1024;
/// How long an agent that is being started anew is waited for.
const AGENT_DEADLINE: Duration = Duration::from_secs(10);
const AGENT_PAUSE: Duration = Duration::from_millis(100);
/// How long an answer may take: the agent tries every address of the control plane.
const ANSWER_DEADLINE: Duration = Duration::from_mins(1);
/// How long git's other helpers may take; one of them may ask a person.
const OTHERS_DEADLINE: Duration = Duration::from_mins(5);
/// Whom our credentials name. What git says of others is for other helpers.
const OUR_USER: &str = "username=x-access-token";

/// Returns the variables that make git ask `program` for credentials, through a workspace's socket.
pub(crate) fn variables(
    program: &OsStr,
    socket: &Path,
) -> impl Iterator<Item = (OsString, OsString)> {
    let socket = (SOCKET_VARIABLE.into(), socket.as_os_str().to_owned());
    config_variables(&config(program)).chain([socket])
}

/// Returns what git is configured with: no helper but ours, which is told the whole address.
pub(crate) fn config(program: &OsStr) -> [(&'static str, OsString); 3] {
    let quoted = program.as_bytes().split(|byte| *byte == b'\'').collect::<Vec<_>>();
    let quoted = quoted.join(&b"'\\''"[..]);
    let helper = [b"!'", &quoted[..], b"' ", SUBCOMMAND.as_bytes()].concat();
    [
        // An empty one takes back those that were named before.
        ("credential.helper", OsString::new()),
        ("credential.helper", OsString::from_vec(helper)),
        ("credential.useHttpPath", "true".into()),
    ]
}

/// Returns configuration as the variables by which git takes it.
pub(crate) fn config_variables<K: AsRef<OsStr>>(
    config: &[(K, OsString)],
) -> impl Iterator<Item = (OsString, OsString)> + use<K> {
    let count = ("GIT_CONFIG_COUNT".into(), config.len().to_string().into());
    let pairs: Vec<_> = config
        .iter()
        .enumerate()
        .flat_map(|(index, (key, value))| {
            let name = |what: &str| OsString::from(format!("GIT_CONFIG_{what}_{index}"));
            [(name("KEY"), key.as_ref().to_owned()), (name("VALUE"), value.clone())]
        })
        .collect();
    std::iter::once(count).chain(pairs)
}

/// Opens a directory so that a socket in it has a short name, however long the directory's is.
pub(crate) fn short_name(socket: &Path) -> io::Result<(std::os::fd::OwnedFd, PathBuf)> {
    use rustix::fs::{Mode, OFlags};
    let (Some(parent), Some(file)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = rustix::fs::open(parent, flags, Mode::empty())?;
    let short = Path::new("/proc/self/fd").join(open.as_raw_fd().to_string()).join(file);
    Ok((open, short))
}

/// Is git's credential helper: reads git's question from standard input and says the answer on
/// standard output. What it has to tell a person it says on standard error; git shows it.
///
/// An action it does not know, and a question nobody has an answer to, are no errors.
///
/// # Errors
/// `BadInput` without [`SOCKET_VARIABLE`] or for a question that is too long; `Unavailable` when
/// git does not take the answer.
#[expect(clippy::print_stderr, reason = "git shows it to the person in front of it")]
pub async fn run(action: &str, environment: &[(OsString, OsString)]) -> Result<()> {
    let socket = environment.iter().find(|(name, _)| name == SOCKET_VARIABLE);
    let socket = socket.map(|(_, path)| Path::new(path)).ok_or_else(|| {
        Error::new(ErrorKind::BadInput, format!("{SOCKET_VARIABLE} is not set"))
            .with_hint("git runs this program inside a workspace; it is not for people")
    })?;
    let question = question(io::stdin().lock())?;
    let is_ours = question.expose().lines().any(|line| line == OUR_USER);
    let answer = match (action, is_ours) {
        ("get", _) => match ask(socket, action, &question).await {
            Ok(GitCredentialReply { answer: Some(answer), .. }) => Secret::new(answer),
            outcome => {
                match outcome {
                    Ok(GitCredentialReply { refusal: Some(why), .. }) => eprintln!("sam: {why}"),
                    Ok(_) => {}
                    Err(error) => eprintln!("sam: {}", Report::new(&error)),
                }
                others("fill", &question).await
            }
        },
        ("erase", true) => {
            if let Err(error) = ask(socket, action, &question).await {
                eprintln!("sam: {}", Report::new(&error));
            }
            return Ok(());
        }
        ("erase", false) => others("reject", &question).await,
        // Ours are kept nowhere.
        ("store", false) => others("approve", &question).await,
        _ => return Ok(()),
    };
    let mut out = io::stdout().lock();
    out.write_all(answer.expose().as_bytes()).and_then(|()| out.flush()).map_err(|error| {
        Error::new(ErrorKind::Unavailable, "git did not take the answer").with_source(error)
    })
}

fn question(input: impl io::Read) -> Result<Secret<String>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(GIT_QUESTION_BYTES_MAX).unwrap_or(u64::MAX);
    let read = input.take(limit + 1).read_to_end(&mut bytes);
    let text = read.ok().and_then(|_| String::from_utf8(bytes).ok());
    text.filter(|text| text.len() <= GIT_QUESTION_BYTES_MAX)
        .map(Secret::new)
        .ok_or_else(|| Error::new(ErrorKind::BadInput, "git's question cannot be read"))
}

/// Asks the agent through a workspace's socket.
pub(crate) async fn ask(
    socket: &Path,
    action: &str,
    question: &Secret<String>,
) -> Result<GitCredentialReply> {
    let broken = |error: io::Error| {
        Error::new(ErrorKind::Unavailable, "the node's agent gave no credential").with_source(error)
    };
    let exchange = async {
        let mut stream = connect(socket).await?;
        stream.write_all(format!("{action}\n").as_bytes()).await?;
        stream.write_all(question.expose().as_bytes()).await?;
        stream.shutdown().await?;
        let mut reply = Vec::new();
        stream.take(REPLY_BYTES_MAX).read_to_end(&mut reply).await?;
        Ok::<_, io::Error>(reply)
    };
    let reply = deadline::within(ANSWER_DEADLINE, exchange).await;
    let reply = reply.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(broken)?;
    // Without the parser's text: it may quote a secret.
    serde_json::from_slice(&reply)
        .map_err(|_| Error::new(ErrorKind::Corrupt, "the agent's answer cannot be read"))
}

/// Connects to the agent; one that is just being started anew is waited for.
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let mut waited = Duration::ZERO;
    loop {
        let (_open, short) = short_name(socket)?;
        match UnixStream::connect(short).await {
            Err(error)
                if waited < AGENT_DEADLINE
                    && matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
                    ) => {}
            outcome => return outcome,
        }
        deadline::sleep(AGENT_PAUSE).await;
        waited += AGENT_PAUSE;
    }
}

/// Asks the helpers that git was configured with otherwise. Whatever fails is no answer: git says
/// then what it lacks.
async fn others(verb: &str, question: &Secret<String>) -> Secret<String> {
    let asked = async {
        let mut child = Command::new("git")
            .args(["credential", verb])
            // Ours is configured there, and nothing else that counts.
            .env_remove("GIT_CONFIG_COUNT")
            // Git itself asks the person, after all helpers.
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "")
            .env("SSH_ASKPASS", "")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(question.expose().as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = match deadline::within(OTHERS_DEADLINE, asked).await {
        Ok(Ok(output)) if output.status.success() => output.stdout,
        _ => Vec::new(),
    };
    Secret::new(String::from_utf8(output).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_is_told_of_one_helper_whatever_the_program_s_path_holds() {
        let [none, ours, path] = config(OsStr::new("/opt/it's here/sam"));
        assert_eq!(none, ("credential.helper", OsString::new()));
        assert_eq!(ours.1, "!'/opt/it'\\''s here/sam' git-credential");
        assert_eq!(path.0, "credential.useHttpPath");
        let all: Vec<_> = variables(OsStr::new("/s"), Path::new("/w/git.sock")).collect();
        assert_eq!(all[0], ("GIT_CONFIG_COUNT".into(), "3".into()));
        assert_eq!(all.len(), 1 + 2 * 3 + 1);
        assert_eq!(all[7], (SOCKET_VARIABLE.into(), "/w/git.sock".into()));
    }

    #[test]
    fn a_question_without_end_is_not_read_to_its_end() {
        assert_eq!(question(&b"protocol=https\n"[..]).unwrap().expose(), "protocol=https\n");
        let error = question(io::repeat(b'a')).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
    }
}
