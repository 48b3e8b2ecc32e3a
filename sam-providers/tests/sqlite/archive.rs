//! Backup and restore through the portable archive.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sam_core::keys::SecretOwner;
use sam_core::secrets::{ListSecrets, SecretStore as _};
use sam_core::store::{Rev, Store as _, Unrevised};
use sam_core::time::ManualClock;
use sam_core::{ErrorKind, Restore};
use sam_providers::sqlite::{ArchiveSummary, SqliteStore};

use super::restored::{self, Opened, Stores};
use super::support::{Place, commit, open, options, put};

struct Files {
    place: Place,
}

impl Files {
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.place.directory.path().join(name)
    }
}

#[async_trait]
impl Stores for Files {
    async fn original(&self) -> Opened {
        Opened::new(self.place.open())
    }

    /// By another connection than that of the store, as another process would.
    async fn back_up(&self) {
        let (from, to) = (&self.place.path, self.path("backup"));
        SqliteStore::export_from(from, to, &self.place.clock, Some("home")).unwrap();
    }

    async fn restored(&self, rule: &Restore) -> Opened {
        let (path, clock) = (self.path("restored.db"), Arc::new(self.clock()));
        SqliteStore::import(self.path("backup"), &path, rule, clock, options()).unwrap();
        let store = open(&path, self.clock()).unwrap();
        store.integrity_check().await.unwrap();
        Opened::new(store)
    }

    fn advance(&self, span: Duration) {
        self.place.clock.advance(span);
    }

    fn clock(&self) -> ManualClock {
        self.place.clock.clone()
    }
}

pub(crate) async fn a_replacement_forgets_no_machine_bought_since() {
    restored::a_replacement_forgets_no_machine_bought_since(&Files { place: Place::new() }).await;
}

pub(crate) async fn a_replacement_keeps_its_secrets() {
    restored::a_replacement_keeps_its_secrets(&Files { place: Place::new() }).await;
}

pub(crate) async fn a_copy_has_no_secret_of_the_original() {
    restored::a_copy_has_no_secret_of_the_original(&Files { place: Place::new() }).await;
}

pub(crate) async fn a_copy_never_touches_the_machines_of_the_original() {
    restored::a_copy_never_touches_the_machines_of_the_original(&Files { place: Place::new() })
        .await;
}

pub(crate) async fn a_backup_is_of_one_moment_while_writing_goes_on() {
    let files = Files { place: Place::new() };
    let store = Arc::new(files.place.open());
    for number in 0..50_u128 {
        store.commit(commit(number).with_write(put(number, "{}"))).await.unwrap();
    }
    let writer = Arc::clone(&store);
    let writing = tokio::spawn(async move {
        for number in 50..400_u128 {
            writer.commit(commit(number).with_write(put(number, "{}"))).await.unwrap();
        }
    });
    let mut revisions = Vec::new();
    for round in 0..5 {
        let (path, to) = (files.place.path.clone(), files.path(&format!("backup-{round}")));
        let clock = files.clock();
        let exported = to.clone();
        let summary = tokio::task::spawn_blocking(move || {
            SqliteStore::export_from(path, exported, &clock, None).unwrap()
        });
        let summary = summary.await.unwrap();
        // Each change made one record, so a moment has as many of both.
        assert_eq!((summary.records, Rev(summary.changes)), (summary.rev.0, summary.rev));
        assert_eq!(ArchiveSummary::read(&to).unwrap(), summary);
        revisions.push(summary.rev);
        let (clock, back) = (Arc::new(files.clock()), files.path(&format!("back-{round}.db")));
        let restored = SqliteStore::import(&to, &back, &Unrevised, clock, options()).unwrap();
        assert_eq!(restored, summary);
        let restored = open(&back, files.clock()).unwrap();
        restored.integrity_check().await.unwrap();
        restored.close().await;
    }
    writing.await.unwrap();
    assert!(revisions.is_sorted(), "{revisions:?}");
    store.integrity_check().await.unwrap();
}

