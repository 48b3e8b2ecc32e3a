//! Settings: options before environment before defaults. The only place that reads the
//! environment.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sam_core::dns::RecordName;
use sam_core::{Error, ErrorKind, Policy, Result, Secret};
use sam_server::github::GithubSettings;
use sam_server::naming::NamingSettings;
use sam_server::providers::ProviderSettings;
use sam_server::settings::PolicySettings;

use crate::args::Global;
use crate::logins;

/// Largest token file, in bytes.
const TOKEN_BYTES_MAX: u64 = 16 * 1024;

/// What holds for this run.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where everything is kept; absolute.
    pub(crate) data_dir: PathBuf,
    /// The server's URL, where it is not this machine.
    pub(crate) server: Option<String>,
    /// The server's token.
    pub(crate) token: Option<Secret<String>>,
    /// Whether the token was given for this run, and is not that of a login.
    pub(crate) token_is_given: bool,
    /// `TERM`, for terminals that are opened.
    pub(crate) term: Option<String>,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

/// Name of the variable with the server's token; the daemon does not inherit it.
pub(crate) const TOKEN_VARIABLE: &str = "SAM_TOKEN";

/// Reads the settings of this process.
pub(crate) fn settings(options: &Global) -> Result<Settings> {
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    resolve(options, |name| std::env::var_os(name))
}

/// Returns the program that runs, to start the daemon with.
pub(crate) fn current_exe() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}

/// Returns the whole environment, for the processes of a node.
pub(crate) fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().collect()
}

/// Reads what decisions about workspaces and nodes follow, for the daemon: the variables that a
/// server reads, too.
pub(crate) fn policy() -> Result<Policy> {
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    PolicySettings::from_environment(|name| std::env::var(name).ok()).policy()
}

/// Reads what this machine is told of a GitHub App.
pub(crate) fn github() -> Result<GithubSettings> {
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    GithubSettings::from_environment(|name| std::env::var(name).ok())
}

/// Reads where nodes are bought from the environment.
pub(crate) fn providers() -> Result<ProviderSettings> {
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    ProviderSettings::from_environment(|name| std::env::var(name).ok())
}

/// Reads the DNS of an installation from the environment.
pub(crate) fn naming() -> Result<NamingSettings> {
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    NamingSettings::from_environment(|name| std::env::var(name).ok())
}

/// Reads the domain of an installation from the environment.
pub(crate) fn base_domain() -> Result<Option<RecordName>> {
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    let text = std::env::var("BASE_DOMAIN").ok().filter(|text| !text.is_empty());
    let name = text.map(|text| text.parse::<RecordName>()).transpose();
    name.map_err(|error| bad("BASE_DOMAIN is no domain").with_source(error))
}

/// Starts logging on standard error, for the processes that run in the background; `SAM_LOG`
/// filters it.
pub(crate) fn start_log() {
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
    let filter = std::env::var("SAM_LOG").unwrap_or_else(|_| "info".to_owned());
    // A filter that cannot be read must not keep a node from running.
    if sam_server::logging::start(&filter, false).is_err() {
        let _started_before = sam_server::logging::start("info", false);
    }
}

fn resolve(options: &Global, read: impl Fn(&str) -> Option<OsString>) -> Result<Settings> {
    // An empty variable is an unset one.
    let read = |name: &str| read(name).filter(|value| !value.is_empty());
    let text = |name: &'static str| {
        read(name)
            .map(|value| value.into_string().map_err(|_| bad(&format!("{name} is not UTF-8"))))
            .transpose()
    };
    let data_dir = match (&options.data_dir, read("SAM_DATA_DIR"), read("XDG_DATA_HOME")) {
        (Some(dir), _, _) => dir.clone(),
        (None, Some(dir), _) => PathBuf::from(dir),
        // The specification says to ignore a relative one.
        (None, None, Some(home)) if Path::new(&home).is_absolute() => Path::new(&home).join("sam"),
        (None, None, _) => {
            let home = read("HOME").ok_or_else(|| {
                bad("there is no home directory").with_hint("set SAM_DATA_DIR or use --data-dir")
            })?;
            Path::new(&home).join(".local/share/sam")
        }
    };
    let data_dir = std::path::absolute(&data_dir)
        .map_err(|cause| bad("the data directory cannot be used").with_source(cause))?;
    let server = match &options.server {
        Some(url) => Some(url.clone()),
        None => text("SAM_SERVER")?,
    };
    let given = match &options.token_file {
        Some(path) => Some(read_token(path)?),
        None => text(TOKEN_VARIABLE)?.map(Secret::new),
    };
    let token_is_given = given.is_some();
    let token = match (given, &server) {
        (Some(token), _) => Some(token),
        (None, Some(server)) => logins::token(&data_dir, server)?,
        (None, None) => None,
    };
    Ok(Settings {
        data_dir,
        server,
        token,
        token_is_given,
        term: text("TERM")?,
        json: options.json,
        quiet: options.quiet,
    })
}

