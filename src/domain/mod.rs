//! What things are and what follows from them. No async, no I/O, no clock.
//!
//! Types here have one constructor that parses; a value that exists is valid. `sqlx::Type` and
//! `serde` are derived so that the edges can carry them; nothing here talks to either.

pub mod app;
pub mod build;
pub mod config_var;
pub mod dyno;
pub mod error_code;
pub mod formation;
pub mod id;
pub mod log_line;
pub mod plan;
pub mod procfile;
pub mod quota;
pub mod reconcile;
pub mod release;
pub mod sleep;
pub mod slug;
pub mod time;
pub mod user;

pub use app::{AppName, AppNameError};
pub use build::BuildStatus;
pub use config_var::{ConfigKey, ConfigVars};
pub use dyno::{DynoName, DynoState};
pub use error_code::ErrorCode;
pub use formation::ProcessType;
pub use id::*;
pub use log_line::LogLine;
pub use plan::Plan;
pub use procfile::Procfile;
pub use release::{ReleaseStatus, Version};
pub use time::Timestamp;
pub use user::Email;
