//! Tries the adapter on a real account: one small machine and one small volume, for a few minutes, deleted
//! at the end whatever happened. It costs an hour of the machine.
//!
//! ```sh
//! SAM_LIVE_HETZNER_TOKEN=… cargo run -p sam-providers --features hetzner,http,system --example live_hetzner
//! ```
//!
//! `SAM_HETZNER_BASE_URL` sends it elsewhere. It refuses to start where an account holds more of it than
//! one run can have left, or where the machine would cost more than [`PRICE_MICROS_MAX`] an hour.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use sam_core::compute::{
    BootData, ComputeProvider, CreateMachine, Deletion, Labels, ListOwned, MachineKey,
    OwnedResource, Power, Size,
};
use sam_core::layer::{RetryPolicy, Stack};
use sam_core::time::Clock;
use sam_core::volume::CreateVolume;
use sam_core::{Error, ErrorKind, NodeId, Report, Result, Secret};
use sam_providers::api::{Outside, UserData};
use sam_providers::hetzner::{HetznerCompute, HetznerConfig};
use sam_providers::http::{Http, HttpConfig};
use sam_providers::system::{OsEntropy, SystemClock};

/// What everything of these runs carries.
pub(crate) const INSTALLATION: &str = "sam-live-check";
/// The most that an hour of the machine may cost, in millionths of the account's currency.
const PRICE_MICROS_MAX: u64 = 20_000;
/// What one run can leave behind when it is killed: machine, two addresses, firewall; the volume is the
/// fifth.
const LEFT_MAX: usize = 4;
/// Most times that a deletion is asked again, ten seconds apart.
const DELETE_ASKS_MAX: usize = 60;
const PAUSE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => {
            say("it works, and nothing is left");
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(&format!("{}\nhint: {}", Report::new(&error), error.hint().unwrap_or("none")));
            ExitCode::from(error.kind().exit_code())
        }
    }
}

async fn run() -> Result<()> {
    let Some(token) = setting("SAM_LIVE_HETZNER_TOKEN") else {
        return Err(Error::new(ErrorKind::BadInput, "there is no token to try")
            .with_hint("set SAM_LIVE_HETZNER_TOKEN to a token of an empty project"));
    };
    let user_data = UserData::new(|_| Ok(Secret::new("#cloud-config\n".to_owned())));
    let mut config =
        HetznerConfig::new(Secret::new(token), user_data).with_locations(["fsn1", "nbg1", "hel1"]);
    if let Some(url) = setting("SAM_HETZNER_BASE_URL") {
        config = config.with_base_url(url.parse()?);
    }
    let clock = Arc::new(SystemClock::new());
    let http = Arc::new(Http::new(&HttpConfig::default())?);
    let outside = Outside::new(http, Arc::clone(&clock) as _);
    let stack = Stack::new(Arc::clone(&clock) as _)
        .with_retry(RetryPolicy::default(), Arc::new(OsEntropy::new()));
    let compute = stack.compute(Arc::new(HetznerCompute::new(config, outside)));
    check(&*compute, &*clock, &say).await
}

/// Told what goes on.
type Say<'a> = &'a (dyn Fn(&str) + Sync);

