//! People: e-mail addresses and who acts.

use std::{fmt, str::FromStr};

use crate::domain::{SessionId, Timestamp, TokenId, UserId};

/// An e-mail address as typed, trimmed: one `@`, something on both sides, plain printable ASCII without
/// spaces and brackets, at most 254 characters. Compared without case by the store.
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
        let plain = text.chars().all(|c| c.is_ascii_graphic() && !"<>()[]\\,;:\"".contains(c));
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

/// One account.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub id: UserId,
    pub email: Email,
    pub name: String,
    pub admin: bool,
    /// Owns the example until the first administrator claims the server; cannot log in.
    pub system: bool,
    pub language: Option<String>,
    pub theme: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub suspended_at: Option<Timestamp>,
}

/// An API token as listed: never with its secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub id: TokenId,
    pub user_id: UserId,
    pub description: String,
    /// The first characters, `HRKU-1a2b3c`.
    pub prefix: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

/// A login of a browser as listed: never with its token.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub id: SessionId,
    pub user_id: UserId,
    pub created_at: Timestamp,
    /// Written at most once a minute.
    pub last_seen_at: Timestamp,
    pub expires_at: Timestamp,
    pub user_agent: String,
    pub ip: String,
}

/// Who may make an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignUp {
    Open,
    Closed,
    Invite,
}
