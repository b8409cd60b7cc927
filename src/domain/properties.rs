//! Properties of every parser of text that comes from outside (security.md SR2, T2): whatever the
//! text, nothing panics, and what is accepted lies in the grammar, which is said here once more.

use proptest::prelude::*;

use crate::domain::{
    AppName, ConfigKey, DynoName, Email, ProcessType, Procfile, Timestamp, Version,
    app::AppNameError,
    config_var::ConfigVarError,
    formation::Quantity,
    procfile::{MAX_BYTES, ProcfileError},
    release::short_commit,
    test_cases,
};

/// Pieces that have broken parsers, shells, paths, logs and pages elsewhere.
const PAYLOADS: &[&str] = &[
    ";",
    "$(id)",
    "`id`",
    "|",
    "&",
    "&&",
    "||",
    ">",
    "<",
    "*",
    "?",
    "~",
    "!",
    "#",
    "%",
    "\\",
    "\"",
    "'",
    "{}",
    "[]",
    "()",
    "=",
    ":",
    ",",
    "@",
    "\n",
    "\r",
    "\r\n",
    "\t",
    "\0",
    " ",
    "\u{b}",
    "\u{1b}[2J",
    "\u{7f}",
    "--",
    "-",
    "-u",
    "--help",
    "-oProxyCommand=id",
    "../",
    "..",
    ".",
    "/",
    "//",
    "%2e",
    "%2e%2e%2f",
    "%00",
    "%0a",
    "${IFS}",
    "$HOME",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "<script>",
    "' or 1=1 --",
    "\u{feff}",
    "\u{200b}",
    "\u{202e}",
    "\u{a0}",
    "\u{2028}",
    "ＡＢＣ",
    "ａｂｃ",
    "ı",
    "K",
    "ſ",
    "ñ",
    "é",
    "e\u{301}",
    "😀",
    "٣",
    "１",
    "xn--",
    "localhost",
    "con",
    "__proto__",
    "null",
    "-0",
    "+1",
    "1e3",
    "0x10",
    "9999999999999999999999",
];

/// Words that are valid for one parser or another.
const WORDS: &[&str] =
    &["", "a", "abc", "tienda", "web", "web.1", "worker", "DATABASE_URL", "PORT", "SIESTA_X", "v12", "1", "ana@example.org", "web: run"];

fn hostile() -> impl Strategy<Value = String> {
    let piece = || prop_oneof![prop::sample::select(PAYLOADS), prop::sample::select(WORDS)];
    prop_oneof![
        4 => prop::collection::vec(piece(), 0..5).prop_map(|pieces| pieces.concat()),
        2 => any::<String>(),
        2 => "[ -~]{0,40}",
        1 => "[A-Za-z0-9_.@+-]{0,140}",
        1 => (piece(), 1usize..40).prop_map(|(piece, times)| piece.repeat(times)),
    ]
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases: test_cases(cases), ..ProptestConfig::default() }
}

/// `first` then `rest` then, when it is longer than one, `last`; `len` characters, all ASCII.
fn shaped(text: &str, len: std::ops::RangeInclusive<usize>, first: fn(char) -> bool, rest: fn(char) -> bool) -> bool {
    len.contains(&text.len()) && text.starts_with(first) && text.chars().all(|c| c.is_ascii() && rest(c))
}

fn is_app_name(text: &str) -> bool {
    let inner = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
    shaped(text, 3..=30, |c| c.is_ascii_lowercase(), inner) && !text.ends_with('-')
}

