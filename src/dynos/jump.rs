//! Clocks that jump: a machine that was suspended, a clock that somebody set. No quota counts time that
//! only the clock saw, and no pause and no idle time lasts longer than it was meant to.

use std::time::Duration;

use crate::{
    domain::{Timestamp, crash},
    dynos::supervisor::{Crashes, Supervisor},
    store::StoreError,
};

/// A clock that goes another way than the machine by more than this was set, or the machine slept.
const JUMP: Duration = Duration::from_secs(1);

/// The clock and the machine's running time as they were last seen together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) now: Timestamp,
    pub(super) running: Duration,
}

impl Seen {
    /// What the clock would show at `running` had it gone on evenly; None where it has.
    fn missed(self, now: Timestamp, running: Duration) -> Option<Timestamp> {
        let expected = self.now + running.saturating_sub(self.running);
        Some(expected).filter(|expected| now.since(*expected).max(expected.since(now)) > JUMP)
    }
}

impl Supervisor {
    /// Looks whether the clock jumped since the last turn. `now` has just been read.
    pub(super) async fn settle_clock(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let running = self.context.parts.clock.running();
        let before = std::mem::replace(&mut self.seen, Seen { now, running });
        if let Some(expected) = before.missed(now, running) {
            self.account.jumped(&self.context, expected.min(now), now).await?;
        }
        self.account.mend(&self.context, &self.plan, now).await?;
        self.gate.catch_up();
        for crashes in self.crashes.values_mut() {
            crashes.retry_at = crashes.retry_at.min(now + crashes.pause());
        }
        if let Some(trouble) = &mut self.trouble {
            trouble.until = trouble.until.min(now + crash::back_off(trouble.failures));
        }
        Ok(())
    }
}

impl Crashes {
    /// How long the dyno stays down.
    pub(super) fn pause(&self) -> Duration {
        if self.platform { crash::platform_pause(self.count) } else { crash::cool_off(self.count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_as_the_machine_does_has_not_jumped() {
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        let now = Timestamp::from_secs(1_790_000_000);
        let seen = Seen { now, running: hour };
        assert_eq!(seen.missed(now + hour, hour * 2), None);
        assert_eq!(seen.missed(now + hour + second, hour * 2), None, "as exact as two looks in a row are");
        assert_eq!(seen.missed(now + hour * 9, hour * 2), Some(now + hour), "suspended for eight hours");
        assert_eq!(seen.missed(now - hour, hour * 2), Some(now + hour), "set back");
    }
}
