//! Jobs of the scheduler: when they run, by the clock on the wall of a time zone.

use std::time::Duration;

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};

use crate::domain::{AddonId, AppId, DynoId, JobId, Timestamp, backup::time_zone};

/// Between two runs of a job lie at least so many minutes.
pub const SHORTEST: Duration = Duration::from_secs(600);
/// A run that could not begin this long after its time is missed.
pub const LATE: Duration = Duration::from_secs(300);
/// Jobs of one add-on.
pub const PER_ADDON: u32 = 20;
/// The process type of their dynos.
pub const PROCESS_TYPE: &str = "scheduler";
/// Longest command.
const COMMAND_BYTES: usize = 2000;
/// Runs that are looked at when they are counted or their distance is measured.
const LOOKED_AT: usize = 1000;

/// What is wrong with a job.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JobFault {
    #[error("Say what to run: a command of one line, at most {COMMAND_BYTES} characters.")]
    Command,
    #[error("`{0}` is no cron expression of five fields (minute, hour, day, month, weekday) that comes again.")]
    Cron(String),
    #[error("A job runs every 10 minutes at most.")]
    TooOften,
    #[error("`{0}` is no time zone. Use a name like UTC or Europe/Madrid.")]
    TimeZone(String),
}

/// A job with its last run.
#[derive(Clone, PartialEq, Debug)]
pub struct Job {
    pub id: JobId,
    pub app_id: AppId,
    pub addon_id: AddonId,
    pub command: String,
    pub cron: String,
    pub time_zone: String,
    pub next_at: Timestamp,
    /// Runs that fell into a time in which the server was down.
    pub missed: u32,
    pub dyno_id: Option<DynoId>,
    pub dyno_name: Option<String>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub exit_code: Option<i64>,
    pub error: Option<String>,
}

impl Job {
    /// Its last run has not ended.
    pub fn runs(&self) -> bool {
        self.started_at.is_some() && self.finished_at.is_none()
    }
}

/// A checked command.
///
/// # Errors
/// When it is empty, too long, or more than a line.
pub fn command(text: &str) -> Result<String, JobFault> {
    let text = text.trim();
    let valid = !text.is_empty() && text.len() <= COMMAND_BYTES && !text.contains(['\n', '\r', '\0']);
    if valid { Ok(text.to_owned()) } else { Err(JobFault::Command) }
}

/// When a job runs.
#[derive(Clone, Debug)]
pub struct Timetable {
    cron: Cron,
    zone: jiff::tz::TimeZone,
}

impl Timetable {
    /// From a cron expression of five fields and the name of a time zone.
    ///
    /// # Errors
    /// When either is none, or runs would lie closer than ten minutes.
    pub fn parse(cron: &str, zone: &str, now: Timestamp) -> Result<Timetable, JobFault> {
        let fault = || JobFault::Cron(cron.chars().take(60).collect());
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        if cron.len() > 100 || cron.split_whitespace().count() != 5 {
            return Err(fault());
        }
        let zone = time_zone(zone).map_err(|_| JobFault::TimeZone(zone.chars().take(60).collect()))?;
        let table = Timetable { cron: parser.parse(cron).map_err(|_| fault())?, zone };
        let mut before = table.next_after(now).ok_or_else(fault)?;
        for _ in 0..200 {
            let Some(next) = table.next_after(before) else { break };
            if next.since(before) < SHORTEST {
                return Err(JobFault::TooOften);
            }
            before = next;
        }
        Ok(table)
    }

