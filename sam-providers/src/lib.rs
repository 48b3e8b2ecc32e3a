//! Implementations of `sam-core`'s effect traits. Each is a feature of its own, none is on by
//! default, and none knows another.

#[cfg(feature = "api")]
pub mod api;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod archive;
#[cfg(feature = "postgres")]
mod batch;
#[cfg(feature = "blob")]
pub mod blob;
#[cfg(feature = "cloudflare")]
pub mod cloudflare;
#[cfg(any(
    feature = "docker",
    feature = "postgres",
    feature = "rfc2136",
    feature = "system",
    feature = "testkit"
))]
mod deadline;
#[cfg(feature = "digitalocean")]
pub mod digitalocean;
#[cfg(feature = "docker")]
pub mod docker;
#[cfg(feature = "fly")]
pub mod fly;
#[cfg(feature = "hetzner")]
pub mod hetzner;
#[cfg(any(feature = "blob", feature = "keys"))]
mod hex;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "keys")]
pub mod keys;
#[cfg(feature = "kms")]
pub mod kms;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "process")]
pub mod process;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod retention;
#[cfg(feature = "rfc2136")]
pub mod rfc2136;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "system")]
pub mod system;
#[cfg(feature = "testkit")]
pub mod testkit;
#[cfg(any(feature = "cloudflare", feature = "rfc2136"))]
mod zone;

/// The guide's code, compiled.
#[cfg(all(doctest, feature = "cloudflare", feature = "rfc2136"))]
#[doc = include_str!("../../docs/guide/dns.md")]
struct GuideToNames;
