//! Terminals through the daemon's API: what one sees is what the program printed, byte for byte,
//! whoever of us is killed meanwhile.

use std::fmt::Write as _;

use futures_util::{SinkExt as _, StreamExt as _};
use sam_api::client::{TerminalMessage, TerminalReceiver, TerminalSocket};
use sam_api::wire::{
    ExitStatus, FRAME_PAYLOAD_BYTES_MAX, OpenTerminal, TerminalEvent, TerminalSize,
};
use sam_core::{ErrorKind, TerminalId};
use tokio::net::UnixStream;
use tokio_tungstenite::tungstenite::Message;

use crate::deadline::{LIMIT, eventually, within};
use crate::home::{Home, trials};
use crate::processes::Role;

trials! {
    two_viewers_see_the_same_and_a_third_goes_on_where_it_was,
    a_new_size_reaches_the_program_and_all_viewers,
    what_is_printed_survives_a_killed_agent_byte_for_byte,
    what_is_printed_survives_a_killed_daemon,
    malformed_frames_close_their_own_socket_only,
    terminals_that_are_not_there_are_refused,
}

/// Lines the counting program prints.
const LINES: usize = 1_500;

/// What one viewer has seen, from the first byte on.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) bytes: Vec<u8>,
    events: Vec<TerminalEvent>,
}

impl Seen {
    fn contains(&self, text: &str) -> bool {
        self.bytes.windows(text.len()).any(|window| window == text.as_bytes())
    }

    pub(crate) fn has_exited(&self) -> bool {
        self.events.iter().any(|event| matches!(event, TerminalEvent::Exit { .. }))
    }

    pub(crate) fn lines(&self) -> usize {
        self.bytes.split(|byte| *byte == b'\n').count() - 1
    }

    /// Reads until it is enough, or until the connection ends, and says which.
    pub(crate) async fn read(
        &mut self,
        from: &mut TerminalReceiver,
        enough: impl Fn(&Self) -> bool + Send + Sync,
    ) -> bool {
        let reading = async {
            while !enough(self) {
                match from.next().await {
                    Ok(Some(TerminalMessage::Output { offset, bytes })) => {
                        assert_eq!(offset, self.end(), "a byte was lost or came twice");
                        self.bytes.extend_from_slice(&bytes);
                    }
                    Ok(Some(TerminalMessage::Event(event))) => self.events.push(event),
                    Ok(None) | Err(_) => return false,
                }
            }
            true
        };
        within("the terminal prints", LIMIT, reading).await
    }

    pub(crate) fn end(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap()
    }
}

async fn open(home: &Home, script: &str) -> TerminalId {
    let request = OpenTerminal {
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        ..OpenTerminal::default()
    };
    home.client().open_terminal("a", &request).await.unwrap().id
}

/// Attaches as soon as the node can be reached.
async fn attach(home: &Home, terminal: TerminalId, offset: u64) -> TerminalSocket {
    eventually("one can attach", async || match home.client().attach("a", terminal, offset).await {
        Ok(socket) => Some(socket),
        Err(error) => {
            let passing = [ErrorKind::Unavailable, ErrorKind::Timeout, ErrorKind::Conflict];
            assert!(passing.contains(&error.kind()), "{error:?}");
            None
        }
    })
    .await
}

async fn with_workspace(home: &Home) {
    let repo = home.repo().await;
    home.up(&repo, "a").await;
}

async fn two_viewers_see_the_same_and_a_third_goes_on_where_it_was(home: &Home) {
    with_workspace(home).await;
    let id = open(home, "while read -r word; do echo \"<$word>\"; done").await;
    let (mut one, mut two) = (attach(home, id, 0).await, attach(home, id, 0).await);
    let (mut first, mut second) = (Seen::default(), Seen::default());
    one.sender.input(b"hello\r").await.unwrap();
    assert!(first.read(&mut one.receiver, |seen| seen.contains("<hello>\r\n")).await);
    two.sender.input(b"again\r").await.unwrap();
    assert!(first.read(&mut one.receiver, |seen| seen.contains("<again>\r\n")).await);
    assert!(second.read(&mut two.receiver, |seen| seen.contains("<again>\r\n")).await);
    assert_eq!(first.bytes, second.bytes);

    // In the middle of what was printed.
    let kept = second.bytes.len() / 2;
    two.sender.close().await;
    one.sender.input(b"more\r").await.unwrap();
    assert!(first.read(&mut one.receiver, |seen| seen.contains("<more>\r\n")).await);
    second.bytes.truncate(kept);
    let mut three = attach(home, id, second.end()).await;
    assert!(second.read(&mut three.receiver, |seen| seen.contains("<more>\r\n")).await);
    assert_eq!(first.bytes, second.bytes);
    home.done(&["delete", "a"]).await;
}

