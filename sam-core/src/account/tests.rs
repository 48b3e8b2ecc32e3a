//! Who is let in, what ends a login, and what two at once come to.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::*;
use crate::compute::MemoryCompute;
use crate::engine::{Stamped, Stepped};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Changes, MemoryStore, Store as _, WriteOp};
use crate::store::{Feed, Revise as _};
use crate::time::{Clock as _, ManualClock, Timestamp};
use crate::{Caller, Restore, Sam};

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing waits here")
}

struct Bench {
    clock: ManualClock,
    store: Arc<MemoryStore>,
    sam: Sam,
}

impl Bench {
    fn new() -> Self {
        let clock = ManualClock::new(Timestamp::EPOCH);
        let store = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
        let shared = Arc::clone(&store) as _;
        let sam = Sam::builder(shared, Arc::new(MemoryCompute::new()));
        Self { sam: sam.clock(Arc::new(clock.clone())).build().unwrap(), clock, store }
    }

    fn sign_in(&self, who: &Visitor, list: &str) -> Result<AccountRecord> {
        let admission: Admission = list.parse().unwrap();
        let signed = now(self.sam.sign_in_account(who, &admission, &Caller::named("github")));
        signed.map(|stamped: Stamped<AccountRecord>| stamped.record)
    }

    fn begin(&self, account: &AccountRecord) -> String {
        let caller = caller();
        let begun = self.sam.begin_login(account, LoginChannel::Browser, Some("x"), &caller);
        now(begun).unwrap().0.expose().clone()
    }

    fn is_good(&self, token: &str) -> bool {
        now(self.sam.login(token)).unwrap().is_some()
    }

    fn work(&self) {
        while now(self.sam.step()).unwrap() == Stepped::Worked {}
    }

    /// Everything that was ever written.
    fn feed(&self) -> String {
        let mut cursor = crate::store::Cursor::clone(&now(self.start()));
        let mut all = String::new();
        loop {
            let feed = now(self.store.changes(Some(&cursor), Changes::LIMIT_MAX)).unwrap();
            let Feed::Changes(page) = feed else { panic!("it is all kept") };
            let Some(last) = page.changes.last() else { return all };
            cursor.rev = last.rev;
            all.extend(page.changes.iter().map(|change| format!("{change:?}\n")));
        }
    }

    async fn start(&self) -> crate::store::Cursor {
        let mut head = self.sam.head().await.unwrap();
        head.rev = crate::store::Rev::default();
        head
    }
}

fn caller() -> Caller {
    Caller::named("test")
}

fn mona() -> Visitor {
    Visitor::new("github.com", 1, "Mona")
}

fn kind<T: std::fmt::Debug>(outcome: Result<T>) -> ErrorKind {
    outcome.map_err(|error: Error| error.kind()).unwrap_err()
}

#[test]
fn nobody_is_let_in_who_is_not_listed() {
    assert_eq!("".parse(), Ok(Admission::Nobody));
    assert_eq!(" , ".parse(), Ok(Admission::Nobody));
    assert_eq!("*".parse(), Ok(Admission::Anybody));
    for bad in ["*,mona", "a b", "id:x", "id:", "mona@example.com", "<x>"] {
        assert!(matches!(bad.parse::<Admission>(), Err(ParseAdmissionError::Entry(_))), "{bad}");
    }
    let many: Vec<String> = (0..=Admission::ENTRIES_MAX).map(|n| format!("u{n}")).collect();
    assert_eq!(many.join(",").parse::<Admission>(), Err(ParseAdmissionError::Length));
    for (list, admitted) in [
        ("", None),
        ("other", None),
        ("id:2", None),
        ("*", Some(Admitted::Freely)),
        ("id:1", Some(Admitted::Freely)),
        ("other, MONA", Some(Admitted::ByName("mona".to_owned()))),
    ] {
        let admission: Admission = list.parse().unwrap();
        assert_eq!(admission.admit(&mona(), None), admitted, "{list}");
    }
    let bench = Bench::new();
    assert_eq!(kind(bench.sign_in(&mona(), "other")), ErrorKind::Denied);
    assert!(now(bench.sam.list_accounts(None, 10)).unwrap().items.is_empty());
}

