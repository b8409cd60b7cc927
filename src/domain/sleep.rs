//! The idle rule: a free app sleeps after 30 minutes without web traffic (heroku.md 1.4, 1.5).

use crate::domain::{Plan, SleepBy, Timestamp};

/// What the gate knows of an app's traffic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Activity {
    /// Requests and tunnels open now, and requests waiting for a dyno.
    pub open: usize,
    /// When the last request came or ended, or the app was last woken or released.
    pub last: Timestamp,
}

/// Whether an awake app may go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Awake at least until then, if nothing else comes.
    StayUntil(Timestamp),
    Sleep,
}

/// An app without web dynos never falls asleep by this rule; the caller does not ask then.
/// A `last` that lies ahead of a clock set back counts as now. A plan may forbid sleep.
pub fn judge(plan: &Plan, activity: Activity, now: Timestamp) -> Verdict {
    if plan.sleep_by == SleepBy::Never {
        return Verdict::StayUntil(Timestamp::NEVER);
    }
    let until = activity.last.min(now) + plan.idle_after;
    if activity.open > 0 {
        return Verdict::StayUntil(until.max(now + plan.idle_after));
    }
    if now >= until { Verdict::Sleep } else { Verdict::StayUntil(until) }
}

/// When an awake app's memory is paged out if nothing comes. None: never, or not while a request is
/// open.
pub fn naps_at(plan: &Plan, activity: Activity, now: Timestamp) -> Option<Timestamp> {
    let nap_after = plan.nap_after.filter(|_| activity.open == 0)?;
    Some(activity.last.min(now) + nap_after)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn at(minutes: i64) -> Timestamp {
        Timestamp(1_700_000_000_000 + minutes * MINUTE)
    }

    fn judged(open: usize, last: i64, now: Timestamp) -> Verdict {
        judge(&Plan::free(), Activity { open, last: at(last) }, now)
    }

    #[test]
    fn an_app_sleeps_after_exactly_30_minutes_without_traffic() {
        assert_eq!(judged(0, 0, at(0)), Verdict::StayUntil(at(30)));
        assert_eq!(judged(0, 0, Timestamp(at(30).millis() - 1)), Verdict::StayUntil(at(30)));
        assert_eq!(judged(0, 0, at(30)), Verdict::Sleep);
        assert_eq!(judged(0, 0, at(500)), Verdict::Sleep);
    }

    #[test]
    fn an_open_request_keeps_an_app_awake_however_long_it_lasts() {
        assert_eq!(judged(1, 0, at(0)), Verdict::StayUntil(at(30)));
        assert_eq!(judged(1, 0, at(600)), Verdict::StayUntil(at(630)));
        assert_eq!(judged(2_000, 599, at(600)), Verdict::StayUntil(at(630)));
    }

    #[test]
    fn a_clock_set_back_never_puts_sleep_off_for_longer_than_one_idle_time() {
        assert_eq!(judged(0, 90_000, at(0)), Verdict::StayUntil(at(30)));
        assert_eq!(judged(3, 90_000, at(0)), Verdict::StayUntil(at(30)));
    }

    #[test]
    fn an_app_naps_after_a_minute_but_never_with_an_open_request() {
        let naps = |plan: &Plan, open| naps_at(plan, Activity { open, last: at(0) }, at(5));
        assert_eq!(naps(&Plan::free(), 0), Some(at(1)));
        assert_eq!(naps(&Plan::free(), 1), None);
        assert_eq!(naps(&Plan { nap_after: None, ..Plan::free() }, 0), None);
    }

    #[test]
    fn a_plan_that_never_sleeps_stays_awake() {
        let plan = Plan { sleep_by: SleepBy::Never, ..Plan::free() };
        assert_eq!(judge(&plan, Activity { open: 0, last: at(0) }, at(90_000)), Verdict::StayUntil(Timestamp::NEVER));
    }

    #[test]
    fn a_day_of_visits_costs_their_time_and_half_an_hour_each() {
        let visits = [8 * 60, 8 * 60 + 10, 12 * 60, 12 * 60 + 30, 20 * 60];
        let (mut awake, mut last) = (0, None);
        for minute in 0..24 * 60 {
            if visits.contains(&minute) {
                last = Some(minute);
            }
            if let Some(seen) = last {
                match judged(0, seen, at(minute)) {
                    Verdict::StayUntil(_) => awake += 1,
                    Verdict::Sleep => last = None,
                }
            }
        }
        assert_eq!(awake, 40 + 60 + 30);
    }
}
