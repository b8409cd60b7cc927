//! How a fake container behaves.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::watch;

/// What a fake dyno answers to a request whose body has been read.
pub type Answer = Arc<dyn Fn(&http::Request<Bytes>) -> http::Response<Bytes> + Send + Sync>;

/// A door a test opens: containers wait for it instead of for time.
#[derive(Clone, Debug)]
pub struct Latch(Arc<watch::Sender<bool>>);

impl Default for Latch {
    fn default() -> Self {
        Latch(Arc::new(watch::Sender::new(false)))
    }
}

impl Latch {
    /// A closed one.
    pub fn new() -> Latch {
        Latch::default()
    }

    /// Lets all pass, for ever.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub(super) async fn passed(&self) {
        let mut open = self.0.subscribe();
        open.wait_for(|open| *open).await.expect("the latch holds the sender");
    }
}

/// When something happens in a container's life.
#[derive(Clone, Default)]
pub(super) enum Moment {
    #[default]
    AtOnce,
    After(Duration),
    When(Latch),
    Never,
}

impl Moment {
    pub(super) async fn comes(&self) {
        match self {
            Moment::AtOnce => {}
            Moment::After(time) => tokio::time::sleep(*time).await,
            Moment::When(latch) => latch.passed().await,
            Moment::Never => std::future::pending().await,
        }
    }
}

/// A container's behaviour from its start to its end. The default: prints nothing, listens at once
/// on `PORT` where its environment has one, runs until stopped, dies at once of SIGTERM.
#[derive(Clone, Default)]
pub struct Script {
    pub(super) lines: Vec<(bool, String)>,
    pub(super) files: Vec<(PathBuf, Bytes)>,
    pub(super) boot: Moment,
    pub(super) end: Option<(Moment, i64)>,
    pub(super) out_of_memory: bool,
    pub(super) deaf: bool,
    pub(super) echoes: bool,
    pub(super) answer: Option<Answer>,
}

impl Script {
    /// Prints its lines and exits at once with `code`.
    pub fn exits(code: i64) -> Script {
        Script::default().ends(Moment::AtOnce, code)
    }

    /// Exits with `code` once `time` has passed since the start, whether it listens or not.
    pub fn exits_after(self, time: Duration, code: i64) -> Script {
        self.ends(Moment::After(time), code)
    }

    /// Exits with `code` when the test opens the latch.
    pub fn exits_when(self, latch: &Latch, code: i64) -> Script {
        self.ends(Moment::When(latch.clone()), code)
    }

    /// Listens only after `time`.
    pub fn boots_after(self, time: Duration) -> Script {
        Script { boot: Moment::After(time), ..self }
    }

    /// Listens when the test opens the latch.
    pub fn boots_when(self, latch: &Latch) -> Script {
        Script { boot: Moment::When(latch.clone()), ..self }
    }

    /// Runs, but never listens.
    pub fn never_listens(self) -> Script {
        Script { boot: Moment::Never, ..self }
    }

    /// Gives back what its client writes and ends with the input, as `cat` does.
    pub fn echoes(self) -> Script {
        Script { echoes: true, ..self }
    }

    /// Only SIGKILL ends it.
    pub fn ignores_sigterm(self) -> Script {
        Script { deaf: true, ..self }
    }

    /// Its end by itself counts as one for memory.
    pub fn out_of_memory(self) -> Script {
        Script { out_of_memory: true, ..self }
    }

    /// Prints a line to stdout at its start.
    pub fn says(mut self, line: &str) -> Script {
        self.lines.push((false, line.to_owned()));
        self
    }

    /// Prints a line to stderr at its start.
    pub fn says_err(mut self, line: &str) -> Script {
        self.lines.push((true, line.to_owned()));
        self
    }

    /// Has written this file when it ends (and from its start on).
    pub fn writes(mut self, path: &str, content: impl Into<Bytes>) -> Script {
        self.files.push((path.into(), content.into()));
        self
    }

    /// Answers HTTP requests with this instead of the usual line.
    pub fn answers(self, answer: impl Fn(&http::Request<Bytes>) -> http::Response<Bytes> + Send + Sync + 'static) -> Script {
        Script { answer: Some(Arc::new(answer)), ..self }
    }

    fn ends(self, moment: Moment, code: i64) -> Script {
        Script { end: Some((moment, code)), ..self }
    }
}
