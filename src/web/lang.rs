//! The two languages of the dashboard, and the words in them (`locales/`).

use std::{borrow::Cow, collections::HashMap, time::Duration};

use fluent_templates::{LanguageIdentifier, Loader, fluent_bundle::FluentValue};

use crate::domain::Timestamp;

fluent_templates::static_loader! {
    static LOCALES = {
        locales: "./locales",
        fallback_language: "en",
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

/// A language of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lang {
    En,
    Es,
}

impl Lang {
    /// `en` or `es`.
    pub fn code(self) -> &'static str {
        match self {
            Lang::En => "en",
            Lang::Es => "es",
        }
    }

    /// From a language tag: `es`, `es-ES`, `EN-us`.
    pub fn parse(tag: &str) -> Option<Lang> {
        match tag.split(['-', '_']).next()?.trim().to_ascii_lowercase().as_str() {
            "en" => Some(Lang::En),
            "es" => Some(Lang::Es),
            _ => None,
        }
    }

    /// The account's choice, then the cookie's, then the best of `Accept-Language`, then English.
    pub fn choose(account: Option<&str>, cookie: Option<&str>, accept: Option<&str>) -> Lang {
        account.and_then(Lang::parse).or_else(|| cookie.and_then(Lang::parse)).or_else(|| accept.and_then(best_of)).unwrap_or(Lang::En)
    }

    /// The text of a key.
    pub fn t(self, key: &str) -> String {
        LOCALES.lookup(&self.identifier(), key)
    }

    /// The text of a key with values in it. A value that is a number chooses plural forms.
    pub fn with(self, key: &str, values: &[(&'static str, &str)]) -> String {
        let values: HashMap<Cow<'static, str>, FluentValue> =
            values.iter().map(|(name, value)| (Cow::Borrowed(*name), value_of(name, value))).collect();
        LOCALES.lookup_with_args(&self.identifier(), key, &values)
    }

    fn identifier(self) -> LanguageIdentifier {
        self.code().parse().expect("our codes are language tags")
    }
}

/// Only `$n` is a number; names and the like stay text though they may be digits.
fn value_of<'a>(name: &str, value: &'a str) -> FluentValue<'a> {
    if name == "n" { FluentValue::try_number(value) } else { FluentValue::from(value) }
}

/// The language of ours with the highest weight in an `Accept-Language` header.
fn best_of(header: &str) -> Option<Lang> {
    let weighed = header.split(',').filter_map(|part| {
        let mut pieces = part.split(';');
        let lang = Lang::parse(pieces.next()?.trim())?;
        let weight = pieces.find_map(|piece| piece.trim().strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
        (weight > 0.0).then_some((lang, weight))
    });
    weighed.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(lang, _)| lang)
}

/// `13 h 12 m`, `12 m`, `40 s`: the same letters in both languages.
pub fn hours(span: Duration) -> String {
    let seconds = span.as_secs();
    match (seconds / 3600, seconds % 3600 / 60) {
        (0, 0) => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} m"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} m"),
    }
}

/// How long a step took: `0.4 s`, `31 s`, `2 m 5 s`.
pub fn took(span: Duration) -> String {
    match span.as_secs() {
        0..10 => format!("{:.1} s", span.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds => format!("{} m {} s", seconds / 60, seconds % 60),
    }
}

/// The time between two moments in its largest unit: `12 min`, `3 h`, `5 d`.
pub fn rough(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// `10,000`, as a language writes it.
pub fn grouped(lang: Lang, count: u64) -> String {
    let digits = count.to_string();
    let parts: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|part| std::str::from_utf8(part).unwrap_or_default()).collect();
    parts.join(match lang {
        Lang::En => ",",
        Lang::Es => ".",
    })
}

/// `16:42` in UTC; script in the page shows it in the reader's own zone.
pub fn clock_time(at: Timestamp) -> String {
    at.to_jiff().strftime("%H:%M").to_string()
}

/// Memory in MB as Heroku counts it: `512 MB` are 512 MiB.
pub fn mebibytes(count: i64) -> String {
    format!("{} MB", count / (1024 * 1024))
}

/// Bytes as people read them: `184 MB`.
pub fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{} kB", count.div_ceil(1000)),
        1_000_000..100_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{} MB", count / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::{BTreeMap, BTreeSet},
        path::Path,
    };

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    fn texts_below(folder: &Path, extension: &str) -> String {
        let mut text = String::new();
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                text += &texts_below(&entry, extension);
            } else if entry.extension().is_some_and(|found| found == extension) {
                text += &std::fs::read_to_string(entry).unwrap();
            }
        }
        text
    }

    /// Key -> the values its text takes.
    fn messages(lang: Lang) -> BTreeMap<String, BTreeSet<String>> {
        let text = texts_below(&root().join("locales").join(lang.code()), "ftl");
        let mut messages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines() {
            if line.starts_with(|c: char| c.is_ascii_lowercase()) {
                current = line.split_once(" =").expect(line).0.to_owned();
                assert!(messages.insert(current.clone(), BTreeSet::new()).is_none(), "{current} stands twice");
            }
            for rest in line.split('$').skip(1) {
                let value: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
                messages.get_mut(&current).unwrap().insert(value);
            }
        }
        messages
    }

    #[test]
    fn both_languages_have_the_same_keys_and_values() {
        assert_eq!(messages(Lang::En), messages(Lang::Es));
    }

    #[test]
    fn every_key_is_used_and_every_used_key_is_there() {
        let code = texts_below(&root().join("templates"), "html") + &texts_below(&root().join("src/web"), "rs");
        let keys = messages(Lang::En);
        let hints: BTreeSet<&str> = crate::domain::hint::keys().collect();
        assert!(hints.iter().all(|key| keys.contains_key(*key)), "every hint has its words");
        let unused: Vec<_> = keys.keys().filter(|key| !hints.contains(key.as_str()) && !code.contains(&format!("\"{key}\""))).collect();
        assert!(unused.is_empty(), "unused: {unused:?}");
        for call in ["t(\"", "t1(\"", "t2(\"", "tn(\"", "with(\""] {
            for (at, found) in code.match_indices(call) {
                let key = code[at + found.len()..].split('"').next().unwrap();
                let ours = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
                let whole = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
                assert!(!ours || !whole || keys.contains_key(key), "missing: {key}");
            }
        }
    }

    #[test]
    fn account_then_cookie_then_browser_decide() {
        assert_eq!(Lang::choose(Some("es"), Some("en"), Some("en")), Lang::Es);
        assert_eq!(Lang::choose(None, Some("es"), Some("en")), Lang::Es);
        assert_eq!(Lang::choose(None, None, Some("fr, en;q=0.4, es-ES;q=0.9")), Lang::Es);
        assert_eq!(Lang::choose(None, Some("xx"), Some("fr")), Lang::En);
    }

    #[test]
    fn spans_read_like_a_person_says_them() {
        let seconds = Duration::from_secs;
        assert_eq!(hours(seconds(47_520)), "13 h 12 m");
        assert_eq!(hours(seconds(64_800)), "18 h");
        assert_eq!((rough(seconds(720)), rough(seconds(90_000)), rough(seconds(432_000))), ("12 min".into(), "25 h".into(), "5 d".into()));
        assert_eq!((took(Duration::from_millis(420)), took(seconds(125))), ("0.4 s".into(), "2 m 5 s".into()));
    }
}
