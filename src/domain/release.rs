//! Releases: numbers, states and the literal descriptions people and programs match on (heroku.md 6.8).

use std::{fmt, str::FromStr};

use crate::domain::{AppId, ConfigKey, ReleaseId, SlugId, Timestamp, UserId, addon::AttachmentName};

/// The number of a release: 1, 2, 3 ... shown and typed as `v3`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, sqlx::Type, serde::Serialize)]
#[sqlx(transparent)]
#[serde(transparent)]
pub struct Version(pub i64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl FromStr for Version {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix('v').unwrap_or(text);
        match digits.parse::<i64>() {
            Ok(number) if number > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => Ok(Version(number)),
            _ => Err(format!("`{}` is not a release. Name it like v12.", text.chars().take(40).collect::<String>())),
        }
    }
}

/// Whether a release went live.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type, serde::Serialize)]
#[sqlx(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub enum ReleaseStatus {
    Pending,
    Succeeded,
    Failed,
}

/// Why a release was made; its `Display` is the description.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    Initial,
    /// The second release of every app, as Heroku had it: a first deploy is v3.
    EnableLogplex,
    /// The commit or label of what was built.
    Deploy(String),
    /// Keys set and keys removed; at least one of them.
    Config {
        set: Vec<ConfigKey>,
        removed: Vec<ConfigKey>,
    },
    Rollback(Version),
    /// The app, release and commit that a slug was promoted from.
    Promote(String),
    /// An add-on under a name, given and taken away.
    Attach {
        name: AttachmentName,
        addon: String,
    },
    Detach {
        name: AttachmentName,
        addon: String,
    },
    /// New values from an add-on.
    Update {
        name: AttachmentName,
        service: &'static str,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |keys: &[ConfigKey]| keys.iter().map(ConfigKey::as_str).collect::<Vec<_>>().join(", ");
        match self {
            Cause::Initial => f.write_str("Initial release"),
            Cause::EnableLogplex => f.write_str("Enable Logplex"),
            Cause::Deploy(commit) => write!(f, "Deploy {}", short_commit(commit)),
            Cause::Config { set, removed } if removed.is_empty() => write!(f, "Set {} config vars", join(set)),
            Cause::Config { set, removed } if set.is_empty() => write!(f, "Remove {} config vars", join(removed)),
            Cause::Config { set, removed } => write!(f, "Set {}, remove {} config vars", join(set), join(removed)),
            Cause::Promote(from) => write!(f, "Promote {from}"),
            Cause::Rollback(version) => write!(f, "Rollback to {version}"),
            Cause::Attach { name, addon } => write!(f, "Attach {name} (@ref:{addon})"),
            Cause::Detach { name, addon } => write!(f, "Detach {name} (@ref:{addon})"),
            Cause::Update { name, service } => write!(f, "Update {name} by {service}"),
        }
    }
}

/// The first 8 characters of a commit id; other labels as they are, up to 40 characters.
pub fn short_commit(commit: &str) -> &str {
    let hex = commit.len() >= 12 && commit.bytes().all(|b| b.is_ascii_hexdigit());
    let length = if hex { 8 } else { commit.char_indices().nth(40).map_or(commit.len(), |(at, _)| at) };
    &commit[..length]
}

/// One release as the store holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    pub id: ReleaseId,
    pub app_id: AppId,
    pub version: Version,
    pub description: String,
    pub status: ReleaseStatus,
    pub slug_id: Option<SlugId>,
    pub user_id: Option<UserId>,
    pub user_email: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub current: bool,
}
