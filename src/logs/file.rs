//! `logs.db`: the lines as the disk has them. `synchronous=NORMAL`: a power loss may cost the last
//! moments of a log, never the file.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use sqlx::{
    QueryBuilder, Sqlite, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    domain::{AppId, LogLine, log_line::Source},
    logs::KEPT_LINES,
    store::StoreError,
};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/logs");

/// Rows of one insert: enough that SQLite and not sqlx is the limit, with one statement to prepare.
const ROWS: usize = 200;
/// Lines of an app between two deletions of what is too old.
const TRIM: u64 = 100;

/// New lines of one app: the number of the first, and the lines.
pub(super) struct Batch {
    pub(super) app: AppId,
    pub(super) first: u64,
    pub(super) lines: Vec<Arc<LogLine>>,
}

impl Batch {
    pub(super) fn last(&self) -> u64 {
        self.first + self.lines.len() as u64 - 1
    }

    /// Once in so many lines of an app: the file may hold that many more than are kept.
    fn is_trimmed(&self) -> bool {
        self.last() / TRIM != (self.first - 1) / TRIM
    }
}

/// The file: one writing connection, a few that read.
pub(super) struct LogFile {
    writer: SqlitePool,
    reader: SqlitePool,
}

impl LogFile {
    pub(super) async fn open(path: &Path) -> Result<LogFile, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(5));
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        MIGRATIONS.run(&writer).await?;
        let reader = SqlitePoolOptions::new().max_connections(2).connect_with(options.create_if_missing(false).read_only(true)).await?;
        Ok(LogFile { writer, reader })
    }

    /// The last number each app used.
    pub(super) async fn numbers(&self) -> Result<HashMap<AppId, u64>, StoreError> {
        let rows = sqlx::query!(r#"select app_id as "app: AppId", last from log_numbers"#).fetch_all(&self.reader).await?;
        Ok(rows.into_iter().map(|row| (row.app, row.last.unsigned_abs())).collect())
    }

    /// Writes all batches in one transaction and trims their apps to what is kept.
    pub(super) async fn write(&self, batches: &[Batch]) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        let rows: Vec<(AppId, i64, &LogLine)> = batches
            .iter()
            .flat_map(|batch| (batch.first..).zip(&batch.lines).map(|(number, line)| (batch.app, number.cast_signed(), &**line)))
            .collect();
        for chunk in rows.chunks(ROWS) {
            let mut insert = QueryBuilder::<Sqlite>::new("insert into log_lines (app_id, number, at, source, ps, message) ");
            insert.push_values(chunk, |mut row, (app, number, line)| {
                row.push_bind(*app).push_bind(*number).push_bind(line.at_micros);
                row.push_bind(line.source.as_str()).push_bind(line.ps.as_str()).push_bind(line.message.as_str());
            });
            insert.build().persistent(chunk.len() == ROWS).execute(&mut *transaction).await?;
        }
        for chunk in batches.chunks(ROWS) {
            let mut numbers = QueryBuilder::<Sqlite>::new("insert into log_numbers (app_id, last) ");
            numbers.push_values(chunk, |mut row, batch| {
                row.push_bind(batch.app).push_bind(batch.last().cast_signed());
            });
            numbers.push(" on conflict (app_id) do update set last = excluded.last");
            numbers.build().persistent(chunk.len() == ROWS).execute(&mut *transaction).await?;
        }
        for batch in batches.iter().filter(|batch| batch.is_trimmed()) {
            let keep_from = batch.last().cast_signed() - KEPT_LINES as i64;
            sqlx::query!("delete from log_lines where app_id = ? and number <= ?", batch.app, keep_from).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// The lines of an app with numbers in `from .. before`, oldest first.
    pub(super) async fn read(&self, app: AppId, from: u64, before: u64) -> Result<Vec<(u64, Arc<LogLine>)>, StoreError> {
        let (from, before) = (from.cast_signed(), before.cast_signed());
        let rows = sqlx::query!(
            "select number, at, source, ps, message from log_lines where app_id = ? and number >= ? and number < ? order by number",
            app,
            from,
            before
        )
        .fetch_all(&self.reader)
        .await?;
        let line = |at_micros, source: &str, ps, message| {
            let source = if source == "app" { Source::App } else { Source::Heroku };
            Arc::new(LogLine { at_micros, source, ps, message })
        };
        Ok(rows.into_iter().map(|row| (row.number.unsigned_abs(), line(row.at, &row.source, row.ps, row.message))).collect())
    }

    /// Deletes what is older than `before_micros`, in all apps.
    pub(super) async fn expire(&self, before_micros: i64) -> Result<(), StoreError> {
        sqlx::query!("delete from log_lines where at < ?", before_micros).execute(&self.writer).await?;
        Ok(())
    }

    pub(super) async fn forget(&self, app: AppId) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        sqlx::query!("delete from log_lines where app_id = ?", app).execute(&mut *transaction).await?;
        sqlx::query!("delete from log_numbers where app_id = ?", app).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }
}
