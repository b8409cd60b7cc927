//! The awake quota: 18 hours awake in any rolling 24, then 6 hours of rest (heroku.md 1.2).
//!
//! Seconds, not buckets. A completed rest clears the account: only time awake after it counts.

use std::time::Duration;

use crate::domain::{Plan, Timestamp};

/// A stretch of time during which at least one dyno of the app was awake; open while it lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub from: Timestamp,
    pub to: Option<Timestamp>,
}

/// Where an app stands with its quota at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Awake time counted in the window that ends now.
    pub used: Duration,
    /// The moment the quota runs out if the app stays awake from now on.
    /// None while resting, or when it never runs out.
    pub allow_until: Option<Timestamp>,
    /// The moment the app may wake again. Some only while it must not run.
    pub deny_until: Option<Timestamp>,
}

/// Judges an app's account at `now`.
///
/// `counted_from` is the end of the last completed rest (time awake before it is forgotten);
/// `resting_until` the end of a rest already begun. When the quota is used up and no rest has
/// begun yet, `deny_until` is `now + plan.rest`: the caller begins the rest and remembers its end.
pub fn standing(
    plan: &Plan,
    spans: &[Span],
    counted_from: Option<Timestamp>,
    resting_until: Option<Timestamp>,
    now: Timestamp,
) -> Standing {
    let _ = (plan, spans, counted_from, resting_until, now);
    todo!("quota")
}
