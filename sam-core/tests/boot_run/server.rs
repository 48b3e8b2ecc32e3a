//! A control plane and a place to download from, on one socket of the loopback.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sam_core::auth::BootReportKey;
use sam_core::boot::BootReport;

/// How a request for the agent is answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// With these bytes.
    Whole(Vec<u8>),
    /// With the first half of these bytes, under the length of all.
    Half(Vec<u8>),
    /// With a status and nothing else.
    Status(u16),
    /// With a redirection to another path.
    Moved(&'static str),
}

#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Reports whose proof was good, with their bytes.
    pub(crate) reports: Vec<(BootReport, String)>,
    /// Requests for the agent.
    pub(crate) downloads: usize,
    /// Reports that were refused, or had no good proof.
    pub(crate) refused: usize,
    /// Every request as it came, headers and all.
    pub(crate) raw: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) key: BootReportKey,
    /// In turn; the last one again and again.
    pub(crate) agent: Vec<Answer>,
    /// What the first reports are answered with, before they are taken.
    pub(crate) reports: Vec<u16>,
}

/// Listens until the test's process ends.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) heard: Arc<Mutex<Heard>>,
}

impl Server {
    #[expect(clippy::disallowed_methods, reason = "a peer of the test, not a part of the core")]
    pub(crate) fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (script, kept) = (Mutex::new(script), Arc::clone(&heard));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                // A client that goes away in the middle is one of the cases.
                let _gone = serve(stream, &mut script.lock().unwrap(), &kept);
            }
        });
        Self { address, heard }
    }
}

fn serve(stream: TcpStream, script: &mut Script, heard: &Mutex<Heard>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut lines, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        lines.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut stream = reader.into_inner();
    let mut heard = heard.lock().unwrap();
    heard.raw.push(format!("{lines}\n{}", String::from_utf8_lossy(&body)));
    if lines.starts_with("POST /api/nodes/boot-report HTTP/1.1\r\n") {
        let status = take_report(script, &mut heard, &lines, &body);
        return answer(&mut stream, status, "", &[]);
    }
    heard.downloads += 1;
    let next =
        if script.agent.len() > 1 { script.agent.remove(0) } else { script.agent[0].clone() };
    drop(heard);
    match next {
        Answer::Whole(bytes) => answer(&mut stream, 200, "", &bytes),
        Answer::Status(status) => answer(&mut stream, status, "", &[]),
        Answer::Moved(path) => answer(&mut stream, 302, &format!("location: {path}\r\n"), &[]),
        Answer::Half(bytes) => {
            write!(stream, "HTTP/1.1 200 X\r\ncontent-length: {}\r\n\r\n", bytes.len())?;
            stream.write_all(&bytes[..bytes.len() / 2])
        }
    }
}

fn take_report(script: &mut Script, heard: &mut Heard, lines: &str, body: &[u8]) -> u16 {
    if !script.reports.is_empty() {
        heard.refused += 1;
        return script.reports.remove(0);
    }
    let proof = lines
        .lines()
        .find_map(|line| {
            line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("sam-boot-proof"))
        })
        .map_or("", |(_, value)| value.trim());
    let text = String::from_utf8_lossy(body).into_owned();
    if let (Ok(report), Ok(())) = (BootReport::read(body), script.key.verify(body, proof)) {
        heard.reports.push((report, text));
        return 200;
    }
    heard.refused += 1;
    401
}

fn answer(stream: &mut TcpStream, status: u16, more: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\n{more}content-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    stream.write_all(body)
}
