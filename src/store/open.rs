//! Opening the database: pools, pragmas, migrations with a copy made before.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _, Sqlite, SqliteConnection, SqlitePool, Transaction,
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
    #[error("The database {path} is damaged ({found}). Nothing was changed. Restore it from a backup.")]
    Damaged { path: PathBuf, found: String },
    #[error(
        "The database {path} was made by a newer Siesta (schema {found}; this one knows {known}). \
         Nothing was changed. Start that version again, or restore a backup from before."
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("The copy of the database before the migration could not be made at {path}: {source}")]
    Copy { path: PathBuf, source: std::io::Error },
}

impl StoreError {
    /// The disk is full: the write that ran into it changed nothing.
    pub fn is_disk_full(&self) -> bool {
        let StoreError::Database(error) = self else { return false };
        match error {
            // SQLITE_FULL, and the same met while a file of the database grows.
            sqlx::Error::Database(error) => error.code().is_some_and(|code| ["13", "778", "4874"].contains(&code.as_ref())),
            sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::StorageFull,
            _ => false,
        }
    }

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

impl Reader {
    /// Writes a whole copy of the database, as it is at one moment, while others read and write. A
    /// file that is there already is refused.
    pub async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        sqlx::query("vacuum into ?").bind(path.display().to_string()).execute(&self.pool).await?;
        Ok(())
    }

    /// Reads a copy made by `copy_to`.
    pub async fn of_copy(path: &Path) -> Result<Reader, StoreError> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(true);
        Ok(Reader { pool: SqlitePoolOptions::new().max_connections(1).connect_with(options).await? })
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// What SQLite finds wrong with the database; None when it is sound.
    pub async fn damage(&self) -> Result<Option<String>, StoreError> {
        let found: String = sqlx::query_scalar("pragma quick_check(1)").fetch_one(&self.pool).await?;
        Ok((found != "ok").then_some(found))
    }
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

    /// Ends its connection. Closed last, it leaves the database in one file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// The pool of one connection, for single statements.
    pub(crate) fn pool(&self) -> &SqlitePool {
        &self.pool
    }
}

/// Opens or makes the database at `path` and migrates it. `synchronous=FULL`: an acknowledged
/// release survives a power loss.
///
/// A database that is there is checked first, and copied to `<path>.before-<version>` when it has
/// migrations to come. One that is damaged, or newer than this program, is refused untouched.
pub async fn open(path: &Path) -> Result<(Reader, Writer), StoreError> {
    open_with(path, &MIGRATIONS).await
}

/// A pool of one connection. When the disk is full SQLite ends a transaction by itself, and the client
/// goes on to count it as open: such a connection is replaced before it is used again.
pub(crate) fn one_writer() -> SqlitePoolOptions {
    let whole = |connection: &mut SqliteConnection| !connection.is_in_transaction();
    SqlitePoolOptions::new().max_connections(1).before_acquire(move |connection, _| {
        let whole = whole(connection);
        Box::pin(async move { Ok(whole) })
    })
}

/// Reads an existing database as it is: nothing is made, migrated or copied.
///
/// # Errors
/// When it is no database, or was made by a newer program.
pub async fn look(path: &Path) -> Result<Reader, StoreError> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(Duration::from_secs(5));
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    let applied = applied_versions(&mut *pool.acquire().await?).await?;
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    match applied.last() {
        Some(found) if *found > newest => Err(StoreError::Newer { path: path.to_owned(), found: *found, known: newest }),
        _ => Ok(Reader { pool }),
    }
}

async fn open_with(path: &Path, migrator: &Migrator) -> Result<(Reader, Writer), StoreError> {
    if path.metadata().is_ok_and(|file| file.len() > 0) {
        inspect(path, migrator).await?;
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5));
    let writer = one_writer().connect_with(options.clone()).await?;
    migrator.run(&writer).await?;
    let reader = SqlitePoolOptions::new().max_connections(4).connect_with(options.create_if_missing(false).read_only(true)).await?;
    Ok((Reader { pool: reader }, Writer { pool: writer }))
}

/// Looks at an existing database through a connection that cannot write.
async fn inspect(path: &Path, migrator: &Migrator) -> Result<(), StoreError> {
    let damaged = |found: String| StoreError::Damaged { path: path.to_owned(), found };
    let mut database = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(Duration::from_secs(5)).connect().await?;
    let found: Result<String, sqlx::Error> = sqlx::query_scalar("pragma quick_check(1)").fetch_one(&mut database).await;
    match found {
        Ok(found) if found == "ok" => {}
        Ok(found) => return Err(damaged(found)),
        Err(sqlx::Error::Database(error)) => return Err(damaged(error.message().to_owned())),
        Err(error) => return Err(error.into()),
    }
    let known: BTreeSet<i64> = migrator.iter().map(|migration| migration.version).collect();
    let applied = applied_versions(&mut database).await?;
    let newest = known.last().copied().unwrap_or(0);
    if let Some(found) = applied.difference(&known).last() {
        return Err(StoreError::Newer { path: path.to_owned(), found: *found, known: newest });
    }
    if !applied.is_empty() && applied != known {
        copy(&mut database, path, newest).await?;
    }
    database.close().await?;
    Ok(())
}

async fn applied_versions(database: &mut SqliteConnection) -> Result<BTreeSet<i64>, StoreError> {
    let migrated: bool =
        sqlx::query_scalar("select exists (select 1 from sqlite_master where name = '_sqlx_migrations')").fetch_one(&mut *database).await?;
    if !migrated {
        return Ok(BTreeSet::new());
    }
    Ok(sqlx::query_scalar("select version from _sqlx_migrations").fetch_all(database).await?.into_iter().collect())
}

