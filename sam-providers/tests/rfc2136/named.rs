//! A BIND 9 of the tests' own: a child process on a free port of the loopback address.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Most starts, should somebody else take the port in between.
const STARTS_MAX: usize = 5;
/// Most lines of its log until it runs.
const LINES_MAX: usize = 10_000;

/// Secrets that are worth nothing, in base64.
pub(crate) const SECRET: &str = "Y2FuYXJ5LXNlY3JldC1vZi0zMi1ieXRlcy1sZW5ndGg=";
pub(crate) const LONGER_SECRET: &str =
    "Y2FuYXJ5LXNlY3JldC1vZi02NC1ieXRlcy1sZW5ndGgtZm9yLXRoZS1sb25nZXN0LWtleS0wMTIzNA==";
/// The records of the large and the vast zone.
pub(crate) const LARGE: usize = 5_000;
const VAST: usize = 50_100;

#[derive(Debug)]
pub(crate) struct Named {
    address: SocketAddr,
    child: Option<Child>,
    _dir: Option<tempfile::TempDir>,
}

#[expect(clippy::disallowed_methods, reason = "whether a missing peer is an error")]
pub(crate) fn must_have_peers() -> bool {
    std::env::var_os("SAM_REQUIRE_PEERS").is_some_and(|value| value == "1")
}

/// Finds the server's program: it stands where only root's path leads.
#[expect(clippy::disallowed_methods, reason = "where programs are")]
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join("named")).find(|program| program.is_file())
}

impl Named {
    /// Starts one and waits until it answers.
    pub(crate) fn start() -> Result<Self, String> {
        let program = program().ok_or("there is no `named`: install bind9")?;
        let mut said = String::new();
        for _ in 0..STARTS_MAX {
            match Self::start_once(&program) {
                Ok(named) => return Ok(named),
                Err(why) => said = why,
            }
        }
        Err(format!("named does not start: {said}"))
    }

    /// Stands for one in the names of tests that are skipped.
    pub(crate) fn absent() -> Self {
        Self { address: SocketAddr::from(([127, 0, 0, 1], 1)), child: None, _dir: None }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn start_once(program: &PathBuf) -> Result<Self, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let address = TcpListener::bind(("127.0.0.1", 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|error| error.to_string())?;
        let write = |file: &str, text: &str| {
            std::fs::write(dir.path().join(file), text).map_err(|error| error.to_string())
        };
        write("named.conf", &configuration(&dir.path().display().to_string(), address.port()))?;
        write("example.com.zone", &format!("{START}{OURS}"))?;
        write("readonly.example.zone", START)?;
        write("large.example.zone", &filled(LARGE))?;
        write("vast.example.zone", &filled(VAST))?;
        let mut child = Command::new(program)
            .args(["-4", "-g", "-c"])
            .arg(dir.path().join("named.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let log = child.stderr.take().ok_or("no log")?;
        // From here on the process ends when this is dropped.
        let named = Self { address, child: Some(child), _dir: Some(dir) };
        let mut lines = BufReader::new(log).lines();
        let mut last = String::new();
        for line in lines.by_ref().take(LINES_MAX) {
            last = line.map_err(|error| error.to_string())?;
            if last.ends_with(" running") {
                // Somebody must read on, or it stops at a full pipe.
                std::thread::spawn(move || lines.count());
                return if TcpListener::bind(address).is_err() {
                    Ok(named)
                } else {
                    Err("it does not listen".to_owned())
                };
            }
        }
        Err(last)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _killed = child.kill();
            let _ended = child.wait();
        }
    }
}

/// What every zone begins with.
const START: &str = "$TTL 300\n\
    @ IN SOA ns hostmaster 1 3600 900 604800 60\n\
    @ IN NS ns\n\
    ns IN A 127.0.0.1\n";

/// What others put into our zone.
const OURS: &str = "mail IN MX 10 ns\n\
    below IN NS ns.below\n\
    ns.below IN A 127.0.0.1\n\
    long IN TXT ( \"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\" \"0123456789012345678901234567890123456789012345678901234567890123456789\" )\n\
    parts IN TXT \"one \" \"two\"\n\
    brief 5 IN A 192.0.2.7\n";

fn filled(records: usize) -> String {
    let mut zone = START.to_owned();
    for record in 0..records {
        writeln!(zone, "n{record} IN A 192.0.2.{}", record % 256).unwrap();
    }
    zone
}

fn configuration(dir: &str, port: u16) -> String {
    let zone = |name: &str, policy: &str| {
        format!(
            "zone \"{name}\" {{ type primary; file \"{name}.zone\"; {policy}\n\
             allow-transfer {{ key sam; key longer; }}; }};\n"
        )
    };
    let updates = "update-policy { grant sam zonesub ANY; grant longer zonesub ANY; };";
    format!(
        "key sam {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
         key longer {{ algorithm hmac-sha512; secret \"{LONGER_SECRET}\"; }};\n\
         key powerless {{ algorithm hmac-sha256; secret \"{SECRET}\"; }};\n\
         options {{ directory \"{dir}\"; listen-on port {port} {{ 127.0.0.1; }};\n\
         listen-on-v6 {{ none; }}; pid-file none; session-keyfile none; recursion no;\n\
         dnssec-validation no; notify no; empty-zones-enable no; }};\n\
         controls {{ }};\n{}{}{}{}",
        zone("example.com", updates),
        zone("readonly.example", ""),
        zone("large.example", updates),
        zone("vast.example", updates),
    )
}
