//! Webhooks: what may be told of an app, to whom, and when a failed delivery is tried again.

use std::{fmt, str::FromStr, time::Duration};

/// Something that webhooks are told of, by Heroku's words (heroku.md 9.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topic {
    Addon,
    AddonAttachment,
    App,
    Build,
    Collaborator,
    Domain,
    /// Both `dyno` and `api:dyno`.
    Dyno,
    Formation,
    Release,
    /// Never happens here; taken because clients name it.
    SniEndpoint,
}

const WORDS: [(Topic, &str); 11] = [
    (Topic::Addon, "api:addon"),
    (Topic::AddonAttachment, "api:addon-attachment"),
    (Topic::App, "api:app"),
    (Topic::Build, "api:build"),
    (Topic::Collaborator, "api:collaborator"),
    (Topic::Domain, "api:domain"),
    (Topic::Dyno, "dyno"),
    (Topic::Dyno, "api:dyno"),
    (Topic::Formation, "api:formation"),
    (Topic::Release, "api:release"),
    (Topic::SniEndpoint, "api:sni-endpoint"),
];

impl Topic {
    pub fn as_str(self) -> &'static str {
        WORDS.iter().find(|(topic, _)| *topic == self).map_or("", |(_, word)| word)
    }

    /// What the field `resource` says.
    pub fn resource(self) -> &'static str {
        self.as_str().trim_start_matches("api:")
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Topic {
    type Err = String;

    fn from_str(text: &str) -> Result<Topic, String> {
        WORDS.iter().find(|(_, word)| *word == text).map(|(topic, _)| *topic).ok_or_else(|| {
            let known: Vec<&str> = WORDS.iter().map(|(_, word)| *word).collect();
            format!("include holds {:?}, which is not one of: {}.", text.chars().take(80).collect::<String>(), known.join(", "))
        })
    }
}

/// How often a delivery is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Once.
    Notify,
    /// Until it arrives, for three days.
    Sync,
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Notify => "notify",
            Level::Sync => "sync",
        }
    }
}

impl FromStr for Level {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Level, &'static str> {
        match text {
            "notify" => Ok(Level::Notify),
            "sync" => Ok(Level::Sync),
            _ => Err("level must be `notify` or `sync`."),
        }
    }
}

/// A delivery of the level `sync` is given up after so long.
const GIVE_UP: Duration = Duration::from_secs(72 * 3_600);
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// How long to wait after the failed try number `attempts` (from 1) of a delivery as old as `age`;
/// None: it has failed for good. The pauses double, from ten seconds to an hour.
pub fn pause(level: Level, attempts: u32, age: Duration) -> Option<Duration> {
    let doubled = FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    (level == Level::Sync && age < GIVE_UP).then(|| doubled.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_herokus_words_and_nothing_else() {
        for (topic, word) in WORDS {
            assert_eq!(word.parse(), Ok(topic));
        }
        assert_eq!((Topic::Dyno.as_str(), Topic::Dyno.resource()), ("dyno", "dyno"));
        assert_eq!((Topic::Build.as_str(), Topic::Build.resource()), ("api:build", "build"));
        assert!("api:nothing".parse::<Topic>().unwrap_err().contains("api:release"));
    }

    #[test]
    fn pauses_double_up_to_an_hour_and_end_after_three_days() {
        let seconds = |attempts| pause(Level::Sync, attempts, Duration::ZERO).map(|pause| pause.as_secs());
        assert_eq!([1, 2, 3, 9, 10, 99].map(seconds), [Some(10), Some(20), Some(40), Some(2_560), Some(3_600), Some(3_600)]);
        assert_eq!(pause(Level::Notify, 1, Duration::ZERO), None, "one try");
        assert_eq!(pause(Level::Sync, 80, GIVE_UP), None);
    }
}
