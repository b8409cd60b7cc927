//! What a build would say of a source's Procfile and packages, before there is a build.
//! Values in, values out.

use crate::{
    builder::{
        detect::{Rejection, detect, read_procfile, suggested_web},
        python::Packages,
        source::SourceTree,
    },
    domain::ProcessType,
};

/// What detection makes of a source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Preview {
    pub procfile: Started,
    /// The file that lists the packages, or one sentence that says what is wrong and what to do.
    pub packages: Result<&'static str, String>,
}

/// What the Procfile starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Started {
    /// The command of `web`.
    Web(String),
    /// Nothing that answers visitors, or nothing at all: a line that would fit.
    NoWeb { has_procfile: bool, suggested: String },
    /// One sentence that says what is wrong and what to do.
    Wrong(String),
}

impl Preview {
    pub fn of(tree: &SourceTree) -> Preview {
        let procfile = read_procfile(tree);
        let judged = match &procfile {
            Ok(_) => detect(tree, false),
            // What is wrong with it would hide what else is.
            Err(_) => detect(&without_procfile(tree), false),
        };
        let started = match procfile {
            Err(Rejection(why)) => Started::Wrong(why),
            Ok(procfile) => match procfile.command(&ProcessType::web()) {
                Some(command) => Started::Web(command.to_owned()),
                None => {
                    let none = Packages::default();
                    let packages = judged.as_ref().map_or(&none, |plan| &plan.packages);
                    Started::NoWeb { has_procfile: tree.has("Procfile"), suggested: suggested_web(tree, packages) }
                }
            },
        };
        Preview { procfile: started, packages: judged.map(|plan| plan.manager.file()).map_err(|Rejection(why)| why) }
    }
}

fn without_procfile(tree: &SourceTree) -> SourceTree {
    let mut tree = tree.clone();
    tree.contents.remove("Procfile");
    tree.too_large.remove("Procfile");
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preview(files: &[(&str, &str)]) -> Preview {
        Preview::of(&SourceTree::of(files.iter().copied()))
    }

    #[test]
    fn a_flask_app_is_ready() {
        let seen = preview(&[("requirements.txt", "flask\ngunicorn\n"), ("Procfile", "web: gunicorn app:app\n"), ("app.py", "")]);
        assert_eq!(seen, Preview { procfile: Started::Web("gunicorn app:app".to_owned()), packages: Ok("requirements.txt") });
    }

    #[test]
    fn each_file_is_judged_for_itself() {
        let none = preview(&[("main.py", "")]);
        assert_eq!(none.procfile, Started::NoWeb { has_procfile: false, suggested: "web: gunicorn main:app".to_owned() });
        assert!(none.packages.unwrap_err().starts_with("Couldn't find any supported Python package manager files."));
        let wrong = preview(&[("Procfile", "web gunicorn"), ("requirements.txt", "")]);
        assert!(matches!(&wrong.procfile, Started::Wrong(why) if why.starts_with("Procfile, line 1:")), "{wrong:?}");
        assert_eq!(wrong.packages, Ok("requirements.txt"));
        let both = preview(&[("Procfile", "web gunicorn"), ("README.md", "")]);
        assert!(both.packages.unwrap_err().starts_with("No Python app was found"));
    }

    #[test]
    fn a_server_nobody_installs_is_a_matter_of_the_packages() {
        let seen = preview(&[("requirements.txt", "flask"), ("Procfile", "web: gunicorn app:app")]);
        assert_eq!(seen.procfile, Started::Web("gunicorn app:app".to_owned()));
        assert!(seen.packages.unwrap_err().ends_with("Add gunicorn to requirements.txt."));
    }

    #[test]
    fn a_procfile_without_web_is_told_what_to_add() {
        let seen = preview(&[("requirements.txt", "fastapi\nuvicorn"), ("Procfile", "worker: python w.py")]);
        let suggested = "web: uvicorn app:app --host 0.0.0.0 --port $PORT".to_owned();
        assert_eq!(seen.procfile, Started::NoWeb { has_procfile: true, suggested });
    }
}
