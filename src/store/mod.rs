//! SQLite: `open` gives a `Writer` (one connection, `BEGIN IMMEDIATE`) and a `Reader` (a read-only
//! pool). One file a table; every query is checked at build time. Never hold the writer over a
//! network await.

pub mod access;
mod awake_spans;
mod events;
mod open;
mod slugs;
pub mod apps;
pub mod config_sets;
pub mod formation;
pub mod releases;

pub use open::{Reader, StoreError, Writer, open};
