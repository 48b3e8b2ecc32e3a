//! What an adapter costs: requests a second of a list and of a creation through the whole layer stack,
//! beside bare reqwest that sends the same requests to the same server in the same run.
//!
//! The server answers at once what a model answered once. `cargo bench -p sam-providers` measures; only the
//! ratio is a result (the aim is 0.8). It prints, and never fails for a number.

#![expect(clippy::print_stdout, reason = "a measurement is printed")]
#![expect(clippy::expect_used, reason = "a measurement that cannot begin stops")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use sam_core::compute::{
    BootData, ComputeProvider, CreateMachine, Labels, ListMachines, MachineKey,
};
use sam_core::http::HttpTransport;
use sam_core::layer::{MemoryMeter, RetryPolicy, Stack};
use sam_core::time::{Clock, Timestamp};
use sam_core::{NodeId, Secret};
use sam_providers::api::{Outside, UserData};
use sam_providers::hetzner::{HetznerCompute, HetznerConfig};
use sam_providers::http::{Http, HttpConfig};
use sam_providers::system::{OsEntropy, SystemClock};
use sam_providers::testkit::hetzner::HetznerModel;
use sam_providers::testkit::{Exchange, Fake, Model};

/// Turns of ours and the peer's.
const TURNS: usize = 15;
/// Calls of one turn.
const CALLS: usize = 200;
/// Machines in a list.
const MACHINES: u64 = 25;

/// Answers what was answered before to the same method and path, each answer in its turn.
struct Replay(BTreeMap<String, VecDeque<Response<Bytes>>>);

impl Replay {
    fn of(exchanges: &[Exchange]) -> Self {
        let mut answers: BTreeMap<String, VecDeque<Response<Bytes>>> = BTreeMap::new();
        for exchange in exchanges {
            let answer = exchange.response.clone();
            answers.entry(place(&exchange.request)).or_default().push_back(answer);
        }
        Self(answers)
    }
}

fn place(request: &Request<Bytes>) -> String {
    format!("{} {}", request.method(), request.uri().path())
}

impl Model for Replay {
    fn answer(&mut self, request: &Request<Bytes>, _now: Timestamp) -> Response<Bytes> {
        let answers = self.0.get_mut(&place(request)).expect("it was asked before");
        answers.rotate_left(1);
        answers.back().cloned().expect("it was answered before")
    }

    fn left(&self) -> Vec<String> {
        Vec::new()
    }
}

fn adapter(http: Arc<dyn HttpTransport>, base_url: &str) -> Arc<dyn ComputeProvider> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let user_data = UserData::new(|boot| Ok(boot.token.clone()));
    let config = HetznerConfig::new(Secret::new("token".to_owned()), user_data)
        .with_base_url(base_url.parse().expect("an address"));
    let compute = HetznerCompute::new(config, Outside::new(http, Arc::clone(&clock)));
    Stack::new(clock)
        .with_limit(8)
        .with_meter(Arc::new(MemoryMeter::new()))
        .with_retry(RetryPolicy::default(), Arc::new(OsEntropy::new()))
        .compute(Arc::new(compute))
}

fn order(number: u128) -> CreateMachine {
    let node = NodeId::from_bits(number);
    let boot = BootData::new(node, "https://control.example".to_owned(), "t".to_owned().into());
    let labels = Labels::default().with(Labels::INSTALLATION, "bench").expect("a label");
    CreateMachine::new(MachineKey::of(node), boot).with_labels(labels)
}

/// What is measured: one call of the trait.
#[derive(Clone, Copy)]
enum Work {
    Create,
    List,
}

impl Work {
    async fn call(self, compute: &dyn ComputeProvider) {
        match self {
            Self::Create => {
                compute.create_machine(&order(1)).await.expect("it is created");
            }
            Self::List => {
                let page = compute.list_machines(&ListMachines::default()).await;
                assert!(page.expect("it is listed").items.len() > 10);
            }
        }
    }
}

#[tokio::main]
async fn main() {
    println!("{TURNS} turns of {CALLS} calls; requests a second, ours / bare [min..max]");
    for (name, work) in [("list", Work::List), ("create", Work::Create)] {
        let recorded = recorded(work).await;
        measure(name, work, recorded).await;
    }
}

/// Lets a model answer the call once, and returns what was exchanged.
async fn recorded(work: Work) -> Vec<Exchange> {
    let mut model = HetznerModel::new("token");
    // What takes time at the vendor takes none here.
    model.set_action_time(Duration::ZERO);
    let fake = Fake::new(model, Arc::new(SystemClock::new()));
    let compute = adapter(Arc::new(fake.clone()), HetznerConfig::BASE_URL);
    // The catalogue is read once an hour, and not by what is measured.
    let machines = if matches!(work, Work::List) { MACHINES } else { 1 };
    for number in 0..machines {
        compute.create_machine(&order(u128::from(number) + 1_000)).await.expect("it is created");
    }
    let before = fake.exchanges().len();
    work.call(&*compute).await;
    fake.exchanges().split_off(before)
}

async fn measure(name: &str, work: Work, recorded: Vec<Exchange>) {
    let requests = recorded.len() * CALLS;
    let mut catalogue = recorded.clone();
    catalogue.extend(warmth().await);
    let replay = Fake::new(Replay::of(&catalogue), Arc::new(SystemClock::new()));
    let served = replay.serve().await.expect("it listens");
    let http = Http::new(&HttpConfig::default()).expect("a transport");
    let compute = adapter(Arc::new(http), &served.url("/v1"));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let base = served.url("");
    // Reads the catalogue, once.
    compute.catalog().await.expect("it answers");
    let mut ratios = Vec::new();
    for _ in 0..TURNS {
        let started = Instant::now();
        for _ in 0..CALLS {
            work.call(&*compute).await;
        }
        let ours = started.elapsed();
        let started = Instant::now();
        for _ in 0..CALLS {
            for exchange in &recorded {
                send(&client, &base, &exchange.request).await;
            }
        }
        let peer = started.elapsed();
        ratios.push(peer.as_secs_f64() / ours.as_secs_f64());
        replay.forget_exchanges();
    }
    ratios.sort_by(f64::total_cmp);
    let at = |position: usize| ratios.get(position).copied().unwrap_or(f64::NAN);
    let (middle, least, most) = (at(TURNS / 2), at(0), at(TURNS - 1));
    println!("{name:<8}{middle:.3} [{least:.3}..{most:.3}]  ({requests} requests a turn)");
}

/// What the adapter asks before the first call that is measured.
async fn warmth() -> Vec<Exchange> {
    let fake = Fake::new(HetznerModel::new("token"), Arc::new(SystemClock::new()));
    let compute = adapter(Arc::new(fake.clone()), HetznerConfig::BASE_URL);
    compute.catalog().await.expect("it answers");
    fake.exchanges()
}

async fn send(client: &reqwest::Client, base: &str, request: &Request<Bytes>) {
    let target = request.uri().path_and_query().expect("a path").as_str();
    let mut sent = client.request(request.method().clone(), format!("{base}{target}"));
    for (name, value) in request.headers() {
        sent = sent.header(name, value);
    }
    let answer = sent.body(request.body().clone()).send().await.expect("it answers");
    drop(answer.bytes().await.expect("a body"));
}
