//! From a source tree to a plan, or to one sentence that says what is wrong and what to do.
//! Values in, values out.

use sha2::{Digest, Sha256};

use crate::{
    builder::{
        python::{self, Manager, Packages, Wanted},
        source::SourceTree,
    },
    domain::{ProcessType, Procfile},
};

/// One sentence: what is wrong with the source and what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Rejection(pub String);

/// Any of these in the root makes it a Python app (heroku.md 6.5).
const MARKERS: [&str; 16] = [
    ".python-version",
    "__init__.py",
    "app.py",
    "main.py",
    "manage.py",
    "pdm.lock",
    "Pipfile",
    "Pipfile.lock",
    "poetry.lock",
    "pyproject.toml",
    "requirements.txt",
    "runtime.txt",
    "server.py",
    "setup.cfg",
    "setup.py",
    "uv.lock",
];

/// Programs a Procfile starts, and the package each comes with.
const SERVERS: [(&str, &str); 6] = [
    ("gunicorn", "gunicorn"),
    ("uvicorn", "uvicorn"),
    ("hypercorn", "hypercorn"),
    ("daphne", "daphne"),
    ("waitress-serve", "waitress"),
    ("celery", "celery"),
];

/// How a source is built.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BuildPlan {
    pub manager: Manager,
    /// None: the stack's own version.
    pub python: Option<Wanted>,
    pub packages: Packages,
    pub procfile: Procfile,
    /// Folder of the `manage.py` that collects static files; the root is ``.
    pub manage_py: Option<String>,
    pub pre_compile: bool,
    pub post_compile: bool,
    /// Paragraphs for the log: each is a few lines.
    pub warnings: Vec<Vec<String>>,
}

impl BuildPlan {
    /// Dependencies are installed anew with every change of code: hooks may change anything, and
    /// some packages come from the source itself.
    pub fn is_fresh(&self) -> bool {
        self.pre_compile || self.post_compile || self.packages.local
    }

    /// The code must pass through a build container though its dependencies are known.
    pub fn runs_code(&self) -> bool {
        self.is_fresh() || self.manage_py.is_some()
    }

    /// What the dependency image is keyed by, hex (decisions 12). `salt` names the app, the stack
    /// and build variables; `source` is the hash of the code.
    pub fn deps_key(&self, salt: &[&str], source: &str) -> String {
        let mut hash = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        salt.iter().for_each(|part| field(part.as_bytes()));
        field(self.manager.file().as_bytes());
        field(self.python.as_ref().map_or("", |wanted| &wanted.version).as_bytes());
        for (path, content) in &self.packages.inputs {
            field(path.as_bytes());
            field(content);
        }
        if self.is_fresh() {
            field(source.as_bytes());
        }
        hex::encode(hash.finalize())
    }
}

/// Judges a source. `collectstatic`: the app did not switch it off.
pub fn detect(tree: &SourceTree, collectstatic: bool) -> Result<BuildPlan, Rejection> {
    let python =
        MARKERS.iter().any(|marker| tree.has(marker)) || tree.root.iter().any(|name| python::is_misspelt(name, "requirements.txt"));
    if !python {
        return Err(nothing_known(tree));
    }
    let mut warnings = Vec::new();
    let manager = python::manager(tree)?;
    let wanted = python::version(tree, manager)?;
    if wanted.as_ref().is_some_and(|wanted| wanted.file == "runtime.txt") {
        warnings.push(vec!["runtime.txt is deprecated. Write the bare version, such as 3.12, into .python-version instead.".to_owned()]);
    }
    let packages = python::packages(tree, manager)?;
    let procfile = procfile(tree, &packages, &mut warnings)?;
    check_servers(&procfile, &packages, manager)?;
    let has_django = packages.names.contains("django");
    let manage_py = tree.manage_py.first().filter(|_| collectstatic).cloned();
    if has_django && collectstatic && manage_py.is_none() {
        warnings.push(vec!["Skipping Django collectstatic since no manage.py file found.".to_owned()]);
    }
    Ok(BuildPlan {
        manager,
        python: wanted,
        packages,
        procfile,
        manage_py,
        pre_compile: tree.contents.contains_key("bin/pre_compile") || tree.too_large.contains("bin/pre_compile"),
        post_compile: tree.contents.contains_key("bin/post_compile") || tree.too_large.contains("bin/post_compile"),
        warnings,
    })
}

