//! The memory rule: a dyno over its quota is named in the log (R14), one far over it is killed (R15;
//! heroku.md 3.2). Where the host has no swap the kernel kills at the quota itself, so that R14 is
//! said when the working set fills it.

const MIB: f64 = 1024.0 * 1024.0;

/// What follows from what a dyno uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Fits,
    /// R14: goes on, slowly.
    Exceeded,
    /// R15: is killed.
    Vast,
}

/// Judges a working set (memory and swap together) against a quota, both in bytes. With `swap` a
/// dyno may use twice its quota; without, nothing beyond the quota can be seen, and a working set
/// that rounds to 100 % of it has exceeded it.
pub fn judge(used: u64, quota: u64, swap: bool) -> Verdict {
    if used >= quota.saturating_mul(2) {
        Verdict::Vast
    } else if used > quota || (!swap && used >= quota - quota / 200) {
        Verdict::Exceeded
    } else {
        Verdict::Fits
    }
}

/// `Process running mem=1028MB(103.3%)`.
pub fn sentence(used: u64, quota: u64) -> String {
    let percent = used as f64 * 100.0 / quota.max(1) as f64;
    format!("Process running mem={:.0}MB({percent:.1}%)", used as f64 / MIB)
}

/// Bytes as the samples of a runtime metrics line say them: `21.00MB`.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.2}MB", bytes as f64 / MIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: u64 = 512 << 20;

    #[test]
    fn with_swap_the_quota_is_a_line_and_twice_the_quota_the_end() {
        for (used, expected) in [
            (0, Verdict::Fits),
            (QUOTA, Verdict::Fits),
            (QUOTA + 1, Verdict::Exceeded),
            (2 * QUOTA - 1, Verdict::Exceeded),
            (2 * QUOTA, Verdict::Vast),
            (u64::MAX, Verdict::Vast),
        ] {
            assert_eq!(judge(used, QUOTA, true), expected, "{used}");
        }
    }

    #[test]
    fn without_swap_a_full_working_set_has_exceeded_the_quota() {
        assert_eq!(judge(QUOTA / 100 * 99, QUOTA, false), Verdict::Fits);
        assert_eq!(judge(QUOTA - QUOTA / 200, QUOTA, false), Verdict::Exceeded);
        assert_eq!(judge(QUOTA, QUOTA, false), Verdict::Exceeded);
    }

    #[test]
    fn the_sentence_has_herokus_form() {
        assert_eq!(sentence(565 << 20, QUOTA), "Process running mem=565MB(110.4%)");
        assert_eq!(sentence(2 * QUOTA, QUOTA), "Process running mem=1024MB(200.0%)");
        assert_eq!(megabytes(21 << 20), "21.00MB");
    }
}
