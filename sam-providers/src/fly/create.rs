//! Creating is adopting: the name of a machine is its key, and an app has no two machines of one name.
//!
//! A volume and a secret come first, for the machine names both. A call that ends in between leaves them
//! behind: the next one uses them, a deletion of the key deletes them, and until then they are listed.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use sam_core::compute::{CreateMachine, Deletion, Labels, Machine, MachineKey};
use sam_core::{Effect, Error, ErrorKind, Result, Retry, Secret};

use super::FlyCompute;
use super::config::{FlyConfig, parts};
use super::names::secret_name;
use super::wire::{self, Guest, NewConfig, NewFile, NewMachine, NewMount, NewProcess};
use crate::api::{Call, Looks, Tags, nearest, tags, taken};

const OPERATION: &str = "create_machine";

/// Most bytes of what a machine is told.
const BOOT_BYTES_MAX: usize = 32 << 10;

/// How long to leave what two calls do at once alone.
const RACE_WAIT: Duration = Duration::from_secs(1);

/// How long to leave alone what Fly failed to start.
const FAILED_WAIT: Duration = Duration::from_mins(1);

/// Its owner and nobody else may read it.
const BOOT_MODE: u32 = 0o400;

/// One order, but for the place.
struct Order<'a> {
    key: &'a MachineKey,
    tags: &'a Tags,
    told: Secret<String>,
    guest: Guest,
}

impl FlyCompute {
    pub(super) async fn create(&self, request: &CreateMachine) -> Result<Machine> {
        self.config.check()?;
        let key = &request.key;
        let tags = tags(&request.labels, key.as_str())?;
        self.check_installation(&request.labels)?;
        let told = self.told(request)?;
        let regions = self.regions_for(request)?;
        let mut looks = self.looks();
        self.ensure_app(OPERATION).await?;
        // One that is there already is not bought for again.
        if let Some(machine) = self.named(OPERATION, key.as_str()).await? {
            return self.adopt(machine, request, &mut looks).await;
        }
        let order = Order { key, tags: &tags, told, guest: self.guest(request) };
        match self.order(&order, &regions).await {
            Ok(machine) => self.settle(machine, key, &mut looks).await,
            Err(error) => self.refused(error, request, &mut looks).await,
        }
    }

    /// An app belongs to one installation, whose name stands for the labels of what cannot carry any.
    fn check_installation(&self, labels: &Labels) -> Result<()> {
        let ours = &*self.config.installation;
        if labels.value(Labels::INSTALLATION).is_none_or(|asked| asked == ours) {
            return Ok(());
        }
        let message = format!("the app {} is of the installation {ours:?}", self.config.app);
        Err(Error::new(ErrorKind::BadInput, message)
            .with_operation(OPERATION)
            .with_hint("give each installation an app of its own"))
    }

    fn told(&self, request: &CreateMachine) -> Result<Secret<String>> {
        let told = self.config.boot.of(&request.boot)?;
        let bytes = told.expose().len();
        if bytes <= BOOT_BYTES_MAX {
            return Ok(told);
        }
        let message = format!("the boot file has {bytes} bytes, more than {BOOT_BYTES_MAX}");
        Err(Error::new(ErrorKind::BadInput, message)
            .with_hint("make it shorter, or put what is long into the image"))
    }

    /// Returns where to try, in order, each once.
    fn regions_for(&self, request: &CreateMachine) -> Result<Vec<String>> {
        let allowed = &self.config.regions;
        match &request.region {
            None => {
                let mut regions: Vec<String> = Vec::new();
                for region in allowed {
                    if !regions.contains(region) {
                        regions.push(region.clone());
                    }
                }
                Ok(regions)
            }
            Some(region) if allowed.contains(region) => Ok(vec![region.clone()]),
            Some(region) => {
                let names = nearest(region, allowed.iter().map(String::as_str));
                let message = format!("there is no region {region:?} to choose");
                Err(Error::new(ErrorKind::BadInput, message)
                    .with_context("region", region)
                    .with_hint(format!("choose one of those that are allowed here: {names}")))
            }
        }
    }

    fn guest(&self, request: &CreateMachine) -> Guest {
        let (cpus, memory_mb) = parts(request.size);
        Guest { cpu_kind: self.config.cpu_kind.code(), cpus, memory_mb }
    }

    /// Orders in one region after the other while they are sold out.
    async fn order(&self, order: &Order<'_>, regions: &[String]) -> Result<wire::Machine> {
        let mut sold_out = None;
        for region in regions {
            match self.order_in(order, region).await {
                Err(error) if error.kind() == ErrorKind::CapacityUnavailable => {
                    sold_out = Some(error.with_context("region", region));
                }
                done => return done,
            }
        }
        Err(sold_out.unwrap_or_else(|| Error::new(ErrorKind::Bug, "no region was tried")))
    }

