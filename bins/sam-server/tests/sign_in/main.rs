//! Signing in with GitHub, from the first click to the last sign-out, against a GitHub on a socket.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod device;
#[cfg(test)]
mod repositories;
#[cfg(test)]
mod served;
#[cfg(test)]
mod walk;

#[cfg(test)]
mod browser {
    use std::time::Duration;

    use http::Method;
    use sam_core::account::LoginRecord;
    use serde_json::json;

    use crate::bench::{Bench, CALLBACK, Log, ORIGIN, TOKEN};

    fn query(url: &str) -> &str {
        url.split_once('?').unwrap().1
    }

    #[tokio::test]
    async fn a_person_signs_in_is_known_and_signs_out() {
        let bench = Bench::new().await;
        let mut browser = bench.browser();
        let begun = browser.get("/api/auth/github?return_to=/w/hello").await;
        assert!(begun.location().contains("code_challenge_method=S256"), "{begun:?}");
        assert!(begun.location().contains("redirect_uri=https%3A%2F%2Fapi.example.com"));
        let back = bench.github.approve(begun.location(), "mona").unwrap();
        assert!(back.starts_with(&format!("{ORIGIN}{CALLBACK}?code=")), "{back}");
        let done = browser.get(&back).await;
        assert_eq!(done.location(), "https://app.example.com/w/hello");
        assert_eq!(done.headers["cache-control"], "no-store");
        assert_eq!(done.headers["referrer-policy"], "no-referrer");
        // What the sign-in needed is gone, the login is there.
        assert_eq!(browser.jar.keys().collect::<Vec<_>>(), ["__Host-sam_login"]);
        let me = browser.get("/api/auth/me").await.json();
        let told = (&me["account"]["handle"], &me["account"]["number"], &me["account"]["email"]);
        assert_eq!(told, (&json!("mona"), &json!(1), &json!("mona@example.com")));
        assert_eq!((&me["owner"], &me["is_administrator"]), (&me["account"]["id"], &json!(false)));
        // The same login works as a bearer token.
        let token = browser.login().unwrap().clone();
        assert_eq!(bench.ask(Method::GET, "/api/auth/me", &token).await.json(), me);
        let out = browser.post("/api/auth/sign-out", json!({})).await;
        assert_eq!((out.status, browser.jar.len()), (204, 0));
        assert_eq!(bench.ask(Method::GET, "/api/auth/me", &token).await.status, 401);
        // It was the last one: GitHub's token ended with it.
        assert_eq!(bench.github.count("DELETE /applications/Iv23liFake7/token"), 1);
        let found = bench.ask(Method::GET, "/api/accounts", TOKEN).await.json();
        assert_eq!(found["items"][0]["handle"], "mona", "{found}");
    }

    #[tokio::test]
    async fn every_address_that_documents_name_takes_both_forms() {
        for path in [
            "/api/auth/callback/github",
            "/api/auth/github/callback",
            "/api/github/callback",
            "/api/integrations/github/callback",
        ] {
            let bench = Bench::new().await;
            let mut browser = bench.browser();
            let back = browser.through_github(&bench.github, "mona", "/api/auth/github").await;
            let answer = browser.get(&format!("{path}?{}", query(&back))).await;
            assert_eq!(answer.location(), "https://app.example.com/", "{path}");
            let set_up = format!("{path}?installation_id=42&setup_action=install");
            let answer = browser.get(&set_up).await;
            assert_eq!(answer.location(), "https://app.example.com/settings", "{path}");
            for neither in ["", "?x=1", "?code=a", "?installation_id=42", "?setup_action=install"] {
                assert_eq!(browser.get(&format!("{path}{neither}")).await.status, 400, "{neither}");
            }
        }
    }

    #[tokio::test]
    async fn a_sign_in_belongs_to_the_browser_that_began_it() {
        let bench = Bench::new().await;
        let (mut mine, mut theirs) = (bench.browser(), bench.browser());
        let back = mine.through_github(&bench.github, "mona", "/api/auth/github").await;
        let other = theirs.through_github(&bench.github, "eve", "/api/auth/github").await;
        // A browser that began nothing, and one that began another: eve's link in mona's browser.
        let nobody = bench.browser().get(&back).await;
        assert_eq!((nobody.status, nobody.json()["code"].clone()), (401, json!("unauthenticated")));
        let mut tricked = mine.clone();
        let answer = tricked.get(&other).await;
        assert_eq!((answer.status, tricked.login()), (403, None), "{}", answer.text);
        // The attempt took the cookie: it is good once.
        assert!(tricked.jar.is_empty());
        let asked = bench.github.count("POST /login/oauth/access_token");
        assert_eq!(asked, 0, "GitHub was asked for somebody else's code");
        // A state that is none, and one that was changed.
        let code = query(&back).split('&').next().unwrap().to_owned();
        for wrong in [format!("{code}&state=x"), format!("{code}&state=")] {
            let status = mine.clone().get(&format!("{CALLBACK}?{wrong}")).await.status;
            assert!(matches!(status, 400 | 403), "{wrong}: {status}");
        }
        // A cookie of one's own making.
        let mut forged = mine.clone();
        forged.jar.insert("__Host-sam_sign_in".to_owned(), "AAAA".to_owned());
        assert_eq!(forged.get(&back).await.status, 401);
        // The one who began it finishes it, at another replica, and once.
        let kept = mine.clone();
        mine.router = bench.replica(None);
        assert_eq!(mine.get(&back).await.status, 302);
        let replayed = kept.clone().get(&back).await;
        assert_eq!(replayed.status, 401, "{}", replayed.text);
        assert!(replayed.text.contains("used up"), "{}", replayed.text);
    }

