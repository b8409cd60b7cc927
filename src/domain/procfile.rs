//! The Procfile: which command starts each process type (heroku.md 6.1).

use crate::domain::ProcessType;

/// The most a Procfile may hold, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// Process types with their commands, in the order of the file; later lines of a type win.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Procfile {
    entries: Vec<(ProcessType, String)>,
}

/// What is wrong with a Procfile, with the number of the line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProcfileError {
    #[error("Procfile, line {line}: `{text}` is not `<process type>: <command>`. Write it like `web: gunicorn app:app`.")]
    Malformed { line: usize, text: String },
    #[error("Procfile, line {line}: the process type `{process_type}` has no command.")]
    NoCommand { line: usize, process_type: String },
    #[error("Procfile is larger than 64 KiB.")]
    TooLarge,
    #[error("Procfile is not text in UTF-8. Save it as plain text.")]
    NotText,
}

impl Procfile {
    /// Parses the file's bytes. Empty lines and lines starting with `#` are skipped, CRLF and a
    /// byte order mark are accepted; other control characters than tabs are not.
    pub fn parse(bytes: &[u8]) -> Result<Procfile, ProcfileError> {
        if bytes.len() > MAX_BYTES {
            return Err(ProcfileError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ProcfileError::NotText)?;
        let mut procfile = Procfile::default();
        for (index, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = index + 1;
            let content = raw.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let malformed = || ProcfileError::Malformed { line, text: content.chars().filter(|c| !c.is_control()).take(80).collect() };
            let (name, command) = content.split_once(':').ok_or_else(malformed)?;
            let process_type: ProcessType = name.trim_end().parse().map_err(|_| malformed())?;
            let command = command.trim();
            if command.chars().any(|c| c.is_control() && c != '\t') {
                return Err(malformed());
            }
            if command.is_empty() {
                return Err(ProcfileError::NoCommand { line, process_type: process_type.to_string() });
            }
            procfile.set(process_type, command.to_owned());
        }
        Ok(procfile)
    }

    /// Adds a type, or replaces its command in place.
    pub fn set(&mut self, process_type: ProcessType, command: String) {
        match self.entries.iter_mut().find(|(known, _)| *known == process_type) {
            Some(entry) => entry.1 = command,
            None => self.entries.push((process_type, command)),
        }
    }

    /// The command of a process type.
    pub fn command(&self, process_type: &ProcessType) -> Option<&str> {
        self.entries.iter().find(|(known, _)| known == process_type).map(|(_, command)| command.as_str())
    }

    /// Types and commands in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&ProcessType, &str)> {
        self.entries.iter().map(|(process_type, command)| (process_type, command.as_str()))
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// As a JSON object in file order: how a slug stores it.
    pub fn to_json(&self) -> String {
        let fields: Vec<String> = self
            .entries
            .iter()
            .map(|(process_type, command)| format!("{}:{}", serde_json::json!(process_type.as_str()), serde_json::json!(command)))
            .collect();
        format!("{{{}}}", fields.join(","))
    }

    /// Reads what `to_json` wrote. Entries that are not valid types are left out.
    pub fn from_json(text: &str) -> Procfile {
        struct Entries(Vec<(ProcessType, String)>);
        impl<'de> serde::Deserialize<'de> for Entries {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl<'de> serde::de::Visitor<'de> for Visitor {
                    type Value = Entries;
                    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                        f.write_str("an object of process types")
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                        let mut entries = Vec::new();
                        while let Some((name, command)) = map.next_entry::<String, String>()? {
                            entries.extend(name.parse().ok().map(|process_type| (process_type, command)));
                        }
                        Ok(Entries(entries))
                    }
                }
                deserializer.deserialize_map(Visitor)
            }
        }
        Procfile { entries: serde_json::from_str(text).map(|Entries(entries)| entries).unwrap_or_default() }
    }
}
