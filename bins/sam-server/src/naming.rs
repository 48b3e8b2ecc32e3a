//! Where names of workspaces are published: the DNS of an installation, read from the environment.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sam_core::dns::{DnsProvider, ListRecords, OwnedNames, RecordName};
use sam_core::published_name::{NameTarget, Publishing};
use sam_core::{Error, ErrorKind, Result, Secret};
use sam_providers::api::{BaseUrl, Outside};
use sam_providers::cloudflare::{Cloudflare, CloudflareConfig, ZoneChoice};
use sam_providers::rfc2136::{Rfc2136, Rfc2136Config, TsigKey};

use crate::doctor::{Finding, Health};
use crate::providers::named_variable;

/// The DNS below `BASE_DOMAIN`. An empty variable is an unset one.
///
/// | variable | holds |
/// |---|---|
/// | `CF_API_TOKEN` | a token of Cloudflare's that may edit the zone's records |
/// | `CF_ZONE_ID` | the zone; found by its name when unset |
/// | `SAM_CLOUDFLARE_BASE_URL` | where Cloudflare's interface is |
/// | `SAM_RFC2136_SERVER` | a name server of one's own that takes dynamic updates: `192.0.2.53:53` |
/// | `SAM_RFC2136_ZONE` | its zone; `BASE_DOMAIN` when unset |
/// | `SAM_RFC2136_KEY_NAME`, `SAM_RFC2136_KEY_ALGORITHM`, `SAM_RFC2136_KEY_SECRET` | the TSIG key; `hmac-sha256` unless said |
/// | `SAM_PUBLIC_ADDRESSES` | the addresses of this control plane, which names lead to: `192.0.2.1,2001:db8::1` |
/// | `SAM_PUBLIC_NAME` | another name of it, in place of the addresses |
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct NamingSettings {
    dns: Option<DnsSettings>,
    target: Option<NameTarget>,
}

#[derive(Debug, Clone)]
enum DnsSettings {
    Cloudflare { token: Secret<String>, zone_id: Option<String>, base_url: Option<BaseUrl> },
    Rfc2136 { server: SocketAddr, zone: Option<RecordName>, key: TsigKey },
}

impl NamingSettings {
    /// Reads the variables.
    ///
    /// # Errors
    /// `BadInput` naming the variable.
    pub fn from_environment(read: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let read = |name: &str| {
            let text = read(name).map(|value| value.trim().to_owned());
            text.filter(|value| !value.is_empty())
        };
        let dns = match (read("CF_API_TOKEN"), read("SAM_RFC2136_SERVER")) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                let message = "CF_API_TOKEN and SAM_RFC2136_SERVER are both set";
                return Err(Error::new(ErrorKind::BadInput, message).with_hint("unset one of them"));
            }
            (Some(token), None) => Some(DnsSettings::Cloudflare {
                token: Secret::new(token),
                zone_id: read("CF_ZONE_ID"),
                base_url: read("SAM_CLOUDFLARE_BASE_URL")
                    .map(|url| url.parse())
                    .transpose()
                    .map_err(named_variable("SAM_CLOUDFLARE_BASE_URL"))?,
            }),
            (None, Some(server)) => Some(dynamic(&server, &read)?),
        };
        Ok(Self { dns, target: target(&read)? })
    }

    /// Returns how names below `base` are published, or `None` where no DNS is set up. What is needed
    /// from outside is asked for only where there is one.
    ///
    /// # Errors
    /// `BadInput` naming the variable that is missing or cannot be used.
    pub(crate) fn publishing(
        &self,
        base: Option<&RecordName>,
        outside: impl FnOnce() -> Result<Outside>,
    ) -> Result<Option<Publishing>> {
        let Some(dns) = &self.dns else { return Ok(None) };
        let missing = |what: &str, hint: &str| {
            let message = format!("a DNS provider is set up, and {what}");
            Error::new(ErrorKind::BadInput, message).with_hint(hint.to_owned())
        };
        let base = base.ok_or_else(|| {
            missing(
                "no name to publish below",
                "set BASE_DOMAIN, or unset the provider's variables",
            )
        })?;
        let target = self.target.clone().ok_or_else(|| {
            missing("nothing that names lead to", "set SAM_PUBLIC_ADDRESSES or SAM_PUBLIC_NAME")
        })?;
        let provider = dns.provider(base, outside()?)?;
        let owned = OwnedNames::new(provider, base.clone());
        Ok(Some(Publishing::new(owned, base.clone(), target)))
    }
}

