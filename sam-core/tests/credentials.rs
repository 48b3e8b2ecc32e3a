//! Credentials of owners: nodes are bought with them, and none goes that something still needs.

#[cfg(test)]
mod credentials {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use async_trait::async_trait;
    use futures_util::FutureExt as _;
    use sam_core::compute::{
        BootData, Catalog, ComputeCapabilities, ComputeProvider, CreateMachine, Deletion, Labels,
        ListMachines, Machine, MachineKey, MemoryCompute, OwnedResources, PowerControl,
    };
    use sam_core::credential::{Connect, CredentialState, NewCredential};
    use sam_core::engine::Stepped;
    use sam_core::entropy::SeededEntropy;
    use sam_core::keys::MemoryKeys;
    use sam_core::node::NodeState;
    use sam_core::secrets::{ListSecrets, MemorySecrets, SecretStore as _, Secrets};
    use sam_core::store::MemoryStore;
    use sam_core::time::{Clock, ManualClock, Timestamp};
    use sam_core::volume::VolumeProvider;
    use sam_core::workspace::{NewWorkspace, WorkspaceState};
    use sam_core::{Caller, CredentialId, Error, ErrorKind, NodeId, Page, Result, Sam, Secret};

    fn now<T>(work: impl Future<Output = T>) -> T {
        work.now_or_never().expect("nothing here waits")
    }

    fn secret(token: &str) -> Secret<String> {
        Secret::new(token.to_owned())
    }

    /// A vendor with two accounts; both tokens of the first lead to the same machines.
    #[derive(Debug, Default)]
    struct Vendor {
        accounts: BTreeMap<&'static str, Arc<MemoryCompute>>,
    }

    impl Vendor {
        fn new() -> Self {
            let (first, second) = (Arc::new(MemoryCompute::new()), Arc::new(MemoryCompute::new()));
            let accounts =
                [("first", Arc::clone(&first)), ("first-too", first), ("second", second)];
            Self { accounts: accounts.into() }
        }
    }

    impl Connect for Vendor {
        fn vendors(&self) -> Vec<&'static str> {
            vec!["cloud"]
        }