    #[tokio::test]
    async fn a_sign_in_has_ten_minutes() {
        let bench = Bench::new().await;
        let mut browser = bench.browser();
        let back = browser.through_github(&bench.github, "mona", "/api/auth/github").await;
        let (mut late, mut in_time) = (browser.clone(), browser);
        bench.clock.advance(Duration::from_secs(599));
        assert_eq!(in_time.get(&back).await.status, 302);
        bench.clock.advance(Duration::from_secs(1));
        let answer = late.get(&back).await;
        assert_eq!((answer.status, late.jar.len()), (401, 0), "{}", answer.text);
    }

    #[tokio::test]
    async fn who_refuses_and_who_is_not_listed_is_not_let_in() {
        let bench = Bench::new().await;
        let mut browser = bench.browser();
        browser.get("/api/auth/github").await;
        let refused = browser.get(&format!("{CALLBACK}?error=access_denied&state=x")).await;
        assert_eq!((refused.status, browser.jar.len()), (403, 0));
        assert_eq!(
            refused.json()["hint"].as_str().unwrap(),
            "begin again, and agree on GitHub's page"
        );
        let back = browser.through_github(&bench.github, "eve", "/api/auth/github").await;
        let answer = browser.get(&back).await;
        assert_eq!((answer.status, browser.login()), (403, None), "{}", answer.text);
        // The token that GitHub gave for her is ended, and nothing is known of her.
        assert_eq!(bench.github.count("DELETE /applications/"), 1);
        let found = bench.ask(Method::GET, "/api/accounts", TOKEN).await.json();
        assert_eq!(found["items"], json!([]));
        // Where nobody is listed, nobody can even begin.
        let mut closed = bench.browser();
        closed.router = bench.closed();
        for path in ["/api/auth/github", "/api/auth/callback/github?code=a&state=b"] {
            assert_eq!(closed.get(path).await.status, 404, "{path}");
        }
    }

    #[tokio::test]
    async fn who_is_taken_off_the_list_is_out_with_all_logins() {
        let bench = Bench::new().await;
        let mut browser = bench.signed_in("mona").await;
        browser.router = bench.replica(Some("hub"));
        assert_eq!(browser.get("/api/auth/me").await.status, 401);
        browser.router = bench.replica(Some("hub, mona"));
        assert_eq!(browser.get("/api/auth/me").await.status, 200);
        browser.router = bench.closed();
        assert_eq!(browser.get("/api/auth/me").await.status, 401);
    }

    #[tokio::test]
    async fn a_sign_in_leads_to_no_other_site() {
        let bench = Bench::new().await;
        for bad in
            ["//evil.example", "https://evil.example", "%2F%2Fevil.example", "/%5Cevil.example"]
        {
            let answer = bench.browser().get(&format!("/api/auth/github?return_to={bad}")).await;
            assert_eq!(answer.status, 400, "{bad}");
        }
    }

    #[tokio::test]
    async fn logins_end_by_the_clock_and_with_all_others_of_the_account() {
        let bench = Bench::new().await;
        let (mut one, mut two) = (bench.signed_in("mona").await, bench.signed_in("mona").await);
        let mut other = bench.signed_in("hub").await;
        let ended = one.send(Method::DELETE, "/api/auth/sessions", None).await;
        assert_eq!((ended.status, &ended.json()["ended"]), (200, &json!(2)));
        assert_eq!(two.get("/api/auth/me").await.status, 401);
        assert_eq!(other.get("/api/auth/me").await.status, 200);
        bench.clock.advance(LoginRecord::IDLE_MAX);
        bench.work().await;
        assert_eq!(other.get("/api/auth/me").await.status, 401);
        assert!(bench.feed().await.contains("login_expired"));
    }

