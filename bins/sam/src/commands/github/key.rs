//! `sam github key`.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use serde::Serialize;

use sam_core::{Error, ErrorKind, Result, Secret};
use sam_github::PrivateKey;

use super::args::{Form, Key, Structure};
use crate::failure::{Failure, system};
use crate::output::{self, Output};

/// Most bytes that are read; no key is longer in any wrapping.
const BYTES_MAX: u64 = 64 * 1024;

/// What is shown of a key.
#[derive(Serialize)]
struct Shown {
    sort: &'static str,
    bits: usize,
    fingerprint: String,
}

pub(super) fn run(output: Output, command: Key) -> Result<u8, Failure> {
    match command {
        Key::Inspect { file } => inspect(output, &read(file.as_deref())?),
        Key::Convert { file, to, form } => convert(&read(file.as_deref())?, to, form),
    }
}

/// Reads a key from a file, or from standard input.
pub(super) fn read(file: Option<&Path>) -> Result<PrivateKey> {
    if let Some(path) = file.filter(|path| *path != Path::new("-")) {
        return PrivateKey::from_file(path)
            .map_err(|error| Error::from(error).with_context("file", path.display()));
    }
    // Room for all of it, so that growing leaves no copies of a secret behind.
    let room = usize::try_from(BYTES_MAX).unwrap_or(0) + 1;
    let mut bytes = Vec::with_capacity(room);
    let read = io::stdin().lock().take(BYTES_MAX + 1).read_to_end(&mut bytes);
    let bytes = Secret::new(bytes);
    read.map_err(|cause| system("standard input cannot be read", cause))?;
    Ok(PrivateKey::from_bytes(bytes.expose())?)
}

fn inspect(output: Output, key: &PrivateKey) -> Result<u8, Failure> {
    let fingerprint = key.fingerprint().map_err(Error::from)?;
    let shown = Shown { sort: "RSA", bits: key.bits(), fingerprint };
    if output.json {
        output::object(&shown)?;
    } else {
        let Shown { sort, bits, fingerprint } = shown;
        output::line(&format!("key          {sort}, {bits} bits\nfingerprint  {fingerprint}"))?;
    }
    Ok(0)
}

fn convert(key: &PrivateKey, to: Structure, form: Form) -> Result<u8, Failure> {
    let mut out = io::stdout().lock();
    match (to, form) {
        (_, Form::Der) if out.is_terminal() => {
            let error = Error::new(ErrorKind::BadInput, "DER is bytes, and this is a terminal");
            return Err(error
                .with_hint("send it to a file: sam github key convert … > key.der")
                .into());
        }
        (Structure::Pkcs1, Form::Der) => out.write_all(key.to_pkcs1_der().expose())?,
        (Structure::Pkcs8, Form::Der) => out.write_all(key.to_pkcs8_der().expose())?,
        (Structure::Pkcs1, Form::Pem) => {
            out.write_all(key.to_pkcs1_pem().map_err(Error::from)?.expose().as_bytes())?;
        }
        (Structure::Pkcs8, Form::Pem) => {
            out.write_all(key.to_pkcs8_pem().map_err(Error::from)?.expose().as_bytes())?;
        }
    }
    out.flush()?;
    Ok(0)
}