fn is_config_key(text: &str) -> bool {
    shaped(text, 1..=128, |c| c.is_ascii_alphabetic() || c == '_', |c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_process_type(text: &str) -> bool {
    let rest = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    shaped(text, 1..=63, |c| c != '-', rest)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}

/// Each parser against its grammar.
fn check_all(text: &str) {
    match text.parse::<AppName>() {
        Ok(name) => assert!(is_app_name(text) && name.as_str() == text, "{text:?}"),
        Err(AppNameError::Reserved) => assert!(is_app_name(text), "{text:?}"),
        Err(_) => assert!(!is_app_name(text), "{text:?}"),
    }
    match text.parse::<ConfigKey>() {
        Ok(key) => assert!(is_config_key(text) && key.as_str() == text, "{text:?}"),
        Err(ConfigVarError::Reserved(_)) => assert!(is_config_key(text), "{text:?}"),
        Err(_) => assert!(!is_config_key(text), "{text:?}"),
    }
    assert_eq!(text.parse::<ProcessType>().is_ok(), is_process_type(text), "{text:?}");
    match text.parse::<DynoName>() {
        Ok(name) => assert!(name.to_string() == text && is_process_type(name.process_type.as_str()) && name.number > 0, "{text:?}"),
        Err(message) => assert!(message.len() < 500),
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    assert_eq!(text.parse::<Quantity>().is_ok(), is_number(digits) && digits.len() <= 4, "{text:?}");
    match text.parse::<Version>() {
        Ok(version) => assert!(version.0 > 0 && is_number(text.strip_prefix('v').unwrap_or(text)), "{text:?}"),
        Err(message) => assert!(message.len() < 500),
    }
    if let Ok(email) = text.parse::<Email>() {
        let (local, domain) = email.as_str().split_once('@').expect("an address has an @");
        let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic() && !"<>()[]\\,;:\"@".contains(c));
        assert!(plain(local) && plain(domain) && email.as_str().len() <= 254 && email.as_str() == text.trim(), "{text:?}");
    }
    if let Some(name) = AppName::from_host(text, "apps.example.org") {
        assert_eq!(format!("{name}.apps.example.org"), text);
    }
    assert!(text.starts_with(short_commit(text)) && short_commit(text).chars().count() <= 40, "{text:?}");
}

fn check_procfile(bytes: &[u8]) {
    match Procfile::parse(bytes) {
        Ok(procfile) => {
            for (process_type, command) in procfile.iter() {
                assert!(is_process_type(process_type.as_str()));
                assert!(!command.trim().is_empty() && command.trim() == command);
                assert!(command.chars().all(|c| c == '\t' || !c.is_control()), "{command:?}");
                assert_eq!(procfile.command(process_type), Some(command), "no type twice");
            }
            assert_eq!(Procfile::from_json(&procfile.to_json()), procfile);
        }
        Err(ProcfileError::TooLarge) => assert!(bytes.len() > MAX_BYTES),
        Err(error) => assert!(error.to_string().chars().all(|c| !c.is_control()), "{error:?}"),
    }
}

#[test]
fn the_injection_corpus_passes_no_parser() {
    for payload in PAYLOADS {
        for word in WORDS {
            for text in [payload.to_string(), format!("{word}{payload}"), format!("{payload}{word}"), format!("{word}{payload}{word}")] {
                check_all(&text);
                check_procfile(text.as_bytes());
                check_procfile(format!("web: {text}").as_bytes());
                check_procfile(format!("{text}: run\r\nworker: {text}").as_bytes());
            }
        }
    }
}

#[test]
fn megabytes_are_refused_and_never_repeated_in_messages() {
    for piece in ["a", "a-", "1", "+", "v9", "ñ", "\0", "\n", "@", "web: a\n", "ＡＢＣ"] {
        let text = piece.repeat(5 * 1024 * 1024 / piece.len());
        check_all(&text);
        check_procfile(text.as_bytes());
        let messages = [
            text.parse::<AppName>().map_err(|e| e.to_string()).err(),
            text.parse::<ConfigKey>().map_err(|e| e.to_string()).err(),
            text.parse::<ProcessType>().map_err(|e| e.to_string()).err(),
            text.parse::<DynoName>().err(),
            text.parse::<Quantity>().err(),
            text.parse::<Version>().err(),
            text.parse::<Email>().err(),
            Procfile::parse(text.as_bytes()).map_err(|e| e.to_string()).err(),
        ];
        for message in messages {
            assert!(message.expect("refused").len() < 500, "{piece:?}");
        }
    }
}

#[test]
fn the_keys_apps_need_are_allowed_and_the_platforms_own_are_not() {
    for key in ["DATABASE_URL", "LD_PRELOAD", "Port", "PORT_2", "_x", "PATH", "SECRET_KEY", &"K".repeat(128)] {
        assert!(key.parse::<ConfigKey>().is_ok(), "{key}");
    }
    for key in ["PORT", "DYNO", "HOME", "PWD", "USER", "__X", "HEROKU_APP_NAME", "DOCKER_HOST", "SIESTA_X"] {
        assert_eq!(key.parse::<ConfigKey>(), Err(ConfigVarError::Reserved(key.to_owned())));
    }
}

proptest! {
    #![proptest_config(config(1_024))]

    #[test]
    fn nothing_outside_the_grammar_is_accepted(text in hostile()) {
        check_all(&text);
    }

    #[test]
    fn no_bytes_make_a_bad_procfile(lines in prop::collection::vec((hostile(), any::<bool>()), 0..6), tail in any::<Vec<u8>>()) {
        let text: String = lines.iter().map(|(line, web)| if *web { format!("web: {line}\n") } else { format!("{line}\r\n") }).collect();
        check_procfile(text.as_bytes());
        check_procfile(&[text.as_bytes(), &tail].concat());
    }

    #[test]
    fn valid_names_are_accepted(
        name in "[a-z][a-z0-9-]{1,28}[a-z0-9]",
        key in "[A-Z][A-Z0-9_]{0,127}",
        process_type in "[A-Za-z0-9_][A-Za-z0-9_-]{0,62}",
        number in 1u32..,
    ) {
        let reserved = || matches!(name.parse::<AppName>(), Err(AppNameError::Reserved));
        prop_assert!(name.parse::<AppName>().is_ok() || reserved());
        prop_assert!(!matches!(key.parse::<ConfigKey>(), Err(ConfigVarError::Malformed(_))));
        let dyno = format!("{process_type}.{number}");
        prop_assert_eq!(dyno.parse::<DynoName>().map(|name| name.to_string()), Ok(dyno));
        prop_assert_eq!(format!("v{number}").parse::<Version>(), Ok(Version(number.into())));
    }

    #[test]
    fn a_procfile_keeps_its_order_in_json(entries in prop::collection::vec(("[a-z]{1,3}", "[^\\p{Cc}\\s]([^\\p{Cc}]{0,20}[^\\p{Cc}\\s])?"), 0..8)) {
        let mut expected: Vec<(String, String)> = Vec::new();
        for (name, command) in &entries {
            match expected.iter_mut().find(|(known, _)| known == name) {
                Some(entry) => entry.1.clone_from(command),
                None => expected.push((name.clone(), command.clone())),
            }
        }
        let text: String = entries.iter().map(|(name, command)| format!("{name}: {command}\n")).collect();
        let read = Procfile::from_json(&Procfile::parse(text.as_bytes()).expect("a valid Procfile").to_json());
        let found: Vec<(String, String)> = read.iter().map(|(name, command)| (name.to_string(), command.to_owned())).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn quantities_and_moments_stay_in_range(text in "[+-]?[0-9]{1,4}", current: u32, millis: i64, span: std::time::Duration, entropy: u64) {
        let quantity = text.parse::<Quantity>().expect("a valid quantity").apply(current);
        match text.strip_prefix('-') {
            Some(digits) => prop_assert_eq!(quantity, current.saturating_sub(digits.parse().expect("digits"))),
            None => prop_assert!(quantity <= 9_999 || quantity >= current),
        }
        let at = Timestamp(millis);
        prop_assert!(at + span >= at && at - span <= at && !at.to_string().is_empty());
        let name = AppName::generate(entropy);
        prop_assert!(is_app_name(name.as_str()));
    }
}
