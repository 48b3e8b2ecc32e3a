//! Where the database is and how to use it, checked before anything is connected.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use sam_core::entropy::Entropy;
use sam_core::{Error, ErrorKind, Result, Secret};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Longest name of a schema, in bytes; the channel of its notifications is `sam_` and the name.
const SCHEMA_BYTES_MAX: usize = 59;
/// How long one connection may take to be made.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// A silent peer is asked for a sign of life after this, then three times, a second apart.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
const KEEPALIVE_EACH: Duration = Duration::from_secs(1);
const KEEPALIVE_COUNT: u32 = 3;
/// Data that is not acknowledged for so long ends the connection.
const TCP_USER_DEADLINE: Duration = Duration::from_secs(8);
/// Bounds of each session, kept by the server: a replica that stalls with the head locked must not
/// stop the others for longer than these.
const SESSION: &str = "-c statement_timeout=5s -c lock_timeout=3s \
    -c idle_in_transaction_session_timeout=1s -c jit=off -c client_min_messages=warning";

/// How to open a [`PgStore`](super::PgStore).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PgOptions {
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) schema: String,
    pub(super) readers: usize,
    pub(super) migrate: bool,
    pub(super) restored: bool,
    roots: Option<Vec<u8>>,
}

impl PgOptions {
    /// Most connections for reads and leases.
    pub const READERS_MAX: usize = 16;

    /// Uses the schema `sam`, four connections for reads and leases beside the writer's and the
    /// listener's, and brings the schema up to date when opening. The entropy goes into the name of
    /// the feed's epoch, and spreads attempts to connect again.
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        let schema = "sam".to_owned();
        Self { entropy, schema, readers: 4, migrate: true, restored: false, roots: None }
    }

    /// Keeps everything in this schema of the database: lower-case letters, digits and underscores,
    /// at most 59, not beginning with a digit.
    #[must_use]
    pub fn with_schema(mut self, name: impl Into<String>) -> Self {
        self.schema = name.into();
        self
    }

    /// Returns the name of the schema.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Reads with so many connections, cut to 1 to [`PgOptions::READERS_MAX`].
    #[must_use]
    pub fn with_readers(mut self, readers: usize) -> Self {
        self.readers = readers.clamp(1, Self::READERS_MAX);
        self
    }

    /// Leaves the schema as it is. When it is not the one this program knows, the store opens all
    /// the same, claims nothing and refuses everything else as `Unavailable`, until the schema has
    /// been brought up to date by [`PgStore::migrate`](super::PgStore::migrate), here or elsewhere.
    #[must_use]
    pub fn without_migrating(mut self) -> Self {
        self.migrate = false;
        self
    }

    /// Begins another epoch, because the database was restored from a backup: revisions that were
    /// given out after the backup are given out again, and old cursors must not be mistaken for new
    /// ones. Ends all leases. Needed for a copy made file by file; one made by other means is
    /// recognised.
    #[must_use]
    pub fn as_restored(mut self) -> Self {
        self.restored = true;
        self
    }

    /// Trusts servers with a certificate of these authorities (PEM), instead of the system's.
    #[must_use]
    pub fn with_root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots = Some(pem.into());
        self
    }
}

/// The database to connect to.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) config: Config,
    pub(super) tls: Option<MakeRustlsConnect>,
    pub(super) schema: String,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration hides the password itself; the rest is of no use here either.
        f.debug_struct("Target").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Target {
    /// Reads a connection text, as a URL or as `key=value` pairs.
    pub(super) fn new(url: &Secret<String>, options: &PgOptions) -> Result<Self> {
        let bad = |message: &str| {
            Error::new(ErrorKind::BadInput, message).with_operation("open_store").with_hint(
                "write it as postgresql://user:password@host:5432/database?sslmode=require",
            )
        };
        if !is_schema_name(&options.schema) {
            return Err(bad("the schema's name is not made of lower-case letters, digits and _"));
        }
        // The parser's own error may quote the text, and with it the password.
        let mut config: Config =
            url.expose().parse().map_err(|_| bad("the address of the database cannot be read"))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(bad("the address of the database names no host"));
        }
        let theirs = config.get_options().map(|text| format!("{text} ")).unwrap_or_default();
        config.options(format!("{theirs}{SESSION} -c search_path={}", options.schema));
        if config.get_application_name().is_none() {
            config.application_name("sam");
        }
        config
            .connect_timeout(CONNECT_DEADLINE)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE_AFTER)
            .keepalives_interval(KEEPALIVE_EACH)
            .keepalives_retries(KEEPALIVE_COUNT)
            .tcp_user_timeout(TCP_USER_DEADLINE);
        let tls = tls(&mut config, options.roots.as_deref())?;
        Ok(Self { config, tls, schema: options.schema.clone() })
    }

    /// The channel that replicas of this schema tell their news on.
    pub(super) fn channel(&self) -> String {
        format!("sam_{}", self.schema)
    }
}

