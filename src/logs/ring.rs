//! The newest lines of one app, in memory. Both the writer and every tail read from here, so
//! neither needs a queue of its own and a slow one costs nobody memory.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{Notify, futures::Notified};

use crate::{
    domain::{AppId, LogLine},
    logs::KEPT_LINES,
};

/// Bytes of one ring; older lines are read from the file.
const RING_BYTES: usize = 2 * 1024 * 1024;
/// What a line costs beside its text.
const LINE_OVERHEAD: usize = 96;

/// The lines `first ..= last` of an app, without a hole.
pub(super) struct Ring {
    lines: VecDeque<Arc<LogLine>>,
    bytes: usize,
    first: u64,
    /// Up to here handed to the writer.
    taken: u64,
    /// Up to here in the file.
    written: u64,
    /// Lines that left the ring before the writer took them, and the moment of the first.
    lost: Option<(u64, i64)>,
    /// On the writer's list.
    pub(super) dirty: bool,
}

fn cost(line: &LogLine) -> usize {
    line.message.len() + line.ps.len() + LINE_OVERHEAD
}

impl Ring {
    /// An empty ring of an app whose last line so far had number `last`.
    pub(super) fn after(last: u64) -> Ring {
        Ring { lines: VecDeque::new(), bytes: 0, first: last + 1, taken: last, written: last, lost: None, dirty: false }
    }

    #[cfg(test)]
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number of the newest line ever appended; 0 before the first.
    pub(super) fn last(&self) -> u64 {
        self.first + self.lines.len() as u64 - 1
    }

    /// Lines the writer has not taken yet.
    pub(super) fn waiting(&self) -> usize {
        usize::try_from(self.last() - self.taken).unwrap_or(usize::MAX)
    }

    pub(super) fn push(&mut self, line: LogLine) {
        self.bytes += cost(&line);
        self.lines.push_back(Arc::new(line));
        while self.lines.len() > KEPT_LINES || (self.bytes > RING_BYTES && self.lines.len() > 1) {
            let oldest = self.lines.pop_front().expect("a ring over its limit holds lines");
            self.bytes -= cost(&oldest);
            if self.first > self.taken {
                self.taken = self.first;
                self.lose(1, oldest.at_micros);
            }
            self.first += 1;
        }
    }

    fn lose(&mut self, count: u64, at_micros: i64) {
        let (lost, since) = self.lost.unwrap_or((0, at_micros));
        self.lost = Some((lost + count, since));
    }

    /// How many lines were lost since the last call, and since when.
    pub(super) fn take_lost(&mut self) -> Option<(u64, i64)> {
        self.lost.take()
    }

    /// The lines from `number` on with the number of the first one returned.
    pub(super) fn from(&self, number: u64) -> (u64, Vec<Arc<LogLine>>) {
        let skip = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        (number.max(self.first), self.lines.iter().skip(skip).cloned().collect())
    }

    /// What the file lacks; the writer answers with `wrote` or `failed`.
    pub(super) fn take(&mut self) -> (u64, Vec<Arc<LogLine>>) {
        let batch = self.from(self.taken + 1);
        self.taken = self.last();
        self.dirty = false;
        batch
    }

    pub(super) fn wrote(&mut self, up_to: u64) {
        self.written = self.written.max(up_to);
    }

    /// The batch did not reach the file: what the ring still holds is tried again, the rest is lost.
    pub(super) fn failed(&mut self, up_to: u64, at_micros: i64) {
        let gone = self.first.min(up_to + 1).saturating_sub(self.written + 1);
        if gone > 0 {
            self.lose(gone, at_micros);
        }
        self.written += gone;
        self.taken = self.written;
    }

    /// Gives the memory back when the file has everything and nothing was appended since `before`.
    /// True: nothing is held.
    pub(super) fn rest(&mut self, before_micros: i64) -> bool {
        let quiet = self.lines.back().is_none_or(|line| line.at_micros < before_micros);
        let rests = quiet && self.written == self.last() && self.lost.is_none() && !self.dirty;
        if rests {
            *self = Ring::after(self.last());
        }
        rests
    }
}

/// One app that is awake: its ring, and the news of lines.
pub(super) struct AppLog {
    pub(super) id: AppId,
    ring: Mutex<Ring>,
    news: Notify,
    gone: AtomicBool,
}

impl AppLog {
    pub(super) fn new(id: AppId, last: u64) -> Arc<AppLog> {
        Arc::new(AppLog { id, ring: Mutex::new(Ring::after(last)), news: Notify::new(), gone: AtomicBool::new(false) })
    }

    pub(super) fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready at the next line, or when the app goes, from this call on.
    pub(super) fn news(&self) -> Notified<'_> {
        self.news.notified()
    }

    pub(super) fn tell(&self) {
        self.news.notify_waiters();
    }

    /// The app was deleted: its tails and drains end.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(super) fn go(&self) {
        self.gone.store(true, Ordering::Release);
        self.tell();
    }
}

