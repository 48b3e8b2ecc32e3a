//! C9 and C10: the feed and lists.

use std::sync::Arc;

use super::super::{Failure, ensure, ensure_eq};
use super::{Fresh, OTHER, THING, put, thing};
use crate::store::{
    ChangeOp, Cursor, Epoch, Expect, Feed, IndexField, ListQuery, Record, RecordKey, Rev, Write,
};

pub(super) async fn the_feed_is_read_in_pages_without_a_gap(store: &Fresh) -> Result<(), Failure> {
    let start = store.head().await?;
    for index in 0..10 {
        store.write(put(&format!("r{index}"), Expect::Absent)).await?;
    }
    let head = store.head().await?;
    ensure_eq!(head.rev, Rev(10), "head");
    ensure_eq!(head.epoch, start.epoch, "epoch");
    let mut cursor = start;
    let mut seen = Vec::new();
    for limit in [1, 3, 4, 100] {
        let page = store.changes(&cursor, limit).await?;
        ensure!(page.len() <= limit, "{} changes in a page of {limit}", page.len());
        if let Some(last) = page.last() {
            cursor.rev = last.rev;
        }
        seen.extend(page.into_iter().map(|change| change.rev.0));
    }
    ensure_eq!(seen, (1..=10).collect::<Vec<u64>>(), "revisions");
    ensure!(store.changes(&cursor, 10).await?.is_empty(), "changes after the head");
    let without_cursor = store.store.changes(None, 5).await?;
    let head_only = matches!(&without_cursor, Feed::Changes(feed) if feed.changes.is_empty());
    ensure!(head_only, "without a cursor only the head is told: {without_cursor:?}");
    Ok(())
}

