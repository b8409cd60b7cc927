//! SQLite: `open` gives a `Writer` (one connection, `BEGIN IMMEDIATE`) and a `Reader` (a read-only
//! pool). One file a table; every query is checked at build time. Never hold the writer over a
//! network await.

mod open;

pub use open::{Reader, StoreError, Writer, open};
