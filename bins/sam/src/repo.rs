//! From what a person types to a repository: local paths are looked at here, everything else is
//! left to whoever checks it out.

use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::Command;

use sam_core::workspace::{ParseRepoError, RepoRef};
use sam_core::{Error, ErrorKind, Result};

use crate::deadline;
use crate::failure::system;

/// A repository, and what its owner should know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) repo: RepoRef,
    pub(crate) remark: Option<&'static str>,
}

/// Reads what a person typed. A local path becomes the absolute path of the repository's top.
///
/// # Errors
/// `BadInput` when it is no repository, or a local one although the server is elsewhere.
pub(crate) async fn resolve(text: &str, local: bool) -> Result<Resolved> {
    // By a URL one may mean a directory of the server; whether it reads those is its own decision.
    let is_url = !local && text.starts_with("file://");
    if is_url || !is_path(text) {
        let repo = text.parse().map_err(|cause: ParseRepoError| bad(&cause.to_string()))?;
        return Ok(Resolved { repo, remark: None });
    }
    if !local {
        return Err(bad("the server cannot see a directory of this machine").with_hint(
            "push it somewhere and give that URL, or file:///path for a directory of the \
                 server's machine, or leave --server out",
        ));
    }
    let path = Path::new(text.strip_prefix("file://").unwrap_or(text));
    let path = std::fs::canonicalize(path).map_err(|cause| {
        bad("there is no such directory")
            .with_context("path", path.display())
            .with_hint("check the path, or give a URL or owner/name on GitHub")
            .with_source(cause)
    })?;
    let (top, bare) = top_level(&path).await?;
    let repo = top.parse().map_err(|cause: ParseRepoError| bad(&cause.to_string()))?;
    let remark = (!bare && is_dirty(&path).await)
        .then_some("sam: changes that are not committed are not part of the workspace");
    Ok(Resolved { repo, remark })
}

/// Returns whether a text means a directory: by how it begins, or because it can mean nothing else
/// and is there.
fn is_path(text: &str) -> bool {
    let begins = ["/", "./", "../", "file://"].iter().any(|start| text.starts_with(start));
    let relative = matches!(text.parse::<RepoRef>(), Err(ParseRepoError::RelativePath));
    begins || matches!(text, "." | "..") || (relative && Path::new(text).is_dir())
}

async fn top_level(path: &Path) -> Result<(String, bool)> {
    let work_tree = git(path, &["rev-parse", "--show-toplevel"]).await?;
    if work_tree.status.success() {
        return Ok((line(&work_tree)?, false));
    }
    let bare = git(path, &["rev-parse", "--is-bare-repository"]).await?;
    if bare.status.success() && bare.stdout.trim_ascii() == b"true" {
        return Ok((line(&git(path, &["rev-parse", "--absolute-git-dir"]).await?)?, true));
    }
    let said = String::from_utf8_lossy(&work_tree.stderr);
    let error = bad("this is not a git repository").with_context("path", path.display());
    // Git refuses, among others, directories of other owners, and says what to do about it.
    Err(if said.contains("dubious ownership") {
        error.with_hint("git trusts only its owner: git config --global --add safe.directory PATH")
    } else {
        error.with_hint("make it one (git init, git add, git commit), or give a URL")
    })
}

async fn is_dirty(path: &Path) -> bool {
    // A remark is worth no failure: where git cannot tell, nothing is said.
    git(path, &["status", "--porcelain", "--untracked-files=normal"])
        .await
        .is_ok_and(|output| output.status.success() && !output.stdout.is_empty())
}

fn line(output: &Output) -> Result<String> {
    let text = std::str::from_utf8(&output.stdout)
        .map_err(|_| bad("the repository's path is not UTF-8"))?;
    Ok(text.strip_suffix('\n').unwrap_or(text).to_owned())
}

async fn git(path: &Path, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new("git");
    command.arg("-C").arg(path).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    // Set inside hooks; they would point git somewhere else than at `path`.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    let late = || Error::new(ErrorKind::Timeout, "git did not answer within 20 seconds");
    let output = deadline::within(deadline::GIT, command.output()).await.ok_or_else(late)?;
    output.map_err(|cause| {
        system("git cannot be run", cause).with_hint("install git and put it on the PATH")
    })
}

fn bad(message: &str) -> Error {
    Error::new(ErrorKind::BadInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(path: &Path, arguments: &[&str]) {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
        let status = std::process::Command::new("git")
            .arg("-C")
            .arg(path)
            .args(identity)
            .args(arguments)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "git {arguments:?}");
    }

    #[tokio::test]
    async fn a_path_inside_a_repository_becomes_its_top() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap().join("with blank");
        std::fs::create_dir_all(top.join("sub")).unwrap();
        run(&top, &["init", "-q"]);
        std::fs::write(top.join("file"), "x").unwrap();
        run(&top, &["add", "."]);
        run(&top, &["commit", "-qm", "x"]);
        let sub = top.join("sub").to_str().unwrap().to_owned();
        let clean = resolve(&sub, true).await.unwrap();
        assert_eq!(clean.repo.as_str(), top.to_str().unwrap());
        assert_eq!(clean.remark, None);
        std::fs::write(top.join("file"), "y").unwrap();
        assert!(resolve(&sub, true).await.unwrap().remark.unwrap().contains("not committed"));

        let bare = dir.path().canonicalize().unwrap().join("bare.git");
        std::fs::create_dir(&bare).unwrap();
        run(&bare, &["init", "-q", "--bare"]);
        let resolved = resolve(bare.to_str().unwrap(), true).await.unwrap();
        assert_eq!(resolved.repo.as_str(), bare.to_str().unwrap());
    }

    #[tokio::test]
    async fn what_is_no_repository_is_refused_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().to_str().unwrap();
        let error = resolve(plain, true).await.unwrap_err();
        assert_eq!((error.kind(), error.hint().is_some()), (ErrorKind::BadInput, true));
        let error = resolve(plain, false).await.unwrap_err();
        assert_eq!((error.kind(), error.hint().is_some()), (ErrorKind::BadInput, true));
        let missing = resolve("/nowhere/at/all", true).await.unwrap_err();
        assert_eq!((missing.kind(), missing.hint().is_some()), (ErrorKind::BadInput, true));
        let secret = resolve("https://u:canary@example.org/x", true).await.unwrap_err();
        assert!(!format!("{secret:?}").contains("canary"));
    }

    #[tokio::test]
    async fn urls_and_short_names_are_left_as_they_are() {
        let there = resolve("file:///srv/hello", false).await.unwrap();
        assert_eq!(there.repo.as_str(), "file:///srv/hello");
        let resolved = resolve("octo/hello", false).await.unwrap();
        assert_eq!(resolved.repo.as_str(), "https://github.com/octo/hello.git");
    }
}
