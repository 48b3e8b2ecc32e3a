//! A GitHub App mints a token and uses it: against a GitHub of our own, on a loopback socket.
//!
//! Run with `cargo run -p sam-examples --bin github_app`. A real host changes three lines: the key
//! comes from a setting, `endpoints` is left out, and the transport goes to the network.

use std::sync::Arc;
use std::time::Duration;

use sam_github::testkit::{FakeApp, FakeGithub, FakeInstallation, FakeRepository, LoopbackHttp};
use sam_github::{
    GithubApp, InstallationId, Level, Permissions, PrivateKey, Rs256Signer, TokenScope,
};
use sam_providers::system::SystemClock;

/// A worthless key. A host reads `GITHUB_APP_PRIVATE_KEY`: a PEM, its base64, or a path.
const SETTING: &str = include_str!("../../../sam-github/tests/keys/rsa2048.pkcs1.pem");

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let clock = Arc::new(SystemClock::new());
    let signer = Rs256Signer::new(&PrivateKey::from_setting(SETTING)?)?;

    let github = FakeGithub::new(FakeApp::new(7, signer.public_key()), clock.clone());
    github.put_repository(FakeRepository::new(1_000, "octo", "hello"));
    github.put_repository(FakeRepository::new(1_001, "octo", "world"));
    let write = Permissions::new().with("contents", Level::Write);
    github.put_installation(FakeInstallation::new(42, "octo", write.clone()));
    let served = github.serve().await?;

    let app = GithubApp::builder("7".parse()?, Arc::new(signer))
        .endpoints(github.endpoints())
        .build(Arc::new(LoopbackHttp::new()), clock);
    println!("this is {}", app.info().await?.slug.unwrap_or_default());

    let installation = InstallationId::new(42);
    let found = app.repositories(installation, None).await?.items;
    for repository in &found {
        println!("it has {} ({})", repository.full_name, repository.id);
    }

    // For the first one alone, however many the installation has.
    let first = found.first().map(|repository| repository.id);
    let scope = TokenScope::new(installation, first, write)?;
    let token = app.installation_token(&scope, Duration::from_mins(30)).await?;
    println!("a token for {scope} ends at {}", token.expires_at);
    let reaches = |id| github.allows(token.token.expose(), id, "contents", Level::Write);
    println!("it writes to hello: {}, to world: {}", reaches(1_000), reaches(1_001));

    app.revoke_token(&token.token).await?;
    println!("revoked, it writes to hello: {}", reaches(1_000));
    drop(served);
    Ok(())
}
