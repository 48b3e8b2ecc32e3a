//! Tokens of logins, by server: one file of the data directory, whole or absent, readable by its
//! owner alone.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind as Io, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use sam_core::{Error, ErrorKind, Result, Secret};

use crate::failure::system;

/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// Most servers that are remembered.
const SERVERS_MAX: usize = 200;
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Logins {
    format: u32,
    servers: BTreeMap<String, Login>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    token: String,
}

/// Returns the token of the login at a server, if there is one.
pub(crate) fn token(data_dir: &Path, server: &str) -> Result<Option<Secret<String>>> {
    let mut logins = read(data_dir)?;
    Ok(logins.servers.remove(&name(server)).map(|login| Secret::new(login.token)))
}

/// Keeps the token of a login in place of any before.
pub(crate) fn keep(data_dir: &Path, server: &str, token: &Secret<String>) -> Result<()> {
    change(data_dir, |logins| {
        let server = name(server);
        if logins.servers.len() >= SERVERS_MAX && !logins.servers.contains_key(&server) {
            let message = "there are logins at 200 servers already";
            let error = Error::new(ErrorKind::QuotaExceeded, message);
            return Err(error.with_hint("`sam logout --server URL` ends one"));
        }
        logins.servers.insert(server, Login { token: token.expose().clone() });
        Ok(())
    })
}

/// Forgets the login at a server. Absence is no error.
pub(crate) fn forget(data_dir: &Path, server: &str) -> Result<()> {
    change(data_dir, |logins| {
        logins.servers.remove(&name(server));
        Ok(())
    })
}

/// Two ways to write an address are one server: the host's letter case and a last slash are nothing.
fn name(server: &str) -> String {
    let server = server.trim().trim_end_matches('/');
    let host = server.find("://").map_or(0, |at| at + 3);
    let end =
        server.get(host..).and_then(|rest| rest.find('/')).map_or(server.len(), |at| host + at);
    let (front, path) = server.split_at(end);
    format!("{}{path}", front.to_ascii_lowercase())
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("logins.json")
}

fn read(data_dir: &Path) -> Result<Logins> {
    let path = path(data_dir);
    let none = || Logins { format: FORMAT, servers: BTreeMap::new() };
    let failed = |cause| {
        system("the file of the logins cannot be read", cause).with_context("file", path.display())
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(cause) if matches!(cause.kind(), Io::NotFound | Io::NotADirectory) => {
            return Ok(none());
        }
        Err(cause) => return Err(failed(cause)),
    };
    let mode = file.metadata().map_err(failed)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let message = format!("others can read the file of the logins (mode {mode:03o})");
        return Err(Error::new(ErrorKind::Denied, message)
            .with_context("file", path.display())
            .with_hint(
                "chmod 600 it; who may have read it can be shut out by `sam logout --everywhere`",
            ));
    }
    let mut text = String::new();
    let outcome = file.take(FILE_BYTES_MAX).read_to_string(&mut text);
    let text = Secret::new(text);
    outcome.map_err(failed)?;
    // Without the parser's words: they may quote a token.
    let logins = serde_json::from_str::<Logins>(text.expose()).ok();
    logins.filter(|logins| logins.format == FORMAT).ok_or_else(|| {
        Error::new(ErrorKind::Corrupt, "the file of the logins is damaged, or of another version")
            .with_context("file", path.display())
            .with_hint("delete it and sign in again")
    })
}

fn change(data_dir: &Path, change: impl FnOnce(&mut Logins) -> Result<()>) -> Result<()> {
    let failed = |cause| {
        system("the file of the logins cannot be written", cause)
            .with_context("file", path(data_dir).display())
    };
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(failed)?;
    let private = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options
    };
    // Others that sign in at the same time wait for their turn.
    let lock = private().open(data_dir.join("logins.lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let mut logins = read(data_dir)?;
    change(&mut logins)?;
    let text = Secret::new(serde_json::to_string_pretty(&logins).unwrap_or_default());
    let draft = data_dir.join("logins.json.draft");
    let written = private().open(&draft).and_then(|mut file| {
        file.write_all(text.expose().as_bytes())?;
        file.sync_all()
    });
    written.and_then(|()| std::fs::rename(&draft, path(data_dir))).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_login_is_kept_by_server_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("new");
        let at = |server: &str| token(&dir, server).unwrap().map(|token| token.expose().clone());
        assert_eq!(at("https://a.example"), None);
        keep(&dir, "https://A.example/", &secret("one")).unwrap();
        keep(&dir, "https://a.example/Team", &secret("two")).unwrap();
        assert_eq!(at("HTTPS://a.example").as_deref(), Some("one"));
        assert_eq!(at("https://a.example/Team/").as_deref(), Some("two"));
        assert_eq!(at("https://a.example/team"), None);
        let mode = std::fs::metadata(path(&dir)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for _ in 0..2 {
            forget(&dir, "https://a.example").unwrap();
        }
        assert_eq!(at("https://a.example"), None);
        assert!(at("https://a.example/Team").is_some());
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_damaged_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        keep(dir.path(), "https://a.example", &secret("canary")).unwrap();
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(path(dir.path()), open).unwrap();
        let error = token(dir.path(), "https://a.example").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path(dir.path()), private).unwrap();
        std::fs::write(path(dir.path()), "{\"format\": 1, \"canary\": 2}").unwrap();
        let error = token(dir.path(), "https://a.example").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(!format!("{error:?}").contains("canary"));
    }
}