        fn connect(
            &self,
            vendor: &str,
            secret: &Secret<String>,
        ) -> Result<Arc<dyn ComputeProvider>> {
            if vendor != "cloud" {
                return Err(Error::new(ErrorKind::Unsupported, "no such vendor"));
            }
            let account = self.accounts.get(secret.expose().as_str()).cloned();
            Ok(Arc::new(Account(account)))
        }
    }

    /// An account, or none where the token is wrong.
    #[derive(Debug)]
    struct Account(Option<Arc<MemoryCompute>>);

    impl Account {
        fn open(&self) -> Result<&Arc<MemoryCompute>> {
            let refused = || Error::new(ErrorKind::Unauthenticated, "the token is wrong");
            self.0.as_ref().ok_or_else(refused)
        }
    }

    impl std::fmt::Display for Account {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("cloud")
        }
    }

    #[async_trait]
    impl ComputeProvider for Account {
        fn capabilities(&self) -> ComputeCapabilities {
            MemoryCompute::new().capabilities()
        }
        async fn catalog(&self) -> Result<Catalog> {
            self.open()?.catalog().await
        }
        async fn verify_credentials(&self) -> Result<()> {
            self.open()?.verify_credentials().await
        }
        async fn create_machine(&self, request: &CreateMachine) -> Result<Machine> {
            self.open()?.create_machine(request).await
        }
        async fn machine(&self, key: &MachineKey) -> Result<Option<Machine>> {
            self.open()?.machine(key).await
        }
        async fn list_machines(&self, query: &ListMachines) -> Result<Page<Machine>> {
            self.open()?.list_machines(query).await
        }
        async fn delete_machine(&self, key: &MachineKey) -> Result<Deletion> {
            self.open()?.delete_machine(key).await
        }
        fn power(&self) -> Option<&dyn PowerControl> {
            self.0.as_ref().and_then(|account| account.power())
        }
        fn volumes(&self) -> Option<&dyn VolumeProvider> {
            self.0.as_ref().and_then(|account| account.volumes())
        }
        fn owned(&self) -> Option<&dyn OwnedResources> {
            self.0.as_ref().and_then(|account| account.owned())
        }
    }

    struct Bench {
        clock: ManualClock,
        own: Arc<MemoryCompute>,
        vendor: Arc<Vendor>,
        kept: Arc<MemorySecrets>,
        sam: Sam,
        ann: Caller,
    }

    impl Bench {
        fn new() -> Self {
            let clock = ManualClock::new(Timestamp::EPOCH.plus(Duration::from_hours(1)));
            let shared: Arc<dyn Clock> = Arc::new(clock.clone());
            let (own, vendor) = (Arc::new(MemoryCompute::new()), Arc::new(Vendor::new()));
            let keys = Arc::new(MemoryKeys::new(Arc::new(SeededEntropy::new(3))));
            let kept = Arc::new(MemorySecrets::new(Arc::clone(&shared)));
            let store = Arc::new(MemoryStore::new(Arc::clone(&shared)));
            let sam = Sam::builder(store, Arc::clone(&own) as _)
                .clock(shared)
                .installation("home")
                .secrets(Secrets::new(keys, Arc::clone(&kept) as _))
                .connect(Arc::clone(&vendor) as _)
                .build()
                .unwrap();
            Self { clock, own, vendor, kept, sam, ann: Caller::named("ann") }
        }

        fn settle(&self) {
            for _ in 0..1_000 {
                if now(self.sam.step()).unwrap() != Stepped::Worked {
                    return;
                }
            }
            panic!("it does not come to rest");
        }

        fn pass(&self, minutes: u64) {
            for _ in 0..minutes {
                self.clock.advance(Duration::from_mins(1));
                self.settle();
            }
        }

        fn add(&self, name: &str, token: &str) -> Result<CredentialId> {
            let new = NewCredential::new("cloud", Some(name), &secret(token))?;
            Ok(now(self.sam.add_credential(new, &self.ann))?.record.id)
        }

        fn up(&self, provider: &str, caller: &Caller) -> Result<sam_core::WorkspaceId> {
            let repo = "https://example.com/r.git".parse().unwrap();
            let new = NewWorkspace::new(repo).with_provider(Some(provider.parse()?));
            let made = now(self.sam.create_workspace(new, caller))?.record.id;
            self.settle();
            Ok(made)
        }

        fn state(&self, id: sam_core::WorkspaceId) -> WorkspaceState {
            now(self.sam.workspace(id)).unwrap().unwrap().record.state
        }

        fn credential(&self, id: CredentialId) -> sam_core::credential::CredentialRecord {
            now(self.sam.credential(id)).unwrap().unwrap().record
        }

        fn machines(&self, account: &str) -> usize {
            let account = &self.vendor.accounts[account];
            now(account.list_machines(&ListMachines::default())).unwrap().items.len()
        }

        fn secrets(&self) -> Vec<String> {
            let page = now(self.kept.list_secrets(&ListSecrets::new())).unwrap();
            page.items.iter().map(|entry| entry.name.as_str().to_owned()).collect()
        }
    }

    #[test]
    fn a_credential_buys_is_needed_and_goes() {
        let bench = Bench::new();
        let id = bench.add("cloud", "first").unwrap();
        assert_eq!(bench.secrets(), [format!("credential/{id}/1")]);
        let workspace = bench.up("cloud", &bench.ann).unwrap();
        assert_eq!(bench.state(workspace), WorkspaceState::Running);
        assert_eq!((bench.machines("first"), bench.machines("second")), (1, 0));
        assert!(now(bench.own.list_machines(&ListMachines::default())).unwrap().items.is_empty());

        let error = now(bench.sam.delete_credential(id, &bench.ann)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(bench.credential(id).state, CredentialState::Active);

        now(bench.sam.delete_workspace(workspace, &bench.ann)).unwrap();
        bench.pass(30);
        assert_eq!((bench.state(workspace), bench.machines("first")), (WorkspaceState::Deleted, 0));
        let sweeps = || now(bench.sam.list_sweeps(None, 100)).unwrap().items.len();
        assert_eq!(sweeps(), 2);
        now(bench.sam.delete_credential(id, &bench.ann)).unwrap();
        bench.settle();
        assert_eq!(bench.credential(id).state, CredentialState::Deleted);
        assert!(bench.secrets().is_empty());
        assert_eq!(sweeps(), 1);
        // Its name is free again.
        bench.add("cloud", "second").unwrap();
    }

    #[test]
    fn what_the_vendor_still_lists_keeps_a_credential() {
        let bench = Bench::new();
        let id = bench.add("cloud", "first").unwrap();
        bench.settle();
        // Nobody knows of it yet: it was made after the last sweep.
        let node = NodeId::from_bits(5);
        let boot = BootData::new(node, "memory:".to_owned(), secret("t"));
        let labels = Labels::default().with(Labels::INSTALLATION, "home").unwrap();
        let labels = labels.with(Labels::NODE, &node.to_string()).unwrap();
        let stray = CreateMachine::new(MachineKey::of(node), boot).with_labels(labels);
        now(bench.vendor.accounts["first"].create_machine(&stray)).unwrap();
        now(bench.sam.delete_credential(id, &bench.ann)).unwrap();
        bench.settle();
        let kept = bench.credential(id);
        assert_eq!(kept.state, CredentialState::Active);
        assert!(kept.error.unwrap().message.contains("lists things"));
        // The sweep of its account makes it a node that a person decides on.
        bench.pass(11);
        let nodes = now(bench.sam.list_nodes(None, 10)).unwrap().items;
        let states: Vec<_> = nodes.iter().map(|node| node.record.state).collect();
        assert_eq!(states, [NodeState::Recovered]);
        let error = now(bench.sam.delete_credential(id, &bench.ann)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        now(bench.sam.delete_node(node, &bench.ann)).unwrap();
        bench.pass(30);
        assert_eq!(bench.machines("first"), 0);
        now(bench.sam.delete_credential(id, &bench.ann)).unwrap();
        bench.settle();
        assert_eq!(bench.credential(id).state, CredentialState::Deleted);
    }

    #[test]
    fn nothing_is_bought_with_one_that_is_on_its_way_out() {
        let bench = Bench::new();
        let id = bench.add("cloud", "first").unwrap();
        let repo = "https://example.com/r.git".parse().unwrap();
        let new = NewWorkspace::new(repo).with_provider("cloud".parse().ok());
        let workspace = now(bench.sam.create_workspace(new, &bench.ann)).unwrap().record.id;
        // It was asked for, and has no node yet.
        now(bench.sam.delete_credential(id, &bench.ann)).unwrap();
        bench.settle();
        assert_eq!(bench.credential(id).state, CredentialState::Deleted);
        assert_eq!(bench.machines("first"), 0);
        let failed = now(bench.sam.workspace(workspace)).unwrap().unwrap().record;
        assert_eq!(failed.state, WorkspaceState::Failed);
        assert!(failed.error.unwrap().message.contains("on its way out"));
    }

    #[test]
    fn every_order_of_deleting_a_credential_and_placing_is_safe() {
        // The deletion comes after so many steps of the engine.
        for steps in 0..40 {
            let bench = Bench::new();
            let id = bench.add("cloud", "first").unwrap();
            let repo = "https://example.com/r.git".parse().unwrap();
            let new = NewWorkspace::new(repo).with_provider("cloud".parse().ok());
            let workspace = now(bench.sam.create_workspace(new, &bench.ann)).unwrap().record.id;
            for _ in 0..steps {
                now(bench.sam.step()).unwrap();
            }
            let asked = now(bench.sam.delete_credential(id, &bench.ann));
            bench.settle();
            let (state, bought) = (bench.credential(id).state, bench.machines("first"));
            match asked {
                Ok(_) => assert_eq!((state, bought), (CredentialState::Deleted, 0), "{steps}"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Conflict);
                    assert_eq!((state, bought), (CredentialState::Active, 1), "{steps}");
                    assert_eq!(bench.state(workspace), WorkspaceState::Running);
                }
            }
        }
    }

    #[test]
    fn what_a_vendor_refuses_is_not_kept_and_names_are_unique() {
        let bench = Bench::new();
        for token in ["wrong", "canary"] {
            let error = bench.add("cloud", token).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput);
            assert!(!format!("{error:?}").contains("canary"));
        }
        assert!(bench.secrets().is_empty());
        bench.add("cloud", "first").unwrap();
        assert_eq!(bench.add("cloud", "second").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(bench.secrets().len(), 1);
        let other = NewCredential::new("nowhere", None, &secret("first")).unwrap();
        let error = now(bench.sam.add_credential(other, &bench.ann)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn a_token_is_replaced_by_one_of_the_same_account_only() {
        let bench = Bench::new();
        let id = bench.add("cloud", "first").unwrap();
        bench.up("cloud", &bench.ann).unwrap();
        let replace = |token: &str| now(bench.sam.replace_secret(id, &secret(token), &bench.ann));
        assert_eq!(replace("second").unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(replace("wrong").unwrap_err().kind(), ErrorKind::BadInput);
        assert_eq!(bench.secrets(), [format!("credential/{id}/1")]);
        assert_eq!(replace("first-too").unwrap().record.secret_number, 2);
        assert_eq!(bench.secrets(), [format!("credential/{id}/2")]);
        bench.up(&format!("cloud/{id}"), &bench.ann).unwrap();
        assert_eq!(bench.machines("first"), 2);
    }

    #[test]
    fn what_a_crash_leaves_of_a_token_is_forgotten_and_no_other() {
        let bench = Bench::new();
        let id = bench.add("cloud", "first").unwrap();
        // Kept, and then the process ended: its record was never written.
        let unnamed = CredentialId::from_bits(9);
        let left = format!("credential/{unnamed}/1").parse().unwrap();
        let token = Secret::new(b"canary".to_vec());
        now(bench.sam.secrets().unwrap().keep(&left, &token)).unwrap();
        let kept = [format!("credential/{id}/1")];
        assert_eq!(now(bench.sam.forget_unnamed_tokens()).unwrap(), 0);
        assert_eq!(bench.secrets().len(), 2);
        bench.clock.advance(Duration::from_mins(61));
        assert_eq!(now(bench.sam.forget_unnamed_tokens()).unwrap(), 1);
        assert_eq!(bench.secrets(), kept);
        assert_eq!(now(bench.sam.forget_unnamed_tokens()).unwrap(), 0);
    }

    #[test]
    fn whose_a_credential_is_decides_who_buys_with_it() {
        let bench = Bench::new();
        let id = bench.add("one", "first").unwrap();
        let bob = Caller::named("bob");
        for provider in ["cloud".to_owned(), format!("cloud/{id}"), "nowhere".to_owned()] {
            let error = bench.up(&provider, &bob).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput, "{provider}");
        }
        bench.add("two", "second").unwrap();
        let error = bench.up("cloud", &bench.ann).unwrap_err();
        assert!(error.hint().unwrap().contains(&id.to_string()), "{error:?}");
        bench.up(&format!("cloud/{id}"), &bench.ann).unwrap();
        bench.up("memory", &bench.ann).unwrap();
        assert_eq!((bench.machines("first"), bench.machines("second")), (1, 0));
        assert_eq!(now(bench.own.list_machines(&ListMachines::default())).unwrap().items.len(), 1);
        let listed = now(bench.sam.list_credentials("ann", None, 10)).unwrap().items;
        assert_eq!(listed.len(), 2);
        assert!(now(bench.sam.list_credentials("bob", None, 10)).unwrap().items.is_empty());
    }
}
