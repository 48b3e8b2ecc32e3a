//! A holder without processes. What a terminal or a command does depends on its name.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use sam_core::testkit::conformance::Outcome;
use sam_core::testkit::conformance::node_link::Processes;
use sam_core::{Error, ErrorKind, Result, TerminalId, WorkspaceId};

use crate::node::holder::{ExecSink, ExecSource, Holder, TerminalSink, TerminalSource};
use crate::terminal::{ExecOutput, TerminalOutput};
use crate::wire::{
    Activity, DeclareWork, ExecEvent, ExecRequest, ExitStatus, IdleEnd, OpenTerminal,
    TerminalEvent, TerminalInfo, TerminalSize, Work, WorkName, WorkSort,
};

/// Gives back what it is given.
pub(in crate::node) const ECHO: TerminalId = TerminalId::from_bits(1);
/// Prints for ever.
pub(in crate::node) const FLOOD: TerminalId = TerminalId::from_bits(2);
/// Prints a line and ends.
pub(in crate::node) const SHORT: TerminalId = TerminalId::from_bits(3);

#[derive(Debug, Default)]
pub(in crate::node) struct FakeHolder {
    /// How many processes a workspace has; none of them is real.
    processes: Mutex<BTreeMap<WorkspaceId, usize>>,
    /// Declared work with its span, and the last warning.
    last: Mutex<(BTreeMap<WorkName, u64>, Option<String>)>,
}

#[async_trait]
impl Processes for FakeHolder {
    async fn start(&self, workspace: WorkspaceId) -> Outcome {
        *self.processes.lock().unwrap().entry(workspace).or_default() += 1;
        Ok(())
    }

    async fn count(&self, workspace: WorkspaceId) -> usize {
        self.processes.lock().unwrap().get(&workspace).copied().unwrap_or_default()
    }
}

fn info(workspace_id: WorkspaceId, size: TerminalSize) -> TerminalInfo {
    TerminalInfo { id: ECHO, workspace_id, size, end_offset: 0, floor_offset: 0, exit: None }
}

#[async_trait]
impl Holder for FakeHolder {
    async fn instance(&self) -> Result<String> {
        Ok("first".to_owned())
    }

    async fn open_terminal(
        &self,
        workspace: WorkspaceId,
        directory: &Path,
        request: &OpenTerminal,
    ) -> Result<TerminalInfo> {
        assert!(directory.is_dir());
        Ok(info(workspace, request.size))
    }

    async fn terminals(&self, workspace: WorkspaceId) -> Result<Vec<TerminalInfo>> {
        Ok(vec![info(workspace, TerminalSize::default())])
    }

    async fn close_terminal(&self, _: WorkspaceId, terminal: TerminalId) -> Result<()> {
        if terminal == ECHO { Ok(()) } else { Err(absent()) }
    }

    async fn attach(
        &self,
        _: WorkspaceId,
        terminal: TerminalId,
        offset: Option<u64>,
    ) -> Result<(Box<dyn TerminalSource>, Box<dyn TerminalSink>)> {
        let offset = offset.unwrap_or(0);
        let (teller, told) = mpsc::channel(8);
        let source: Box<dyn TerminalSource> = match terminal {
            ECHO => Box::new(Echo { offset, told }),
            FLOOD => Box::new(Flood { offset }),
            SHORT => Box::new(Short { left: 2 }),
            _ => return Err(absent()),
        };
        Ok((source, Box::new(teller)))
    }

    async fn exec(
        &self,
        _: WorkspaceId,
        directory: &Path,
        request: &ExecRequest,
    ) -> Result<(Box<dyn ExecSource>, Box<dyn ExecSink>)> {
        assert!(directory.is_dir());
        match request.command.first().map(String::as_str) {
            Some("cat") => {
                let (teller, told) = mpsc::channel(8);
                Ok((Box::new(Cat { told, ended: false }), Box::new(teller)))
            }
            Some("true") => {
                let (teller, _) = mpsc::channel(1);
                Ok((Box::new(True { left: 2 }), Box::new(teller)))
            }
            _ => Err(Error::new(ErrorKind::NotFound, "there is no such program")),
        }
    }

    async fn stop_workspace(&self, workspace: WorkspaceId) -> Result<()> {
        self.processes.lock().unwrap().remove(&workspace);
        Ok(())
    }

    async fn activity(&self, _: WorkspaceId) -> Result<Activity> {
        let last = self.last.lock().unwrap();
        let work = last.0.iter().map(|(name, span)| {
            Work::new(name.clone(), WorkSort::Background, Duration::from_millis(*span))
        });
        let quiet = Activity::quiet(Duration::from_secs(90)).with_work(work.collect());
        Ok(quiet.with_warned_for(last.1.as_ref().map(|_| Duration::from_secs(7))))
    }

