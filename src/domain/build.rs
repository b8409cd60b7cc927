//! Builds: states, phases.

use crate::domain::{AppId, BuildId, ReleaseId, SlugId, Timestamp, UserId};

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

/// One build as the store holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Build {
    pub id: BuildId,
    pub app_id: AppId,
    pub user_id: Option<UserId>,
    pub user_email: String,
    pub status: BuildStatus,
    pub source_url: String,
    pub source_version: Option<String>,
    pub stack: String,
    /// One sentence: what is wrong and what to do.
    pub error: Option<String>,
    pub phases: Vec<Phase>,
    pub slug_id: Option<SlugId>,
    pub release_id: Option<ReleaseId>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}
