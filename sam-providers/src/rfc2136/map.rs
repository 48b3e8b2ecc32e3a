//! How a server refuses.

use sam_core::{Effect, Error, ErrorKind};

use super::wire::Told;

/// Response codes, RFC 1035 §4.1.1 and RFC 2136 §2.2.
pub(super) mod code {
    pub(crate) const NO_ERROR: u16 = 0;
    pub(crate) const FORM_ERR: u16 = 1;
    pub(crate) const SERV_FAIL: u16 = 2;
    pub(crate) const NX_DOMAIN: u16 = 3;
    pub(crate) const NOT_IMP: u16 = 4;
    pub(crate) const REFUSED: u16 = 5;
    pub(crate) const YX_DOMAIN: u16 = 6;
    pub(crate) const YX_RR_SET: u16 = 7;
    pub(crate) const NX_RR_SET: u16 = 8;
    pub(crate) const NOT_AUTH: u16 = 9;
    pub(crate) const NOT_ZONE: u16 = 10;
    /// In the signature, RFC 8945 §3.
    pub(crate) const BAD_SIG: u16 = 16;
    pub(crate) const BAD_KEY: u16 = 17;
    pub(crate) const BAD_TIME: u16 = 18;
}

/// Returns the error of an answer; `None` for a good one that is signed.
pub(super) fn refused(told: &Told, changes: bool) -> Option<Error> {
    if told.code == code::NO_ERROR && told.is_signed {
        return None;
    }
    let in_doubt =
        |doubt: bool| if doubt && changes { Effect::Unknown } else { Effect::NotApplied };
    if let Some(said) = told.signature_code.filter(|said| *said != code::NO_ERROR) {
        // Such an answer has no signature of its own, or a bad one: nothing was done with the message.
        return Some(of_signature(said));
    }
    if told.code == code::NO_ERROR {
        let message = "the answer is not signed with the key, so nobody knows whose it is";
        return Some(Error::new(ErrorKind::Corrupt, message).with_effect(in_doubt(true)));
    }
    let (word, kind, message, hint) = meaning(told.code);
    // A refusal that anybody could have sent proves nothing.
    let doubt = kind == ErrorKind::Unavailable || !told.is_signed;
    let error = Error::new(kind, message).with_provider_code(word).with_effect(in_doubt(doubt));
    Some(match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    })
}

fn of_signature(said: u16) -> Error {
    let (word, message, hint) = match said {
        code::BAD_SIG => (
            "BADSIG",
            "the server finds the signature wrong",
            "use the secret of this key as it stands in the server's configuration",
        ),
        code::BAD_KEY => (
            "BADKEY",
            "the server does not know the key",
            "use name and algorithm of the key as they stand in the server's configuration",
        ),
        code::BAD_TIME => (
            "BADTIME",
            "the server's clock and this one are too far apart",
            "set the clocks of both machines",
        ),
        _ => ("TSIG", "the server does not take the signature", "compare the key on both sides"),
    };
    Error::new(ErrorKind::Unauthenticated, message).with_provider_code(word).with_hint(hint)
}

/// The word for a code, what it means, and what to do.
fn meaning(said: u16) -> (&'static str, ErrorKind, &'static str, Option<&'static str>) {
    match said {
        code::FORM_ERR => {
            ("FORMERR", ErrorKind::BadInput, "the server could not read the message", None)
        }
        code::SERV_FAIL => (
            "SERVFAIL",
            ErrorKind::Unavailable,
            "the server failed",
            Some("look into its log: often it cannot write the zone's journal"),
        ),
        code::NX_DOMAIN => ("NXDOMAIN", ErrorKind::NotFound, "the server knows no such name", None),
        code::NOT_IMP => (
            "NOTIMP",
            ErrorKind::Denied,
            "the server does not do this",
            Some("switch dynamic updates on, or name another server"),
        ),
        code::REFUSED => (
            "REFUSED",
            ErrorKind::Denied,
            "the server does not allow it",
            Some(
                "allow the key to update the zone and to transfer it (update-policy, allow-transfer)",
            ),
        ),
        code::YX_DOMAIN => ("YXDOMAIN", ErrorKind::Conflict, "the name is in use", None),
        code::YX_RR_SET => ("YXRRSET", ErrorKind::Conflict, "the set is there already", None),
        code::NX_RR_SET => ("NXRRSET", ErrorKind::Conflict, "the set is not there", None),
        code::NOT_AUTH => (
            "NOTAUTH",
            ErrorKind::BadInput,
            "the server is not the primary of the zone",
            Some("check the zone's name and the server's address"),
        ),
        code::NOT_ZONE => {
            ("NOTZONE", ErrorKind::BadInput, "the name does not lie in the server's zone", None)
        }
        _ => ("RCODE", ErrorKind::Unavailable, "the server answered with a code that is new", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: u16, signature_code: Option<u16>, is_signed: bool) -> Told {
        Told { code, signature_code, is_signed, is_authoritative: true, records: Vec::new() }
    }

    #[test]
    fn what_a_refusal_means_for_what_was_asked() {
        use Effect::{NotApplied, Unknown};
        use ErrorKind::{BadInput, Corrupt, Denied, Unauthenticated, Unavailable};
        for (told, kind, effect) in [
            (told(code::REFUSED, Some(0), true), Denied, NotApplied),
            (told(code::REFUSED, None, false), Denied, Unknown),
            (told(code::SERV_FAIL, Some(0), true), Unavailable, Unknown),
            (told(code::NOT_AUTH, Some(0), true), BadInput, NotApplied),
            (told(code::NOT_ZONE, Some(0), true), BadInput, NotApplied),
            (told(code::NOT_AUTH, Some(code::BAD_KEY), false), Unauthenticated, NotApplied),
            (told(code::NOT_AUTH, Some(code::BAD_SIG), false), Unauthenticated, NotApplied),
            (told(code::NOT_AUTH, Some(code::BAD_TIME), true), Unauthenticated, NotApplied),
            (told(code::NO_ERROR, None, false), Corrupt, Unknown),
            (told(4_000, Some(0), true), Unavailable, Unknown),
        ] {
            let error = refused(&told, true).unwrap();
            assert_eq!((error.kind(), error.effect()), (kind, effect), "{told:?}");
            assert_eq!(refused(&told, false).unwrap().effect(), NotApplied, "{told:?}");
        }
        assert!(refused(&told(code::NO_ERROR, Some(0), true), true).is_none());
    }
}
