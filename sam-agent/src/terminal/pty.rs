//! Pseudo terminals on the kernel's own calls, and the session of a new process.
//!
//! Every descriptor is close-on-exec from its first moment, so that no program started at the
//! same time inherits another's terminal. This file holds all `unsafe` of the crate.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::Signal;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use crate::wire::TerminalSize;

/// The end of a pseudo terminal that the holder keeps.
#[derive(Debug)]
pub(super) struct Pty {
    master: AsyncFd<OwnedFd>,
}

/// What reading a terminal found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    /// Bytes read.
    pub(super) bytes: usize,
    /// There will be no more: nobody holds the other end.
    pub(super) hangup: bool,
}

impl Pty {
    /// Opens a terminal of the given size, and its other end for the program.
    ///
    /// # Errors
    /// When the system has no terminal or no descriptor left.
    pub(super) fn open(size: TerminalSize) -> io::Result<(Self, OwnedFd)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags)?;
        rustix::pty::grantpt(&master)?;
        rustix::pty::unlockpt(&master)?;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
        rustix::io::ioctl_fionbio(&master, true)?;
        #[expect(unsafe_code, reason = "tokio has no safe way to watch a terminal")]
        // SAFETY: `OwnedFd` is open for as long as it lives and always returns the same
        // descriptor; the `AsyncFd` owns it and never gives it away.
        let master = unsafe { AsyncFd::register(master) }?;
        let pty = Self { master };
        pty.resize(size)?;
        Ok((pty, slave))
    }

    /// Sets the size; the program in the foreground gets `SIGWINCH`.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) fn resize(&self, size: TerminalSize) -> io::Result<()> {
        let size = Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(rustix::termios::tcsetwinsize(self.master.get_ref(), size)?)
    }

    /// Waits until [`Pty::take`] is worth calling.
    ///
    /// # Errors
    /// When the runtime ends.
    pub(super) async fn readable(&self) -> io::Result<AsyncFdReadyGuard<'_, OwnedFd>> {
        self.master.readable().await
    }

    /// Reads until the buffer is full or nothing is left now. A delay to gather more would only
    /// stop the program: measured, reading on until `EAGAIN` gathers enough.
    pub(super) fn take(
        &self,
        ready: &mut AsyncFdReadyGuard<'_, OwnedFd>,
        buffer: &mut [u8],
    ) -> Taken {
        let mut bytes = 0;
        while bytes < buffer.len() {
            match rustix::io::read(self.master.get_ref(), &mut buffer[bytes..]) {
                Ok(0) => return Taken { bytes, hangup: true },
                Ok(count) => bytes += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    ready.clear_ready();
                    break;
                }
                // `EIO`: every descriptor of the other end is closed and all bytes were read.
                Err(_) => return Taken { bytes, hangup: true },
            }
        }
        Taken { bytes, hangup: false }
    }

    /// Writes all bytes, waiting while the program does not read.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.master.writable().await?;
            match rustix::io::write(self.master.get_ref(), bytes) {
                Ok(count) => bytes = bytes.split_at(count).1,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Makes the command the leader of a session whose controlling terminal is `slave`.
///
/// # Errors
/// When no descriptor is left.
pub(super) fn control(command: &mut Command, slave: &OwnedFd) -> io::Result<()> {
    command
        .stdin(Stdio::from(slave.try_clone()?))
        .stdout(Stdio::from(slave.try_clone()?))
        .stderr(Stdio::from(slave.try_clone()?));
    let start = || {
        rustix::process::setsid()?;
        // Standard input is the terminal by now.
        Ok(rustix::process::ioctl_tiocsctty(rustix::stdio::stdin().as_fd())?)
    };
    #[expect(unsafe_code, reason = "the terminal must be set between fork and exec")]
    // SAFETY: the closure makes two system calls and neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(start);
    }
    Ok(())
}

/// Makes the command the leader of a session without a terminal.
pub(super) fn detach(command: &mut Command) {
    let start = || {
        rustix::process::setsid()?;
        Ok(())
    };
    #[expect(unsafe_code, reason = "the session must be left between fork and exec")]
    // SAFETY: the closure makes one system call and neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(start);
    }
}

/// Makes the command end at once when the thread that started it ends: an agent without its holder
/// would compete with the next one. It is built to be killed at any moment.
pub(super) fn end_with_parent(command: &mut Command) {
    let start = || Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?);
    #[expect(unsafe_code, reason = "the wish must be set between fork and exec")]
    // SAFETY: the closure makes one system call and neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(start);
    }
}
