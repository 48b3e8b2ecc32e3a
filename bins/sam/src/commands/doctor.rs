//! `sam doctor`: asks the providers and the DNS that are set up in this environment, and says in one line
//! each what is right and what is not. It changes nothing.

use sam_server::doctor::{self, Health};

use crate::config;
use crate::failure::Failure;
use crate::finding::{self, Finding};
use crate::output::Output;

pub(super) async fn run(output: Output) -> Result<u8, Failure> {
    let (providers, naming) = (config::providers()?, config::naming()?);
    let base = config::base_domain()?;
    let found = doctor::examine(&providers, &naming, base.as_ref()).await;
    finding::tell(output, &found.into_iter().map(told).collect::<Vec<_>>())
}

fn told(found: doctor::Finding) -> Finding {
    let health = match found.health {
        Health::Bad => finding::Health::Bad,
        Health::Good => finding::Health::Good,
        Health::Warning => finding::Health::Warning,
        _ => finding::Health::Look,
    };
    let line = finding::finding(found.check, health, found.message);
    match found.hint {
        Some(hint) => line.hint(hint),
        None => line,
    }
}