impl NamingSettings {
    /// Returns the texts of what names lead to.
    pub(crate) fn target_texts(&self) -> Vec<String> {
        self.target.as_ref().map(NameTarget::texts).unwrap_or_default()
    }

    /// Looks at the DNS that is set up, and changes nothing.
    pub(crate) async fn examine(
        &self,
        base: Option<&RecordName>,
        outside: impl FnOnce() -> Result<Outside>,
    ) -> Vec<Finding> {
        let Some(dns) = &self.dns else { return Vec::new() };
        let Some(base) = base else {
            let missing = Finding::new("dns", Health::Bad, "there is no name to publish below");
            return vec![missing.with_hint(Some("set BASE_DOMAIN".to_owned()))];
        };
        match outside().and_then(|outside| dns.examined(base, outside)) {
            Err(error) => vec![Finding::of("dns", &error)],
            Ok(Examined::Cloudflare(cloudflare)) => {
                cloudflare.check().await.into_iter().map(of_cloudflare).collect()
            }
            Ok(Examined::Other(provider)) => {
                let query = ListRecords::new(base.clone());
                let message = format!("records below {base} can be read with the key");
                let good = |_| Finding::new("dns", Health::Good, message);
                let listed = provider.list_records(&query).await;
                vec![listed.map_or_else(|error| Finding::of("dns", &error), good)]
            }
        }
    }
}

/// A DNS that can be looked at.
enum Examined {
    Cloudflare(Box<Cloudflare>),
    Other(Arc<dyn DnsProvider>),
}

fn of_cloudflare(found: sam_providers::cloudflare::Finding) -> Finding {
    use sam_providers::cloudflare::Health as Theirs;
    let health = match found.health {
        Theirs::Bad => Health::Bad,
        Theirs::Good => Health::Good,
        Theirs::Warning => Health::Warning,
        _ => Health::Look,
    };
    Finding::new(&format!("dns {}", found.check), health, found.message).with_hint(found.hint)
}

impl DnsSettings {
    fn provider(&self, base: &RecordName, outside: Outside) -> Result<Arc<dyn DnsProvider>> {
        Ok(match self.examined(base, outside)? {
            Examined::Cloudflare(cloudflare) => Arc::new(*cloudflare),
            Examined::Other(provider) => provider,
        })
    }

    fn examined(&self, base: &RecordName, outside: Outside) -> Result<Examined> {
        Ok(match self {
            Self::Cloudflare { token, zone_id, base_url } => {
                let zone = match zone_id {
                    Some(id) => ZoneChoice::Id(id.parse().map_err(named_variable("CF_ZONE_ID"))?),
                    None => ZoneChoice::Holding(base.clone()),
                };
                let mut config = CloudflareConfig::new(token.clone(), zone);
                if let Some(base_url) = base_url {
                    config = config.with_base_url(base_url.clone());
                }
                let config = config.with_comment("made by SAM")?;
                Examined::Cloudflare(Box::new(Cloudflare::new(config, outside)))
            }
            Self::Rfc2136 { server, zone, key } => {
                let zone = zone.clone().unwrap_or_else(|| base.clone());
                let config = Rfc2136Config::new(*server, zone, key.clone());
                Examined::Other(Arc::new(Rfc2136::new(&config, outside.clock)?))
            }
        })
    }
}

fn dynamic(server: &str, read: &impl Fn(&str) -> Option<String>) -> Result<DnsSettings> {
    let bad = |message: String, hint: &str| {
        Error::new(ErrorKind::BadInput, message).with_hint(hint.to_owned())
    };
    let address = server.parse().or_else(|_| server.parse::<IpAddr>().map(|ip| (ip, 53).into()));
    let server = address.map_err(|_| {
        bad("SAM_RFC2136_SERVER is no address".to_owned(), "write it as 192.0.2.53:53")
    })?;
    let needed = |name: &'static str| {
        read(name)
            .ok_or_else(|| bad(format!("{name} is not set"), "updates are signed by a TSIG key"))
    };
    let algorithm = match read("SAM_RFC2136_KEY_ALGORITHM") {
        Some(name) => name.parse().map_err(named_variable("SAM_RFC2136_KEY_ALGORITHM"))?,
        None => sam_providers::rfc2136::TsigAlgorithm::HmacSha256,
    };
    let secret = Secret::new(needed("SAM_RFC2136_KEY_SECRET")?);
    let key = TsigKey::new(&needed("SAM_RFC2136_KEY_NAME")?, algorithm, &secret);
    let zone = read("SAM_RFC2136_ZONE").map(|zone| zone.parse::<RecordName>().map_err(Error::from));
    Ok(DnsSettings::Rfc2136 {
        server,
        zone: zone.transpose().map_err(named_variable("SAM_RFC2136_ZONE"))?,
        key: key.map_err(named_variable("SAM_RFC2136_KEY_NAME"))?,
    })
}