fn nothing_known(tree: &SourceTree) -> Rejection {
    let language = [("package.json", "Node.js"), ("Gemfile", "Ruby"), ("go.mod", "Go"), ("pom.xml", "Java"), ("composer.json", "PHP")]
        .into_iter()
        .find(|(file, _)| tree.has(file));
    match language {
        Some((file, language)) => Rejection(format!(
            "The source has a {file}, but {language} apps cannot be built on this server yet. Python apps can: add a requirements.txt to the root."
        )),
        None => Rejection(
            "No Python app was found in the root of the source. Put requirements.txt and a Procfile there, not into a subfolder."
                .to_owned(),
        ),
    }
}

/// The Procfile as it is written; a source without one has an empty one.
pub(super) fn read_procfile(tree: &SourceTree) -> Result<Procfile, Rejection> {
    if tree.too_large.contains("Procfile") {
        return Err(Rejection("Procfile is larger than 64 KiB.".to_owned()));
    }
    match tree.contents.get("Procfile") {
        Some(bytes) => Procfile::parse(bytes).map_err(|error| Rejection(error.to_string())),
        None => Ok(Procfile::default()),
    }
}

fn procfile(tree: &SourceTree, packages: &Packages, warnings: &mut Vec<Vec<String>>) -> Result<Procfile, Rejection> {
    let procfile = read_procfile(tree)?;
    if procfile.command(&ProcessType::web()).is_some() || procfile.iter().next().is_some() {
        return Ok(procfile);
    }
    let misspelt = tree.root.iter().find(|name| name.to_lowercase().trim_end_matches(".txt") == "procfile" && *name != "Procfile");
    let first = match misspelt {
        Some(name) => format!("No Procfile was found, but `{name}`: rename it to Procfile, exactly."),
        None if tree.has("Procfile") => "The Procfile is empty, so nothing will run.".to_owned(),
        None => "No Procfile was found in the root of the source, so nothing will run.".to_owned(),
    };
    warnings.push(vec![first, format!("Add one with a line such as `{}`.", suggested_web(tree, packages))]);
    Ok(procfile)
}

/// A `web` line that fits what the source looks like.
pub(super) fn suggested_web(tree: &SourceTree, packages: &Packages) -> String {
    let module = ["app", "main", "server", "wsgi"].into_iter().find(|name| tree.has(&format!("{name}.py"))).unwrap_or("app");
    if packages.names.contains("fastapi") || packages.names.contains("starlette") {
        return format!("web: uvicorn {module}:app --host 0.0.0.0 --port $PORT");
    }
    match tree.manage_py.first() {
        Some(_) if packages.names.contains("django") => "web: gunicorn PROJECT.wsgi".to_owned(),
        _ => format!("web: gunicorn {module}:app"),
    }
}

