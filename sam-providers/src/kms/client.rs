//! The JSON protocol of AWS KMS: one signed POST for each call, its answer, and its errors.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Response, Uri};
use sam_core::http::HttpTransport;
use sam_core::time::Clock;
use sam_core::{Effect, Error, ErrorKind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::sigv4::{AwsCredentials, Canonical, Scope, amz_date, authorization};

const MEDIA_TYPE: &str = "application/x-amz-json-1.1";
const TOKEN_HEADER: &str = "x-amz-security-token";

/// Speaks to AWS KMS, or to something that speaks as it does.
#[derive(Debug, Clone)]
pub struct KmsClient {
    transport: Arc<dyn HttpTransport>,
    clock: Arc<dyn Clock>,
    credentials: AwsCredentials,
    region: String,
    base: Uri,
}

impl KmsClient {
    /// Asks `https://kms.<region>.amazonaws.com`.
    ///
    /// # Errors
    /// `BadInput` when the region is no region.
    pub fn new(
        transport: Arc<dyn HttpTransport>,
        clock: Arc<dyn Clock>,
        region: &str,
        credentials: AwsCredentials,
    ) -> Result<Self> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if region.is_empty() || region.len() > 63 || !region.bytes().all(legal) {
            return Err(Error::new(ErrorKind::BadInput, format!("{region:?} is no region"))
                .with_operation("open_kms")
                .with_hint("use a name such as eu-central-1"));
        }
        let base = parse(&format!("https://kms.{region}.amazonaws.com"))?;
        Ok(Self { transport, clock, credentials, region: region.to_owned(), base })
    }

    /// Asks another address.
    ///
    /// # Errors
    /// `BadInput` when it is no address of a server.
    pub fn with_base_url(mut self, base_url: &str) -> Result<Self> {
        self.base = parse(base_url)?;
        Ok(self)
    }

    /// Makes one call.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        action: &'static str,
        request: &(impl Serialize + Sync),
    ) -> Result<T> {
        let named = |error: Error| error.with_operation(action);
        let body = serde_json::to_vec(request).map_err(|error| {
            named(Error::new(ErrorKind::Bug, "a request has no JSON").with_source(error))
        })?;
        let request = self.signed(action, Bytes::from(body)).map_err(named)?;
        let answer = self.transport.send(request).await.map_err(named)?;
        if !answer.status().is_success() {
            return Err(named(refusal(&answer)));
        }
        let body = Zeroizing::new(answer.body().to_vec());
        serde_json::from_slice(&body).map_err(|error| {
            named(
                Error::new(ErrorKind::Corrupt, "KMS gave an answer that cannot be read")
                    .with_effect(Effect::Unknown)
                    // Only the place: the text may hold a key.
                    .with_context("column", error.column()),
            )
        })
    }

    fn signed(&self, action: &str, body: Bytes) -> Result<Request<Bytes>> {
        let target = format!("TrentService.{action}");
        let date = amz_date(self.clock.now())?;
        let host = self.base.authority().map(ToString::to_string).unwrap_or_default();
        let mut headers = vec![
            (HOST.as_str(), host.as_str()),
            (CONTENT_TYPE.as_str(), MEDIA_TYPE),
            ("x-amz-date", &date),
            ("x-amz-target", &target),
        ];
        let token = self.credentials.session_token.as_ref();
        headers.extend(token.map(|token| (TOKEN_HEADER, token.expose().as_str())));
        let canonical =
            Canonical { method: "POST", path: "/", headers: headers.clone(), body: &body };
        let scope = Scope { region: &self.region, service: "kms" };
        let signature = authorization(canonical, &date, scope, &self.credentials)?;
        let unusable = || {
            Error::new(ErrorKind::BadInput, "the credentials of KMS are no header")
                .with_hint("look for line breaks in them")
        };
        let secret = |text: &str| {
            let mut value = HeaderValue::from_str(text).map_err(|_| unusable())?;
            value.set_sensitive(true);
            Ok::<_, Error>(value)
        };
        let mut request = Request::post(self.base.clone()).body(body).map_err(|_| unusable())?;
        for (name, value) in headers {
            // The transport writes the host itself, as it is in the address.
            if name != HOST.as_str() {
                let name = http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable())?;
                request.headers_mut().insert(name, secret(value)?);
            }
        }
        request.headers_mut().insert(AUTHORIZATION, secret(&signature)?);
        Ok(request)
    }
}

fn parse(base_url: &str) -> Result<Uri> {
    let plain = base_url.strip_suffix('/').unwrap_or(base_url);
    let uri = format!("{plain}/").parse::<Uri>().ok();
    uri.filter(|uri| uri.host().is_some() && uri.path() == "/" && uri.query().is_none())
        .filter(|uri| uri.authority().is_some_and(|authority| !authority.as_str().contains('@')))
        .ok_or_else(|| {
            Error::new(ErrorKind::BadInput, format!("{base_url:?} is no address of KMS"))
                .with_operation("open_kms")
                .with_hint("use scheme and host, such as https://kms.eu-central-1.amazonaws.com")
        })
}

/// Says what a refusal means. Nothing that is asked here changes anything, so it can be repeated.
fn refusal(answer: &Response<Bytes>) -> Error {
    let body: serde_json::Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let code = body["__type"].as_str().unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default();
    let (kind, hint) = match code {
        "InvalidCiphertextException" => (ErrorKind::Corrupt, "restore what was wrapped"),
        "IncorrectKeyException" => (ErrorKind::Corrupt, "it was wrapped by another key of KMS"),
        "NotFoundException" => (ErrorKind::NotFound, "check the key's id and the region"),
        "AccessDeniedException" => {
            (ErrorKind::Denied, "allow the action in the key's policy or the user's")
        }
        "DisabledException" | "KMSInvalidStateException" | "KeyUnavailableException" => {
            (ErrorKind::Conflict, "enable the key, or cancel its deletion")
        }
        "InvalidKeyUsageException" | "UnsupportedOperationException" | "ValidationException" => {
            (ErrorKind::BadInput, "check the key's usage: SIGN_VERIFY signs, ENCRYPT_DECRYPT wraps")
        }
        "ThrottlingException" | "LimitExceededException" => {
            (ErrorKind::RateLimited, "ask for a higher quota of KMS in this region")
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "IncompleteSignature"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "ExpiredTokenException"
        | "MissingAuthenticationTokenException" => {
            (ErrorKind::Unauthenticated, "check the access key, and this computer's clock")
        }
        _ => (of_status(answer), "look at the status of KMS in this region"),
    };
    let status = answer.status().as_u16();
    let effect = if status >= 500 { Effect::Unknown } else { Effect::NotApplied };
    let error = Error::new(kind, format!("KMS answers with status {status}"))
        .with_effect(effect)
        .with_hint(hint);
    // A code is a word; anything else is left out.
    let is_word = (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_word { error.with_provider_code(code) } else { error }
}

fn of_status(answer: &Response<Bytes>) -> ErrorKind {
    match answer.status().as_u16() {
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        429 => ErrorKind::RateLimited,
        500.. => ErrorKind::Unavailable,
        _ => ErrorKind::BadInput,
    }
}
