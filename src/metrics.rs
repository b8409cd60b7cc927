//! What apps did and used, for graphs. Here: a point a minute of each dyno for the last 24 hours, in
//! memory. Beside it `Traffic`, what the router counted, and `History`, a week of both in the database.
//!
//! A point takes 16 bytes, a dyno that is awake all day 23 KB; a sleeping app adds nothing, and what
//! is older than a day is dropped. A restart of the server forgets them: logs are what lasts.

mod history;
mod traffic;

pub use history::{History, Range, Usage, first_point};
pub use traffic::{Statuses, Times, Traffic};

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::domain::{AppId, DynoName, Timestamp};

const MINUTE_MILLIS: i64 = 60_000;
/// Minutes kept.
const KEPT: u32 = 24 * 60;

/// What a dyno used in one minute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Point {
    /// Minutes since the epoch.
    minute: u32,
    /// The largest working set seen in it, in KiB; memory and swap together.
    used_kib: u32,
    /// The part of it that lay in swap at that moment, in KiB.
    swap_kib: u32,
    /// CPU time spent in it, in milliseconds.
    cpu_millis: u32,
}

impl Point {
    /// When its minute began.
    pub fn at(&self) -> Timestamp {
        Timestamp(i64::from(self.minute) * MINUTE_MILLIS)
    }

    /// The largest working set, memory and swap together, in bytes.
    pub fn used_bytes(&self) -> u64 {
        u64::from(self.used_kib) * 1024
    }

    /// The part of it that lay in swap, in bytes.
    pub fn swap_bytes(&self) -> u64 {
        u64::from(self.swap_kib) * 1024
    }

    /// CPU time of the minute.
    pub fn cpu(&self) -> Duration {
        Duration::from_millis(self.cpu_millis.into())
    }
}

/// One look at a dyno.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    pub used_bytes: u64,
    pub swap_bytes: u64,
    /// Since the look before.
    pub cpu: Duration,
}

type Series = BTreeMap<DynoName, VecDeque<Point>>;

/// The owner of the points. Cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Mutex<HashMap<AppId, Series>>>);

impl Metrics {
    pub fn new() -> Metrics {
        Metrics::default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AppId, Series>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a look to the point of its minute, and drops what is older than a day.
    pub fn record(&self, app: AppId, dyno: &DynoName, sample: Sample, now: Timestamp) {
        let minute = minute_of(now);
        let kib = |bytes: u64| u32::try_from(bytes / 1024).unwrap_or(u32::MAX);
        let millis = u32::try_from(sample.cpu.as_millis()).unwrap_or(u32::MAX);
        let mut apps = self.lock();
        let points = apps.entry(app).or_default().entry(dyno.clone()).or_default();
        while points.front().is_some_and(|point| point.minute + KEPT <= minute) {
            points.pop_front();
        }
        match points.back_mut().filter(|point| point.minute >= minute) {
            Some(point) => {
                if kib(sample.used_bytes) > point.used_kib {
                    (point.used_kib, point.swap_kib) = (kib(sample.used_bytes), kib(sample.swap_bytes));
                }
                point.cpu_millis = point.cpu_millis.saturating_add(millis);
            }
            None => {
                points.push_back(Point { minute, used_kib: kib(sample.used_bytes), swap_kib: kib(sample.swap_bytes), cpu_millis: millis })
            }
        }
    }

    /// The points of the last `window` of each dyno, oldest first. Minutes it did not run are missing.
    pub fn points(&self, app: AppId, window: Duration, now: Timestamp) -> BTreeMap<DynoName, Vec<Point>> {
        let since = minute_of(now - window);
        let apps = self.lock();
        let series = apps.get(&app).into_iter().flatten();
        series.map(|(dyno, points)| (dyno.clone(), points.iter().copied().filter(|point| point.minute >= since).collect())).collect()
    }

    /// The apps that have points.
    pub fn apps(&self) -> Vec<AppId> {
        self.lock().keys().copied().collect()
    }

    /// Drops what is older than a day of apps that sleep.
    pub fn sweep(&self, now: Timestamp) {
        let oldest = minute_of(now).saturating_sub(KEPT);
        self.lock().retain(|_, series| {
            series.retain(|_, points| points.back().is_some_and(|point| point.minute > oldest));
            !series.is_empty()
        });
    }

    /// Drops everything of an app.
    pub fn forget(&self, app: AppId) {
        self.lock().remove(&app);
    }
}

fn minute_of(at: Timestamp) -> u32 {
    u32::try_from(at.millis() / MINUTE_MILLIS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_040_000);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn sample(mib: u64, cpu: u64) -> Sample {
        Sample { used_bytes: mib << 20, swap_bytes: 0, cpu: Duration::from_millis(cpu) }
    }

    #[test]
    fn a_minute_keeps_its_largest_working_set_and_adds_up_its_cpu_time() {
        let (metrics, app, dyno) = (Metrics::new(), AppId::new(), "web.1".parse().unwrap());
        for (seconds, mib) in [(0, 30), (20, 90), (40, 40), (60, 10)] {
            metrics.record(app, &dyno, sample(mib, 5), NOW + Duration::from_secs(seconds));
        }
        let points = metrics.points(app, DAY, NOW + Duration::from_secs(60));
        let shown: Vec<_> = points[&dyno].iter().map(|point| (point.used_bytes() >> 20, point.cpu().as_millis())).collect();
        assert_eq!(shown, [(90, 15), (10, 5)]);
        assert_eq!(points[&dyno][0].at(), NOW);
    }

    #[test]
    fn a_day_is_kept_and_a_sleeping_app_is_forgotten_after_it() {
        let (metrics, app, dyno) = (Metrics::new(), AppId::new(), "web.1".parse().unwrap());
        for minute in 0..3 * KEPT {
            metrics.record(app, &dyno, sample(30, 1), NOW + Duration::from_secs(60) * minute);
        }
        let end = NOW + Duration::from_secs(60) * (3 * KEPT - 1);
        assert_eq!(metrics.points(app, DAY * 3, end)[&dyno].len(), KEPT as usize);
        assert_eq!(size_of::<Point>(), 16);
        metrics.sweep(end + DAY / 2);
        assert!(!metrics.points(app, DAY * 3, end).is_empty());
        metrics.sweep(end + DAY);
        assert!(metrics.points(app, DAY * 3, end).is_empty());
    }

    #[test]
    fn a_clock_set_back_adds_to_the_last_point() {
        let (metrics, app, dyno) = (Metrics::new(), AppId::new(), "web.1".parse().unwrap());
        metrics.record(app, &dyno, sample(30, 1), NOW);
        metrics.record(app, &dyno, sample(50, 1), NOW - Duration::from_secs(3600));
        assert_eq!(metrics.points(app, DAY, NOW)[&dyno].len(), 1);
    }
}
