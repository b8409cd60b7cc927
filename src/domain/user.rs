//! People: e-mail addresses and who acts.

use std::{fmt, str::FromStr};

use crate::domain::UserId;

/// An e-mail address as typed, trimmed: one `@`, something on both sides, no spaces, at most 254 characters.
/// Compared without case by the store.
#[derive(Clone, PartialEq, Eq, Hash, Debug, sqlx::Type, serde::Serialize)]
#[sqlx(transparent)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let plain = text.chars().all(|c| !c.is_whitespace() && !c.is_control() && !"<>()[]\\,;:\"".contains(c));
        match text.split_once('@') {
            Some((local, domain)) if plain && !local.is_empty() && !domain.is_empty() && !domain.contains('@') && text.len() <= 254 => {
                Ok(Email(text.to_owned()))
            }
            _ => Err("That is not an e-mail address. Write it like ana@example.org.".to_owned()),
        }
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who does something: a person, named in log lines and releases as `user me@example.com`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    pub id: UserId,
    pub email: Email,
}
