//! Python sources: which version is asked for, which package manager, which packages.
//! Values in, values out (heroku.md 6.5).

use std::collections::{BTreeMap, BTreeSet};

use crate::builder::{detect::Rejection, source::SourceTree};

/// Minor versions of Python 3 that are supported.
const MINORS: std::ops::RangeInclusive<u32> = 10..=14;
/// Requirement files may include others, so deep.
const MAX_INCLUDES: usize = 20;

/// Who installs the dependencies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    Pip,
    Pipenv,
    Poetry,
    Uv,
}

impl Manager {
    const ALL: [Manager; 4] = [Manager::Pipenv, Manager::Pip, Manager::Poetry, Manager::Uv];

    /// The file that tells it.
    pub fn file(self) -> &'static str {
        match self {
            Manager::Pip => "requirements.txt",
            Manager::Pipenv => "Pipfile.lock",
            Manager::Poetry => "poetry.lock",
            Manager::Uv => "uv.lock",
        }
    }

    /// The file a person edits to add a package.
    pub fn edited(self) -> &'static str {
        match self {
            Manager::Pip => "requirements.txt",
            Manager::Pipenv => "Pipfile",
            Manager::Poetry | Manager::Uv => "pyproject.toml",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Manager::Pip => "pip",
            Manager::Pipenv => "Pipenv",
            Manager::Poetry => "Poetry",
            Manager::Uv => "uv",
        }
    }
}

/// A version asked for, and the file that asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// `3.12` or `3.12.1`.
    pub version: String,
    pub file: &'static str,
}

/// The packages of a source, as far as its files tell.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Packages {
    /// Normalised names: lower case, `-` between words.
    pub names: BTreeSet<String>,
    /// What the installer reads, by path.
    pub inputs: BTreeMap<String, Vec<u8>>,
    /// Some of it is installed from the source itself, so a change of code may change it.
    pub local: bool,
    /// Every installed package is named, also what others need.
    pub complete: bool,
}

/// The one package manager of the source.
pub fn manager(tree: &SourceTree) -> Result<Manager, Rejection> {
    let found: Vec<Manager> = Manager::ALL.into_iter().filter(|manager| tree.has(manager.file())).collect();
    let manager = match found[..] {
        [one] => one,
        [] => return Err(no_manager(tree)),
        _ => {
            let named: Vec<String> = found.iter().map(|manager| format!("{} ({})", manager.file(), manager.name())).collect();
            return Err(Rejection(format!(
                "Multiple Python package manager files were found: {}. Keep the one you use and delete the others.",
                named.join(", ")
            )));
        }
    };
    let needs = match manager {
        Manager::Pip => None,
        Manager::Pipenv => Some("Pipfile"),
        Manager::Poetry | Manager::Uv => Some("pyproject.toml"),
    };
    match needs.filter(|file| !tree.has(file)) {
        Some(missing) => Err(Rejection(format!("{} was found without {missing}. Add {missing} to the source, beside it.", manager.file()))),
        None => match [Some(manager.file()), needs].into_iter().flatten().find(|file| tree.too_large.contains(*file)) {
            Some(file) => Err(Rejection(format!("{file} is too large to be read. Make it smaller than {}.", size_limit(file)))),
            None => Ok(manager),
        },
    }
}

fn size_limit(file: &str) -> &'static str {
    if file.ends_with(".lock") { "4 MB" } else { "64 KB" }
}

fn no_manager(tree: &SourceTree) -> Rejection {
    if let Some(name) = tree.root.iter().find(|name| is_misspelt(name, "requirements.txt")) {
        return Rejection(format!("`{name}` looks like requirements.txt, but is not called so. Rename it to requirements.txt."));
    }
    if tree.has("Pipfile") {
        return Rejection("Pipfile was found without Pipfile.lock. Run `pipenv lock` and add Pipfile.lock to the source.".to_owned());
    }
    if tree.has("pyproject.toml") {
        return Rejection(
            "pyproject.toml was found without a lock file. Run `uv lock` (or `poetry lock`) and add the lock file to the source, or add a requirements.txt."
                .to_owned(),
        );
    }
    Rejection(
        "Couldn't find any supported Python package manager files. Add a requirements.txt that lists the app's packages, one a line (it may be empty)."
            .to_owned(),
    )
}

