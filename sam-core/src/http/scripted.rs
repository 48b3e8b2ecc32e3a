//! A transport that answers from a script and keeps what it was asked.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::{BODY_BYTES_MAX, HttpTransport};
use crate::error::{Effect, Error, ErrorKind, Result};

/// Answers each request with the next line of a script, for tests without a socket.
///
/// A request after the last line fails with `Unavailable`, so that a call too many is seen.
#[derive(Default)]
pub struct ScriptedHttp(Mutex<State>);

#[derive(Default)]
struct State {
    script: VecDeque<Result<http::Response<Bytes>>>,
    asked: Vec<http::Request<Bytes>>,
}

impl ScriptedHttp {
    /// Makes a transport with an empty script.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an answer with this status and body. A status outside 100 to 999 becomes 500.
    #[must_use]
    pub fn answer(self, status: u16, body: impl Into<Bytes>) -> Self {
        let mut response = http::Response::new(body.into());
        *response.status_mut() =
            http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        self.line(Ok(response))
    }

    /// Adds a whole answer or a failure.
    #[must_use]
    pub fn line(self, line: Result<http::Response<Bytes>>) -> Self {
        self.lock().script.push_back(line);
        self
    }

    /// Returns the requests so far, oldest first.
    pub fn asked(&self) -> Vec<http::Request<Bytes>> {
        self.lock().asked.clone()
    }

    /// Returns how many lines of the script are left.
    pub fn lines_left(&self) -> usize {
        self.lock().script.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// Requests carry credentials: only their number is shown.
impl fmt::Debug for ScriptedHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("ScriptedHttp")
            .field("asked", &state.asked.len())
            .field("lines_left", &state.script.len())
            .finish()
    }
}

#[async_trait]
impl HttpTransport for ScriptedHttp {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
        if request.body().len() > BODY_BYTES_MAX {
            return Err(Error::new(ErrorKind::BadInput, "the request's body is too large"));
        }
        let line = {
            let mut state = self.lock();
            state.asked.push(request);
            state.script.pop_front()
        };
        let answer =
            line.ok_or_else(|| Error::new(ErrorKind::Unavailable, "the script has ended"))??;
        if answer.body().len() > BODY_BYTES_MAX {
            return Err(Error::new(ErrorKind::Corrupt, "the answer's body is too large")
                .with_effect(Effect::Unknown));
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt as _;

    use super::*;

    fn send(http: &dyn HttpTransport, body: Bytes) -> Result<http::Response<Bytes>> {
        let request = http::Request::post("https://api.example/x")
            .header("authorization", "Bearer canary")
            .body(body)
            .unwrap();
        http.send(request).now_or_never().expect("a script does not wait")
    }

    #[test]
    fn lines_are_answered_in_order_and_the_end_is_an_error() {
        let lost = Error::new(ErrorKind::Timeout, "no answer").with_effect(Effect::Unknown);
        let http = Arc::new(ScriptedHttp::new().answer(500, "no").line(Err(lost)));
        assert_eq!(send(&http, Bytes::new()).unwrap().status(), 500);
        assert_eq!(send(&http, Bytes::new()).unwrap_err().effect(), Effect::Unknown);
        let ended = send(&http, Bytes::new()).unwrap_err();
        assert_eq!((ended.kind(), ended.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
        assert_eq!((http.asked().len(), http.lines_left()), (3, 0));
    }

    #[test]
    fn bodies_are_bounded_both_ways() {
        let large = Bytes::from(vec![0; BODY_BYTES_MAX + 1]);
        let http = ScriptedHttp::new().answer(200, large.clone());
        assert_eq!(send(&http, large).unwrap_err().kind(), ErrorKind::BadInput);
        assert!(http.asked().is_empty());
        let answer = send(&http, Bytes::new()).unwrap_err();
        assert_eq!((answer.kind(), answer.effect()), (ErrorKind::Corrupt, Effect::Unknown));
    }

    #[test]
    fn debug_shows_no_credential() {
        let http = ScriptedHttp::new().answer(200, "");
        send(&http, Bytes::new()).unwrap();
        assert!(!format!("{http:?}").contains("canary"));
    }
}
