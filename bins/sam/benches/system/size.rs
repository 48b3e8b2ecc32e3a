//! How much memory idle processes take, how soon a server is ready, and how large the programs are.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::control::{Control, Programs, kib, processes, repository};
use crate::figures::{Pairs, Spread, float};
use crate::{PAIRS, deadline};

/// How long a process is left alone before it is looked at.
const IDLE: Duration = Duration::from_secs(1);

pub(crate) fn run(dir: &Path) -> Result<()> {
    let programs = Programs::beside_sam();
    for program in [&programs.sam, &programs.server, &programs.agent] {
        let Ok(found) = std::fs::metadata(program) else {
            println!(
                "  {} is absent: `cargo build --release --workspace` first",
                program.display()
            );
            return Ok(());
        };
        let name = program.file_name().unwrap_or_default().display().to_string();
        println!("  {name:<12} {:>20.2} MiB on disk", float(found.len()) / 1_048_576.0);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        starts(&programs, &dir.join("starts")).await?;
        idle(&programs, dir).await
    })
}

/// From the start of the process to its word that it listens, with a database that is there; beside
/// it, what starting the program costs when it only tells its version.
async fn starts(programs: &Programs, data_dir: &Path) -> Result<()> {
    Control::server(programs, data_dir).await?.end().await?;
    let mut pairs = Pairs::default();
    for _ in 0..PAIRS {
        let started = Instant::now();
        let status = Command::new(&programs.server).arg("--version").output()?.status;
        let bare = started.elapsed();
        anyhow::ensure!(status.success(), "--version: {status}");
        let server = Control::server(programs, data_dir).await?;
        pairs.push(server.ready_after.as_secs_f64() * 1e3, bare.as_secs_f64() * 1e3);
        server.end().await?;
    }
    println!("  start of sam-server to ready, ms {} (aim 50)", pairs.ours());
    println!("    of it the process itself, ms   {}", pairs.peer());
    Ok(())
}

async fn idle(programs: &Programs, dir: &Path) -> Result<()> {
    let data_dir = dir.join("idle");
    let mut server = Vec::new();
    for _ in 0..PAIRS {
        let control = Control::server(programs, &data_dir).await?;
        deadline::pause(IDLE).await;
        server.push(Memory::of(control.pid()?)?);
        control.end().await?;
    }
    show("sam-server", 20, &server);
    let repo = dir.join("repo");
    repository(&repo)?;
    let (mut agents, mut holders) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let control = Control::server(programs, &data_dir).await?;
        let measured = async {
            let workspace = control.workspace(&repo).await?;
            deadline::pause(IDLE).await;
            let looked = node(&data_dir);
            control.delete(&workspace).await?;
            looked
        };
        let measured = measured.await;
        control.end().await?;
        let (agent, holder) = measured?;
        agents.push(agent);
        holders.push(holder);
    }
    show("agent", 12, &agents);
    show("holder", 12, &holders);
    Ok(())
}

fn node(data_dir: &Path) -> Result<(Memory, Memory)> {
    let one = |part| {
        let pid = processes(part, data_dir)?.pop().with_context(|| format!("no {part} runs"))?;
        Memory::of(pid)
    };
    Ok((one("agent")?, one("holder")?))
}

/// Of one process, in KiB.
#[derive(Debug, Clone, Copy)]
struct Memory {
    resident: u64,
    /// What it has for itself, neither shared nor backed by a file.
    anonymous: u64,
}

impl Memory {
    fn of(pid: u32) -> Result<Self> {
        Ok(Self {
            resident: kib(pid, "status", "VmRSS")?,
            anonymous: kib(pid, "status", "RssAnon")?,
        })
    }
}

fn show(name: &str, aim_mib: u64, seen: &[Memory]) {
    let of = |part: fn(&Memory) -> u64| Spread::of(seen.iter().map(|m| float(part(m)) / 1_024.0));
    println!("  {name} idle, resident MiB {} (aim {aim_mib})", of(|memory| memory.resident));
    println!("    of it its own, MiB      {}", of(|memory| memory.anonymous));
}
