//! What the router did for each app: answers by class of status and how long they took, a point a
//! minute of the last two hours in memory, and totals since the start of the server.
//!
//! A minute takes 184 bytes, so an app that is busy all the time holds 25 KB. The router's threads
//! meet in one of 64 locks, for the time of a few additions.

use std::{
    array,
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::minute_of;
use crate::{
    clock::Clock,
    domain::{AppId, Timestamp},
};

/// Minutes kept: two hours, and the slot before them that may not be written down yet.
pub(super) const MINUTES: u32 = 135;
const SHARDS: usize = 64;
/// Answers of one class of status: 1xx and 2xx, 3xx, 4xx, 5xx.
pub type Statuses<N = u32> = [N; 4];

const BUCKETS: usize = 40;
/// The upper bounds of the buckets but the last, in milliseconds: each about a third above the one
/// before, from 1 ms to about a minute.
const BOUNDS: [u32; BUCKETS - 1] = bounds();

const fn bounds() -> [u32; BUCKETS - 1] {
    let mut bounds = [1; BUCKETS - 1];
    let mut index = 1;
    while index < bounds.len() {
        let before = bounds[index - 1];
        let third = before / 3;
        bounds[index] = before + if third == 0 { 1 } else { third };
        index += 1;
    }
    bounds
}

/// How long answers took: counts in buckets, so that they add up over time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times([u32; BUCKETS]);

impl Default for Times {
    fn default() -> Times {
        Times([0; BUCKETS])
    }
}

impl Times {
    pub fn record(&mut self, took: Duration) {
        let millis = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        self.add_at(BOUNDS.partition_point(|bound| *bound < millis), 1);
    }

    fn add_at(&mut self, bucket: usize, count: u32) {
        if let Some(sum) = self.0.get_mut(bucket) {
            *sum = sum.saturating_add(count);
        }
    }

    pub fn add(&mut self, other: &Times) {
        for (bucket, count) in other.filled() {
            self.add_at(bucket, count);
        }
    }

    /// The time within which this share of the answers came; right to a third of itself. None
    /// without an answer.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let all: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        let rank = ((all as f64 * share).ceil() as u64).max(1);
        let mut below = 0;
        for (bucket, count) in self.filled() {
            if below + u64::from(count) >= rank {
                let upper = BOUNDS.get(bucket).copied().unwrap_or(BOUNDS[BUCKETS - 2] * 2);
                let lower = bucket.checked_sub(1).and_then(|before| BOUNDS.get(before)).copied().unwrap_or(0);
                let part = (rank - below) as f64 / f64::from(count);
                return Some(Duration::from_secs_f64((f64::from(lower) + f64::from(upper - lower) * part) / 1000.0));
            }
            below += u64::from(count);
        }
        None
    }

    /// The buckets that hold something.
    pub(super) fn filled(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.0.iter().copied().enumerate().filter(|(_, count)| *count > 0)
    }

    pub(super) fn of(filled: impl IntoIterator<Item = (usize, u32)>) -> Times {
        let mut times = Times::default();
        filled.into_iter().for_each(|(bucket, count)| times.add_at(bucket, count));
        times
    }
}

/// The answers of one minute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Minute {
    pub minute: u32,
    pub statuses: Statuses,
    pub times: Times,
}

#[derive(Default)]
struct AppTraffic {
    minutes: VecDeque<Minute>,
    totals: Statuses<u64>,
}

type Shard = Mutex<HashMap<AppId, AppTraffic>>;

/// The owner of the counts. Cheap to clone.
#[derive(Clone)]
pub struct Traffic {
    clock: Arc<dyn Clock>,
    shards: Arc<[Shard; SHARDS]>,
}

impl Traffic {
    pub fn new(clock: Arc<dyn Clock>) -> Traffic {
        Traffic { clock, shards: Arc::new(array::from_fn(|_| Shard::default())) }
    }

