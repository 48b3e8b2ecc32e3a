//! The verbs of the replicas of one control plane.

use super::{CONFLICTS_MAX, Caller, Sam, too_many_conflicts};
use crate::engine::{Stamped, Stored, decode, encode};
use crate::error::{Error, ErrorKind, Result};
use crate::id::NodeId;
use crate::node::{NodeRecord, NodeState};
use crate::replica::{InstallationRecord, LinkRecord, Replica, ReplicaRecord};
use crate::store::{Commit, CommitError, Expect, ListQuery, Record, RecordKey, Refusal, Write};

impl Sam {
    /// Checks that the store belongs to this installation, and says so to whoever comes later when
    /// nobody did before. Repeatable.
    ///
    /// # Errors
    /// `Conflict` when it belongs to another, or to this one with other keys or other local nodes;
    /// what the store answered.
    pub async fn claim_installation(&self, mine: &InstallationRecord) -> Result<()> {
        let refuse = |message: &str, hint: &str| {
            Err(Error::new(ErrorKind::Conflict, message.to_owned()).with_hint(hint.to_owned()))
        };
        for _ in 0..CONFLICTS_MAX {
            let known = self.stamped::<InstallationRecord>(&InstallationRecord::the_key()).await?;
            let Some(known) = known.map(|known| known.record) else {
                let write = put(mine, Expect::Absent, "installation_claimed")?;
                if self.unless_changed(self.by_system().with_write(write)).await? {
                    return Ok(());
                }
                continue;
            };
            if known.installation != mine.installation || known.fingerprint != mine.fingerprint {
                return refuse(
                    "the store belongs to an installation with other keys",
                    "give every replica the same keys file with SAM_KEYS_FILE, copied from the \
                     replica that was started first, or choose another database",
                );
            }
            if known.nodes.is_some() && known.nodes != mine.nodes {
                return refuse(
                    "the other replicas keep local nodes in another directory",
                    "give every replica the same directory with SAM_NODES_DIR; replicas with local \
                     nodes run on one computer",
                );
            }
            return Ok(());
        }
        Err(too_many_conflicts())
    }

    /// Announces a replica. Whoever had its address before is gone, and is forgotten. One that others
    /// can reach must renew this: see [`Sam::renew_replica`].
    ///
    /// # Errors
    /// What the store answered.
    pub async fn join_replica(&self, me: &Replica) -> Result<()> {
        for other in self.replicas().await? {
            if other.url == me.url && other.id != me.id {
                self.leave_replica(&other).await?;
            }
        }
        let record = ReplicaRecord::new(me.clone(), self.0.clock.now());
        let write = put(&record, Expect::Anything, "replica_joined")?.with_due(record.due());
        self.commit(self.by_system().with_write(write)).await.map(drop).map_err(Error::from)
    }

    /// Says that a replica lives, which it does every [`ReplicaRecord::RENEW_EVERY`]; else the others
    /// forget it with its links. One that was forgotten is announced again. Repeatable.
    ///
    /// # Errors
    /// `Conflict` when others kept changing the record; what the store answered.
    pub async fn renew_replica(&self, me: &Replica) -> Result<()> {
        for _ in 0..CONFLICTS_MAX {
            let key = ReplicaRecord::key_of(me);
            let Some(known) = self.stamped::<ReplicaRecord>(&key).await? else {
                return self.join_replica(me).await;
            };
            let next = known.record.renewed(self.0.clock.now());
            let write = put(&next, Expect::Version(known.version), "replica_renewed")?;
            let commit = self.by_system().with_write(write.with_due(next.due()));
            if self.unless_changed(commit).await? {
                return Ok(());
            }
        }
        Err(too_many_conflicts())
    }

