//! The table of known failures against the logs of real apps (`samples/logs`, made by `record`
//! there): each failing app's log gives its hint, a healthy app's gives none.

use std::{collections::BTreeSet, fs, path::Path};

use siesta::domain::hint::{self, Hint};

/// One recorded app.
struct Case {
    name: String,
    /// A kind and what it names, or `none`.
    hint: String,
    /// A part of the line to point at.
    line: String,
    log: Vec<String>,
}

fn case(path: &Path) -> Case {
    let text = fs::read_to_string(path).expect("a case");
    let (head, recorded) = text.split_once("\n=== build\n").expect("a recorded build");
    let (build, log) = recorded.split_once("\n=== log\n").expect("a recorded log");
    let setting = |key: &str| head.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).unwrap_or_default().to_owned();
    // A line of the log begins with its time and its source.
    let messages = log.lines().filter(|line| !line.contains(" heroku[router]: "));
    let messages = messages.map(|line| line.split_once("]: ").map_or("", |(_, message)| message).to_owned());
    Case {
        name: path.file_stem().expect("a name").to_string_lossy().into_owned(),
        hint: setting("hint"),
        line: setting("line"),
        log: build.lines().map(str::to_owned).chain(messages).collect(),
    }
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/samples/logs");
    let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut cases: Vec<Case> = files.filter(|path| path.extension().is_some_and(|found| found == "case")).map(|path| case(&path)).collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

/// `module-missing cv2 opencv-python-headless`
fn told(hint: &Hint) -> String {
    let kind = hint.key.strip_prefix("hint-").expect("a key of ours");
    [kind, &hint.what, &hint.fix].join(" ").trim().to_owned()
}

#[test]
fn the_log_of_each_failing_app_says_what_to_do() {
    let mut wrong = Vec::new();
    for case in cases().iter().filter(|case| case.hint != "none") {
        let found = hint::find(&case.log);
        let says = found.as_ref().map(told).unwrap_or_default();
        let line = found.as_ref().map_or("", |hint| case.log[hint.line].as_str());
        let right = says == case.hint || says.starts_with(&format!("{} ", case.hint));
        if !right || !line.contains(&case.line) {
            wrong.push(format!("{}: `{}` was expected, `{says}` is said, of the line `{line}`", case.name, case.hint));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_logs_of_healthy_apps_give_no_hint() {
    let healthy: Vec<Case> = cases().into_iter().filter(|case| case.hint == "none").collect();
    assert!(healthy.len() >= 10);
    for case in healthy {
        assert_eq!(hint::find(&case.log), None, "{}", case.name);
    }
}

#[test]
fn every_known_failure_has_the_log_of_a_real_app() {
    let recorded: BTreeSet<String> =
        cases().iter().map(|case| format!("hint-{}", case.hint.split(' ').next().unwrap_or_default())).collect();
    let missing: Vec<_> = hint::keys().filter(|key| !recorded.contains(*key)).collect();
    assert!(missing.is_empty(), "no app shows {missing:?}");
    assert!(recorded.len() > 30);
}
