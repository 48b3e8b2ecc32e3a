//! Connections: made with the bounds of a session, driven by a task each, and made again with
//! growing pauses after the server went away.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{Connect, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use sam_core::entropy::Entropy;
use sam_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls};

use super::config::Target;
use super::fault::Fault;
use crate::deadline;

/// First and longest pause between attempts to connect.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How long a read waits for a free connection, and for one to be made.
const POOL_DEADLINE: Duration = Duration::from_secs(5);
/// Most notifications that wait to be looked at; one is as good as many.
const NOTIFICATIONS_MAX: usize = 16;

/// A connection that ends with this value.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    task: JoinHandle<()>,
    /// Tells the process id of whoever notified. Closed when the connection is lost.
    pub(super) notified: mpsc::Receiver<i32>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    /// Connects, with these settings on top of the usual ones.
    pub(super) async fn open(target: &Target, settings: &str) -> Result<Self, Fault> {
        let (notify, notified) = mpsc::channel(NOTIFICATIONS_MAX);
        let (client, task) = target.connect(notify).await?;
        let session = Self { client, task, notified };
        if !settings.is_empty() {
            session.client.batch_execute(settings).await?;
        }
        Ok(session)
    }
}

/// What was promised must be on the disk, whatever the server's default is.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'";

impl Target {
    async fn connect(
        &self,
        notify: mpsc::Sender<i32>,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        let (client, task) = match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                (client, tokio::spawn(drive(connection, notify)))
            }
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                (client, tokio::spawn(drive(connection, notify)))
            }
        };
        if let Err(error) = client.batch_execute(DURABLE).await {
            task.abort();
            return Err(error);
        }
        Ok((client, task))
    }

    /// Makes a pool of connections for reads and leases; connects when they are needed.
    pub(super) fn pool(self: &Arc<Self>, size: usize) -> Result<Pool> {
        let recycling_method = RecyclingMethod::Fast;
        let config = self.config.clone();
        let connect = Pooled(Arc::clone(self));
        let manager = Manager::from_connect(config, connect, ManagerConfig { recycling_method });
        Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(POOL_DEADLINE))
            .create_timeout(Some(POOL_DEADLINE))
            .recycle_timeout(Some(POOL_DEADLINE))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Bug, "the pool of connections cannot be made")
                    .with_operation("open_store")
                    .with_source(error)
            })
    }
}

struct Pooled(Arc<Target>);

type Connecting<'a> = Pin<
    Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'a>,
>;

impl Connect for Pooled {
    fn connect(&self, _config: &Config) -> Connecting<'_> {
        // Nothing listens on these connections.
        let (nowhere, _) = mpsc::channel(1);
        Box::pin(self.0.connect(nowhere))
    }
}

/// Moves bytes until the connection ends; the calls that wait on it learn why.
async fn drive<S, T>(mut connection: Connection<S, T>, notify: mpsc::Sender<i32>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notification(news)) => {
                // A full queue has been told already.
                notify.try_send(news.process_id()).ok();
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "a connection to the database has ended");
                return;
            }
        }
    }
}

/// Pauses between attempts: growing, bounded, and different in every replica.
#[derive(Debug)]
pub(super) struct Backoff {
    entropy: Arc<dyn Entropy>,
    pause: Duration,
}

impl Backoff {
    pub(super) fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, pause: PAUSE_MIN }
    }

    /// After a success, the next failure begins with the shortest pause.
    pub(super) fn reset(&mut self) {
        self.pause = PAUSE_MIN;
    }

    /// Returns the next pause, between half of what is due and all of it.
    pub(super) fn next(&mut self) -> Duration {
        let mut bytes = [0; 4];
        self.entropy.fill(&mut bytes);
        let half = self.pause / 2;
        let share = half.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX));
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        half + share
    }

    /// Waits for the next pause.
    pub(super) async fn wait(&mut self) {
        deadline::sleep_until(Instant::now() + self.next()).await;
    }
}

#[cfg(test)]
mod tests {
    use sam_core::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_begin_again() {
        let mut backoff = Backoff::new(Arc::new(SeededEntropy::new(3)));
        let pauses: Vec<Duration> = (0..20).map(|_| backoff.next()).collect();
        assert!(pauses[0] >= PAUSE_MIN / 2 && pauses[0] <= PAUSE_MIN, "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= PAUSE_MAX), "{pauses:?}");
        assert!(pauses[19] >= PAUSE_MAX / 2, "{pauses:?}");
        backoff.reset();
        assert!(backoff.next() <= PAUSE_MIN);
    }
}
