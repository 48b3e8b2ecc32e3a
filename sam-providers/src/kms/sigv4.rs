//! AWS Signature Version 4 of one request whose body is at hand.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sam_core::time::Timestamp;
use sam_core::{Error, ErrorKind, Result, Secret};
use sha2::{Digest as _, Sha256};

use crate::hex::hex;

/// Who asks. Handed in, never looked for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AwsCredentials {
    /// The access key's id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Secret<String>,
    /// The token of temporary credentials.
    pub session_token: Option<Secret<String>>,
}

impl AwsCredentials {
    /// Takes an access key.
    pub const fn new(access_key_id: String, secret_access_key: Secret<String>) -> Self {
        Self { access_key_id, secret_access_key, session_token: None }
    }

    /// Adds the token of temporary credentials.
    #[must_use]
    pub fn with_session_token(mut self, token: Secret<String>) -> Self {
        self.session_token = Some(token);
        self
    }
}

/// Where a signature is good: one service in one region.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// What of a request is signed: all headers that are named here, in lower case.
#[derive(Debug)]
pub(super) struct Canonical<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: Vec<(&'a str, &'a str)>,
    pub(super) body: &'a [u8],
}

/// Returns a moment as the header `x-amz-date` has it, such as `20150830T123600Z`.
pub(super) fn amz_date(now: Timestamp) -> Result<String> {
    jiff::Timestamp::from_microsecond(now.as_micros())
        .map(|now| now.strftime("%Y%m%dT%H%M%SZ").to_string())
        .map_err(|error| Error::new(ErrorKind::BadInput, "the clock is off").with_source(error))
}

/// Returns the header `authorization` of a request without a query.
pub(super) fn authorization(
    mut request: Canonical<'_>,
    date: &str,
    scope: Scope<'_>,
    credentials: &AwsCredentials,
) -> Result<String> {
    request.headers.sort_unstable();
    let names: Vec<&str> = request.headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let mut canonical = format!("{}\n{}\n\n", request.method, request.path);
    for (name, value) in &request.headers {
        canonical.extend([name, ":", value.trim(), "\n"]);
    }
    canonical.extend(["\n", &names, "\n", &hex(&Sha256::digest(request.body))]);
    let day = date.split('T').next().unwrap_or_default();
    let within = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{date}\n{within}\n{}",
        hex(&Sha256::digest(canonical.as_bytes()))
    );
    let start = Secret::new(format!("AWS4{}", credentials.secret_access_key.expose()));
    let mut key = keyed(start.expose().as_bytes(), day.as_bytes())?;
    for part in [scope.region, scope.service, "aws4_request"] {
        key = keyed(key.expose(), part.as_bytes())?;
    }
    let signature = hex(keyed(key.expose(), to_sign.as_bytes())?.expose());
    Ok(format!(
        "AWS4-HMAC-SHA256 Credential={}/{within}, SignedHeaders={names}, Signature={signature}",
        credentials.access_key_id
    ))
}

fn keyed(key: &[u8], message: &[u8]) -> Result<Secret<[u8; 32]>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        .map_err(|error| Error::new(ErrorKind::Bug, "no key for a hash").with_source(error))?;
    mac.update(message);
    Ok(Secret::new(mac.finalize().into_bytes().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // AWS's published suite of test vectors for Signature Version 4.
    const DATE: &str = "20150830T123600Z";

    fn sign(method: &str, headers: Vec<(&str, &str)>, body: &[u8]) -> String {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned();
        let credentials = AwsCredentials::new("AKIDEXAMPLE".to_owned(), Secret::new(secret));
        let request = Canonical { method, path: "/", headers, body };
        let scope = Scope { region: "us-east-1", service: "service" };
        authorization(request, DATE, scope, &credentials).unwrap()
    }

    #[test]
    fn the_vectors_of_aws_hold() {
        let headers = || vec![("host", "example.amazonaws.com"), ("x-amz-date", DATE)];
        assert_eq!(
            sign("GET", headers(), b""),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
        let posted = sign("POST", headers(), b"");
        let expected = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
        assert!(posted.ends_with(expected), "{posted}");
        let mut with_header = headers();
        with_header.insert(0, ("my-header1", "value1"));
        let posted = sign("POST", with_header, b"");
        let expected = "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c";
        assert!(posted.ends_with(expected), "{posted}");
    }

    #[test]
    fn a_moment_is_written_as_aws_wants_it() {
        let at = Timestamp::from_micros(1_440_938_160_000_000);
        assert_eq!(amz_date(at).unwrap(), DATE);
    }
}