    /// Forgets a replica. Repeatable. Its links are replaced as its agents come back elsewhere.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn leave_replica(&self, replica: &Replica) -> Result<()> {
        let key = ReplicaRecord::key_of(replica);
        let write = Write::delete(key, Expect::Anything, "replica_left");
        self.commit(self.by_system().with_write(write)).await.map(drop).map_err(Error::from)
    }

    /// Returns the replicas that are announced, at most [`Replica::COUNT_MAX`], by id.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn replicas(&self) -> Result<Vec<Replica>> {
        let known = self.list_replicas().await?;
        Ok(known.into_iter().map(|stamped| stamped.record.replica).collect())
    }

    /// Returns the records of the replicas that are announced, at most [`Replica::COUNT_MAX`], by id.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn list_replicas(&self) -> Result<Vec<Stamped<ReplicaRecord>>> {
        let query = ListQuery::new(ReplicaRecord::KIND).with_limit(Replica::COUNT_MAX);
        let page = super::nodes::readable::<ReplicaRecord>(&self.0.store.list(&query).await?);
        Ok(page.items)
    }

    /// Records that a replica holds a node's link from now on, in place of any older one, and wakes
    /// the node.
    ///
    /// # Errors
    /// `Conflict` when others kept recording theirs; what the store answered.
    pub async fn open_link(&self, node: NodeId, replica: &Replica) -> Result<LinkRecord> {
        let key = LinkRecord::key_of(node);
        for _ in 0..CONFLICTS_MAX {
            let known = self.stamped::<LinkRecord>(&key).await?;
            // Links end with their records, so the number before is not always there to count on
            // from; but it was never above the head of the feed after it was written.
            let head = self.head().await?.rev.0;
            let before = known.as_ref().map_or(0, |known| known.record.link_epoch);
            let epoch = head.max(before) + 1;
            let link = LinkRecord::new(node, replica.clone(), epoch, self.0.clock.now());
            let expect = known.map_or(Expect::Absent, |known| Expect::Version(known.version));
            let commit = self.by_system().with_write(put(&link, expect, "link_opened")?);
            if self.unless_changed(commit.with_wake(NodeRecord::key_of(node))).await? {
                return Ok(link);
            }
        }
        Err(too_many_conflicts())
    }

    /// Forgets a link and wakes its node, unless a newer one took its place. Returns whether it was
    /// there. Repeatable.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn close_link(&self, link: &LinkRecord) -> Result<bool> {
        self.end_link(link, self.by_system().with_wake(NodeRecord::key_of(link.node))).await
    }

    async fn end_link(&self, link: &LinkRecord, commit: Commit) -> Result<bool> {
        let key = LinkRecord::key_of(link.node);
        let known = self.stamped::<LinkRecord>(&key).await?;
        let Some(known) = known.filter(|known| known.record == *link) else { return Ok(false) };
        let write = Write::delete(key, Expect::Version(known.version), "link_closed");
        self.unless_changed(commit.with_write(write)).await
    }

    /// Returns who holds a node's link.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn link_of(&self, node: NodeId) -> Result<Option<LinkRecord>> {
        let known = self.stamped::<LinkRecord>(&LinkRecord::key_of(node)).await?;
        Ok(known.map(|known| known.record))
    }

    /// Forgets links that nobody ends: of nodes that are deleted, and of replicas not among
    /// `alive`. Their nodes are left in peace: agents that come back are noticed then, and those that
    /// do not by the next look. Returns how many there were.
    ///
    /// # Errors
    /// What the store answered.
    pub async fn sweep_links(&self, alive: &[Replica]) -> Result<usize> {
        let (mut swept, mut after) = (0, None);
        loop {
            let query = ListQuery::new(LinkRecord::KIND).with_after(after);
            let page = super::nodes::readable::<LinkRecord>(&self.0.store.list(&query).await?);
            for link in page.items.into_iter().map(|stamped| stamped.record) {
                let node = self.node(link.node).await?;
                let gone = node.is_none_or(|node| node.record.state == NodeState::Deleted);
                if (gone || !alive.contains(&link.replica))
                    && self.end_link(&link, self.by_system()).await?
                {
                    swept += 1;
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(swept);
            }
        }
    }

    async fn stamped<R: Stored>(&self, key: &RecordKey) -> Result<Option<Stamped<R>>> {
        let stored: Option<Record> = self.0.store.load(key).await?;
        stored.as_ref().map(decode::<R>).transpose()
    }

    fn by_system(&self) -> Commit {
        self.commit_for(&Caller::system())
    }

    /// Commits; `false` when a record is no longer as expected.
    async fn unless_changed(&self, commit: Commit) -> Result<bool> {
        match self.commit(commit).await {
            Ok(_) => Ok(true),
            Err(CommitError::Refused(Refusal::VersionMismatch { .. })) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn put<R: Stored>(record: &R, expect: Expect, event: &'static str) -> Result<Write> {
    Ok(Write::put(record.key(), expect, encode(record)?, event).with_index(record.index()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::compute::MemoryCompute;
    use crate::engine::Stepped;
    use crate::replica::ReplicaResource;
    use crate::store::MemoryStore;
    use crate::time::{Clock, ManualClock, Timestamp};

    const NODE: NodeId = NodeId::from_bits(4);

    fn sams() -> (Sam, Sam) {
        let (one, two, _) = sams_and_clock();
        (one, two)
    }

    fn sams_and_clock() -> (Sam, Sam, ManualClock) {
        let clock = ManualClock::new(Timestamp::EPOCH);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let store = Arc::new(MemoryStore::new(Arc::clone(&shared)));
        let made = |seed| {
            let entropy = Arc::new(crate::entropy::SeededEntropy::new(seed));
            let compute = Arc::new(MemoryCompute::new());
            let sam = Sam::builder(Arc::clone(&store) as _, compute).entropy(entropy);
            sam.clock(Arc::clone(&shared)).build().unwrap()
        };
        (made(1), made(2), clock)
    }

    fn now<T>(work: impl Future<Output = T>) -> T {
        work.now_or_never().expect("nothing waits here")
    }

    #[test]
    fn a_newer_link_replaces_the_older_and_outlives_its_end() {
        let (one, two) = sams();
        let (a, b) = (Replica::new("a", "http://a/"), Replica::new("b", "http://b"));
        let first = now(one.open_link(NODE, &a)).unwrap();
        let second = now(two.open_link(NODE, &b)).unwrap();
        assert!(second.link_epoch > first.link_epoch);
        assert!(!now(one.close_link(&first)).unwrap());
        assert_eq!(now(one.link_of(NODE)).unwrap(), Some(second.clone()));
        assert!(now(two.close_link(&second)).unwrap());
        assert!(!now(two.close_link(&second)).unwrap());
        assert_eq!(now(one.link_of(NODE)).unwrap(), None);
        // The number rises although the record was gone, or a late end would end this one.
        let third = now(one.open_link(NODE, &b)).unwrap();
        assert!(third.link_epoch > second.link_epoch);
        assert!(!now(two.close_link(&second)).unwrap());
    }

    #[test]
    fn a_replica_takes_the_address_of_one_that_is_gone_and_links_of_the_dead_are_swept() {
        let (one, _) = sams();
        let (old, new) = (Replica::new("old", "http://a"), Replica::new("new", "http://a/"));
        now(one.join_replica(&old)).unwrap();
        now(one.open_link(NODE, &old)).unwrap();
        now(one.join_replica(&new)).unwrap();
        now(one.join_replica(&new)).unwrap();
        assert_eq!(now(one.replicas()).unwrap(), std::slice::from_ref(&new));
        assert_eq!(now(one.sweep_links(std::slice::from_ref(&new))).unwrap(), 1);
        assert_eq!(now(one.link_of(NODE)).unwrap(), None);
        now(one.leave_replica(&new)).unwrap();
        now(one.leave_replica(&new)).unwrap();
        assert_eq!(now(one.replicas()).unwrap(), []);
    }

    /// Works in one process for a while; what is renewed is renewed every minute.
    fn pass(sam: &Sam, clock: &ManualClock, minutes: u32, renewing: &[&Replica]) {
        for _ in 0..minutes * 6 {
            while now(sam.step()).unwrap() == Stepped::Worked {}
            clock.advance(Duration::from_secs(10));
            if clock.now().as_micros() % 60_000_000 < 10_000_000 {
                for replica in renewing {
                    now(sam.renew_replica(replica)).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_replica_that_was_killed_is_forgotten_by_the_others_with_its_links() {
        let (one, two, clock) = sams_and_clock();
        let (killed, alive) = (Replica::new("a", "http://a"), Replica::new("b", "http://b"));
        now(one.join_replica(&killed)).unwrap();
        now(two.join_replica(&alive)).unwrap();
        // More than one commit ends; one of them has gone on elsewhere.
        let nodes = 1..=u128::try_from(ReplicaResource::LINKS_MAX + 5).unwrap();
        for bits in nodes.clone() {
            now(one.open_link(NodeId::from_bits(bits), &killed)).unwrap();
        }
        let moved = now(two.open_link(NODE, &alive)).unwrap();
        pass(&two, &clock, 2, &[&alive]);
        assert_eq!(now(two.replicas()).unwrap().len(), 2, "it may come back yet");
        pass(&two, &clock, 2, &[&alive]);
        assert_eq!(now(two.replicas()).unwrap(), std::slice::from_ref(&alive));
        for bits in nodes {
            let link = now(two.link_of(NodeId::from_bits(bits))).unwrap();
            assert_eq!(link, (bits == NODE.to_bits()).then(|| moved.clone()), "{bits}");
        }
        // It lives after all, and says so.
        now(one.renew_replica(&killed)).unwrap();
        assert_eq!(now(two.replicas()).unwrap().len(), 2);
    }

    #[test]
    fn a_replica_that_renews_stays_and_one_that_was_missed_is_not_forgotten_when_it_is_back() {
        let (one, two, clock) = sams_and_clock();
        let (a, alone) = (Replica::new("a", "http://a"), Replica::new("b", ""));
        now(one.join_replica(&a)).unwrap();
        now(one.join_replica(&alone)).unwrap();
        let link = now(one.open_link(NODE, &a)).unwrap();
        pass(&two, &clock, 30, &[&a]);
        assert_eq!(now(two.replicas()).unwrap().len(), 2);
        // Away for as long as it may be.
        pass(&two, &clock, 2, &[]);
        let missed = || now(two.list_replicas()).unwrap()[0].record.missed;
        while missed() == 0 {
            pass(&two, &clock, 1, &[]);
        }
        now(one.renew_replica(&a)).unwrap();
        assert_eq!(missed(), 0);
        pass(&two, &clock, 30, &[&a]);
        // One that nobody else can reach has nobody who misses it.
        assert_eq!(now(two.replicas()).unwrap(), [a, alone]);
        assert_eq!(now(two.link_of(NODE)).unwrap(), Some(link));
    }

    #[test]
    fn a_store_belongs_to_one_installation_with_one_set_of_keys() {
        let (one, two) = sams();
        let record = |installation: &str, keys: &str, nodes: &str| {
            let nodes = Some(nodes.to_owned());
            InstallationRecord::new(installation.into(), keys.into(), nodes, Timestamp::EPOCH)
        };
        now(one.claim_installation(&record("i", "k", "n"))).unwrap();
        now(two.claim_installation(&record("i", "k", "n"))).unwrap();
        for (other, word) in [
            (record("j", "k", "n"), "SAM_KEYS_FILE"),
            (record("i", "l", "n"), "SAM_KEYS_FILE"),
            (record("i", "k", "m"), "SAM_NODES_DIR"),
        ] {
            let error = now(two.claim_installation(&other)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert!(error.hint().unwrap().contains(word), "{error}");
        }
    }
}
