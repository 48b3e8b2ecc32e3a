//! What is to be changed so that records become a set: decided without looking at anything else.

use sam_core::dns::{RecordSet, RecordType, RecordValue};

use super::wire::{Changes, Delete, Patch, Record, TTL_AUTOMATIC, Wanted};

/// How new records are made.
#[derive(Debug, Clone)]
pub(super) struct Style {
    pub(super) proxied: bool,
    pub(super) comment: Option<String>,
    pub(super) tags: Vec<String>,
}

/// Returns the changes that make the records of a key the values of a set: each value once.
///
/// A record whose value is no longer wanted becomes one that is missing, where there is one: the name
/// never stops resolving in between, an alias is replaced in place, and comments stay.
pub(super) fn changes(found: &[Record], set: &RecordSet, style: &Style) -> Changes {
    let mut changes = Changes::default();
    let mut missing: Vec<&RecordValue> = set.values().collect();
    let mut spare = Vec::new();
    for record in found {
        let value = record.value();
        let Some(at) = missing.iter().position(|wanted| Some(*wanted) == value.as_ref()) else {
            spare.push(record);
            continue;
        };
        let to = Wanted::new(set, missing.remove(at), style.proxied);
        if !is_so(record, &to) {
            changes.patches.push(Patch { id: record.id.clone(), to });
        }
    }
    let mut spare = spare.into_iter();
    for value in missing {
        let to = Wanted::new(set, value, style.proxied);
        match spare.next() {
            Some(record) => changes.patches.push(Patch { id: record.id.clone(), to }),
            None => changes.posts.push(to.with_notes(style.comment.as_deref(), &style.tags)),
        }
    }
    changes.deletes = deletions(spare);
    changes
}

/// Returns the changes that take records away.
pub(super) fn deletions<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<Delete> {
    records.into_iter().map(|record| Delete { id: record.id.clone() }).collect()
}

/// Returns whether two types may not stand under one name.
pub(super) fn exclude(one: Option<RecordType>, other: RecordType) -> bool {
    // A type that is none of ours is beside a CNAME like any other.
    one != Some(other) && (other == RecordType::Cname || one == Some(RecordType::Cname))
}

fn is_so(record: &Record, wanted: &Wanted) -> bool {
    let proxied = record.proxied.unwrap_or_default();
    // What is proxied has no time to live of its own.
    let same_ttl = record.ttl() == Some(wanted.ttl) || (proxied && wanted.ttl == TTL_AUTOMATIC);
    same_ttl && proxied == wanted.proxied.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use sam_core::dns::Ttl;
    use serde_json::{Value, json};

    use super::*;

    fn record(id: u32, content: &str) -> Value {
        json!({ "id": id.to_string(), "name": "a.example.com", "type": "A", "content": content, "ttl": 60 })
    }

    fn set(last: &[u8]) -> RecordSet {
        let values = last.iter().map(|last| RecordValue::A([192, 0, 2, *last].into()));
        RecordSet::new("a.example.com".parse().unwrap(), values, Ttl::DEFAULT).unwrap()
    }

    fn planned(found: &[Value], last: &[u8], proxied: bool) -> Value {
        let records: Vec<Record> =
            found.iter().map(|record| serde_json::from_value(record.clone()).unwrap()).collect();
        let style = Style { proxied, comment: Some("home".to_owned()), tags: Vec::new() };
        serde_json::to_value(changes(&records, &set(last), &style)).unwrap()
    }

    #[test]
    fn what_is_so_already_is_left_alone() {
        let found = [record(1, "192.0.2.1"), record(2, "192.0.2.2")];
        assert_eq!(planned(&found, &[2, 1], false), json!({}));
    }

    #[test]
    fn spare_records_become_missing_ones_and_keep_their_comments() {
        let found = [record(1, "192.0.2.1"), record(2, "192.0.2.2"), record(3, "192.0.2.2")];
        let planned = planned(&found, &[2, 3], false);
        assert_eq!(planned["patches"][0]["id"], "1");
        assert_eq!(planned["patches"][0]["content"], "192.0.2.3");
        assert_eq!(planned["patches"][0].get("comment"), None);
        // The second record of one value is one too many.
        assert_eq!(planned["deletes"], json!([{ "id": "3" }]));
        assert_eq!(planned.get("posts"), None);
    }

    #[test]
    fn new_records_carry_the_comment() {
        let planned = planned(&[], &[1], false);
        assert_eq!(
            planned["posts"],
            json!([{ "type": "A", "name": "a.example.com", "content": "192.0.2.1", "ttl": 60,
                "proxied": false, "comment": "home" }])
        );
    }

    #[test]
    fn proxied_records_have_no_time_to_live_of_their_own() {
        let mut found = record(1, "192.0.2.1");
        assert_eq!(planned(&[found.clone()], &[1], true)["patches"][0]["ttl"], 1);
        found["proxied"] = json!(true);
        found["ttl"] = json!(1);
        assert_eq!(planned(&[found.clone()], &[1], true), json!({}));
        assert_eq!(planned(&[found], &[1], false)["patches"][0]["proxied"], false);
    }

    #[test]
    fn only_an_alias_excludes_others() {
        use RecordType::{A, Aaaa, Cname, Txt};
        assert!(exclude(Some(A), Cname) && exclude(Some(Cname), Txt) && exclude(None, Cname));
        assert!(!exclude(Some(A), Aaaa) && !exclude(Some(Cname), Cname) && !exclude(None, A));
    }
}
