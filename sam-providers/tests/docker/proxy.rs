//! Stands between the provider and the real engine and loses one exchange.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{UnixListener, UnixStream};

use super::fake::{Asked, parse};

/// What is lost of one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The engine carries it out, and nobody hears of it.
    Reply,
    /// The engine never hears of it.
    Request,
}

/// Passes exchanges on; it ends with the test's runtime.
pub(crate) struct Proxy {
    dir: tempfile::TempDir,
    /// Exchanges to go before one is lost; they are counted down to zero once.
    left: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Proxy {
    pub(crate) fn start(engine: String, loss: Loss) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let listener = UnixListener::bind(dir.path().join("engine.sock")).expect("a socket");
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (count, kept) = (Arc::clone(&left), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let is_lost = count.fetch_sub(1, Ordering::SeqCst) == 1;
                let loss = is_lost.then_some(loss);
                tokio::spawn(pass(stream, engine.clone(), loss, Arc::clone(&kept)));
            }
        });
        Self { dir, left, asked }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("engine.sock")
    }

    /// Loses the exchange after `count` others.
    pub(crate) fn lose_after(&self, count: usize) {
        self.left.store(count + 1, Ordering::SeqCst);
    }

    /// Loses nothing more; returns whether something was lost.
    pub(crate) fn lose_nothing(&self) -> bool {
        // Counting goes on below zero, from the top.
        matches!(self.left.swap(usize::MAX, Ordering::SeqCst), 0 | 0x8000_0000..)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panicked here").clone()
    }
}

async fn pass(
    client: UnixStream,
    engine: String,
    loss: Option<Loss>,
    kept: Arc<Mutex<Vec<Asked>>>,
) {
    if loss == Some(Loss::Request) {
        return;
    }
    let Ok(engine) = UnixStream::connect(engine).await else { return };
    let ((mut from_client, mut to_client), (mut from_engine, mut to_engine)) =
        (client.into_split(), engine.into_split());
    let there = tokio::spawn(async move {
        let mut bytes = Vec::new();
        let mut seen = 0;
        while let Ok(1..) = from_client.read_buf(&mut bytes).await {
            let _sent = to_engine.write_all(&bytes[seen..]).await;
            seen = bytes.len();
        }
        if let Some(asked) = parse(&bytes) {
            kept.lock().expect("no test panicked here").push(asked);
        }
    });
    if loss == Some(Loss::Reply) {
        // The first byte of the answer comes when the engine is done.
        let _first = from_engine.read_u8().await;
        there.abort();
        return;
    }
    let _passed = copy(&mut from_engine, &mut to_client).await;
    drop(to_client);
    there.await.expect("passing on does not panic");
}