/// A whole copy under its final name, or none.
async fn copy(database: &mut SqliteConnection, path: &Path, version: i64) -> Result<(), StoreError> {
    let beside = |suffix: String| PathBuf::from(format!("{}{suffix}", path.display()));
    let (part, copy) = (beside(".copying".to_owned()), beside(format!(".before-{version}")));
    let failed = |source| StoreError::Copy { path: copy.clone(), source };
    match std::fs::remove_file(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    sqlx::query("vacuum into ?").bind(part.display().to_string()).execute(database).await?;
    std::fs::rename(&part, &copy).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Our migrations and one more, which fails or not.
    async fn with_one_more(folder: &Path, sql: &str) -> Migrator {
        let migrations = folder.join("migrations");
        fs::create_dir(&migrations).unwrap();
        for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, migrations.join(path.file_name().unwrap())).unwrap();
            }
        }
        fs::write(migrations.join("8000_more.sql"), sql).unwrap();
        Migrator::new(migrations).await.unwrap()
    }

    async fn made(folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("siesta.db");
        let (reader, writer) = open(&path).await.unwrap();
        let mut tx = writer.begin().await.unwrap();
        sqlx::query("insert into settings (key, value) values ('kept', 'yes')").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        close(reader, writer).await;
        path
    }

    async fn close(reader: Reader, writer: Writer) {
        reader.close().await;
        writer.close().await;
    }

    async fn kept(reader: &Reader) -> Option<String> {
        sqlx::query_scalar("select value from settings where key = 'kept'").fetch_optional(&reader.pool).await.unwrap()
    }

    #[tokio::test]
    async fn what_was_committed_is_there_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = made(&folder).await;
        let (reader, writer) = open(&path).await.unwrap();
        assert_eq!(kept(&reader).await.as_deref(), Some("yes"));
        let id = writer.instance_id().await.unwrap();
        assert!(id.len() == 12 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{id}");
        assert_eq!(writer.instance_id().await.unwrap(), id);
        let (_, second) = open(&path).await.expect("a second opening while the first is open");
        assert_eq!(second.instance_id().await.unwrap(), id);
        assert!(!folder.path().join("siesta.db.before-8000").exists(), "nothing to migrate, nothing to copy");
    }

    #[tokio::test]
    async fn the_reader_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let (reader, _writer) = open(&made(&folder).await).await.unwrap();
        let error = sqlx::query("delete from settings").execute(&reader.pool).await.unwrap_err();
        assert!(error.to_string().contains("readonly"), "{error}");
        assert_eq!(kept(&reader).await.as_deref(), Some("yes"));
    }

    #[tokio::test]
    async fn the_writer_syncs_fully_and_holds_foreign_keys() {
        let folder = tempfile::tempdir().unwrap();
        let (_, writer) = open(&made(&folder).await).await.unwrap();
        let pragma = async |name: &'static str| sqlx::query_scalar::<_, i64>(name).fetch_one(writer.pool()).await.unwrap();
        assert_eq!(pragma("pragma synchronous").await, 2);
        assert_eq!(pragma("pragma foreign_keys").await, 1);
        let mode: String = sqlx::query_scalar("pragma journal_mode").fetch_one(writer.pool()).await.unwrap();
        assert_eq!(mode, "wal");
        let orphan = "insert into awake_spans (app_id, started_at) values (x'00', 0)";
        assert!(sqlx::query(orphan).execute(writer.pool()).await.unwrap_err().to_string().contains("FOREIGN KEY"));
    }

    #[tokio::test]
    async fn a_database_with_migrations_to_come_is_copied_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = made(&folder).await;
        let migrator = with_one_more(folder.path(), "create table more (n integer) strict; delete from settings;").await;
        let (reader, writer) = open_with(&path, &migrator).await.unwrap();
        assert_eq!(kept(&reader).await, None, "the migration ran");
        let (before, _writer) = open(&folder.path().join("siesta.db.before-8000")).await.unwrap();
        assert_eq!(kept(&before).await.as_deref(), Some("yes"), "the copy is a whole database from before");
        assert!(!folder.path().join("siesta.db.copying").exists());
        close(reader, writer).await;
        fs::remove_file(folder.path().join("siesta.db.before-8000")).unwrap();
        open_with(&path, &migrator).await.unwrap();
        assert!(!folder.path().join("siesta.db.before-8000").exists(), "copied once, not at every start");
    }

    #[tokio::test]
    async fn a_migration_that_fails_changes_nothing_and_can_be_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = made(&folder).await;
        let migrator = with_one_more(folder.path(), "delete from settings; insert into nowhere values (1);").await;
        for _ in 0..2 {
            assert!(matches!(open_with(&path, &migrator).await, Err(StoreError::Migration(_))));
        }
        assert_eq!(kept(&open(&path).await.unwrap().0).await.as_deref(), Some("yes"));
    }

    #[tokio::test]
    async fn a_newer_database_is_refused_and_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = made(&folder).await;
        let migrator = with_one_more(folder.path(), "create table more (n integer) strict;").await;
        let (reader, writer) = open_with(&path, &migrator).await.unwrap();
        close(reader, writer).await;
        let before = fs::read(&path).unwrap();
        let error = open(&path).await.unwrap_err();
        assert!(matches!(&error, StoreError::Newer { found: 8000, .. }), "{error}");
        assert!(error.to_string().contains("Nothing was changed."));
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[tokio::test]
    async fn a_damaged_database_is_refused_and_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = made(&folder).await;
        let whole = fs::read(&path).unwrap();
        let mut holed = whole.clone();
        holed[4096..].fill(0xff);
        for bytes in [holed, b"This is no database, though it is long enough to be one.".repeat(20)] {
            fs::write(&path, &bytes).unwrap();
            let error = open(&path).await.unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
    }
}
