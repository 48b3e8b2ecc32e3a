//! A workspace that nobody uses is warned, then stopped, and can be started again; work and people
//! keep it.

use futures_util::StreamExt as _;
use sam_api::client::{EventsFrom, TerminalMessage, TerminalSocket};
use sam_api::wire::{OpenTerminal, TerminalEvent};
use sam_api::{Event, Workspace, WorkspaceState};

use crate::deadline::{LIMIT, eventually, within};
use crate::home::{Home, trials};

trials! {
    an_idle_workspace_is_warned_and_stopped_and_work_and_people_keep_it,
}

/// Longer than the idle span and the warning together.
const LONGER: &str = "sleep 12; echo it is over";

async fn workspace(home: &Home) -> Workspace {
    home.client().workspace("a").await.unwrap()
}

async fn terminal(home: &Home, script: &str) -> TerminalSocket {
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    let request = OpenTerminal { command, ..OpenTerminal::default() };
    let id = home.client().open_terminal("a", &request).await.unwrap().id;
    home.client().attach("a", id, 0).await.unwrap()
}

/// Reads until one of these comes: a notice, or output that holds a text.
async fn notice_or(socket: &mut TerminalSocket, text: &str) -> Option<String> {
    let mut seen = Vec::new();
    let reading = async {
        loop {
            let message = socket.receiver.next().await.unwrap().expect("the terminal goes on");
            match message {
                TerminalMessage::Event(TerminalEvent::Notice { text }) => return Some(text),
                TerminalMessage::Output { bytes, .. } => seen.extend_from_slice(&bytes),
                TerminalMessage::Event(_) => {}
            }
            if seen.windows(text.len()).any(|window| window == text.as_bytes()) {
                return None;
            }
        }
    };
    within("the terminal tells something", LIMIT, reading).await
}

async fn an_idle_workspace_is_warned_and_stopped_and_work_and_people_keep_it(home: &Home) {
    let repo = home.repo().await;
    let repo = repo.to_str().unwrap();
    let mut starting = home.sam(&["ls"]);
    starting.env("SAM_IDLE_WARNING", "6s");
    assert!(starting.output().await.unwrap().status.success());
    home.done(&["up", repo, "--no-attach", "--name", "a", "--idle-stop", "4s"]).await;
    let mut events = home.client().events(EventsFrom::default()).await.unwrap();

    // A command is work while it runs.
    assert_eq!(home.done(&["exec", "a", "--shell", LONGER]).await, "it is over\n");
    // So is what was declared; what a terminal prints is not.
    home.done(&["work", "a", "--name", "build", "--for", "10m"]).await;
    assert!(home.client().activity("a").await.unwrap().is_working());
    let mut socket = terminal(home, LONGER).await;
    assert_eq!(notice_or(&mut socket, "it is over").await, None);
    assert_eq!(workspace(home).await.state, WorkspaceState::Running);

    // Then people are warned, and who types takes the warning back.
    home.done(&["work", "a", "--name", "build", "--end"]).await;
    let mut socket = terminal(home, "while read -r word; do echo \"<$word>\"; done").await;
    let notice = notice_or(&mut socket, "never printed").await.unwrap();
    assert!(notice.contains("will be stopped in 6 seconds"), "{notice}");
    socket.sender.input(b"wait\r").await.unwrap();
    assert_eq!(notice_or(&mut socket, "<wait>").await, None);
    let again = notice_or(&mut socket, "never printed").await;
    assert!(again.is_some(), "quiet again, warned again");

    // Nobody types: it is stopped.
    let stopped = eventually("it is stopped", async || {
        let found = workspace(home).await;
        (found.state == WorkspaceState::Stopped).then_some(found)
    })
    .await;
    assert_eq!(stopped.stopped_by.as_deref(), Some("idle"));
    assert!(home.done(&["show", "a"]).await.contains("stopped by  idle"));
    let mut seen = Vec::new();
    let reading = async {
        while !seen.iter().any(|event| event == "workspace_stopped") {
            if let Event::Change(change) = events.next().await.unwrap().unwrap() {
                seen.push(change.event);
            }
        }
    };
    within("the feed tells it", LIMIT, reading).await;
    let place = |event: &str| seen.iter().rposition(|found| found == event);
    let (warned, told) = (place("idle_warned").unwrap(), place("idle_stopped").unwrap());
    assert!(warned < told, "{seen:?}");

    home.done(&["start", "a"]).await;
    assert_eq!(workspace(home).await.stopped_by, None);
    home.done(&["exec", "a", "--", "true"]).await;
    home.done(&["delete", "a"]).await;
}
