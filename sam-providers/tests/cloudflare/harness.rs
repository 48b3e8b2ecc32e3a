//! A zone of its own for every case, and what runs futures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
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
use sam_core::time::{ManualClock, Timestamp};
use sam_providers::api::Outside;
use sam_providers::cloudflare::{Cloudflare, CloudflareConfig, ZoneChoice};
use sam_providers::http::{Http, HttpConfig};
use sam_providers::testkit::{CloudflareModel, Fake, Served};

use crate::contract::complaints;
use crate::names::{self, NamesAsMachines};

pub(crate) const TOKEN: &str = "canary-token-0123456789";
pub(crate) const ZONE_ID: &str = "023e105f4ecef8ad9ca31a8372d0c353";
const DEADLINE: Duration = Duration::from_mins(1);
/// 2026-11-21.
const NOW: Timestamp = Timestamp::from_micros(1_795_219_200_000_000);

/// What is odd about the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Oddity {
    None,
    OldShapes,
    SmallPages,
    Socket,
}

/// An empty zone.
#[derive(Debug)]
pub(crate) struct Zone {
    pub(crate) fake: Fake<CloudflareModel>,
    pub(crate) dns: Arc<Cloudflare>,
    pub(crate) clock: ManualClock,
    socket: Option<(Served, tokio::runtime::Runtime)>,
}

pub(crate) fn config() -> CloudflareConfig {
    let zone = ZoneChoice::Holding(name("sam.example.com"));
    CloudflareConfig::new(Secret::new(TOKEN.to_owned()), zone)
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

pub(crate) fn key(at: &str, record_type: RecordType) -> RecordKey {
    RecordKey::new(name(at), record_type)
}

impl Zone {
    pub(crate) fn new(oddity: Oddity) -> Self {
        Self::with(oddity, config())
    }

    pub(crate) fn of(config: CloudflareConfig) -> Self {
        Self::with(Oddity::None, config)
    }

    fn with(oddity: Oddity, config: CloudflareConfig) -> Self {
        let mut model = CloudflareModel::new(TOKEN)
            .with_zone(ZONE_ID, "example.com")
            .with_zone("11111111111111111111111111111111", "example.org");
        if oddity == Oddity::OldShapes {
            (model.shows_bare_texts, model.shows_floats) = (true, true);
        }
        if oddity == Oddity::SmallPages {
            model.records_per_page_max = 3;
        }
        let clock = ManualClock::new(NOW);
        let fake = Fake::new(model, Arc::new(clock.clone()));
        let (outside, config, socket) = if oddity == Oddity::Socket {
            let runtime = runtime();
            let served = runtime.block_on(fake.serve()).expect("a free port");
            let http = Arc::new(Http::new(&HttpConfig::default()).expect("a client"));
            let base_url = served.url("/client/v4").parse().expect("a URL");
            let outside = Outside::new(http, Arc::new(clock.clone()));
            (outside, config.with_base_url(base_url), Some((served, runtime)))
        } else {
            (Outside::new(Arc::new(fake.clone()), Arc::new(clock.clone())), config, None)
        };
        let dns = Arc::new(Cloudflare::new(config, outside));
        Self { fake, dns, clock, socket }
    }

    /// Runs something to its end, and moves the clock when nothing else moves.
    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut work = std::pin::pin!(work);
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
                return done;
            }
            if !woken.0.swap(false, Ordering::SeqCst) {
                let next = self.clock.next_deadline_in().expect("it waits for something but time");
                self.clock.advance(next);
            }
        }
    }

    /// Polls something so many times, and drops it; `None` when it was not done by then.
    pub(crate) fn break_off<T>(work: impl Future<Output = T>, polls: usize) -> Option<T> {
        let mut work = std::pin::pin!(work);
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
                return Some(done);
            }
        }
        None
    }

    /// Plants a record that was there before.
    pub(crate) fn plant(&self, record: &serde_json::Value) {
        self.fake.with(|model| model.plant(record));
    }

    /// Lists what is in the zone, as the account's owner would see it.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = self.fake.left();
        left.sort();
        left
    }

    pub(crate) fn listed(&self, under: &str) -> Vec<RecordSet> {
        let query = ListRecords::new(name(under));
        let page = self.run(self.dns.list_records(&query)).expect("a page");
        assert_eq!(page.next, None);
        page.items
    }

    /// After a case: nothing is left, and nothing was said that Cloudflare does not describe.
    fn settle(&self, outcome: Outcome) -> Outcome {
        outcome?;
        let left = self.left();
        if !left.is_empty() {
            return Err(Failure::new(format!("left behind: {left:?}")));
        }
        let complaints = complaints(&self.fake.exchanges());
        if complaints.is_empty() { Ok(()) } else { Err(Failure::new(complaints.join("\n"))) }
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[async_trait]
impl DnsHarness for Zone {
    fn dns(&self) -> &dyn DnsProvider {
        &self.dns
    }

    fn under(&self) -> RecordName {
        name("sam.example.com")
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
        let outcome = match &self.socket {
            None => self.run(case),
            Some((_, runtime)) => {
                #[expect(clippy::disallowed_methods, reason = "the deadline of a test")]
                let within = async { tokio::time::timeout(DEADLINE, case).await };
                runtime.block_on(within).unwrap_or_else(|_| Err(Failure::new("it takes too long")))
            }
        };
        self.settle(outcome)
    }
}

/// Owned names in a zone.
#[derive(Debug)]
pub(crate) struct OwnNames {
    zone: Zone,
    names: NamesAsMachines,
}

impl OwnNames {
    pub(crate) fn new() -> Self {
        let zone = Zone::new(Oddity::None);
        let names = NamesAsMachines::new(Arc::clone(&zone.dns) as _, name("sam.example.com"));
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
        let outcome = self.zone.run(case);
        self.zone.settle(outcome)
    }
}