/// What is known of an app's log: the lines of those that said something of late, of the others the
/// last number alone.
enum Slot {
    Resting(u64),
    Awake(Arc<AppLog>),
}

/// The logs of all apps, in parts: an app's first line holds up few others, and nothing is copied.
pub(super) struct AppLogs {
    parts: [Mutex<HashMap<AppId, Slot>>; PARTS],
}

const PARTS: usize = 32;

impl AppLogs {
    pub(super) fn new(numbers: HashMap<AppId, u64>) -> AppLogs {
        let logs = AppLogs { parts: std::array::from_fn(|_| Mutex::default()) };
        for (app, last) in numbers {
            logs.part(app).insert(app, Slot::Resting(last));
        }
        logs
    }

    fn part(&self, app: AppId) -> MutexGuard<'_, HashMap<AppId, Slot>> {
        // The end of an id is random.
        let part = usize::from(app.0.as_bytes()[15]) % PARTS;
        self.parts[part].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log of an app, made or woken when it is not there.
    pub(super) fn of(&self, app: AppId) -> Arc<AppLog> {
        let mut part = self.part(app);
        let slot = part.entry(app).or_insert(Slot::Resting(0));
        match slot {
            Slot::Awake(log) => log.clone(),
            Slot::Resting(last) => {
                let log = AppLog::new(app, *last);
                *slot = Slot::Awake(log.clone());
                log
            }
        }
    }

    /// The same for an app that said something once.
    pub(super) fn known(&self, app: AppId) -> Option<Arc<AppLog>> {
        let known = self.part(app).contains_key(&app);
        known.then(|| self.of(app))
    }

    pub(super) fn remove(&self, app: AppId) -> Option<Arc<AppLog>> {
        match self.part(app).remove(&app)? {
            Slot::Awake(log) => Some(log),
            Slot::Resting(_) => None,
        }
    }

    /// Gives the memory of quiet apps back; what nobody follows is not held at all.
    pub(super) fn rest(&self, before_micros: i64) {
        for part in &self.parts {
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            for slot in part.values_mut() {
                let Slot::Awake(log) = slot else { continue };
                let mut ring = log.ring();
                let (rests, last) = (ring.rest(before_micros), ring.last());
                drop(ring);
                // New holders come through this part's lock or from a holder.
                if rests && Arc::strong_count(log) == 1 {
                    *slot = Slot::Resting(last);
                }
            }
        }
    }

    /// Apps with lines in memory, or followed.
    #[cfg(test)]
    pub(super) fn awake(&self) -> usize {
        let awake = |part: &Mutex<HashMap<AppId, Slot>>| {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner);
            part.values().filter(|slot| matches!(slot, Slot::Awake(_))).count()
        };
        self.parts.iter().map(awake).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::log_line::Source;

    fn line(at: i64, bytes: usize) -> LogLine {
        LogLine { at_micros: at, source: Source::App, ps: "web.1".to_owned(), message: "x".repeat(bytes) }
    }

    #[test]
    fn a_full_ring_counts_what_the_writer_never_saw() {
        let mut ring = Ring::after(0);
        for at in 0..2_000 {
            ring.push(line(at, 10));
        }
        assert_eq!((ring.first(), ring.last()), (501, 2_000));
        assert_eq!(ring.take_lost(), Some((500, 0)));
        let (number, batch) = ring.take();
        assert_eq!((number, batch.len()), (501, KEPT_LINES));
        ring.push(line(2_000, 10));
        assert_eq!(ring.take_lost(), None, "a line in the writer's hands is not lost");
    }

    #[test]
    fn long_lines_are_bounded_by_bytes() {
        let mut ring = Ring::after(0);
        for at in 0..1_000 {
            ring.push(line(at, 10_000));
            let (_, batch) = ring.take();
            ring.wrote(ring.last());
            assert_eq!(batch.len(), 1);
        }
        assert!(ring.bytes <= RING_BYTES);
        assert_eq!((ring.last(), ring.take_lost()), (1_000, None));
    }

    #[test]
    fn a_failed_batch_is_taken_again_and_only_what_left_the_ring_is_lost() {
        let mut ring = Ring::after(0);
        for at in 0..100 {
            ring.push(line(at, 10));
        }
        assert_eq!(ring.take().1.len(), 100);
        for at in 100..1_540 {
            ring.push(line(at, 10));
        }
        ring.failed(100, 7);
        assert_eq!(ring.take_lost(), Some((40, 7)));
        assert_eq!(ring.take().0, 41);
    }

    #[test]
    fn a_quiet_ring_gives_its_memory_back_and_keeps_its_number() {
        let mut ring = Ring::after(0);
        ring.push(line(5, 10));
        assert!(!ring.rest(10), "not in the file yet");
        ring.take();
        ring.wrote(1);
        assert!(!ring.rest(5) && ring.first() == 1, "not quiet yet");
        assert!(ring.rest(10));
        assert_eq!((ring.first(), ring.last()), (2, 1));
    }
}
