//! Boot data: it stays as the golden files show it, whatever text is put in stays text, and it holds one
//! token and no other secret.

#[cfg(test)]
mod boot_data {
    use std::collections::BTreeMap;
    use std::path::Path;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use sam_core::boot::{
        AgentRelease, Arch, BootPlan, BootSettings, Docker, Download, Firewall, Inbound,
        JournalOverrides, Protocol, SwapSize, UserData, UserName,
    };
    use sam_core::compute::BootData;
    use sam_core::keys::Ed25519Signer;
    use sam_core::{ErrorKind, NodeId, Secret};
    use serde_json::{Value, json};

    const SHA256: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    const TOKEN: &str = "canary-of-the-boot-token";

    fn boot(control: &str, token: &str) -> BootData {
        BootData::new(NodeId::from_bits(7), control.to_owned(), Secret::new(token.to_owned()))
    }

    fn download(arch: &str) -> Download {
        let url = format!("https://get.sam.example/0.1.0/sam-agentd-{arch}");
        Download::new(&url, SHA256).unwrap()
    }

    fn smallest() -> BootSettings {
        BootSettings::new(AgentRelease::new(Arch::X86_64, download("x86_64")))
            .with_swap(SwapSize::NONE)
    }

    fn largest() -> BootSettings {
        let key = Ed25519Signer::from_seed(&Secret::new([7; 32])).public_key();
        let signed = |arch| download(arch).signed(&[9; 64], &key).unwrap();
        let release = AgentRelease::new(Arch::X86_64, signed("x86_64"))
            .with(Arch::Aarch64, signed("aarch64"));
        let office = "192.0.2.0/24".parse().unwrap();
        let firewall = Firewall::closed()
            .with(Inbound::new(Protocol::Tcp, 22).unwrap().only_from(office))
            .and_then(|firewall| firewall.with(Inbound::new(Protocol::Tcp, 443)?))
            .unwrap();
        BootSettings::new(release)
            .with_docker(Docker::Installed)
            .with_firewall(firewall)
            .with_user(UserName::new("dev").unwrap())
    }

    fn overrides() -> JournalOverrides {
        serde_json::from_value(json!({
        "logJournalMaxUse": "2G", "logJournalKeepFree": "4G", "logJournalMaxRetention": "1month",
    }))
    .unwrap()
    }

