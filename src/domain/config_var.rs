//! Config vars: names, limits, reserved keys (heroku.md 10.7).

use std::{collections::BTreeMap, fmt, str::FromStr};

use secrecy::{ExposeSecret, SecretString};

/// All keys and values of an app together, in bytes.
pub const MAX_TOTAL_BYTES: usize = 64 * 1024;
/// One value, in bytes.
pub const MAX_VALUE_BYTES: usize = 32 * 1024;

/// The name of a config var: `^[A-Za-z_][A-Za-z0-9_]{0,127}$`, not one the platform sets itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConfigKey(String);

/// What is wrong with a config var.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigVarError {
    #[error("`{0}` is not a config var name. Use letters, digits and `_`, not starting with a digit, at most 128 characters.")]
    Malformed(String),
    #[error("`{0}` is set by the platform and can't be changed.")]
    Reserved(String),
    #[error("The value of `{0}` holds a NUL character, which no environment variable can carry.")]
    Nul(String),
    #[error("The value of `{0}` is larger than 32 KiB.")]
    ValueTooLarge(String),
    #[error("Config vars are limited to 64 KiB for an app, names and values together.")]
    TotalTooLarge,
}

impl ConfigKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ConfigKey {
    /// The variable of an add-on's attachment. Unlike users, add-ons may use `HEROKU_POSTGRESQL_`.
    pub(super) fn of_attachment(name: &str) -> ConfigKey {
        ConfigKey(format!("{name}_URL"))
    }
}

impl FromStr for ConfigKey {
    type Err = ConfigVarError;
    fn from_str(text: &str) -> Result<Self, ConfigVarError> {
        let shown = || text.chars().take(80).collect::<String>();
        let valid = text.len() <= 128
            && !text.is_empty()
            && !text.as_bytes()[0].is_ascii_digit()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !valid {
            return Err(ConfigVarError::Malformed(shown()));
        }
        let reserved = matches!(text, "PORT" | "DYNO" | "HOME" | "PWD" | "USER")
            || ["__", "HEROKU_", "DOCKER_", "SIESTA_"].iter().any(|prefix| text.starts_with(prefix));
        if reserved {
            return Err(ConfigVarError::Reserved(shown()));
        }
        Ok(ConfigKey(text.to_owned()))
    }
}

impl fmt::Display for ConfigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All config vars of an app. Values are secrets: `Debug` shows names only.
#[derive(Clone, Default)]
pub struct ConfigVars {
    vars: BTreeMap<ConfigKey, SecretString>,
}

impl ConfigVars {
    /// Applies changes (`None` removes) and checks the limits. Nothing changes on an error.
    pub fn change(&self, changes: &BTreeMap<ConfigKey, Option<SecretString>>) -> Result<ConfigVars, ConfigVarError> {
        let mut vars = self.vars.clone();
        for (key, value) in changes {
            match value {
                None => {
                    vars.remove(key);
                }
                Some(value) => {
                    let text = value.expose_secret();
                    if text.contains('\0') {
                        return Err(ConfigVarError::Nul(key.to_string()));
                    }
                    if text.len() > MAX_VALUE_BYTES {
                        return Err(ConfigVarError::ValueTooLarge(key.to_string()));
                    }
                    vars.insert(key.clone(), value.clone());
                }
            }
        }
        let total: usize = vars.iter().map(|(key, value)| key.as_str().len() + value.expose_secret().len()).sum();
        if total > MAX_TOTAL_BYTES {
            return Err(ConfigVarError::TotalTooLarge);
        }
        Ok(ConfigVars { vars })
    }

    pub fn iter(&self) -> impl Iterator<Item = (&ConfigKey, &SecretString)> {
        self.vars.iter()
    }

    pub fn get(&self, key: &str) -> Option<&SecretString> {
        self.vars.iter().find(|(known, _)| known.as_str() == key).map(|(_, value)| value)
    }

    pub fn len(&self) -> usize {
        self.vars.len()
    }

    pub fn is_empty(&self) -> bool {
        self.vars.is_empty()
    }

    /// The JSON object that is sealed and stored. Secret: hand it to `secrets` only.
    pub fn to_json(&self) -> SecretString {
        let map: BTreeMap<&str, &str> = self.vars.iter().map(|(key, value)| (key.as_str(), value.expose_secret())).collect();
        serde_json::to_string(&map).expect("a map of strings is JSON").into()
    }

    /// Reads what `to_json` wrote.
    pub fn from_json(text: &str) -> Result<ConfigVars, serde_json::Error> {
        let map: BTreeMap<String, String> = serde_json::from_str(text)?;
        Ok(ConfigVars { vars: map.into_iter().map(|(key, value)| (ConfigKey(key), value.into())).collect() })
    }
}

impl fmt::Debug for ConfigVars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.vars.keys()).finish()
    }
}
