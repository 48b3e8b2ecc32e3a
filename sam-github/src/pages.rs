//! Listings in pages. Where the next page is, GitHub says; a caller hands that back, so it is
//! checked to belong to the same listing before a credential is sent there.

use sam_core::{Error, ErrorKind, Page, Result};
use serde::de::DeserializeOwned;

use crate::client::{Answer, Call};

/// Things on a page; GitHub gives no more.
const PER_PAGE: usize = 100;
/// Longest place to go on from, in bytes.
const AFTER_BYTES_MAX: usize = 512;

/// One listing.
#[derive(Debug)]
pub(crate) struct Pages {
    operation: &'static str,
    path: String,
}

impl Pages {
    pub(crate) const fn new(operation: &'static str, path: String) -> Self {
        Self { operation, path }
    }

    /// Returns the call for the first page, or for the one a page named as next.
    pub(crate) fn call(&self, after: Option<&str>) -> Result<Call> {
        let Some(after) = after else {
            return Ok(Call::get(self.operation, format!("{}?per_page={PER_PAGE}", self.path)));
        };
        if self.holds(after) {
            return Ok(Call::get(self.operation, after));
        }
        Err(Error::new(ErrorKind::BadInput, "this is not where a page of this listing begins")
            .with_operation(self.operation))
    }

    fn holds(&self, after: &str) -> bool {
        let (path, query) = after.split_once('?').unwrap_or((after, ""));
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~=&%+:".contains(&byte);
        after.len() <= AFTER_BYTES_MAX && query.bytes().all(legal) && self.is_at(path)
    }

    /// A repository's listing goes on under its number.
    fn is_at(&self, path: &str) -> bool {
        let numbered = || {
            let mut ours = self.path.strip_prefix("/repos/")?.splitn(3, '/');
            let (_, _, tail) = (ours.next()?, ours.next()?, ours.next()?);
            let (number, found) = path.strip_prefix("/repositories/")?.split_once('/')?;
            let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            Some(digits && found == tail)
        };
        path == self.path || numbered() == Some(true)
    }
}

/// Reads a page.
pub(crate) fn page<B: DeserializeOwned, T>(
    answer: &Answer,
    operation: &'static str,
    items: impl FnOnce(B) -> Vec<T>,
) -> Result<Page<T>> {
    Ok(Page::new(items(answer.read(operation)?), answer.next.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_goes_on_only_within_itself() {
        let user = Pages::new("x", "/user/installations".to_owned());
        let branches = Pages::new("x", "/repos/o/n/branches".to_owned());
        for (pages, good) in [
            (&user, "/user/installations?per_page=100&page=2"),
            (&branches, "/repos/o/n/branches?page=2"),
            (&branches, "/repositories/17/branches?page=2&after=Y3Vy%3D%3D"),
        ] {
            pages.call(Some(good)).unwrap();
        }
        for (pages, wrong) in [
            (&user, "/user/emails"),
            (&user, "/repositories/17/branches"),
            (&user, "/user/installations?x=\n"),
            (&user, "/user/installations/../emails"),
            (&branches, "/repositories/17/hooks"),
            (&branches, "/repositories//branches"),
            (&branches, "/repositories/1/x/branches"),
            (&branches, "https://evil.example/repos/o/n/branches"),
        ] {
            assert_eq!(pages.call(Some(wrong)).unwrap_err().kind(), ErrorKind::BadInput, "{wrong}");
        }
        user.call(Some(&format!("/user/installations?{}", "a".repeat(600)))).unwrap_err();
    }
}
