//! Dynos: their names, kinds and states.

use std::{fmt, str::FromStr};

use crate::domain::ProcessType;

/// `web.1`, `worker.2`, `run.1234`, `release.4711` (heroku.md 2.1).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct DynoName {
    pub process_type: ProcessType,
    pub number: u32,
}

impl fmt::Display for DynoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.process_type, self.number)
    }
}

impl FromStr for DynoName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("`{}` is not a dyno. Name it like web.1.", text.chars().take(80).collect::<String>());
        let (process_type, number) = text.rsplit_once('.').ok_or_else(refused)?;
        Ok(DynoName {
            process_type: process_type.parse().map_err(|_| refused())?,
            number: number.parse().ok().filter(|n: &u32| *n > 0 && n.to_string() == number).ok_or_else(refused)?,
        })
    }
}

/// The state of a dyno, in the words of Heroku's API and log lines (heroku.md 2.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DynoState {
    /// Not running and not wanted: asleep, scaled to zero, stopped.
    Down,
    /// Asleep: the next request starts it. Shown as `idle`; log lines say `down`.
    Idle,
    Starting,
    Up,
    /// Ended by itself, or did not boot.
    Crashed,
    /// A one-off that has finished.
    Complete,
}

impl DynoState {
    pub fn as_str(self) -> &'static str {
        match self {
            DynoState::Down => "down",
            DynoState::Idle => "idle",
            DynoState::Starting => "starting",
            DynoState::Up => "up",
            DynoState::Crashed => "crashed",
            DynoState::Complete => "complete",
        }
    }
}

impl fmt::Display for DynoState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
