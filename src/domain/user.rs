//! People: e-mail addresses, who acts, and what they may do with an app.

use std::{fmt, str::FromStr};

use crate::domain::{CollaboratorId, SessionId, Timestamp, TokenId, UserId};

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

/// What an account may do with an app; each includes the ones before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See the app, its builds, releases and logs; not the values of its config vars.
    View,
    /// Deploy, roll back, scale, run, change config vars and settings.
    Deploy,
    /// Rename, transfer and delete the app; say who else may touch it.
    Owner,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Role::View => "view",
            Role::Deploy => "deploy",
            Role::Owner => "owner",
        }
    }
}

impl FromStr for Role {
    type Err = String;
    /// A role that can be given away: `view` or `deploy`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "view" => Ok(Role::View),
            "deploy" => Ok(Role::Deploy),
            _ => Err("A collaborator's role is `view` or `deploy`.".to_owned()),
        }
    }
}

/// Somebody besides the owner who may touch an app.
#[derive(Clone, Debug, PartialEq)]
pub struct Collaborator {
    pub id: CollaboratorId,
    pub user_id: UserId,
    pub email: Email,
    pub role: Role,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}