    /// The next time strictly after `now`. A time that a change of the clocks leaves out comes when the
    /// clocks have changed; one that comes twice counts once, unless the job runs every hour.
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        let next = self.cron.find_next_occurrence(&now.to_jiff().to_zoned(self.zone.clone()), false).ok()?;
        Some(Timestamp(next.timestamp().as_millisecond()))
    }

    /// How many times lie from `first` on up to `now`, at most a thousand.
    pub fn times(&self, first: Timestamp, now: Timestamp) -> usize {
        let following = std::iter::successors(Some(first), |at| self.next_after(*at));
        following.take(LOOKED_AT).take_while(|at| *at <= now).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    /// The next times after a moment, in UTC.
    fn next(cron: &str, zone: &str, now: &str, count: usize) -> Vec<String> {
        let table = Timetable::parse(cron, zone, at(now)).unwrap();
        let times = std::iter::successors(table.next_after(at(now)), |at| table.next_after(*at));
        times.take(count).map(|at| at.to_string()).collect()
    }

    #[test]
    fn ten_minutes_hours_and_days_come_in_their_turn() {
        assert_eq!(next("*/10 * * * *", "UTC", "2026-01-01T00:00:00Z", 2), ["2026-01-01T00:10:00Z", "2026-01-01T00:20:00Z"]);
        assert_eq!(next("30 * * * *", "UTC", "2026-01-01T00:30:00Z", 1), ["2026-01-01T01:30:00Z"], "strictly after");
        assert_eq!(next("0 9 * * 1", "Europe/Madrid", "2026-01-01T00:00:00Z", 1), ["2026-01-05T08:00:00Z"], "a Monday in Madrid");
    }

    #[test]
    fn a_daily_job_runs_once_on_the_days_on_which_clocks_change() {
        let spring = next("30 2 * * *", "Europe/Madrid", "2026-03-28T12:00:00Z", 2);
        assert_eq!(spring, ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"], "02:30 is left out: it runs at 03:00");
        let autumn = next("30 2 * * *", "Europe/Madrid", "2026-10-24T12:00:00Z", 2);
        assert_eq!(autumn, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"], "02:30 comes twice: it runs once");
        let noon = next("0 12 * * *", "Europe/Madrid", "2026-03-28T00:00:00Z", 2);
        assert_eq!(noon, ["2026-03-28T11:00:00Z", "2026-03-29T10:00:00Z"], "noon is noon");
    }

    #[test]
    fn a_job_of_every_ten_minutes_runs_through_the_hour_that_comes_twice() {
        let times = next("*/10 * * * *", "Europe/Madrid", "2026-10-24T23:55:00Z", 14);
        let gaps: Vec<_> = times.windows(2).map(|pair| at(&pair[1]).since(at(&pair[0]))).collect();
        assert!(gaps.iter().all(|gap| *gap == SHORTEST), "{times:?}");
        let spring = next("*/10 * * * *", "Europe/Madrid", "2026-03-29T00:45:00Z", 4);
        let gaps: Vec<_> = spring.windows(2).map(|pair| at(&pair[1]).since(at(&pair[0]))).collect();
        assert!(gaps.iter().all(|gap| *gap == SHORTEST), "{spring:?}");
    }

    #[test]
    fn what_is_no_timetable_or_too_often_is_refused() {
        let parse = |cron, zone| Timetable::parse(cron, zone, at("2026-01-01T00:00:00Z")).map(drop);
        for cron in ["* * * * *", "*/5 * * * *", "0,5 * * * *", "59,0 * * * *"] {
            assert_eq!(parse(cron, "UTC"), Err(JobFault::TooOften), "{cron}");
        }
        for cron in ["", "x", "0 0 * *", "0 0 0 * * *", "@daily", "61 * * * *", "0 0 30 2 *"] {
            assert!(matches!(parse(cron, "UTC"), Err(JobFault::Cron(_))), "{cron}");
        }
        assert!(matches!(parse("0 0 * * *", "Marte"), Err(JobFault::TimeZone(_))));
        assert!(command(" ").is_err() && command("a\nb").is_err() && command(&"a".repeat(2001)).is_err());
        assert_eq!(command(" python a.py "), Ok("python a.py".to_owned()));
    }

    #[test]
    fn missed_times_are_counted() {
        let table = Timetable::parse("0 * * * *", "UTC", at("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(table.times(at("2026-01-01T01:00:00Z"), at("2026-01-01T05:30:00Z")), 5);
        assert_eq!(table.times(at("2026-01-01T01:00:00Z"), at("2026-01-01T00:59:00Z")), 0);
        assert_eq!(table.times(at("2026-01-01T01:00:00Z"), at("2027-01-01T00:59:00Z")), LOOKED_AT);
    }
}
