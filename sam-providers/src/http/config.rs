//! What a transport is told.

use std::time::Duration;

use sam_core::Secret;

/// Deadlines, the proxy and the trust of a transport.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpConfig {
    /// Until a connection stands, TLS included.
    pub connect_deadline: Duration,
    /// Between two pieces of an answer.
    pub read_deadline: Duration,
    /// From the call to the last byte of the answer.
    pub total_deadline: Duration,
    /// Connections kept open for each host while nothing is asked.
    pub idle_connections: usize,
    /// What every request says of who asks.
    pub user_agent: String,
    /// Where everything is sent through: `http://user:password@host:port`, also `https://`.
    pub proxy: Option<Secret<String>>,
    /// Roots to trust beside those of the system, PEM.
    pub root_certificates: Vec<Vec<u8>>,
}

impl Default for HttpConfig {
    /// 10 s to connect, 30 s between two pieces, 60 s for all of it: interfaces of clouds answer within
    /// seconds, and who waits longer holds up what is behind.
    fn default() -> Self {
        Self {
            connect_deadline: Duration::from_secs(10),
            read_deadline: Duration::from_secs(30),
            total_deadline: Duration::from_mins(1),
            idle_connections: 8,
            user_agent: concat!("sam/", env!("CARGO_PKG_VERSION")).to_owned(),
            proxy: None,
            root_certificates: Vec::new(),
        }
    }
}

impl HttpConfig {
    /// Sets how long connecting may take, a pause within an answer, and the whole call.
    #[must_use]
    pub fn with_deadlines(mut self, connect: Duration, read: Duration, total: Duration) -> Self {
        (self.connect_deadline, self.read_deadline, self.total_deadline) = (connect, read, total);
        self
    }

    /// Sends everything through a proxy.
    #[must_use]
    pub fn with_proxy(mut self, proxy: Secret<String>) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Trusts these roots, too.
    #[must_use]
    pub fn with_root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates.push(pem.into());
        self
    }

    /// Says who asks.
    #[must_use]
    pub fn with_user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }
}