fn target(read: &impl Fn(&str) -> Option<String>) -> Result<Option<NameTarget>> {
    match (read("SAM_PUBLIC_ADDRESSES"), read("SAM_PUBLIC_NAME")) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            let message = "SAM_PUBLIC_ADDRESSES and SAM_PUBLIC_NAME are both set";
            Err(Error::new(ErrorKind::BadInput, message).with_hint("unset one of them"))
        }
        (Some(texts), None) => {
            let parsed: Result<Vec<IpAddr>, _> =
                texts.split(',').map(|text| text.trim().parse()).collect();
            let addresses = parsed.map_err(|_| {
                Error::new(ErrorKind::BadInput, "SAM_PUBLIC_ADDRESSES holds what is no address")
                    .with_hint("write them with commas between: 192.0.2.1,2001:db8::1")
            })?;
            let target = NameTarget::addresses(addresses);
            target.map(Some).map_err(named_variable("SAM_PUBLIC_ADDRESSES"))
        }
        (None, Some(name)) => {
            let name = name.parse::<RecordName>().map_err(Error::from);
            Ok(Some(NameTarget::name(name.map_err(named_variable("SAM_PUBLIC_NAME"))?)))
        }
    }
}

#[cfg(test)]
mod tests {
    use sam_core::http::ScriptedHttp;
    use sam_core::time::{ManualClock, Timestamp};

    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Option<Publishing>> {
        let settings = NamingSettings::from_environment(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })?;
        assert!(!format!("{settings:?}").contains("canary"));
        let base = variables.iter().find(|(known, _)| *known == "BASE_DOMAIN");
        let base: Option<RecordName> = base.map(|(_, value)| value.parse().unwrap());
        let clock = Arc::new(ManualClock::new(Timestamp::EPOCH));
        let outside = || Ok(Outside::new(Arc::new(ScriptedHttp::new()), clock));
        settings.publishing(base.as_ref(), outside)
    }

    #[test]
    fn both_sorts_of_dns_publish_below_the_base() {
        assert!(with(&[("BASE_DOMAIN", "example.com")]).unwrap().is_none());
        let base = ("BASE_DOMAIN", "example.com");
        let addresses = ("SAM_PUBLIC_ADDRESSES", "192.0.2.1, 2001:db8::1");
        let cloudflare = with(&[base, addresses, ("CF_API_TOKEN", "canary")]).unwrap().unwrap();
        assert_eq!(cloudflare.target.texts(), ["192.0.2.1", "2001:db8::1"]);
        let own = with(&[
            base,
            ("SAM_PUBLIC_NAME", "sam.example.org"),
            ("SAM_RFC2136_SERVER", "192.0.2.53"),
            ("SAM_RFC2136_KEY_NAME", "sam"),
            ("SAM_RFC2136_KEY_SECRET", "Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5"),
        ]);
        assert_eq!(own.unwrap().unwrap().target.texts(), ["sam.example.org"]);
    }

    #[test]
    fn what_is_missing_or_cannot_be_used_is_named() {
        let (token, base) = (("CF_API_TOKEN", "canary"), ("BASE_DOMAIN", "example.com"));
        let addresses = ("SAM_PUBLIC_ADDRESSES", "192.0.2.1");
        for (variables, named) in [
            (vec![token, addresses], "BASE_DOMAIN"),
            (vec![token, base], "SAM_PUBLIC_ADDRESSES"),
            (vec![token, base, ("SAM_PUBLIC_ADDRESSES", "here")], "SAM_PUBLIC_ADDRESSES"),
            (vec![token, base, addresses, ("SAM_PUBLIC_NAME", "a.b")], "SAM_PUBLIC_NAME"),
            (vec![token, base, addresses, ("CF_ZONE_ID", "!")], "CF_ZONE_ID"),
            (vec![token, ("SAM_RFC2136_SERVER", "192.0.2.53")], "SAM_RFC2136_SERVER"),
            (vec![base, addresses, ("SAM_RFC2136_SERVER", "ns")], "SAM_RFC2136_SERVER"),
            (vec![base, addresses, ("SAM_RFC2136_SERVER", "::1")], "SAM_RFC2136_KEY_SECRET"),
        ] {
            let error = with(&variables).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput);
            let told = format!("{error} {:?}", error.hint());
            assert!(told.contains(named) && !told.contains("canary"), "{named}: {told}");
        }
    }
}
