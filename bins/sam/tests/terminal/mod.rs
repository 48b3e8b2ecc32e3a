//! A pseudo-terminal to run the program in.

use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// Both ends, and what was printed.
pub(crate) struct Terminal {
    master: OwnedFd,
    slave: OwnedFd,
    pieces: mpsc::UnboundedReceiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl Terminal {
    pub(crate) fn open(cols: u16, rows: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let slave = rustix::fs::open(&name, flags, rustix::fs::Mode::empty()).unwrap();
        let size = Winsize { ws_col: cols, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).unwrap();
        let (sender, pieces) = mpsc::unbounded_channel();
        let source = master.try_clone().unwrap();
        // Ends with the process; the terminal stays open as long as the test.
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(count @ 1..) = rustix::io::read(&source, &mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { master, slave, pieces, seen: Vec::new() }
    }

    /// Starts a program with the terminal as its three standard streams.
    pub(crate) fn spawn(&self, command: &mut Command) -> Child {
        let end = || Stdio::from(self.slave.try_clone().unwrap());
        command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap()
    }

    pub(crate) fn write(&self, bytes: &[u8]) {
        assert_eq!(rustix::io::write(&self.master, bytes).unwrap(), bytes.len());
    }

    /// Reads until a text was printed and returns all that was, from the beginning.
    pub(crate) async fn read_until(&mut self, text: &str) -> String {
        loop {
            let seen = String::from_utf8_lossy(&self.seen).into_owned();
            if seen.contains(text) {
                return seen;
            }
            self.seen.extend(self.pieces.recv().await.unwrap());
        }
    }

    /// Returns how the terminal is set.
    pub(crate) fn modes(&self) -> String {
        let modes = tcgetattr(&self.slave).unwrap();
        format!("{:?} {:?} {:?}", modes.input_modes, modes.output_modes, modes.local_modes)
    }
}