fn is_schema_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c == '_';
    !name.is_empty()
        && name.len() <= SCHEMA_BYTES_MAX
        && name.starts_with(letter)
        && name.chars().all(|c| letter(c) || c.is_ascii_digit())
        && !name.starts_with("pg_")
}

/// Decides about encryption. Without a word in the address it is required of every server that is
/// not on this machine: a password and every record would cross the network in the clear.
fn tls(config: &mut Config, roots: Option<&[u8]>) -> Result<Option<MakeRustlsConnect>> {
    let local = |host: &Host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        Host::Unix(_) => true,
    };
    let here = config.get_hosts().iter().all(local)
        && config.get_hostaddrs().iter().all(IpAddr::is_loopback);
    match config.get_ssl_mode() {
        SslMode::Disable => return Ok(None),
        SslMode::Prefer if here => {
            config.ssl_mode(SslMode::Disable);
            return Ok(None);
        }
        _ => {}
    }
    config.ssl_mode(SslMode::Require);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| tls_error("the TLS library offers no usable version").with_source(error))?
        .with_root_certificates(root_certificates(roots)?)
        .with_no_client_auth();
    Ok(Some(MakeRustlsConnect::new(client)))
}

fn root_certificates(pem: Option<&[u8]>) -> Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    match pem {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| {
                    tls_error("a root certificate is not PEM").with_source(error)
                })?;
                store.add(certificate).map_err(|error| {
                    tls_error("a root certificate cannot be used").with_source(error)
                })?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if store.is_empty() {
        return Err(tls_error("no root certificate is known, so no server can be trusted"));
    }
    Ok(store)
}

fn tls_error(message: &str) -> Error {
    Error::new(ErrorKind::BadInput, message)
        .with_operation("open_store")
        .with_hint("install the system's CA certificates, or name the authority of the database")
}

#[cfg(test)]
mod tests {
    use sam_core::entropy::SeededEntropy;

    use super::*;

    fn target(url: &str) -> Result<Target> {
        let options = PgOptions::new(Arc::new(SeededEntropy::new(1)));
        Target::new(&Secret::new(url.to_owned()), &options)
    }

    #[test]
    fn a_server_elsewhere_must_be_encrypted_unless_the_address_says_otherwise() {
        let mode = |url: &str| {
            let target = target(url).unwrap();
            (target.config.get_ssl_mode(), target.tls.is_some())
        };
        let (none, required) = ((SslMode::Disable, false), (SslMode::Require, true));
        assert_eq!(mode("postgresql://u@127.0.0.1/d"), none);
        assert_eq!(mode("host=/var/run/postgresql user=u"), none);
        assert_eq!(mode("postgresql://u@db.example/d?sslmode=disable"), none);
        assert_eq!(mode("postgresql://u@127.0.0.1/d?sslmode=require"), required);
        assert_eq!(mode("postgresql://u@db.example/d"), required);
        assert_eq!(mode("postgresql://u@db.example,localhost/d"), required);
    }

    #[test]
    fn an_address_that_cannot_be_read_is_not_repeated() {
        for url in ["postgresql://u:canary@h:x/d", "nonsense canary", "user=canary", "postgres:"] {
            let error = target(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput, "{url}");
            assert!(!format!("{error:?} {error}").contains("canary"), "{error:?}");
        }
        let good = target("postgresql://u:canary@localhost/d").unwrap();
        assert!(!format!("{good:?} {:?}", good.config).contains("canary"));
    }

    #[test]
    fn names_of_schemas_are_checked() {
        for good in ["sam", "_a1", "a".repeat(59).as_str()] {
            assert!(is_schema_name(good), "{good}");
        }
        for bad in ["", "1a", "Sam", "a-b", "a b", "pg_x", "a;b", "a".repeat(60).as_str()] {
            assert!(!is_schema_name(bad), "{bad}");
        }
    }
}
