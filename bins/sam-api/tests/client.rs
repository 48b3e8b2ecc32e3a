//! How the client behaves towards servers that are slow of mind, broken, or not SAM's at all.

#[cfg(test)]
mod server;

#[cfg(test)]
mod calls {
    use std::time::Duration;

    use sam_api::client::{BODY_BYTES_MAX, ListNodes, ListWorkspaces};
    use sam_api::{
        Client, CreateWorkspace, IdempotencyKey, Lifetime, NodeState, OrphanReason, OrphanState,
        SetDeletionHold, Target,
    };
    use sam_core::{Effect, ErrorKind, Retry, Secret};
    use wiremock::matchers::{body_json, header, method, path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use crate::server::{self, WORKSPACE, problem};

    fn client(server: &MockServer) -> Client {
        let token = Some(Secret::new("t0ken".to_owned()));
        Client::new(Target::Http(server.uri()), token).unwrap()
    }

    fn request() -> CreateWorkspace {
        CreateWorkspace::new("octo/hello".parse().unwrap())
    }

    #[tokio::test]
    async fn a_problem_keeps_its_kind_its_hint_and_its_step() {
        let server = MockServer::start().await;
        let answer = problem(ErrorKind::QuotaExceeded, "no room");
        Mock::given(method("GET")).respond_with(answer).mount(&server).await;
        let error = client(&server).workspace("x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
        assert_eq!(error.public_message(), "no room");
        assert_eq!(error.hint(), Some("do this"));
        assert!(error.context().contains(&("step", "placing".to_owned())));
        assert_eq!(error.operation(), Some("workspace"));
    }

    #[tokio::test]
    async fn creating_is_repeated_with_the_same_key_until_it_is_answered() {
        let server = MockServer::start().await;
        let troubled = problem(ErrorKind::Unavailable, "not now");
        let create = Mock::given(method("POST")).and(path("/api/workspaces"));
        create.respond_with(troubled).up_to_n_times(2).mount(&server).await;
        Mock::given(method("POST"))
            .and(header("idempotency-key", "k1"))
            .and(header("authorization", "Bearer t0ken"))
            .and(body_json(serde_json::json!({"repo": "https://github.com/octo/hello.git"})))
            .respond_with(ResponseTemplate::new(201).set_body_raw(WORKSPACE, "application/json"))
            .expect(1)
            .mount(&server)
            .await;
        let key = IdempotencyKey::new("k1").unwrap();
        let made = client(&server).create_workspace(&request(), &key).await.unwrap();
        assert_eq!(made.name, "hello");
        let asked = server.received_requests().await.unwrap();
        assert_eq!(asked.len(), 3);
        assert!(asked.iter().all(|request| request.headers["idempotency-key"] == "k1"));
    }

    #[tokio::test]
    async fn attempts_are_bounded_and_refusals_are_final() {
        let server = MockServer::start().await;
        let gone = problem(ErrorKind::Unavailable, "not now");
        Mock::given(path("/api/health")).respond_with(gone).expect(3).mount(&server).await;
        let denied = problem(ErrorKind::Denied, "no");
        Mock::given(path("/api/nodes")).respond_with(denied).expect(1).mount(&server).await;
        let conflict = problem(ErrorKind::Conflict, "no");
        Mock::given(path("/api/daemon")).respond_with(conflict).expect(1).mount(&server).await;
        let client = client(&server);
        assert_eq!(client.health().await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(
            client.nodes(&ListNodes::default()).await.unwrap_err().kind(),
            ErrorKind::Denied
        );
        assert_eq!(client.daemon().await.unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[tokio::test]
    async fn what_is_not_known_to_be_repeatable_is_asked_once() {
        let server = MockServer::start().await;
        let gone = problem(ErrorKind::Unavailable, "not now");
        Mock::given(method("POST")).respond_with(gone.clone()).expect(2).mount(&server).await;
        Mock::given(method("DELETE")).respond_with(gone.clone()).expect(1).mount(&server).await;
        Mock::given(method("PUT")).respond_with(gone).expect(1).mount(&server).await;
        let client = client(&server);
        let lease = Lifetime { lease_ms: 30_000 };
        client.stop_workspace("x").await.unwrap_err();
        client.stop_daemon().await.unwrap_err();
        client.delete_workspace("x").await.unwrap_err();
        client.renew_lease("x", lease).await.unwrap_err();
    }

    /// An answer to one request, which is checked to the letter.
    async fn answers(server: &MockServer, (asked, at): (&str, &str), answer: serde_json::Value) {
        let answer = ResponseTemplate::new(200).set_body_json(answer);
        let mock = Mock::given(method(asked)).and(path(at)).respond_with(answer);
        mock.expect(1).mount(server).await;
    }

    #[tokio::test]
    async fn sweeps_orphans_and_nodes_are_asked_for_by_their_names() {
        let server = MockServer::start().await;
        let tally = serde_json::json!({"listed": 3, "known": 1, "orphans": 1, "recovered": 1,
                                       "vanished": 0, "strange": 0});
        let asked = serde_json::json!({"name": "compute.process", "tally": tally, "attempts": 0,
                                       "version": 2});
        let orphan = serde_json::json!({"id": "compute.process.0a", "sweep": "compute.process",
            "sort": "machine", "provider_id": "nd-x", "reason": "other_epoch", "state": "held",
            "delete_wished": false, "found_at": "2026-01-01T00:00:00Z",
            "changed_at": "2026-01-01T00:00:00Z", "version": 1});
        let node = serde_json::json!({"id": "nd-00000000000000000000000001", "state": "recovered",
            "provider": "process", "size": "small", "created_at": "2026-01-01T00:00:00Z",
            "changed_at": "2026-01-01T00:00:00Z", "version": 1});
        let one = serde_json::json!({"items": [orphan], "next": "compute.process.0a"});
        answers(&server, ("POST", "/api/sweeps/compute.process/run"), asked).await;
        answers(&server, ("GET", "/api/orphans"), one).await;
        answers(&server, ("DELETE", "/api/orphans/compute.process.0a"), orphan).await;
        let nodes = serde_json::json!({"items": [node]});
        let listed = ResponseTemplate::new(200).set_body_json(nodes);
        let list = Mock::given(path("/api/nodes")).and(query_param("all", "true"));
        list.and(query_param("after", "nd-0")).respond_with(listed).expect(1).mount(&server).await;
        answers(&server, ("DELETE", "/api/nodes/nd-00000000000000000000000001"), node).await;
        let client = client(&server);
        let sweep = client.run_sweep("compute.process").await.unwrap();
        assert!(!sweep.is_over());
        assert_eq!((sweep.tally.listed, sweep.swept_at), (3, None));
        let orphans = client.orphans(None).await.unwrap();
        assert_eq!(orphans.next.as_deref(), Some("compute.process.0a"));
        assert_eq!(orphans.items[0].state, OrphanState::Held);
        assert_eq!(orphans.items[0].reason, OrphanReason::OtherEpoch);
        client.delete_orphan(&orphans.items[0].id).await.unwrap();
        let query = ListNodes { after: Some("nd-0".to_owned()), all: true };
        let nodes = client.nodes(&query).await.unwrap();
        // An older server does not say whose it is.
        assert_eq!(
            (nodes.items[0].state, nodes.items[0].owner.as_str()),
            (NodeState::Recovered, "")
        );
        client.delete_node(&nodes.items[0].id.to_string()).await.unwrap();
    }

    #[tokio::test]
    async fn the_hold_is_read_and_set_with_its_reason_and_servers_are_listed() {
        let server = MockServer::start().await;
        answers(&server, ("GET", "/api/deletion-hold"), serde_json::json!({"held": false})).await;
        let answer = serde_json::json!({"held": true, "reason": "restore", "by": "admin",
                                      "since": "2026-01-01T00:00:00Z"});
        Mock::given(method("PUT"))
            .and(path("/api/deletion-hold"))
            .and(body_json(serde_json::json!({"held": true, "reason": "restore"})))
            .respond_with(ResponseTemplate::new(200).set_body_json(answer))
            .expect(1)
            .mount(&server)
            .await;
        let client = client(&server);
        let replicas = serde_json::json!({"items": [{"id": "a1", "answers": true, "missed": 0,
                                                     "since": "2026-01-01T00:00:00Z"}]});
        answers(&server, ("GET", "/api/replicas"), replicas).await;
        let hold = client.deletion_hold().await.unwrap();
        assert_eq!((hold.held, hold.reason, hold.since), (false, None, None));
        let request = SetDeletionHold { held: true, reason: "restore".to_owned() };
        let hold = client.set_deletion_hold(&request).await.unwrap();
        assert_eq!((hold.held, hold.by.as_deref()), (true, Some("admin")));
        let replicas = client.replicas().await.unwrap();
        assert!(replicas.items[0].answers && replicas.items[0].renewed_at.is_none());
    }

    #[tokio::test]
    async fn a_server_that_asks_for_a_long_pause_gets_it_from_the_caller() {
        let server = MockServer::start().await;
        let busy = problem(ErrorKind::RateLimited, "slowly").insert_header("retry-after", "3600");
        Mock::given(method("GET")).respond_with(busy).expect(1).mount(&server).await;
        let error = client(&server).health().await.unwrap_err();
        assert_eq!(error.retry(), Retry::After(Duration::from_hours(1)));
    }

    #[tokio::test]
    async fn answers_that_are_not_sams_are_told_as_such() {
        let html = |status| ResponseTemplate::new(status).set_body_raw("<html>", "text/html");
        let json = |text| ResponseTemplate::new(200).set_body_raw(text, "application/json");
        let moved = ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:1/");
        let broken = ResponseTemplate::new(409).set_body_raw("{", "application/problem+json");
        for (answer, kind) in [
            (html(200), ErrorKind::Corrupt),
            (html(404), ErrorKind::NotFound),
            (html(401), ErrorKind::Unauthenticated),
            (moved, ErrorKind::Corrupt),
            (broken, ErrorKind::Conflict),
            (json("{"), ErrorKind::Corrupt),
            (json("[]"), ErrorKind::Corrupt),
            (json(""), ErrorKind::Corrupt),
            (json("{\"status\":\"ok\"}"), ErrorKind::Corrupt),
        ] {
            let server = MockServer::start().await;
            Mock::given(method("GET")).respond_with(answer).expect(1).mount(&server).await;
            let error = client(&server).health().await.unwrap_err();
            assert_eq!(error.kind(), kind, "{error:?}");
            assert!(!format!("{error:?}").contains("t0ken"));
        }
    }

    #[tokio::test]
    async fn bodies_that_are_too_large_are_refused_whether_announced_or_not() {
        let server = MockServer::start().await;
        let body = vec![b' '; BODY_BYTES_MAX + 1];
        let answer = ResponseTemplate::new(200).set_body_raw(body, "application/json");
        Mock::given(method("GET")).respond_with(answer).mount(&server).await;
        let error = client(&server).health().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);

        let address = server::endless("application/json").await;
        let client = Client::new(Target::Http(address), None).unwrap();
        assert_eq!(client.health().await.unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[tokio::test]
    async fn nobody_there_is_told_from_an_answer_that_was_lost() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = Client::new(Target::Http(address), None).unwrap();
        let error = client.stop_workspace("x").await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
        assert!(error.hint().is_some());

        let address = server::hangs_up().await;
        let client = Client::new(Target::Http(address), None).unwrap();
        let error = client.stop_workspace("x").await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown));
    }

    #[tokio::test]
    async fn a_socket_with_a_long_path_is_reached() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("d".repeat(150));
        std::fs::create_dir(&dir).unwrap();
        let socket = dir.join("daemon.sock");
        let body = "{\"status\":\"ok\",\"version\":\"1\",\"server_id\":\"s\"}";
        let _serving = server::on_socket(&socket, body);
        let client = Client::new(Target::Unix(socket), None).unwrap();
        assert_eq!(client.health().await.unwrap().server_id, "s");
    }

    #[tokio::test]
    async fn lists_are_asked_for_page_by_page() {
        let server = MockServer::start().await;
        let page = format!("{{\"items\":[{WORKSPACE}],\"next\":\"a b&c\"}}");
        Mock::given(path("/api/workspaces"))
            .and(query_param("limit", "2"))
            .and(query_param("after", "a b&c"))
            .and(query_param("all", "true"))
            .respond_with(ResponseTemplate::new(200).set_body_raw(page, "application/json"))
            .mount(&server)
            .await;
        let query = ListWorkspaces { limit: Some(2), after: Some("a b&c".into()), all: true };
        let page = client(&server).workspaces(&query).await.unwrap();
        assert_eq!((page.items.len(), page.next.as_deref()), (1, Some("a b&c")));
    }
}

#[cfg(test)]
mod events {
    use futures_util::StreamExt as _;
    use sam_api::client::EventsFrom;
    use sam_api::{Client, Event, Target};
    use sam_core::ErrorKind;
    use wiremock::matchers::{header, method, path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use crate::server::{WORKSPACE, problem};

    fn stream(text: &str) -> ResponseTemplate {
        ResponseTemplate::new(200).set_body_raw(text.to_owned(), "text/event-stream; charset=utf-8")
    }

    fn change(cursor: &str) -> String {
        let data = format!(
            "{{\"cursor\":\"{cursor}\",\"kind\":\"workspace\",\"id\":\"ws-1\",\"event\":\"x\",\
             \"at\":\"2026-01-01T00:00:00Z\",\"actor\":\"system\",\"workspace\":{WORKSPACE}}}"
        );
        format!("id: {cursor}\r\nevent: change\r\ndata: {data}\r\n\r\n")
    }

    #[tokio::test]
    async fn a_broken_stream_goes_on_where_it_was() {
        let server = MockServer::start().await;
        let first = format!(": hello\n\n{}{}", change("e-1"), change("e-2"));
        let second = "event: brand_new\ndata: x\n\nid: e-3\nevent: checkpoint\ndata: {}\n\n\
             id: e-9\nevent: stale\ndata: {}\n\ndata: cut off";
        let denied = problem(ErrorKind::Denied, "no more");
        for (cursor, answer) in [("e-2", stream(second)), ("e-9", denied)] {
            Mock::given(header("last-event-id", cursor))
                .and(query_param("after", cursor))
                .respond_with(answer)
                .mount(&server)
                .await;
        }
        Mock::given(method("GET"))
            .and(path("/api/events"))
            .and(query_param("workspace", "hello"))
            .and(header("accept", "text/event-stream"))
            .respond_with(stream(&first))
            .expect(1)
            .with_priority(10)
            .mount(&server)
            .await;
        let client = Client::new(Target::Http(server.uri()), None).unwrap();
        let from = EventsFrom { workspace: Some("hello".to_owned()), after: None };
        let events: Vec<_> = client.events(from).await.unwrap().collect().await;
        let seen: Vec<_> = events
            .iter()
            .map(|event| match event {
                Ok(Event::Change(change)) => format!("change {}", change.cursor),
                Ok(Event::Checkpoint { cursor }) => format!("checkpoint {cursor}"),
                Ok(Event::Stale { cursor }) => format!("stale {cursor}"),
                Err(error) => format!("{:?}", error.kind()),
            })
            .collect();
        assert_eq!(seen, ["change e-1", "change e-2", "checkpoint e-3", "stale e-9", "Denied"]);
    }

    #[tokio::test]
    async fn what_is_no_stream_of_events_is_refused() {
        for (answer, kind) in [
            (ResponseTemplate::new(200).set_body_raw("{}", "application/json"), ErrorKind::Corrupt),
            (problem(ErrorKind::NotFound, "no such workspace"), ErrorKind::NotFound),
        ] {
            let server = MockServer::start().await;
            Mock::given(method("GET")).respond_with(answer).mount(&server).await;
            let client = Client::new(Target::Http(server.uri()), None).unwrap();
            let error = client.events(EventsFrom::default()).await.unwrap_err();
            assert_eq!(error.kind(), kind);
        }
        let server = MockServer::start().await;
        let garbled = stream("event: change\ndata: {\n\n");
        Mock::given(method("GET")).respond_with(garbled).expect(1).mount(&server).await;
        let client = Client::new(Target::Http(server.uri()), None).unwrap();
        let mut events = client.events(EventsFrom::default()).await.unwrap();
        let error = events.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(events.next().await.is_none());
    }
}

#[cfg(test)]
mod sockets {
    use sam_api::client::{ExecMessage, TerminalMessage};
    use sam_api::wire::{
        ExecEvent, ExecInput, ExecRequest, ExitStatus, Frame, TerminalEvent, TerminalRequest,
        TerminalSize,
    };
    use sam_api::{Client, Target};
    use sam_core::{ErrorKind, ErrorRecord, Secret, TerminalId};

    use crate::server::{self, Peer};

    fn client(address: String) -> Client {
        Client::new(Target::Http(address), Some(Secret::new("t0ken".to_owned()))).unwrap()
    }

    #[tokio::test]
    async fn a_terminal_carries_bytes_and_sizes_both_ways() {
        let (address, peer) = server::websocket(|mut peer: Peer| async move {
            let id = TerminalId::from_bits(7);
            assert_eq!(
                peer.uri,
                format!("/base/api/workspaces/my%20ws/terminals/{id}/attach?offset=5")
            );
            assert_eq!(peer.authorization, "Bearer t0ken");
            let size = TerminalSize::default();
            peer.say(&TerminalEvent::Attached { terminal_id: id, offset: 5, size }).await;
            peer.send(&Frame::Output { offset: 5, bytes: b"\xff\x00out" }).await;
            let resize = TerminalRequest::Resize(TerminalSize { cols: 1_000, rows: 1 });
            assert_eq!(peer.hear::<TerminalRequest>().await, resize);
            assert_eq!(peer.receive().await, [vec![1], vec![9; 65_536]].concat());
            assert_eq!(peer.receive().await, [1, 9]);
            peer.say(&TerminalEvent::Exit { status: ExitStatus::Code(3) }).await;
        })
        .await;
        let client = client(format!("{address}/base"));
        let id = TerminalId::from_bits(7);
        let mut socket = client.attach("my ws", id, 5).await.unwrap();
        let first = socket.receiver.next().await.unwrap().unwrap();
        assert!(matches!(first, TerminalMessage::Event(TerminalEvent::Attached { .. })));
        let output = socket.receiver.next().await.unwrap().unwrap();
        let bytes = bytes::Bytes::from_static(b"\xff\x00out");
        assert_eq!(output, TerminalMessage::Output { offset: 5, bytes });
        socket.sender.resize(TerminalSize { cols: 5_000, rows: 0 }).await.unwrap();
        socket.sender.input(&vec![9; 65_537]).await.unwrap();
        let exit = TerminalEvent::Exit { status: ExitStatus::Code(3) };
        let last = socket.receiver.next().await.unwrap().unwrap();
        assert_eq!(last, TerminalMessage::Event(exit));
        assert!(matches!(socket.receiver.next().await, Ok(None) | Err(_)));
        peer.await.unwrap();
    }

    #[tokio::test]
    async fn a_terminal_is_attached_at_the_name_of_its_workspace() {
        let id = TerminalId::from_bits(7);
        let (address, peer) = server::websocket(move |mut peer: Peer| async move {
            assert_eq!(peer.uri, format!("/terminals/{id}/attach?offset=5"));
            assert_eq!(peer.authorization, "Bearer t0ken");
            peer.send(&Frame::Output { offset: 5, bytes: b"out" }).await;
        })
        .await;
        let mut socket = client(address).attach_published(id, 5).await.unwrap();
        let output = socket.receiver.next().await.unwrap().unwrap();
        let bytes = bytes::Bytes::from_static(b"out");
        assert_eq!(output, TerminalMessage::Output { offset: 5, bytes });
        peer.await.unwrap();
    }

    #[tokio::test]
    async fn a_command_gets_its_input_and_signals_and_says_how_it_ended() {
        let (address, peer) = server::websocket(|mut peer: Peer| async move {
            assert_eq!(peer.hear::<ExecRequest>().await.command, ["cat"]);
            assert_eq!(peer.receive().await, b"\x01in");
            assert_eq!(peer.hear::<ExecInput>().await, ExecInput::Signal { number: 15 });
            assert_eq!(peer.hear::<ExecInput>().await, ExecInput::Eof);
            peer.send(&Frame::Stdout(b"out")).await;
            peer.send(&Frame::Stderr(b"err")).await;
            peer.say(&ExecEvent::Exit { status: ExitStatus::Signal(15) }).await;
        })
        .await;
        let request = ExecRequest { command: vec!["cat".into()], env: vec![], directory: None };
        let mut socket = client(address).exec("ws", &request).await.unwrap();
        socket.sender.input(b"in").await.unwrap();
        socket.sender.signal(15).await.unwrap();
        socket.sender.eof().await.unwrap();
        let out = socket.receiver.next().await.unwrap();
        assert_eq!(out, ExecMessage::Stdout(bytes::Bytes::from_static(b"out")));
        let err = socket.receiver.next().await.unwrap();
        assert_eq!(err, ExecMessage::Stderr(bytes::Bytes::from_static(b"err")));
        let exit = socket.receiver.next().await.unwrap();
        assert_eq!(exit, ExecMessage::Exit(ExitStatus::Signal(15)));
        peer.await.unwrap();
    }

    #[tokio::test]
    async fn commands_that_do_not_start_end_early_or_talk_nonsense_are_errors() {
        let request = ExecRequest { command: vec!["x".into()], env: vec![], directory: None };
        let record = ErrorRecord::new(ErrorKind::NotFound, "exec", "no such program");
        let failed = serde_json::to_string(&ExecEvent::Failed { error: record }).unwrap();
        for (text, kind) in [
            (Some(failed.as_str()), ErrorKind::NotFound),
            (Some("{\"type\":\"unheard\"}"), ErrorKind::Corrupt),
            (None, ErrorKind::Unavailable),
        ] {
            let text = text.map(str::to_owned);
            let (address, peer) = server::websocket(|mut peer: Peer| async move {
                let _request = peer.hear::<ExecRequest>().await;
                if let Some(text) = text {
                    peer.text(text).await;
                }
            })
            .await;
            let mut socket = client(address).exec("ws", &request).await.unwrap();
            assert_eq!(socket.receiver.next().await.unwrap_err().kind(), kind);
            peer.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_refusal_arrives_as_the_problem_it_is() {
        use wiremock::matchers::method;
        use wiremock::{Mock, MockServer, ResponseTemplate};
        let server = MockServer::start().await;
        let refusal = server::problem(ErrorKind::Conflict, "it does not run");
        Mock::given(method("GET")).respond_with(refusal).up_to_n_times(1).mount(&server).await;
        Mock::given(method("GET")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
        let request = ExecRequest { command: vec!["x".into()], env: vec![], directory: None };
        let client = client(server.uri());
        let error = client.exec("ws", &request).await.unwrap_err();
        assert_eq!((error.kind(), error.hint()), (ErrorKind::Conflict, Some("do this")));
        let error = client.exec("ws", &request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}
