//! Creating is adopting: the name of a server is its key, and Hetzner has no two servers of one name.

use http::Method;
use sam_core::compute::{
    BootData, CreateMachine, Deletion, Labels, Machine, MachineKey, SizeOffer,
};
use sam_core::{Effect, Error, ErrorKind, Result, Retry, Secret};

use super::HetznerCompute;
use super::actions::{ACTION_FAILED, in_doubt};
use super::find::absent;
use super::types::no_location;
use super::wire::{
    Action, Firewall, Listing, MarkAddress, NewFirewall, NewNet, NewRule, NewServer, OneFirewall,
    OneServer, PrimaryIp, Server, Started, UseFirewall,
};
use crate::api::{Call, Looks, Tags, key_of, labels_of, tags, taken};

const OPERATION: &str = "create_machine";

/// Most bytes of user data that Hetzner takes.
const USER_DATA_BYTES_MAX: usize = 32 << 10;

/// How long to leave what two calls do at once alone.
const RACE_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

/// How long to leave alone what Hetzner failed to make: each attempt is billed for an hour.
const FAILED_WAIT: std::time::Duration = std::time::Duration::from_mins(1);

/// One order, but for the place.
struct Order<'a> {
    key: &'a MachineKey,
    tags: &'a Tags,
    user_data: Secret<String>,
    firewall: Option<u64>,
}

impl HetznerCompute {
    pub(super) async fn create(&self, request: &CreateMachine) -> Result<Machine> {
        let key = &request.key;
        let tags = tags(&request.labels, key.as_str())?;
        let user_data = self.user_data(&request.boot)?;
        let mut looks = self.looks();
        // One that is there already is not bought for again, whatever is sold today.
        if let Some(server) = self.named(OPERATION, key.as_str()).await? {
            return self.adopt(server, request, &mut looks).await;
        }
        let places = self.places(request).await?;
        let firewall = self.firewall(key, &tags).await?;
        let order = Order { key, tags: &tags, user_data, firewall };
        match self.order(&order, &places).await {
            Ok(started) => {
                let (OneServer { mut server }, actions) = started.split();
                server.labels = tags;
                self.settle(server, actions, key, &mut looks).await
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let Some(server) = self.named(OPERATION, key.as_str()).await.map_err(in_doubt)?
                else {
                    // Made by a call whose answer was lost, and not on the list yet; or just deleted.
                    let message = format!("the name {key} is taken, but nothing shows it");
                    return Err(Error::new(ErrorKind::Conflict, message)
                        .with_effect(Effect::Unknown)
                        .with_retry(Retry::After(RACE_WAIT)));
                };
                self.adopt(server, request, &mut looks).await
            }
            Err(error) => Err(self.undo_firewall(key, firewall, error).await),
        }
    }

    fn user_data(&self, boot: &BootData) -> Result<Secret<String>> {
        let user_data = self.config.user_data.of(boot)?;
        let bytes = user_data.expose().len();
        if bytes <= USER_DATA_BYTES_MAX {
            return Ok(user_data);
        }
        let message = format!("the user data has {bytes} bytes, more than {USER_DATA_BYTES_MAX}");
        Err(Error::new(ErrorKind::BadInput, message)
            .with_hint("make the boot script shorter, or let it fetch what is long"))
    }

