//! The cases: each asks one reader.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sam_core::boot::{AgentRelease, Arch, BootPlan, BootSettings, Download, UserData};
use sam_core::compute::BootData;
use sam_core::{NodeId, Secret};
use serde_json::Value;

/// What a case needs, and the case.
pub(crate) type Case = (&'static str, &'static [&'static str], fn());

/// Texts that mean something to YAML, JSON, a shell, Jinja or cloud-init.
const HOSTILE: [&str; 12] = [
    "## template: jinja",
    "{{ v1.instance_id }}",
    "$(touch /x)`id`",
    "'\"'\"\\",
    "a\nb: c\n- d\n",
    "\"}]}\nruncmd: [id]",
    "\u{7f}\u{85}\u{2028}\u{fffe}",
    "\u{1f600} \u{e4}",
    "\0\u{1}\t",
    "*a &a !!b",
    "null",
    "1e3",
];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/boot").join(name)
}

fn goldens() -> [PathBuf; 2] {
    ["smallest.cloud-config", "largest.cloud-config"].map(golden)
}

fn config(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    serde_json::from_str(text.strip_prefix("#cloud-config\n").unwrap()).unwrap()
}

/// Writes one file of boot data to a directory of the test's own.
fn extracted(config: &Value, path: &str, dir: &str) -> PathBuf {
    let files = config["write_files"].as_array().unwrap();
    let file = files.iter().find(|file| file["path"] == path).expect(path);
    let dir = scratch(dir);
    let to = dir.join(Path::new(path).file_name().unwrap());
    fs::write(&to, file["content"].as_str().unwrap()).unwrap();
    to
}

fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("boot_schema").join(name);
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn run(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

pub(crate) fn cloud_init_finds_boot_data_valid() {
    for path in goldens() {
        let checked = run("cloud-init", &["schema", "--annotate", "-c", path.to_str().unwrap()]);
        let said = said(&checked);
        assert!(checked.status.success(), "{}: {said}", path.display());
        assert!(said.contains("Valid"), "{said}");
        assert!(!said.to_lowercase().contains("deprecat"), "{said}");
    }
}

/// The judge is awake: what is wrong is found.
pub(crate) fn cloud_init_finds_what_is_wrong() {
    let path = scratch("wrong").join("wrong.cloud-config");
    fs::write(&path, "#cloud-config\n{\"runcmd\": {\"not\": \"a list\"}}\n").unwrap();
    let checked = run("cloud-init", &["schema", "--annotate", "-c", path.to_str().unwrap()]);
    let said = said(&checked);
    assert!(said.contains("is not of type 'array'"), "{said}");
}

/// cloud-init reads YAML, and we write JSON: both must see the same, whatever the text.
pub(crate) fn the_yaml_parser_sees_what_the_json_parser_sees() {
    const COMPARE: &str = "import json, sys, yaml\n\
        for path in sys.argv[1:]:\n\
        \x20   text = open(path, encoding='utf-8', newline='').read()\n\
        \x20   seen = yaml.safe_load(text)\n\
        \x20   if seen != json.loads(text.split('\\n', 1)[1]): sys.exit('not the same: ' + path)\n\
        print('same', len(sys.argv) - 1)\n";
    let dir = scratch("yaml");
    let sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let download = Download::new("https://get.sam.example/agent", sha256).unwrap();
    let settings = BootSettings::new(AgentRelease::new(Arch::X86_64, download));
    let hostile = HOSTILE.into_iter().enumerate().map(|(number, text)| {
        let token = Secret::new(text.to_owned());
        let control = "https://sam.example/$(id)'`{{x}}".to_owned();
        let boot = BootData::new(NodeId::from_bits(7), control, token);
        let data = BootPlan::new(&boot, &settings).unwrap().render(UserData::BYTES_MAX).unwrap();
        let path = dir.join(format!("{number}.cloud-config"));
        fs::write(&path, data.expose().expose()).unwrap();
        path
    });
    let paths: Vec<PathBuf> = hostile.chain(goldens()).collect();
    let mut arguments = vec!["-c", COMPARE];
    arguments.extend(paths.iter().map(|path| path.to_str().unwrap()));
    // The system's own, which is cloud-init's.
    let compared = run("/usr/bin/python3", &arguments);
    assert_eq!(said(&compared).trim(), format!("same {}", HOSTILE.len() + 2));
}

pub(crate) fn systemd_finds_the_units_valid() {
    for path in goldens() {
        let config = config(&path);
        let name = path.file_stem().unwrap().to_str().unwrap();
        let units = ["sam-firewall.service", "sam-agentd.service"].map(|unit| {
            let from = format!("/etc/systemd/system/{unit}");
            let to = extracted(&config, &from, &format!("units-{name}"));
            // The programs are not on this computer; which they are is no question here.
            let text = fs::read_to_string(&to).unwrap();
            let known = text
                .replace("/usr/local/bin/sam-agentd", "/bin/true")
                .replace("/usr/sbin/nft", "/bin/true");
            fs::write(&to, known).unwrap();
            to.to_str().unwrap().to_owned()
        });
        let [firewall, agent] = &units;
        let checked = run("systemd-analyze", &["verify", "--man=no", firewall, agent]);
        let said = said(&checked);
        // What it says of other units of this computer is not ours.
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("sam-")).collect();
        assert!(ours.is_empty(), "{}", ours.join("\n"));
    }
}

pub(crate) fn systemd_finds_what_is_wrong_with_a_unit() {
    let path = scratch("wrong-unit").join("sam-wrong.service");
    fs::write(&path, "[Service]\nExecStart=/bin/true\nNoNewPrivilege=yes\n").unwrap();
    let checked = run("systemd-analyze", &["verify", "--man=no", path.to_str().unwrap()]);
    assert!(said(&checked).contains("NoNewPrivilege"), "{}", said(&checked));
}

/// In a network namespace of its own, so that it touches nothing of this computer.
pub(crate) fn the_firewall_lets_in_what_is_named_and_keeps_metadata_from_workspaces() {
    let rules =
        extracted(&config(&golden("largest.cloud-config")), "/etc/sam/firewall.nft", "firewall");
    let probe = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boot_schema/firewall.py");
    let probed =
        run("unshare", &["-n", "python3", probe.to_str().unwrap(), rules.to_str().unwrap()]);
    assert_eq!(said(&probed).trim(), "as it should be");
}
