//! The name of an app: Heroku's rule, our reserved words, and names for those who give none.

use crate::domain::{AppId, ReleaseId, Timestamp, TransferId, UserId};
use std::{fmt, str::FromStr, time::Duration};

/// Names that could be taken for a part of the platform, or that mail and browsers treat specially.
const RESERVED: &[&str] = &[
    "abuse",
    "account",
    "accounts",
    "admin",
    "administrator",
    "api",
    "app",
    "apps",
    "assets",
    "auth",
    "blog",
    "cdn",
    "console",
    "dashboard",
    "data",
    "dev",
    "docs",
    "ftp",
    "git",
    "help",
    "hostmaster",
    "imap",
    "localhost",
    "login",
    "logs",
    "mail",
    "metrics",
    "mx",
    "news",
    "ns1",
    "ns2",
    "pop",
    "postmaster",
    "proxy",
    "registry",
    "root",
    "security",
    "setup",
    "siesta",
    "signup",
    "smtp",
    "ssh",
    "ssl",
    "static",
    "status",
    "support",
    "system",
    "test",
    "webmail",
    "webmaster",
    "wpad",
    "www",
];

/// A valid app name: 3 to 30 characters, `^[a-z][a-z0-9-]{1,28}[a-z0-9]$` (heroku.md 7),
/// not reserved and not an internationalised label (`xn--`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, sqlx::Type, serde::Serialize)]
#[sqlx(transparent)]
#[serde(transparent)]
pub struct AppName(String);

/// Why a name is refused; the messages are Heroku's where Heroku has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AppNameError {
    #[error("Name is too short (minimum is 3 characters)")]
    TooShort,
    #[error("Name is too long (maximum is 30 characters)")]
    TooLong,
    #[error("Name must start with a letter, end with a letter or digit, and can only contain lowercase letters, digits, and dashes.")]
    Malformed,
    #[error("Name is reserved for the platform. Choose another one.")]
    Reserved,
}

impl AppName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The app a request is for: the label before `.domain` in a `Host` header without its port.
    /// None when the host is not directly below `domain` or the label is no valid name.
    pub fn from_host(host: &str, domain: &str) -> Option<AppName> {
        let label = host.strip_suffix(domain)?.strip_suffix('.')?;
        label.parse().ok()
    }

    /// A name like `severe-mountain-79301`. `entropy` is any random number.
    pub fn generate(entropy: u64) -> AppName {
        let adjective = ADJECTIVES[(entropy % ADJECTIVES.len() as u64) as usize];
        let noun = NOUNS[((entropy >> 16) % NOUNS.len() as u64) as usize];
        let number = 10_000 + (entropy >> 32) % 90_000;
        AppName(format!("{adjective}-{noun}-{number}"))
    }
}

impl FromStr for AppName {
    type Err = AppNameError;