    #[tokio::test]
    async fn a_foreign_page_can_do_nothing_with_a_cookie() {
        let bench = Bench::new().await;
        let browser = bench.signed_in("mona").await;
        let create = || json!({"repo": "https://elsewhere.example/a/b.git", "name": "made"});
        let mut statuses = Vec::new();
        for origin in [
            None,
            Some("null"),
            Some("https://evil.example"),
            Some("https://ws-1.example.com"),
            Some("http://api.example.com"),
        ] {
            let mut foreign = browser.clone();
            foreign.origin = origin;
            statuses.push(foreign.post("/api/workspaces", create()).await.status);
            statuses.push(foreign.post("/api/auth/sign-out", json!({})).await.status);
            statuses.push(foreign.send(Method::DELETE, "/api/auth/sessions", None).await.status);
        }
        assert!(statuses.iter().all(|status| *status == 403), "{statuses:?}");
        let mut own = browser.clone();
        own.origin = Some("https://app.example.com");
        let made = own.post("/api/workspaces", create()).await;
        assert_eq!(made.status, 201, "{}", made.text);
        // A WebSocket is a GET that does things.
        let socket = async |origin: Option<&str>, fetch: Option<&str>| {
            let mut request = http::Request::get("/api/workspaces/none/exec")
                .header("cookie", format!("__Host-sam_login={}", browser.login().unwrap()))
                .header("upgrade", "websocket")
                .header("connection", "upgrade");
            for (name, value) in [("origin", origin), ("sec-fetch-site", fetch)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            let request = request.body(axum::body::Body::empty()).unwrap();
            crate::bench::send(&bench.router, request).await.status
        };
        assert_eq!(socket(Some("https://evil.example"), None).await, 403);
        assert_eq!(socket(None, None).await, 403);
        assert_eq!(socket(None, Some("cross-site")).await, 403);
        assert_eq!(socket(Some(ORIGIN), None).await, 404);
        assert_eq!(socket(None, Some("same-origin")).await, 404);
    }

    #[tokio::test]
    async fn an_installation_counts_once_the_person_sees_it() {
        let bench = Bench::new().await;
        let set_up =
            |id: u64| format!("/api/github/callback?installation_id={id}&setup_action=install");
        // First who it is: GitHub sends them back here with that.
        let mut browser = bench.browser();
        let sent = browser.get(&set_up(42)).await;
        assert!(
            sent.location().starts_with("/api/auth/github?return_to=%2Fapi%2Fgithub%2Fcallback")
        );
        let back = browser.through_github(&bench.github, "mona", sent.location()).await;
        let here_again = browser.get(&back).await;
        assert_eq!(here_again.location(), set_up(42));
        let done = browser.get(&set_up(42)).await;
        assert_eq!(done.location(), "https://app.example.com/settings");
        // Somebody else's, and one that is none, are the same.
        let (foreign, none) = (browser.get(&set_up(43)).await, browser.get(&set_up(99)).await);
        assert_eq!((foreign.status, none.status), (404, 404));
        assert_eq!(foreign.text.replace("43", "99").len(), none.text.len());
        // An owner has yet to approve: there is nothing to see.
        let asked = browser.get("/api/github/callback?setup_action=request").await;
        assert_eq!(asked.location(), "https://app.example.com/settings");
        let asked = bench.browser().get("/api/github/callback?setup_action=request").await;
        assert!(asked.location().starts_with("/api/auth/github?return_to="));
    }

    #[tokio::test]
    async fn no_token_is_in_a_log_an_error_or_the_feed() {
        let bench = Bench::new().await;
        let mut browser = bench.browser();
        let back = browser.through_github(&bench.github, "mona", "/api/auth/github").await;
        let sealed = browser.jar["__Host-sam_sign_in"].clone();
        let mut texts = vec![browser.get(&back).await.text];
        let login = browser.login().unwrap().clone();
        texts.push(browser.get(&back).await.text);
        let mut eve = bench.browser();
        let hers = eve.through_github(&bench.github, "eve", "/api/auth/github").await;
        texts.push(eve.get(&hers).await.text);
        texts.push(browser.get("/api/auth/me").await.text);
        texts.push(browser.get("/api/github/installations/42/repositories").await.text);
        texts.push(bench.ask(Method::GET, "/api/auth/me", &format!("{login}x")).await.text);
        bench.clock.advance(Duration::from_hours(9));
        texts.push(browser.get("/api/github/installations").await.text);
        texts.push(browser.post("/api/auth/sign-out", json!({})).await.text);
        texts.push(bench.feed().await);
        let log = Log::of_all().text();
        assert!(log.contains("signed in"), "{log}");
        texts.push(log);
        let code = query(&back).split('&').next().unwrap().strip_prefix("code=").unwrap();
        let random = login.strip_prefix(LoginRecord::TOKEN_PREFIX).unwrap();
        let secrets = [code, random, sealed.as_str(), "ghu_", "ghr_", "fake-client-secret"];
        for text in &texts {
            for secret in secrets {
                assert!(!text.contains(secret), "{secret} is in {text}");
            }
        }
    }
}