    fn shard(&self, app: AppId) -> MutexGuard<'_, HashMap<AppId, AppTraffic>> {
        let last = app.0.as_bytes()[15];
        self.shards[usize::from(last) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one answer. `took` is None where no dyno answered, and for an upgrade, whose time says
    /// nothing about the app.
    pub fn record(&self, app: AppId, status: u16, took: Option<Duration>) {
        let minute = minute_of(self.clock.now());
        let class = usize::from((status / 100).clamp(2, 5) - 2);
        let mut apps = self.shard(app);
        let traffic = apps.entry(app).or_default();
        traffic.totals[class] += 1;
        if traffic.minutes.back().is_none_or(|point| point.minute < minute) {
            while traffic.minutes.front().is_some_and(|point| point.minute + MINUTES <= minute) {
                traffic.minutes.pop_front();
            }
            traffic.minutes.push_back(Minute { minute, statuses: [0; 4], times: Times::default() });
        }
        if let Some(point) = traffic.minutes.back_mut() {
            point.statuses[class] = point.statuses[class].saturating_add(1);
            if let Some(took) = took {
                point.times.record(took);
            }
        }
    }

    /// Answers since the start of the server.
    pub fn totals(&self, app: AppId) -> Statuses<u64> {
        self.shard(app).get(&app).map(|traffic| traffic.totals).unwrap_or_default()
    }

    /// The minutes of an app from this one on, oldest first; minutes without a request are missing.
    pub(super) fn minutes(&self, app: AppId, since: Timestamp) -> Vec<Minute> {
        let since = minute_of(since);
        let apps = self.shard(app);
        apps.get(&app).map(|traffic| traffic.minutes.iter().filter(|point| point.minute >= since).copied().collect()).unwrap_or_default()
    }

    /// The apps that had a request from this moment on.
    pub(super) fn apps(&self, since: Timestamp) -> Vec<AppId> {
        let since = minute_of(since);
        let mut found = Vec::new();
        for shard in self.shards.iter() {
            let apps = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let busy = apps.iter().filter(|(_, traffic)| traffic.minutes.back().is_some_and(|point| point.minute >= since));
            found.extend(busy.map(|(app, _)| *app));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn percentiles_are_right_to_a_third() {
        let mut times = Times::default();
        assert_eq!(times.percentile(0.5), None);
        for millis in 1..=1000 {
            times.record(Duration::from_millis(millis));
        }
        for (share, millis) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0)] {
            let found = times.percentile(share).unwrap().as_secs_f64() * 1000.0;
            assert!((found / millis - 1.0).abs() < 0.34, "{share}: {found}");
        }
        let mut slow = Times::default();
        slow.record(Duration::from_secs(3600));
        assert!(slow.percentile(0.99).unwrap() > Duration::from_secs(60));
        assert!(BOUNDS[BUCKETS - 2] > 50_000, "{BOUNDS:?}");
    }

    #[test]
    fn answers_are_counted_by_class_and_minute_and_old_minutes_go() {
        let clock = ManualClock::at(Timestamp::from_secs(1_430_000_040));
        let (traffic, app) = (Traffic::new(Arc::new(clock.clone())), AppId::new());
        for status in [101, 200, 204, 304, 404, 499, 503, 0] {
            traffic.record(app, status, (status != 101).then_some(MINUTE));
        }
        let minutes = traffic.minutes(app, Timestamp(0));
        assert_eq!((minutes.len(), minutes[0].statuses, traffic.totals(app)), (1, [4, 1, 2, 1], [4, 1, 2, 1]));
        assert_eq!(minutes[0].times.filled().map(|(_, count)| count).sum::<u32>(), 7);
        for _ in 0..MINUTES + 10 {
            clock.advance(MINUTE);
            traffic.record(app, 200, None);
        }
        assert_eq!(traffic.minutes(app, Timestamp(0)).len(), MINUTES as usize);
        assert_eq!(traffic.apps(clock.now()), [app]);
        assert!(traffic.apps(clock.now() + MINUTE).is_empty() && size_of::<Minute>() <= 184);
    }
}
