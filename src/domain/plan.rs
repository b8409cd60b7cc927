//! Plans: every limit of an app as data.

use std::time::Duration;

use crate::domain::{AppId, UserId};

const HOUR: Duration = Duration::from_secs(3600);
const MIB: i64 = 1024 * 1024;

/// How an app rests when its idle time is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, sqlx::Type, serde::Serialize, serde::Deserialize)]
#[sqlx(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum SleepBy {
    /// Its dynos are stopped; the next request starts them.
    #[default]
    Stop,
    /// Its dynos run on with their memory paged out. Where the host has no swap they are stopped.
    Nap,
    /// It does not.
    Never,
}

impl SleepBy {
    pub fn as_str(self) -> &'static str {
        match self {
            SleepBy::Stop => "stop",
            SleepBy::Nap => "nap",
            SleepBy::Never => "never",
        }
    }
}

impl std::str::FromStr for SleepBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "stop" => Ok(SleepBy::Stop),
            "nap" => Ok(SleepBy::Nap),
            "never" => Ok(SleepBy::Never),
            other => Err(format!("`{}` is no way to sleep: say stop, nap or never.", other.chars().take(80).collect::<String>())),
        }
    }
}

/// How time awake is limited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, sqlx::Type, serde::Serialize, serde::Deserialize)]
#[sqlx(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum QuotaKind {
    /// Per app: `awake_limit` in any `quota_window`, then `rest`.
    #[default]
    Daily,
    /// Per account: `monthly_pool` of dyno time in a calendar month (UTC).
    Monthly,
    None,
}

impl std::str::FromStr for QuotaKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "daily" => Ok(QuotaKind::Daily),
            "monthly" => Ok(QuotaKind::Monthly),
            "none" => Ok(QuotaKind::None),
            other => Err(format!("`{}` is no kind of quota: say daily, monthly or none.", other.chars().take(80).collect::<String>())),
        }
    }
}

/// What an app may use. `Plan::free()` is Heroku's free tier (heroku.md 1.6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    pub name: String,
    /// Memory cap of one dyno, in bytes.
    pub memory_bytes: i64,
    /// Dynos of one process type.
    pub dynos_per_type: u32,
    /// Process types with a dyno running at once.
    pub process_types: u32,
    /// Without web traffic for this long an app falls asleep.
    pub idle_after: Duration,
    /// Without web traffic for this long an awake app's memory is paged out while it runs on, and
    /// it still counts as awake. None: never.
    pub nap_after: Option<Duration>,
    pub sleep_by: SleepBy,
    pub quota: QuotaKind,
    /// Awake time allowed in any `quota_window`.
    pub awake_limit: Duration,
    pub quota_window: Duration,
    /// The rest that follows a used-up quota. At least `quota_window - awake_limit`.
    pub rest: Duration,
    /// Dyno time of all apps of an account in a calendar month.
    pub monthly_pool: Duration,
    /// Rows of a database.
    pub rows: u32,
    /// Apps of one account.
    pub apps_per_account: u32,
    /// Wall time of one build.
    pub build_timeout: Duration,
    /// Memory cap of a build container, in bytes.
    pub build_memory_bytes: i64,
}

/// Why a plan cannot be so.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
pub enum PlanFault {
    #[error("A plan's name is 1 to 30 lower-case letters, digits and dashes, and begins with a letter.")]
    Name,
    #[error("{0} must be between {1} and {2}.")]
    Range(&'static str, f64, f64),
    #[error("The rest must be at least the window minus the awake time: with less, old hours would still count when it ends.")]
    ShortRest,
    #[error("The awake time cannot be longer than its window. For a plan without a quota say --quota none.")]
    AwakeOverWindow,
}

impl Plan {
    /// The name of the plan that everybody has who was not given another.
    pub const FREE: &'static str = "free";

    pub fn free() -> Plan {
        Plan {
            name: Plan::FREE.to_owned(),
            memory_bytes: 512 * MIB,
            dynos_per_type: 1,
            process_types: 2,
            idle_after: Duration::from_secs(30 * 60),
            nap_after: Some(Duration::from_secs(60)),
            sleep_by: SleepBy::Stop,
            quota: QuotaKind::Daily,
            awake_limit: 18 * HOUR,
            quota_window: 24 * HOUR,
            rest: 6 * HOUR,
            monthly_pool: 550 * HOUR,
            rows: 10_000,
            apps_per_account: 5,
            build_timeout: Duration::from_secs(15 * 60),
            build_memory_bytes: 2048 * MIB,
        }
    }

