//! Cookies: reading one, and writing one that no script and no other site can use.

use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// Longest value that is taken: browsers keep 4 KiB of a cookie.
pub(crate) const COOKIE_BYTES_MAX: usize = 4_000;

/// Returns the value of a cookie, unless it is there twice: then somebody else set one of them.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    let mut found = pairs.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
    match (found.next(), found.next()) {
        (Some(value), None) if !value.is_empty() && value.len() <= COOKIE_BYTES_MAX => Some(value),
        _ => None,
    }
}

/// Returns the header that sets a cookie for so long, or deletes it with no time. The value is
/// base64 or empty.
pub(crate) fn set_cookie(
    name: &str,
    value: &str,
    lasts: Duration,
    is_secure: bool,
) -> Option<HeaderValue> {
    let secure = if is_secure { "; Secure" } else { "" };
    let text = format!(
        "{name}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
        lasts.as_secs()
    );
    let mut header = HeaderValue::try_from(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others_and_not_when_it_is_there_twice() {
        let headers = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIE, HeaderValue::from_static(line));
            }
            headers
        };
        for (lines, expected) in [
            (&["a=1; sam=x; b=2"][..], Some("x")),
            (&["a=1", "sam=x"], Some("x")),
            (&["samx=1; xsam=2; sam"], None),
            (&["sam=x; sam=y"], None),
            (&["sam=x", "sam=x"], None),
            (&["sam="], None),
            (&[], None),
        ] {
            assert_eq!(cookie(&headers(lines), "sam"), expected, "{lines:?}");
        }
        let set = set_cookie("sam", "x", Duration::from_mins(1), true).unwrap();
        let told = "sam=x; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure";
        assert_eq!(set.to_str().unwrap(), told);
        assert!(set.is_sensitive());
        assert!(set_cookie("sam", "x\n", Duration::ZERO, false).is_none());
    }
}
