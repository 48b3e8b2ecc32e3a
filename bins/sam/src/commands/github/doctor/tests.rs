//! The doctor against a GitHub of the tests' own.

use std::collections::BTreeMap;

use sam_core::time::{ManualClock, Timestamp};
use sam_github::PrivateKey;
use sam_github::testkit::{FakeApp, FakeGithub};

use super::*;

const PEM: &str = include_str!("../../../../../../sam-github/tests/keys/rsa2048.pkcs1.pem");
const SERVER: &str = "https://app.example.com";

fn app() -> FakeApp {
    let key: PrivateKey = PEM.parse().unwrap();
    FakeApp::new(7, Rs256Signer::new(&key).unwrap().public_key())
}

/// Settings that fit the App of the tests, with some changed; an empty one is left out.
fn settings(changed: &[(&str, &str)]) -> GithubSettings {
    let app = app();
    let mut variables = BTreeMap::from([
        ("GITHUB_APP_ID", "7"),
        ("GITHUB_APP_SLUG", "fake-app"),
        ("GITHUB_APP_PRIVATE_KEY", PEM),
        ("GITHUB_CLIENT_ID", app.client_id.as_str()),
        ("GITHUB_CLIENT_SECRET", "canary-secret"),
        ("GITHUB_WEBHOOK_SECRET", "canary-secret"),
    ]);
    variables.extend(changed.iter().copied());
    let read = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    GithubSettings::from_environment(read).unwrap()
}

async fn examined(app: FakeApp, settings: &GithubSettings) -> Vec<Finding> {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
    let github = FakeGithub::new(app, Arc::<ManualClock>::clone(&clock));
    let mut settings = settings.clone();
    settings.endpoints = github.endpoints();
    let findings = examine(&settings, Some(SERVER), Arc::new(github), clock).await;
    for finding in &findings {
        let text = format!("{finding:?} {}", finding.text());
        assert!(!text.contains("canary") && !text.contains("PRIVATE KEY-"), "{text}");
    }
    findings
}

/// What is not right, by check.
fn wrong(findings: &[Finding]) -> Vec<(&str, Health)> {
    let wrong =
        findings.iter().filter(|finding| matches!(finding.health, Health::Bad | Health::Warning));
    wrong.map(|finding| (finding.check.as_str(), finding.health)).collect()
}

#[tokio::test]
async fn an_app_that_is_set_up_well_has_nothing_to_mend_but_what_the_fake_lacks() {
    let findings = examined(app(), &settings(&[])).await;
    let bad: Vec<_> = findings.iter().filter(|finding| finding.health == Health::Bad).collect();
    assert_eq!(bad, Vec::<&Finding>::new());
    let sign_in = findings.iter().find(|finding| finding.check == "sign-in").unwrap();
    assert!(sign_in.message.contains("one for everything"), "{sign_in:?}");
    assert!(findings.iter().filter(|finding| finding.health == Health::Look).count() >= 3);
}

#[tokio::test]
async fn each_fault_is_named_with_what_to_do() {
    use Health::{Bad, Warning};
    for (changed, expected) in [
        (("GITHUB_APP_ID", ""), ("app", Bad)),
        (("GITHUB_APP_ID", "8"), ("app", Bad)),
        (("GITHUB_APP_PRIVATE_KEY", "no key"), ("key", Bad)),
        (("GITHUB_APP_SLUG", "other"), ("slug", Bad)),
        (("GITHUB_APP_SLUG", ""), ("slug", Warning)),
        (("GITHUB_CLIENT_SECRET", ""), ("sign-in", Bad)),
        (("GITHUB_WEBHOOK_SECRET", ""), ("secret", Bad)),
    ] {
        let findings = examined(app(), &settings(&[changed])).await;
        let found = findings.iter().find(|found| (found.check.as_str(), found.health) == expected);
        let found = found.unwrap_or_else(|| panic!("{changed:?}: {:?}", wrong(&findings)));
        assert!(found.hint.is_some() || found.check == "sign-in", "{found:?}");
    }
    let read_only = FakeApp {
        permissions: Permissions::new().with("contents", Level::Read),
        webhook_url: "https://elsewhere.example.com/".to_owned(),
        ..app()
    };
    let examined = examined(read_only, &settings(&[])).await;
    let findings = wrong(&examined);
    for expected in [("contents", Warning), ("metadata", Bad), ("webhook", Bad)] {
        assert!(findings.contains(&expected), "{expected:?} is not in {findings:?}");
    }
}

#[tokio::test]
async fn an_app_for_signing_in_beside_the_other_is_recognised() {
    let findings = examined(app(), &settings(&[("GITHUB_CLIENT_ID", "Iv1.other")])).await;
    let sign_in = findings.iter().find(|finding| finding.check == "sign-in").unwrap();
    assert!(sign_in.message.contains("OAuth App of its own"), "{sign_in:?}");
    assert_eq!(sign_in.health, Health::Good);
}

#[test]
fn a_key_that_others_can_read_is_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let settings =
        settings(&[("GITHUB_APP_PRIVATE_KEY", ""), ("GITHUB_APP_PRIVATE_KEY_PATH", path)]);
    for (mode, expected) in [(0o600, Health::Good), (0o644, Health::Bad)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(key_file(&settings).unwrap().health, expected, "{mode:o}");
    }
}

#[test]
fn the_answer_to_the_last_delivery_tells_what_is_between() {
    let sent = |status: u16| {
        let text = format!(
            "{{\"id\":1,\"guid\":\"g\",\"delivered_at\":\"2026-01-01T00:00:00Z\",\"event\":\"push\",
                \"status_code\":{status}}}"
        );
        serde_json::from_str::<SentDelivery>(&text).unwrap()
    };
    for (status, word) in [(0, "reach"), (400, "X-GitHub-Event"), (401, "secret"), (413, "25 MiB")]
    {
        let hint = not_taken(&sent(status)).hint.unwrap();
        assert!(hint.contains(word), "{status}: {hint}");
    }
}
