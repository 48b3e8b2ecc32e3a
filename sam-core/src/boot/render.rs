//! Structured data in, one text out. No text is pasted into another: cloud-init reads JSON where it
//! expects YAML, so a serialiser writes it, and every character of it is plain ASCII.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::Secret;
use crate::error::{Error, ErrorKind, Result};

/// What a machine is given on its first boot. It holds the boot token, so it is shown nowhere.
#[derive(Debug, Clone)]
pub struct UserData(Secret<String>);

impl UserData {
    /// The smallest limit that a provider we know has, in bytes: 32 KiB.
    pub const BYTES_MAX: usize = 32 * 1024;

    /// Borrows the text; the caller gives it to the provider and to nobody else.
    pub const fn expose(&self) -> &Secret<String> {
        &self.0
    }
}

/// A cloud-config. Modules that are not named here keep cloud-init's own defaults. It has no `Debug`:
/// one of its files holds the token.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of cloud-init's own")]
pub(super) struct CloudConfig<'a> {
    pub(super) users: Vec<User<'a>>,
    pub(super) ssh_pwauth: bool,
    pub(super) disable_root: bool,
    /// An upgrade would hold the agent up for minutes.
    pub(super) package_update: bool,
    pub(super) package_upgrade: bool,
    pub(super) write_files: Vec<File>,
    /// Lists of arguments: a list is never seen by a shell as anything but itself.
    pub(super) runcmd: Vec<Vec<&'a str>>,
}

#[derive(Serialize)]
pub(super) struct User<'a> {
    pub(super) name: &'a str,
    pub(super) gecos: &'a str,
    pub(super) shell: &'a str,
    pub(super) lock_passwd: bool,
}

#[derive(Serialize)]
pub(super) struct File {
    path: String,
    owner: &'static str,
    permissions: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    content: String,
}

impl File {
    /// A file that everybody may read.
    pub(super) fn open(path: &str, content: &str) -> Self {
        Self::new(path, "0644", content)
    }

    /// A file that only root may read.
    pub(super) fn closed(path: &str, content: &str) -> Self {
        Self::new(path, "0600", content)
    }

    fn new(path: &str, permissions: &'static str, content: &str) -> Self {
        // YAML refuses some characters even where JSON escapes them, and reads others as two.
        let plain = content.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~'));
        let (encoding, content) = if plain {
            (None, content.to_owned())
        } else {
            (Some("b64"), STANDARD.encode(content))
        };
        Self { path: path.to_owned(), owner: "root:root", permissions, encoding, content }
    }
}

impl CloudConfig<'_> {
    /// Writes it, and checks its size against a provider's limit.
    ///
    /// # Errors
    /// `BadInput`, naming both sizes.
    pub(super) fn to_user_data(&self, bytes_max: usize) -> Result<UserData> {
        let json = serde_json::to_string_pretty(self).map_err(|error| {
            Error::new(ErrorKind::Bug, "boot data cannot be written").with_source(error)
        })?;
        let json = Secret::new(json);
        let text = Secret::new(format!("#cloud-config\n{}\n", json.expose()));
        let bytes = text.expose().len();
        if bytes > bytes_max {
            let message =
                format!("the boot data has {bytes} bytes, its provider takes {bytes_max}");
            return Err(Error::new(ErrorKind::BadInput, message)
                .with_hint("shorten the addresses, or name fewer firewall rules"));
        }
        Ok(UserData(text))
    }
}
