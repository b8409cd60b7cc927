//! The awake quota: 18 hours awake in any rolling 24, then 6 hours of rest (heroku.md 1.2).
//!
//! Seconds, not buckets. A completed rest clears the account: only time awake after it counts.

use std::time::Duration;

use crate::domain::{Plan, QuotaKind, Timestamp};

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

/// Time the dynos of an account's apps ran in this calendar month, for plans with a monthly pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pool {
    pub used: Duration,
    /// Dynos that run now and use it up together.
    pub running: u32,
}

/// The calendar month (UTC) of a moment: its first moment and the next month's.
pub fn month_of(now: Timestamp) -> (Timestamp, Timestamp) {
    let first = now.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).date().first_of_month();
    let moment =
        |date: jiff::civil::Date| date.to_zoned(jiff::tz::TimeZone::UTC).map_or(now, |zoned| Timestamp(zoned.timestamp().as_millisecond()));
    (moment(first), moment(first.last_of_month().tomorrow().unwrap_or(first)))
}

/// Judges a monthly pool at `now`: once used up it denies until the next month.
pub fn pool_standing(plan: &Plan, pool: Pool, now: Timestamp) -> Standing {
    let next = month_of(now).1;
    match plan.monthly_pool.checked_sub(pool.used).filter(|left| !left.is_zero()) {
        None => Standing { used: pool.used, allow_until: None, deny_until: Some(next) },
        Some(left) => {
            let until = now + left / pool.running.max(1);
            Standing { used: pool.used, allow_until: Some(until).filter(|until| *until < next), deny_until: None }
        }
    }
}

/// Whether four fifths of a plan's quota are used: time for a warning.
pub fn nearly_used(plan: &Plan, used: Duration) -> bool {
    plan.quota_time().is_some_and(|whole| used.saturating_mul(5) >= whole.saturating_mul(4))
}

/// Judges an app's account at `now`.
///
/// `counted_from` is the end of the last completed rest (time awake before it is forgotten);
/// `resting_until` the end of a rest already begun. When the quota is used up and no rest has
/// begun yet, `deny_until` is `now + plan.rest`: the caller begins the rest and remembers its end.
///
/// Spans may overlap and come in any order; what they cover counts once. After a clock was set
/// back, time not yet reached again counts nothing, and a remembered rest is cut to one full rest
/// from `now`: a caller that remembers the `deny_until` it is given never rests for longer.
/// A plan that allows the whole window has no quota.
pub fn standing(
    plan: &Plan,
    spans: &[Span],
    counted_from: Option<Timestamp>,
    resting_until: Option<Timestamp>,
    now: Timestamp,
) -> Standing {
    let cleared = resting_until.filter(|end| *end <= now).max(counted_from).map_or(now - plan.quota_window, |at| at.min(now));
    let awake = covered(spans, cleared.max(now - plan.quota_window), now);
    let used = awake.iter().map(|(from, to)| to.since(*from)).sum();
    if let Some(end) = resting_until.filter(|end| *end > now) {
        return Standing { used, allow_until: None, deny_until: Some(end.min(now + plan.rest)) };
    }
    if plan.quota != QuotaKind::Daily || plan.awake_limit >= plan.quota_window {
        return Standing { used, allow_until: None, deny_until: None };
    }
    match plan.awake_limit.checked_sub(used).filter(|left| !left.is_zero()) {
        Some(left) => Standing { used, allow_until: Some(runs_out(plan, &awake, left, now)), deny_until: None },
        None => Standing { used, allow_until: None, deny_until: Some(now + plan.rest) },
    }
}

/// What the spans cover between two moments: sorted, apart from each other, none empty.
fn covered(spans: &[Span], from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Timestamp)> {
    let clipped = spans.iter().map(|span| (span.from.max(from), span.to.unwrap_or(to).min(to)));
    let mut parts: Vec<_> = clipped.filter(|(from, to)| from < to).collect();
    parts.sort_unstable();
    parts.dedup_by(|next, last| {
        let touches = next.0 <= last.1;
        if touches {
            last.1 = last.1.max(next.1);
        }
        touches
    });
    parts
}

