//! What the machine can do without us: bare SQLite transactions, and a bare pseudo-terminal.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Result;
use rusqlite::Connection;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::figures::rate;

/// Bytes of a record, here and in the direct commits.
pub(crate) const BODY_BYTES: usize = 900;
/// Records that are rewritten in turn.
pub(crate) const RECORDS: u64 = 1_000;

/// Bare transactions per second: each rewrites one record and appends one of the same size, under the
/// same settings as our store.
pub(crate) fn bare_transactions(path: &Path, span: Duration) -> Result<f64> {
    let connection = Connection::open(path)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.execute_batch(
        "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000; PRAGMA cache_size=-8192;
         CREATE TABLE record (number INTEGER PRIMARY KEY, version INTEGER, body TEXT) STRICT;
         CREATE TABLE change (rev INTEGER PRIMARY KEY, number INTEGER, body TEXT) STRICT;",
    )?;
    let body = "x".repeat(BODY_BYTES);
    connection.execute_batch("BEGIN")?;
    for number in 0..RECORDS {
        connection.execute("INSERT INTO record VALUES (?1, 1, ?2)", (number, &body))?;
    }
    connection.execute_batch("COMMIT")?;
    let started = Instant::now();
    let mut rev = 0;
    while started.elapsed() < span {
        let run = |sql| connection.prepare_cached(sql)?.execute([]).map(drop);
        run("BEGIN IMMEDIATE")?;
        connection
            .prepare_cached("UPDATE record SET version = version + 1, body = ?2 WHERE number = ?1")?
            .execute((rev % RECORDS, &body))?;
        rev += 1;
        connection.prepare_cached("INSERT INTO change VALUES (?1, ?2, ?3)")?.execute((
            rev,
            rev % RECORDS,
            &body,
        ))?;
        run("COMMIT")?;
    }
    Ok(rate(rev, started.elapsed()))
}

/// A program in a terminal of our own, read and written as directly as can be.
#[derive(Debug)]
pub(crate) struct BareTerminal {
    master: OwnedFd,
    child: Child,
}

impl BareTerminal {
    /// Starts a shell's command line in a new terminal.
    pub(crate) fn start(line: &str) -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(&name, flags, Mode::empty())?;
        tcsetwinsize(&slave, Winsize { ws_col: 80, ws_row: 24, ws_xpixel: 0, ws_ypixel: 0 })?;
        let end = || slave.try_clone().map(Stdio::from);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]).stdin(end()?).stdout(end()?).stderr(end()?);
        let child = command.spawn()?;
        Ok(Self { master, child })
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> Result<()> {
        let written = rustix::io::write(&self.master, bytes)?;
        anyhow::ensure!(written == bytes.len(), "the terminal took {written} bytes");
        Ok(())
    }

    /// Reads once and returns how many bytes came; none when the program has ended.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            return match rustix::io::read(&self.master, &mut *buffer) {
                Ok(count) => Ok(count),
                Err(rustix::io::Errno::IO) => Ok(0),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => Err(error.into()),
            };
        }
    }

    /// Reads exactly what is expected.
    pub(crate) fn expect(&self, text: &[u8]) -> Result<()> {
        let mut seen = vec![0; text.len()];
        let mut count = 0;
        while count < text.len() {
            let Some(rest) = seen.get_mut(count..) else { break };
            match self.read(rest)? {
                0 => anyhow::bail!("the program ended"),
                more => count += more,
            }
        }
        anyhow::ensure!(seen == text, "{seen:?} instead of {text:?}");
        Ok(())
    }
}

impl Drop for BareTerminal {
    fn drop(&mut self) {
        // Fails where it has ended already.
        let _outcome = self.child.kill();
        let _status = self.child.wait();
    }
}
