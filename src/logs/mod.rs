//! The log stream of each app: a hub with a bounded ring, a database file of its own, tails.
//!
//! Log lines also go to drains (`drains`). Appending never blocks and never waits for the disk. What is lost is counted and said (L10, L11).

pub mod drains;
mod file;
mod ring;
mod tail;

use std::{
    collections::{HashMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::BoxStream};
use tokio::sync::Notify;

use crate::{
    clock::Clock,
    domain::{
        AppId, DrainId, LogLine, Timestamp,
        log_line::{MAX_LINE_BYTES, Source},
    },
    scheduler::{Activator, Tasks, every},
    store::StoreError,
};
use file::{Batch, LogFile, Position};
use ring::{AppLog, AppLogs};

/// Lines kept for an app, and for how long (heroku.md 5.2).
pub const KEPT_LINES: usize = 1_500;
pub const KEPT_DAYS: u32 = 7;

/// Lines wait this long for company before they are written, unless half a ring of one app waits.
const BATCH_WAIT: Duration = Duration::from_millis(250);
const HURRY_LINES: usize = KEPT_LINES / 2;
/// However much comes: an app that says more than a ring in this time loses what nobody could keep
/// anyway, and is told.
const BATCH_PAUSE: Duration = Duration::from_millis(50);
/// Between two looks at what is old; rings quiet for this long give their memory back.
const SWEEP: Duration = Duration::from_secs(60);
const DAY_MICROS: i64 = 86_400_000_000;

/// The hub. Cheap to clone.
#[derive(Clone)]
pub struct Logs {
    inner: Arc<Inner>,
}

struct Inner {
    apps: AppLogs,
    /// Apps with lines the file lacks; each at most once.
    dirty: Mutex<Vec<Arc<AppLog>>>,
    /// Of drains that have delivered, not in the file yet.
    positions: Mutex<HashMap<DrainId, Position>>,
    /// The first dirty app or drain wakes the writer; one with many waiting lines hurries it.
    begin: Notify,
    hurry: Notify,
    /// Held while the file is written.
    writing: tokio::sync::Mutex<()>,
    file: LogFile,
    clock: Arc<dyn Clock>,
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

impl Filter {
    /// `web` takes all of `web.1`, `web.2` ...; `web.1` only itself.
    pub fn matches(&self, line: &LogLine) -> bool {
        let of_type = |ps: &str| line.ps == ps || line.ps.strip_prefix(ps).is_some_and(|rest| rest.starts_with('.'));
        self.source.is_none_or(|source| line.source == source)
            && self.ps.as_deref().is_none_or(of_type)
            && self.text.as_deref().is_none_or(|text| line.message.to_lowercase().contains(&text.to_lowercase()))
    }
}

impl Logs {
    /// Opens `logs.db` at `path` and starts the batched writer.
    pub async fn open(path: &Path, clock: Arc<dyn Clock>, tasks: &Tasks) -> Result<Logs, StoreError> {
        let file = LogFile::open(path).await?;
        let apps = AppLogs::new(file.numbers().await?);
        let inner = Arc::new(Inner {
            apps,
            dirty: Mutex::default(),
            positions: Mutex::default(),
            begin: Notify::new(),
            hurry: Notify::new(),
            writing: tokio::sync::Mutex::default(),
            file,
            clock,
        });
        let (writer, stopping) = (inner.clone(), tasks.stopping());
        tasks.spawn_graceful(async move {
            while stopping.run_until_cancelled(writer.wait_for_batch()).await.is_some() {
                writer.write().await;
            }
            writer.write().await;
        });
        let sweeper = inner.clone();
        tasks.spawn(every(SWEEP, Activator::new(), move || {
            let sweeper = sweeper.clone();
            async move { sweeper.sweep().await }
        }));
        Ok(Logs { inner })
    }

    /// Appends a line. Cut at 10,000 bytes into several. Never blocks.
    pub fn append(&self, app: AppId, line: LogLine) {
        let log = self.inner.app(app);
        let mut ring = log.ring();
        if line.message.len() <= MAX_LINE_BYTES && !line.message.contains(['\n', '\r']) {
            ring.push(line);
        } else {
            for message in pieces(&line.message) {
                ring.push(LogLine { message: message.to_owned(), ps: line.ps.clone(), ..line });
            }
        }
        let waiting = ring.waiting();
        let newly_dirty = !std::mem::replace(&mut ring.dirty, true);
        drop(ring);
        log.tell();
        if newly_dirty {
            self.inner.mark(log);
        }
        if waiting == HURRY_LINES {
            self.inner.hurry.notify_one();
        }
    }

    /// `heroku[ps]: message`, now.
    pub fn platform(&self, app: AppId, ps: &str, message: impl Into<String>) {
        self.say(app, Source::Heroku, ps, message.into());
    }

    /// `app[api]: message`, now: what a user did.
    pub fn api(&self, app: AppId, message: impl Into<String>) {
        self.say(app, Source::App, "api", message.into());
    }

    /// Says that somebody before us dropped lines, nobody knows how many.
    pub fn lost_elsewhere(&self, app: AppId, since_micros: i64) {
        let message = format!("Error L10 (output buffer overflow): an unknown number of messages dropped since {}.", seconds(since_micros));
        self.platform(app, "logplex", message);
    }

    fn say(&self, app: AppId, source: Source, ps: &str, message: String) {
        self.append(app, LogLine { at_micros: self.inner.clock.now_micros(), source, ps: ps.to_owned(), message });
    }

    /// The last `count` lines that match, oldest first, with their numbers.
    pub async fn recent(&self, app: AppId, filter: &Filter, count: usize) -> Result<Vec<(u64, Arc<LogLine>)>, StoreError> {
        let Some(log) = self.inner.apps.known(app) else { return Ok(Vec::new()) };
        let (lines, _) = self.inner.since(&log, filter, 0, count).await?;
        Ok(lines)
    }

    /// The last `count` matching lines, then new ones as they come. `after` resumes behind a line number.
    pub async fn tail(
        &self,
        app: AppId,
        filter: Filter,
        count: usize,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, TailItem>, StoreError> {
        let log = self.inner.app(app);
        // A number not given out yet is from before a crash: it resumes nothing.
        let after = after.filter(|number| *number <= log.ring().last());
        let count = if after.is_some() { KEPT_LINES } else { count };
        let (lines, next) = self.inner.since(&log, &filter, after.map_or(0, |number| number + 1), count).await?;
        let mut ready: VecDeque<TailItem> = lines.into_iter().map(|(number, line)| TailItem::Line(number, line)).collect();
        let aged_away = after.map_or(0, |number| next.saturating_sub(number + 1 + KEPT_LINES as u64));
        if aged_away > 0 {
            ready.push_front(TailItem::Dropped(aged_away));
        }
        Ok(tail::Tail { log, filter, ready, next }.into_stream().boxed())
    }

    /// Drops everything of an app and ends its tails.
    pub async fn forget(&self, app: AppId) -> Result<(), StoreError> {
        let _writing = self.inner.writing.lock().await;
        if let Some(log) = self.inner.apps.remove(app) {
            self.inner.dirty.lock().unwrap_or_else(PoisonError::into_inner).retain(|dirty| !Arc::ptr_eq(dirty, &log));
            log.go();
        }
        self.inner.positions().retain(|_, position| position.app != app);
        self.inner.file.forget(app).await
    }

    /// Writes a whole copy of the lines' file, with what waited.
    pub async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        self.flush().await;
        self.inner.file.copy_to(path).await
    }

    /// Writes out what waits; for the stop and for tests.
    pub async fn flush(&self) {
        self.inner.write().await;
    }
}

impl Inner {
    fn app(&self, app: AppId) -> Arc<AppLog> {
        self.apps.of(app)
    }

    fn mark(&self, log: Arc<AppLog>) {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner).push(log);
        self.begin.notify_one();
    }

    fn positions(&self) -> MutexGuard<'_, HashMap<DrainId, Position>> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A drain has come so far: written with the next batch, so that it goes on there after a crash.
    fn drained(&self, drain: DrainId, position: Position) {
        self.positions().insert(drain, position);
        self.begin.notify_one();
    }

    async fn wait_for_batch(&self) {
        self.begin.notified().await;
        tokio::time::sleep(BATCH_PAUSE).await;
        tokio::select! {
            () = tokio::time::sleep(BATCH_WAIT - BATCH_PAUSE) => {}
            () = self.hurry.notified() => {}
        }
    }

    /// The last `count` kept lines from number `from` on that match, and the number that comes next.
    async fn since(&self, log: &AppLog, filter: &Filter, from: u64, count: usize) -> Result<(Vec<(u64, Arc<LogLine>)>, u64), StoreError> {
        let (ring_first, in_ring) = log.ring().from(from);
        let next = ring_first + in_ring.len() as u64;
        let too_old = self.clock.now_micros() - i64::from(KEPT_DAYS) * DAY_MICROS;
        let wanted = |(_, line): &(u64, Arc<LogLine>)| line.at_micros >= too_old && filter.matches(line);
        let mut lines: Vec<_> = (ring_first..).zip(in_ring).filter(wanted).collect();
        let from = from.max(next.saturating_sub(KEPT_LINES as u64)).max(1);
        if lines.len() < count && from < ring_first {
            let mut older = self.file.read(log.id, from, ring_first).await?;
            older.retain(wanted);
            older.append(&mut lines);
            lines = older;
        }
        lines.drain(..lines.len().saturating_sub(count));
        Ok((lines, next))
    }

    /// One batch of everything that waits. On a failure the lines stay in their rings for the next try.
    async fn write(&self) {
        let _writing = self.writing.lock().await;
        let dirty = std::mem::take(&mut *self.dirty.lock().unwrap_or_else(PoisonError::into_inner));
        let batches: Vec<Batch> = dirty.iter().map(|log| self.take(log)).filter(|batch| !batch.lines.is_empty()).collect();
        let positions = std::mem::take(&mut *self.positions());
        if batches.is_empty() && positions.is_empty() {
            return;
        }
        let written = self.file.write(&batches, &positions).await;
        // What was held back goes along with the lines it waits for.
        let again = |drain: &DrainId| written.as_ref().map_or(true, |held_back| held_back.contains(drain));
        for (drain, position) in positions.into_iter().filter(|(drain, _)| again(drain)) {
            self.positions().entry(drain).or_insert(position);
        }
        let now = self.clock.now_micros();
        let last: HashMap<AppId, u64> = batches.iter().map(|batch| (batch.app, batch.last())).collect();
        for log in dirty {
            let Some(last) = last.get(&log.id) else { continue };
            let mut ring = log.ring();
            match &written {
                Ok(_) => ring.wrote(*last),
                Err(_) => {
                    ring.failed(*last, now);
                    let again = !std::mem::replace(&mut ring.dirty, true);
                    drop(ring);
                    if again {
                        self.mark(log);
                    }
                }
            }
        }
        if let Err(error) = written {
            tracing::error!(%error, "log lines could not be written and are tried again");
        }
    }

    /// What an app's file lacks, with a word about what was lost on the way.
    fn take(&self, log: &AppLog) -> Batch {
        let mut ring = log.ring();
        if let Some((lost, since)) = ring.take_lost() {
            let message = overflow(lost, since);
            ring.push(LogLine { at_micros: self.clock.now_micros(), source: Source::Heroku, ps: "logplex".to_owned(), message });
        }
        let (first, lines) = ring.take();
        Batch { app: log.id, first, lines }
    }

    async fn sweep(&self) {
        let now = self.clock.now_micros();
        let quiet_since = now - i64::try_from(SWEEP.as_micros()).unwrap_or(i64::MAX);
        self.apps.rest(quiet_since);
        let _writing = self.writing.lock().await;
        if let Err(error) = self.file.expire(now - i64::from(KEPT_DAYS) * DAY_MICROS).await {
            tracing::warn!(%error, "old log lines could not be deleted");
        }
    }
}

/// The text of the line that stands for lines that were dropped (heroku.md 3.3).
fn overflow(dropped: u64, since_micros: i64) -> String {
    format!("Error L10 (output buffer overflow): {dropped} messages dropped since {}.", seconds(since_micros))
}

/// The text of the line a slow reader gets (heroku.md 3.3).
pub fn tail_overflow(dropped: u64, since_micros: i64) -> String {
    format!("L11 (Tail buffer overflow) -> This tail session dropped {dropped} messages since {}", seconds(since_micros))
}

/// A moment with whole seconds as L lines print it: `2013-04-17T19:04:46+00:00`.
fn seconds(micros: i64) -> String {
    Timestamp(micros / 1000).to_jiff().strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// A message as lines of at most 10,000 bytes, cut between characters.
fn pieces(message: &str) -> impl Iterator<Item = &str> {
    message.trim_end_matches(['\r', '\n']).split('\n').flat_map(|line| {
        let mut rest = Some(line.trim_end_matches('\r'));
        std::iter::from_fn(move || {
            let text = rest?;
            let (piece, more) = text.split_at(text.floor_char_boundary(MAX_LINE_BYTES));
            rest = (!more.is_empty()).then_some(more);
            Some(piece)
        })
    })
}

#[cfg(test)]
mod tests;