async fn a_new_size_reaches_the_program_and_all_viewers(home: &Home) {
    with_workspace(home).await;
    let id = open(home, "while read -r word; do stty size; done").await;
    let (mut one, mut two) = (attach(home, id, 0).await, attach(home, id, 0).await);
    let (mut first, mut second) = (Seen::default(), Seen::default());
    let size = TerminalSize { cols: 101, rows: 41 };
    one.sender.resize(size).await.unwrap();
    let resized = |seen: &Seen| seen.events.contains(&TerminalEvent::Resized(size));
    assert!(second.read(&mut two.receiver, resized).await);
    one.sender.input(b"\r").await.unwrap();
    assert!(first.read(&mut one.receiver, |seen| seen.contains("41 101\r\n")).await);
    home.done(&["delete", "a"]).await;
}

pub(crate) fn counting() -> (String, Vec<u8>) {
    let script = format!(
        "i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); \
         [ $((i%10)) = 0 ] && sleep 0.03; done; exit 5"
    );
    let mut expected = String::new();
    for number in 0..LINES {
        write!(expected, "line {number}\r\n").unwrap();
    }
    (script, expected.into_bytes())
}

async fn what_is_printed_survives_a_killed_agent_byte_for_byte(home: &Home) {
    with_workspace(home).await;
    let (script, expected) = counting();
    let id = open(home, &script).await;
    let mut seen = Seen::default();
    for lines in [100, 400, 800] {
        let mut socket = attach(home, id, seen.end()).await;
        assert!(seen.read(&mut socket.receiver, |seen| seen.lines() >= lines).await);
        let agent = home.one(Role::Agent).await;
        agent.kill();
        // The connection ends with the agent; until then it may go on telling.
        assert!(!seen.read(&mut socket.receiver, Seen::has_exited).await);
    }
    let mut socket = attach(home, id, seen.end()).await;
    assert!(seen.read(&mut socket.receiver, Seen::has_exited).await);
    assert!(seen.bytes == expected, "{}", String::from_utf8_lossy(&seen.bytes));
    assert!(seen.events.contains(&TerminalEvent::Exit { status: ExitStatus::Code(5) }));
    assert_eq!(home.those(Role::Holder).len(), 1);
    home.done(&["delete", "a"]).await;
}

async fn what_is_printed_survives_a_killed_daemon(home: &Home) {
    with_workspace(home).await;
    let (script, expected) = counting();
    let id = open(home, &script).await;
    let mut seen = Seen::default();
    let mut socket = attach(home, id, 0).await;
    assert!(seen.read(&mut socket.receiver, |seen| seen.lines() >= 100).await);
    home.kill_daemon().await;
    assert!(!seen.read(&mut socket.receiver, Seen::has_exited).await);
    // Any command starts the daemon again; the workspace never noticed.
    assert!(home.done(&["ls"]).await.contains("running"));
    let mut socket = attach(home, id, seen.end()).await;
    assert!(seen.read(&mut socket.receiver, Seen::has_exited).await);
    assert!(seen.bytes == expected, "{}", String::from_utf8_lossy(&seen.bytes));
    home.done(&["delete", "a"]).await;
}

async fn malformed_frames_close_their_own_socket_only(home: &Home) {
    with_workspace(home).await;
    let id = open(home, "while read -r word; do echo \"<$word>\"; done").await;
    let mut healthy = attach(home, id, 0).await;
    let oversized = |extra: usize| {
        let mut frame = vec![b'x'; FRAME_PAYLOAD_BYTES_MAX + extra];
        frame[0] = 1;
        Message::binary(frame)
    };
    let bad = [
        Message::binary(vec![9, 9, 9]),
        Message::binary(Vec::new()),
        Message::binary(vec![2, b'x']),
        oversized(2),
        oversized(1024 * 1024),
        Message::text("garbage"),
        Message::text("{\"type\":\"resize\",\"cols\":-1,\"rows\":1}"),
    ];
    for message in bad {
        let shown = format!("{:.60}", format!("{message:?}"));
        let stream = UnixStream::connect(home.data().join("daemon.sock")).await.unwrap();
        let url = format!("ws://localhost/api/workspaces/a/terminals/{id}/attach?offset=0");
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        // One that is much too long may be cut off while it is sent.
        let _cut_off = socket.send(message).await;
        let ended = async {
            while let Some(Ok(message)) = socket.next().await {
                if let Message::Close(frame) = message {
                    let code = frame.map(|frame| u16::from(frame.code));
                    assert!(code == Some(1002) || code == Some(1003), "{shown}: {code:?}");
                }
            }
        };
        within(&shown, LIMIT, ended).await;
    }
    let mut seen = Seen::default();
    healthy.sender.input(b"still here\r").await.unwrap();
    assert!(seen.read(&mut healthy.receiver, |seen| seen.contains("<still here>\r\n")).await);
    assert_eq!(home.client().terminals("a").await.unwrap().len(), 1);
    home.done(&["delete", "a"]).await;
}

async fn terminals_that_are_not_there_are_refused(home: &Home) {
    with_workspace(home).await;
    let id = open(home, "sleep 600").await;
    home.client().close_terminal("a", id).await.unwrap();
    let error = home.client().attach("a", id, 0).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    let running = home.those(Role::Other);
    assert!(running.is_empty(), "{running:?}");
    let id = open(home, "sleep 600").await;
    let error = home.client().attach("a", id, 1_000).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadInput, "{error:?}");
    home.done(&["delete", "a"]).await;
}
