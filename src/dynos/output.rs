//! What a dyno prints goes into its app's log, line by line, and its last words are kept for the
//! sentence that says why it did not boot.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use tokio::sync::watch;

use crate::{
    domain::{AppId, DynoName, LogLine, log_line::Source},
    dynos::Context,
    engine::{ContainerId, EngineError},
    logs::Filter,
};

/// Lines kept as last words.
const LAST_LINES: usize = 5;
/// Pause before a stream that broke is opened again.
const RETRY: Duration = Duration::from_secs(1);
/// How long the end of a container waits for the rest of its output.
const REST: Duration = Duration::from_secs(2);

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
        let last: Arc<Mutex<VecDeque<String>>> = Arc::default();
        let (finished, done) = watch::channel(false);
        let pump = Pump { context: context.clone(), app, ps: dyno.to_string(), container, last: last.clone() };
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
}

impl Pump {
    /// Follows until the container has ended or is gone; a stream that breaks is taken up again
    /// behind the last line.
    async fn run(self, from: From) {
        let mut since = match from {
            From::Start => None,
            From::LastLine => self.last_logged().await,
        };
        loop {
            match self.follow(&mut since).await {
                Ok(()) | Err(EngineError::NoSuchContainer) => return,
                Err(error) => tracing::warn!(app = %self.app, dyno = self.ps, %error, "the output of a dyno broke off"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn follow(&self, since: &mut Option<i64>) -> Result<(), EngineError> {
        let mut lines = self.context.parts.engine.logs(self.container.clone(), *since).await?;
        while let Some(output) = lines.next().await {
            let output = output?;
            *since = Some(output.at_micros + 1);
            let message = String::from_utf8_lossy(&output.bytes).into_owned();
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(message.clone());
            drop(last);
            let line = LogLine { at_micros: output.at_micros, source: Source::App, ps: self.ps.clone(), message };
            self.context.parts.logs.append(self.app, line);
        }
        Ok(())
    }

    async fn last_logged(&self) -> Option<i64> {
        let filter = Filter { source: Some(Source::App), ps: Some(self.ps.clone()), text: None };
        let lines = self.context.parts.logs.recent(self.app, &filter, 1).await.ok()?;
        lines.last().map(|(_, line)| line.at_micros + 1)
    }
}
