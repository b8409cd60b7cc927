//! `logs.db`: the lines as the disk has them. `synchronous=NORMAL`: a power loss may cost the last
//! moments of a log, never the file.

use std::{collections::HashMap, fmt::Write as _, path::Path, sync::Arc, time::Duration};

use sqlx::{
    QueryBuilder, Sqlite, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    domain::{AppId, DrainId, LogLine, log_line::Source},
    logs::KEPT_LINES,
    store::{self, StoreError},
};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/logs");

/// Rows of one insert: enough that SQLite and not sqlx is the limit, with one statement to prepare.
const ROWS: usize = 200;
/// Lines of an app between two deletions of what is too old.
const TRIM: u64 = 100;

/// How far a drain has come: the number it reads next, and when its last delivered line was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) app: AppId,
    pub(super) next: u64,
    pub(super) at_micros: i64,
}

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
        let writer = store::one_writer().connect_with(options.clone()).await?;
        MIGRATIONS.run(&writer).await?;
        let reader = SqlitePoolOptions::new().max_connections(2).connect_with(options.create_if_missing(false).read_only(true)).await?;
        Ok(LogFile { writer, reader })
    }

    /// Writes a whole copy, as it is at one moment.
    pub(super) async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        sqlx::query("vacuum into ?").bind(path.display().to_string()).execute(&self.reader).await?;
        Ok(())
    }

    /// The last number each app used.
    pub(super) async fn numbers(&self) -> Result<HashMap<AppId, u64>, StoreError> {
        let rows = sqlx::query!(r#"select app_id as "app: AppId", last from log_numbers"#).fetch_all(&self.reader).await?;
        Ok(rows.into_iter().map(|row| (row.app, row.last.unsigned_abs())).collect())
    }

    /// The positions of all drains.
    pub(super) async fn positions(&self) -> Result<HashMap<DrainId, Position>, StoreError> {
        let rows = sqlx::query!(r#"select drain_id as "drain: DrainId", app_id as "app: AppId", next, at from drain_positions"#);
        let rows = rows.fetch_all(&self.reader).await?;
        let position = |app, next: i64, at_micros| Position { app, next: next.unsigned_abs(), at_micros };
        Ok(rows.into_iter().map(|row| (row.drain, position(row.app, row.next, row.at))).collect())
    }

    /// Writes all batches and positions in one transaction and trims the apps to what is kept. No
    /// position gets ahead of the lines that are written: their numbers are given again after a
    /// crash. Those that would are held back, and returned.
    pub(super) async fn write(&self, batches: &[Batch], positions: &HashMap<DrainId, Position>) -> Result<Vec<DrainId>, StoreError> {
        let mut transaction = self.writer.begin().await?;
        for chunk in batches.chunks(ROWS) {
            let mut insert = QueryBuilder::<Sqlite>::new("insert into log_blocks (app_id, first, last, at, lines) ");
            insert.push_values(chunk, |mut row, batch| {
                let at = batch.lines.last().map_or(0, |line| line.at_micros);
                row.push_bind(batch.app).push_bind(batch.first.cast_signed()).push_bind(batch.last().cast_signed());
                row.push_bind(at).push_bind(written(&batch.lines));
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
            sqlx::query!("delete from log_blocks where app_id = ? and last <= ?", batch.app, keep_from).execute(&mut *transaction).await?;
        }
        let mut held_back = Vec::new();
        for (drain, Position { app, next, at_micros }) in positions {
            let wanted = next.cast_signed();
            let written = sqlx::query_scalar!(
                r#"insert into drain_positions (drain_id, app_id, next, at)
                   select ?1, ?2, min(?3, coalesce((select last + 1 from log_numbers where app_id = ?2), 1)), ?4
                   where true
                   on conflict (drain_id) do update set next = excluded.next, at = excluded.at
                   returning next as "next!: i64""#,
                drain,
                app,
                wanted,
                at_micros
            );
            if written.fetch_one(&mut *transaction).await? < wanted {
                held_back.push(*drain);
            }
        }
        transaction.commit().await?;
        Ok(held_back)
    }

    /// The lines of an app with numbers in `from .. before`, oldest first.
    pub(super) async fn read(&self, app: AppId, from: u64, before: u64) -> Result<Vec<(u64, Arc<LogLine>)>, StoreError> {
        let (from, before) = (from.cast_signed(), before.cast_signed());
        let rows = sqlx::query!(
            "select first, lines from log_blocks where app_id = ? and last >= ? and first < ? order by last",
            app,
            from,
            before
        )
        .fetch_all(&self.reader)
        .await?;
        let numbered = rows.iter().flat_map(|row| (row.first..).zip(row.lines.split_terminator('\n')));
        let wanted = numbered.filter(|(number, _)| (from..before).contains(number));
        Ok(wanted.filter_map(|(number, line)| Some((number.unsigned_abs(), Arc::new(read(line)?)))).collect())
    }

    /// Deletes what is older than `before_micros`, in all apps. Blocks lie in the order of time, so
    /// only old ones are looked at.
    pub(super) async fn expire(&self, before_micros: i64) -> Result<(), StoreError> {
        let kept = sqlx::query_scalar!("select id from log_blocks where at >= ? order by id limit 1", before_micros);
        let kept = kept.fetch_optional(&self.writer).await?.unwrap_or(i64::MAX);
        sqlx::query!("delete from log_blocks where id < ?", kept).execute(&self.writer).await?;
        Ok(())
    }

    pub(super) async fn forget_drain(&self, drain: DrainId) -> Result<(), StoreError> {
        sqlx::query!("delete from drain_positions where drain_id = ?", drain).execute(&self.writer).await?;
        Ok(())
    }

    pub(super) async fn forget(&self, app: AppId) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin().await?;
        sqlx::query!("delete from drain_positions where app_id = ?", app).execute(&mut *transaction).await?;
        sqlx::query!("delete from log_blocks where app_id = ?", app).execute(&mut *transaction).await?;
        sqlx::query!("delete from log_numbers where app_id = ?", app).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Lines as a block holds them.
fn written(lines: &[Arc<LogLine>]) -> String {
    let bytes = lines.iter().map(|line| line.message.len() + line.ps.len() + 32).sum();
    let mut text = String::with_capacity(bytes);
    for line in lines {
        // No line holds a newline: `Logs::append` cuts there.
        writeln!(text, "{}\t{}\t{}\t{}", line.at_micros, line.source.as_str(), line.ps, line.message).expect("a string takes all");
    }
    text
}

fn read(text: &str) -> Option<LogLine> {
    let mut fields = text.splitn(4, '\t');
    let (at, source, ps, message) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let source = if source == "app" { Source::App } else { Source::Heroku };
    Some(LogLine { at_micros: at.parse().ok()?, source, ps: ps.to_owned(), message: message.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_gives_back_what_was_written() {
        let line =
            |at_micros, source, message: &str| Arc::new(LogLine { at_micros, source, ps: "web.1".to_owned(), message: message.to_owned() });
        let lines = [line(1, Source::App, "a\tb"), line(-2, Source::Heroku, ""), line(3, Source::App, "ñ\rx "), line(4, Source::App, "\r")];
        let text = written(&lines);
        let back: Vec<_> = text.split_terminator('\n').map(|line| Arc::new(read(line).unwrap())).collect();
        assert_eq!(back, lines);
    }
}