#[test]
fn an_account_is_its_number_and_a_name_that_was_taken_by_another_opens_nothing() {
    let bench = Bench::new();
    let first = bench.sign_in(&mona(), "mona").unwrap();
    // Renamed, she is still let in, and is who she was.
    let renamed = Visitor::new("github.com", 1, "lisa");
    let again = bench.sign_in(&renamed, "mona").unwrap();
    assert_eq!((again.id, again.handle.as_str()), (first.id, "lisa"));
    // Whoever took the name is not.
    let other = Visitor::new("github.com", 2, "mona");
    assert_eq!(kind(bench.sign_in(&other, "mona")), ErrorKind::Denied);
    assert_eq!(now(bench.sam.account_of("github.com", 2)).unwrap(), None);
    // Unless listed by number; and by name, once the first goes by another one.
    bench.sign_in(&other, "mona,id:2").unwrap();
    bench.sign_in(&renamed, "lisa").unwrap();
    let taken = bench.sign_in(&other, "mona,lisa").unwrap();
    assert_eq!(taken.admitted_as.as_deref(), Some("mona"));
    // The same number at another forge is another person.
    let elsewhere = Visitor::new("git.example.com", 1, "mona");
    assert_ne!(bench.sign_in(&elsewhere, "*").unwrap().id, first.id);
    assert_eq!(now(bench.sam.list_accounts(None, 10)).unwrap().items.len(), 3);
}

#[test]
fn who_is_taken_off_the_list_is_out_at_once() {
    let bench = Bench::new();
    let keeps =
        |list: &str, account: &AccountRecord| list.parse::<Admission>().unwrap().keeps(account);
    let by_name = bench.sign_in(&mona(), "mona").unwrap();
    for (list, expected) in
        [("mona,x", true), ("*", true), ("id:1", true), ("x", false), ("", false)]
    {
        assert_eq!(keeps(list, &by_name), expected, "{list}");
    }
    // Let in by nobody's name, a name does not keep her: it may be another's by now.
    let lisa = bench.sign_in(&Visitor::new("github.com", 2, "lisa"), "*").unwrap();
    assert!(!keeps("lisa", &lisa));
}

#[test]
fn what_a_forge_tells_is_bounded_and_written_down_anew() {
    let bench = Bench::new();
    let mut visitor = mona();
    visitor.name = Some(format!("  {}", "n".repeat(1_000)));
    visitor.email = "e".repeat(1_000);
    visitor.email_is_verified = true;
    visitor.avatar_url = Some("javascript:alert(1)".to_owned());
    let account = bench.sign_in(&visitor, "*").unwrap();
    assert_eq!(account.name.unwrap().len(), AccountRecord::NAME_CHARS_MAX);
    assert_eq!((account.email.as_str(), account.email_is_verified), ("", false));
    assert_eq!(account.avatar_url, None);
    visitor.email = "mona@example.com".to_owned();
    visitor.avatar_url = Some("https://avatars.example.com/1".to_owned());
    bench.clock.advance(Duration::from_secs(9));
    let account = bench.sign_in(&visitor, "*").unwrap();
    assert_eq!((account.email.as_str(), account.email_is_verified), ("mona@example.com", true));
    assert_eq!(account.signed_in_at.since(account.created_at), Duration::from_secs(9));
    assert_eq!(kind(bench.sign_in(&Visitor::new("github.com", 1, ""), "*")), ErrorKind::BadInput);
}

#[test]
fn a_login_ends_when_it_is_not_used_and_at_the_end_of_its_life() {
    let bench = Bench::new();
    let account = bench.sign_in(&mona(), "*").unwrap();
    let idle = bench.begin(&account);
    bench.clock.advance(LoginRecord::IDLE_MAX.saturating_sub(Duration::from_secs(1)));
    bench.work();
    let used = bench.begin(&account);
    assert!(bench.is_good(&idle) && bench.is_good(&used));
    // That one was just used, and lives on; it ends all the same.
    let mut age = LoginRecord::IDLE_MAX;
    while age < LoginRecord::LIFE_MAX {
        assert!(bench.is_good(&idle), "{age:?}");
        bench.clock.advance(Duration::from_hours(24));
        bench.work();
        age += Duration::from_hours(24);
    }
    assert!(bench.is_good(&idle));
    bench.clock.advance(Duration::from_secs(1));
    assert!(!bench.is_good(&idle));
    // The other was never used: it went after its month, and nothing is left of it.
    assert!(!bench.is_good(&used));
    bench.work();
    assert!(now(bench.sam.logins_of(account.id)).unwrap().is_empty());
    for id in [&idle, &used].map(|token| LoginRecord::id_of(token).unwrap()) {
        assert_eq!(now(bench.store.load(&LoginRecord::key_of(&id))).unwrap(), None);
    }
    assert!(bench.feed().contains("login_expired"));
}

#[test]
fn use_is_written_down_once_an_hour() {
    let bench = Bench::new();
    let account = bench.sign_in(&mona(), "*").unwrap();
    let token = bench.begin(&account);
    for _ in 0..120 {
        bench.clock.advance(Duration::from_mins(1));
        assert!(bench.is_good(&token));
    }
    assert_eq!(bench.feed().matches("login_used").count(), 2);
}

