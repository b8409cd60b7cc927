//! Backups of databases: what a backup is, when the next one is due, which dumps are kept.

use std::collections::BTreeSet;

use jiff::{civil, tz::TimeZone};

use crate::domain::{AddonId, AppId, BackupId, Timestamp};

/// What moves bytes of a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(rename_all = "lowercase")]
pub enum BackupKind {
    /// A dump somebody asked for.
    Manual,
    /// A dump of the daily schedule.
    Scheduled,
    /// A dump that is put in the place of a database.
    Restore,
}

/// Where a backup stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(rename_all = "lowercase")]
pub enum BackupState {
    Pending,
    Running,
    /// A dump that was restored into a scratch database with every row, or a restore that is done.
    Completed,
    Failed,
    Cancelled,
}

/// A dump or a restore.
#[derive(Clone, PartialEq, Debug)]
pub struct Backup {
    pub id: BackupId,
    pub app_id: AppId,
    pub addon_id: AddonId,
    pub addon_name: String,
    /// One of its app.
    pub number: u32,
    pub kind: BackupKind,
    pub state: BackupState,
    /// Of a restore: the dump it reads, and its name.
    pub source_id: Option<BackupId>,
    pub source_name: Option<String>,
    /// Who asked; empty for the schedule.
    pub by_email: String,
    /// How often it was begun.
    pub attempts: u32,
    pub database_bytes: u64,
    /// Bytes of the dump that were written or read so far.
    pub bytes: u64,
    pub rows: Option<u64>,
    pub verified_at: Option<Timestamp>,
    pub error: Option<String>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

impl Backup {
    /// `b001` for a dump by hand, `a002` for one of the schedule, `r003` for a restore.
    pub fn name(&self) -> String {
        let letter = match self.kind {
            BackupKind::Manual => 'b',
            BackupKind::Scheduled => 'a',
            BackupKind::Restore => 'r',
        };
        format!("{letter}{:03}", self.number)
    }

    pub fn is_dump(&self) -> bool {
        self.kind != BackupKind::Restore
    }

    /// A dump that can be downloaded and restored.
    pub fn is_good(&self) -> bool {
        self.is_dump() && self.state == BackupState::Completed
    }
}

/// How many good dumps of a database are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Made by hand.
    pub manual: usize,
    /// The newest of the schedule.
    pub daily: usize,
    /// Beyond those, the newest of a week.
    pub weekly: usize,
}

impl Retention {
    /// Of what has no backups.
    pub const NONE: Retention = Retention { manual: 0, daily: 0, weekly: 0 };
}

/// Failed dumps and restores that stay to be looked at.
const FAILED_KEPT: usize = 10;

/// Those of the backups of one database that are not kept any longer. What waits or runs is.
pub fn expired(backups: &[Backup], keep: Retention) -> Vec<BackupId> {
    let mut newest_first: Vec<&Backup> = backups.iter().filter(|one| one.finished_at.is_some()).collect();
    newest_first.sort_by_key(|one| std::cmp::Reverse((one.created_at, one.number)));
    let (mut manual, mut daily, mut rest, mut weeks) = (0, 0, 0, BTreeSet::new());
    let counted = |kept: &mut usize, most: usize| {
        *kept += 1;
        *kept <= most
    };
    let mut is_kept = |one: &Backup| match one.kind {
        BackupKind::Manual if one.is_good() => counted(&mut manual, keep.manual),
        BackupKind::Scheduled if one.is_good() => {
            if counted(&mut daily, keep.daily) {
                return true;
            }
            let week = one.created_at.to_jiff().to_zoned(TimeZone::UTC).date().iso_week_date();
            let week = (week.year(), week.week());
            weeks.len() < keep.weekly && weeks.insert(week)
        }
        _ => counted(&mut rest, FAILED_KEPT),
    };
    newest_first.into_iter().filter(|one| !is_kept(one)).map(|one| one.id).collect()
}

/// When a database is dumped by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupSchedule {
    pub addon_id: AddonId,
    /// 0 to 23.
    pub hour: u8,
    pub time_zone: String,
    pub next_at: Timestamp,
}

/// The hour and zone every database begins with.
pub const DEFAULT_HOUR: (u8, &str) = (3, "UTC");

/// What is wrong with a schedule.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScheduleFault {
    #[error("The hour of a backup schedule is a number from 0 to 23.")]
    Hour,
    #[error("`{0}` is no time zone. Use a name like UTC or Europe/Madrid.")]
    TimeZone(String),
}

/// A time zone by its name.
pub fn time_zone(name: &str) -> Result<TimeZone, ScheduleFault> {
    let fault = || ScheduleFault::TimeZone(name.chars().take(60).collect());
    if name.is_empty() || name.len() > 60 { Err(fault()) } else { TimeZone::get(name).map_err(|_| fault()) }
}

