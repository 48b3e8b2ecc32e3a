//! Answers that are kept for the question "has it changed since".

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderValue;

use super::Answer;

/// Most answers that are kept.
const ANSWERS_MAX: usize = 512;
/// Most bytes of them in all.
const BYTES_MAX: usize = 16 << 20;
/// A larger answer is not kept.
const ANSWER_BYTES_MAX: usize = 2 << 20;

/// Answers by whom they were for and their path. Nobody sees what was told to another.
#[derive(Default)]
pub(super) struct Memory {
    answers: BTreeMap<(Arc<str>, String), Kept>,
    bytes: usize,
    uses: u64,
}

struct Kept {
    etag: HeaderValue,
    answer: Answer,
    used: u64,
}

impl Memory {
    pub(super) fn recall(&mut self, who: &Arc<str>, path: &str) -> Option<(HeaderValue, Answer)> {
        self.uses += 1;
        let kept = self.answers.get_mut(&(Arc::clone(who), path.to_owned()))?;
        kept.used = self.uses;
        Some((kept.etag.clone(), kept.answer.clone()))
    }

    pub(super) fn keep(&mut self, who: &Arc<str>, path: &str, etag: HeaderValue, answer: Answer) {
        if answer.body.len() > ANSWER_BYTES_MAX {
            return;
        }
        self.uses += 1;
        self.bytes += answer.body.len();
        let kept = Kept { etag, answer, used: self.uses };
        if let Some(old) = self.answers.insert((Arc::clone(who), path.to_owned()), kept) {
            self.bytes -= old.answer.body.len();
        }
        while self.answers.len() > ANSWERS_MAX || self.bytes > BYTES_MAX {
            let oldest = self.answers.iter().min_by_key(|(_, kept)| kept.used);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            if let Some(old) = self.answers.remove(&key) {
                self.bytes -= old.answer.body.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(bytes: usize) -> Answer {
        Answer { body: Bytes::from(vec![b'x'; bytes]), next: None }
    }

    #[test]
    fn what_was_used_longest_ago_goes_first_and_nothing_large_is_kept() {
        let who: Arc<str> = "user:1".into();
        let etag = HeaderValue::from_static("\"e\"");
        let mut memory = Memory::default();
        for n in 0..=ANSWERS_MAX {
            memory.keep(&who, &format!("/{n}"), etag.clone(), answer(10));
            assert!(memory.recall(&who, "/0").is_some());
        }
        assert!(memory.recall(&who, "/1").is_none());
        assert_eq!((memory.answers.len(), memory.bytes), (ANSWERS_MAX, ANSWERS_MAX * 10));
        memory.keep(&who, "/large", etag.clone(), answer(ANSWER_BYTES_MAX + 1));
        assert!(memory.recall(&who, "/large").is_none());
        for n in 0..20 {
            memory.keep(&who, &format!("/m{n}"), etag.clone(), answer(1 << 20));
            assert!(memory.bytes <= BYTES_MAX);
        }
        assert!(memory.recall(&"user:2".into(), "/m19").is_none());
    }
}
