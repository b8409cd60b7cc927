//! The quota against a naive model over random lives of an app: what it counts as used, and when a
//! rest begins, differ by at most a second, over restarts and looks that come late.

use proptest::prelude::*;

use super::*;

/// 18 of 24 minutes, then 6 of rest: the free plan's day in minutes, so that a life has many days.
fn plan() -> Plan {
    let [awake_limit, quota_window, rest] = [18, 24, 6].map(|minutes| Duration::from_secs(minutes * 60));
    Plan { awake_limit, quota_window, rest, ..Plan::free() }
}

/// What is remembered of an app between two moments, also over a restart of the server.
#[derive(Clone, Default)]
struct Kept {
    spans: Vec<Span>,
    counted_from: Option<Timestamp>,
    resting_until: Option<Timestamp>,
}

/// A life: the app is wanted for some milliseconds, then not, over and over. `looks` is how often,
/// in milliseconds, the supervisor looks beyond the moments it plans for itself.
#[derive(Clone, Debug)]
struct Life {
    turns: Vec<(i64, i64)>,
    looks: i64,
}

fn lives() -> impl Strategy<Value = Life> {
    let turns = prop::collection::vec((1i64..40 * 60_000, 0i64..10 * 60_000), 1..6);
    // The start lies around a change to daylight saving time in Europe; it must not matter.
    (turns, 1_000i64..600_000).prop_map(|(turns, looks)| Life { turns, looks })
}

const START: Timestamp = Timestamp(1_774_742_400_000 - 90 * 60_000);
const END: i64 = 90 * 60_000;

/// What came of a life: all stretches awake, and when rests began and ended.
#[derive(Default)]
struct Lived {
    spans: Vec<(Timestamp, Timestamp)>,
    rests: Vec<(Timestamp, Timestamp)>,
    /// At some moments: what the verdict counted as used.
    told: Vec<(Timestamp, Duration)>,
}

/// Lives as a supervisor does: it looks when the verdict says that the time has come, when a wish
/// changes, and now and then. All it knows is what is kept, so every look may be another server's.
fn lived(life: &Life) -> Lived {
    let (mut kept, mut lived, mut now) = (Kept::default(), Lived::default(), START);
    let end = Timestamp(START.0 + END);
    let wishes = Wishes::new(life);
    while now < end {
        if let Some(over) = kept.resting_until.filter(|until| *until <= now) {
            (kept.counted_from, kept.resting_until) = (Some(over), None);
        }
        let standing = standing(&plan(), &kept.spans, kept.counted_from, kept.resting_until, now);
        lived.told.push((now, standing.used));
        let wanted = wishes.wanted(now);
        let awake = wanted && standing.deny_until.is_none();
        if let (Some(until), None, true) = (standing.deny_until, kept.resting_until, wanted) {
            kept.resting_until = Some(until);
            lived.rests.push((now, until));
        }
        match kept.spans.last_mut().filter(|span| span.to.is_none()) {
            Some(open) if !awake => {
                open.to = Some(now);
                lived.spans.push((open.from, now));
            }
            None if awake => kept.spans.push(Span { from: now, to: None }),
            _ => {}
        }
        let horizon = now - plan().quota_window;
        kept.spans.retain(|span| span.to.is_none_or(|to| to > horizon));
        let planned = [standing.allow_until.filter(|_| awake), kept.resting_until, Some(wishes.next(now))];
        let soonest = planned.into_iter().flatten().filter(|at| *at > now).min().unwrap_or(end);
        now = soonest.min(Timestamp(now.0 + life.looks));
    }
    lived.spans.extend(kept.spans.last().filter(|span| span.to.is_none()).map(|span| (span.from, end)));
    lived
}

/// When the app is wanted, from its turns.
struct Wishes<'a>(&'a Life, i64);

impl<'a> Wishes<'a> {
    fn new(life: &'a Life) -> Wishes<'a> {
        Wishes(life, life.turns.iter().map(|(on, off)| on + off).sum::<i64>().max(1))
    }

    fn place(&self, now: Timestamp) -> (bool, i64) {
        let mut at = (now.0 - START.0).rem_euclid(self.1);
        for (on, off) in &self.0.turns {
            if at < *on {
                return (true, on - at);
            }
            if at < on + off {
                return (false, on + off - at);
            }
            at -= on + off;
        }
        (false, 1)
    }

    fn wanted(&self, now: Timestamp) -> bool {
        self.place(now).0
    }

    fn next(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0 + self.place(now).1)
    }
}

/// Time awake in the window that ends with each second, counted in a ring of seconds: no spans, no
/// forecasts. A completed rest empties it.
fn counted(lived: &Lived) -> Vec<i64> {
    let seconds = usize::try_from(END / 1000).expect("small");
    let mut awake = vec![0i64; seconds + 1];
    for (from, to) in &lived.spans {
        let (mut at, to) = (from.0 - START.0, to.0 - START.0);
        while at < to {
            let step = (1000 - at % 1000).min(to - at);
            awake[usize::try_from(at / 1000).expect("after the start")] += step;
            at += step;
        }
    }
    let window = usize::try_from(plan().quota_window.as_secs()).expect("small");
    let (mut used, mut since, mut counts) = (0, 0, Vec::with_capacity(seconds));
    for second in 0..seconds {
        let ended = |until: i64| until >= second as i64 * 1000 && until < (second as i64 + 1) * 1000;
        if lived.rests.iter().any(|(_, until)| ended(until.0 - START.0)) {
            (used, since) = (0, second);
        }
        used += awake[second];
        if second >= since + window {
            used -= awake[second - window];
        }
        counts.push(used);
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::domain::test_cases(10_000), ..ProptestConfig::default() })]

    #[test]
    fn the_quota_is_kept_to_the_second_over_random_lives(life in lives()) {
        let lived = lived(&life);
        let counts = counted(&lived);
        let limit = i64::try_from(plan().awake_limit.as_millis()).expect("small");
        let at = |moment: Timestamp| counts[usize::try_from((moment.0 - START.0) / 1000).expect("after the start").min(counts.len() - 1)];
        for (moment, used) in &lived.told {
            let resting = lived.rests.iter().any(|(from, until)| from < moment && moment <= until);
            let used = i64::try_from(used.as_millis()).expect("small");
            prop_assert!(resting || (used - at(*moment)).abs() <= 1_000, "{moment:?}: told {used}, counted {}", at(*moment));
        }
        prop_assert!(counts.iter().all(|used| *used <= limit + 1_000), "more awake than the plan allows");
        for (from, until) in &lived.rests {
            prop_assert!((at(*from) - limit).abs() <= 1_000, "a rest begins with {} ms used", at(*from));
            prop_assert_eq!(until.since(*from), plan().rest);
            prop_assert!(lived.spans.iter().all(|(a, b)| b <= from || a >= until), "awake during a rest");
        }
    }
}