pub(crate) async fn a_backup_that_was_cut_or_changed_restores_no_secret() {
    let files = Files { place: Place::new() };
    let store = files.place.open();
    store.commit(commit(1).with_write(put(1, "{}"))).await.unwrap();
    let name: SecretOwner = "credential/1".parse().unwrap();
    let sealed = super::secrets::seal(&name).await;
    store.put_secret(&name, &sealed).await.unwrap();
    let summary = store.export(files.path("whole"), None).await.unwrap();
    assert_eq!((summary.records, summary.secrets), (1, 1));
    let whole = std::fs::read_to_string(files.path("whole")).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    assert!(lines[lines.len() - 2].starts_with("{\"secret\""), "{whole}");
    let all_but = |gone: usize| -> String {
        let kept = lines.iter().enumerate().filter(|(number, _)| *number != gone);
        kept.map(|(_, line)| *line).collect()
    };
    let (end, secret) = (lines.len() - 1, lines.len() - 2);
    let changed = whole.replace("credential/1", "credential/2");
    for (number, bad) in [all_but(end), all_but(secret), changed].iter().enumerate() {
        let (from, path) = (files.path("bad"), files.path(&format!("bad-{number}.db")));
        std::fs::write(&from, bad).unwrap();
        let import =
            || SqliteStore::import(&from, &path, &Unrevised, Arc::new(files.clock()), options());
        assert_eq!(import().unwrap_err().kind(), ErrorKind::Corrupt);
        let empty = open(&path, files.clock()).unwrap();
        assert_eq!(empty.list_secrets(&ListSecrets::new()).await.unwrap().items, []);
        empty.close().await;
        std::fs::write(&from, &whole).unwrap();
        assert_eq!(import().unwrap(), summary);
        let restored = open(&path, files.clock()).unwrap();
        assert_eq!(restored.secret(&name).await.unwrap().as_ref(), Some(&sealed));
        restored.close().await;
    }
}

pub(crate) async fn an_archive_from_before_secrets_is_restored() {
    let files = Files { place: Place::new() };
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/archive_1.jsonl");
    let (path, clock) = (&files.place.path, Arc::new(files.clock()));
    let summary = SqliteStore::import(archive, path, &Unrevised, clock, options()).unwrap();
    assert_eq!((summary.rev, summary.records, summary.secrets), (Rev(2), 1, 0));
    let store = files.place.open();
    let record = store.load(&super::support::key("a")).await.unwrap().unwrap();
    assert_eq!((record.version, &*record.body), (2, r#"{"n":2}"#));
    store.integrity_check().await.unwrap();
}

pub(crate) async fn nothing_is_restored_over_a_secret() {
    let files = Files { place: Place::new() };
    let store = files.place.open();
    files.back_up().await;
    let name: SecretOwner = "credential/1".parse().unwrap();
    store.put_secret(&name, &super::secrets::seal(&name).await).await.unwrap();
    store.close().await;
    let (path, clock) = (&files.place.path, Arc::new(files.clock()));
    let into = SqliteStore::import(files.path("backup"), path, &Unrevised, clock, options());
    assert_eq!(into.unwrap_err().kind(), ErrorKind::Conflict);
}

pub(crate) async fn what_is_not_a_store_is_not_backed_up() {
    let files = Files { place: Place::new() };
    let export = |path| SqliteStore::export_from(path, files.path("to"), &files.clock(), None);
    assert_eq!(export(files.path("absent")).unwrap_err().kind(), ErrorKind::NotFound);
    std::fs::write(files.path("diary"), "Dear diary, this is no database at all.").unwrap();
    assert_eq!(export(files.path("diary")).unwrap_err().kind(), ErrorKind::Conflict);
    std::fs::write(files.path("empty"), "").unwrap();
    assert_eq!(export(files.path("empty")).unwrap_err().kind(), ErrorKind::Conflict);
    assert!(!files.path("to").exists());
    // Nor is anything restored over a store that holds something.
    let store = files.place.open();
    store.commit(commit(1).with_write(put(1, "{}"))).await.unwrap();
    files.back_up().await;
    store.close().await;
    let clock = Arc::new(files.clock());
    let into =
        SqliteStore::import(files.path("backup"), &files.place.path, &Unrevised, clock, options());
    assert_eq!(into.unwrap_err().kind(), ErrorKind::Conflict);
    let again =
        SqliteStore::export_from(&files.place.path, files.path("backup"), &files.clock(), None);
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
}
