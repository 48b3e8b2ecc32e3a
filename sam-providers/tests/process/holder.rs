//! A holder that keeps the contract of the real one and does nothing else: it locks, listens,
//! says who it is, and runs every line it is sent as a shell script.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use rustix::fs::FlockOperation;
use rustix::process::{getpid, set_child_subreaper, setsid};

/// Plays the holder until it is killed, or says why it cannot.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the fake holder failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: impl Iterator<Item = OsString>) -> io::Result<()> {
    let arguments: Vec<OsString> = arguments.collect();
    let [word, flag, dir] = &arguments[..] else {
        return Err(io::Error::other(format!("unexpected arguments {arguments:?}")));
    };
    if word != "holder" || flag != "--dir" {
        return Err(io::Error::other("expected holder --dir"));
    }
    let dir = PathBuf::from(dir);
    if dir.join("refuse").exists() {
        return Err(io::Error::other("told to refuse"));
    }
    let pid = getpid();
    setsid()?;
    set_child_subreaper(Some(pid))?;
    let mut lock = fs::File::create(dir.join("holder.lock"))?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    write!(lock, "{}", pid.as_raw_nonzero())?;
    let listener = UnixListener::bind(dir.join("holder.sock"))?;
    let stat = fs::read_to_string("/proc/self/stat")?;
    let start_time = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19));
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let json = format!(
        r#"{{"boot_id":"{}","pid":{},"start_time":{},"instance":"00"}}"#,
        boot_id.trim(),
        pid.as_raw_nonzero(),
        start_time.unwrap_or("0"),
    );
    fs::write(dir.join("holder.json.new"), json)?;
    fs::rename(dir.join("holder.json.new"), dir.join("holder.json"))?;
    for script in listener.incoming() {
        for line in BufReader::new(script?).lines() {
            drop(Command::new("/bin/sh").arg("-c").arg(line?).spawn()?);
        }
    }
    Ok(())
}
