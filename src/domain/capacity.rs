//! How much a machine may promise: whether another dyno still fits, and about how many more do.

const MIB: i64 = 1024 * 1024;
/// Threads a dyno may have; so many must be free before one starts.
const DYNO_THREADS: u64 = 256;
/// What most dynos use of the memory they were promised: one part in so many.
const USED_PART: i64 = 4;

/// What the operator allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Memory all dynos together may be promised, in bytes. None: four times the machine's, less
    /// the reserve (most dynos use a quarter of what they were promised, or less).
    pub app_memory: Option<i64>,
    /// Memory that stays available for everything else, in bytes.
    pub reserve: i64,
    /// Disk space that stays free in the data folder, in bytes.
    pub disk_floor: i64,
}

/// What the machine has now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Machine {
    pub memory: i64,
    pub available: i64,
    pub disk_free: i64,
    pub threads: u64,
    pub threads_max: u64,
}

/// Why nothing more fits, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoRoom {
    #[error(
        "This server has no memory for another dyno: {promised} of {most} MB are promised to dynos that run. \
         It starts when another app sleeps."
    )]
    Promised { promised: i64, most: i64 },
    #[error("This server has no memory for another dyno: {available} MB are available, {reserve} MB stay reserved. Try again later.")]
    Memory { available: i64, reserve: i64 },
    #[error("The disk of this server is nearly full: {free} MB are free, {floor} MB stay reserved. Its administrator must make room.")]
    Disk { free: i64, floor: i64 },
    #[error("This server runs {threads} threads of at most {most}: no dyno fits. Try again later.")]
    Threads { threads: u64, most: u64 },
}

impl Bounds {
    /// Memory all dynos together may be promised on this machine.
    pub fn promisable(&self, machine: &Machine) -> i64 {
        self.app_memory.unwrap_or_else(|| (machine.memory - self.reserve).max(0).saturating_mul(USED_PART))
    }

    /// Whether there is disk space for uploads, builds and dynos.
    ///
    /// # Errors
    /// When there is not.
    pub fn disk(&self, machine: &Machine) -> Result<(), NoRoom> {
        if machine.disk_free < self.disk_floor {
            return Err(NoRoom::Disk { free: machine.disk_free / MIB, floor: self.disk_floor / MIB });
        }
        Ok(())
    }

    /// Whether a dyno of `wanted` bytes fits beside those that were promised `promised`.
    ///
    /// # Errors
    /// What there is too little of.
    pub fn admit(&self, machine: &Machine, promised: i64, wanted: i64) -> Result<(), NoRoom> {
        self.disk(machine)?;
        if machine.available < self.reserve {
            return Err(NoRoom::Memory { available: machine.available / MIB, reserve: self.reserve / MIB });
        }
        if machine.threads + DYNO_THREADS > machine.threads_max {
            return Err(NoRoom::Threads { threads: machine.threads, most: machine.threads_max });
        }
        let most = self.promisable(machine);
        if promised.saturating_add(wanted) > most {
            return Err(NoRoom::Promised { promised: promised / MIB, most: most / MIB });
        }
        Ok(())
    }

    /// About how many more dynos of `one` bytes fit, when each uses a quarter of them.
    pub fn room(&self, machine: &Machine, promised: i64, one: i64) -> u64 {
        if self.admit(machine, promised, one).is_err() {
            return 0;
        }
        let by_promise = (self.promisable(machine) - promised) / one.max(1);
        // The last one starts as long as the reserve is untouched.
        let by_use = (machine.available - self.reserve) / used(one) + 1;
        u64::try_from(by_promise.min(by_use)).unwrap_or(0).min((machine.threads_max - machine.threads) / DYNO_THREADS)
    }
}

/// What a dyno is expected to use of `one` bytes.
fn used(one: i64) -> i64 {
    (one / USED_PART).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { app_memory: None, reserve: 512 * MIB, disk_floor: 1024 * MIB };
    const MACHINE: Machine =
        Machine { memory: 4608 * MIB, available: 3000 * MIB, disk_free: 9000 * MIB, threads: 700, threads_max: 100_000 };

    #[test]
    fn a_machine_of_four_gigabytes_promises_sixteen() {
        assert_eq!(BOUNDS.promisable(&MACHINE), 16 * 1024 * MIB);
        let roomy = Machine { available: 4608 * MIB, ..MACHINE };
        assert_eq!(BOUNDS.room(&roomy, 0, 512 * MIB), 32);
        assert_eq!(BOUNDS.room(&roomy, 31 * 512 * MIB + 1, 512 * MIB), 0);
        assert_eq!(BOUNDS.room(&MACHINE, 0, 512 * MIB), 20, "2,488 MB are there to be used, 128 by each");
        assert_eq!(BOUNDS.room(&Machine { available: 600 * MIB, ..MACHINE }, 0, 512 * MIB), 1);
    }

    #[test]
    fn what_is_missing_is_named() {
        let refused = |machine: Machine| BOUNDS.admit(&machine, 0, 512 * MIB).expect_err("refused").to_string();
        assert!(refused(Machine { available: 100 * MIB, ..MACHINE }).contains("100 MB are available, 512 MB stay reserved"));
        assert!(refused(Machine { disk_free: MIB, ..MACHINE }).contains("1 MB are free, 1024 MB stay reserved"));
        assert!(refused(Machine { threads: 99_900, ..MACHINE }).contains("99900 threads of at most 100000"));
        let full = BOUNDS.admit(&MACHINE, 16 * 1024 * MIB, 1).expect_err("refused").to_string();
        assert!(full.contains("16384 of 16384 MB are promised"), "{full}");
        assert_eq!(BOUNDS.room(&Machine { disk_free: MIB, ..MACHINE }, 0, 1), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: crate::domain::test_cases(256), ..ProptestConfig::default() })]

        #[test]
        fn the_figure_is_right_when_tried(
            memory in 0i64..64 * 1024, app in prop::option::of(0i64..64 * 1024), one in 1i64..4096,
            available in 0i64..64 * 1024, promised in 0i64..8192, threads in 0u64..9_000,
        ) {
            let machine = Machine { memory: memory * MIB, available: available * MIB, threads, threads_max: 10_000, ..MACHINE };
            let bounds = Bounds { app_memory: app.map(|app| app * MIB), ..BOUNDS };
            let (mut now, mut machine, mut fitted) = (promised * MIB, machine, 0);
            let figure = bounds.room(&machine, now, one * MIB);
            while bounds.admit(&machine, now, one * MIB).is_ok() {
                now += one * MIB;
                machine.available -= used(one * MIB);
                machine.threads += DYNO_THREADS;
                fitted += 1;
            }
            prop_assert_eq!(figure, fitted);
        }
    }
}
