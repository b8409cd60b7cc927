//! Process types and how many dynos of each shall run.

use std::{fmt, str::FromStr};

use crate::domain::{FormationId, Timestamp};

/// The name of a process type: `^[-\w]{1,128}$` in Heroku's schema; we take the Procfile's
/// narrower `[A-Za-z0-9_-]+` of at most 63 characters and no leading dash.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, sqlx::Type, serde::Serialize, serde::Deserialize)]
#[sqlx(transparent)]
#[serde(try_from = "String", into = "String")]
pub struct ProcessType(String);

/// Why a process type is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is not a process type. Use letters, digits, `-` and `_`, at most 63 of them.")]
pub struct ProcessTypeError(pub String);

impl ProcessType {
    /// The type that receives HTTP.
    pub fn web() -> Self {
        Self("web".to_owned())
    }

    /// The type that runs once before a release goes live.
    pub fn release() -> Self {
        Self("release".to_owned())
    }

    pub fn is_web(&self) -> bool {
        self.0 == "web"
    }

    /// The release phase's command: no dyno of the formation.
    pub fn is_release(&self) -> bool {
        self.0 == "release"
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProcessType {
    type Err = ProcessTypeError;
    fn from_str(text: &str) -> Result<Self, ProcessTypeError> {
        let valid = !text.is_empty()
            && text.len() <= 63
            && !text.starts_with('-')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if valid { Ok(Self(text.to_owned())) } else { Err(ProcessTypeError(text.chars().take(80).collect())) }
    }
}

impl TryFrom<String> for ProcessType {
    type Error = ProcessTypeError;
    fn try_from(text: String) -> Result<Self, ProcessTypeError> {
        text.parse()
    }
}

impl From<ProcessType> for String {
    fn from(process_type: ProcessType) -> String {
        process_type.0
    }
}

impl fmt::Display for ProcessType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A wanted quantity as clients write it: `3`, `"3"`, `"+1"`, `"-1"` (heroku.md 2.6).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quantity {
    Exactly(u32),
    Change(i32),
}

impl Quantity {
    /// The count that follows from `current`; never below zero.
    pub fn apply(self, current: u32) -> u32 {
        match self {
            Quantity::Exactly(count) => count,
            Quantity::Change(by) => current.saturating_add_signed(by),
        }
    }
}

impl FromStr for Quantity {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("`{}` is not a quantity. Give a number such as 1, +1 or -1.", text.chars().take(40).collect::<String>());
        let digits = text.trim_start_matches(['+', '-']);
        if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|b| b.is_ascii_digit()) || text.len() - digits.len() > 1 {
            return Err(refused());
        }
        match text.as_bytes()[0] {
            b'+' | b'-' => text.parse().map(Quantity::Change).map_err(|_| refused()),
            _ => text.parse().map(Quantity::Exactly).map_err(|_| refused()),
        }
    }
}

/// One process type with its wanted count.
#[derive(Clone, Debug, PartialEq)]
pub struct FormationRow {
    pub id: FormationId,
    pub process_type: ProcessType,
    pub command: String,
    pub quantity: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
