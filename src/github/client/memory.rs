//! What is remembered between calls: answers with their tags, so that a question whose answer has
//! not changed costs nothing of the hour's allowance, and until when an access must not ask at all.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::{HeaderValue, header};
use secrecy::ExposeSecret;
use sha2::{Digest as _, Sha256};

use super::wire::{Answer, is_spent, until_reset};
use crate::github::{Access, GitHostError};

/// All answers together, and the largest that is kept.
const MAX_BYTES: usize = 8 * 1024 * 1024;
const MAX_ONE: usize = 512 * 1024;

/// SHA-256 of an access, or of an access and a path: nobody is answered with what another may see.
type Key = [u8; 32];

#[derive(Default)]
pub(super) struct Memory(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    answers: HashMap<Key, Answer>,
    /// The oldest first.
    order: VecDeque<Key>,
    bytes: usize,
    resting: HashMap<Key, Instant>,
}

/// An access without its secret.
pub(super) fn who(access: &Access) -> Key {
    match access {
        Access::Anonymous => [0; 32],
        Access::Token(token) => Sha256::digest(token.expose_secret()).into(),
    }
}

fn about(who: &Key, path: &str) -> Key {
    Sha256::new().chain_update(who).chain_update(path).finalize().into()
}

/// The tag of an answer.
pub(super) fn tag(answer: &Answer) -> Option<&HeaderValue> {
    answer.headers.get(header::ETAG)
}

impl Memory {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Err while GitHub wants to hear nothing from this access: asking on would prolong that.
    pub fn may_ask(&self, who: &Key) -> Result<(), GitHostError> {
        let mut kept = self.kept();
        let now = Instant::now();
        kept.resting.retain(|_, until| *until > now);
        match kept.resting.get(who) {
            Some(until) => Err(GitHostError::RateLimited((*until - now).as_secs().max(1))),
            None => Ok(()),
        }
    }

    /// Learns from an outcome how long to ask nothing.
    pub fn note_limit(&self, who: Key, outcome: &Result<Answer, GitHostError>) {
        let seconds = match outcome {
            Err(GitHostError::RateLimited(seconds)) => Some(*seconds),
            Ok(answer) if is_spent(&answer.headers) => until_reset(&answer.headers),
            _ => None,
        };
        if let Some(seconds) = seconds {
            self.kept().resting.insert(who, Instant::now() + Duration::from_secs(seconds.min(3600)));
        }
    }

    /// The last answer to this question.
    pub fn answer(&self, who: &Key, path: &str) -> Option<Answer> {
        self.kept().answers.get(&about(who, path)).cloned()
    }

    /// Keeps an answer that has a tag, and as many others as there is room for.
    pub fn keep(&self, who: &Key, path: &str, answer: &Answer) {
        if tag(answer).is_none() || answer.body.len() > MAX_ONE {
            return;
        }
        let mut kept = self.kept();
        let key = about(who, path);
        kept.bytes += answer.body.len();
        match kept.answers.insert(key, answer.clone()) {
            Some(old) => kept.bytes -= old.body.len(),
            None => kept.order.push_back(key),
        }
        while kept.bytes > MAX_BYTES
            && let Some(oldest) = kept.order.pop_front()
        {
            let gone = kept.answers.remove(&oldest).map_or(0, |answer| answer.body.len());
            kept.bytes -= gone;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::*;

    fn answer(size: usize) -> Answer {
        let headers = HeaderMap::from_iter([(header::ETAG, HeaderValue::from_static("\"1\""))]);
        Answer { status: StatusCode::OK, headers, body: Bytes::from(vec![b'x'; size]) }
    }

    #[test]
    fn an_answer_is_kept_for_its_own_access_and_only_so_many() {
        let memory = Memory::default();
        let (ana, eve) = (who(&Access::Token("gho_ana".into())), who(&Access::Token("gho_eve".into())));
        memory.keep(&ana, "/user", &answer(10));
        memory.keep(&ana, "/user", &answer(20));
        assert_eq!(memory.answer(&ana, "/user").unwrap().body.len(), 20);
        assert!(memory.answer(&eve, "/user").is_none() && memory.answer(&who(&Access::Anonymous), "/user").is_none());
        memory.keep(&ana, "/large", &answer(MAX_ONE + 1));
        assert!(memory.answer(&ana, "/large").is_none());
        memory.keep(&ana, "/untagged", &Answer { headers: HeaderMap::new(), ..answer(1) });
        assert!(memory.answer(&ana, "/untagged").is_none());
        for number in 0..40 {
            memory.keep(&eve, &format!("/{number}"), &answer(MAX_ONE));
        }
        assert!(memory.answer(&ana, "/user").is_none(), "the oldest goes first");
        assert!(memory.answer(&eve, "/39").is_some());
        let kept = memory.kept();
        assert!(kept.bytes <= MAX_BYTES && kept.order.len() == kept.answers.len());
        assert_eq!(kept.bytes, kept.answers.values().map(|answer| answer.body.len()).sum::<usize>());
    }

    #[test]
    fn who_was_told_to_rest_asks_nothing_until_then() {
        let memory = Memory::default();
        let (ana, eve) = (who(&Access::Token("gho_ana".into())), who(&Access::Token("gho_eve".into())));
        memory.note_limit(ana, &Err(GitHostError::NotFound));
        memory.note_limit(ana, &Ok(answer(1)));
        assert_eq!(memory.may_ask(&ana), Ok(()));
        memory.note_limit(ana, &Err(GitHostError::RateLimited(600)));
        assert!(matches!(memory.may_ask(&ana), Err(GitHostError::RateLimited(left)) if (590..=600).contains(&left)));
        assert_eq!(memory.may_ask(&eve), Ok(()), "another's allowance is another's");
        let mut last = answer(1);
        for (name, value) in [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "784112377"), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")]
        {
            last.headers.insert(name, HeaderValue::from_static(value));
        }
        memory.note_limit(eve, &Ok(last));
        assert!(memory.may_ask(&eve).is_err(), "the last call that was allowed says so itself");
    }
}