    /// Returns where to try, in order, and with which type.
    async fn places(&self, request: &CreateMachine) -> Result<Vec<(String, SizeOffer)>> {
        let allowed = self.allowed()?;
        let wanted = match &request.region {
            None => allowed.to_vec(),
            Some(region) if allowed.contains(region) => vec![region.clone()],
            Some(region) => return Err(no_location(region, allowed.iter().map(String::as_str))),
        };
        let types = self.types().await?;
        let (mut places, mut refused) = (Vec::<(String, SizeOffer)>::new(), None);
        for location in wanted {
            if places.iter().any(|(known, _)| *known == location) {
                continue;
            }
            match types.choose(&self.config, request.size, &location) {
                Ok(offer) => places.push((location, offer)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match refused {
            Some(error) if places.is_empty() => Err(error),
            _ => Ok(places),
        }
    }

    /// Orders in one place after the other while they are sold out.
    async fn order(
        &self,
        order: &Order<'_>,
        places: &[(String, SizeOffer)],
    ) -> Result<Started<OneServer>> {
        let mut sold_out = None;
        for (location, offer) in places {
            let body = NewServer {
                name: order.key.as_str(),
                server_type: &offer.provider_size,
                image: &self.config.image,
                location,
                labels: order.tags,
                user_data: order.user_data.expose(),
                start_after_create: true,
                public_net: NewNet { enable_ipv4: self.config.ipv4, enable_ipv6: true },
                firewalls: order
                    .firewall
                    .map(|firewall| UseFirewall { firewall })
                    .into_iter()
                    .collect(),
            };
            let call = Call::new(OPERATION, Method::POST, "/servers").with_body(&body);
            match self.api.send(&call).await {
                Ok(answer) => return answer.read(),
                Err(error) if error.kind() == ErrorKind::CapacityUnavailable => {
                    let error = error
                        .with_context("location", location)
                        .with_context("server_type", &offer.provider_size);
                    sold_out = Some(error);
                }
                Err(error) => {
                    if error.kind() == ErrorKind::BadInput {
                        self.forget_types();
                    }
                    return Err(error);
                }
            }
        }
        Err(sold_out.unwrap_or_else(|| Error::new(ErrorKind::Bug, "no place was tried")))
    }

    /// Takes a server of the key's name for the machine, when it is ours.
    async fn adopt(
        &self,
        server: Server,
        request: &CreateMachine,
        looks: &mut Looks<'_>,
    ) -> Result<Machine> {
        let (key, known) = (&request.key, labels_of(&server.labels));
        let installation = request.labels.value(Labels::INSTALLATION);
        let ours = key_of(&server.labels) == Some(key.as_str())
            && (installation.is_none() || known.value(Labels::INSTALLATION) == installation);
        if !ours {
            return Err(taken("server", key.as_str()).with_operation(OPERATION));
        }
        if server.status == Server::DELETING {
            return Err(Error::new(ErrorKind::Conflict, format!("{key} is being deleted"))
                .with_operation(OPERATION)
                .with_retry(Retry::After(RACE_WAIT)));
        }
        let actions = match &*server.status {
            Server::INITIALIZING => self.creation_of(&server).await.map_err(in_doubt)?,
            _ => Vec::new(),
        };
        self.settle(server, actions, key, looks).await
    }

    /// Returns the actions that make a server: the call that has started them may have been cut off.
    async fn creation_of(&self, server: &Server) -> Result<Vec<Action>> {
        let call = Call::get(OPERATION, format!("/servers/{}/actions", server.id))
            .with_query("sort", "id:asc");
        let listing: Listing<Action> = self.api.send(&call).await?.read()?;
        let makes = |action: &Action| ["create_server", "start_server"].contains(&&*action.command);
        Ok(listing.items.into_iter().filter(makes).collect())
    }

    /// Waits a while until a server is made, and marks its addresses. One that is not ready by then is
    /// the machine all the same; one that Hetzner could not make is taken away.
    async fn settle(
        &self,
        server: Server,
        actions: Vec<Action>,
        key: &MachineKey,
        looks: &mut Looks<'_>,
    ) -> Result<Machine> {
        match self.finish(OPERATION, actions, looks).await {
            Err(error) if error.provider_code() == Some(ACTION_FAILED) => {
                return Err(self.take_back(key, server.id, looks, error).await);
            }
            progress => progress.map(drop)?,
        }
        self.mark_addresses(&server, key).await.map_err(in_doubt)?;
        Ok(server.machine(key.clone()))
    }

    /// Deletes what a failed creation left, and says in the error whether that worked.
    async fn take_back(
        &self,
        key: &MachineKey,
        server: u64,
        looks: &mut Looks<'_>,
        error: Error,
    ) -> Error {
        let error = error.with_retry(Retry::After(FAILED_WAIT));
        let gone = match self.delete_server(server, looks).await {
            Ok(_) => self.delete_within(key, looks).await,
            Err(error) => Err(error),
        };
        match gone {
            Ok(Deletion::Gone) => error.with_effect(Effect::NotApplied),
            _ => error.with_effect(Effect::Unknown),
        }
    }

    /// Labels the addresses that Hetzner made with a server, so that they are listed as its own, and
    /// makes sure that they go with it. It is done again when a creation is repeated.
    async fn mark_addresses(&self, server: &Server, key: &MachineKey) -> Result<()> {
        let marked: Vec<PrimaryIp> = self.made_under(OPERATION, key.as_str()).await?;
        for id in server.addresses() {
            if marked.iter().any(|address| address.id == id) {
                continue;
            }
            let body = MarkAddress { labels: &server.labels, auto_delete: true };
            let path = format!("/primary_ips/{id}");
            let call = Call::new(OPERATION, Method::PUT, path).with_body(&body);
            // One that is gone costs nothing.
            absent(self.api.send(&call).await)?;
        }
        Ok(())
    }

    /// Makes the firewall of a machine, or finds the one that was made.
    async fn firewall(&self, key: &MachineKey, tags: &Tags) -> Result<Option<u64>> {
        let Some(rules) = &self.config.firewall else { return Ok(None) };
        let rules = rules.iter().map(|rule| NewRule {
            direction: "in",
            protocol: rule.protocol,
            port: rule.ports.as_deref(),
            source_ips: &rule.sources,
        });
        let body = NewFirewall { name: key.as_str(), labels: tags, rules: rules.collect() };
        let call = Call::new(OPERATION, Method::POST, "/firewalls").with_body(&body);
        match self.api.send(&call).await {
            Ok(answer) => Ok(Some(answer.read::<OneFirewall>()?.firewall.id)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let known: Option<Firewall> = self.named(OPERATION, key.as_str()).await?;
                match known {
                    Some(known) if key_of(&known.labels) == Some(key.as_str()) => {
                        Ok(Some(known.id))
                    }
                    Some(_) => Err(taken("firewall", key.as_str()).with_operation(OPERATION)),
                    None => {
                        Err(error.with_effect(Effect::Unknown).with_retry(Retry::After(RACE_WAIT)))
                    }
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes the firewall of a machine that was refused. Where that does not work, too, something is
    /// left, and the error says so.
    async fn undo_firewall(&self, key: &MachineKey, firewall: Option<u64>, error: Error) -> Error {
        if firewall.is_none() || error.effect() == Effect::Unknown {
            return error;
        }
        match self.delete_firewalls(OPERATION, key).await {
            Ok(true) => error,
            _ => error.with_effect(Effect::Unknown),
        }
    }
}
