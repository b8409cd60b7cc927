//! The idle rule: a free app sleeps after 30 minutes without web traffic (heroku.md 1.4, 1.5).

use crate::domain::{Plan, Timestamp};

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
pub fn judge(plan: &Plan, activity: Activity, now: Timestamp) -> Verdict {
    let until = activity.last + plan.idle_after;
    if activity.open > 0 {
        return Verdict::StayUntil(until.max(now + plan.idle_after));
    }
    if now >= until { Verdict::Sleep } else { Verdict::StayUntil(until) }
}
