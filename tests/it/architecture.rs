//! The house rules that a compiler does not hold: layers, headers, sizes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Module -> the modules of ours it may name. The same table stands in ARCHITECTURE.md.
const LAYERS: &[(&str, &str)] = &[
    ("domain", ""),
    ("clock", "domain"),
    ("scheduler", ""),
    ("config", "domain"),
    ("egress", "domain"),
    ("secrets", "domain"),
    ("fail_point", ""),
    ("engine", "domain"),
    ("github", "domain egress"),
    ("host", "domain config"),
    ("store", "domain"),
    ("audit", "domain clock store"),
    ("mail", "domain clock config scheduler store"),
    ("metrics", "domain clock store"),
    ("logs", "domain clock egress scheduler secrets store"),
    ("hooks_out", "domain clock egress logs scheduler secrets store"),
    ("slugs", "domain engine"),
    ("accounts", "domain clock secrets store"),
    ("connections", "domain clock config github secrets store"),
    ("plans", "domain clock store"),
    ("dynos", "domain clock config fail_point scheduler secrets engine host logs metrics plans slugs store"),
    ("releases", "domain clock fail_point scheduler secrets dynos logs slugs store"),
    ("builder", "domain host clock config connections fail_point github scheduler secrets engine logs plans releases slugs store"),
    ("domains", "domain clock config dynos logs store"),
    ("pipelines", "domain clock releases scheduler store"),
    ("repositories", "domain clock config connections builder fail_point github logs scheduler secrets store"),
    ("addons", "domain clock config egress dynos fail_point scheduler secrets engine host logs mail releases store"),
    ("apps", "domain clock fail_point addons builder dynos logs plans releases repositories store"),
    ("backup", "domain clock addons host logs scheduler secrets store"),
    ("doctor", "domain clock config egress engine host secrets store"),
    ("tls", "domain clock config"),
    ("remote", "domain clock egress rendezvous scheduler tls"),
    (
        "http",
        "domain clock config audit accounts addons apps connections github repositories builder domains dynos hooks_out logs pipelines plans releases store secrets",
    ),
    ("router", "domain clock config scheduler dynos logs metrics"),
    ("rendezvous", "dynos secrets"),
    ("git_http", "domain config http accounts builder scheduler store"),
    (
        "api",
        "domain clock config http audit accounts addons apps builder domains dynos hooks_out logs metrics pipelines plans releases scheduler store secrets slugs",
    ),
    (
        "web",
        "domain clock config egress host http api audit accounts addons apps connections github repositories builder domains dynos logs metrics pipelines plans releases store secrets slugs",
    ),
];

/// Modules that may name everything.
const TOP: &[&str] = &["server", "admin", "main", "lib"];

fn source_files() -> Vec<PathBuf> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    files.sort();
    files
}

fn module_of(path: &Path) -> String {
    let relative = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("a file in src");
    let first = relative.components().next().expect("a name").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The top-level modules a file names through `crate::` paths, `use crate::{..}` groups included.
fn named_modules(text: &str) -> BTreeSet<String> {
    let code: String = text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let ident = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(ident(rest));
            continue;
        };
        let (mut depth, mut at_start) = (1, true);
        for (index, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => at_start = true,
                c if depth == 1 && at_start && (c.is_alphabetic() || c == '_') => {
                    names.insert(ident(&group[index..]));
                    at_start = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    names
}

#[test]
fn every_module_names_only_what_the_table_allows() {
    let table: BTreeMap<&str, Vec<&str>> = LAYERS.iter().map(|(module, may)| (*module, may.split_whitespace().collect())).collect();
    let mut faults = Vec::new();
    for path in source_files() {
        let module = module_of(&path);
        if TOP.contains(&module.as_str()) {
            continue;
        }
        let Some(allowed) = table.get(module.as_str()) else {
            faults.push(format!("{}: `{module}` is not in the layer table", path.display()));
            continue;
        };
        for name in named_modules(&fs::read_to_string(&path).expect("a source file")) {
            if name != module && !allowed.contains(&name.as_str()) && (table.contains_key(name.as_str()) || TOP.contains(&name.as_str())) {
                faults.push(format!("{}: `{module}` may not name `{name}`", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_table_has_no_circle() {
    let table: BTreeMap<&str, Vec<&str>> = LAYERS.iter().map(|(module, may)| (*module, may.split_whitespace().collect())).collect();
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    while placed.len() < table.len() {
        let next: Vec<&str> = table
            .iter()
            .filter(|(module, may)| !placed.contains(*module) && may.iter().all(|name| placed.contains(name)))
            .map(|(m, _)| *m)
            .collect();
        assert!(!next.is_empty(), "a circle among {:?}", table.keys().filter(|m| !placed.contains(*m)).collect::<Vec<_>>());
        placed.extend(next);
    }
}

#[test]
fn every_file_says_what_it_is_and_stays_short() {
    let mut faults = Vec::new();
    for path in source_files() {
        let text = fs::read_to_string(&path).expect("a source file");
        if !text.starts_with("//!") {
            faults.push(format!("{}: no //! header", path.display()));
        }
        let lines = text.lines().count();
        if lines > 700 {
            faults.push(format!("{}: {lines} lines, more than 700", path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
