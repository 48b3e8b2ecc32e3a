//! The HTTP transport against servers of the tests' own, clause by clause of `HttpTransport`.

#[cfg(test)]
mod server;

#[cfg(test)]
mod transport {
    use std::time::Duration;

    use bytes::Bytes;
    use http::{Method, Request, StatusCode};
    use sam_core::http::{BODY_BYTES_MAX, HttpTransport as _};
    use sam_core::{Effect, ErrorKind, Report, Secret};
    use sam_providers::http::{Http, HttpConfig};

    use super::server::{self, Server};

    const CANARY: &str = "canary-7f3a";
    const SOON: Duration = Duration::from_millis(300);
    const LATER: Duration = Duration::from_secs(20);

    fn transport() -> Http {
        Http::new(&HttpConfig::default().with_deadlines(LATER, LATER, LATER)).unwrap()
    }

    fn request(url: &str) -> Request<Bytes> {
        Request::post(format!("{url}/v1/things?token={CANARY}"))
            .header("authorization", format!("Bearer {CANARY}"))
            .body(Bytes::from(CANARY))
            .unwrap()
    }

    /// An error must say nothing of what was asked.
    fn secretive(error: &sam_core::Error) {
        for text in [format!("{error}"), format!("{error:?}"), Report::new(error).to_string()] {
            assert!(!text.contains(CANARY), "{text}");
        }
    }

    #[tokio::test]
    async fn every_answer_is_returned_whatever_its_status() {
        for status in [200, 204, 301, 404, 429, 500, 503] {
            let head = format!("HTTP/1.1 {status} Of It\r\nretry-after: 7\r\nlocation: /else\r\n");
            let server = Server::answering(format!("{head}content-length: 0\r\n\r\n")).await;
            let answer = transport().send(request(&server.url)).await.unwrap();
            assert_eq!(answer.status(), StatusCode::from_u16(status).unwrap());
            assert_eq!(answer.headers()["retry-after"], "7");
            // Neither followed nor repeated.
            assert_eq!(server.requests().len(), 1, "{status}");
        }
    }

    #[tokio::test]
    async fn what_is_sent_is_what_was_given() {
        let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npong").await;
        let answer = transport().send(request(&server.url)).await.unwrap();
        assert_eq!(&answer.body()[..], b"pong");
        let asked = server.requests().remove(0);
        assert!(
            asked.starts_with(&format!("POST /v1/things?token={CANARY} HTTP/1.1\r\n")),
            "{asked}"
        );
        assert!(asked.contains(&format!("authorization: Bearer {CANARY}\r\n")), "{asked}");
        assert!(asked.contains("user-agent: sam/"), "{asked}");
        assert!(asked.ends_with(&format!("\r\n\r\n{CANARY}")), "{asked}");
    }

    #[tokio::test]
    async fn without_a_connection_nothing_happened() {
        let url = format!("http://{}", server::nobody().await);
        let error = transport().send(request(&url)).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
        secretive(&error);
        // Somebody listens who says nothing of TLS.
        let server = Server::silent_after("").await;
        let url = server.url.replace("http://", "https://");
        let hasty = HttpConfig::default().with_deadlines(SOON, LATER, LATER);
        let error = Http::new(&hasty).unwrap().send(request(&url)).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied));
        let error = transport().send(request("http://no-such-name.invalid")).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
        secretive(&error);
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_leaves_the_outcome_unknown() {
        for answer in [
            "",
            "HTTP/1.1 200",
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
            "this is not HTTP\r\n\r\n",
        ] {
            let server = Server::answering(answer).await;
            let error = transport().send(request(&server.url)).await.unwrap_err();
            let told = (error.kind(), error.effect());
            assert_eq!(told, (ErrorKind::Unavailable, Effect::Unknown), "{answer:?}");
            assert_eq!(server.requests().len(), 1, "{answer:?}: it was repeated");
            secretive(&error);
        }
    }

    #[tokio::test]
    async fn bodies_beyond_the_bound_are_refused() {
        let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let large = |length: usize| {
            Request::put(&server.url).body(Bytes::from(vec![b'x'; length])).unwrap()
        };
        let error = transport().send(large(BODY_BYTES_MAX + 1)).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::BadInput, Effect::NotApplied));
        assert_eq!(server.requests().len(), 0);
        transport().send(large(BODY_BYTES_MAX)).await.unwrap();

        let most = "x".repeat(BODY_BYTES_MAX);
        let head = |length: usize| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        let whole = Server::answering(head(BODY_BYTES_MAX) + &most).await;
        let answer = transport().send(request(&whole.url)).await.unwrap();
        assert_eq!(answer.body().len(), BODY_BYTES_MAX);
        // Announced, or found out on the way.
        let announced = Server::answering(head(BODY_BYTES_MAX + 1) + &most + "x").await;
        let endless = Server::answering(format!("HTTP/1.0 200 OK\r\n\r\n{most}x")).await;
        for server in [announced, endless] {
            let error = transport().send(request(&server.url)).await.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::Unknown));
        }
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_or_dawdles_is_given_up() {
        let silent = Server::silent_after("").await;
        let dawdling = Server::silent_after("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab").await;
        for (server, read, total) in
            [(&silent, SOON, LATER), (&silent, LATER, SOON), (&dawdling, SOON, LATER)]
        {
            let config = HttpConfig::default().with_deadlines(LATER, read, total);
            let error = Http::new(&config).unwrap().send(request(&server.url)).await.unwrap_err();
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
            secretive(&error);
        }
    }

    #[tokio::test]
    async fn a_proxy_is_used_when_it_is_named_and_its_password_is_not_told() {
        let proxy = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nvia").await;
        let named = proxy.url.replace("http://", &format!("http://user:{CANARY}@"));
        let config = HttpConfig::default().with_proxy(Secret::new(named));
        assert!(!format!("{config:?}").contains(CANARY));
        let transport = Http::new(&config).unwrap();
        let request = Request::get("http://api.example/ping").body(Bytes::new()).unwrap();
        let answer = transport.send(request).await.unwrap();
        assert_eq!(&answer.body()[..], b"via");
        let asked = proxy.requests().remove(0);
        assert!(asked.starts_with("GET http://api.example/ping HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("proxy-authorization: Basic "), "{asked}");
    }

    #[test]
    fn a_configuration_that_cannot_work_is_refused() {
        let proxy = HttpConfig::default().with_proxy(Secret::new(format!("::{CANARY}::")));
        let roots = HttpConfig::default()
            .with_root_certificates("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n");
        for config in [proxy, roots] {
            let error = Http::new(&config).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadInput, "{error:?}");
            secretive(&error);
        }
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_refused() {
        let nowhere =
            Request::builder().method(Method::GET).uri("/ping").body(Bytes::new()).unwrap();
        let error = transport().send(nowhere).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::BadInput, Effect::NotApplied));
    }
}