    fn plans() -> [(&'static str, BootPlan); 2] {
        let several = "unix:/run/sam.sock,https://a.sam.example,https://b.sam.example";
        [
            ("smallest", BootPlan::new(&boot("https://sam.example", TOKEN), &smallest()).unwrap()),
            (
                "largest",
                BootPlan::new(&boot(several, TOKEN), &largest())
                    .unwrap()
                    .with_journal(&overrides()),
            ),
        ]
    }

    fn text(plan: &BootPlan) -> String {
        plan.render(UserData::BYTES_MAX).unwrap().expose().expose().clone()
    }

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text.strip_prefix("#cloud-config\n").unwrap()).unwrap()
    }

    /// Every file by its path, as it will be on the machine.
    fn files(config: &Value) -> BTreeMap<String, String> {
        let file = |file: &Value| {
            let content = file["content"].as_str().unwrap();
            let content = match file.get("encoding") {
                Some(encoding) => {
                    assert_eq!(encoding, "b64");
                    String::from_utf8(STANDARD.decode(content).unwrap()).unwrap()
                }
                None => content.to_owned(),
            };
            (file["path"].as_str().unwrap().to_owned(), content)
        };
        config["write_files"].as_array().unwrap().iter().map(file).collect()
    }

    fn boot_json(config: &Value) -> Value {
        let files = files(config);
        let path = format!("/var/lib/sam/nodes/{}/boot.json", NodeId::from_bits(7));
        serde_json::from_str(&files[&path]).unwrap()
    }

    #[test]
    fn boot_data_is_as_the_golden_files_show_it() {
        for (name, plan) in plans() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/boot").join(name);
            let path = path.with_extension("cloud-config");
            let found = text(&plan);
            #[expect(
                clippy::disallowed_methods,
                reason = "a test asks whether to write its golden"
            )]
            if std::env::var_os("SAM_BLESS").is_some_and(|value| value == "1") {
                std::fs::write(&path, &found).unwrap();
            }
            let known = std::fs::read_to_string(&path).unwrap();
            assert!(
                known == found,
                "{} is not what is rendered (SAM_BLESS=1 writes it anew):\n{found}",
                path.display()
            );
        }
    }

    #[test]
    fn boot_data_fits_every_provider_and_says_its_size_where_it_does_not() {
        for (name, plan) in plans() {
            let bytes = text(&plan).len();
            assert!(bytes < 26 * 1024, "{name} has {bytes} bytes: leave room for long addresses");
            plan.render(bytes).unwrap();
            let error = plan.render(bytes - 1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput);
            assert!(error.to_string().contains(&bytes.to_string()), "{error}");
        }
        // The most that can be asked for is not more than the least that providers take.
        let url = format!("https://{}", "a".repeat(Download::URL_BYTES_MAX - 8));
        let download = Download::new(&url, SHA256).unwrap();
        let rule = Inbound::new(Protocol::Tcp, 65_535).unwrap();
        let rule = rule.only_from("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff/128".parse().unwrap());
        let firewall = (0..Firewall::RULES_MAX)
            .try_fold(Firewall::closed(), |firewall, _| firewall.with(rule))
            .unwrap();
        let mut settings = largest().with_firewall(firewall);
        settings.agent =
            AgentRelease::new(Arch::X86_64, download.clone()).with(Arch::Aarch64, download);
        let control = format!("https://{}", "b".repeat(2_040));
        let plan = BootPlan::new(&boot(&control, &"t".repeat(512)), &settings).unwrap();
        assert!(text(&plan).len() <= UserData::BYTES_MAX);
    }

    #[test]
    fn the_token_is_there_once_and_nothing_else_that_is_secret() {
        for (name, plan) in plans() {
            let rendered = plan.render(UserData::BYTES_MAX).unwrap();
            assert!(!format!("{rendered:?} {plan:?}").contains(TOKEN));
            let text = rendered.expose().expose();
            assert_eq!(text.matches(TOKEN).count(), 1, "{name}");
            let config = parsed(text);
            for (path, content) in files(&config) {
                let expected = usize::from(path.ends_with("/boot.json"));
                assert_eq!(content.matches(TOKEN).count(), expected, "{path}");
                for word in ["PRIVATE KEY", "Bearer", "Authorization", "passwd", "eyJ"] {
                    assert!(!content.contains(word), "{path} holds {word:?}");
                }
            }
            // Only root reads what holds it, and what knows where it is.
            for file in config["write_files"].as_array().unwrap() {
                let path = file["path"].as_str().unwrap();
                let closed = path.ends_with("/boot.json") || path.ends_with("/boot-plan.json");
                assert_eq!(file["permissions"], if closed { "0600" } else { "0644" }, "{file}");
                assert_eq!(file["owner"], "root:root");
            }
            // Everything else that looks random is public: checksums, a public key, signatures.
            let plan = &files(&config)["/etc/sam/boot-plan.json"];
            let plan: Value = serde_json::from_str(plan).unwrap();
            for release in plan["agent"].as_object().unwrap().values() {
                for field in release.as_object().unwrap().keys() {
                    assert!(["url", "sha256", "signature", "public_key"].contains(&field.as_str()));
                }
            }
        }
    }

    #[test]
    fn what_machines_are_told_is_what_was_asked_for() {
        let [(_, smallest), (_, largest)] = plans();
        let config = parsed(&text(&smallest));
        let plan: Value = serde_json::from_str(&files(&config)["/etc/sam/boot-plan.json"]).unwrap();
        let phases = json!([
            "start",
            "journal",
            "packages",
            "firewall",
            "agent_download",
            "agent_verify",
            "agent_start",
        ]);
        assert_eq!(plan["phases"], phases);
        assert_eq!(plan["packages"], json!({"git": "git", "nft": "nftables"}));
        assert!(!files(&config).contains_key("/etc/docker/daemon.json"));
        assert_eq!(config["runcmd"].as_array().unwrap().len(), 1);

        let config = parsed(&text(&largest));
        let files = files(&config);
        assert_eq!(config["users"][0]["name"], "dev");
        assert_eq!(
            boot_json(&config)["control_url"],
            "https://a.sam.example,https://b.sam.example"
        );
        let journal = &files["/etc/systemd/journald.conf.d/sam.conf"];
        let expected = "[Journal]\nStorage=persistent\nCompress=yes\nSystemMaxUse=2G\nSystemKeepFree=4G\n\
                    MaxRetentionSec=1month\n";
        assert_eq!(journal, expected);
        let docker: Value = serde_json::from_str(&files["/etc/docker/daemon.json"]).unwrap();
        assert_eq!(docker["log-driver"], "journald");
        assert!(files["/etc/systemd/system/sam-agentd.service"].contains("\nUser=dev\n"));
        assert!(
            files["/etc/sam/firewall.nft"].contains("ip saddr 192.0.2.0/24 tcp dport 22 accept")
        );
    }

    #[test]
    fn a_machine_that_could_not_call_is_refused_before_it_is_bought() {
        for control in [
            "",
            "unix:/run/sam.sock",
            "memory:",
            "https://canary@sam.example",
            "https://a/?canary=1",
            "https://a,https://b c",
            "https://a,\nhttps://b",
            "https://a,,https://b",
        ] {
            let error = BootPlan::new(&boot(control, TOKEN), &smallest()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput, "{control:?}");
            assert!(!format!("{error:?}").contains("canary"));
        }
        let error = BootPlan::new(&boot("https://a", ""), &smallest()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadInput);
    }

    /// Replaces what was put in by what it was put in for, so that the structure alone is left.
    fn shape(config: &Value) -> Value {
        let mut config = config.clone();
        for file in config["write_files"].as_array_mut().unwrap() {
            let path = file["path"].as_str().unwrap().to_owned();
            if path.ends_with("/boot.json") || path == "/etc/sam/boot-plan.json" {
                file["content"] = json!("");
                file.as_object_mut().unwrap().remove("encoding");
            }
        }
        config
    }

    /// Text that has a meaning to one of those it passes on its way.
    fn hostile() -> impl Strategy<Value = String> {
        let known = prop::sample::select(vec![
            "\n## template: jinja\n",
            "{{ v1.instance_id }}",
            "$(touch /x)",
            "`id`",
            "'\"'",
            "\\\n",
            "\"}]}\nruncmd:\n- [id]\n#",
            "%n%i",
            "@USER@",
            "\u{7f}\u{85}\u{fffe}",
            "\u{1f600}",
            "\0",
            "- x: |\n  y",
            "#include",
            "${IFS}",
            "\r\n\t",
            "!!python/object:os.system",
            "*a &a",
            "EOF\n",
        ]);
        let part = prop_oneof![known.prop_map(str::to_owned), "\\PC{0,12}", any::<String>()];
        prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn no_text_changes_the_structure(token in hostile(), path in hostile(), user in hostile()) {
            // In every field: each is refused, or is there again word for word, and nothing else moved.
            let mut settings = smallest();
            let url = format!("https://get.sam.example/{path}");
            if let Ok(download) = Download::new(&url, SHA256) {
                settings.agent = AgentRelease::new(Arch::X86_64, download);
            }
            if let Ok(user) = UserName::new(&user) {
                settings.user = user;
            }
            let control = format!("https://sam.example/{path}");
            let plain = boot("https://sam.example", &token);
            let data = boot(&control, &token);
            let expected = shape(&parsed(&text(&BootPlan::new(
                &boot("https://sam.example", "t"), &settings).unwrap())));
            for data in [plain, data] {
                let Ok(plan) = BootPlan::new(&data, &settings) else { continue };
                let rendered = text(&plan);
                prop_assert!(rendered.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')));
                let config = parsed(&rendered);
                prop_assert_eq!(shape(&config), expected.clone());
                let read = boot_json(&config);
                prop_assert_eq!(&read["token"], &json!(token));
                let web: Vec<&str> =
                    data.control_url.split(',').filter(|url| url.starts_with("http")).collect();
                prop_assert_eq!(&read["control_url"], &json!(web.join(",")));
            }
        }
    }
}
