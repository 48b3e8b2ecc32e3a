//! Providers that break their contract.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use sam_core::compute::{
    Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, ListMachines, Machine,
    MachineKey, OwnedResources, PowerControl,
};
use sam_core::testkit::sim::{SimCompute, Simulation};
use sam_core::volume::VolumeProvider;
use sam_core::{Effect, Error, Page, Result};

use super::Planted;

pub(super) fn planted() -> Vec<Planted> {
    vec![
        Planted {
            name: "no-adoption",
            breaks: "a create whose reply was lost buys a second machine when it is repeated",
            invariant: "I2: two machines of nd-",
            plant: |simulation| bent(simulation, Bend::NoAdoption),
        },
        Planted {
            name: "gone-too-early",
            breaks: "a deletion that is under way is reported as done",
            invariant: "I4: machine nd-",
            plant: |simulation| bent(simulation, Bend::GoneTooEarly),
        },
        Planted {
            name: "absence-without-proof",
            breaks: "a provider that cannot tell says that the machine is not there",
            invariant: "not settled: ",
            plant: |simulation| bent(simulation, Bend::AbsenceWithoutProof),
        },
        Planted {
            name: "token-in-a-label",
            breaks: "the bootstrap token is put where everybody with the account can read it",
            invariant: "I8: the token of nd-",
            plant: |simulation| bent(simulation, Bend::TokenInALabel),
        },
        Planted {
            name: "token-in-an-error",
            breaks: "a refusal repeats the request, and the record keeps the refusal",
            invariant: "I8: a secret is in revision ",
            plant: |simulation| bent(simulation, Bend::TokenInAnError),
        },
        Planted {
            name: "cause-in-an-error",
            breaks: "what a provider says in private becomes the text that users see",
            invariant: "I8: a secret is in revision ",
            plant: |simulation| bent(simulation, Bend::CauseInAnError),
        },
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bend {
    AbsenceWithoutProof,
    CauseInAnError,
    GoneTooEarly,
    NoAdoption,
    TokenInALabel,
    TokenInAnError,
}

fn bent(simulation: Simulation, bend: Bend) -> Simulation {
    simulation.with_compute(move |sim| Arc::new(Bent { sim, bend }))
}

/// The simulation's provider with one thing wrong.
#[derive(Debug)]
struct Bent {
    sim: SimCompute,
    bend: Bend,
}

impl fmt::Display for Bent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.sim, f)
    }
}

#[async_trait]
impl ComputeProvider for Bent {
    fn capabilities(&self) -> ComputeCapabilities {
        self.sim.capabilities()
    }

    async fn catalog(&self) -> Result<Catalog> {
        self.sim.catalog().await
    }

    async fn verify_credentials(&self) -> Result<()> {
        self.sim.verify_credentials().await
    }

    async fn create_machine(&self, request: &CreateMachine) -> Result<Machine> {
        let token = request.boot.token.expose();
        if self.bend == Bend::TokenInALabel {
            let labels = request.labels.clone().with("boot", token)?;
            return self.sim.create_machine(&request.clone().with_labels(labels)).await;
        }
        match self.sim.create_machine(request).await {
            Err(error) if self.bend == Bend::NoAdoption && error.effect() == Effect::Unknown => {
                Ok(self.sim.world().create_regardless(request))
            }
            Err(error) if self.bend == Bend::TokenInAnError => {
                let message = format!("a machine with the token {token} was refused");
                Err(Error::new(error.kind(), message).with_effect(error.effect()))
            }
            Err(error) if self.bend == Bend::CauseInAnError => {
                let message = sam_core::Report::new(&error).to_string();
                Err(Error::new(error.kind(), message).with_effect(error.effect()))
            }
            other => other,
        }
    }

    async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
        match self.sim.machine(key).await {
            Err(_) if self.bend == Bend::AbsenceWithoutProof => Ok(None),
            other => other,
        }
    }

    async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
        self.sim.list_machines(query).await
    }

    async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion> {
        if self.bend == Bend::GoneTooEarly {
            self.sim.world().delete_in_the_end(key);
            return Ok(Deletion::Gone);
        }
        self.sim.delete_machine(key).await
    }

    fn power(&self) -> Option<&dyn PowerControl> {
        self.sim.power()
    }

    fn volumes(&self) -> Option<&dyn VolumeProvider> {
        self.sim.volumes()
    }

    fn owned(&self) -> Option<&dyn OwnedResources> {
        self.sim.owned()
    }
}
