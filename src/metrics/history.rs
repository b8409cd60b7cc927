//! The numbers of an app over time: two hours by the minute from memory, a week by ten minutes from
//! the database.
//!
//! A ten-minute slot in which an app did anything is one row of at most 300 bytes, of about 60 as a
//! rule: 9 KB a day of an app that is awake all day, and nothing of one that sleeps. Rows go after
//! seven days. A restart of the server loses what it has of the slot that is open.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use super::{MINUTE_MILLIS, Metrics, Point, Times, Traffic, traffic::Statuses};
use crate::{
    clock::Clock,
    domain::{AppId, DynoName, Timestamp},
    store::{Reader, StoreError, Writer, usage_slots::UsageSlot},
};

const MINUTE: Duration = Duration::from_secs(60);
const SLOT: Duration = Duration::from_secs(600);
const SLOT_MILLIS: i64 = 600_000;
/// Slots kept in the database: seven days.
const KEPT_SLOTS: i64 = 7 * 24 * 6;

/// What time a page shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Range {
    TwoHours,
    Day,
    ThreeDays,
    Week,
}

impl Range {
    pub const ALL: [Range; 4] = [Range::TwoHours, Range::Day, Range::ThreeDays, Range::Week];

    /// As it stands in an address: `2h`, `24h`, `72h`, `7d`.
    pub fn as_str(self) -> &'static str {
        match self {
            Range::TwoHours => "2h",
            Range::Day => "24h",
            Range::ThreeDays => "72h",
            Range::Week => "7d",
        }
    }

    pub fn parse(text: &str) -> Option<Range> {
        Range::ALL.into_iter().find(|range| range.as_str() == text)
    }

    /// The time one point of it stands for.
    pub fn step(self) -> Duration {
        match self {
            Range::TwoHours => MINUTE,
            Range::Day => SLOT,
            Range::ThreeDays => SLOT * 3,
            Range::Week => SLOT * 6,
        }
    }

    /// How many points it has.
    pub fn points(self) -> usize {
        match self {
            Range::TwoHours => 120,
            Range::Day | Range::ThreeDays => 144,
            Range::Week => 168,
        }
    }
}

/// What an app did in one stretch of time.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Usage {
    pub statuses: Statuses,
    pub times: Times,
    /// The largest working set of any of its dynos, in bytes; zero where none ran.
    pub used_bytes: u64,
    /// CPU time of its dynos together.
    pub cpu: Duration,
}

impl Usage {
    /// All answers.
    pub fn requests(&self) -> u64 {
        self.statuses.iter().copied().map(u64::from).sum()
    }

    /// Counts add up, memory is that of the larger.
    pub fn add(&mut self, other: &Usage) {
        for (sum, count) in self.statuses.iter_mut().zip(other.statuses) {
            *sum = sum.saturating_add(count);
        }
        self.times.add(&other.times);
        self.used_bytes = self.used_bytes.max(other.used_bytes);
        self.cpu += other.cpu;
    }

    /// Numbers of seven bits each, the lowest first; then the filled buckets of the times.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        let cpu = u64::try_from(self.cpu.as_millis()).unwrap_or(u64::MAX);
        for number in self.statuses.map(u64::from).into_iter().chain([self.used_bytes / 1024, cpu]) {
            push(&mut bytes, number);
        }
        for (bucket, count) in self.times.filled() {
            push(&mut bytes, bucket as u64);
            push(&mut bytes, count.into());
        }
        bytes
    }

    /// None of what `encode` did not write.
    fn decode(bytes: &[u8]) -> Option<Usage> {
        let mut rest = bytes.iter().copied();
        let mut statuses = Statuses::default();
        for count in &mut statuses {
            *count = u32::try_from(take(&mut rest)?).ok()?;
        }
        let (used, cpu) = (take(&mut rest)?, take(&mut rest)?);
        let mut filled = Vec::new();
        while let Some(bucket) = take(&mut rest) {
            filled.push((usize::try_from(bucket).ok()?, u32::try_from(take(&mut rest)?).ok()?));
        }
        let times = Times::of(filled);
        Some(Usage { statuses, times, used_bytes: used.saturating_mul(1024), cpu: Duration::from_millis(cpu) })
    }
}

fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.next()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The owner of the week. Cheap to clone.
#[derive(Clone)]
pub struct History {
    traffic: Traffic,
    metrics: Metrics,
    reader: Reader,
    writer: Writer,
    clock: Arc<dyn Clock>,
    /// The newest slot that is written down.
    kept: Arc<AtomicI64>,
}

impl History {
    pub fn new(traffic: Traffic, metrics: Metrics, reader: Reader, writer: Writer, clock: Arc<dyn Clock>) -> History {
        let kept = Arc::new(AtomicI64::new(slot_of(clock.now()) - 1));
        History { traffic, metrics, reader, writer, clock, kept }
    }