    /// Checks that the limits can be kept and go together.
    ///
    /// # Errors
    /// The first thing that is wrong, as a sentence.
    pub fn check(&self) -> Result<(), PlanFault> {
        let letters = self.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !letters || self.name.len() > 30 || !self.name.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(PlanFault::Name);
        }
        let megabytes = |bytes: i64| bytes as f64 / MIB as f64;
        let hours = |time: Duration| time.as_secs_f64() / 3600.0;
        let second = 1.0 / 3600.0;
        for (what, value, least, most) in [
            ("Memory (MB)", megabytes(self.memory_bytes), 16.0, 1_048_576.0),
            ("Dynos of a process type", f64::from(self.dynos_per_type), 1.0, 100.0),
            ("Process types at once", f64::from(self.process_types), 1.0, 100.0),
            ("The idle time (minutes)", self.idle_after.as_secs_f64() / 60.0, 0.01, 525_600.0),
            ("The awake time (hours)", hours(self.awake_limit), second / 10.0, 8_760.0),
            ("The window (hours)", hours(self.quota_window), second, 8_760.0),
            ("The rest (hours)", hours(self.rest), 0.0, 8_760.0),
            ("The monthly pool (hours)", hours(self.monthly_pool), second, 1_000_000.0),
            ("Rows", f64::from(self.rows), 0.0, 1_000_000_000.0),
            ("Apps of an account", f64::from(self.apps_per_account), 0.0, 100_000.0),
            ("The time of a build (minutes)", self.build_timeout.as_secs_f64() / 60.0, 0.01, 1_440.0),
            ("The memory of a build (MB)", megabytes(self.build_memory_bytes), 64.0, 1_048_576.0),
        ] {
            if !(least..=most).contains(&value) {
                return Err(PlanFault::Range(what, least, most));
            }
        }
        if self.quota != QuotaKind::Daily {
            return Ok(());
        }
        if self.awake_limit > self.quota_window {
            return Err(PlanFault::AwakeOverWindow);
        }
        if self.rest < self.quota_window - self.awake_limit {
            return Err(PlanFault::ShortRest);
        }
        Ok(())
    }

    /// What may be used of the quota in all. None: there is no quota.
    pub fn quota_time(&self) -> Option<Duration> {
        match self.quota {
            QuotaKind::Daily => Some(self.awake_limit).filter(|limit| *limit < self.quota_window),
            QuotaKind::Monthly => Some(self.monthly_pool),
            QuotaKind::None => None,
        }
    }

    /// The size word that API and log lines print: `Free`.
    pub fn size_word(&self) -> String {
        let mut word = self.name.clone();
        if let Some(first) = word.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        word
    }

    /// Whole MiB of one dyno.
    pub fn megabytes(&self) -> i64 {
        self.memory_bytes / MIB
    }
}

/// Whom a plan is given to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    App(AppId),
    Account(UserId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_free_plan_is_sound_and_called_free() {
        assert_eq!(Plan::free().check(), Ok(()));
        assert_eq!(Plan::free().size_word(), "Free");
    }

    #[test]
    fn a_rest_too_short_for_its_window_is_refused() {
        let second = Duration::from_secs(1);
        let plan = Plan { rest: 6 * HOUR - second, ..Plan::free() };
        assert_eq!(plan.check(), Err(PlanFault::ShortRest));
        assert_eq!(Plan { quota: QuotaKind::None, ..plan }.check(), Ok(()), "without a daily quota the rest does not matter");
        assert_eq!(Plan { awake_limit: 25 * HOUR, ..Plan::free() }.check(), Err(PlanFault::AwakeOverWindow));
    }

    #[test]
    fn limits_nobody_can_keep_are_refused_by_name() {
        for name in ["", "Free", "9", "-a", "a b", "a/b", &"a".repeat(31)] {
            assert_eq!(Plan { name: name.to_owned(), ..Plan::free() }.check(), Err(PlanFault::Name), "{name}");
        }
        let refused = |plan: Plan| plan.check().expect_err("refused").to_string();
        assert_eq!(refused(Plan { memory_bytes: MIB, ..Plan::free() }), "Memory (MB) must be between 16 and 1048576.");
        assert_eq!(refused(Plan { dynos_per_type: 0, ..Plan::free() }), "Dynos of a process type must be between 1 and 100.");
        assert!(refused(Plan { idle_after: Duration::ZERO, ..Plan::free() }).starts_with("The idle time"));
    }
}
