//! The steps of a deploy from GitHub, as Heroku names them, each with its tick.

use crate::{
    domain::{BuildStatus, build::Build},
    store::git_builds::GitBuild,
    web::cx::Cx,
};

/// The phases of a build that make up each step. Where a step has none of its own it is over when the
/// next one begins.
const STEPS: [&[&str]; 4] = [&["Receive"], &["Detect", "Install", "Image"], &["Command"], &["Release", "Start"]];

/// One step.
pub struct Step {
    pub icon: &'static str,
    pub class: &'static str,
    pub word: String,
    /// For those who do not see the icon.
    pub state: String,
}

/// A build of a commit, as it is shown.
pub struct GitView {
    pub repository: String,
    pub branch: String,
    pub title: String,
    pub short: String,
    pub commit_url: String,
    pub steps: Vec<Step>,
}

impl GitView {
    pub fn of(cx: &Cx, build: &Build, git: &GitBuild) -> GitView {
        GitView {
            repository: git.repository.to_string(),
            branch: git.branch.to_string(),
            title: git.title.clone(),
            short: git.sha.short().to_owned(),
            commit_url: format!("{}/commit/{}", build.source_url, git.sha),
            steps: steps(cx, build, git),
        }
    }
}

/// Which step a build is in; the number of steps when it is through.
fn current(build: &Build) -> Option<usize> {
    if build.status == BuildStatus::Succeeded {
        return Some(STEPS.len());
    }
    let last = build.phases.last()?;
    Some(STEPS.iter().position(|phases| phases.contains(&last.name.as_str())).unwrap_or(STEPS.len() - 1))
}

fn steps(cx: &Cx, build: &Build, git: &GitBuild) -> Vec<Step> {
    let commit = format!("{} {}", git.branch, git.sha.short());
    let words = [cx.t("step-receive"), cx.t1("step-build", "commit", commit), cx.t("step-release"), cx.t("step-deploy")];
    let at = current(build);
    let step = |(index, word): (usize, String)| {
        let (icon, class, state) = match at {
            Some(at) if index < at => ("circle-check", "ok", "step-done"),
            Some(at) if index == at && build.status == BuildStatus::Running => ("circle-dot", "live", "step-running"),
            Some(at) if index == at && build.status.is_finished() => ("circle-x", "bad", "step-failed"),
            _ => ("clock", "off", "step-waiting"),
        };
        Step { icon, class, word, state: cx.t(state) }
    };
    words.into_iter().enumerate().map(step).collect()
}