    async fn order_in(&self, order: &Order<'_>, region: &str) -> Result<wire::Machine> {
        let volume = self.volume_for(OPERATION, order.key, region, order.guest).await?;
        self.put_secret(OPERATION, order.key, &order.told).await?;
        let config = &self.config;
        let body = NewMachine {
            name: order.key.as_str(),
            region,
            config: NewConfig {
                image: &config.image,
                guest: order.guest,
                metadata: order.tags,
                files: [NewFile {
                    guest_path: FlyConfig::BOOT_PATH,
                    secret_name: &secret_name(order.key),
                    mode: BOOT_MODE,
                }],
                mounts: [NewMount { volume: &volume, path: &config.disk_path }],
                processes: [NewProcess { exec: &config.command, ignore_app_secrets: true }],
                restart: BTreeMap::from([("policy", "always")]),
                auto_destroy: false,
            },
        };
        let call = Call::new(OPERATION, Method::POST, self.app_path("/machines")).with_body(&body);
        self.send(call).await?.read()
    }

    /// Looks again after a refusal: another call may have made the machine. Where none has, what was
    /// bought for it goes back.
    async fn refused(
        &self,
        error: Error,
        request: &CreateMachine,
        looks: &mut Looks<'_>,
    ) -> Result<Machine> {
        if error.effect() == Effect::Unknown {
            return Err(error);
        }
        let in_doubt = |found: Error| found.with_effect(Effect::Unknown);
        let known = self.named(OPERATION, request.key.as_str()).await.map_err(in_doubt)?;
        if let Some(machine) = known {
            return self.adopt(machine, request, looks).await;
        }
        let unclear = [ErrorKind::AlreadyExists, ErrorKind::Conflict, ErrorKind::NotFound];
        if unclear.contains(&error.kind()) && error.retry() != Retry::Never
            || error.kind() == ErrorKind::AlreadyExists
        {
            // Made by a call whose answer was lost, and not on the list yet; or its volume was another's.
            let message = format!("{} is being made or deleted by somebody else", request.key);
            return Err(Error::new(ErrorKind::Conflict, message)
                .with_operation(OPERATION)
                .with_source(error)
                .with_effect(Effect::Unknown)
                .with_retry(Retry::After(RACE_WAIT)));
        }
        Err(self.undo(&request.key, error).await)
    }

    /// Deletes what was bought for a machine that was refused. Where that does not work, too, something
    /// is left, and the error says so.
    async fn undo(&self, key: &MachineKey, error: Error) -> Error {
        let volumes = self.delete_volumes(OPERATION, key, None).await;
        let secret = self.delete_secret(OPERATION, &secret_name(key)).await;
        match (volumes, secret) {
            (Ok(true), Ok(())) => error,
            _ => error.with_effect(Effect::Unknown),
        }
    }

    /// Takes the machine that has the name, if it is ours.
    async fn adopt(
        &self,
        machine: wire::Machine,
        request: &CreateMachine,
        looks: &mut Looks<'_>,
    ) -> Result<Machine> {
        let key = &request.key;
        let installation = request.labels.value(Labels::INSTALLATION);
        let labels = machine.labels();
        let ours = machine.key().as_ref() == Some(key)
            && (installation.is_none() || labels.value(Labels::INSTALLATION) == installation);
        if !ours {
            return Err(taken("machine", key.as_str()).with_operation(OPERATION));
        }
        if machine.is_going() {
            return Err(Error::new(ErrorKind::Conflict, format!("{key} is being deleted"))
                .with_operation(OPERATION)
                .with_retry(Retry::After(RACE_WAIT)));
        }
        self.settle(machine, key, looks).await
    }

    /// Waits a while until a machine runs. One that does not by then is the machine all the same; one
    /// that Fly could not start is taken away.
    async fn settle(
        &self,
        machine: wire::Machine,
        key: &MachineKey,
        looks: &mut Looks<'_>,
    ) -> Result<Machine> {
        let in_doubt = |error: Error| error.with_effect(Effect::Unknown);
        // Another call may have bought a volume for the same machine.
        self.delete_volumes(OPERATION, key, Some(&machine)).await.map_err(in_doubt)?;
        let runs = [wire::Machine::STARTED, wire::Machine::STOPPING].contains(&&*machine.state);
        if runs || machine.is_off() {
            return Ok(machine.described(key.clone()));
        }
        match self.wait(OPERATION, &machine, wire::Machine::STARTED, looks).await {
            Ok(_) => Ok(machine.described(key.clone())),
            Err(error) if error.provider_code() == Some(wire::Machine::FAILED) => {
                let error = error.with_retry(Retry::After(FAILED_WAIT));
                Err(match self.delete_within(key, looks).await {
                    Ok(Deletion::Gone) => error.with_effect(Effect::NotApplied),
                    _ => error,
                })
            }
            Err(error) => Err(error),
        }
    }
}
