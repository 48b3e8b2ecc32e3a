//! What can go wrong between a vendor and us, one request at a time.

use bytes::Bytes;
use http::{Request, Response};
use sam_core::{Effect, Error, ErrorKind};

/// A fault that one request meets.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Fault {
    /// It is not carried out, and this is answered.
    Refuse(Response<Bytes>),
    /// It is carried out, and this is answered all the same.
    DoAndAnswer(Response<Bytes>),
    /// It is carried out, and the connection breaks in the middle of the answer.
    DoAndCut,
    /// It is not carried out, and the connection breaks.
    Cut,
    /// It is carried out, and no answer ever comes.
    DoAndHang,
}

/// What a client gets.
#[derive(Debug)]
pub(super) enum Outcome {
    Whole(Response<Bytes>),
    /// So much of it, then the end of the connection.
    Cut(Response<Bytes>),
    Silent,
}

#[derive(Debug, Default)]
pub(super) struct Faults(Vec<(String, String, Fault)>);

impl Faults {
    pub(super) fn add(&mut self, method: &str, path: &str, fault: Fault) {
        self.0.push((method.to_owned(), path.to_owned(), fault));
    }

    pub(super) const fn left(&self) -> usize {
        self.0.len()
    }

    /// Returns what the client gets, what was answered, and whether that is a fault's own.
    pub(super) fn apply(
        &mut self,
        request: &Request<Bytes>,
        act: impl FnOnce() -> Response<Bytes>,
    ) -> (Outcome, Response<Bytes>, bool) {
        let path = request.uri().path();
        let found = self.0.iter().position(|(method, start, _)| {
            request.method() == method.as_str() && path.starts_with(start)
        });
        let Some((_, _, fault)) = found.map(|at| self.0.remove(at)) else {
            let answer = act();
            return (Outcome::Whole(answer.clone()), answer, false);
        };
        match fault {
            Fault::Refuse(answer) => (Outcome::Whole(answer.clone()), answer, true),
            Fault::DoAndAnswer(answer) => {
                // What the model says is nobody's to see.
                let _done = act();
                (Outcome::Whole(answer.clone()), answer, true)
            }
            Fault::DoAndCut => {
                let answer = act();
                (Outcome::Cut(answer.clone()), answer, false)
            }
            Fault::Cut => {
                let nothing = Response::new(Bytes::new());
                (Outcome::Cut(nothing.clone()), nothing, true)
            }
            Fault::DoAndHang => (Outcome::Silent, act(), false),
        }
    }
}

/// What a transport says of a connection that broke.
pub(super) fn cut_off() -> Error {
    Error::new(ErrorKind::Unavailable, "the connection broke before the answer was complete")
        .with_effect(Effect::Unknown)
}
