//! Which repository, and what of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::forge::{GrantId, RepoPath};

/// Where a repository is: a URL without credentials, an absolute path, or `owner/name` on GitHub.
///
/// Parsing refuses what git could mistake for an option or a command (`-x`, `ext::…`), and
/// URLs that carry a password: those end up in process lists and logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoRef(String);

/// Why a text does not name a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseRepoError {
    /// It holds a control character or a blank at an end.
    #[error("a repository holds no control characters")]
    Characters,
    /// It carries a password.
    #[error("a repository URL must not carry credentials")]
    Credentials,
    /// It is empty or too long.
    #[error("a repository has 1 to 2048 bytes")]
    Length,
    /// It is a relative path.
    #[error("a local repository is given by its absolute path")]
    RelativePath,
    /// Its scheme is not one of those git may use here.
    #[error("{0:?} is not a repository: use https, ssh, git or file URLs, a path, or owner/name")]
    Scheme(String),
}

const SCHEMES: [&str; 5] = ["https", "http", "ssh", "git", "file"];

impl RepoRef {
    /// Longest text, in bytes.
    pub const BYTES_MAX: usize = 2_048;

    /// Returns what git is given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether it lies in the file system of the node.
    pub fn is_local(&self) -> bool {
        self.0.starts_with('/') || self.0.starts_with("file://")
    }

    /// Returns scheme and host, as git names them, and `owner/name`, where that is all there is in
    /// its address: so it is on a forge.
    pub fn on_forge(&self) -> Option<(&str, &str, RepoPath)> {
        let (scheme, rest) = self.0.split_once("://")?;
        let (host, path) = rest.split_once('/')?;
        let is_web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
        Some((scheme, host, RepoPath::in_address(path)?)).filter(|_| is_web)
    }

    /// Returns a short name for people: the last part of the path, without `.git`.
    pub fn short_name(&self) -> &str {
        let path = self.0.trim_end_matches('/');
        let path = path.strip_suffix("/.git").unwrap_or(path);
        let last = path.rsplit(['/', ':']).next().unwrap_or_default();
        last.strip_suffix(".git").unwrap_or(last)
    }
}

impl fmt::Display for RepoRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RepoRef {
    type Err = ParseRepoError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > Self::BYTES_MAX {
            return Err(ParseRepoError::Length);
        }
        if text.chars().any(char::is_control) || text.trim() != text {
            return Err(ParseRepoError::Characters);
        }
        if text.starts_with('/') {
            return Ok(Self(text.to_owned()));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            if !SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()) || rest.is_empty() {
                return Err(ParseRepoError::Scheme(scheme.to_owned()));
            }
            let authority = rest.split('/').next().unwrap_or_default();
            let user = authority.rsplit_once('@').map(|(user, _)| user);
            let is_ssh = scheme.eq_ignore_ascii_case("ssh");
            return match user {
                Some(user) if !is_ssh || user.contains(':') => Err(ParseRepoError::Credentials),
                _ => Ok(Self(text.to_owned())),
            };
        }
        if text.starts_with('-') || text.contains("::") {
            return Err(ParseRepoError::Scheme(text.to_owned()));
        }
        if text.starts_with('.') || text.starts_with('~') {
            return Err(ParseRepoError::RelativePath);
        }
        if let Some((host, path)) = text.split_once(':') {
            // scp-like: user@host:path, with nothing that looks like a path before the colon.
            let legal = !host.contains('/') && !path.is_empty() && !path.starts_with('-');
            return if legal {
                Ok(Self(text.to_owned()))
            } else {
                Err(ParseRepoError::Scheme(text.to_owned()))
            };
        }
        let part = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        match text.split('/').collect::<Vec<_>>().as_slice() {
            [owner, name] if part(owner) && part(name) => {
                let name = name.strip_suffix(".git").unwrap_or(name);
                Ok(Self(format!("https://github.com/{owner}/{name}.git")))
            }
            _ => Err(ParseRepoError::RelativePath),
        }
    }
}

impl TryFrom<String> for RepoRef {
    type Error = ParseRepoError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RepoRef> for String {
    fn from(repo: RepoRef) -> Self {
        repo.0
    }
}

/// Which repository of a forge a workspace has: the forge's own names, which stay when it is renamed
/// or moved. Known once git in the workspace was given a credential, and the same from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ForgeRepository {
    /// Whose allowance it was reached by; another one when it was moved.
    #[serde(with = "grant_text")]
    pub grant: GrantId,
    /// The forge's number of it.
    pub number: u64,
    /// Whether its workspace may only clone and fetch, because its owner may no more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

impl ForgeRepository {
    /// Names one.
    pub const fn new(grant: GrantId, number: u64) -> Self {
        Self { grant, number, read_only: false }
    }

