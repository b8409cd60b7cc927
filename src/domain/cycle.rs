//! Daily cycling: every dyno is restarted once a day, not all at the same moment (heroku.md 2.5).

use std::time::Duration;

use crate::domain::{DynoId, Timestamp};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// The most that is added to a day, in seconds.
const SPREAD: u64 = 216 * 60;

/// When a dyno that started at `started` is restarted: after a day and up to 216 minutes, which its
/// id decides, so that a restart of the server changes nothing.
pub fn due(id: DynoId, started: Timestamp) -> Timestamp {
    let mut low = [0; 8];
    low.copy_from_slice(&id.0.as_bytes()[8..]);
    started + DAY + Duration::from_secs(u64::from_be_bytes(low) % (SPREAD + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dynos_are_cycled_after_a_day_and_up_to_216_minutes_spread_evenly() {
        let started = Timestamp::from_secs(1_790_000_000);
        let extra: Vec<u64> = (0..10_000).map(|_| due(DynoId::new(), started).since(started + DAY).as_secs()).collect();
        assert!(extra.iter().all(|extra| *extra <= SPREAD));
        let mean = extra.iter().sum::<u64>() / extra.len() as u64;
        assert!((SPREAD * 45 / 100..SPREAD * 55 / 100).contains(&mean), "{mean}");
        let id = DynoId::new();
        assert_eq!(due(id, started), due(id, started), "the same after a restart of the server");
    }
}
