//! What is wrong with what is set up: providers, the DNS and where names lead. It looks and changes
//! nothing.

use std::sync::Arc;

use sam_core::Error;
use sam_core::compute::ComputeProvider;
use sam_core::dns::{InstallationNames, RecordName};
use sam_providers::api::Outside;
use sam_providers::http::{Http, HttpConfig};
use sam_providers::system::SystemClock;
use std::collections::BTreeSet;
use std::time::Duration;

use crate::deadline;
use crate::naming::NamingSettings;
use crate::providers::{Local, ProviderSettings, providers};

/// How long a name may take to be looked up.
const LOOK_UP_DEADLINE: Duration = Duration::from_secs(10);

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Something does not work.
    Bad,
    /// It works.
    Good,
    /// It cannot be told without changing something, or not yet.
    Look,
    /// It works, and may not for long or not for everybody.
    Warning,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    /// How it came out.
    pub health: Health,
    /// What was found.
    pub message: String,
    /// What a person can do.
    pub hint: Option<String>,
}

impl Finding {
    pub(crate) fn new(check: &str, health: Health, message: impl Into<String>) -> Self {
        Self { check: check.to_owned(), health, message: message.into(), hint: None }
    }

    pub(crate) fn of(check: &str, error: &Error) -> Self {
        let hint = error.hint().map(str::to_owned);
        Self { hint, ..Self::new(check, Health::Bad, error.public_message()) }
    }

    pub(crate) fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

/// Asks every provider and the DNS that are set up, and says in one line each what is right and what is
/// not.
pub async fn examine(
    settings: &ProviderSettings,
    naming: &NamingSettings,
    base: Option<&RecordName>,
) -> Vec<Finding> {
    let outside = || {
        let http = Http::new(&HttpConfig::default())?;
        Ok(Outside::new(Arc::new(http), Arc::new(SystemClock::new())))
    };
    // Nothing is made here, so nobody needs to know where nodes of this computer would be.
    let local = Local {
        nodes_dir: "/nonexistent".into(),
        agent_command: Vec::new(),
        environment: Vec::new(),
        control_dir: "/run/sam".into(),
    };
    let mut findings = Vec::new();
    match providers(settings, local, outside) {
        Err(error) => findings.push(Finding::of("providers", &error)),
        Ok(all) => {
            for provider in all.iter().filter(|provider| provider.to_string() != "process") {
                findings.push(of_provider(&**provider).await);
            }
        }
    }
    findings.extend(naming.examine(base, outside).await);
    if let Some(base) = base {
        findings.push(of_address(base, naming).await);
    }
    if findings.is_empty() {
        let nothing = "nothing is set up beside nodes of this computer, which need nothing";
        findings.push(Finding::new("providers", Health::Good, nothing));
    }
    findings
}

async fn of_provider(provider: &dyn ComputeProvider) -> Finding {
    let name = provider.to_string();
    let asked = async {
        provider.verify_credentials().await?;
        provider.catalog().await
    };
    match asked.await {
        Err(error) => Finding::of(&name, &error),
        Ok(catalog) => {
            let offer = |it: &sam_core::compute::SizeOffer| {
                format!("{} is {}", it.size.code(), it.provider_size)
            };
            let sizes: Vec<String> = catalog.sizes.iter().map(offer).collect();
            let message = format!("it answers and takes the credential: {}", sizes.join(", "));
            Finding::new(&name, Health::Good, message)
        }
    }
}

/// Whether the installation's own name leads to it by now, as this computer's resolver sees it.
async fn of_address(base: &RecordName, naming: &NamingSettings) -> Finding {
    let check = "address";
    let name = match InstallationNames::new(base.clone()) {
        Ok(names) => names.api(),
        Err(error) => return Finding::of(check, &error),
    };
    let wanted: BTreeSet<String> = naming.target_texts().into_iter().collect();
    let looked = tokio::net::lookup_host((name.as_str().to_owned(), 443));
    let found: BTreeSet<String> = match deadline::within(LOOK_UP_DEADLINE, looked).await {
        Some(Ok(found)) => found.map(|address| address.ip().to_string()).collect(),
        Some(Err(_)) | None => BTreeSet::new(),
    };
    let shown = found.iter().cloned().collect::<Vec<_>>().join(", ");
    if found.is_empty() {
        let hint =
            format!("put a record for {name}, and wait until resolvers forget the old answer");
        return Finding::new(check, Health::Look, format!("{name} leads nowhere yet"))
            .with_hint(Some(hint));
    }
    if wanted.is_empty() || !found.is_disjoint(&wanted) {
        return Finding::new(check, Health::Good, format!("{name} leads to {shown}"));
    }
    let hint = "behind a proxy that is so; else the record or SAM_PUBLIC_ADDRESSES is wrong";
    let message = format!("{name} leads to {shown}, which is not where names are to lead");
    Finding::new(check, Health::Warning, message).with_hint(Some(hint.to_owned()))
}
