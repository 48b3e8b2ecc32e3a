//! Many at once, what breaks off, and servers that do not answer as they should.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use hickory_proto::op::{Message, MessageType};
use sam_core::dns::{DnsProvider as _, ListRecords, RecordType};
use sam_core::{Effect, Error, ErrorKind};
use sam_providers::rfc2136::{Rfc2136, Rfc2136Config};
use sam_providers::system::SystemClock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Zone, block_on, name, of, sam, set, v4};
use crate::named::Named;

/// More than any call here takes.
const POLLS_MAX: usize = 100;

pub(crate) fn fifty_puts_of_one_set_leave_one_of_them_whole(named: &Named) {
    let zone = Zone::new(named);
    let at = zone.at("a");
    block_on(async {
        let sets: Vec<_> = (0..50).map(|n| set(&at, [v4(n), v4(n + 100)])).collect();
        for put in join_all(sets.iter().map(|set| zone.dns.put_record(set))).await {
            put.unwrap();
        }
        let left = zone.listed().await;
        assert!(left.len() == 1 && sets.contains(&left[0]), "{left:?}");
        zone.dns.delete_record(&of(&at, RecordType::A)).await.unwrap();
    });
}

pub(crate) fn fifty_puts_of_fifty_sets_leave_all_of_them(named: &Named) {
    let zone = Zone::new(named);
    block_on(async {
        let sets: Vec<_> = (10..60).map(|n| set(&zone.at(&format!("n{n}")), [v4(n)])).collect();
        for put in join_all(sets.iter().map(|set| zone.dns.put_record(set))).await {
            put.unwrap();
        }
        assert_eq!(zone.listed().await, sets);
        for deleted in join_all(sets.iter().map(|set| zone.dns.delete_record(set.key()))).await {
            deleted.unwrap();
        }
        assert!(zone.listed().await.is_empty());
    });
}

/// Polls something so many times, and drops it; `None` when it was not done by then.
async fn break_off<T>(work: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut work = pin!(work);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

pub(crate) fn a_put_that_breaks_off_anywhere_is_made_right_by_the_next(named: &Named) {
    let zone = Zone::new(named);
    let at = zone.at("a");
    block_on(async {
        let (before, wanted) = (set(&at, (1..=3).map(v4)), set(&at, [v4(3), v4(4)]));
        for polls in 1..POLLS_MAX {
            zone.dns.put_record(&before).await.unwrap();
            let done = break_off(zone.dns.put_record(&wanted), polls).await;
            let between = zone.listed().await;
            assert!(between == [before.clone()] || between == [wanted.clone()], "{between:?}");
            zone.dns.put_record(&wanted).await.unwrap();
            assert_eq!(zone.listed().await, std::slice::from_ref(&wanted));
            if let Some(done) = done {
                done.unwrap();
                assert!(polls >= 2, "it never waits");
                zone.dns.delete_record(wanted.key()).await.unwrap();
                return;
            }
        }
        panic!("it is not done after {POLLS_MAX} polls");
    });
}

/// A server that does with every connection what a test says, and what a zone there answers.
async fn against<F>(serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Vec<Error>
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let config = Rfc2136Config::new(listener.local_addr().unwrap(), name("example.com"), sam())
        .with_answers_within(Duration::from_millis(300));
    let server = tokio::spawn(async move {
        loop {
            serve(listener.accept().await.unwrap().0).await;
        }
    });
    let errors = asked(&config).await;
    server.abort();
    errors
}

/// What only looks, and then what changes.
async fn asked(config: &Rfc2136Config) -> Vec<Error> {
    let dns = Rfc2136::new(config, Arc::new(SystemClock::new())).unwrap();
    let key = of("a.example.com", RecordType::A);
    vec![
        dns.record(&key).await.unwrap_err(),
        dns.put_record(&set("a.example.com", [v4(1)])).await.unwrap_err(),
        dns.delete_record(&key).await.unwrap_err(),
    ]
}

fn expect(errors: &[Error], kind: ErrorKind, of_changes: Effect) {
    for (error, effect) in errors.iter().zip([Effect::NotApplied, of_changes, of_changes]) {
        assert_eq!((error.kind(), error.effect()), (kind, effect), "{error:?}");
    }
    let operations: Vec<_> = errors.iter().filter_map(Error::operation).collect();
    assert_eq!(operations, ["record", "put_record", "delete_record"]);
}

pub(crate) fn a_server_that_is_away_was_not_asked() {
    block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let config = Rfc2136Config::new(listener.local_addr().unwrap(), name("example.com"), sam());
        drop(listener);
        let errors = asked(&config).await;
        expect(&errors, ErrorKind::Unavailable, Effect::NotApplied);
        assert!(errors.iter().all(|error| error.hint().is_some()));
        let dns = Rfc2136::new(&config, Arc::new(SystemClock::new())).unwrap();
        let listed = dns.list_records(&ListRecords::new(name("example.com"))).await;
        assert_eq!(listed.unwrap_err().kind(), ErrorKind::Unavailable);
    });
}

/// Reads what was asked.
async fn question(stream: &mut TcpStream) -> Vec<u8> {
    let mut message = vec![0; stream.read_u16().await.unwrap().into()];
    stream.read_exact(&mut message).await.unwrap();
    message
}

pub(crate) fn a_lost_answer_is_in_doubt() {
    block_on(async {
        let errors = against(|mut stream| async move {
            let _lost = question(&mut stream).await;
            // Half of an answer.
            stream.write_all(&[0, 100, 1, 2, 3]).await.unwrap();
        })
        .await;
        expect(&errors, ErrorKind::Unavailable, Effect::Unknown);
    });
}

pub(crate) fn a_late_answer_is_in_doubt() {
    block_on(async {
        let errors = against(|mut stream| async move {
            let _asked = question(&mut stream).await;
            // Until the other side has gone.
            let _gone = stream.read_u8().await;
        })
        .await;
        expect(&errors, ErrorKind::Timeout, Effect::Unknown);
    });
}

pub(crate) fn an_unsigned_answer_is_no_answer() {
    block_on(async {
        // Good to look at, with all that was asked for, and from nobody.
        let errors = against(|mut stream| async move {
            let mut answer = Message::from_vec(&question(&mut stream).await).unwrap();
            answer.metadata.message_type = MessageType::Response;
            answer.metadata.authoritative = true;
            answer.signature = None;
            let bytes = answer.to_vec().unwrap();
            stream.write_u16(bytes.len().try_into().unwrap()).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        })
        .await;
        expect(&errors, ErrorKind::Corrupt, Effect::Unknown);
        // No message at all.
        let errors = against(|mut stream| async move {
            let _asked = question(&mut stream).await;
            stream.write_all(&[0, 3, 1, 2, 3]).await.unwrap();
        })
        .await;
        expect(&errors, ErrorKind::Corrupt, Effect::Unknown);
    });
}
