//! `sam github jwt`.

use std::path::Path;

use sam_core::time::Clock as _;
use sam_core::{Error, ErrorKind};
use sam_github::{Issuer, Rs256Signer, mint_app_jwt};
use sam_providers::system::SystemClock;
use sam_server::github::GithubSettings;

use super::key;
use crate::failure::Failure;
use crate::output;

pub(super) async fn run(
    settings: &GithubSettings,
    app_id: Option<Issuer>,
    file: Option<&Path>,
) -> Result<u8, Failure> {
    let issuer = app_id.or_else(|| settings.issuer.clone()).ok_or_else(|| {
        Error::new(ErrorKind::BadInput, "it is not known which App the token is for")
            .with_hint("give --app-id, or set GITHUB_APP_ID")
    })?;
    let key = match file {
        Some(_) => key::read(file)?,
        None => settings.private_key()?,
    };
    let signer = Rs256Signer::new(&key).map_err(Error::from)?;
    let token = mint_app_jwt(&signer, &issuer, SystemClock::new().now()).await?;
    output::line(token.expose())?;
    Ok(0)
}
