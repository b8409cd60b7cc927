//! SQLite: `open` gives a `Writer` (one connection, `BEGIN IMMEDIATE`) and a `Reader` (a read-only
//! pool). One file a table; every query is checked at build time. Never hold the writer over a
//! network await.

pub mod addon_attachments;
pub mod addon_bin;
pub mod addons;
pub mod app_activity;
pub mod app_bin;
mod app_buildpacks;
mod app_features;
pub mod apps;
pub mod audit;
mod awake_spans;
pub mod backup_schedules;
pub mod backups;
mod build_caches;
pub mod builds;
mod collaborators;
pub mod config_sets;
pub mod database_servers;
pub mod deliveries;
mod domains;
mod events;
pub mod formation;
pub mod git_builds;
pub mod github_accounts;
pub mod github_registration;
mod keyvalue_stores;
pub mod letters;
pub mod log_drains;
pub mod one_offs;
pub mod one_time_links;
mod open;
mod pipelines;
mod plans;
pub mod releases;
pub mod repository_links;
mod scheduler_jobs;
pub mod second_factors;
pub mod sessions;
pub mod settings;
mod slugs;
pub mod sources;
mod tokens;
mod transfers;
pub mod usage_slots;
pub mod users;
pub mod webhooks;

pub(crate) use open::one_writer;
pub use open::{Reader, StoreError, Writer, look, open};