/// When an app that stays awake from `now` on has used up the `left` time. While an old stretch
/// leaves the window it gives back what is spent, so the account stands still; only in the gaps
/// between old stretches does it shrink.
fn runs_out(plan: &Plan, awake: &[(Timestamp, Timestamp)], mut left: Duration, now: Timestamp) -> Timestamp {
    let mut at = now;
    for (from, to) in awake {
        let gap = (*from + plan.quota_window).since(at);
        if gap >= left {
            break;
        }
        left -= gap;
        at = *to + plan.quota_window;
    }
    at + left
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn h(hours: f64) -> Timestamp {
        // Far from zero, so that windows reach back into real time.
        Timestamp(1_000_000 * HOUR + (hours * HOUR as f64).round() as i64)
    }

    fn span(from: f64, to: f64) -> Span {
        Span { from: h(from), to: Some(h(to)) }
    }

    fn open(from: f64) -> Span {
        Span { from: h(from), to: None }
    }

    fn hours(count: f64) -> Duration {
        Duration::from_millis((count * HOUR as f64).round() as u64)
    }

    fn free(spans: &[Span], now: f64) -> Standing {
        standing(&Plan::free(), spans, None, None, h(now))
    }

    fn allowed(used: f64, until: f64) -> Standing {
        Standing { used: hours(used), allow_until: Some(h(until)), deny_until: None }
    }

    fn denied(used: f64, until: f64) -> Standing {
        Standing { used: hours(used), allow_until: None, deny_until: Some(h(until)) }
    }

    #[test]
    fn the_rolling_window_counts_what_lies_in_it() {
        let cases: &[(&str, &[Span], f64, Standing)] = &[
            ("never awake", &[], 0.0, allowed(0.0, 18.0)),
            ("awake for an hour, still open", &[open(0.0)], 1.0, allowed(1.0, 18.0)),
            ("closed an hour ago", &[span(0.0, 1.0)], 2.0, allowed(1.0, 19.0)),
            ("half of it has left the window", &[span(0.0, 2.0)], 25.0, allowed(1.0, 43.0)),
            ("all of it has left the window", &[span(0.0, 2.0)], 26.0, allowed(0.0, 44.0)),
            ("overlapping spans count once", &[span(3.0, 5.0), span(0.0, 4.0), span(1.0, 2.0), open(5.0)], 6.0, allowed(6.0, 18.0)),
            (
                "one millisecond is left",
                &[span(0.0, 18.0 - 1.0 / HOUR as f64)],
                18.0,
                allowed(18.0 - 1.0 / HOUR as f64, 18.0 + 1.0 / HOUR as f64),
            ),
            ("exactly used up", &[open(0.0)], 18.0, denied(18.0, 24.0)),
            ("used up long ago, no rest begun", &[span(0.0, 20.0)], 22.0, denied(20.0, 28.0)),
            ("empty and reversed spans", &[span(1.0, 1.0), span(3.0, 2.0)], 4.0, allowed(0.0, 22.0)),
        ];
        for (what, spans, now, expected) in cases {
            assert_eq!(free(spans, *now), *expected, "{what}");
        }
    }

    #[test]
    fn old_stretches_give_time_back_while_they_leave_the_window() {
        // Ten hours yesterday, seven today: one hour left, but at 24 the ten hours begin to leave.
        assert_eq!(free(&[span(0.0, 10.0), span(16.5, 23.5)], 23.5), allowed(17.0, 34.5));
        // The half hour between the two old stretches costs half an hour.
        assert_eq!(free(&[span(0.0, 4.0), span(4.5, 16.5)], 23.5), allowed(16.0, 41.5));
        // The last hour ends exactly where giving back would begin.
        assert_eq!(free(&[span(0.0, 10.0), span(16.0, 23.0)], 23.0), allowed(17.0, 24.0));
    }

    #[test]
    fn a_rest_denies_until_its_end_and_then_clears_the_account() {
        let plan = Plan::free();
        let spans = [span(0.0, 18.0)];
        let at = |now: f64| standing(&plan, &spans, None, Some(h(24.0)), h(now));
        assert_eq!(at(18.0), denied(18.0, 24.0));
        assert_eq!(at(23.999), denied(18.0, 24.0));
        assert_eq!(at(24.0), allowed(0.0, 42.0));
        assert_eq!(standing(&plan, &spans, Some(h(24.0)), None, h(25.0)), allowed(0.0, 43.0));
        assert_eq!(standing(&plan, &[open(17.0)], Some(h(24.0)), None, h(25.0)), allowed(1.0, 42.0), "a span over the end of the rest");
        assert_eq!(standing(&plan, &[open(24.0)], Some(h(24.0)), Some(h(20.0)), h(26.0)), allowed(2.0, 42.0), "the later one counts");
    }

    #[test]
    fn a_clock_set_back_neither_panics_nor_rests_for_longer_than_one_rest() {
        let plan = Plan::free();
        assert_eq!(free(&[open(5.0), span(4.0, 6.0)], 3.0), allowed(0.0, 21.0), "time not reached again counts nothing");
        assert_eq!(free(&[span(0.0, 4.0)], 3.0), allowed(3.0, 18.0));
        assert_eq!(standing(&plan, &[], None, Some(h(90_000.0)), h(1.0)), denied(0.0, 7.0));
        assert_eq!(standing(&plan, &[open(0.0)], Some(h(2.0)), None, h(1.0)), allowed(0.0, 19.0));
    }

    #[test]
    fn a_clock_set_forward_never_counts_more_than_the_window() {
        assert_eq!(free(&[open(0.0)], 90_000.0).used, hours(24.0));
        assert_eq!(free(&[span(0.0, 17.0)], 90_000.0), allowed(0.0, 90_018.0));
    }

    #[test]
    fn a_plan_that_allows_the_whole_window_has_no_quota() {
        let plan = Plan { awake_limit: hours(24.0), ..Plan::free() };
        let expected = Standing { used: hours(24.0), allow_until: None, deny_until: None };
        assert_eq!(standing(&plan, &[open(0.0)], None, None, h(100.0)), expected);
    }

    /// A plan of seconds, small enough to count each one.
    fn small() -> Plan {
        let [awake_limit, quota_window, rest] = [18, 24, 6].map(Duration::from_secs);
        Plan { awake_limit, quota_window, rest, ..Plan::free() }
    }

    /// The rule said once more, second by second.
    fn brute(awake: &dyn Fn(i64) -> bool, counted_from: i64, resting_until: i64, now: i64) -> Standing {
        let cleared = if resting_until <= now { counted_from.max(resting_until) } else { counted_from };
        let used = |at: i64| (at - 24..at).filter(|s| *s >= cleared && if *s < now { awake(*s) } else { true }).count() as u64;
        let (allow, deny) = match (resting_until > now, used(now) >= 18) {
            (true, _) => (None, Some(resting_until)),
            (false, true) => (None, Some(now + 6)),
            (false, false) => ((now..).find(|at| used(*at) >= 18), None),
        };
        let secs = Timestamp::from_secs;
        Standing { used: Duration::from_secs(used(now)), allow_until: allow.map(secs), deny_until: deny.map(secs) }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: crate::domain::test_cases(256), ..ProptestConfig::default() })]

        #[test]
        fn it_agrees_with_counting_every_second(
            spans in prop::collection::vec((0i64..80, 0i64..25, prop::bool::weighted(0.1)), 0..12),
            counted_from in prop::option::of(0i64..60),
            rest_ago in prop::option::of(-6i64..30),
            now in 60i64..100,
        ) {
            let secs = Timestamp::from_secs;
            let resting_until = rest_ago.map(|ago| now - ago);
            let given: Vec<Span> =
                spans.iter().map(|(from, length, open)| Span { from: secs(*from), to: (!open).then(|| secs(from + length)) }).collect();
            let awake = |s: i64| spans.iter().any(|(from, length, open)| *from <= s && (*open || s < from + length));
            let expected = brute(&awake, counted_from.unwrap_or(-1_000), resting_until.unwrap_or(-1_000), now);
            prop_assert_eq!(standing(&small(), &given, counted_from.map(secs), resting_until.map(secs), secs(now)), expected);
        }

        #[test]
        fn over_weeks_no_window_holds_more_than_18_hours_and_every_rest_lasts_6(
            naps in prop::collection::vec((1i64..30 * HOUR, 0i64..8 * HOUR), 1..8),
        ) {
            let (spans, rests) = live(&naps, 28 * 24 * HOUR);
            for edge in spans.iter().flat_map(|(from, to)| [*from, *to, *from + 24 * HOUR, *to + 24 * HOUR]) {
                let awake: i64 = spans.iter().map(|(from, to)| (to.min(&edge) - from.max(&(edge - 24 * HOUR))).max(0)).sum();
                prop_assert!(awake <= 18 * HOUR, "{awake} ms awake in the day that ends at {edge}");
            }
            for (from, to) in &rests {
                prop_assert_eq!(to - from, 6 * HOUR);
                prop_assert!(spans.iter().all(|span| span.1 <= *from || span.0 >= *to), "awake during a rest");
            }
        }
    }

    type Stretches = Vec<(i64, i64)>;

    /// An app that wants to be awake for the first time of each pair and asleep for the second, over and
    /// over, and that obeys. Gives its stretches awake and its rests, in milliseconds.
    fn live(naps: &[(i64, i64)], end: i64) -> (Stretches, Stretches) {
        let (mut spans, mut rests) = (Stretches::new(), Stretches::new());
        let (mut now, mut counted_from, mut turn) = (0, None, 0);
        while now < end {
            let (wish, nap) = naps[turn % naps.len()];
            let known: Vec<Span> = spans.iter().map(|(from, to)| Span { from: Timestamp(*from), to: Some(Timestamp(*to)) }).collect();
            let standing = standing(&Plan::free(), &known, counted_from, None, Timestamp(now));
            match (standing.allow_until, standing.deny_until) {
                (Some(until), None) => {
                    let stop = until.millis().min(now + wish);
                    spans.push((now, stop));
                    // Out of quota: look again at once. Else sleep first.
                    now = if stop == until.millis() { stop } else { stop + nap };
                    turn += usize::from(stop != until.millis());
                }
                (None, Some(until)) => {
                    rests.push((now, until.millis()));
                    now = until.millis();
                    counted_from = Some(until);
                }
                both => panic!("neither or both: {both:?}"),
            }
        }
        (spans, rests)
    }

    #[test]
    fn an_app_that_is_always_wanted_runs_18_hours_and_rests_6_week_after_week() {
        let (spans, rests) = live(&[(1_000 * HOUR, 0)], 28 * 24 * HOUR);
        assert_eq!(rests.len(), 28);
        assert!(spans.iter().all(|(from, to)| to - from == 18 * HOUR && from % (24 * HOUR) == 0));
    }

    fn day(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().expect("a moment").as_millisecond())
    }

    #[test]
    fn a_months_pool_is_shared_and_denies_until_the_next_month() {
        let plan = Plan { quota: QuotaKind::Monthly, monthly_pool: hours(550.0), ..Plan::free() };
        let now = day("2028-02-20T12:00:00Z");
        let at = |used: f64, running: u32| pool_standing(&plan, Pool { used: hours(used), running }, now);
        assert_eq!(month_of(now), (day("2028-02-01T00:00:00Z"), day("2028-03-01T00:00:00Z")));
        assert_eq!(month_of(day("2026-12-31T23:59:59Z")).1, day("2027-01-01T00:00:00Z"));
        assert_eq!(at(540.0, 2).allow_until, Some(now + hours(5.0)), "two dynos use it up twice as fast");
        assert_eq!(at(10.0, 1).allow_until, None, "it lasts to the end of the month");
        assert_eq!(at(550.0, 1), Standing { used: hours(550.0), allow_until: None, deny_until: Some(day("2028-03-01T00:00:00Z")) });
    }

    #[test]
    fn a_warning_is_due_at_four_fifths() {
        assert!(!nearly_used(&Plan::free(), hours(14.39)));
        assert!(nearly_used(&Plan::free(), hours(14.4)));
        assert!(!nearly_used(&Plan { quota: QuotaKind::None, ..Plan::free() }, hours(24.0)));
    }
}