    /// The router's counts.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Writes down the slots that have ended, and drops what is older than a week. Call it every minute.
    ///
    /// # Errors
    /// When the database fails; the next call tries again.
    pub async fn keep(&self) -> Result<(), StoreError> {
        let open = slot_of(self.clock.now());
        let first = (self.kept.load(Ordering::Relaxed) + 1).max(open - 12);
        if first >= open {
            return Ok(());
        }
        let mut apps = self.traffic.apps(moment(first));
        apps.extend(self.metrics.apps());
        apps.sort_unstable();
        apps.dedup();
        let ended = |app: AppId| self.recent(app, moment(first), SLOT).into_iter().filter(move |(at, _)| slot_of(*at) < open);
        let rows: Vec<UsageSlot> = apps
            .into_iter()
            .flat_map(|app| ended(app).map(move |(at, usage)| UsageSlot { app_id: app, slot: slot_of(at), data: usage.encode() }))
            .collect();
        self.writer.keep_usage_slots(&rows, open - KEPT_SLOTS).await?;
        self.kept.store(open - 1, Ordering::Relaxed);
        Ok(())
    }

    /// The points of a range in which the app did anything, by when they began.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of(&self, app: AppId, range: Range) -> Result<BTreeMap<Timestamp, Usage>, StoreError> {
        let now = self.clock.now();
        let since = first_point(range, now);
        if range == Range::TwoHours {
            return Ok(self.recent(app, since, MINUTE));
        }
        let mut points = BTreeMap::new();
        for row in self.reader.usage_slots(app, slot_of(since)).await? {
            if let Some(usage) = Usage::decode(&row.data) {
                add(&mut points, floor(moment(row.slot), range.step()), &usage);
            }
        }
        let unwritten = moment(self.kept.load(Ordering::Relaxed) + 1).max(since);
        for (at, usage) in self.recent(app, unwritten, SLOT) {
            add(&mut points, floor(at, range.step()), &usage);
        }
        Ok(points)
    }

    /// The newest point of each dyno that ran in the last two minutes.
    pub fn newest(&self, app: AppId) -> Vec<(DynoName, Point)> {
        let points = self.metrics.points(app, MINUTE * 2, self.clock.now());
        points.into_iter().filter_map(|(dyno, points)| Some((dyno, *points.last()?))).collect()
    }

    /// What memory has from a moment on, in steps.
    fn recent(&self, app: AppId, since: Timestamp, step: Duration) -> BTreeMap<Timestamp, Usage> {
        let mut points = BTreeMap::new();
        for point in self.traffic.minutes(app, since) {
            let at = Timestamp(i64::from(point.minute) * MINUTE_MILLIS);
            add(&mut points, floor(at, step), &Usage { statuses: point.statuses, times: point.times, ..Usage::default() });
        }
        let now = self.clock.now();
        for point in self.metrics.points(app, now.since(since), now).into_values().flatten() {
            let usage = Usage { used_bytes: point.used_bytes(), cpu: point.cpu(), ..Usage::default() };
            add(&mut points, floor(point.at(), step), &usage);
        }
        points
    }
}

/// When the first point of a range begins; the last one is open.
pub fn first_point(range: Range, now: Timestamp) -> Timestamp {
    let before = u32::try_from(range.points() - 1).unwrap_or(u32::MAX);
    floor(now, range.step()) - range.step() * before
}

fn add(points: &mut BTreeMap<Timestamp, Usage>, at: Timestamp, usage: &Usage) {
    points.entry(at).or_default().add(usage);
}

fn floor(at: Timestamp, step: Duration) -> Timestamp {
    let step = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
    Timestamp(at.millis().div_euclid(step) * step)
}

fn slot_of(at: Timestamp) -> i64 {
    at.millis().div_euclid(SLOT_MILLIS)
}

fn moment(slot: i64) -> Timestamp {
    Timestamp(slot * SLOT_MILLIS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_small_and_comes_back_as_it_was() {
        let mut usage = Usage { statuses: [120, 3, 0, 1], used_bytes: 93 << 20, cpu: Duration::from_millis(5_400), ..Usage::default() };
        for millis in 0..400 {
            usage.times.record(Duration::from_millis(millis));
        }
        let bytes = usage.encode();
        assert!(bytes.len() < 70, "{}", bytes.len());
        assert_eq!(Usage::decode(&bytes), Some(usage));
        let mut worst = Usage { statuses: [u32::MAX; 4], used_bytes: u64::MAX / 1024 * 1024, ..Usage::default() };
        worst.times = Times::of((0..38).map(|bucket| (bucket, u32::MAX)));
        assert!(worst.encode().len() < 300);
        assert_eq!((Usage::decode(&bytes[..3]), Usage::decode(&[0x80; 40])), (None, None));
    }

    #[test]
    fn every_range_has_a_name_and_ends_with_the_open_point() {
        let now = Timestamp::from_secs(1_430_000_123);
        for range in Range::ALL {
            assert_eq!(Range::parse(range.as_str()), Some(range));
            let last = first_point(range, now) + range.step() * u32::try_from(range.points() - 1).unwrap();
            assert!(last <= now && now.since(last) < range.step(), "{range:?}");
        }
        assert_eq!(Range::parse("1y"), None);
    }
}