#[test]
fn a_login_is_ended_alone_or_with_all_of_its_account() {
    let bench = Bench::new();
    let (ann, bea) = (mona(), Visitor::new("github.com", 2, "bea"));
    let (ann, bea) = (bench.sign_in(&ann, "*").unwrap(), bench.sign_in(&bea, "*").unwrap());
    let tokens: Vec<String> = (0..3).map(|_| bench.begin(&ann)).collect();
    let other = bench.begin(&bea);
    for _ in 0..2 {
        let id = LoginRecord::id_of(&tokens[0]).unwrap();
        now(bench.sam.end_login(&id, &caller())).unwrap();
    }
    assert!(!bench.is_good(&tokens[0]) && bench.is_good(&tokens[1]));
    assert_eq!(now(bench.sam.end_logins(ann.id, &caller())).unwrap(), 2);
    assert!(tokens.iter().all(|token| !bench.is_good(token)));
    assert!(bench.is_good(&other));
    // One that was begun with what was read before is no way round it.
    assert!(!bench.is_good(&bench.begin(&ann)));
    let fresh = bench.sign_in(&mona(), "*").unwrap();
    assert!(bench.is_good(&bench.begin(&fresh)));
}

#[test]
fn an_account_has_so_many_logins_and_the_one_least_used_goes() {
    let bench = Bench::new();
    let account = bench.sign_in(&mona(), "*").unwrap();
    let mut tokens = Vec::new();
    for _ in 0..=LoginRecord::PER_ACCOUNT_MAX {
        tokens.push(bench.begin(&account));
        bench.clock.advance(Duration::from_secs(1));
    }
    assert!(!bench.is_good(&tokens[0]));
    assert!(tokens[1..].iter().all(|token| bench.is_good(token)));
}

#[test]
fn tokens_are_in_no_record_and_in_no_change() {
    let bench = Bench::new();
    let account = bench.sign_in(&mona(), "*").unwrap();
    let token = bench.begin(&account);
    assert_eq!(token.len(), LoginRecord::TOKEN_PREFIX.len() + 43);
    assert!(bench.is_good(&token));
    let random = token.strip_prefix(LoginRecord::TOKEN_PREFIX).unwrap();
    let feed = bench.feed();
    assert!(feed.contains("login_began") && !feed.contains(random));
    for none in ["", "sam_login_", random, &format!("{token}x"), token.get(1..).unwrap()] {
        assert_eq!(LoginRecord::id_of(none), None, "{none}");
    }
}

#[test]
fn two_who_sign_in_at_once_are_one_account() {
    let bench = Bench::new();
    // A second process with the same store, and other random bytes.
    let store = Arc::clone(&bench.store) as _;
    let other = Sam::builder(store, Arc::new(MemoryCompute::new()))
        .clock(Arc::new(bench.clock.clone()))
        .entropy(Arc::new(crate::entropy::SeededEntropy::new(7)))
        .build()
        .unwrap();
    let (visitor, admission, by) = (mona(), Admission::Anybody, caller());
    let both = futures_util::future::join(
        bench.sam.sign_in_account(&visitor, &admission, &by),
        other.sign_in_account(&visitor, &admission, &by),
    );
    // The memory store never waits, so the order is fixed; the claim is what a real one needs.
    let (first, second) = now(both);
    assert_eq!(first.unwrap().record.id, second.unwrap().record.id);
    let mut forged = AccountRecord::new(
        crate::AccountId::from_bits(9),
        &visitor,
        &Admitted::Freely,
        bench.clock.now(),
    );
    forged.handle = "forged".to_owned();
    let claims = forged.claims(None);
    let id = crate::CommitId::from_bits(1);
    let mut commit = crate::store::Commit::new(id, crate::store::Actor::named("x"));
    commit.unique = claims;
    now(bench.store.commit(commit)).unwrap_err();
}

#[test]
fn no_login_survives_a_restore_and_accounts_do() {
    let bench = Bench::new();
    let account = bench.sign_in(&mona(), "mona").unwrap();
    let token = bench.begin(&account);
    let login = LoginRecord::key_of(&LoginRecord::id_of(&token).unwrap());
    let login = now(bench.store.load(&login)).unwrap().unwrap();
    let person = now(bench.store.load(&AccountRecord::key_of(account.id))).unwrap().unwrap();
    for restore in [Restore::copy(bench.clock.now()), Restore::replace("x", bench.clock.now())] {
        let gone = restore.revise(&login).unwrap().unwrap();
        assert_eq!(gone.op, WriteOp::Delete, "{restore:?}");
        assert!(!restore.keeps_claims(&LoginRecord::KIND));
        assert_eq!(restore.revise(&person).unwrap(), None, "{restore:?}");
        assert!(restore.keeps_claims(&AccountRecord::KIND), "{restore:?}");
    }
}
