//! What an app without code still needs, step by step. What its repository holds is asked for once
//! the page is there, for the host may be slow.

use askama::Template;
use axum::extract::State;
use http::StatusCode;

use crate::{
    apps::App,
    builder::{Preview, Started},
    http::{AppAccess, Fault, Viewer},
    repositories::{BranchPreview, Link, RepositoryError},
    web::{Page, Web, app, cx::Cx, hint, page, say},
};

/// The line a Flask app needs.
const EXAMPLE: &str = "web: gunicorn app:app";

#[derive(Template)]
#[template(path = "checklist.html")]
struct Part {
    cx: Cx,
    checklist: Checklist,
}

/// The steps from an app to its first deploy.
pub struct Checklist {
    pub app: String,
    pub url: String,
    /// The reader may deploy.
    pub changeable: bool,
    pub repository: Option<Linked>,
    /// What the repository holds is not known yet.
    pub asks: bool,
    pub procfile: Step,
    pub packages: Step,
    /// Why the repository could not be looked at.
    pub wrong: Option<String>,
}

/// The repository an app is connected to.
pub struct Linked {
    pub name: String,
    pub url: String,
    /// The branch that a press on the button deploys.
    pub branch: String,
    /// The commit that was looked at.
    pub commit: Option<String>,
}

/// One file that a deploy needs.
pub struct Step {
    pub state: StepState,
    pub text: String,
    /// What the build would say, in English.
    pub objection: Option<String>,
    /// A line to copy.
    pub snippet: Option<String>,
}

/// How far a step is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    Open,
    Done,
    Bad,
}

impl StepState {
    pub fn class(self) -> &'static str {
        match self {
            StepState::Open => "",
            StepState::Done => "done",
            StepState::Bad => "bad",
        }
    }

    /// Said to those who do not see the sign.
    pub fn word(self) -> Option<&'static str> {
        match self {
            StepState::Open => None,
            StepState::Done => Some("step-done"),
            StepState::Bad => Some("step-missing"),
        }
    }
}

impl Step {
    fn open(text: String, snippet: Option<&str>) -> Step {
        Step { state: StepState::Open, text, objection: None, snippet: snippet.map(str::to_owned) }
    }

    fn done(text: String) -> Step {
        Step { state: StepState::Done, text, objection: None, snippet: None }
    }

    fn bad(text: String, snippet: Option<String>) -> Step {
        Step { state: StepState::Bad, text, objection: None, snippet }
    }

    /// What a build would object to: what to do in the reader's language, where that is known.
    fn objection(cx: &Cx, why: String) -> Step {
        let text = hint::of_objection(cx, &why).unwrap_or_else(|| cx.t("start-objection"));
        Step { objection: Some(why), ..Step::bad(text, None) }
    }
}

impl Checklist {
    /// As far as it can be said without asking the host.
    pub fn known(cx: &Cx, (app, head): (&App, &app::Head), link: Option<&Link>) -> Checklist {
        let linked = |link: &Link| Linked {
            name: link.name.to_string(),
            url: link.url.clone(),
            branch: link.branch.as_ref().unwrap_or(&link.default_branch).to_string(),
            commit: None,
        };
        Checklist {
            app: app.name.to_string(),
            url: head.url.clone(),
            changeable: head.changeable(),
            repository: link.map(linked),
            asks: link.is_some(),
            procfile: Step::open(cx.t("start-procfile-text"), Some(EXAMPLE)),
            packages: Step::open(cx.t("start-packages-text"), None),
            wrong: None,
        }
    }

    fn seen(mut self, cx: &Cx, outcome: Result<BranchPreview, RepositoryError>) -> Result<Checklist, Fault> {
        self.asks = false;
        match outcome {
            Ok(BranchPreview { branch, head, preview }) => {
                if let Some(linked) = &mut self.repository {
                    (linked.branch, linked.commit) = (branch.to_string(), Some(head.sha.short().to_owned()));
                }
                if let Some(preview) = preview {
                    (self.procfile, self.packages) = steps(cx, preview);
                }
            }
            Err(error) => self.wrong = Some(say::repository(cx.lang, &error).ok_or_else(|| Fault::from(error))?),
        }
        Ok(self)
    }
}

fn steps(cx: &Cx, preview: Preview) -> (Step, Step) {
    let procfile = match preview.procfile {
        Started::Web(command) => Step::done(cx.t1("start-procfile-found", "line", format!("web: {command}"))),
        Started::NoWeb { has_procfile: false, suggested } => Step::bad(cx.t("start-procfile-missing"), Some(suggested)),
        Started::NoWeb { has_procfile: true, suggested } => Step::bad(cx.t("start-procfile-no-web"), Some(suggested)),
        Started::Wrong(why) => Step::objection(cx, why),
    };
    let packages = match preview.packages {
        Ok(file) => Step::done(cx.t1("start-packages-found", "file", file)),
        Err(why) => Step::objection(cx, why),
    };
    (procfile, packages)
}

/// `GET /apps/{app}/checklist`: the list again, after a look at the repository.
pub async fn checklist(State(web): State<Web>, cx: Cx, AppAccess { app, .. }: Viewer) -> Page {
    let link = web.repositories.link_of(app.id).await?;
    let app::Seen { head, .. } = app::Head::see(&web, &cx, &app, app::Tab::Overview).await?;
    let known = Checklist::known(&cx, (&app, &head), link.as_ref());
    let checklist = match &link {
        Some(link) => known.seen(&cx, web.repositories.preview(link).await)?,
        None => known,
    };
    Ok(page(StatusCode::OK, &Part { cx, checklist }))
}
