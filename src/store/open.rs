//! Opening the database: pools, pragmas, migrations with a copy made before.

use std::{path::Path, time::Duration};

use sqlx::{
    Sqlite, SqlitePool, Transaction,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("The database failed: {0}")]
    Database(#[from] sqlx::Error),
    #[error("The database could not be brought to this version: {0}")]
    Migration(#[from] MigrateError),
}

impl StoreError {
    /// The constraint a write ran into, as `table.column`, if it was a unique one.
    pub fn unique_violation(&self) -> Option<String> {
        match self {
            StoreError::Database(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                error.message().rsplit(": ").next().map(|list| list.split(", ").last().unwrap_or(list).to_owned())
            }
            _ => None,
        }
    }
}

/// Reads only. Pages and API hold nothing else.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) pool: SqlitePool,
}

/// The one writer. Cheap to clone; all clones share one connection.
#[derive(Clone, Debug)]
pub struct Writer {
    pool: SqlitePool,
}

impl Writer {
    /// Begins a transaction that holds the write lock from its first moment.
    pub async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// The pool of one connection, for single statements.
    pub(crate) fn pool(&self) -> &SqlitePool {
        &self.pool
    }
}

/// Opens or makes the database at `path` and migrates it. `synchronous=FULL`: an acknowledged
/// release survives a power loss.
pub async fn open(path: &Path) -> Result<(Reader, Writer), StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5));
    let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
    MIGRATIONS.run(&writer).await?;
    let reader = SqlitePoolOptions::new().max_connections(4).connect_with(options.create_if_missing(false).read_only(true)).await?;
    Ok((Reader { pool: reader }, Writer { pool: writer }))
}
