//! A place of its own in the zone for every case, and what runs futures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sam_core::Secret;
use sam_core::compute::{ComputeProvider, CreateMachine};
use sam_core::dns::{
    DnsProvider, ListRecords, RecordKey, RecordName, RecordSet, RecordType, RecordValue, Ttl,
};
use sam_core::testkit::conformance::compute::ComputeHarness;
use sam_core::testkit::conformance::dns::DnsHarness;
use sam_core::testkit::conformance::{BoxFuture, Failure, Harness, Outcome};
use sam_providers::rfc2136::{Rfc2136, Rfc2136Config, TsigAlgorithm, TsigKey};
use sam_providers::system::SystemClock;

use crate::named::{LONGER_SECRET, Named, SECRET};
use crate::names::{self, NamesAsMachines};

const DEADLINE: Duration = Duration::from_mins(2);

#[derive(Debug)]
pub(crate) struct Zone {
    pub(crate) dns: Arc<Rfc2136>,
    pub(crate) under: RecordName,
}

pub(crate) fn key(name: &str, algorithm: TsigAlgorithm, secret: &str) -> TsigKey {
    TsigKey::new(name, algorithm, &Secret::new(secret.to_owned())).expect("a key")
}

pub(crate) fn sam() -> TsigKey {
    key("sam", TsigAlgorithm::HmacSha256, SECRET)
}

pub(crate) fn open(named: &Named, zone: &str, key: TsigKey) -> Rfc2136 {
    let config = Rfc2136Config::new(named.address(), name(zone), key);
    Rfc2136::new(&config, Arc::new(SystemClock::new())).expect("a zone")
}

pub(crate) fn name(text: &str) -> RecordName {
    text.parse().expect("a name")
}

pub(crate) fn v4(last: u8) -> RecordValue {
    RecordValue::A([192, 0, 2, last].into())
}

pub(crate) fn set(at: &str, values: impl IntoIterator<Item = RecordValue>) -> RecordSet {
    RecordSet::new(name(at), values, Ttl::DEFAULT).expect("a set")
}

pub(crate) fn of(at: &str, record_type: RecordType) -> RecordKey {
    RecordKey::new(name(at), record_type)
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    #[expect(clippy::disallowed_methods, reason = "the deadline of a test")]
    let within = async { tokio::time::timeout(DEADLINE, work).await };
    runtime.block_on(within).expect("the test took longer than its deadline")
}

impl Zone {
    pub(crate) fn new(named: &Named) -> Self {
        Self::with(open(named, "example.com", sam()))
    }

    pub(crate) fn with_longer_key(named: &Named) -> Self {
        Self::with(open(
            named,
            "example.com",
            key("longer", TsigAlgorithm::HmacSha512, LONGER_SECRET),
        ))
    }

    fn with(dns: Rfc2136) -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        Self { dns: Arc::new(dns), under: name(&format!("c{serial}.example.com")) }
    }

    /// A name of the case's own.
    pub(crate) fn at(&self, labels: &str) -> String {
        format!("{labels}.{}", self.under)
    }

    pub(crate) async fn listed(&self) -> Vec<RecordSet> {
        let page = self.dns.list_records(&ListRecords::new(self.under.clone())).await.unwrap();
        assert_eq!(page.next, None);
        page.items
    }
}

#[async_trait]
impl DnsHarness for Zone {
    fn dns(&self) -> &dyn DnsProvider {
        &self.dns
    }

    fn under(&self) -> RecordName {
        self.under.clone()
    }

    fn outside(&self) -> RecordName {
        name("www.example.org")
    }

    fn sets_per_page(&self) -> Option<usize> {
        Some(ListRecords::LIMIT_MAX)
    }
}

impl Harness for Zone {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        block_on(async {
            case.await?;
            match &*self.listed().await {
                [] => Ok(()),
                left => Err(Failure::new(format!("left behind: {left:?}"))),
            }
        })
    }
}

/// Owned names in the zone.
#[derive(Debug)]
pub(crate) struct OwnNames {
    zone: Zone,
    names: NamesAsMachines,
}

impl OwnNames {
    pub(crate) fn new(server: &Named) -> Self {
        let zone = Zone::new(server);
        let names = NamesAsMachines::new(Arc::clone(&zone.dns) as _, zone.under.clone());
        Self { zone, names }
    }
}

#[async_trait]
impl ComputeHarness for OwnNames {
    fn compute(&self) -> &dyn ComputeProvider {
        &self.names
    }

    fn request(&self) -> CreateMachine {
        names::request()
    }

    fn machines_per_page(&self) -> Option<usize> {
        // A name and its mark are two sets of a page.
        Some(ListRecords::LIMIT_MAX / 2)
    }

    async fn pause(&self) {}
}

impl Harness for OwnNames {
    fn block_on(&self, case: BoxFuture<'_, Outcome>) -> Outcome {
        Harness::block_on(&self.zone, case)
    }
}
