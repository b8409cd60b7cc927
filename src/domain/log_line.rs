//! Log lines as Heroku prints them: `timestamp source[ps]: message` (heroku.md 5.1).

use std::fmt;

use crate::domain::Timestamp;

/// The longest line kept as one; longer ones are cut into lines of this size (heroku.md 5.2).
pub const MAX_LINE_BYTES: usize = 10_000;

/// Who wrote a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Source {
    /// The app's own output, and what users did (`app[api]`).
    App,
    /// The platform: dyno states, router lines, errors.
    Heroku,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Source::App => "app",
            Source::Heroku => "heroku",
        }
    }
}

/// One line of an app's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// Microseconds since the epoch.
    pub at_micros: i64,
    pub source: Source,
    /// `web.1`, `router`, `api`.
    pub ps: String,
    pub message: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Timestamp::to_log_format(self.at_micros);
        write!(f, "{at} {}[{}]: {}", self.source.as_str(), self.ps, self.message)
    }
}
