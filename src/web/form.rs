//! A form as it was sent, with what is wrong with it.

use std::collections::BTreeMap;

/// Values to show again and messages by field; the field `form` is the form as a whole.
#[derive(Clone, Debug, Default)]
pub struct Form {
    values: BTreeMap<&'static str, String>,
    errors: BTreeMap<&'static str, String>,
}

impl Form {
    /// A value to show in the form. Never a password or a token.
    pub fn filled(mut self, name: &'static str, value: impl Into<String>) -> Form {
        self.values.insert(name, value.into());
        self
    }

    /// A message at a field.
    pub fn wrong(mut self, name: &'static str, message: impl Into<String>) -> Form {
        self.errors.insert(name, message.into());
        self
    }

    pub fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    pub fn error(&self, name: &str) -> Option<&str> {
        self.errors.get(name).map(String::as_str)
    }
}