/// Whether `name` is another spelling of `right`: at most two edits away, case apart.
pub fn is_misspelt(name: &str, right: &str) -> bool {
    if name == right || name.len() > right.len() + 4 {
        return false;
    }
    let (a, b) = (name.to_lowercase(), right.to_lowercase());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()] <= 2
}

/// The version the source asks for; None: the stack's own.
pub fn version(tree: &SourceTree, manager: Manager) -> Result<Option<Wanted>, Rejection> {
    if let Some(wrong) = tree.root.iter().find(|name| is_misspelt(name, ".python-version") || is_misspelt(name, "runtime.txt")) {
        let right = if is_misspelt(wrong, "runtime.txt") { "runtime.txt" } else { ".python-version" };
        return Err(Rejection(format!("`{wrong}` looks like {right}, but is not called so. Rename it to {right}.")));
    }
    let wanted = match (tree.text("runtime.txt"), tree.text(".python-version")) {
        (Some(text), _) => Some(Wanted { version: from_runtime_txt(&text)?, file: "runtime.txt" }),
        (None, Some(text)) => Some(Wanted { version: from_python_version(&text)?, file: ".python-version" }),
        (None, None) if manager == Manager::Pipenv => from_pipfile_lock(tree),
        (None, None) => None,
    };
    match wanted {
        Some(wanted) => check_supported(wanted).map(Some),
        None => Ok(None),
    }
}

fn from_runtime_txt(text: &str) -> Result<String, Rejection> {
    let line = text.trim();
    let version = line.strip_prefix("python-").filter(|version| is_version(version));
    version.map(str::to_owned).ok_or_else(|| {
        let shown: String = line.lines().next().unwrap_or_default().chars().take(40).collect();
        Rejection(format!("runtime.txt holds `{shown}`, which names no Python version. Write one line such as python-3.12."))
    })
}

fn from_python_version(text: &str) -> Result<String, Rejection> {
    let lines: Vec<&str> = text.lines().map(|line| line.split('#').next().unwrap_or("").trim()).filter(|line| !line.is_empty()).collect();
    match lines[..] {
        [one] if is_version(one) => Ok(one.to_owned()),
        [one] => {
            let shown: String = one.chars().take(40).collect();
            Err(Rejection(format!(".python-version holds `{shown}`, which is not a version. Write the bare number, such as 3.12.")))
        }
        [] => Err(Rejection(".python-version names no version. Write one line such as 3.12, or delete the file.".to_owned())),
        _ => Err(Rejection(format!(".python-version names {} versions. Keep one line such as 3.12.", lines.len()))),
    }
}

fn from_pipfile_lock(tree: &SourceTree) -> Option<Wanted> {
    let lock: serde_json::Value = serde_json::from_slice(tree.contents.get("Pipfile.lock")?).ok()?;
    let requires = lock.get("_meta")?.get("requires")?;
    let version = ["python_full_version", "python_version"].into_iter().find_map(|key| requires.get(key)?.as_str())?;
    is_version(version).then(|| Wanted { version: version.to_owned(), file: "Pipfile.lock" })
}