    /// Sets whether its workspace may only clone and fetch.
    #[must_use]
    pub const fn with_read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }
}

mod grant_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::forge::GrantId;

    pub(super) fn serialize<S: Serializer>(grant: &GrantId, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(grant.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<GrantId, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// What to check out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Checkout {
    /// What the repository itself points to.
    #[default]
    Default,
    /// A branch, a tag or a commit, by its name.
    Ref(RefName),
}

/// The name of a branch, a tag or a commit; at most 255 bytes, and nothing git reads as an option
/// or a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RefName(String);

/// The text is no legal name of a branch, tag or commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a branch, tag or commit")]
#[non_exhaustive]
pub struct ParseRefError(String);

impl RefName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RefName {
    type Err = ParseRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let forbidden = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
        let legal = !text.is_empty()
            && text.len() <= 255
            && !text.starts_with(['-', '/', '.'])
            && !text.ends_with(['/', '.'])
            && text.strip_suffix(".lock").is_none()
            && !text.contains("..")
            && !text.contains("@{")
            && !text.contains("//")
            && text != "@"
            && !text.chars().any(forbidden);
        if legal { Ok(Self(text.to_owned())) } else { Err(ParseRefError(text.to_owned())) }
    }
}

impl TryFrom<String> for RefName {
    type Error = ParseRefError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RefName> for String {
    fn from(name: RefName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_told_apart_from_options_and_commands() {
        for (text, expected, name) in [
            ("/srv/repo/", "/srv/repo/", "repo"),
            ("/srv/repo/.git", "/srv/repo/.git", "repo"),
            ("https://example.org/a/b.git", "https://example.org/a/b.git", "b"),
            ("ssh://git@example.org/a/b", "ssh://git@example.org/a/b", "b"),
            ("git@example.org:a/b.git", "git@example.org:a/b.git", "b"),
            ("octo/hello", "https://github.com/octo/hello.git", "hello"),
            ("file:///srv/x.git", "file:///srv/x.git", "x"),
        ] {
            let repo: RepoRef = text.parse().unwrap();
            assert_eq!(repo.as_str(), expected);
            assert_eq!(repo.short_name(), name);
        }
        for (text, error) in [
            ("", ParseRepoError::Length),
            ("https://u:p@example.org/a", ParseRepoError::Credentials),
            ("https://token@example.org/a", ParseRepoError::Credentials),
            ("ssh://git:p@example.org/a", ParseRepoError::Credentials),
            ("ext::sh -c id", ParseRepoError::Scheme("ext::sh -c id".into())),
            ("--upload-pack=id", ParseRepoError::Scheme("--upload-pack=id".into())),
            ("ftp://example.org/a", ParseRepoError::Scheme("ftp".into())),
            ("./here", ParseRepoError::RelativePath),
            ("a/b/c", ParseRepoError::RelativePath),
            ("a\nb", ParseRepoError::Characters),
        ] {
            assert_eq!(text.parse::<RepoRef>(), Err(error), "{text}");
        }
    }

    #[test]
    fn what_is_on_a_forge_is_told_by_its_address() {
        for (text, expected) in [
            ("octo/hello", Some(("https", "github.com", "octo/hello"))),
            ("http://127.0.0.1:8/Octo/x.y.git/", Some(("http", "127.0.0.1:8", "Octo/x.y"))),
            ("https://example.org/group/sub/name.git", None),
            ("https://example.org/a", None),
            ("ssh://git@example.org/a/b", None),
            ("/srv/a/b", None),
        ] {
            let repo: RepoRef = text.parse().unwrap();
            let found = repo.on_forge();
            let found = found.as_ref().map(|(scheme, host, path)| (*scheme, *host, path.as_str()));
            assert_eq!(found, expected, "{text}");
        }
        let known = ForgeRepository::new("7".parse().unwrap(), 1_000);
        let text = serde_json::to_string(&known).unwrap();
        assert_eq!(text, r#"{"grant":"7","number":1000}"#);
        assert_eq!(serde_json::from_str::<ForgeRepository>(&text).unwrap(), known);
        serde_json::from_str::<ForgeRepository>(r#"{"grant":"a b","number":1}"#).unwrap_err();
    }

    #[test]
    fn ref_names_follow_git() {
        for good in ["main", "feature/x", "v1.2.3", "0123abcd", "a@b"] {
            assert!(good.parse::<RefName>().is_ok(), "{good}");
        }
        for bad in ["", "-f", "a..b", "a b", "a~1", "HEAD^", "x.lock", "@", "a@{1}", "/a", "a//b"] {
            assert!(bad.parse::<RefName>().is_err(), "{bad}");
        }
    }
}
