//! The control group of a node, where this user may make one. It finds processes that left
//! every other trace behind; without it the rest still holds.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tracing::debug;

/// Where version 2 is mounted: alone, or beside version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];

/// Most groups below a node's own that are looked at.
const GROUPS_MAX: usize = 1_024;

/// The control group of one node; it may not exist.
#[derive(Debug, Clone)]
pub(super) struct Cgroup(Option<PathBuf>);

impl Cgroup {
    /// Names the group of a node.
    pub(super) fn of(key: &str) -> Self {
        let mount = MOUNTS.iter().map(Path::new).find(|mount| is_version_2(mount));
        Self(mount.map(|mount| mount.join(format!("sam-{key}"))))
    }

    /// Makes the group and puts a process into it, where that is allowed.
    pub(super) fn admit(&self, pid: u32) {
        let Some(group) = &self.0 else { return };
        let made = match fs::create_dir(group) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => fs::write(group.join("cgroup.procs"), pid.to_string()),
        };
        if let Err(error) = made {
            debug!(group = %group.display(), %error, "the node has no control group");
        }
    }

    /// Returns the processes in the group and in groups below it.
    pub(super) fn members(&self) -> BTreeSet<i32> {
        let read = |group: &PathBuf| fs::read_to_string(group.join("cgroup.procs"));
        let texts = self.groups().into_iter().filter_map(|group| read(&group).ok());
        texts
            .flat_map(|text| text.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
            .collect()
    }

    /// Ends every process in the group at one stroke, so that none can fork away.
    pub(super) fn kill(&self) {
        let Some(group) = &self.0 else { return };
        // Absent before Linux 5.14; the processes are also ended one by one.
        if let Err(error) = fs::write(group.join("cgroup.kill"), "1")
            && error.kind() != io::ErrorKind::NotFound
        {
            debug!(group = %group.display(), %error, "the control group was not ended");
        }
    }

    /// Removes the group and those below it; returns whether nothing is left.
    pub(super) fn remove(&self) -> bool {
        for group in self.groups().into_iter().rev() {
            if let Err(error) = fs::remove_dir(&group)
                && error.kind() != io::ErrorKind::NotFound
            {
                debug!(group = %group.display(), %error, "the control group is not removed yet");
                return false;
            }
        }
        true
    }

    /// Lists the group and those below it, parents first.
    fn groups(&self) -> Vec<PathBuf> {
        let mut groups: Vec<PathBuf> =
            self.0.iter().filter(|group| group.is_dir()).cloned().collect();
        let mut next = 0;
        while let Some(group) = groups.get(next).filter(|_| groups.len() < GROUPS_MAX) {
            let below: Vec<PathBuf> = fs::read_dir(group)
                .into_iter()
                .flatten()
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|sort| sort.is_dir()))
                .map(|entry| entry.path())
                .collect();
            groups.extend(below);
            next += 1;
        }
        groups
    }
}

fn is_version_2(mount: &Path) -> bool {
    mount.join("cgroup.controllers").exists()
}
