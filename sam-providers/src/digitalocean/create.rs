//! Creating is adopting. No name is unique here, so there is a gap between looking and ordering: after an
//! order it is looked again, and of several droplets of one key the oldest stays.

use http::Method;
use sam_core::compute::{BootData, CreateMachine, Labels, Machine, MachineKey, SizeOffer};
use sam_core::{Effect, Error, ErrorKind, Result, Retry, Secret};

use super::DigitalOceanCompute;
use super::actions::{ACTION_FAILED, in_doubt};
use super::labels;
use super::sizes::no_region;
use super::wire::{Action, Droplet, Listing, NewDroplet, OneDroplet};
use crate::api::{Call, Looks, labels_of, taken};

const OPERATION: &str = "create_machine";

/// Most bytes of user data that DigitalOcean takes.
const USER_DATA_BYTES_MAX: usize = 64 << 10;

/// How long to leave alone what DigitalOcean failed to make.
const FAILED_WAIT: std::time::Duration = std::time::Duration::from_mins(1);

/// One order, but for the place.
struct Order<'a> {
    key: &'a MachineKey,
    tags: Vec<String>,
    user_data: Secret<String>,
}

impl DigitalOceanCompute {
    pub(super) async fn create(&self, request: &CreateMachine) -> Result<Machine> {
        let key = &request.key;
        let tags = labels::tags(&request.labels, key.as_str())?;
        let user_data = self.user_data(&request.boot)?;
        let mut looks = self.looks();
        // One that is there already is not bought for again, whatever is sold today.
        let known = self.present(key, None).await?;
        if !known.is_empty() {
            return self.adopt(known, request, None, &mut looks).await;
        }
        let places = self.places(request).await?;
        let OneDroplet { droplet, links } =
            self.order(&Order { key, tags, user_data }, &places).await?;
        let making = links.actions.iter().find(|action| action.rel == Action::CREATE);
        let making = making.map(|action| (droplet.id, Action::started(action.id)));
        let known = self.present(key, Some(droplet)).await.map_err(in_doubt)?;
        self.adopt(known, request, making, &mut looks).await
    }

