//! What happened to an app, for its activity page and its strip.

use std::str::FromStr;

use crate::domain::Timestamp;

/// The kinds of events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// A build became a release. Detail: `version`, `commit`.
    Deploy,
    /// Config vars changed. Detail: `version`, `set`, `removed` (names, never values).
    Config,
    /// Detail: `version`, `to`.
    Rollback,
    /// Detail: process type -> count.
    Scale,
    /// Detail: `why` (`request`, `hand`, `release`, `rested`), `by` (the caller, of a request).
    Wake,
    /// Detail: `why` (`idle`, `hand`), `last` (the last caller).
    Sleep,
    /// The quota is used up. Detail: `until`.
    Rest,
    /// Most of the quota is used. Detail: `until` (when it runs out).
    QuotaWarning,
    /// Detail: `dyno`, `why`.
    Crash,
    Rename,
    Maintenance,
    /// Brought back from the bin. Detail: `name`.
    Restore,
    /// Detail: `did` (`attach`, `detach`, `rotate`, `reset`, `destroy`, `near`, `over`, `locked`, `free`,
    /// `capture`, `restore`, `delete-backup`, `backup-failed`, `console`), `addon`, `name`.
    Addon,
}

const KINDS: [(EventKind, &str); 13] = [
    (EventKind::Deploy, "deploy"),
    (EventKind::Config, "config"),
    (EventKind::Rollback, "rollback"),
    (EventKind::Scale, "scale"),
    (EventKind::Wake, "wake"),
    (EventKind::Sleep, "sleep"),
    (EventKind::Rest, "rest"),
    (EventKind::QuotaWarning, "quota-warning"),
    (EventKind::Crash, "crash"),
    (EventKind::Rename, "rename"),
    (EventKind::Maintenance, "maintenance"),
    (EventKind::Restore, "restore"),
    (EventKind::Addon, "addon"),
];

impl EventKind {
    pub fn as_str(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }
}

impl FromStr for EventKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        KINDS.iter().find(|(_, word)| *word == text).map(|(kind, _)| *kind).ok_or(())
    }
}

/// An event to be written down.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    pub kind: EventKind,
    /// An e-mail address, or empty for the platform.
    pub actor: String,
    pub detail: serde_json::Value,
}

/// One event as the store holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub at: Timestamp,
    pub kind: EventKind,
    pub actor: String,
    pub detail: serde_json::Value,
}
