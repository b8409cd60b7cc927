//! What a dyno prints goes into its app's log, line by line, and its last words are kept for the
//! sentence that says why it did not boot.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    domain::{AppId, DynoName, LogLine, log_line::Source},
    dynos::Context,
    engine::{Container, ContainerId, EngineError},
    logs::{Filter, KEPT_LINES},
};

/// Lines kept as last words.
const LAST_LINES: usize = 5;
/// Pause before a stream that broke is opened again.
const RETRY: Duration = Duration::from_secs(1);
/// Between the end of the output and the end of the container, at most.
const SETTLE: Duration = Duration::from_millis(100);
/// How long the end of a container waits for the rest of its output.
const REST: Duration = Duration::from_secs(2);

/// So many lines within so short a time are a flood: near the most the engine can take down.
const FLOOD_LINES: u32 = 5_000;
const FLOOD_MICROS: i64 = 100_000;
/// A flood is read no faster than so many lines in this time, whatever the engine hands out.
const FLOOD_PACE: Duration = Duration::from_millis(50);
/// Docker 20.10 may lose track of a log while it rotates (each 10 MB): a stream that gave so much and is
/// silent then is opened anew.
const DOUBTED_BYTES: usize = 1 << 20;
/// Between two lines that say what the engine may have dropped.
const FLOOD_SAID_MICROS: i64 = 10_000_000;

/// The output of one container on its way into the log.
pub(super) struct Output {
    last: Arc<Mutex<VecDeque<String>>>,
    done: watch::Receiver<bool>,
}

/// Where to begin.
pub(super) enum From {
    Start,
    /// Behind the last line of this dyno that the log holds: after a restart of the server.
    LastLine,
}

impl Output {
    /// Begins to follow.
    pub(super) fn follow(context: &Arc<Context>, app: AppId, dyno: &DynoName, container: ContainerId, from: From) -> Output {
        Output::follow_with(context, app, dyno, container, (from, None))
    }

    /// Begins to follow; each line goes to `lines` too, which may hold it back.
    pub(super) fn follow_with(
        context: &Arc<Context>,
        app: AppId,
        dyno: &DynoName,
        container: ContainerId,
        (from, lines): (From, Option<mpsc::Sender<String>>),
    ) -> Output {
        let last: Arc<Mutex<VecDeque<String>>> = Arc::default();
        let (finished, done) = watch::channel(false);
        let pump = Pump { context: context.clone(), app, ps: dyno.to_string(), container, last: last.clone(), lines };
        context.parts.tasks.spawn(async move {
            pump.run(from).await;
            finished.send_replace(true);
        });
        Output { last, done }
    }

    /// Waits until everything an ended container printed is in the log, for a short while.
    pub(super) async fn drained(&mut self) {
        // Late output is still logged when it comes.
        let _ = tokio::time::timeout(REST, self.done.wait_for(|done| *done)).await;
    }