    /// Returns what a key has, the oldest first. A list may be late: what was made just now is put among
    /// them, and what is gone is left out.
    async fn present(&self, key: &MachineKey, made: Option<Droplet>) -> Result<Vec<Droplet>> {
        let mut present = Vec::new();
        for listed in self.droplets_of(OPERATION, key).await? {
            if made.as_ref().is_none_or(|made| made.id != listed.id) {
                present.extend(self.droplet(OPERATION, listed.id).await?);
            }
        }
        present.extend(made);
        present.sort_by_key(|droplet| droplet.id);
        Ok(present)
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

    /// Returns where to try, in order, and with which size.
    async fn places(&self, request: &CreateMachine) -> Result<Vec<(String, SizeOffer)>> {
        let allowed = self.allowed()?;
        let wanted = match &request.region {
            None => allowed.to_vec(),
            Some(region) if allowed.contains(region) => vec![region.clone()],
            Some(region) => return Err(no_region(region, allowed.iter().map(String::as_str))),
        };
        let sold = self.sold().await?;
        let (mut places, mut refused) = (Vec::<(String, SizeOffer)>::new(), None);
        for region in wanted {
            if places.iter().any(|(known, _)| *known == region) {
                continue;
            }
            match sold.choose(&self.config, request.size, &region) {
                Ok(offer) => places.push((region, offer)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match refused {
            Some(error) if places.is_empty() => Err(error),
            _ => Ok(places),
        }
    }

    /// Orders in one place after the other while they are sold out.
    async fn order(&self, order: &Order<'_>, places: &[(String, SizeOffer)]) -> Result<OneDroplet> {
        let mut sold_out = None;
        for (region, offer) in places {
            let body = NewDroplet {
                name: order.key.as_str(),
                region,
                size: &offer.provider_size,
                image: &self.config.image,
                ipv6: true,
                with_droplet_agent: false,
                tags: &order.tags,
                user_data: order.user_data.expose(),
            };
            let call = Call::new(OPERATION, Method::POST, "/v2/droplets").with_body(&body);
            match self.api.send(&call).await {
                Ok(answer) => return answer.read(),
                Err(error) if error.kind() == ErrorKind::CapacityUnavailable => {
                    let error = error
                        .with_context("region", region)
                        .with_context("size", &offer.provider_size);
                    sold_out = Some(error);
                }
                Err(error) => {
                    if error.kind() == ErrorKind::BadInput {
                        self.forget_sold();
                    }
                    return Err(error);
                }
            }
        }
        // What is sold has changed since it was read.
        self.forget_sold();
        Err(sold_out.unwrap_or_else(|| Error::new(ErrorKind::Bug, "no place was tried")))
    }

    /// Takes the oldest of what a key has, deletes the others, and waits for it. None of this is done
    /// where one of them is not of the same installation.
    async fn adopt(
        &self,
        known: Vec<Droplet>,
        request: &CreateMachine,
        making: Option<(u64, Action)>,
        looks: &mut Looks<'_>,
    ) -> Result<Machine> {
        let key = &request.key;
        let installation = request.labels.value(Labels::INSTALLATION);
        let ours = |droplet: &Droplet| {
            let labels = labels_of(&droplet.tags);
            installation.is_none() || labels.value(Labels::INSTALLATION) == installation
        };
        if !known.iter().all(ours) {
            let error = taken("droplet", key.as_str()).with_operation(OPERATION);
            return Err(if making.is_some() { in_doubt(error) } else { error });
        }
        let mut known = known.into_iter();
        let Some(oldest) = known.next() else {
            return Err(Error::new(ErrorKind::Bug, "there is nothing to adopt"));
        };
        for younger in known {
            self.delete_droplet(OPERATION, younger.id, looks).await.map_err(in_doubt)?;
        }
        let action = match making {
            Some((id, action)) if id == oldest.id => Some(action),
            _ if oldest.status == Droplet::NEW => {
                self.creation_of(&oldest).await.map_err(in_doubt)?
            }
            _ => None,
        };
        self.settle(oldest, action, key, looks).await
    }

    /// Returns the action that makes a droplet: the call that has started it may have been cut off.
    async fn creation_of(&self, droplet: &Droplet) -> Result<Option<Action>> {
        let path = format!("/v2/droplets/{}/actions", droplet.id);
        let listing: Listing<Action> = self.api.send(&Call::get(OPERATION, path)).await?.read()?;
        Ok(listing.items.into_iter().find(|action| action.sort == Action::CREATE))
    }

    /// Waits a while until a droplet is made, and looks at it again: before, it has no addresses. One that
    /// is not ready by then is the machine all the same; one that could not be made is taken away.
    async fn settle(
        &self,
        droplet: Droplet,
        action: Option<Action>,
        key: &MachineKey,
        looks: &mut Looks<'_>,
    ) -> Result<Machine> {
        let Some(action) = action else { return Ok(droplet.machine(key.clone())) };
        match self.finish(OPERATION, action, looks).await {
            Err(error) if error.provider_code() == Some(ACTION_FAILED) => {
                let error = error.with_retry(Retry::After(FAILED_WAIT));
                let gone = self.delete_droplet(OPERATION, droplet.id, looks).await;
                return Err(match gone {
                    Ok(()) => error.with_effect(Effect::NotApplied),
                    Err(_) => error,
                });
            }
            progress => progress.map(drop)?,
        }
        let made = self.droplet(OPERATION, droplet.id).await.map_err(in_doubt)?;
        made.map(|made| made.machine(key.clone())).ok_or_else(|| {
            Error::new(ErrorKind::Conflict, format!("{key} was deleted while it was made"))
                .with_operation(OPERATION)
                .with_effect(Effect::Unknown)
        })
    }
}
