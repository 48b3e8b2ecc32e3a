//! Whatever is pasted is read or refused, and what is read survives conversion.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sam_github::PrivateKey;
use sam_github::private_key::{pkcs1_to_pkcs8_der, pkcs8_to_pkcs1_der};

fuzz_target!(|data: &[u8]| {
    if let Ok(key) = PrivateKey::from_bytes(data) {
        let (pkcs1, pkcs8) = (key.to_pkcs1_der(), key.to_pkcs8_der());
        assert_eq!(pkcs8_to_pkcs1_der(pkcs8.expose()).unwrap().expose(), pkcs1.expose());
    }
    if let Ok(pkcs8) = pkcs1_to_pkcs8_der(data) {
        assert_eq!(pkcs8_to_pkcs1_der(pkcs8.expose()).unwrap().expose(), data);
    }
});
