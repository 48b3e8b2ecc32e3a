//! What git says to its helper is read or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sam_github::GitCredentialRequest;

fuzz_target!(|data: &str| {
    if let Ok(request) = data.parse::<GitCredentialRequest>() {
        assert!(!request.host.is_empty() && !request.protocol.is_empty());
    }
});
