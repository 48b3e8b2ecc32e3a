//! What the policy of an installation can be told. One table: flags, environment, `sam.toml` and the
//! reference page are all made from it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, FromArgMatches};
use sam_api::Span;
use sam_core::spend::SpendRecord;
use sam_core::workspace::IdleStop;
use sam_core::{Error, ErrorKind, Policy, Result};

/// One setting.
#[derive(Debug)]
struct Setting {
    /// Its name in `sam.toml`; the flag has hyphens, the variable is in capitals.
    key: &'static str,
    flag: &'static str,
    variable: &'static str,
    /// What systems that we replace call it, and in what unit; read where ours is not set.
    older: Option<Older>,
    help: &'static str,
    /// The default, as people write it.
    usual: &'static str,
    put: Put,
}

#[derive(Debug, Clone, Copy)]
enum Older {
    Count(&'static str),
    Millis(&'static str),
}

/// How its text is read, within which bounds, and where it goes.
#[derive(Debug)]
enum Put {
    /// In the provider's currency, or `none`.
    Amount(fn(&mut Policy) -> &mut Option<u64>),
    /// Or `none`.
    Count(fn(&mut Policy) -> &mut Option<u32>, RangeInclusive<u32>),
    Span(fn(&mut Policy) -> &mut Duration, RangeInclusive<Duration>),
    /// Or `never`.
    SpanOrNever(fn(&mut Policy) -> &mut Option<Duration>, RangeInclusive<Duration>),
}

const SECOND: Duration = Duration::from_secs(1);
const TEN_SECONDS: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const WEEK: Duration = Duration::from_hours(7 * 24);
const YEAR: Duration = Duration::from_hours(365 * 24);

const SETTINGS: [Setting; 12] = [
    Setting {
        key: "idle_stop_after",
        flag: "idle-stop-after",
        variable: "SAM_IDLE_STOP_AFTER",
        older: Some(Older::Millis("WORKSPACE_IDLE_TIMEOUT_MS")),
        help: "Warn and then stop workspaces that nobody used for so long: 2h, or never",
        usual: "never",
        put: Put::SpanOrNever(
            |policy| &mut policy.idle_stop_after,
            IdleStop::AFTER_MIN..=IdleStop::AFTER_MAX,
        ),
    },
    Setting {
        key: "idle_warning",
        flag: "idle-warning",
        variable: "SAM_IDLE_WARNING",
        older: None,
        help: "From that warning to the stop",
        usual: "5m",
        put: Put::Span(
            |policy| &mut policy.idle_warning,
            Policy::IDLE_WARNING_MIN..=Policy::IDLE_WARNING_MAX,
        ),
    },
    Setting {
        key: "workspace_lifetime_max",
        flag: "workspace-lifetime-max",
        variable: "SAM_WORKSPACE_LIFETIME_MAX",
        older: None,
        help: "Delete workspaces that are this old, used or not: 7d, or never",
        usual: "never",
        put: Put::SpanOrNever(|policy| &mut policy.workspace_lifetime_max, SECOND..=YEAR),
    },
    Setting {
        key: "keep_warm",
        flag: "keep-warm",
        variable: "SAM_KEEP_WARM",
        older: Some(Older::Millis("NODE_WARM_TIMEOUT_MS")),
        help: "Keep a node for its owner's next workspace for so long; it costs what a used one does",
        usual: "0s",
        put: Put::Span(|policy| &mut policy.keep_warm, Duration::ZERO..=WEEK),
    },
    Setting {
        key: "nodes_max",
        flag: "nodes-max",
        variable: "SAM_NODES_MAX",
        older: Some(Older::Count("MAX_NODES_PER_USER")),
        help: "Most nodes of one owner at once, or none",
        usual: "none",
        put: Put::Count(|policy| &mut policy.spend.nodes, 1..=SpendRecord::NODES_MAX),
    },
    Setting {
        key: "spend_month_max",
        flag: "spend-month-max",
        variable: "SAM_SPEND_MONTH_MAX",
        older: None,
        help: "Most that the nodes of one owner may cost in a calendar month (UTC) before no other is \
               bought, in the currency of the provider's prices: 50, 49.90, or none",
        usual: "none",
        put: Put::Amount(|policy| &mut policy.spend.micros_per_month),
    },
    Setting {
        key: "provision_deadline",
        flag: "provision-deadline",
        variable: "SAM_PROVISION_DEADLINE",
        older: Some(Older::Millis("PROVISIONING_TIMEOUT_MS")),
        help: "Longest time from asking for a node until its agent has called; then it has failed",
        usual: "30m",
        put: Put::Span(|policy| &mut policy.provision_deadline, TEN_SECONDS..=DAY),
    },
    Setting {
        key: "prepare_deadline",
        flag: "prepare-deadline",
        variable: "SAM_PREPARE_DEADLINE",
        older: None,
        help: "Longest time until a repository is checked out on a node that is ready",
        usual: "30m",
        put: Put::Span(|policy| &mut policy.prepare_deadline, TEN_SECONDS..=DAY),
    },
    Setting {
        key: "unreachable_patience",
        flag: "unreachable-patience",
        variable: "SAM_UNREACHABLE_PATIENCE",
        older: None,
        help: "How long a node's agent may be away until its workspaces count as interrupted",
        usual: "10m",
        put: Put::Span(|policy| &mut policy.unreachable_patience, SECOND..=WEEK),
    },
    Setting {
        key: "sweep_every",
        flag: "sweep-every",
        variable: "SAM_SWEEP_EVERY",
        older: Some(Older::Millis("PROVIDER_ORPHAN_RECONCILE_INTERVAL_MS")),
        help: "Between two comparisons of what a provider lists with what is known",
        usual: "10m",
        put: Put::Span(|policy| &mut policy.sweep_every, TEN_SECONDS..=WEEK),
    },
    Setting {
        key: "orphan_grace",
        flag: "orphan-grace",
        variable: "SAM_ORPHAN_GRACE",
        older: Some(Older::Millis("PROVIDER_ORPHAN_MIN_AGE_MS")),
        help: "From finding what is proven to be nobody's until it is deleted; longer than the \
               provider's lists may be behind",
        usual: "10m",
        put: Put::Span(|policy| &mut policy.orphan_grace, TEN_SECONDS..=WEEK),
    },
    Setting {
        key: "hold_poll",
        flag: "hold-poll",
        variable: "SAM_HOLD_POLL",
        older: None,
        help: "How soon what waits for the hold on deletion goes on once it is lifted",
        usual: "1m",
        put: Put::Span(|policy| &mut policy.hold_poll, SECOND..=HOUR),
    },
];

/// The settings of the policy that were given, as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicySettings(BTreeMap<&'static str, Given>);

/// What was written, and the name that a mistake in it is told by.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Given {
    name: &'static str,
    text: String,
}

impl PolicySettings {
    /// Reads the environment through `read`. An empty variable is an unset one.
    pub fn from_environment(read: impl Fn(&str) -> Option<String>) -> Self {
        let ours = SETTINGS.iter().filter_map(|setting| {
            let text = read(setting.variable).filter(|text| !text.is_empty())?;
            Some((setting.key, setting.given(text)))
        });
        Self(ours.collect()).or(Self::from_older_names(&read))
    }