/// `3.12` or `3.12.1`.
fn is_version(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    (2..=3).contains(&parts.len())
        && parts.iter().all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn check_supported(wanted: Wanted) -> Result<Wanted, Rejection> {
    let mut parts = wanted.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if major == 3 && MINORS.contains(&minor) {
        return Ok(wanted);
    }
    Err(Rejection(format!(
        "{} asks for Python {}, which is not supported. Use one of 3.{} to 3.{}.",
        wanted.file,
        wanted.version,
        MINORS.start(),
        MINORS.end()
    )))
}

/// What the manager's files say about packages.
pub fn packages(tree: &SourceTree, manager: Manager) -> Result<Packages, Rejection> {
    if manager == Manager::Pip {
        let mut packages = Packages::default();
        read_requirements(tree, "requirements.txt", &mut packages, &mut Vec::new())?;
        return Ok(packages);
    }
    let mut packages = Packages { complete: true, ..Packages::default() };
    for path in [manager.file(), manager.edited(), "poetry.toml"] {
        if let Some(content) = tree.contents.get(path) {
            packages.inputs.insert(path.to_owned(), content.clone());
        }
    }
    let lock = tree.text(manager.file()).unwrap_or_default();
    if manager == Manager::Pipenv {
        let parsed: serde_json::Value = serde_json::from_str(&lock)
            .map_err(|_| Rejection("Pipfile.lock is not valid JSON. Run `pipenv lock` and add the new file to the source.".to_owned()))?;
        let default = parsed.get("default").and_then(serde_json::Value::as_object).cloned().unwrap_or_default();
        packages.local = default.values().any(|package| package.get("path").is_some() || package.get("file").is_some());
        packages.names = default.keys().map(|name| normalise(name)).collect();
    } else {
        packages.names = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).map(normalise).collect();
        let elsewhere = |line: &str| {
            let line = line.trim();
            line.starts_with("type = \"directory\"")
                || (line.starts_with("source = {") && ["directory", "editable", "path"].iter().any(|kind| line.contains(kind)))
                    && !line.contains("= \".\"")
        };
        packages.local = lock.lines().any(elsewhere);
    }
    Ok(packages)
}

/// Lower case, with one `-` for every run of `-`, `_` and `.`.
fn normalise(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            c => normal.extend(c.to_lowercase()),
        }
    }
    normal
}

fn read_requirements(tree: &SourceTree, path: &str, packages: &mut Packages, above: &mut Vec<String>) -> Result<(), Rejection> {
    let Some(content) = tree.contents.get(path) else {
        let by = above.last().map_or("The source", String::as_str);
        let what = if tree.too_large.contains(path) { "is larger than 64 KB" } else { "is not in the source" };
        return Err(Rejection(format!("{by} names `{path}`, which {what}. Correct the name or add the file.")));
    };
    if packages.inputs.insert(path.to_owned(), content.clone()).is_some() || above.len() >= MAX_INCLUDES {
        return Ok(());
    }
    if content.starts_with(&[0xff, 0xfe]) || content.starts_with(&[0xfe, 0xff]) {
        return Err(Rejection(format!("{path} is stored as UTF-16, as PowerShell's `>` writes it. Save it as UTF-8 and deploy again.")));
    }
    let text = tree.text(path).unwrap_or_default().replace("\\\r\n", " ").replace("\\\n", " ");
    above.push(path.to_owned());
    for line in text.lines() {
        match requirement(line) {
            Requirement::Nothing => {}
            Requirement::Name(name) => _ = packages.names.insert(name),
            Requirement::Local => packages.local = true,
            Requirement::Include(file) => read_requirements(tree, &beside(path, &file), packages, above)?,
        }
    }
    above.pop();
    Ok(())
}

enum Requirement {
    Nothing,
    Name(String),
    Include(String),
    Local,
}

