//! What one drain does: read the app's log from a number on, send, try again. It holds one frame at
//! most; the app's ring is its buffer, so a dead drain costs nobody memory and slows nothing.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::random;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::DrainId,
    logs::{
        Filter, Logs,
        drains::{
            frame::{Frame, Framer},
            send::{SendError, Sender},
        },
        file::Position,
        ring::AppLog,
    },
    store::StoreError,
};

/// Lines kept for a drain that does not take them; then the newest win (heroku.md 5.3).
const BUFFER: usize = 1_024;
/// Pause after a failure: doubled from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What is under way when the server stops has this long.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why a drain does not deliver at the moment; None: it does.
pub(super) type Trouble = Arc<Mutex<Option<String>>>;

pub(super) struct Worker {
    pub(super) id: DrainId,
    pub(super) logs: Logs,
    pub(super) log: Arc<AppLog>,
    pub(super) framer: Framer,
    pub(super) sender: Sender,
    /// The address as it may be shown.
    pub(super) shown: String,
    pub(super) trouble: Trouble,
    pub(super) progress: Progress,
}

/// How far a drain has come.
pub(super) struct Progress {
    /// The number to read next.
    next: u64,
    /// On its way, or to be tried again.
    at_hand: Option<Frame>,
    /// Lines lost since the last delivery, and when the last delivered line was said.
    lost: u64,
    since_micros: i64,
    failures: u32,
}

impl Progress {
    /// A drain that goes on with line `next`; the one before it was said at `since_micros`.
    pub(super) fn from(next: u64, since_micros: i64) -> Progress {
        Progress { next, at_hand: None, lost: 0, since_micros, failures: 0 }
    }
}

impl Worker {
    /// Runs until `removed`, or until the app is gone. When the server stops, what waits is sent, for
    /// a short while; what a receiver does not take then waits for the next start.
    pub(super) async fn run(mut self, removed: CancellationToken, stopping: CancellationToken) {
        let cut = {
            let stopping = stopping.clone();
            async move {
                stopping.cancelled().await;
                tokio::time::sleep(LAST_WORDS).await;
            }
        };
        tokio::select! {
            () = self.work(&stopping) => {}
            () = removed.cancelled() => {}
            () = cut => {}
        }
        self.logs.flush().await;
    }

    /// Until the app is gone, or `stopping` and nothing waits. A delivery is never cut by the stop.
    async fn work(&mut self, stopping: &CancellationToken) {
        loop {
            let waits = match stopping.run_until_cancelled(self.wait()).await {
                Some(waits) => waits,
                None => self.take().await,
            };
            match waits {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(app = %self.log.id, drain = self.shown, %error, "a drain cannot read its lines");
                    tokio::time::sleep(LONGEST_PAUSE).await;
                    continue;
                }
            }
            if let Err(error) = self.deliver().await {
                self.note(&error);
                if stopping.run_until_cancelled(tokio::time::sleep(pause(self.progress.failures))).await.is_none() {
                    return;
                }
                self.give_way();
            }
        }
    }

    /// Waits until there is something at hand. False: the app is gone.
    async fn wait(&mut self) -> Result<bool, StoreError> {
        let log = self.log.clone();
        loop {
            // Before reading: what is appended in between is news.
            let news = log.news();
            if log.is_gone() {
                return Ok(false);
            }
            if self.take().await? {
                return Ok(true);
            }
            news.await;
        }
    }

    /// Takes what waits into the hand, at most the newest lines that a drain may keep. False: nothing waits.
    async fn take(&mut self) -> Result<bool, StoreError> {
        if self.progress.at_hand.is_some() {
            return Ok(true);
        }
        let (lines, end) = self.logs.inner.since(&self.log, &Filter::default(), self.progress.next, BUFFER).await?;
        let at = &mut self.progress;
        let first = lines.first().map_or(end, |(number, _)| *number);
        at.lost += first.saturating_sub(at.next);
        at.next = at.next.max(first);
        if lines.is_empty() {
            return Ok(false);
        }
        let lost = (at.lost > 0).then(|| (at.lost, at.since_micros, self.logs.inner.clock.now_micros()));
        let mut frame = self.framer.begin(format!("{:032x}", random::<u128>()), lost);
        for (number, line) in &lines {
            at.next = number + 1;
            if !self.framer.add(&mut frame, *number, line) {
                break;
            }
        }
        at.at_hand = Some(frame);
        Ok(true)
    }

    /// Sends what is at hand; after a failure it stays there.
    async fn deliver(&mut self) -> Result<(), SendError> {
        let Some(frame) = &self.progress.at_hand else { return Ok(()) };
        self.sender.send(frame).await?;
        let (next, at_micros) = (self.progress.next, frame.last_at_micros);
        self.progress = Progress::from(next, at_micros);
        self.logs.inner.drained(self.id, Position { app: self.log.id, next, at_micros });
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// A frame that is overtaken by as many lines as are kept goes back: the newest win.
    fn give_way(&mut self) {
        let at = &mut self.progress;
        let newest = self.log.ring().last();
        if let Some(frame) = at.at_hand.take_if(|frame| newest + frame.lines > frame.last + BUFFER as u64) {
            at.next = frame.last + 1 - frame.lines;
        }
    }

    fn note(&mut self, error: &SendError) {
        self.progress.failures = self.progress.failures.saturating_add(1);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        if self.progress.failures > 1 {
            return;
        }
        tracing::info!(app = %self.log.id, drain = self.shown, %error, "a drain does not take its lines");
        if matches!(error, SendError::Certificate) {
            let line = format!("Error L14 (certificate validation): error=\"bad certificate\" uri=\"{}\"", self.shown);
            self.logs.platform(self.log.id, "logplex", line);
        }
    }
}

fn pause(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
    // Up to a quarter more, so that many drains to one receiver do not come back at once.
    doubled + doubled.mul_f64(random::<f64>() / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_to_a_minute() {
        for (failures, at_least) in [(1, 500), (2, 1_000), (5, 8_000), (8, 60_000), (4_000_000, 60_000)] {
            let pause = pause(failures).as_millis();
            assert!(pause >= at_least && pause <= at_least * 5 / 4, "{failures}: {pause}");
        }
    }
}