    /// Reads the names that other systems know the settings by.
    pub(crate) fn from_older_names(read: impl Fn(&str) -> Option<String>) -> Self {
        let found = SETTINGS.iter().filter_map(|setting| {
            let (name, unit) = match setting.older? {
                Older::Count(name) => (name, ""),
                Older::Millis(name) => (name, "ms"),
            };
            let text = read(name).filter(|text| !text.is_empty())?;
            Some((setting.key, Given { name, text: format!("{text}{unit}") }))
        });
        Self(found.collect())
    }

    /// Takes the settings of the policy out of a file.
    ///
    /// # Errors
    /// `BadInput` naming a key whose value is no text and no number.
    pub(crate) fn take_from(file: &mut toml::Table) -> Result<Self> {
        let mut found = BTreeMap::new();
        for setting in &SETTINGS {
            let text = match file.remove(setting.key) {
                None => continue,
                Some(toml::Value::String(text)) => text,
                Some(toml::Value::Integer(number)) => number.to_string(),
                Some(toml::Value::Float(number)) => number.to_string(),
                Some(_) => {
                    return Err(setting.refuse(setting.variable, "a text or a number is needed"));
                }
            };
            found.insert(setting.key, setting.given(text));
        }
        Ok(Self(found))
    }

    /// Returns these, and those of `others` that are not among them.
    #[must_use]
    pub fn or(mut self, others: Self) -> Self {
        for (key, given) in others.0 {
            self.0.entry(key).or_insert(given);
        }
        self
    }

