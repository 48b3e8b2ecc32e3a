//! What the adapter is told.

use std::fmt;
use std::str::FromStr;

use sam_core::dns::RecordName;
use sam_core::{Error, ErrorKind, Result, Secret};

use crate::api::BaseUrl;

/// How the adapter reaches one zone, and what its records look like.
#[derive(Debug, Clone)]
pub struct CloudflareConfig {
    pub(super) token: Secret<String>,
    pub(super) zone: ZoneChoice,
    pub(super) base_url: BaseUrl,
    pub(super) account: Option<CloudflareId>,
    pub(super) proxied: bool,
    pub(super) comment: Option<String>,
    pub(super) tags: Vec<String>,
}

impl CloudflareConfig {
    /// Where Cloudflare's interface is.
    pub const BASE_URL: &'static str = "https://api.cloudflare.com/client/v4";
    /// Longest comment on a record, in characters: what every plan takes.
    pub const COMMENT_CHARS_MAX: usize = 100;
    /// Most tags on a record.
    pub const TAGS_MAX: usize = 20;
    /// Longest tag, in characters: a name of 32, a colon, a value of 100.
    pub const TAG_CHARS_MAX: usize = 133;

    /// Reaches a zone with an API token. Records are not proxied and carry no comment.
    pub fn new(token: Secret<String>, zone: ZoneChoice) -> Self {
        Self {
            token,
            zone,
            base_url: BaseUrl::known(Self::BASE_URL),
            account: None,
            proxied: false,
            comment: None,
            tags: Vec::new(),
        }
    }

    /// Finds the interface somewhere else: behind a gateway, or in a test.
    #[must_use]
    pub fn with_base_url(mut self, base_url: BaseUrl) -> Self {
        self.base_url = base_url;
        self
    }

    /// Names the account, where tokens that belong to it are verified.
    #[must_use]
    pub fn with_account(mut self, account: CloudflareId) -> Self {
        self.account = Some(account);
        self
    }

    /// Lets Cloudflare's edge stand in front of addresses and aliases. The edge answers with its own
    /// addresses and its own time to live, which is read back as 300 seconds whatever was put.
    #[must_use]
    pub fn with_proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// Puts a comment on every record that is made, which a person sees in the dashboard: name the
    /// installation. A record that is changed keeps the comment that it has.
    ///
    /// # Errors
    /// `BadInput` for one that is empty, longer than [`CloudflareConfig::COMMENT_CHARS_MAX`] or not
    /// on one line.
    pub fn with_comment(mut self, comment: &str) -> Result<Self> {
        let comment = comment.trim();
        let count = comment.chars().count();
        if !(1..=Self::COMMENT_CHARS_MAX).contains(&count) || comment.contains(char::is_control) {
            let message = "a comment has 1 to 100 characters on one line";
            return Err(Error::new(ErrorKind::BadInput, message));
        }
        self.comment = Some(comment.to_owned());
        Ok(self)
    }

    /// Puts tags on every record that is made, each `name:value`. Cloudflare refuses them on its free
    /// plan.
    ///
    /// # Errors
    /// `BadInput` for more than [`CloudflareConfig::TAGS_MAX`], and for one that has no name, no
    /// colon, or more than [`CloudflareConfig::TAG_CHARS_MAX`] characters.
    pub fn with_tags(mut self, tags: impl IntoIterator<Item = String>) -> Result<Self> {
        let tags: Vec<String> = tags.into_iter().take(Self::TAGS_MAX + 1).collect();
        let legal = |tag: &String| {
            tag.split_once(':').is_some_and(|(name, _)| !name.is_empty())
                && tag.chars().count() <= Self::TAG_CHARS_MAX
                && !tag.contains(char::is_control)
        };
        if tags.len() > Self::TAGS_MAX || !tags.iter().all(legal) {
            let message = "at most 20 tags, each written name:value with at most 133 characters";
            return Err(Error::new(ErrorKind::BadInput, message));
        }
        self.tags = tags;
        Ok(self)
    }
}

/// Which zone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ZoneChoice {
    /// The zone that holds this name, which is looked up once: the name itself or the nearest one
    /// above it. The token needs to read zones.
    Holding(RecordName),
    /// The zone with this id; its name is looked up once. The token needs to read zones.
    Id(CloudflareId),
    /// The zone with this id and name. Nothing is looked up, so the token need not read zones.
    Known {
        /// Its id.
        id: CloudflareId,
        /// Its name.
        name: RecordName,
    },
}

/// An id of Cloudflare's: 1 to 32 letters and digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudflareId(String);

impl CloudflareId {
    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CloudflareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CloudflareId {
    type Err = Error;

    /// Reads an id. What was given is not repeated in the error: people paste tokens here.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::new(ErrorKind::BadInput, "an id of Cloudflare has 1 to 32 letters and digits")
            .with_hint("copy it from the zone's overview page in the dashboard"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> CloudflareConfig {
        let zone = ZoneChoice::Holding("example.com".parse().unwrap());
        CloudflareConfig::new(Secret::new("canary".to_owned()), zone)
    }

    #[test]
    fn comments_tags_and_ids_have_bounds() {
        config().with_comment(&"x".repeat(100)).unwrap();
        for wrong in ["", " ", "a\nb", &"x".repeat(101)] {
            assert_eq!(config().with_comment(wrong).unwrap_err().kind(), ErrorKind::BadInput);
        }
        config().with_tags(["owner:sam".to_owned(), "empty:".to_owned()]).unwrap();
        for wrong in ["owner", ":sam", &format!("owner:{}", "x".repeat(128))] {
            config().with_tags([wrong.to_owned()]).unwrap_err();
        }
        config().with_tags((0..21).map(|n| format!("t{n}:x"))).unwrap_err();
        "023e105f4ecef8ad9ca31a8372d0c353".parse::<CloudflareId>().unwrap();
        for wrong in ["", "../zones", &"canary".repeat(6)] {
            let error = wrong.parse::<CloudflareId>().unwrap_err();
            assert!(!format!("{error:?}").contains("canary"));
        }
    }

    #[test]
    fn the_token_is_not_shown() {
        assert!(!format!("{:?}", config()).contains("canary"));
        assert_eq!(config().base_url.as_str().parse::<BaseUrl>().unwrap(), config().base_url);
    }
}
