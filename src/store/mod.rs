//! SQLite: `open` gives a `Writer` (one connection, `BEGIN IMMEDIATE`) and a `Reader` (a read-only
//! pool). One file a table; every query is checked at build time. Never hold the writer over a
//! network await.

pub mod app_activity;
pub mod apps;
mod awake_spans;
pub mod builds;
pub mod config_sets;
mod events;
pub mod formation;
mod open;
pub mod releases;
mod slugs;
pub mod sources;

pub use open::{Reader, StoreError, Writer, open};