    fn from_str(text: &str) -> Result<AppName, AppNameError> {
        let bytes = text.as_bytes();
        let letter = |b: &u8| b.is_ascii_lowercase();
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        if bytes.len() > 30 {
            return Err(AppNameError::TooLong);
        }
        if !bytes.iter().all(inner) {
            return Err(AppNameError::Malformed);
        }
        if bytes.len() < 3 {
            return Err(AppNameError::TooShort);
        }
        if !bytes.first().is_some_and(letter) || bytes.last() == Some(&b'-') {
            return Err(AppNameError::Malformed);
        }
        if text.starts_with("xn--") || RESERVED.contains(&text) {
            return Err(AppNameError::Reserved);
        }
        Ok(AppName(text.to_owned()))
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const ADJECTIVES: &[&str] = &[
    "agile",
    "ancient",
    "autumn",
    "bold",
    "brave",
    "bright",
    "calm",
    "clever",
    "cool",
    "crisp",
    "dawn",
    "dry",
    "eager",
    "early",
    "fair",
    "fierce",
    "floating",
    "frosty",
    "gentle",
    "golden",
    "green",
    "hidden",
    "icy",
    "kind",
    "late",
    "lively",
    "lucky",
    "mighty",
    "misty",
    "morning",
    "nameless",
    "noble",
    "old",
    "patient",
    "polar",
    "proud",
    "quiet",
    "rapid",
    "rough",
    "secret",
    "serene",
    "severe",
    "shy",
    "silent",
    "small",
    "snowy",
    "still",
    "summer",
    "sunny",
    "tall",
    "tranquil",
    "twilight",
    "warm",
    "whispering",
    "wild",
    "winter",
    "wise",
    "young",
];

const NOUNS: &[&str] = &[
    "beach", "bird", "brook", "bush", "cliff", "cloud", "coast", "dawn", "dew", "dragon", "dune", "dust", "feather", "field", "fire",
    "flower", "fog", "forest", "frost", "garden", "glade", "grass", "harbor", "haze", "hill", "island", "lake", "leaf", "meadow", "moon",
    "morning", "mountain", "night", "oasis", "paper", "peak", "pine", "plain", "pond", "rain", "reef", "ridge", "river", "sea", "shadow",
    "shape", "sky", "smoke", "snow", "spring", "star", "stone", "stream", "sun", "thunder", "tree", "valley", "wave", "wind", "woodland",
];

/// One app as the store holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    pub id: AppId,
    pub name: AppName,
    pub owner_id: UserId,
    pub owner_email: String,
    /// Small and never used again; the uid of its processes is 20000 + number.
    pub number: u32,
    pub maintenance: bool,
    pub stack: String,
    pub current_release_id: Option<ReleaseId>,
    pub released_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// How long a destroyed app can be brought back.
pub const BIN: Duration = Duration::from_secs(7 * 24 * 3600);

/// A destroyed app.
#[derive(Clone, Debug, PartialEq)]
pub struct BinnedApp {
    pub id: AppId,
    /// What it was called; somebody else's app may be called so by now.
    pub name: AppName,
    pub owner_id: UserId,
    /// Who destroyed it.
    pub user_email: String,
    /// Nothing of it runs any more; only then it can be brought back.
    pub settled: bool,
    pub binned_at: Timestamp,
    pub purge_at: Timestamp,
    /// Add-ons that come back with it.
    pub attachments: u32,
}

/// An app on its way to another owner.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    pub id: TransferId,
    pub app_id: AppId,
    pub app_name: AppName,
    pub owner_id: UserId,
    pub owner_email: String,
    pub recipient_id: UserId,
    pub recipient_email: String,
    /// `pending`, `accepted` or `declined`.
    pub state: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heroku_rule_and_messages_hold() {
        for good in ["abc", "tiendavideojuegos", "a-1", "severe-mountain-79301", &"a".repeat(30)] {
            assert_eq!(good.parse::<AppName>().expect(good).as_str(), good);
        }
        for (bad, why) in [
            ("ab", AppNameError::TooShort),
            (&*"a".repeat(31), AppNameError::TooLong),
            ("1abc", AppNameError::Malformed),
            ("abc-", AppNameError::Malformed),
            ("Tienda", AppNameError::Malformed),
            ("a_b", AppNameError::Malformed),
            ("a.b", AppNameError::Malformed),
            ("a b", AppNameError::Malformed),
            ("añb", AppNameError::Malformed),
            ("www", AppNameError::Reserved),
            ("api", AppNameError::Reserved),
            ("xn--abc", AppNameError::Reserved),
        ] {
            assert_eq!(bad.parse::<AppName>(), Err(why), "{bad}");
        }
    }

    #[test]
    fn a_host_names_an_app_only_directly_below_the_domain() {
        let name = |host| AppName::from_host(host, "apps.example.org").map(|n| n.to_string());
        assert_eq!(name("tienda.apps.example.org").as_deref(), Some("tienda"));
        for other in ["apps.example.org", "a.tienda.apps.example.org", "tiendaapps.example.org", "tienda.example.org", ".apps.example.org"]
        {
            assert_eq!(name(other), None, "{other}");
        }
    }

    #[test]
    fn generated_names_are_valid() {
        for seed in 0..5_000u64 {
            let entropy = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let name = AppName::generate(entropy);
            assert_eq!(name.as_str().parse::<AppName>().as_ref(), Ok(&name));
        }
    }
}