    /// The last lines, oldest first.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

struct Pump {
    context: Arc<Context>,
    app: AppId,
    ps: String,
    container: ContainerId,
    last: Arc<Mutex<VecDeque<String>>>,
    lines: Option<mpsc::Sender<String>>,
}

impl Pump {
    /// Follows until the container has ended or is gone; a stream that breaks, or ends before the
    /// container does, is taken up again behind the last line.
    async fn run(self, from: From) {
        let mut since = match from {
            From::Start => None,
            From::LastLine => self.last_logged().await,
        };
        loop {
            match self.follow(&mut since).await {
                Ok(()) if self.goes_on().await => {}
                Ok(()) | Err(EngineError::NoSuchContainer) => return,
                Err(error) => tracing::warn!(app = %self.app, dyno = self.ps, %error, "the output of a dyno broke off"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Whether the container still runs, a moment after its output ended.
    async fn goes_on(&self) -> bool {
        for _ in 0..2 {
            let seen = self.context.parts.engine.inspect(self.container.clone()).await;
            if matches!(seen, Ok(None) | Ok(Some(Container { running: false, .. })) | Err(EngineError::NoSuchContainer)) {
                return false;
            }
            tokio::time::sleep(SETTLE).await;
        }
        true
    }

    async fn follow(&self, since: &mut Option<i64>) -> Result<(), EngineError> {
        let parts = &self.context.parts;
        let mut lines = parts.engine.logs(self.container.clone(), *since).await?;
        let mut flood = Flood::default();
        let mut pace = Instant::now();
        let (mut read, mut opened_micros) = (0, i64::MIN);
        loop {
            let output = if read < DOUBTED_BYTES {
                lines.next().await
            } else {
                match tokio::time::timeout(parts.config.limits.log_silence, lines.next()).await {
                    Ok(output) => output,
                    Err(_) => {
                        (read, opened_micros) = (0, parts.clock.now_micros());
                        lines = parts.engine.logs(self.container.clone(), *since).await?;
                        continue;
                    }
                }
            };
            let Some(output) = output.transpose()? else { return Ok(()) };
            // One that was said before the new stream was opened proves that the old one had stalled.
            read = if output.at_micros < opened_micros { DOUBTED_BYTES } else { read + output.bytes.len() };
            *since = Some(output.at_micros + 1);
            match flood.note(output.at_micros) {
                Burst::Within => {}
                Burst::Over => pace = Instant::now(),
                Burst::Flood { say } => {
                    if let Some(since) = say {
                        parts.logs.lost_elsewhere(self.app, since);
                    }
                    tokio::time::sleep_until(pace + FLOOD_PACE).await;
                    pace = Instant::now();
                }
            }
            let message = String::from_utf8_lossy(&output.bytes).into_owned();
            self.remember(&message);
            if let Some(lines) = &self.lines {
                // Nobody may listen any more; the log has it.
                let _ = lines.send(message.clone()).await;
            }
            let line = LogLine { at_micros: output.at_micros, source: Source::App, ps: self.ps.clone(), message };
            parts.logs.append(self.app, line);
        }
    }

    fn remember(&self, message: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(message.to_owned());
    }

    /// Behind the last line of this dyno that the log holds. Where it holds none, its lines were
    /// pushed out by later ones of others: then behind the oldest of these.
    async fn last_logged(&self) -> Option<i64> {
        let filter = Filter { source: Some(Source::App), ps: Some(self.ps.clone()), text: None };
        let lines = self.context.parts.logs.recent(self.app, &filter, 1).await.ok()?;
        if let Some((_, line)) = lines.last() {
            return Some(line.at_micros + 1);
        }
        let all = self.context.parts.logs.recent(self.app, &Filter::default(), KEPT_LINES).await.ok()?;
        let pushed_out = all.first().is_some_and(|(number, _)| *number > 1);
        all.first().filter(|_| pushed_out).map(|(_, line)| line.at_micros)
    }
}

/// How fast lines come, by the engine's own stamps.
#[derive(Default)]
struct Flood {
    begun_micros: i64,
    lines: u32,
    said_micros: Option<i64>,
}

/// What a line was the last of.
#[derive(Debug, PartialEq, Eq)]
enum Burst {
    /// Of nothing yet.
    Within,
    /// Of as many lines as would make a flood, in good time.
    Over,
    /// Of a flood. The engine drops what its buffer cannot hold and does not say how much; `say`:
    /// since when, once in a while.
    Flood { say: Option<i64> },
}

impl Flood {
    fn note(&mut self, at_micros: i64) -> Burst {
        if self.lines == 0 {
            self.begun_micros = at_micros;
        }
        self.lines += 1;
        if self.lines < FLOOD_LINES {
            return Burst::Within;
        }
        self.lines = 0;
        if at_micros - self.begun_micros >= FLOOD_MICROS {
            return Burst::Over;
        }
        let due = self.said_micros.is_none_or(|said| at_micros - said >= FLOOD_SAID_MICROS);
        if due {
            self.said_micros = Some(at_micros);
        }
        Burst::Flood { say: due.then_some(self.begun_micros) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bursts(lines: i64, micros_between: i64) -> Vec<Burst> {
        let mut flood = Flood::default();
        let all = (0..lines).map(|line| flood.note(line * micros_between));
        all.filter(|burst| *burst != Burst::Within).collect()
    }

    #[test]
    fn a_flood_is_told_by_the_engines_stamps_and_said_once_in_a_while() {
        assert_eq!(bursts(10_000, 100), [Burst::Over, Burst::Over], "10,000 lines a second are no flood");
        let flood = bursts(11_000_000, 2);
        assert_eq!(flood.len(), 2_200);
        assert_eq!(flood[0], Burst::Flood { say: Some(0) });
        let said = flood.iter().filter(|burst| matches!(burst, Burst::Flood { say: Some(_) })).count();
        assert_eq!(said, 3, "at 0, 10 and 20 seconds");
    }
}
