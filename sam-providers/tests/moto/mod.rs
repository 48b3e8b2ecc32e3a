//! moto as a child process, with what it lacks; see `serve.py`. It is started by the Python that
//! `SAM_TEST_MOTO_PYTHON` names, else `python3`; where that has no moto, tests are reported as
//! skipped, and fail where `SAM_REQUIRE_PEERS=1`.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// Where moto is and what it holds.
#[derive(Debug)]
pub(crate) struct Moto {
    told: Value,
}

static STARTED: OnceLock<Result<Moto, String>> = OnceLock::new();

/// It ends when this process drops the pipe to its input, however this process ends.
static CHILD: OnceLock<Child> = OnceLock::new();

impl Moto {
    /// Starts it once for this process.
    pub(crate) fn start() -> Result<&'static Self, &'static str> {
        STARTED.get_or_init(start).as_ref().map_err(String::as_str)
    }

    /// Returns the one that was started.
    pub(crate) fn known() -> &'static Self {
        Self::start().unwrap()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.told[name].as_str().unwrap().to_owned()
    }

    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let all = self.told[name].as_array().unwrap();
        all.iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    }
}

#[expect(clippy::disallowed_methods, reason = "which Python has moto")]
fn start() -> Result<Moto, String> {
    let python = std::env::var_os("SAM_TEST_MOTO_PYTHON").unwrap_or_else(|| "python3".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/moto/serve.py");
    let started = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = started.map_err(|error| format!("no Python to run moto with: {error}"))?;
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let read = output.read_line(&mut line).map_err(|error| error.to_string())?;
    if read == 0 {
        let mut why = String::new();
        drop(child.stderr.take().unwrap().read_to_string(&mut why));
        drop(child.wait());
        let last = why.lines().last().unwrap_or("it said nothing").to_owned();
        return Err(format!("no moto (pip install 'moto[server]'): {last}"));
    }
    // Read to its end, so that a warning never fills the pipe.
    let mut errors = child.stderr.take().unwrap();
    std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
    drop(CHILD.set(child));
    let told = serde_json::from_str(&line).map_err(|error| error.to_string())?;
    Ok(Moto { told })
}

#[expect(clippy::disallowed_methods, reason = "whether a missing peer is an error")]
pub(crate) fn must_have_peers() -> bool {
    std::env::var_os("SAM_REQUIRE_PEERS").is_some_and(|value| value == "1")
}

/// Makes of tests that need moto what there is to run.
pub(crate) fn skipped(
    names: impl IntoIterator<Item = String>,
    why: &'static str,
) -> Vec<libtest_mimic::Trial> {
    let skip = |name| {
        libtest_mimic::Trial::test(name, move || Err(why.into()))
            .with_kind("skipped: no moto")
            .with_ignored_flag(!must_have_peers())
    };
    names.into_iter().map(skip).collect()
}