    /// Returns the default policy with what these say.
    ///
    /// # Errors
    /// `BadInput` naming the variable, with what it takes as a hint.
    pub fn policy(&self) -> Result<Policy> {
        let mut policy = Policy::default();
        for setting in &SETTINGS {
            if let Some(given) = self.0.get(setting.key) {
                setting.apply(given, &mut policy)?;
            }
        }
        Ok(policy)
    }
}

impl Setting {
    const fn given(&self, text: String) -> Given {
        Given { name: self.variable, text }
    }

    fn apply(&self, given: &Given, policy: &mut Policy) -> Result<()> {
        let text = given.text.as_str();
        let refused = || self.refuse(given.name, &format!("{text:?} cannot be used"));
        match &self.put {
            Put::Amount(place) => {
                let amount = (text != "none").then(|| micros(text).ok_or_else(refused));
                *place(policy) = amount.transpose()?;
            }
            Put::Count(place, bounds) => {
                let count = (text != "none").then(|| {
                    let count = text.parse().ok().filter(|count| bounds.contains(count));
                    count.ok_or_else(refused)
                });
                *place(policy) = count.transpose()?;
            }
            Put::Span(place, bounds) => {
                *place(policy) = span(text, bounds).ok_or_else(refused)?;
            }
            Put::SpanOrNever(place, bounds) => {
                let span = (text != "never").then(|| span(text, bounds).ok_or_else(refused));
                *place(policy) = span.transpose()?;
            }
        }
        Ok(())
    }

    fn refuse(&self, name: &str, message: &str) -> Error {
        Error::new(ErrorKind::BadInput, format!("{name}: {message}"))
            .with_hint(format!("it takes {}", self.takes()))
    }

    /// Says what it takes, for people.
    fn takes(&self) -> String {
        let spans = |bounds: &RangeInclusive<Duration>| {
            format!(
                "a span such as 45s, 30m, 2h or 7d, from {} to {}",
                Span(*bounds.start()),
                Span(*bounds.end())
            )
        };
        match &self.put {
            Put::Amount(_) => "an amount such as 50 or 49.90, or none".to_owned(),
            Put::Count(_, bounds) => {
                format!("a whole number from {} to {}, or none", bounds.start(), bounds.end())
            }
            Put::Span(_, bounds) => spans(bounds),
            Put::SpanOrNever(_, bounds) => format!("{}, or never", spans(bounds)),
        }
    }

    fn argument(&self) -> Arg {
        Arg::new(self.key)
            .long(self.flag)
            .env(self.variable)
            .global(true)
            .value_name(match self.put {
                Put::Amount(_) => "AMOUNT",
                Put::Count(..) => "COUNT",
                Put::Span(..) | Put::SpanOrNever(..) => "SPAN",
            })
            .help_heading("What becomes of workspaces and nodes")
            .help(format!("{} [default: {}]", self.help, self.usual))
    }
}

impl FromArgMatches for PolicySettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut read = Self::default();
        read.update_from_arg_matches(matches)?;
        Ok(read)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in &SETTINGS {
            // An empty variable is an unset one.
            let given = matches.get_one::<String>(setting.key).filter(|text| !text.is_empty());
            if let Some(text) = given {
                self.0.insert(setting.key, setting.given(text.clone()));
            }
        }
        Ok(())
    }
}

