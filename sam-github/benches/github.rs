//! What the crate costs, beside what its libraries cost bare in the same run.
//!
//! `cargo bench -p sam-github` measures everything. Ours and the peer's take turns within one run,
//! and only their ratio is a result: absolute numbers are the machine's. It prints, and never fails
//! for a number; the aims are beside them.

#![expect(clippy::print_stdout, reason = "a measurement is printed")]
#![expect(clippy::expect_used, reason = "a measurement that cannot begin stops")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use bytes::Bytes;
use futures_util::FutureExt as _;
use sam_core::Secret;
use sam_core::time::{ManualClock, Timestamp};
use sam_github::private_key::pkcs1_to_pkcs8_der;
use sam_github::testkit::{FakeApp, FakeGithub, FakeInstallation, FakeRepository};
use sam_github::{
    GithubApp, InstallationId, Level, Permissions, PrivateKey, RepositoryId, Rs256Signer,
    TokenScope, WebhookSecrets, mint_app_jwt,
};

const PEM: &str = include_str!("../tests/keys/rsa2048.pkcs1.pem");
/// Turns of ours and the peer's.
const TURNS: usize = 15;
/// Callers at once.
const CALLERS: usize = 64;

fn main() {
    println!("{TURNS} turns; [min..max] beside each median");
    jwt();
    conversion();
    webhook(8 << 10, 2_000);
    webhook(1 << 20, 40);
    tokens();
}

/// The middle and the ends of some measurements.
fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let at = |position: usize| values.get(position).copied().unwrap_or(f64::NAN);
    format!("{:.3} [{:.3}..{:.3}]", at(values.len() / 2), at(0), at(values.len().saturating_sub(1)))
}

/// Nanoseconds for each of so many rounds.
fn nanos(rounds: u32, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..rounds {
        work();
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(rounds)
}

/// Measures both in turns, and prints them with their ratio.
fn pairs(name: &str, aim: &str, rounds: u32, mut ours: impl FnMut(), mut peer: impl FnMut()) {
    let (mut a, mut b, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..TURNS {
        // Who goes first takes turns, too.
        let (first, second) = if turn % 2 == 0 {
            let first = nanos(rounds, &mut ours);
            (first, nanos(rounds, &mut peer))
        } else {
            let second = nanos(rounds, &mut peer);
            (nanos(rounds, &mut ours), second)
        };
        a.push(first / 1e3);
        b.push(second / 1e3);
        ratios.push(first / second);
    }
    println!(
        "{name}: {} us beside {} us, ratio {} (aim {aim})",
        spread(a),
        spread(b),
        spread(ratios)
    );
}

fn key() -> PrivateKey {
    PEM.parse().expect("the key of the tests is one")
}

fn jwt() {
    let signer = Rs256Signer::new(&key()).expect("it signs");
    let pair = KeyPair::from_pkcs8(key().to_pkcs8_der().expose()).expect("it is read");
    let random = SystemRandom::new();
    let issuer = "1136541".parse().expect("a number");
    let now = Timestamp::from_micros(1_767_225_600_000_000);
    let input = [b'x'; 110];
    pairs(
        "App token beside its bare RSA-2048 signature",
        "1.05 at most",
        40,
        || {
            let minted = mint_app_jwt(&signer, &issuer, now).now_or_never();
            black_box(minted.expect("it does not wait").expect("it signs"));
        },
        || {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &random, black_box(&input), &mut signature)
                .expect("it signs");
            black_box(signature);
        },
    );
}

fn conversion() {
    let pkcs1 = key().to_pkcs1_der();
    let convert = || {
        black_box(pkcs1_to_pkcs8_der(black_box(pkcs1.expose())).expect("it is converted"));
    };
    let spans = (0..TURNS).map(|_| nanos(20_000, convert)).collect();
    let allocations = allocation_counter::measure(convert).count_total;
    println!(
        "PKCS#1 to PKCS#8 in DER: {} ns (aim 1000 at most), {allocations} allocation (aim 1)",
        spread(spans)
    );
}

fn webhook(size: usize, rounds: u32) {
    let secret = "a secret of usual length, 36 bytes..";
    let secrets = WebhookSecrets::new(&Secret::new(secret.to_owned())).expect("it is not empty");
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let body = Bytes::from(vec![b'x'; size]);
    let tag = hmac::sign(&key, &body);
    let hex: Vec<String> = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut headers = http::HeaderMap::new();
    for (name, value) in [
        ("x-github-event", "push"),
        ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("content-type", "application/json"),
        ("x-hub-signature-256", &format!("sha256={}", hex.concat())),
    ] {
        headers.insert(name, value.parse().expect("a good value"));
    }
    pairs(
        &format!("webhook of {} KiB beside its bare HMAC", size >> 10),
        "1.1 at most",
        rounds,
        || {
            black_box(secrets.delivery(black_box(&headers), &body).expect("it holds"));
        },
        || {
            black_box(hmac::sign(&key, black_box(&body)));
        },
    );
}

fn tokens() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime is made");
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_767_225_600_000_000)));
    let signer = Rs256Signer::new(&key()).expect("it signs");
    let github =
        FakeGithub::new(FakeApp::new(7, signer.public_key()), Arc::<ManualClock>::clone(&clock));
    github.put_repository(FakeRepository::new(1_000, "octo", "hello"));
    let write = Permissions::new().with("contents", Level::Write);
    github.put_installation(FakeInstallation::new(42, "octo", write.clone()));
    let scope = TokenScope::new(InstallationId::new(42), [RepositoryId::new(1_000)], write)
        .expect("a good scope");
    let app = GithubApp::builder("7".parse().expect("a number"), Arc::new(signer))
        .endpoints(github.endpoints())
        .build(Arc::new(github.clone()), clock);
    let rounds = 2_000_u32;
    let spans = (0..TURNS)
        .map(|_| {
            let start = Instant::now();
            runtime.block_on(async {
                let callers: Vec<_> = (0..CALLERS)
                    .map(|_| {
                        let (app, scope) = (app.clone(), scope.clone());
                        tokio::spawn(async move {
                            for _ in 0..rounds {
                                let token = app.installation_token(&scope, Duration::ZERO).await;
                                black_box(token.expect("it is kept"));
                            }
                        })
                    })
                    .collect();
                for caller in callers {
                    caller.await.expect("it ends");
                }
            });
            start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds) / 64.0
        })
        .collect();
    let asked = github.count("POST /app/installations/42/access_tokens");
    println!(
        "a kept token, {CALLERS} callers at once: {} us each (aim 1 at most); {asked} request on a \
         cold cache (aim 1)",
        spread(spans)
    );
}
