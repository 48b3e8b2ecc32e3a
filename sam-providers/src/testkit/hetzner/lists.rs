//! Lists: pages, selectors, and one that lags behind.

use std::collections::BTreeMap;
use std::time::Duration;

use sam_core::time::Timestamp;
use serde_json::{Value, json};

use super::requests::Query;
use super::{Reply, invalid};

pub(super) type Labels = BTreeMap<String, String>;

/// Something of a list.
pub(super) trait Entry {
    fn name(&self) -> &str;
    fn labels(&self) -> &Labels;
}

/// Returns one page of what fits a query; `show` tells how an entry looks.
pub(super) fn page<'a, T: Entry + 'a>(
    member: &str,
    query: &Query,
    entries: impl Iterator<Item = (u64, &'a T)>,
    show: impl Fn(u64, &T) -> Value,
) -> Reply {
    let selector = query.one("label_selector").unwrap_or_default();
    let Some(terms) = terms(selector) else { return invalid("label_selector") };
    let name = query.one("name").filter(|name| !name.is_empty());
    let fits = |entry: &T| {
        name.is_none_or(|name| entry.name() == name)
            && terms.iter().all(|term| term.holds(entry.labels()))
    };
    let all: Vec<_> = entries.filter(|(_, entry)| fits(entry)).collect();
    paged(member, query, &all, |(id, entry)| show(*id, entry))
}

/// Cuts a page out of a list.
pub(super) fn paged<T>(
    member: &str,
    query: &Query,
    all: &[T],
    show: impl Fn(&T) -> Value,
) -> Reply {
    let number = |name: &str, usual: usize| query.one(name).map_or(Some(usual), |n| n.parse().ok());
    let (Some(page @ 1..), Some(per_page @ 1..=50)) = (number("page", 1), number("per_page", 25))
    else {
        return invalid("page");
    };
    let items: Vec<Value> =
        all.iter().skip((page - 1).saturating_mul(per_page)).take(per_page).map(show).collect();
    let last = all.len().div_ceil(per_page).max(1);
    let pagination = json!({
        "page": page,
        "per_page": per_page,
        "previous_page": (page > 1).then(|| page - 1),
        "next_page": (page < last).then(|| page + 1),
        "last_page": last,
        "total_entries": all.len(),
    });
    (200, json!({ member: items, "meta": { "pagination": pagination } }))
}

/// One condition of a selector.
struct Term {
    name: String,
    values: Option<Vec<String>>,
    negated: bool,
}

impl Term {
    fn holds(&self, labels: &Labels) -> bool {
        let found = labels
            .get(&self.name)
            .is_some_and(|value| self.values.as_ref().is_none_or(|values| values.contains(value)));
        found != self.negated
    }
}

/// Reads a selector, `a==b,!c,d in (e,f)`; `None` where it is none.
fn terms(selector: &str) -> Option<Vec<Term>> {
    let mut depth = 0_u32;
    let parts = selector.split(|letter: char| {
        depth = match letter {
            '(' => depth + 1,
            ')' => depth.saturating_sub(1),
            _ => depth,
        };
        letter == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).map(term).collect()
}

fn term(part: &str) -> Option<Term> {
    let set = |list: &str| {
        let list = list.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(list.split(',').map(|value| value.trim().to_owned()).collect())
    };
    let (name, values, negated) = if let Some((name, list)) = part.split_once(" notin ") {
        (name, Some(set(list)?), true)
    } else if let Some((name, list)) = part.split_once(" in ") {
        (name, Some(set(list)?), false)
    } else if let Some((name, value)) = part.split_once("!=") {
        (name, Some(vec![value.to_owned()]), true)
    } else if let Some((name, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        (name, Some(vec![value.to_owned()]), false)
    } else if let Some(name) = part.strip_prefix('!') {
        (name, None, true)
    } else {
        (part, None, false)
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    let name = name.trim();
    (!name.is_empty() && name.bytes().all(legal)).then(|| Term {
        name: name.to_owned(),
        values,
        negated,
    })
}

/// Things whose list shows the past.
#[derive(Debug)]
pub(super) struct Lagging<T> {
    entries: BTreeMap<u64, (Timestamp, T)>,
    gone: BTreeMap<u64, (Timestamp, T)>,
    lag: Duration,
}

impl<T> Default for Lagging<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), gone: BTreeMap::new(), lag: Duration::ZERO }
    }
}

impl<T> Lagging<T> {
    pub(super) fn set_lag(&mut self, lag: Duration) {
        self.lag = lag;
    }

    pub(super) fn insert(&mut self, id: u64, at: Timestamp, entry: T) {
        self.entries.insert(id, (at, entry));
    }

    pub(super) fn remove(&mut self, id: u64, at: Timestamp) {
        if let Some((_, entry)) = self.entries.remove(&id) {
            self.gone.insert(id, (at, entry));
        }
    }

    pub(super) fn get(&self, id: u64) -> Option<&T> {
        self.entries.get(&id).map(|(_, entry)| entry)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut T> {
        self.entries.get_mut(&id).map(|(_, entry)| entry)
    }

    /// Everything, as it is.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.entries.iter().map(|(id, (_, entry))| (*id, entry))
    }

    /// Changes each.
    pub(super) fn change(&mut self, change: impl Fn(&mut T)) {
        self.entries.values_mut().for_each(|(_, entry)| change(entry));
    }

    /// What the list shows.
    pub(super) fn listed(&self, now: Timestamp) -> impl Iterator<Item = (u64, &T)> {
        let lag = self.lag;
        let seen = self.entries.iter().filter(move |(_, (at, _))| now.since(*at) >= lag);
        let still = self.gone.iter().filter(move |(_, (at, _))| now.since(*at) < lag);
        let mut all: Vec<_> = seen.chain(still).map(|(id, (_, entry))| (*id, entry)).collect();
        all.sort_by_key(|(id, _)| *id);
        all.into_iter()
    }
}