/// A Procfile that starts a server nobody installs.
fn check_servers(procfile: &Procfile, packages: &Packages, manager: Manager) -> Result<(), Rejection> {
    for (process_type, command) in procfile.iter() {
        let mut words = command.split_whitespace().skip_while(|word| *word == "exec" || (word.contains('=') && !word.starts_with('-')));
        let Some(first) = words.next() else { continue };
        let Some((program, package)) = SERVERS.iter().find(|(program, _)| *program == first) else { continue };
        // Other packages may bring a server along; only lock files tell, and nothing brings gunicorn.
        let certain = packages.complete || (*package == "gunicorn" && !packages.local);
        if certain && !packages.names.contains(*package) {
            let file = manager.edited();
            return Err(Rejection(format!(
                "The Procfile starts `{process_type}` with {program}, but {file} does not list it. Add {package} to {file}{}.",
                if packages.complete { " and lock again" } else { "" }
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(files: &[(&str, &str)]) -> Result<BuildPlan, Rejection> {
        detect(&SourceTree::of(files.iter().copied()), true)
    }

    #[test]
    fn a_flask_app_gets_a_plan_without_warnings() {
        let plan =
            plan(&[("requirements.txt", "flask\ngunicorn\n"), ("Procfile", "web: gunicorn app:app\n"), ("app.py", "")]).expect("a plan");
        assert_eq!(plan.manager, Manager::Pip);
        assert!(plan.warnings.is_empty());
        assert!(!plan.runs_code());
    }

    #[test]
    fn each_fault_is_one_sentence_with_a_remedy() {
        for (files, says) in [
            (&[("README.md", "")][..], "No Python app was found in the root of the source."),
            (&[("package.json", "{}")], "The source has a package.json, but Node.js apps cannot be built"),
            (
                &[("requirements.txt", "flask"), ("Procfile", "web: gunicorn app:app")],
                "The Procfile starts `web` with gunicorn, but requirements.txt does not list it. Add gunicorn to requirements.txt.",
            ),
            (
                &[("uv.lock", "name = \"flask\""), ("pyproject.toml", ""), ("Procfile", "web: exec A=1 uvicorn app:app")],
                "The Procfile starts `web` with uvicorn, but pyproject.toml does not list it. Add uvicorn to pyproject.toml and lock again.",
            ),
            (&[("requirements.txt", ""), ("Procfile", "# x\nweb gunicorn")], "Procfile, line 2: `web gunicorn` is not"),
            (&[("requirements.txt", ""), ("Procfile", "web:\n")], "Procfile, line 1: the process type `web` has no command."),
            (&[("requirements.tx", "")], "`requirements.tx` looks like requirements.txt"),
        ] {
            let sentence = plan(files).expect_err("a rejection").0;
            assert!(sentence.starts_with(says), "{files:?}: {sentence}");
        }
    }

    #[test]
    fn a_missing_procfile_is_a_warning_with_the_line_to_add() {
        for (files, lines) in [
            (
                &[("requirements.txt", "flask"), ("main.py", "")][..],
                [
                    "No Procfile was found in the root of the source, so nothing will run.",
                    "Add one with a line such as `web: gunicorn main:app`.",
                ],
            ),
            (
                &[("requirements.txt", "fastapi"), ("procfile", "")],
                [
                    "No Procfile was found, but `procfile`: rename it to Procfile, exactly.",
                    "Add one with a line such as `web: uvicorn app:app --host 0.0.0.0 --port $PORT`.",
                ],
            ),
            (
                &[("requirements.txt", "flask"), ("Procfile", "\n# nothing\n")],
                ["The Procfile is empty, so nothing will run.", "Add one with a line such as `web: gunicorn app:app`."],
            ),
        ] {
            assert_eq!(plan(files).expect("a plan").warnings, [lines.map(str::to_owned).to_vec()], "{files:?}");
        }
    }

    #[test]
    fn hooks_django_and_local_packages_need_a_build_container() {
        let base = ("requirements.txt", "django\n");
        let django = plan(&[base, ("Procfile", "web: x"), ("shop/manage.py", ""), ("a/b/manage.py", "")]).expect("a plan");
        assert_eq!(django.manage_py.as_deref(), Some("shop"));
        assert!(django.runs_code() && !django.is_fresh());
        assert!(plan(&[base, ("bin/post_compile", "")]).expect("a plan").is_fresh());
        assert!(plan(&[("requirements.txt", "-e .")]).expect("a plan").is_fresh());
        let off = detect(&SourceTree::of([base, ("manage.py", ""), ("Procfile", "web: x")]), false).expect("a plan");
        assert!(!off.runs_code() && off.warnings.is_empty());
    }

    #[test]
    fn the_key_changes_with_what_the_installer_reads_and_with_nothing_else() {
        let key = |files: &[(&str, &str)], source| plan(files).expect("a plan").deps_key(&["app", "stack"], source);
        let base = key(&[("requirements.txt", "flask")], "1");
        assert_eq!(base, key(&[("requirements.txt", "flask"), ("app.py", "x")], "2"));
        assert_ne!(base, key(&[("requirements.txt", "flask\n")], "1"));
        assert_ne!(base, key(&[("requirements.txt", "flask"), (".python-version", "3.12")], "1"));
        assert_ne!(base, plan(&[("requirements.txt", "flask")]).expect("a plan").deps_key(&["app", "stack2"], "1"));
        let hooked = [("requirements.txt", "flask"), ("bin/pre_compile", "")];
        assert_ne!(key(&hooked, "1"), key(&hooked, "2"));
    }
}
