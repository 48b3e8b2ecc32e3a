//! Where a key lies in a store of objects.
//!
//! Object stores take a key as it is, below a prefix. A file system does not: `a` and `a/b` may both
//! be blobs, and a segment may be longer than a file name. There each segment is a directory, and a
//! blob is a file whose name ends in `@`, which no segment holds: `a` is `a@`, `a/b` is `a/b@`. A
//! segment of more than [`NAME_BYTES_MAX`] bytes is cut: its parts end in `=`, and where the last is
//! a directory, in `,`.

use object_store::path::Path;
use sam_core::blob::BlobKey;
use sam_core::{Error, ErrorKind, Result};

/// Longest part of a segment that becomes one name; with what the store appends, below 255.
const NAME_BYTES_MAX: usize = 200;

const BLOB: char = '@';
const CUT: char = '=';
const CUT_END: char = ',';

/// How keys become paths.
#[derive(Debug, Clone)]
pub(super) enum Layout {
    /// As they are, below a prefix.
    Objects { prefix: Option<BlobKey> },
    /// As files and directories.
    Files,
}

impl Layout {
    /// Returns whether the store lists paths in the order of the keys.
    pub(super) const fn is_ordered(&self) -> bool {
        matches!(self, Self::Objects { .. })
    }

    /// Returns where a blob lies.
    pub(super) fn blob(&self, key: &BlobKey) -> Result<Path> {
        match self {
            Self::Objects { .. } => self.below(Some(key)),
            Self::Files => {
                let mut path = String::new();
                if let Some((directories, _)) = key.as_str().rsplit_once('/') {
                    directories.split('/').for_each(|segment| directory(&mut path, segment));
                }
                let last = cut(&mut path, key.as_str().rsplit('/').next().unwrap_or_default());
                path.push_str(last);
                path.push(BLOB);
                parse(&path)
            }
        }
    }

    /// Returns what lies above all blobs below a key.
    pub(super) fn below(&self, key: Option<&BlobKey>) -> Result<Path> {
        let mut path = String::new();
        match self {
            Self::Objects { prefix } => {
                let parts = prefix.iter().chain(key).map(BlobKey::as_str);
                path = parts.collect::<Vec<_>>().join("/");
            }
            Self::Files => {
                let segments = key.into_iter().flat_map(|key| key.as_str().split('/'));
                segments.for_each(|segment| directory(&mut path, segment));
                path.truncate(path.trim_end_matches('/').len());
            }
        }
        parse(&path)
    }

    /// Returns whose path it is; `None` for what is no blob of ours.
    pub(super) fn key(&self, path: &Path) -> Option<BlobKey> {
        match self {
            Self::Objects { prefix: None } => path.as_ref().parse().ok(),
            Self::Objects { prefix: Some(prefix) } => {
                let rest = path.as_ref().strip_prefix(prefix.as_str())?;
                rest.strip_prefix('/')?.parse().ok()
            }
            Self::Files => {
                let path = path.as_ref().strip_suffix(BLOB)?;
                let mut key = String::with_capacity(path.len());
                let mut is_cut = false;
                for name in path.split('/') {
                    if !key.is_empty() && !is_cut {
                        key.push('/');
                    }
                    is_cut = name.ends_with(CUT);
                    key.push_str(name.strip_suffix([CUT, CUT_END]).unwrap_or(name));
                }
                // What people put there by hand may only look like ours.
                let key: BlobKey = key.parse().ok()?;
                (self.blob(&key).ok()?.as_ref().strip_suffix(BLOB)? == path).then_some(key)
            }
        }
    }
}

/// Appends the leading parts of a long segment, and returns its last.
fn cut<'a>(path: &mut String, segment: &'a str) -> &'a str {
    let mut rest = segment;
    while rest.len() > NAME_BYTES_MAX {
        // Keys are ASCII.
        let (part, after) = rest.split_at(NAME_BYTES_MAX);
        path.push_str(part);
        path.push(CUT);
        path.push('/');
        rest = after;
    }
    rest
}

fn directory(path: &mut String, segment: &str) {
    let last = cut(path, segment);
    path.push_str(last);
    if last.len() < segment.len() {
        path.push(CUT_END);
    }
    path.push('/');
}

fn parse(path: &str) -> Result<Path> {
    Path::parse(path).map_err(|error| {
        Error::new(ErrorKind::Bug, "a blob's key makes no path").with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn keys() -> Vec<BlobKey> {
        let long = "x".repeat(450);
        let dot = format!("{}./b", "x".repeat(NAME_BYTES_MAX));
        let edge = "y".repeat(NAME_BYTES_MAX);
        [
            "a",
            "a/b",
            "a/b/c",
            "A",
            "a-b",
            "a.b/c",
            "..a",
            "a..",
            "...",
            "-",
            "_",
            &long,
            &format!("{long}/a"),
            &format!("{long}x"),
            &dot,
            &edge,
            &format!("{edge}/{edge}"),
            &format!("{edge}y"),
            &"z".repeat(512),
        ]
        .into_iter()
        .map(|text| text.parse().unwrap())
        .collect()
    }

    #[test]
    fn every_key_has_a_place_of_its_own_and_is_found_again() {
        let prefix = Some("sam/blobs".parse().unwrap());
        for layout in [Layout::Files, Layout::Objects { prefix: None }, Layout::Objects { prefix }]
        {
            let mut paths = BTreeSet::new();
            for key in keys() {
                let path = layout.blob(&key).unwrap();
                assert_eq!(layout.key(&path), Some(key.clone()), "{path}");
                assert!(paths.insert(path.to_string()), "{path} twice");
                let above = layout.below(Some(&key)).unwrap();
                if let Layout::Files = layout {
                    assert!(!paths.contains(above.as_ref()), "{above} is a file and a directory");
                    let names = path.as_ref().split('/');
                    assert!(names.clone().all(|name| name.len() <= NAME_BYTES_MAX + 1));
                    assert!(names.clone().all(|name| name != "." && name != ".."), "{path}");
                }
                let child: BlobKey = match format!("{key}/c").parse() {
                    Ok(child) => child,
                    Err(_) => continue,
                };
                let child = layout.blob(&child).unwrap();
                assert!(child.as_ref().starts_with(&format!("{above}/")), "{child} under {above}");
            }
        }
    }

    #[test]
    fn what_others_put_there_is_no_blob() {
        for path in ["a", "a@b", "a@/b@", "a,/b@", "a=/b@", "a b@", "@", "a,@", "a@@"] {
            assert_eq!(Layout::Files.key(&Path::parse(path).unwrap()), None, "{path}");
        }
        let layout = Layout::Objects { prefix: Some("sam".parse().unwrap()) };
        for path in ["sam", "samuel/a", "other/a", "sam/a b"] {
            assert_eq!(layout.key(&Path::parse(path).unwrap()), None, "{path}");
        }
    }
}
