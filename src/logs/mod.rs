//! The log stream of each app: a hub with a bounded ring, a database file of its own, tails.
//!
//! Appending never blocks and never waits for the disk. What is lost is counted and said (L10, L11).

use std::{path::Path, sync::Arc};

use futures_util::stream::BoxStream;

use crate::{
    clock::Clock,
    domain::{AppId, LogLine, log_line::Source},
    scheduler::Tasks,
    store::StoreError,
};

/// Lines kept for an app, and for how long (heroku.md 5.2).
pub const KEPT_LINES: usize = 1_500;
pub const KEPT_DAYS: u32 = 7;

/// The hub. Cheap to clone.
#[derive(Clone)]
pub struct Logs {
    #[expect(dead_code, reason = "filled in by the hub")]
    inner: Arc<()>,
}

/// Which lines a reader wants; None means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub source: Option<Source>,
    /// A dyno (`web.1`), a process type (`web`), or `router`, `api`.
    pub ps: Option<String>,
    /// Text the message holds, without case.
    pub text: Option<String>,
}

/// What a tail delivers.
#[derive(Clone, Debug)]
pub enum TailItem {
    /// A line with its number: grows by one a line within an app, for `Last-Event-ID`.
    Line(u64, Arc<LogLine>),
    /// The reader was too slow: so many lines were dropped for it.
    Dropped(u64),
}

impl Logs {
    /// Opens `logs.db` at `path` and starts the batched writer.
    pub async fn open(path: &Path, clock: Arc<dyn Clock>, tasks: &Tasks) -> Result<Logs, StoreError> {
        let _ = (path, clock, tasks);
        todo!()
    }

    /// Appends a line. Cut at 10,000 bytes into several. Never blocks.
    pub fn append(&self, app: AppId, line: LogLine) {
        let _ = (app, line);
        todo!()
    }

    /// `heroku[ps]: message`, now.
    pub fn platform(&self, app: AppId, ps: &str, message: impl Into<String>) {
        let _ = (app, ps, message.into());
        todo!()
    }

    /// `app[api]: message`, now: what a user did.
    pub fn api(&self, app: AppId, message: impl Into<String>) {
        let _ = (app, message.into());
        todo!()
    }

    /// The last `count` lines that match, oldest first, with their numbers.
    pub async fn recent(&self, app: AppId, filter: &Filter, count: usize) -> Result<Vec<(u64, Arc<LogLine>)>, StoreError> {
        let _ = (app, filter, count);
        todo!()
    }

    /// The last `count` matching lines, then new ones as they come. `after` resumes behind a line number.
    pub async fn tail(
        &self,
        app: AppId,
        filter: Filter,
        count: usize,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, TailItem>, StoreError> {
        let _ = (app, filter, count, after);
        todo!()
    }

    /// Drops everything of an app.
    pub async fn forget(&self, app: AppId) -> Result<(), StoreError> {
        let _ = app;
        todo!()
    }

    /// Writes out what waits; for the stop and for tests.
    pub async fn flush(&self) {
        todo!()
    }
}