/// Tries a provider, and leaves nothing.
pub(crate) async fn check(
    compute: &dyn ComputeProvider,
    clock: &dyn Clock,
    say: Say<'_>,
) -> Result<()> {
    compute.verify_credentials().await?;
    let labels = Labels::default().with(Labels::INSTALLATION, INSTALLATION)?;
    let there = owned(compute, &labels).await?;
    if there.len() > LEFT_MAX {
        let message = format!("the account holds {} things of earlier runs", there.len());
        return Err(Error::new(ErrorKind::QuotaExceeded, message)
            .with_hint(format!("delete what has the label sam-installation={INSTALLATION}")));
    }
    let catalog = compute.catalog().await?;
    let small = catalog.sizes.iter().find(|offer| offer.size == Size::Small);
    let price = small.and_then(|offer| offer.price_micros_per_hour).unwrap_or(u64::MAX);
    if price > PRICE_MICROS_MAX {
        let message =
            format!("an hour would cost {price} millionths, more than {PRICE_MICROS_MAX}");
        return Err(Error::new(ErrorKind::QuotaExceeded, message));
    }
    let node = NodeId::new(clock.now(), &OsEntropy::new());
    let (key, volume) = (MachineKey::of(node), format!("{node}-v"));
    let tried = try_out(compute, node, &volume, &labels, say).await;
    // Whatever happened: both are tried, and the first error is told.
    let volume_gone = delete_volume(compute, &volume).await;
    let machine_gone = delete_machine(compute, &key, clock).await;
    tried.and(volume_gone).and(machine_gone)?;
    let left = owned(compute, &labels).await?;
    if left.is_empty() || left == there {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Bug, format!("left behind: {left:?}")))
}

async fn try_out(
    compute: &dyn ComputeProvider,
    node: NodeId,
    volume: &str,
    labels: &Labels,
    say: Say<'_>,
) -> Result<()> {
    let missing = |what| Error::new(ErrorKind::Bug, format!("there is no {what}"));
    let boot =
        BootData::new(node, "https://control.example".to_owned(), Secret::new(String::new()));
    let request = CreateMachine::new(MachineKey::of(node), boot)
        .with_size(Size::Small)
        .with_labels(labels.clone());
    let made = compute.create_machine(&request).await?;
    say(&format!("made {} ({}) at {:?}", made.key, made.provider_id, made.addresses));
    let again = compute.create_machine(&request).await?;
    if again.provider_id != made.provider_id {
        return Err(missing("adoption: two machines were made"));
    }
    let power = compute.power().ok_or_else(|| missing("power control"))?;
    power.set_power(&made.key, Power::Off).await?;
    power.set_power(&made.key, Power::On).await?;
    say("switched it off and on");
    let volumes = compute.volumes().ok_or_else(|| missing("volumes"))?;
    let asked = CreateVolume::new(volume.to_owned(), 10, labels.clone());
    volumes.create_volume(&asked).await?;
    volumes.attach(volume, &made.key).await?;
    volumes.detach(volume).await?;
    say("made a volume, attached and detached it");
    Ok(())
}

async fn delete_volume(compute: &dyn ComputeProvider, key: &str) -> Result<()> {
    let Some(volumes) = compute.volumes() else { return Ok(()) };
    if volumes.volume(key).await?.is_some() {
        volumes.detach(key).await?;
        volumes.delete_volume(key).await?;
    }
    Ok(())
}

async fn delete_machine(
    compute: &dyn ComputeProvider,
    key: &MachineKey,
    clock: &dyn Clock,
) -> Result<()> {
    let mut last = None;
    for _ in 0..DELETE_ASKS_MAX {
        match compute.delete_machine(key).await {
            Ok(Deletion::Gone) => return Ok(()),
            Ok(_) => {}
            Err(error) => last = Some(error),
        }
        clock.sleep_until(clock.monotonic() + PAUSE).await;
    }
    let message = format!("{key} is NOT deleted: do it in the console");
    let error = Error::new(ErrorKind::Unavailable, message);
    Err(match last {
        Some(last) => error.with_source(last),
        None => error,
    })
}

async fn owned(compute: &dyn ComputeProvider, labels: &Labels) -> Result<Vec<OwnedResource>> {
    let Some(owned) = compute.owned() else { return Ok(Vec::new()) };
    let (mut all, mut query) = (Vec::new(), ListOwned::new(labels.clone()));
    loop {
        let page = owned.list_owned(&query).await?;
        all.extend(page.items);
        match page.next {
            None => return Ok(all),
            next => query.after = next,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "an example reads its settings where they are used")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn say(text: &str) {
    // Where nobody listens, nothing is lost.
    let _written = std::io::stdout().write_all(format!("{text}\n").as_bytes());
}
