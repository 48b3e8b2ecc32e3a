//! Contracts and suites agree: every clause in a trait's documentation is tried by a case, and
//! every case tries a clause that is written there.

#[cfg(test)]
mod contracts {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    use sam_core::testkit::conformance::{
        blob, compute, dns, forge, keys, node_link, owned, power, secrets, signer, store, volume,
    };

    /// Traits with a contract and no suite, and why.
    const WITHOUT_A_SUITE: [(&str, &str); 7] = [
        ("Clock", "time itself cannot be tried without a clock that is trusted"),
        (
            "DeliveryHandler",
            "what it does is the host's own; how it is asked is tried with the engine",
        ),
        ("Entropy", "a test cannot tell good randomness from bad"),
        ("HttpTransport", "its suite needs a server, which the core has not"),
        ("Layer", "every provider's suite runs through every layer"),
        ("Meter", "it counts, and nothing depends on it"),
        ("Resource", "the simulation is its suite"),
    ];

    /// Every case of every suite, with its clause.
    fn cases() -> Vec<(&'static str, &'static str, &'static str)> {
        macro_rules! of {
            ($($suite:ident),+) => {{
                let mut all = Vec::new();
                $(all.extend($suite::CASES.iter().map(|c| (stringify!($suite), c.clause, c.name)));)+
                all
            }};
        }
        of!(
            blob, compute, dns, forge, keys, node_link, owned, power, secrets, signer, store,
            volume
        )
    }

    /// Adds the clauses of every trait in a file: `BlobStore C1` and so on, under the trait's name.
    fn read_contracts(text: &str, found: &mut BTreeMap<String, Vec<String>>) {
        let mut clauses = Vec::new();
        let mut contract = false;
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("pub trait ") {
                let end = |c: char| !c.is_ascii_alphanumeric();
                let name = rest.split(end).next().unwrap_or_default();
                if contract {
                    let clauses = std::mem::take(&mut clauses);
                    let named = clauses.iter().map(|clause| format!("{name} {clause}"));
                    found.insert(name.to_owned(), named.collect());
                }
            }
            if let Some(doc) = line.strip_prefix("///") {
                contract |= doc.trim() == "# Contract";
                let clause = doc.trim().strip_prefix("- **C").and_then(|c| c.split("**").next());
                clauses.extend(clause.map(|number| format!("C{number}")));
            } else if !line.starts_with("#[") {
                clauses.clear();
                contract = false;
            }
        }
    }

    fn contracts() -> BTreeMap<String, Vec<String>> {
        let mut found = BTreeMap::new();
        let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                read_contracts(&std::fs::read_to_string(path).unwrap(), &mut found);
            }
        }
        found
    }

    #[test]
    fn every_contract_clause_of_a_suite_has_a_case() {
        let tried: BTreeSet<&str> = cases().into_iter().map(|(_, clause, _)| clause).collect();
        let without: Vec<&str> = WITHOUT_A_SUITE.iter().map(|(name, _)| *name).collect();
        let mut clauses = 0;
        for (name, contract) in contracts() {
            if without.contains(&name.as_str()) {
                let suite = tried.iter().find(|clause| clause.starts_with(&format!("{name} ")));
                assert_eq!(suite, None, "{name} has a suite: take it off the list");
                continue;
            }
            assert!(!contract.is_empty(), "the contract of {name} has no numbered clause");
            for clause in &contract {
                assert!(tried.contains(clause.as_str()), "no case tries {clause}");
            }
            clauses += contract.len();
        }
        assert!(clauses >= 80, "only {clauses} clauses were found");
    }

    #[test]
    fn every_case_tries_a_clause_that_is_written() {
        let written: BTreeSet<String> = contracts().into_values().flatten().collect();
        for (suite, clause, name) in cases() {
            assert!(written.contains(clause), "{suite}::{name} tries {clause}, which is nowhere");
        }
    }

    #[test]
    fn clauses_are_numbered_from_one_without_a_gap() {
        for (name, contract) in contracts() {
            let expected = (1..=contract.len()).map(|number| format!("{name} C{number}"));
            assert!(contract.iter().eq(expected.collect::<Vec<_>>().iter()), "{contract:?}");
        }
    }

    #[test]
    fn the_cases_of_a_suite_have_names_of_their_own() {
        let mut seen = BTreeSet::new();
        for (suite, _, name) in cases() {
            assert!(seen.insert((suite, name)), "{suite} has two cases {name}");
        }
    }

    #[test]
    fn a_contract_is_read_from_the_documentation_of_a_trait() {
        let mut found = BTreeMap::new();
        let text = "/// # Contract\n/// - **C1** one\n///   more\n/// - **C2** two\n#[async_trait]\n\
                    pub trait Good: Send {\n/// - **C9** a method\nfn f();\n}\n\
                    /// - **C7** no contract\npub trait Bare {}";
        read_contracts(text, &mut found);
        let clauses = vec!["Good C1".to_owned(), "Good C2".to_owned()];
        assert_eq!(found, BTreeMap::from([("Good".to_owned(), clauses)]));
    }
}
