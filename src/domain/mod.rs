//! What things are and what follows from them. No async, no I/O, no clock.
//!
//! Types here have one constructor that parses; a value that exists is valid. `sqlx::Type` and
//! `serde` are derived so that the edges can carry them; nothing here talks to either.

pub mod addon;
pub mod app;
pub mod audit;
pub mod backup;
pub mod build;
pub mod capacity;
pub mod config_var;
pub mod crash;
pub mod cycle;
pub mod dotenv;
pub mod dyno;
pub mod error_code;
pub mod event;
pub mod feature;
pub mod formation;
pub mod git;
pub mod hint;
pub mod hostname;
pub mod id;
pub mod job;
pub mod log_line;
pub mod memory;
pub mod network;
pub mod one_off;
pub mod pipeline;
pub mod plan;
pub mod procfile;
pub mod quota;
pub mod reconcile;
pub mod release;
pub mod sleep;
pub mod slug;
pub mod time;
pub mod user;
pub mod webhook;

pub use app::{AppName, AppNameError};
pub use build::BuildStatus;
pub use config_var::{ConfigKey, ConfigVars};
pub use dyno::{DynoName, DynoState};
pub use error_code::ErrorCode;
pub use formation::ProcessType;
pub use git::{BranchName, CommitSha, RepoName};
pub use id::*;
pub use log_line::LogLine;
pub use plan::{Holder, Plan, QuotaKind, SleepBy};
pub use procfile::Procfile;
pub use release::{ReleaseStatus, Version};
pub use time::Timestamp;
pub use user::{Email, Role};

#[cfg(test)]
mod properties;

/// How many cases a property test runs: ten times as many with `SIESTA_TEST_SOAK`. `PROPTEST_CASES` sets
/// one number for all of them.
#[cfg(test)]
pub(crate) fn test_cases(cases: u32) -> u32 {
    if std::env::var_os("SIESTA_TEST_SOAK").is_some() { cases.saturating_mul(10) } else { cases }
}
