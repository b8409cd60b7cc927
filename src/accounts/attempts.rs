//! How often somebody may try: 10 times in 15 minutes for each account and address.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::domain::Timestamp;

const TRIES: usize = 10;
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Pairs remembered at once; beyond it the one that tried longest ago is forgotten.
const MAX_PAIRS: usize = 10_000;

type Pair = (String, String);

/// Counts tries in memory: a restart forgets them.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    tries: Mutex<HashMap<Pair, VecDeque<Timestamp>>>,
}

impl Attempts {
    /// Notes a try. When there were too many it is refused with the seconds to wait.
    pub(super) fn note(&self, account: &str, ip: &str, now: Timestamp) -> Result<(), u64> {
        let mut all = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = pair(account, ip);
        if all.len() >= MAX_PAIRS && !all.contains_key(&pair) {
            make_room(&mut all, now);
        }
        let tries = all.entry(pair).or_default();
        tries.retain(|at| now.since(*at) < WINDOW);
        match tries.front() {
            Some(oldest) if tries.len() >= TRIES => Err((WINDOW - now.since(*oldest)).as_millis().div_ceil(1000) as u64),
            _ => {
                tries.push_back(now);
                Ok(())
            }
        }
    }

    /// Forgets the tries of a pair that got in.
    pub(super) fn clear(&self, account: &str, ip: &str) {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).remove(&pair(account, ip));
    }
}

fn pair(account: &str, ip: &str) -> Pair {
    (account.trim().chars().take(254).collect::<String>().to_ascii_lowercase(), ip.to_owned())
}

fn make_room(all: &mut HashMap<Pair, VecDeque<Timestamp>>, now: Timestamp) {
    all.retain(|_, tries| tries.back().is_some_and(|last| now.since(*last) < WINDOW));
    if all.len() >= MAX_PAIRS
        && let Some(oldest) = all.iter().min_by_key(|(_, tries)| tries.back().copied()).map(|(pair, _)| pair.clone())
    {
        all.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + seconds)
    }

    #[test]
    fn the_eleventh_try_waits_until_the_first_is_a_quarter_of_an_hour_old() {
        let attempts = Attempts::default();
        for n in 0..10 {
            assert_eq!(attempts.note("ana@example.org", "1.1.1.1", at(n)), Ok(()));
        }
        assert_eq!(attempts.note("ana@example.org", "1.1.1.1", at(10)), Err(890));
        assert_eq!(attempts.note(" ANA@example.org", "1.1.1.1", at(10)), Err(890), "case and space change nothing");
        assert_eq!(attempts.note("ana@example.org", "2.2.2.2", at(10)), Ok(()), "another address");
        assert_eq!(attempts.note("eva@example.org", "1.1.1.1", at(10)), Ok(()), "another account");
        assert_eq!(attempts.note("ana@example.org", "1.1.1.1", at(900)), Ok(()));
        assert_eq!(attempts.note("ana@example.org", "1.1.1.1", at(900)), Err(1));
        attempts.clear("Ana@example.org", "1.1.1.1");
        assert_eq!(attempts.note("ana@example.org", "1.1.1.1", at(900)), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_the_latest_tries_stay() {
        let attempts = Attempts::default();
        let total = MAX_PAIRS as i64 + 50;
        for n in 0..total {
            attempts.note(&format!("{n}@example.org"), "1.1.1.1", Timestamp(1_000_000 + n)).unwrap();
        }
        let all = attempts.tries.lock().unwrap();
        assert_eq!(all.len(), MAX_PAIRS);
        assert!(all.contains_key(&pair(&format!("{}@example.org", total - 1), "1.1.1.1")));
        assert!(!all.contains_key(&pair("0@example.org", "1.1.1.1")));
    }
}
