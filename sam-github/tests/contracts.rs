//! The vectors of the contracts: webhooks and their signatures, App tokens, RSA signatures, and
//! scenarios of GitHub's habits.
//!
//! They lie beside the checkout or under `SAM_SHARED`; without them the test is reported as
//! skipped, by name.

#[cfg(test)]
#[path = "support/folder.rs"]
mod folder;
#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;

#[cfg(test)]
#[path = "contracts/jose.rs"]
mod jose;
#[cfg(test)]
#[path = "contracts/scenarios.rs"]
mod scenarios;
#[cfg(test)]
#[path = "contracts/webhooks.rs"]
mod webhooks;

use libtest_mimic::{Arguments, Failed, Trial};

use self::folder::contracts;

fn trials() -> Result<Vec<Trial>, Failed> {
    if !contracts().join("github/operations.json").exists() {
        let skipped = Trial::test("github_vectors_of_the_contracts", || Ok(()));
        return Ok(vec![skipped.with_kind("skipped").with_ignored_flag(true)]);
    }
    let mut trials = webhooks::trials()?;
    trials.extend(jose::trials()?);
    trials.extend(scenarios::trials()?);
    Ok(trials)
}

fn main() -> std::process::ExitCode {
    let trials = trials().unwrap_or_else(|failed| {
        let message = failed.message().unwrap_or_default().to_owned();
        vec![Trial::test("the_vectors_can_be_read", move || Err(message.into()))]
    });
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
