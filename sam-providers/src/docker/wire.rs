//! What this provider writes: the mark on everything it makes, and the boot data as an archive.

use std::collections::HashMap;

use bollard::models::ContainerSummary;
use sam_core::compute::{BootData, Labels};
use sam_core::{NodeId, Secret};
use serde::{Deserialize, Serialize};

/// The label that makes a thing ours; it holds a [`Mark`].
pub(super) const MARK: &str = "io.sam.made";

/// Where the directories of nodes lie in a container; each node's own is a volume.
const NODES: &str = "/var/lib/sam/nodes";

/// What the agent reads on its first start.
const BOOT: &str = "boot.json";

/// Returns the directory of a node in its container; its name is the node's id.
pub(super) fn node_dir(key: &str) -> String {
    format!("{NODES}/{key}")
}

/// Whose a container, volume or network is. The labels are here once more, because the engine adds
/// those of the image to those of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    format: u32,
    /// The key of the machine; a network has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    pub(super) labels: Labels,
}

impl Mark {
    pub(super) const fn new(key: Option<String>, labels: Labels) -> Self {
        Self { format: 1, key, labels }
    }

    /// Reads it back; `None` when the thing is not ours.
    pub(super) fn read(labels: Option<&HashMap<String, String>>) -> Option<Self> {
        serde_json::from_str(labels?.get(MARK)?).ok()
    }

    /// Reads it back where it is the mark of a machine or its volume, under the name it must have: a
    /// container made by hand of an image that was made of a node carries the mark, too.
    pub(super) fn of_machine(
        name: &str,
        labels: Option<&HashMap<String, String>>,
    ) -> Option<(String, Labels)> {
        let mark = Self::read(labels)?;
        let key = mark.key.filter(|key| key == name)?;
        Some((key, mark.labels))
    }

    /// Returns the labels of the thing: those given, so that people can filter by them, and the mark.
    pub(super) fn labels(&self) -> HashMap<String, String> {
        let given = self.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut labels: HashMap<_, _> = given.collect();
        // Text of our own types; there is nothing in it that cannot be written.
        labels.insert(MARK.to_owned(), serde_json::to_string(self).unwrap_or_default());
        labels
    }
}

/// Returns filters for what carries our mark and the labels.
pub(super) fn marked(labels: &Labels) -> HashMap<String, Vec<String>> {
    let given = labels.iter().filter(|(name, _)| *name != MARK);
    let mut wanted: Vec<_> = given.map(|(name, value)| format!("{name}={value}")).collect();
    wanted.push(MARK.to_owned());
    HashMap::from([("label".to_owned(), wanted)])
}

/// Returns the name of a listed container.
pub(super) fn name(container: &ContainerSummary) -> Option<&str> {
    let name = container.names.as_ref()?.first()?;
    Some(name.strip_prefix('/').unwrap_or(name))
}

/// `boot.json`, which holds the single-use token.
#[derive(Serialize)]
struct BootFile<'a> {
    node_id: NodeId,
    control_url: &'a str,
    token: &'a str,
}

/// Returns an archive that holds `boot.json`, for the eyes of the container's root only.
pub(super) fn boot_archive(boot: &BootData) -> Secret<Vec<u8>> {
    let file = BootFile {
        node_id: boot.node_id,
        control_url: &boot.control_url,
        token: boot.token.expose().as_str(),
    };
    let json = Secret::new(serde_json::to_vec(&file).unwrap_or_default());
    Secret::new(archive(BOOT, json.expose()))
}

/// Bytes of a block of an archive.
const BLOCK: usize = 512;

/// Writes an archive of one file, mode 0600, owned by root (POSIX.1-1988, "ustar"). Its time is 0:
/// nobody reads it, and nothing here may read a clock.
fn archive(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; BLOCK];
    let mut put = |at: usize, text: &str| {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", bytes.len()));
    put(136, "00000000000\0");
    // The sum counts its own field as spaces.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let padded = bytes.len().next_multiple_of(BLOCK);
    let mut archive = Vec::with_capacity(BLOCK + padded + 2 * BLOCK);
    archive.extend_from_slice(&header);
    archive.extend_from_slice(bytes);
    // The rest of the last block, and the two empty ones that end an archive.
    archive.resize(BLOCK + padded + 2 * BLOCK, 0);
    archive
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn tar_reads_what_is_written() {
        let archive = archive("boot.json", b"{\"token\":\"x\"}");
        let tar = |flags: &str| {
            let mut child = Command::new("tar")
                .args([flags, "-f", "-", "--numeric-owner"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(&archive).unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        };
        let listed = tar("-tv");
        assert!(listed.starts_with("-rw------- 0/0"), "{listed}");
        assert!(listed.trim_end().ends_with("boot.json"), "{listed}");
        assert_eq!(tar("-xO"), "{\"token\":\"x\"}");
    }

    #[test]
    fn labels_come_back_without_those_of_the_image() {
        let labels = Labels::default().with("a.B_c-1", "x").unwrap().with(MARK, "spoofed").unwrap();
        let mark = Mark::new(Some("nd-1".to_owned()), labels.clone());
        let mut written = mark.labels();
        written.insert("maintainer".to_owned(), "image".to_owned());
        assert_eq!(written["a.B_c-1"], "x");
        let read = Mark::of_machine("nd-1", Some(&written));
        assert_eq!(read, Some(("nd-1".to_owned(), labels.clone())));
        assert_eq!(Mark::of_machine("copy", Some(&written)), None);
        assert_eq!(Mark::of_machine("nd-1", None), None);
        assert_eq!(marked(&labels)["label"], ["a.B_c-1=x", MARK]);
    }
}
