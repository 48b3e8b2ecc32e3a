//! The addresses of the control plane, tried in turn: those of the boot data, and those of the
//! replicas that one of them told of, which are kept in `control.json` for the next start.
//!
//! An address that worked is kept to; when it fails, the next one is tried at once, and only a round
//! in which all failed ends with a pause.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use sam_core::replica::ControlUrls;
use sam_core::{Report, Result};

use super::control::Control;
use super::files;

/// Longest address that is believed, in bytes.
const URL_BYTES_MAX: usize = 1_024;
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// `control.json`.
#[derive(Serialize, Deserialize)]
struct Stored {
    control_urls: Vec<String>,
}

/// The addresses, and which of them is tried now.
#[derive(Debug)]
pub(super) struct Controls {
    boot: Vec<String>,
    learned: Vec<String>,
    /// Those that can be used, at least one.
    list: Vec<(String, Control)>,
    now: usize,
    /// Addresses that failed since the last one worked.
    failed: usize,
    path: PathBuf,
}

impl Controls {
    /// Reads the addresses: `boot` holds those of the boot data, with commas between them.
    ///
    /// # Errors
    /// As [`Control::new`] when none of those of the boot data can be used.
    pub(super) async fn open(directory: &Path, boot: &str) -> Result<Self> {
        let boot = ControlUrls::new(boot.split(',').map(str::trim)).list();
        let path = directory.join("control.json");
        // What is learned can be learned again: a file that cannot be read is no reason to stay away.
        let stored = files::read(&path, FILE_BYTES_MAX).await.ok().flatten();
        let stored = stored.and_then(|bytes| serde_json::from_slice::<Stored>(&bytes).ok());
        let learned = stored.map(|stored| stored.control_urls).unwrap_or_default();
        let mut controls =
            Self { boot, learned: Vec::new(), list: Vec::new(), now: 0, failed: 0, path };
        controls.fill(learned)?;
        Ok(controls)
    }

    /// Returns the one to try.
    pub(super) fn now(&self) -> &Control {
        let (_, control) = &self.list[self.now];
        control
    }

    /// Goes on to the next address; returns whether all have failed by now.
    pub(super) fn turn(&mut self) -> bool {
        self.now = (self.now + 1) % self.list.len();
        self.failed = (self.failed + 1) % self.list.len();
        self.failed == 0
    }

    /// A link came up at the present address: the next failure begins a new round.
    pub(super) const fn worked(&mut self) {
        self.failed = 0;
    }

    /// Takes in the addresses that the control plane told of.
    pub(super) async fn learn(&mut self, urls: Vec<String>) {
        let urls: Vec<String> = urls
            .into_iter()
            .filter(|url| url.len() <= URL_BYTES_MAX && !url.contains(','))
            .collect();
        if urls.is_empty() || urls == self.learned {
            return;
        }
        if let Err(error) = self.fill(urls) {
            tracing::warn!(error = %Report::new(&error), "the control plane's addresses are not used");
            return;
        }
        let stored = Stored { control_urls: self.learned.clone() };
        let bytes = serde_json::to_vec_pretty(&stored).unwrap_or_default();
        if let Err(error) = files::replace(&self.path, bytes).await {
            tracing::warn!(error = %Report::new(&error), "the control plane's addresses are not kept");
        }
    }

    /// Makes the list anew and stays at the present address.
    fn fill(&mut self, learned: Vec<String>) -> Result<()> {
        let present = self.list.get(self.now).map(|(url, _)| url.clone());
        let urls = ControlUrls::new(self.boot.iter().chain(&learned).cloned()).list();
        let mut list = Vec::new();
        let mut failure = None;
        for url in urls {
            match Control::new(&url) {
                Ok(control) => list.push((url, control)),
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            if list.is_empty() {
                return Err(error);
            }
            tracing::warn!(error = %Report::new(&error), "an address of the control plane is not used");
        }
        self.now = list.iter().position(|(url, _)| Some(url) == present.as_ref()).unwrap_or(0);
        (self.list, self.learned) = (list, learned);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_tried_in_turn_and_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Controls::open(directory.path(), "http://a, nonsense,http://b");
        let mut controls = open().await.unwrap();
        let at = |controls: &Controls| controls.list[controls.now].0.clone();
        assert_eq!(at(&controls), "http://a");
        assert!(!controls.turn());
        assert_eq!(at(&controls), "http://b");
        assert!(controls.turn());
        assert!(!controls.turn());
        // Learning keeps the present one.
        controls.worked();
        controls.learn(vec!["http://c".to_owned(), "x".repeat(2_000), "http://a".to_owned()]).await;
        assert_eq!((at(&controls).as_str(), controls.list.len()), ("http://b", 3));
        assert!(!controls.turn());
        assert_eq!(at(&controls), "http://c");
        assert_eq!(open().await.unwrap().list.len(), 3);
        std::fs::write(directory.path().join("control.json"), b"{").unwrap();
        assert_eq!(open().await.unwrap().list.len(), 2);
        Controls::open(directory.path(), "nonsense").await.unwrap_err();
    }
}