fn requirement(line: &str) -> Requirement {
    let line = line.trim();
    let line = if line.starts_with('#') { "" } else { line.split(" #").next().unwrap_or("").trim() };
    if line.is_empty() {
        return Requirement::Nothing;
    }
    for option in ["--requirement", "--constraint", "-r", "-c"] {
        if let Some(rest) = line.strip_prefix(option)
            && (option.len() == 2 || rest.starts_with([' ', '=']))
        {
            return Requirement::Include(rest.trim_start_matches([' ', '=']).trim().to_owned());
        }
    }
    let editable = line.strip_prefix("--editable").or_else(|| line.strip_prefix("-e"));
    let target = editable.map_or(line, |rest| rest.trim_start_matches([' ', '=']));
    let remote = target.contains("://") && !target.contains("file://");
    if let (true, Some((_, egg))) = (remote, target.split_once("egg=")) {
        return Requirement::Name(normalise(egg.split(['&', '[']).next().unwrap_or(egg)));
    }
    if !remote && (editable.is_some() || target.starts_with(['.', '/']) || target.contains("file:") || target.contains("@ .")) {
        return Requirement::Local;
    }
    if line.starts_with('-') {
        return Requirement::Nothing;
    }
    let end = target.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(target.len());
    if end == 0 || target[end..].starts_with("://") || target[..end].contains('/') {
        return Requirement::Nothing;
    }
    Requirement::Name(normalise(&target[..end]))
}

