//! The only reader of the wall clock. Decisions take `now` as an argument.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::domain::Timestamp;

/// Where `now` comes from.
pub trait Clock: Send + Sync + 'static {
    /// The present moment, in milliseconds.
    fn now(&self) -> Timestamp;

    /// The same in microseconds, for log lines.
    fn now_micros(&self) -> i64 {
        self.now().millis() * 1000
    }

    /// How long the machine has run since some moment: goes on evenly when somebody sets the clock, and
    /// stands still while the machine is suspended.
    fn running(&self) -> Duration;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now_micros() / 1000)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    fn now_micros(&self) -> i64 {
        jiff::Timestamp::now().as_microsecond()
    }

    fn running(&self) -> Duration {
        static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGUN.elapsed()
    }
}

/// A clock that stands still until it is moved: the fake of this seam.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now: Arc<AtomicI64>,
    /// Milliseconds.
    running: Arc<AtomicI64>,
}

impl ManualClock {
    pub fn at(now: Timestamp) -> Self {
        Self { now: Arc::new(AtomicI64::new(now.millis())), running: Arc::default() }
    }

    /// Moves time forward.
    pub fn advance(&self, by: Duration) {
        self.running.fetch_add(millis(by), Ordering::SeqCst);
        self.now.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// The machine is suspended for so long, or somebody sets its clock forward.
    pub fn set_forward(&self, by: Duration) {
        self.now.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// Somebody sets the machine's clock back.
    pub fn set_back(&self, by: Duration) {
        self.now.fetch_sub(millis(by), Ordering::SeqCst);
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    fn running(&self) -> Duration {
        Duration::from_millis(self.running.load(Ordering::SeqCst).unsigned_abs())
    }
}
