//! The newest lines of one app, in memory. Both the writer and every tail read from here, so
//! neither needs a queue of its own and a slow one costs nobody memory.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

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
    pub(super) fn rest(&mut self, before_micros: i64) {
        let quiet = self.lines.back().is_some_and(|line| line.at_micros < before_micros);
        if quiet && self.written == self.last() {
            *self = Ring::after(self.last());
        }
    }
}

/// One app: its ring, and the news of its last number. `None` ends the tails: the app is gone.
pub(super) struct AppLog {
    pub(super) id: AppId,
    ring: Mutex<Ring>,
    pub(super) news: watch::Sender<Option<u64>>,
}

impl AppLog {
    pub(super) fn new(id: AppId, last: u64) -> Arc<AppLog> {
        Arc::new(AppLog { id, ring: Mutex::new(Ring::after(last)), news: watch::Sender::new(Some(last)) })
    }

    pub(super) fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
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
        ring.rest(10);
        assert_eq!(ring.first(), 1, "not in the file yet");
        ring.take();
        ring.wrote(1);
        ring.rest(5);
        assert_eq!(ring.first(), 1, "not quiet yet");
        ring.rest(10);
        assert_eq!((ring.first(), ring.last()), (2, 1));
    }
}
