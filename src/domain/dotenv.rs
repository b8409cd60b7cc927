//! A `.env` file: `KEY=value` lines, as people keep them beside their code.
//!
//! A value may stand in single quotes (taken as it is) or double quotes (`\n`, `\r`, `\t`, `\"`, `\\`,
//! `\$`); both may go over several lines. Without quotes it ends at ` #`. `export ` before a name is
//! passed over, `$NAME` is not replaced.

use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::domain::{ConfigKey, config_var::ConfigVarError};

/// What is wrong with a line; the first line is 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineFault {
    pub line: usize,
    pub why: LineError,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LineError {
    /// There is no `=`.
    NotAPair,
    Key(ConfigVarError),
    /// A quote is never closed.
    Open,
}

/// Names and values of a file; of a name that stands twice the last counts.
///
/// # Errors
/// Every line that is wrong. Their values are not among what is told.
pub fn parse(text: &str) -> Result<BTreeMap<ConfigKey, SecretString>, Vec<LineFault>> {
    let (mut vars, mut faults) = (BTreeMap::new(), Vec::new());
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut fault = |why| faults.push(LineFault { line: index + 1, why });
        let Some((key, value)) = line.strip_prefix("export ").unwrap_or(line).split_once('=') else {
            fault(LineError::NotAPair);
            continue;
        };
        let Some(value) = value_of(value.trim_start(), &mut lines) else {
            fault(LineError::Open);
            continue;
        };
        match key.trim().parse::<ConfigKey>() {
            Ok(key) => drop(vars.insert(key, value.into())),
            Err(error) => fault(LineError::Key(error)),
        }
    }
    if faults.is_empty() { Ok(vars) } else { Err(faults) }
}

/// The value that begins here; takes further lines while a quote is open. None: it never closes.
fn value_of<'a>(first: &str, lines: &mut impl Iterator<Item = (usize, &'a str)>) -> Option<String> {
    let Some(quote) = first.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let end = if first.starts_with('#') { Some(0) } else { first.find(" #") };
        return Some(end.map_or(first, |end| &first[..end]).trim_end().to_owned());
    };
    let mut whole = first[1..].to_owned();
    loop {
        if let Some(value) = closed(&whole, quote) {
            return Some(value);
        }
        whole.push('\n');
        whole.push_str(lines.next()?.1);
    }
}

/// What stands before the closing quote.
fn closed(text: &str, quote: char) -> Option<String> {
    let mut value = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            c if c == quote => return Some(value),
            '\\' if quote == '"' => match rest.next()? {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                c @ ('"' | '\\' | '$') => value.push(c),
                other => value.extend(['\\', other]),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn values_are_read_as_other_tools_read_them() {
        let text = "\u{feff}# shop\nA=1\nexport B = two words # not this\r\nC='as $it \\n is' # x\nD=\"a\\tb\\\"c\\$\"\nE=\nF=#\nG=a#b\nA=last\nH=\"one\ntwo\"\n\nI='x=y'";
        let vars = parse(text).unwrap();
        let read: Vec<_> = vars.iter().map(|(key, value)| (key.as_str(), value.expose_secret())).collect();
        let expected = [
            ("A", "last"),
            ("B", "two words"),
            ("C", "as $it \\n is"),
            ("D", "a\tb\"c$"),
            ("E", ""),
            ("F", ""),
            ("G", "a#b"),
            ("H", "one\ntwo"),
            ("I", "x=y"),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn every_wrong_line_is_named_and_no_value_told() {
        let faults = parse("PORT=80\nnonsense secret\n1A=secret\nOK=1\nQ=\"secret").unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [1, 2, 3, 5]);
        assert!(matches!(faults[0].why, LineError::Key(ConfigVarError::Reserved(_))));
        assert_eq!((&faults[1].why, &faults[3].why), (&LineError::NotAPair, &LineError::Open));
        assert!(!format!("{faults:?}").contains("secret"));
    }
}