fn read_token(path: &Path) -> Result<Secret<String>> {
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(TOKEN_BYTES_MAX).read_to_string(&mut text));
    let whole = Secret::new(text);
    read.map_err(|cause| {
        bad("the token file cannot be read").with_context("file", path.display()).with_source(cause)
    })?;
    let token = whole.expose().trim();
    if token.is_empty() {
        return Err(bad("the token file is empty").with_context("file", path.display()));
    }
    Ok(Secret::new(token.to_owned()))
}

fn bad(message: &str) -> Error {
    Error::new(ErrorKind::BadInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(options: &Global, variables: &[(&str, &str)]) -> Result<Settings> {
        resolve(options, |name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_data_directory_comes_from_the_nearest_source() {
        let all = [("SAM_DATA_DIR", "/s"), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")];
        let option = Global { data_dir: Some("/o".into()), ..Global::default() };
        assert_eq!(with(&option, &all).unwrap().data_dir, Path::new("/o"));
        let none = Global::default();
        let dir = |variables: &[(&str, &str)]| with(&none, variables).unwrap().data_dir;
        assert_eq!(dir(&all), Path::new("/s"));
        assert_eq!(dir(&all[1..]), Path::new("/x/sam"));
        assert_eq!(dir(&all[2..]), Path::new("/h/.local/share/sam"));
        assert_eq!(
            dir(&[("XDG_DATA_HOME", "x"), ("HOME", "/h")]),
            Path::new("/h/.local/share/sam")
        );
        let error = with(&none, &[("HOME", "")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
        assert!(error.hint().is_some());
    }

    #[test]
    fn a_token_comes_from_its_file_before_the_environment_and_is_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "from-file\n").unwrap();
        let variables = [("HOME", "/h"), ("SAM_TOKEN", "from-environment")];
        let settings = with(&Global::default(), &variables).unwrap();
        assert_eq!(settings.token.as_ref().unwrap().expose(), "from-environment");
        assert!(!format!("{settings:?}").contains("from-environment"));
        let option = Global { token_file: Some(file.clone()), ..Global::default() };
        let settings = with(&option, &variables).unwrap();
        assert_eq!(settings.token.unwrap().expose(), "from-file");
        // A login's comes last, and at its own server alone.
        let data_dir = dir.path().to_owned();
        logins::keep(&data_dir, "https://a.example", &Secret::new("of-login".to_owned())).unwrap();
        let at = |server: &str, token_file: Option<PathBuf>, variables: &[(&str, &str)]| {
            let (data_dir, server) = (Some(data_dir.clone()), Some(server.to_owned()));
            let options = Global { data_dir, server, token_file, ..Global::default() };
            let settings = with(&options, variables).unwrap();
            (settings.token.map(|token| token.expose().clone()), settings.token_is_given)
        };
        let of_login = (Some("of-login".to_owned()), false);
        assert_eq!(at("https://a.example/", None, &[]), of_login);
        assert_eq!(at("https://b.example", None, &[]), (None, false));
        let given = |token: &str| (Some(token.to_owned()), true);
        assert_eq!(at("https://a.example", None, &variables), given("from-environment"));
        assert_eq!(at("https://a.example", Some(file.clone()), &[]), given("from-file"));
        std::fs::write(&file, " \n").unwrap();
        assert_eq!(with(&option, &variables).unwrap_err().kind(), ErrorKind::BadInput);
    }
}
