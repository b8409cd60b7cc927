//! Features of an app that its owner switches on, by Heroku's names.

use std::{fmt, str::FromStr};

/// What can be switched on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feature {
    /// Memory and load of each dyno in the app's log, every 20 seconds.
    LogRuntimeMetrics,
    /// A new release boots beside the old one, which serves till then. Apps begin with it.
    Preboot,
    /// Variables that tell a dyno about its app and release.
    RuntimeDynoMetadata,
}

impl Feature {
    pub const ALL: [Feature; 3] = [Feature::LogRuntimeMetrics, Feature::Preboot, Feature::RuntimeDynoMetadata];

    pub fn as_str(self) -> &'static str {
        match self {
            Feature::LogRuntimeMetrics => "log-runtime-metrics",
            Feature::Preboot => "preboot",
            Feature::RuntimeDynoMetadata => "runtime-dyno-metadata",
        }
    }

    /// Heroku's word for where clients list it: `heroku features` or `heroku labs`.
    pub fn state(self) -> &'static str {
        match self {
            Feature::Preboot => "general",
            Feature::LogRuntimeMetrics | Feature::RuntimeDynoMetadata => "public",
        }
    }

    /// A sentence for lists.
    pub fn description(self) -> &'static str {
        match self {
            Feature::LogRuntimeMetrics => "Emits dyno resource usage information into the app's log",
            Feature::Preboot => "Boots a new release beside the old one, which serves until the new one does",
            Feature::RuntimeDynoMetadata => "Tells dynos about their app and release in variables",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Feature {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Feature::ALL.into_iter().find(|feature| feature.as_str() == text);
        found.ok_or_else(|| format!("Couldn't find that feature ({}).", text.chars().take(80).collect::<String>()))
    }
}
