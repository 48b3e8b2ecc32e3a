//! Backups of a server that runs, brought back to life: in its place, and beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::deadline::{LIMIT, eventually, within};
use crate::home::{Home, assert_failed, said};
use crate::processes::Role;
use crate::server::{Server, beside, command, start};

crate::home::trials! {
    fn all,
    a_replacement_takes_up_what_it_had_and_asks_about_the_rest,
    a_copy_beside_the_original_touches_nothing_of_it,
}

/// The tests, or one that says why there are none.
pub(crate) fn trials() -> Vec<libtest_mimic::Trial> {
    crate::server::with_programs("backups", all)
}

/// A server, and the command line with its token.
struct Served {
    server: Server,
    token: PathBuf,
}

impl Served {
    /// Starts a server on a data directory; the token is asked for once and kept beside it.
    async fn start(home: &Home, data: &Path, more: &[&str]) -> Self {
        let mut command = command(home);
        command.arg("--data-dir").arg(data).args(more);
        let server = start(home, command).await;
        let token = data.with_extension("token");
        if let Some(text) = &server.token {
            fs::write(&token, text).unwrap();
        }
        Self { server, token }
    }

    async fn run(&self, home: &Home, arguments: &[&str]) -> Output {
        let token = self.token.to_str().unwrap();
        let server = ["--server", &self.server.url, "--token-file", token];
        home.run(&[&server, arguments].concat()).await
    }

    /// Runs `sam` against it, which must succeed.
    async fn done(&self, home: &Home, arguments: &[&str]) -> String {
        let output = self.run(home, arguments).await;
        assert!(output.status.success(), "sam {arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn listed(&self, home: &Home, arguments: &[&str]) -> Vec<Value> {
        let text = self.done(home, &[arguments, &["--json"]].concat()).await;
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Runs a command in a workspace, which may have to find its way back first.
    async fn says(&self, home: &Home, workspace: &str, command: &str) -> String {
        eventually("the workspace answers", async || {
            let output = self.run(home, &["exec", workspace, "--", "sh", "-c", command]).await;
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        })
        .await
    }

    async fn kill(mut self) -> PathBuf {
        self.server.child.kill().await.unwrap();
        self.token
    }
}

/// Runs a task of `sam-server` to its end.
async fn task(home: &Home, data: &Path, arguments: &[&str]) -> Output {
    let mut command = home.command(beside("sam-server"));
    command.args(arguments).arg("--data-dir").arg(data);
    within("the task", LIMIT, command.output()).await.unwrap()
}

async fn carried_out(home: &Home, data: &Path, arguments: &[&str]) -> String {
    let output = task(home, data, arguments).await;
    assert!(output.status.success(), "sam-server {arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

async fn a_replacement_takes_up_what_it_had_and_asks_about_the_rest(home: &Home) {
    let (repo, data) = (home.repo().await, home.data());
    let repo = format!("file://{}", repo.display());
    let before = Served::start(home, &data, &[]).await;
    before.done(home, &["up", &repo, "--no-attach", "--name", "kept"]).await;
    before.says(home, "kept", "echo mine > note").await;
    let told = carried_out(home, &data, &["backup", "saved"]).await;
    assert!(told.contains("keys.json"), "{told}");
    // A second of the same name replaces nothing.
    assert_failed(&task(home, &data, &["backup", "saved"]).await, 5, &["exists"]);
    before.done(home, &["up", &repo, "--no-attach", "--name", "since"]).await;
    let nodes = home.node_directories().len();
    let token = before.kill().await;
    // As long as there is a store, none is restored over it.
    let restore = ["restore", "saved", "--replace"];
    assert_failed(&task(home, &data, &restore).await, 5, &["sam.db", "move"]);
    for name in ["sam.db", "sam.db-wal", "sam.db-shm"] {
        fs::rename(data.join(name), home.path().join(name)).unwrap();
    }
    // Without the keys it would not be the same installation.
    fs::rename(data.join("keys.json"), home.path().join("keys.json")).unwrap();
    assert_failed(&task(home, &data, &restore).await, 5, &["keys", "--copy"]);
    fs::rename(home.path().join("keys.json"), data.join("keys.json")).unwrap();
    let told = carried_out(home, &data, &restore).await;
    assert!(told.contains("sam hold lift"), "{told}");

    let after = Served::start(home, &data, &[]).await;
    assert_eq!(after.token, token);
    assert_eq!(after.says(home, "kept", "cat note").await, "mine\n");
    assert!(after.done(home, &["hold"]).await.contains("a backup was restored"));
    after.done(home, &["sweep", "run"]).await;
    let recovered = after.listed(home, &["node", "ls"]).await;
    let recovered: Vec<&str> = recovered
        .iter()
        .filter(|node| node["state"] == "recovered")
        .map(|node| node["id"].as_str().unwrap())
        .collect();
    let [since] = recovered[..] else { panic!("{recovered:?}") };
    after.done(home, &["hold", "lift", "--reason", "looked at it"]).await;
    after.done(home, &["sweep", "run"]).await;
    // Whole until a person says otherwise, with everything that runs on it.
    assert_eq!(home.node_directories().len(), nodes);
    assert_eq!(home.those(Role::Holder).len(), nodes);
    after.done(home, &["node", "rm", since]).await;
    assert_eq!(home.node_directories().len(), 1);
    after.done(home, &["delete", "kept"]).await;
    assert_eq!(home.node_directories(), Vec::<String>::new());
    after.kill().await;
}

async fn a_copy_beside_the_original_touches_nothing_of_it(home: &Home) {
    let (repo, data) = (home.repo().await, home.data());
    let repo = format!("file://{}", repo.display());
    let staging = home.path().join("staging");
    let original = Served::start(home, &data, &[]).await;
    original.done(home, &["up", &repo, "--no-attach", "--name", "one"]).await;
    let shell = original.says(home, "one", "nohup sleep 600 >/dev/null 2>&1 & echo $!").await;
    carried_out(home, &data, &["backup", "saved"]).await;
    // With the keys of the original it would be the original.
    let keys = data.join("keys.json");
    let same = ["restore", "saved", "--copy", "--keys-file", keys.to_str().unwrap()];
    assert_failed(&task(home, &staging, &same).await, 5, &["original"]);
    carried_out(home, &staging, &["restore", "saved", "--copy"]).await;

    // The worst that can be: the same place for nodes, as the same account at a provider would be.
    let nodes = data.join("nodes");
    let copy = Served::start(home, &staging, &["--nodes-dir", nodes.to_str().unwrap()]).await;
    assert_eq!(copy.listed(home, &["ls"]).await, Vec::<Value>::new());
    for _ in 0..3 {
        copy.done(home, &["sweep", "run"]).await;
    }
    assert_eq!(copy.listed(home, &["node", "ls"]).await, Vec::<Value>::new());
    assert_eq!(copy.listed(home, &["orphan", "ls"]).await, Vec::<Value>::new());
    // Its names are free, and what it makes is its own.
    copy.done(home, &["up", &repo, "--no-attach", "--name", "one"]).await;
    assert_eq!(home.node_directories().len(), 2);
    copy.done(home, &["delete", "one"]).await;
    assert_eq!(home.node_directories().len(), 1);
    copy.kill().await;

    let alive = format!("kill -0 {} && echo alive", shell.trim());
    assert_eq!(original.says(home, "one", &alive).await, "alive\n");
    original.done(home, &["sweep", "run"]).await;
    assert_eq!(original.says(home, "one", &alive).await, "alive\n");
    original.done(home, &["delete", "one"]).await;
    assert_eq!(home.node_directories(), Vec::<String>::new());
    original.kill().await;
}