pub(super) async fn a_change_tells_who_did_what(store: &Fresh) -> Result<(), Failure> {
    let start = store.head().await?;
    let write = Write::put(thing("a"), Expect::Absent, r#"{"n":1}"#, "thing_made");
    let commit = store.empty().with_write(write).with_request_id(Some("req-1".to_owned()));
    let id = commit.id;
    store.apply(commit).await?;
    store.write(Write::delete(thing("a"), Expect::Version(1), "thing_deleted")).await?;
    let changes = store.changes(&start, 10).await?;
    let [made, deleted] = changes.as_slice() else {
        return Err(Failure::new(format!("{} changes, expected two", changes.len())));
    };
    ensure_eq!((made.commit_id, made.version, made.op), (id, 1, ChangeOp::Put), "the first change");
    ensure_eq!(made.actor.as_str(), "tester", "actor");
    ensure_eq!(made.request_id.as_deref(), Some("req-1"), "request id");
    ensure_eq!((&made.key, made.event.as_str()), (&thing("a"), "thing_made"), "key and event");
    ensure_eq!(&*made.body, r#"{"n":1}"#, "body");
    ensure_eq!((deleted.version, deleted.op), (2, ChangeOp::Delete), "the second change");
    ensure_eq!((&*deleted.body, &deleted.request_id), (r#"{"n":1}"#, &None), "its last body");
    ensure!(deleted.at >= made.at, "the time of changes went back");
    Ok(())
}

pub(super) async fn a_cursor_of_another_history_is_stale(store: &Fresh) -> Result<(), Failure> {
    store.write(put("a", Expect::Absent)).await?;
    let head = store.head().await?;
    let beyond = Cursor::new(head.epoch.clone(), Rev(2));
    let elsewhere = Cursor::new(Epoch::new("elsewhere"), Rev(0));
    for cursor in [beyond, elsewhere] {
        match store.store.changes(Some(&cursor), 10).await? {
            Feed::Stale { head: told, .. } => ensure_eq!(told, head, "the head that is told"),
            Feed::Changes(_) => return Err(Failure::new(format!("{cursor} is not stale"))),
        }
    }
    let legal = head.epoch.as_str();
    let legal = (1..=40).contains(&legal.len()) && legal.chars().all(|c| c.is_ascii_alphanumeric());
    ensure!(legal, "epoch {} is not 1 to 40 letters and digits", head.epoch);
    ensure_eq!(head.to_string().parse(), Ok(head), "the cursor read back");
    Ok(())
}

pub(super) async fn large_bodies_come_in_several_pages(store: &Fresh) -> Result<(), Failure> {
    let body = Arc::<str>::from("x".repeat(Record::BODY_BYTES_MAX));
    let mut cursor = store.head().await?;
    for index in 0..40 {
        let key = thing(&format!("{index:02}"));
        store.write(Write::put(key, Expect::Absent, Arc::clone(&body), "thing_put")).await?;
    }
    for rev in 1..=40 {
        if cursor.rev.0 + 1 > rev {
            continue;
        }
        let page = store.changes(&cursor, 40).await?;
        let first = page.first().map(|change| change.rev.0);
        ensure_eq!(first, Some(rev), "first revision of a page");
        ensure!(page.iter().all(|change| change.body == body), "a body was cut");
        cursor.rev = page.last().map_or(cursor.rev, |change| change.rev);
    }
    ensure_eq!(all(store, &ListQuery::new(THING)).await?.len(), 40, "records listed");
    Ok(())
}

/// Reads every page and returns the ids.
async fn all(store: &Fresh, query: &ListQuery) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::new();
    let mut query = query.clone();
    loop {
        let page = store.store.list(&query).await?;
        ensure!(page.items.len() <= query.limit, "a page is larger than asked for");
        let last = page.items.last().map(|record| record.key.id.clone());
        ensure!(page.next.is_none() || page.next == last, "the next page begins elsewhere");
        ids.extend(page.items.into_iter().map(|record| record.key.id));
        ensure!(ids.is_sorted_by(|a, b| a < b), "ids are not in order");
        match page.next {
            Some(next) => query = query.with_after(Some(next)),
            None => return Ok(ids),
        }
    }
}

pub(super) async fn a_list_pages_by_id(store: &Fresh) -> Result<(), Failure> {
    let mut expected: Vec<String> =
        ["B", "a", "a-1", "a1", "b", "é", "zz"].map(str::to_owned).into();
    for id in expected.iter().rev() {
        store.write(put(id, Expect::Absent)).await?;
    }
    let other = RecordKey::new(OTHER, "a2");
    store.write(Write::put(other, Expect::Absent, "{}", "other_put")).await?;
    expected.sort();
    for limit in [1, 2, 7, 100] {
        let query = ListQuery::new(THING).with_limit(limit);
        ensure_eq!(all(store, &query).await?, expected, "ids in pages of {limit}");
    }
    let page = store.store.list(&ListQuery::new(THING).with_limit(7)).await?;
    ensure_eq!(page.next, None, "the next page of a full last one");
    let absent = store.store.list(&ListQuery::new(crate::store::Kind::new("none"))).await?;
    ensure!(absent.items.is_empty() && absent.next.is_none(), "an unknown kind");
    Ok(())
}

pub(super) async fn a_list_filters_by_each_indexed_value(store: &Fresh) -> Result<(), Failure> {
    for index in 0..6_u32 {
        let value = |name: &str, modulus: u32| Some(format!("{name}{}", index % modulus));
        let third = if index == 3 { None } else { value("c", 1) };
        let values = [value("a", 2), value("b", 3), third];
        store.write(put(&format!("r{index}"), Expect::Absent).with_index(values)).await?;
    }
    let query = |field, value: &str| ListQuery::new(THING).with_limit(1).with_filter(field, value);
    let first = all(store, &query(IndexField::First, "a1")).await?;
    ensure_eq!(first, ["r1", "r3", "r5"], "by the first value");
    let second = all(store, &query(IndexField::Second, "b2")).await?;
    ensure_eq!(second, ["r2", "r5"], "by the second value");
    let third = all(store, &query(IndexField::Third, "c0")).await?;
    ensure_eq!(third, ["r0", "r1", "r2", "r4", "r5"], "by the third value");
    let moved = [Some("a0".to_owned()), None, None];
    store.write(put("r1", Expect::Version(1)).with_index(moved.clone())).await?;
    let first = all(store, &query(IndexField::First, "a1")).await?;
    ensure_eq!(first, ["r3", "r5"], "after a value changed");
    let record = store.store.load(&thing("r1")).await?;
    ensure_eq!(record.map(|record| record.index), Some(moved), "values of the record");
    each_value_moves_alone_and_with_others(store).await
}

async fn each_value_moves_alone_and_with_others(store: &Fresh) -> Result<(), Failure> {
    let fields = [IndexField::First, IndexField::Second, IndexField::Third];
    let mut values = [0; 3];
    store.write(put("s", Expect::Absent).with_index(values.map(|v| Some(format!("s{v}"))))).await?;
    for changed in 1..8_u64 {
        for (bit, value) in values.iter_mut().enumerate() {
            *value += u64::from(changed & (1 << bit) != 0);
        }
        let index = values.map(|value| Some(format!("s{value}")));
        store.write(put("s", Expect::Version(changed)).with_index(index.clone())).await?;
        for (field, value) in fields.into_iter().zip(index.into_iter().flatten()) {
            let query = ListQuery::new(THING).with_filter(field, value.as_str());
            ensure_eq!(all(store, &query).await?, ["s"], "{field:?} after change {changed}");
        }
    }
    Ok(())
}

pub(super) async fn a_list_pages_each_record_once_while_others_write(
    store: &Fresh,
) -> Result<(), Failure> {
    for index in (0..20).step_by(2) {
        store.write(put(&format!("r{index:02}"), Expect::Absent)).await?;
    }
    let mut query = ListQuery::new(THING).with_limit(3);
    let mut seen = Vec::new();
    let mut round = 0;
    loop {
        let page = store.store.list(&query).await?;
        seen.extend(page.items.into_iter().map(|record| record.key.id));
        ensure!(seen.is_sorted_by(|a, b| a < b), "ids are not in order: {seen:?}");
        let Some(next) = page.next else { break };
        ensure!(round < 20, "the pages do not end");
        query = query.with_after(Some(next));
        // Before the cursor, at it, and an update of what was seen: none may shift the pages.
        store.write(put(&format!("r{:02}", round * 2 + 1), Expect::Absent)).await?;
        store.write(put("r00", Expect::Anything)).await?;
        let delete = Write::delete(thing("r02"), Expect::Anything, "thing_deleted");
        store.write(delete).await?;
        round += 1;
    }
    let even = |id: &&String| id.as_str() <= "r18" && !seen_odd(id);
    let steady: Vec<&String> = seen.iter().filter(even).collect();
    ensure_eq!(steady.len(), 10, "records that were there all the time, each once");
    Ok(())
}

fn seen_odd(id: &str) -> bool {
    id.bytes().next_back().is_some_and(|digit| digit % 2 == 1)
}
