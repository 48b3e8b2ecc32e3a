//! GitHub's refusals of a sign-in, which come with status 200 and a code.

use sam_core::{Error, ErrorKind};

use super::user_token::Refused;

/// Longest code of GitHub's that is passed on, in characters.
const CODE_CHARS_MAX: usize = 64;

/// Makes the error of a refusal.
pub(super) fn refused(operation: &'static str, refused: &Refused) -> Error {
    let (kind, message, hint) = match refused.code.as_str() {
        "bad_verification_code" | "incorrect_device_code" => (
            ErrorKind::Unauthenticated,
            "the code of this sign-in is used up or too old",
            "sign in again",
        ),
        "bad_refresh_token" => {
            (ErrorKind::Unauthenticated, "the sign-in has ended", "sign in again")
        }
        "expired_token" => {
            (ErrorKind::Unauthenticated, "nobody entered the code in time", "begin again")
        }
        "access_denied" => {
            (ErrorKind::Denied, "the user refused", "begin again, and agree on GitHub's page")
        }
        "incorrect_client_credentials" => (
            ErrorKind::BadInput,
            "GitHub does not know this client id and secret",
            "compare both with the App's settings; a new secret may be needed",
        ),
        "redirect_uri_mismatch" => (
            ErrorKind::BadInput,
            "the callback address is not one of the App's",
            "add it in the App's settings under \"Callback URL\"",
        ),
        "device_flow_disabled" => (
            ErrorKind::Denied,
            "the App does not allow sign-in by device",
            "check \"Enable Device Flow\" in the App's settings",
        ),
        "unverified_user_email" => (
            ErrorKind::Denied,
            "the user's primary address is not verified",
            "verify it in GitHub's settings",
        ),
        _ => (ErrorKind::Denied, "GitHub refused the sign-in", "begin again"),
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let code: String = refused.code.chars().filter(|c| legal(*c)).take(CODE_CHARS_MAX).collect();
    Error::new(kind, message).with_operation(operation).with_provider_code(code).with_hint(hint)
}
