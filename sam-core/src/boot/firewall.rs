//! What may reach a machine, and what its workspaces may not reach.
//!
//! One nftables table of our own, replaced in one transaction, so that the rules of Docker and of other
//! people are left alone. Nothing inbound is let in but what is named: the agent dials out. A packet
//! that goes on with a TCP connection needs no entry of the connection tracker, which Docker empties
//! when it restarts; only what opens one is judged.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// Where clouds serve a machine's own data, its credentials among them. Only root may ask.
pub(super) const METADATA: [&str; 2] = ["169.254.169.254", "fd00:ec2::254"];

/// What is let in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Firewall(Vec<Inbound>);

impl Firewall {
    /// Most rules.
    pub const RULES_MAX: usize = 32;

    /// Lets nothing in.
    pub const fn closed() -> Self {
        Self(Vec::new())
    }

    /// Lets one thing in.
    ///
    /// # Errors
    /// `BadInput` when there are too many.
    pub fn with(mut self, inbound: Inbound) -> Result<Self> {
        if self.0.len() >= Self::RULES_MAX {
            let text = format!("a firewall has at most {} rules", Self::RULES_MAX);
            return Err(Error::new(ErrorKind::BadInput, text));
        }
        self.0.push(inbound);
        Ok(self)
    }

    /// The rules for `nft -f`. Containers are behind the forward chain: what Docker publishes is let
    /// in only where its port is named here.
    pub(super) fn to_nft(&self) -> String {
        let (mut input, mut forward) = (String::new(), String::new());
        for Inbound { protocol, port, from } in &self.0 {
            let protocol = protocol.code();
            let from = from.map(Network::matching).unwrap_or_default();
            // Writing to a `String` cannot fail.
            let _infallible = writeln!(input, "    {from}{protocol} dport {port} accept");
            let _infallible = writeln!(
                forward,
                "    {from}meta l4proto {protocol} ct original proto-dst {port} accept"
            );
        }
        let [v4, v6] = METADATA;
        RULES
            .replace("@INPUT@", &input)
            .replace("@FORWARD@", &forward)
            .replace("@V4@", v4)
            .replace("@V6@", v6)
    }
}

/// Ports 53 and 123 of the address are names and time on some clouds, which everybody needs.
const RULES: &str = "\
table inet sam
delete table inet sam
table inet sam {
  chain input {
    type filter hook input priority filter; policy drop;
    iif lo accept
    ct state established,related accept
    tcp flags & (fin | syn | rst | ack) != syn accept
    icmp type { destination-unreachable, time-exceeded, parameter-problem } accept
    icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept
    icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query } accept
    udp sport 67 udp dport 68 accept
    ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
@INPUT@  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    jump metadata
    ct state established,related accept
    iifname { \"docker0\", \"br-*\" } accept
@FORWARD@  }
  chain output {
    type filter hook output priority filter; policy accept;
    meta skuid 0 accept
    jump metadata
  }
  chain metadata {
    ip daddr @V4@ meta l4proto { tcp, udp } th dport { 53, 123 } accept
    ip daddr @V4@ drop
    ip6 daddr @V6@ drop
  }
}
";

/// Something that is let in: a port, from everywhere or from one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inbound {
    protocol: Protocol,
    port: u16,
    from: Option<Network>,
}

impl Inbound {
    /// A port, from everywhere.
    ///
    /// # Errors
    /// `BadInput` for port 0.
    pub fn new(protocol: Protocol, port: u16) -> Result<Self> {
        if port == 0 {
            return Err(Error::new(ErrorKind::BadInput, "0 is no port"));
        }
        Ok(Self { protocol, port, from: None })
    }

    /// Only from a network.
    #[must_use]
    pub const fn only_from(mut self, network: Network) -> Self {
        self.from = Some(network);
        self
    }
}

/// What a port belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    const fn code(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// An IP network: an address, `/`, and the length of its prefix.
///
/// ```
/// use sam_core::boot::Network;
/// let office: Network = "192.0.2.0/24".parse()?;
/// assert_eq!(office.to_string(), "192.0.2.0/24");
/// # Ok::<(), sam_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    fn matching(self) -> String {
        let family = if self.address.is_ipv4() { "ip" } else { "ip6" };
        format!("{family} saddr {self} ")
    }
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let address: IpAddr = address.parse().ok()?;
            let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
            let prefix: u8 = prefix.parse().ok().filter(|_| digits)?;
            let longest = if address.is_ipv4() { 32 } else { 128 };
            (prefix <= longest).then_some(Self { address, prefix })
        });
        parsed.ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            Error::new(ErrorKind::BadInput, format!("{shown:?} is no network"))
                .with_hint("write it as 192.0.2.0/24 or 2001:db8::/32")
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_addresses_with_a_prefix_that_fits() {
        for good in ["0.0.0.0/0", "192.0.2.7/32", "2001:db8::/32", "::1/128"] {
            assert_eq!(good.parse::<Network>().unwrap().to_string(), good);
        }
        for bad in
            ["", "192.0.2.0", "192.0.2.0/33", "::/129", "a/8", "192.0.2.0/+8", "192.0.2.0/8 "]
        {
            assert_eq!(bad.parse::<Network>().unwrap_err().kind(), ErrorKind::BadInput, "{bad:?}");
        }
    }

    #[test]
    fn only_what_is_named_is_let_in_on_the_machine_and_on_containers() {
        let closed = Firewall::closed().to_nft();
        assert!(!closed.contains(" dport 22 ") && !closed.contains('@'), "{closed}");
        assert_eq!(closed.matches("policy drop").count(), 2);
        let office = "192.0.2.0/24".parse().unwrap();
        let open = Firewall::closed()
            .with(Inbound::new(Protocol::Tcp, 22).unwrap().only_from(office))
            .and_then(|firewall| firewall.with(Inbound::new(Protocol::Udp, 60_000)?))
            .unwrap()
            .to_nft();
        for line in [
            "    ip saddr 192.0.2.0/24 tcp dport 22 accept\n",
            "    udp dport 60000 accept\n",
            "    ip saddr 192.0.2.0/24 meta l4proto tcp ct original proto-dst 22 accept\n",
        ] {
            assert!(open.contains(line), "{open}");
        }
        assert_eq!(open.lines().count(), closed.lines().count() + 4);
        assert_eq!(Inbound::new(Protocol::Tcp, 0).unwrap_err().kind(), ErrorKind::BadInput);
    }

    #[test]
    fn a_firewall_has_a_bounded_number_of_rules() {
        let rule = Inbound::new(Protocol::Tcp, 1).unwrap();
        let full = (0..Firewall::RULES_MAX)
            .try_fold(Firewall::closed(), |firewall, _| firewall.with(rule))
            .unwrap();
        assert_eq!(full.with(rule).unwrap_err().kind(), ErrorKind::BadInput);
    }
}
