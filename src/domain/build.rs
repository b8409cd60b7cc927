//! Builds: states, phases.

use crate::domain::Timestamp;

/// Where a build stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(rename_all = "lowercase")]
pub enum BuildStatus {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl BuildStatus {
    /// The word Heroku's API has for it: `pending`, `succeeded` or `failed`.
    pub fn api_word(self) -> &'static str {
        match self {
            BuildStatus::Queued | BuildStatus::Running => "pending",
            BuildStatus::Succeeded => "succeeded",
            BuildStatus::Failed | BuildStatus::Cancelled => "failed",
        }
    }

    /// No more output will come.
    pub fn is_finished(self) -> bool {
        !matches!(self, BuildStatus::Queued | BuildStatus::Running)
    }
}

/// One timed part of a build, shown as a bar: Receive, Install, Image, Release, Start.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Phase {
    pub name: String,
    /// Milliseconds since the epoch.
    pub started_at: i64,
    pub finished_at: Option<i64>,
}

impl Phase {
    pub fn begun(name: &str, now: Timestamp) -> Phase {
        Phase { name: name.to_owned(), started_at: now.millis(), finished_at: None }
    }
}
