//! From the log of an app or a build to what its author should do: a table of known failures.
//! Values in, values out; the words stand in `locales/*/hints.ftl` under the key of the rule.

mod rules;

use self::rules::{BUILTIN, PACKAGES, RULES, Rule};

/// Lines that make one sentence at most: installers break theirs at any word.
const WRAPPED: usize = 6;

/// What a log says is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hint {
    /// Key of its text.
    pub key: &'static str,
    /// The package, file or variable it is about; empty for rules that name none.
    pub what: String,
    /// What to write instead, where that is known.
    pub fix: String,
    /// Index of the line that tells it.
    pub line: usize,
}

/// The keys of all hints there are.
pub fn keys() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.key)
}

/// The most telling known failure of a log, in messages without colours and without time stamps.
pub fn find<L: AsRef<str>>(lines: &[L]) -> Option<Hint> {
    let sentences: Vec<String> = (0..lines.len()).map(|at| sentence(lines, at)).collect();
    let has = |sign: &str| sentences.iter().any(|text| capture(sign, text).is_some());
    RULES
        .iter()
        .filter(|rule| rule.also.is_empty() || rule.also.iter().any(|sign| has(sign)))
        .find_map(|rule| {
            let first = sentences.iter().position(|text| tells(rule, text).is_some())?;
            // A sentence over many lines is seen from some before it, too.
            let seen = sentences[first..].iter().take(WRAPPED).take_while(|text| tells(rule, text).is_some()).count();
            let line = first + seen - 1;
            Some(named(Hint { key: rule.key, what: tells(rule, &sentences[line])?.to_owned(), fix: String::new(), line }))
        })
        .or_else(|| crash(lines))
}

/// What a rule is about, if the text is one that it knows.
fn tells<'a>(rule: &Rule, text: &'a str) -> Option<&'a str> {
    rule.signs.iter().find_map(|sign| capture(sign, text))
}

/// Says what is known of a named package or module.
fn named(mut hint: Hint) -> Hint {
    let name = hint.what.split('.').next().unwrap_or_default().to_owned();
    let known = PACKAGES.iter().find(|(module, _)| *module == name || *module == hint.what).map_or("", |(_, package)| *package);
    match hint.key {
        // Part of Python, but of no use without a screen.
        "hint-module-missing" if matches!(name.as_str(), "tkinter" | "_tkinter" | "turtle") => hint.key = "hint-no-display",
        "hint-module-missing" if known.is_empty() && name.starts_with(char::is_uppercase) => hint.key = "hint-module-case",
        "hint-module-missing" if known.is_empty() => hint.fix = name,
        "hint-module-missing" | "hint-package-renamed" => hint.fix = known.to_owned(),
        "hint-windows-only" => hint.what.truncate(hint.what.find("==").unwrap_or(hint.what.len())),
        "hint-package-unknown" if BUILTIN.contains(&name.as_str()) => hint.key = "hint-package-builtin",
        "hint-package-unknown" if !known.is_empty() => (hint.key, hint.fix) = ("hint-package-renamed", known.to_owned()),
        _ => {}
    }
    hint
}

/// An app that ended in an error no rule knows: the line of its exception.
fn crash<L: AsRef<str>>(lines: &[L]) -> Option<Hint> {
    let crashed = lines.iter().any(|line| line.as_ref().ends_with(" to crashed"));
    let after = lines.iter().position(|line| line.as_ref().starts_with("Traceback (most recent call last):")).filter(|_| crashed)?;
    let line = after + 1 + lines[after + 1..].iter().position(|line| !line.as_ref().starts_with([' ', '\t']))?;
    Some(Hint { key: "hint-crash", what: lines[line].as_ref().chars().take(200).collect(), fix: String::new(), line })
}

/// A line of a log; of a build's output the whole sentence that begins in it.
fn sentence<L: AsRef<str>>(lines: &[L], at: usize) -> String {
    let line = lines[at].as_ref();
    let frame = at.checked_sub(1).map_or("", |before| lines[before].as_ref());
    if line.starts_with("KeyError: ") && (frame.contains("<frozen os>") || frame.contains("raise KeyError(key) from None")) {
        return format!("os.environ {line}");
    }
    if !line.starts_with("       ") {
        return line.to_owned();
    }
    let wrapped = lines[at..].iter().take(WRAPPED).map(AsRef::as_ref).take_while(|line| line.starts_with("       "));
    let words = wrapped.flat_map(str::split_whitespace).filter(|word| !matches!(*word, "cause:" | "│" | "╰─▶" | "×" | "├─▶"));
    words.collect::<Vec<_>>().join(" ")
}

/// What stands for `{}` in a sign (empty without one), if the text holds the sign; a sign that
/// begins with `^` stands at the beginning.
fn capture<'a>(sign: &str, text: &'a str) -> Option<&'a str> {
    let (sign, anchored) = sign.strip_prefix('^').map_or((sign, false), |sign| (sign, true));
    let (before, after) = sign.split_once("{}").map_or((sign, None), |(before, after)| (before, Some(after)));
    let start = if anchored { text.starts_with(before).then_some(0) } else { text.find(before) }? + before.len();
    match after {
        None => Some(""),
        Some("") => text[start..].split_whitespace().next(),
        Some(after) => text[start..].find(after).map(|end| &text[start..start + end]).filter(|what| what.len() < 200),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_capture_what_they_name() {
        assert_eq!(capture("No module named '{}'", "x: No module named 'cv2'"), Some("cv2"));
        assert_eq!(capture("^x {}", "x y z"), Some("y"));
        assert_eq!(capture("^y", "x y"), None);
        assert_eq!(capture("plain", "so plain it is"), Some(""));
        assert_eq!(capture("a {} b", "a c"), None);
    }

    #[test]
    fn sentences_of_installers_are_found_over_broken_lines() {
        let output =
            ["       × No solution found:", "       ╰─▶ Because flaskk was not found in the", "           package registry and you"];
        let hint = find(&output).expect("a hint");
        assert_eq!((hint.key, hint.what.as_str()), ("hint-package-unknown", "flaskk"));
    }

    #[test]
    fn an_exception_without_a_crash_is_the_app_s_own_matter() {
        let log = ["Traceback (most recent call last):", "  File \"app.py\"", "KeyError: 'mario'"];
        assert_eq!(find(&log), None);
        let log = [log[0], log[1], log[2], "State changed from starting to crashed"];
        assert_eq!(find(&log).map(|hint| (hint.key, hint.line)), Some(("hint-crash", 2)));
    }
}