/// The next time after `now` at which it is `hour` o'clock there. An hour that a change of the clocks
/// leaves out is the one after it; one that comes twice counts once.
pub fn next_at(hour: u8, zone: &str, now: Timestamp) -> Result<Timestamp, ScheduleFault> {
    let hour = i8::try_from(hour).ok().filter(|hour| *hour < 24).ok_or(ScheduleFault::Hour)?;
    let (zone, at) = (time_zone(zone)?, civil::time(hour, 0, 0, 0));
    let today = now.to_jiff().to_zoned(zone.clone()).date();
    let days = [Ok(today), today.tomorrow(), today.tomorrow().and_then(|day| day.tomorrow())];
    let moments = days.into_iter().flatten().filter_map(|day| day.to_datetime(at).to_zoned(zone.clone()).ok());
    let mut moments = moments.map(|moment| Timestamp(moment.timestamp().as_millisecond()));
    moments.find(|moment| *moment > now).ok_or(ScheduleFault::Hour)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    const KEEP: Retention = Retention { manual: 2, daily: 7, weekly: 4 };

    fn backup(number: u32, kind: BackupKind, state: BackupState, day: i64) -> Backup {
        let at = Timestamp::from_secs(1_767_225_600 + day * DAY);
        Backup {
            id: BackupId::new(),
            app_id: AppId::new(),
            addon_id: AddonId::new(),
            addon_name: "postgresql-calm-1".into(),
            number,
            kind,
            state,
            source_id: None,
            source_name: None,
            by_email: String::new(),
            attempts: 1,
            database_bytes: 0,
            bytes: 0,
            rows: None,
            verified_at: None,
            error: None,
            created_at: at,
            started_at: Some(at),
            finished_at: (!matches!(state, BackupState::Pending | BackupState::Running)).then_some(at),
        }
    }

    #[test]
    fn seven_days_and_four_weeks_of_the_schedule_are_kept_and_two_by_hand() {
        let mut all: Vec<Backup> = (0..60).map(|day| backup(day as u32, BackupKind::Scheduled, BackupState::Completed, day)).collect();
        all.extend((60..64).map(|number| backup(number, BackupKind::Manual, BackupState::Completed, 10)));
        all.push(backup(64, BackupKind::Scheduled, BackupState::Running, 59));
        let gone = expired(&all, KEEP);
        let kept: Vec<u32> = all.iter().filter(|one| !gone.contains(&one.id)).map(|one| one.number).collect();
        // Day 0 is a Thursday: weeks begin on days 4, 11, 18 and so on; the newest of each is the day before.
        assert_eq!(kept, [31, 38, 45, 52, 53, 54, 55, 56, 57, 58, 59, 62, 63, 64]);
    }

    #[test]
    fn failures_do_not_push_good_dumps_out() {
        let mut all = vec![backup(1, BackupKind::Manual, BackupState::Completed, 0)];
        all.extend((2..20).map(|number| backup(number, BackupKind::Manual, BackupState::Failed, 1)));
        let gone = expired(&all, KEEP);
        assert!(!gone.contains(&all[0].id));
        assert_eq!(gone.len(), 18 - FAILED_KEPT);
    }

    #[test]
    fn a_schedule_keeps_its_hour_through_summer_time() {
        let at = |text: &str| Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        let next = |hour, zone, now: &str| next_at(hour, zone, at(now)).map(|at| at.to_string());
        assert_eq!(next(3, "UTC", "2026-01-01T03:00:00Z"), Ok("2026-01-02T03:00:00Z".into()), "strictly after");
        assert_eq!(next(4, "Europe/Madrid", "2026-03-28T12:00:00Z"), Ok("2026-03-29T02:00:00Z".into()));
        assert_eq!(next(4, "Europe/Madrid", "2026-03-27T12:00:00Z"), Ok("2026-03-28T03:00:00Z".into()));
        assert_eq!(next(2, "Europe/Madrid", "2026-03-28T12:00:00Z"), Ok("2026-03-29T01:00:00Z".into()), "02:00 is left out");
        assert_eq!(next(2, "Europe/Madrid", "2026-10-24T12:00:00Z"), Ok("2026-10-25T00:00:00Z".into()), "02:00 comes twice");
        assert_eq!(next(2, "Europe/Madrid", "2026-10-25T00:00:00Z"), Ok("2026-10-26T01:00:00Z".into()));
        assert_eq!(next(24, "UTC", "2026-01-01T00:00:00Z"), Err(ScheduleFault::Hour));
        assert!(next(2, "Marte", "2026-01-01T00:00:00Z").is_err());
    }

    #[test]
    fn names_tell_kind_and_number() {
        let name = |kind| backup(7, kind, BackupState::Completed, 0).name();
        assert_eq!([BackupKind::Manual, BackupKind::Scheduled, BackupKind::Restore].map(name), ["b007", "a007", "r007"]);
    }
}
