//! What follows from crashes: how long a dyno cools off, how soon a failed start is tried again.

use std::time::Duration;

/// A dyno that stayed up this long starts a new count when it crashes.
pub const STABLE: Duration = Duration::from_secs(10 * 60);

/// How long a crashed dyno stays down after its n-th crash in a row: Heroku's minutes (heroku.md 2.5).
pub fn cool_off(crashes: u32) -> Duration {
    let minutes = match crashes {
        0 | 1 => 0,
        2 => 20,
        3 => 40,
        4 => 60,
        5 => 180,
        _ => 320,
    };
    Duration::from_secs(minutes * 60)
}

/// How long requests are answered at once after the n-th failed start in a row, before the next
/// one may try again: 1, 2, 4 ... 60 s (performance.md D 6).
pub fn back_off(failures: u32) -> Duration {
    Duration::from_secs(1u64.checked_shl(failures.saturating_sub(1)).unwrap_or(60).min(60))
}

/// How long a dyno stays down after the n-th failure in a row that was the platform's and not its own.
pub fn platform_pause(failures: u32) -> Duration {
    if failures <= 1 { Duration::ZERO } else { back_off(failures - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_crash_restarts_at_once_and_later_ones_wait_longer_and_longer() {
        let minutes: Vec<u64> = (1..=8).map(|crashes| cool_off(crashes).as_secs() / 60).collect();
        assert_eq!(minutes, [0, 20, 40, 60, 180, 320, 320, 320]);
    }

    #[test]
    fn what_was_not_the_apps_fault_is_put_right_at_once_and_never_left_for_long() {
        let seconds: Vec<u64> = [0, 1, 2, 3, 4, 100].map(|failures| platform_pause(failures).as_secs()).to_vec();
        assert_eq!(seconds, [0, 0, 1, 2, 4, 60]);
    }

    #[test]
    fn failed_starts_back_off_to_a_minute() {
        let seconds: Vec<u64> = [1, 2, 3, 4, 5, 6, 7, 64, 65, 1000].map(|failures| back_off(failures).as_secs()).to_vec();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
    }
}