/// A path named in the file at `from`, relative to its folder.
fn beside(from: &str, named: &str) -> String {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in named.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why<T: std::fmt::Debug>(result: Result<T, Rejection>) -> String {
        result.expect_err("a rejection").0
    }

    #[test]
    fn exactly_one_package_manager_is_asked_for() {
        let of = |files: &[&str]| manager(&SourceTree::of(files.iter().map(|file| (*file, ""))));
        assert_eq!(of(&["requirements.txt", "app.py"]).expect("pip"), Manager::Pip);
        assert_eq!(of(&["uv.lock", "pyproject.toml"]).expect("uv"), Manager::Uv);
        assert_eq!(of(&["poetry.lock", "pyproject.toml"]).expect("poetry"), Manager::Poetry);
        assert_eq!(of(&["Pipfile", "Pipfile.lock"]).expect("pipenv"), Manager::Pipenv);
        for (files, says) in [
            (
                &["requirements.txt", "poetry.lock", "pyproject.toml"][..],
                "Multiple Python package manager files were found: requirements.txt (pip), poetry.lock (Poetry). Keep",
            ),
            (&["app.py"], "Couldn't find any supported Python package manager files. Add a requirements.txt"),
            (&["Pipfile"], "Pipfile was found without Pipfile.lock. Run `pipenv lock`"),
            (&["pyproject.toml"], "pyproject.toml was found without a lock file. Run `uv lock`"),
            (&["uv.lock"], "uv.lock was found without pyproject.toml."),
            (&["setup.py"], "Couldn't find any supported"),
            (&["requirement.txt"], "`requirement.txt` looks like requirements.txt"),
            (&["Requirements.txt"], "`Requirements.txt` looks like requirements.txt"),
            (&["requirments.txt"], "`requirments.txt` looks like requirements.txt"),
        ] {
            let sentence = why(of(files));
            assert!(sentence.starts_with(says), "{files:?}: {sentence}");
        }
        assert!(of(&["requirements.txt", "requirements-dev.txt"]).is_ok());
    }

    #[test]
    fn versions_come_from_the_first_file_that_names_one() {
        let of = |files: &[(&str, &str)]| {
            version(&SourceTree::of(files.iter().copied()), Manager::Pipenv).expect("a version").map(|wanted| (wanted.version, wanted.file))
        };
        let owned = |version: &str, file| Some((version.to_owned(), file));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("runtime.txt", "python-3.12.1\n"), (".python-version", "3.13")]), owned("3.12.1", "runtime.txt"));
        assert_eq!(of(&[(".python-version", "# ours\r\n3.13 # new\r\n\r\n")]), owned("3.13", ".python-version"));
        let lock = r#"{"_meta": {"requires": {"python_version": "3.11", "python_full_version": "3.11.4"}}}"#;
        assert_eq!(of(&[("Pipfile.lock", lock)]), owned("3.11.4", "Pipfile.lock"));
    }

    #[test]
    fn bad_versions_are_refused_in_one_sentence() {
        for (file, text, says) in [
            ("runtime.txt", "3.12", "runtime.txt holds `3.12`, which names no Python version."),
            ("runtime.txt", "python-3", "runtime.txt holds `python-3`"),
            ("runtime.txt", "python-3.12\npython-3.13", "runtime.txt holds `python-3.12`"),
            (".python-version", "\"3.12\"", ".python-version holds `\"3.12\"`, which is not a version."),
            (".python-version", "python-3.12", ".python-version holds `python-3.12`"),
            (".python-version", "3.12\n3.13", ".python-version names 2 versions."),
            (".python-version", "# none", ".python-version names no version."),
            (".python-version", "2.7", ".python-version asks for Python 2.7, which is not supported. Use one of 3.10 to 3.14."),
            (".python-version", "3.99.1", ".python-version asks for Python 3.99.1, which is not supported."),
            (".python_version", "3.12", "`.python_version` looks like .python-version"),
        ] {
            let sentence = why(version(&SourceTree::of([(file, text)]), Manager::Pip));
            assert!(sentence.starts_with(says), "{file} {text:?}: {sentence}");
        }
    }

    #[test]
    fn requirement_files_are_read_with_what_they_include() {
        let tree = SourceTree::of([
            (
                "requirements.txt",
                "Flask==3.0 # web\n-r requirements/base.txt\n\nSQL_Alchemy[asyncio]>=2 ; python_version > '3'\n--no-binary :all:\n",
            ),
            ("requirements/base.txt", "\u{feff}gunicorn\r\n-c constraints.txt\r\ngit+https://host/x.git#egg=Other.Thing\r\n"),
            ("requirements/constraints.txt", "werkzeug==3\n"),
        ]);
        let packages = packages(&tree, Manager::Pip).expect("packages");
        assert_eq!(
            packages.names.iter().map(String::as_str).collect::<Vec<_>>(),
            ["flask", "gunicorn", "other-thing", "sql-alchemy", "werkzeug"]
        );
        assert_eq!(packages.inputs.len(), 3);
        assert!(!packages.local && !packages.complete);
    }

    #[test]
    fn what_is_installed_from_the_source_is_seen() {
        for line in ["-e .", ".", "./libs/thing", "--editable=libs/x", "thing @ file:///app/x", "-e ./a[b]"] {
            let tree = SourceTree::of([("requirements.txt", line)]);
            assert!(packages(&tree, Manager::Pip).expect("packages").local, "{line}");
        }
        let tree = SourceTree::of([("requirements.txt", "-e git+https://host/x.git#egg=x\nhttps://host/y.whl\n")]);
        assert!(!packages(&tree, Manager::Pip).expect("packages").local);
        let lock = "[[package]]\nname = \"mine\"\nsource = { editable = \".\" }\n";
        let tree = SourceTree::of([("uv.lock", lock), ("pyproject.toml", "")]);
        assert!(!packages(&tree, Manager::Uv).expect("packages").local);
        let tree = SourceTree::of([("uv.lock", "source = { editable = \"libs/x\" }"), ("pyproject.toml", "")]);
        assert!(packages(&tree, Manager::Uv).expect("packages").local);
    }

    #[test]
    fn a_missing_include_and_a_circle_are_no_riddles() {
        let tree = SourceTree::of([("requirements.txt", "-r base.txt")]);
        assert_eq!(
            why(packages(&tree, Manager::Pip)),
            "requirements.txt names `base.txt`, which is not in the source. Correct the name or add the file."
        );
        let tree = SourceTree::of([("requirements.txt", "-r a.txt"), ("a.txt", "-r requirements.txt\nflask")]);
        assert!(packages(&tree, Manager::Pip).expect("packages").names.contains("flask"));
    }
}