impl clap::Args for PolicySettings {
    fn augment_args(command: Command) -> Command {
        command.args(SETTINGS.iter().map(Setting::argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Says what a setting of the policy takes, for the reference page.
#[cfg(test)]
pub(crate) fn takes(key: &str) -> Option<String> {
    SETTINGS.iter().find(|setting| setting.key == key).map(Setting::takes)
}

/// Tells of the names that other systems know the settings by, for the reference page.
#[cfg(test)]
pub(crate) fn older_names() -> String {
    let known = SETTINGS.iter().filter_map(|setting| {
        let (name, unit) = match setting.older? {
            Older::Count(name) => (name, "a count"),
            Older::Millis(name) => (name, "milliseconds"),
        };
        Some(format!("| `{name}` | {unit} | `{}` |\n", setting.variable))
    });
    let head = "\n## Names of other systems\n\nRead where ours is not set; what is in the file comes \
                after them.\n\n| variable | unit | ours |\n|---|---|---|\n";
    format!("{head}{}", known.collect::<String>())
}

/// Reads a span within bounds. Milliseconds are read for the older names only, and not advertised.
fn span(text: &str, bounds: &RangeInclusive<Duration>) -> Option<Duration> {
    let span = match text.strip_suffix("ms") {
        Some(millis) => Duration::from_millis(millis.parse().ok()?),
        None => text.parse::<Span>().ok()?.0,
    };
    bounds.contains(&span).then_some(span)
}

/// Reads an amount with at most six decimals as millionths.
fn micros(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 6 {
        return None;
    }
    let part: u64 = format!("{part:0<6}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &'static str, text: &str) -> Result<Policy> {
        let setting = SETTINGS.iter().find(|setting| setting.key == key).unwrap();
        PolicySettings(BTreeMap::from([(key, setting.given(text.to_owned()))])).policy()
    }

    #[test]
    fn the_defaults_that_are_told_are_those_of_the_policy() {
        let all =
            SETTINGS.iter().map(|setting| (setting.key, setting.given(setting.usual.to_owned())));
        assert_eq!(PolicySettings(all.collect()).policy().unwrap(), Policy::default());
    }

    #[test]
    fn names_follow_the_rule_and_occur_once() {
        let mut seen = std::collections::BTreeSet::new();
        for setting in &SETTINGS {
            assert_eq!(setting.variable, format!("SAM_{}", setting.key.to_uppercase()));
            assert_eq!(setting.flag, setting.key.replace('_', "-"));
            let older = setting.older.map(|(Older::Count(name) | Older::Millis(name))| name);
            for name in [Some(setting.key), Some(setting.variable), older].into_iter().flatten() {
                assert!(seen.insert(name), "{name} occurs twice");
            }
        }
    }

    #[test]
    fn every_setting_reaches_the_policy_and_is_bounded() {
        for setting in &SETTINGS {
            let (good, bad) = match &setting.put {
                Put::Amount(_) => ("49.90", ["-1", "1e3", "0.0000001"]),
                Put::Count(..) => ("7", ["0", "1001", "many"]),
                Put::Span(..) | Put::SpanOrNever(..) => ("90s", ["400d", "often", "-1s"]),
            };
            assert_ne!(one(setting.key, good).unwrap(), Policy::default(), "{}", setting.key);
            for bad in bad {
                let error = one(setting.key, bad).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::BadInput);
                assert!(error.to_string().contains(setting.variable), "{error}");
                assert!(error.hint().unwrap().starts_with("it takes "), "{error}");
            }
        }
        let policy = one("spend_month_max", "49.90").unwrap();
        assert_eq!(policy.spend.micros_per_month, Some(49_900_000));
        assert_eq!(one("nodes_max", "7").unwrap().spend.nodes, Some(7));
        assert_eq!(one("keep_warm", "90s").unwrap().keep_warm, Duration::from_secs(90));
    }

    #[test]
    fn our_names_outrank_older_ones_and_empty_variables_are_unset() {
        let variables = [
            ("SAM_KEEP_WARM", "5m"),
            ("NODE_WARM_TIMEOUT_MS", "60000"),
            ("SAM_NODES_MAX", ""),
            ("MAX_NODES_PER_USER", "10"),
            ("PROVISIONING_TIMEOUT_MS", "1800500"),
        ];
        let read = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, text)| (*text).to_owned())
        };
        let policy = PolicySettings::from_environment(read).policy().unwrap();
        assert_eq!(policy.keep_warm, Duration::from_mins(5));
        assert_eq!(policy.spend.nodes, Some(10));
        assert_eq!(policy.provision_deadline, Duration::from_millis(1_800_500));
        let bad = PolicySettings::from_environment(|name| {
            (name == "MAX_NODES_PER_USER").then(|| "ten".to_owned())
        });
        let error = bad.policy().unwrap_err();
        assert!(error.to_string().starts_with("MAX_NODES_PER_USER: "), "{error}");
    }

    #[test]
    fn a_file_has_texts_and_numbers() {
        let mut file: toml::Table = toml::from_str(
            "listen = \"x\"\nkeep_warm = \"10m\"\nnodes_max = 5\nspend_month_max = 49.5\n",
        )
        .unwrap();
        let policy = PolicySettings::take_from(&mut file).unwrap().policy().unwrap();
        assert_eq!(policy.keep_warm, Duration::from_mins(10));
        assert_eq!(policy.spend.nodes, Some(5));
        assert_eq!(policy.spend.micros_per_month, Some(49_500_000));
        assert_eq!(file.keys().collect::<Vec<_>>(), ["listen"]);
        let mut file: toml::Table = toml::from_str("keep_warm = true\n").unwrap();
        let error = PolicySettings::take_from(&mut file).unwrap_err();
        assert!(error.to_string().contains("SAM_KEEP_WARM"), "{error}");
    }
}
