//! Plans: every limit of an app as data.

use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// How an app rests when its idle time is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SleepBy {
    /// Its dynos are stopped; the next request starts them.
    #[default]
    Stop,
    /// Its dynos run on with their memory paged out. Where the host has no swap they are stopped.
    Nap,
}

impl SleepBy {
    pub fn as_str(self) -> &'static str {
        match self {
            SleepBy::Stop => "stop",
            SleepBy::Nap => "nap",
        }
    }
}

impl std::str::FromStr for SleepBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "stop" => Ok(SleepBy::Stop),
            "nap" => Ok(SleepBy::Nap),
            other => Err(format!("`{}` is no way to sleep: say stop or nap.", other.chars().take(80).collect::<String>())),
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
    /// Awake time allowed in any `quota_window`.
    pub awake_limit: Duration,
    pub quota_window: Duration,
    /// The rest that follows a used-up quota. At least `quota_window - awake_limit`.
    pub rest: Duration,
    /// Apps of one account.
    pub apps_per_account: u32,
    /// Wall time of one build.
    pub build_timeout: Duration,
}

impl Plan {
    pub fn free() -> Plan {
        Plan {
            name: "free".to_owned(),
            memory_bytes: 512 * 1024 * 1024,
            dynos_per_type: 1,
            process_types: 2,
            idle_after: Duration::from_secs(30 * 60),
            nap_after: Some(Duration::from_secs(60)),
            sleep_by: SleepBy::Stop,
            awake_limit: 18 * HOUR,
            quota_window: 24 * HOUR,
            rest: 6 * HOUR,
            apps_per_account: 5,
            build_timeout: Duration::from_secs(15 * 60),
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
}