    async fn declare_work(
        &self,
        _: WorkspaceId,
        name: &WorkName,
        request: &DeclareWork,
    ) -> Result<()> {
        self.last.lock().unwrap().0.insert(name.clone(), request.for_ms);
        Ok(())
    }

    async fn end_work(&self, _: WorkspaceId, name: &WorkName) -> Result<()> {
        self.last.lock().unwrap().0.remove(name);
        Ok(())
    }

    async fn warn(&self, _: WorkspaceId, notice: &str) -> Result<()> {
        self.last.lock().unwrap().1 = Some(notice.to_owned());
        Ok(())
    }

    async fn stop_idle(&self, _: WorkspaceId) -> Result<IdleEnd> {
        let last = self.last.lock().unwrap();
        Ok(if last.1.is_some() && last.0.is_empty() { IdleEnd::Ended } else { IdleEnd::InUse })
    }
}

fn absent() -> Error {
    Error::new(ErrorKind::NotFound, "there is no such terminal")
}

enum Told {
    Bytes(Vec<u8>),
    End(ExitStatus),
    Size(TerminalSize),
}

struct Echo {
    offset: u64,
    told: mpsc::Receiver<Told>,
}

#[async_trait]
impl TerminalSource for Echo {
    async fn next(&mut self) -> Result<Option<TerminalOutput>> {
        Ok(match self.told.recv().await {
            Some(Told::Bytes(bytes)) => {
                let offset = self.offset;
                self.offset += bytes.len() as u64;
                Some(TerminalOutput::Bytes { offset, bytes: bytes.into() })
            }
            Some(Told::Size(size)) => Some(TerminalOutput::Event(TerminalEvent::Resized(size))),
            Some(Told::End(_)) | None => None,
        })
    }
}

struct Flood {
    offset: u64,
}

#[async_trait]
impl TerminalSource for Flood {
    async fn next(&mut self) -> Result<Option<TerminalOutput>> {
        let (offset, bytes) = (self.offset, Bytes::from(vec![b'y'; 100_000]));
        self.offset += 100_000;
        // Others get their turn, as they would while a real terminal prints.
        tokio::task::yield_now().await;
        Ok(Some(TerminalOutput::Bytes { offset, bytes }))
    }
}

struct Short {
    left: usize,
}

#[async_trait]
impl TerminalSource for Short {
    async fn next(&mut self) -> Result<Option<TerminalOutput>> {
        let step = self.left;
        self.left = step.saturating_sub(1);
        Ok(match step {
            2 => Some(TerminalOutput::Bytes { offset: 0, bytes: "bye\r\n".into() }),
            1 => Some(TerminalOutput::Event(TerminalEvent::Exit { status: ExitStatus::Code(3) })),
            _ => None,
        })
    }
}

fn gone<T>(_: T) -> Error {
    Error::new(ErrorKind::Unavailable, "the terminal is gone")
}

#[async_trait]
impl TerminalSink for mpsc::Sender<Told> {
    async fn input(&mut self, bytes: &[u8]) -> Result<()> {
        self.send(Told::Bytes(bytes.to_vec())).await.map_err(gone)
    }

    async fn resize(&mut self, size: TerminalSize) -> Result<()> {
        self.send(Told::Size(size)).await.map_err(gone)
    }
}

struct Cat {
    told: mpsc::Receiver<Told>,
    ended: bool,
}

#[async_trait]
impl ExecSource for Cat {
    async fn next(&mut self) -> Result<Option<ExecOutput>> {
        if self.ended {
            return Ok(None);
        }
        let told = self.told.recv().await;
        self.ended = !matches!(told, Some(Told::Bytes(_)));
        Ok(Some(match told {
            Some(Told::Bytes(bytes)) => ExecOutput::Stdout(bytes.into()),
            Some(Told::End(status)) => ExecOutput::Event(ExecEvent::Exit { status }),
            Some(Told::Size(_)) | None => return Ok(None),
        }))
    }
}

/// Takes no input, prints a word and ends well, none of it at once.
struct True {
    left: usize,
}

#[async_trait]
impl ExecSource for True {
    async fn next(&mut self) -> Result<Option<ExecOutput>> {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let step = self.left;
        self.left = step.saturating_sub(1);
        Ok(match step {
            2 => Some(ExecOutput::Stderr("word".into())),
            1 => Some(ExecOutput::Event(ExecEvent::Exit { status: ExitStatus::Code(0) })),
            _ => None,
        })
    }
}

#[async_trait]
impl ExecSink for mpsc::Sender<Told> {
    async fn stdin(&mut self, bytes: &[u8]) -> Result<()> {
        self.send(Told::Bytes(bytes.to_vec())).await.map_err(gone)
    }

    async fn eof(&mut self) -> Result<()> {
        self.send(Told::End(ExitStatus::Code(0))).await.map_err(gone)
    }

    async fn signal(&mut self, number: u8) -> Result<()> {
        self.send(Told::End(ExitStatus::Signal(number))).await.map_err(gone)
    }
}
