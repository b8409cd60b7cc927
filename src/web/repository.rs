//! The Deploy tab's GitHub part: connect a repository, deploy a branch, follow a branch, deliveries.

use askama::Template;
use axum::{
    extract::{Query, State},
    response::{IntoResponse, Redirect},
};
use http::StatusCode;
use serde::Deserialize;

use crate::{
    accounts::User,
    apps::App,
    domain::{BranchName, BuildId, RepoName, Timestamp, git::Verdict},
    github::{Owner, Repository, Search},
    http::{AppAccess, Deployer, Fault},
    repositories::{Delivery, Link, RepositoryError, Wish},
    web::{
        Page, Web,
        app::{Head, Seen, Tab},
        builds::BuildView,
        cx::Cx,
        front::{Sent, fields},
        github::after,
        oops::encode,
        page, say, see_other,
        state::Pill,
        steps::GitView,
    },
};

/// The GitHub part of the Deploy tab.
pub struct GithubView {
    /// This server is registered at GitHub.
    pub set_up: bool,
    pub admin: bool,
    /// The login, once connected well enough to deploy.
    pub connected: Option<String>,
    pub revoked: bool,
    pub connect_href: String,
    /// Why nothing can be asked of GitHub here.
    pub obstacle: Option<String>,
    /// Where a GitHub App's repositories are chosen.
    pub configure: Option<String>,
    pub picker: Option<Picker>,
    pub link: Option<LinkView>,
}

/// One entry of a menu.
pub struct Choice {
    pub value: String,
    pub selected: bool,
}

/// The search for a repository.
pub struct Picker {
    pub owners: Vec<Choice>,
    pub text: String,
    pub searched: bool,
    pub hits: Vec<Repository>,
    pub earlier: Option<String>,
    pub later: Option<String>,
    /// Why nothing could be searched.
    pub wrong: Option<String>,
}

/// A connected repository.
pub struct LinkView {
    pub name: String,
    pub url: String,
    /// The GitHub login through whom; empty: public, by its address.
    pub by: String,
    pub trouble: Option<String>,
    pub automatic: Option<String>,
    pub wait_for_ci: bool,
    pub supersede: bool,
    /// How pushes become known.
    pub note: String,
    pub branches: Vec<Choice>,
    pub head: HeadView,
    /// The newest deploy from GitHub.
    pub last: Option<(BuildView, GitView)>,
}

#[derive(Template)]
#[template(path = "_git_head.html")]
struct HeadPart {
    cx: Cx,
    commit: HeadView,
}

/// The newest commit of a branch, or why it cannot be shown.
#[derive(Default)]
pub struct HeadView {
    pub sha: String,
    pub url: String,
    pub title: String,
    pub author: String,
    pub wrong: Option<String>,
}

#[derive(Deserialize, Default)]
pub struct Wanted {
    #[serde(default)]
    owner: String,
    q: Option<String>,
    #[serde(default)]
    page: u32,
    branch: Option<BranchName>,
}

impl GithubView {
    /// Looks at an app's repository, or at what it can be connected to.
    pub async fn see(web: &Web, cx: &Cx, (app, user): (&App, &User), wanted: &Wanted) -> Result<GithubView, Fault> {
        let set_up = web.connections.registration().await?.is_some();
        let connection = web.connections.of(user.id).await?;
        let revoked = connection.as_ref().is_some_and(|known| known.revoked);
        let connected = connection.filter(|known| known.may_deploy && !known.revoked).map(|known| known.login);
        let link = web.repositories.link_of(app.id).await?;
        let picker = match (&link, &connected) {
            (None, Some(_)) if set_up => Some(pick(web, cx, (app, user), wanted).await?),
            _ => None,
        };
        let link = match link {
            Some(link) => Some(LinkView::see(web, cx, (app, link), wanted).await?),
            None => None,
        };
        let connect_href = format!("/github/connect?next={}", encode(&format!("/apps/{}/deploy", app.name)));
        let obstacle = web.repositories.can_ask().err().and_then(|error| say::repository(cx.lang, &error));
        let configure = web.connections.installation_url().await?;
        Ok(GithubView { set_up, admin: user.admin, connected, revoked, connect_href, obstacle, configure, picker, link })
    }
}

/// Owners and, once searched, repositories.
async fn pick(web: &Web, cx: &Cx, (app, user): (&App, &User), wanted: &Wanted) -> Result<Picker, Fault> {
    let text = wanted.q.clone().unwrap_or_default().chars().take(100).collect::<String>();
    let mut picker =
        Picker { owners: Vec::new(), text, searched: wanted.q.is_some(), hits: Vec::new(), earlier: None, later: None, wrong: None };
    let owners = match web.repositories.owners(user.id).await {
        Ok(owners) => owners,
        Err(error) => return failed(cx, picker, error),
    };
    let Some(owner) = owners.iter().find(|owner| owner.login == wanted.owner).or(owners.first()).cloned() else { return Ok(picker) };
    picker.owners = owners.into_iter().map(|one| Choice { selected: one == owner, value: one.login }).collect();
    if picker.searched {
        let number = wanted.page.clamp(1, 1000);
        let search = Search { owner: owner.clone(), text: picker.text.clone(), page: number };
        match web.repositories.search(user.id, search).await {
            Ok(listing) => {
                let href = |number| page_href(app, &owner, &picker.text, number);
                picker.earlier = (number > 1).then(|| href(number - 1));
                picker.later = listing.more.then(|| href(number + 1));
                picker.hits = listing.items;
            }
            Err(error) => return failed(cx, picker, error),
        }
    }
    Ok(picker)
}

fn page_href(app: &App, owner: &Owner, text: &str, number: u32) -> String {
    format!("/apps/{}/deploy?owner={}&q={}&page={number}#github", app.name, encode(&owner.login), encode(text))
}

fn failed(cx: &Cx, picker: Picker, error: RepositoryError) -> Result<Picker, Fault> {
    match say::repository(cx.lang, &error) {
        Some(text) => Ok(Picker { wrong: Some(text), ..picker }),
        None => Err(error.into()),
    }
}

impl LinkView {
    async fn see(web: &Web, cx: &Cx, (app, link): (&App, Link), wanted: &Wanted) -> Result<LinkView, Fault> {
        let chosen = wanted.branch.clone().or_else(|| link.branch.clone()).unwrap_or_else(|| link.default_branch.clone());
        let found = match web.repositories.current(&link).await {
            Ok(link) => web.repositories.branches(&link).await.map(|branches| (link, branches)),
            Err(error) => Err(error),
        };
        let (link, branches, head) = match found {
            Ok((link, branches)) => {
                let head = HeadView::see(web, cx, &link, &chosen).await?;
                (link, branches, head)
            }
            Err(error) => {
                let wrong = say::repository(cx.lang, &error).ok_or_else(|| Fault::from(error))?;
                (link, vec![chosen.clone()], HeadView::wrong(wrong))
            }
        };
        let app_hook = web.connections.is_app().await?;
        let by = match link.user_id {
            Some(user) => web.connections.of(user).await?.map(|known| known.login).unwrap_or_default(),
            None => String::new(),
        };
        Ok(LinkView {
            name: link.name.to_string(),
            url: link.url.clone(),
            by,
            trouble: trouble(cx, &link),
            automatic: link.branch.as_ref().map(ToString::to_string),
            wait_for_ci: link.wait_for_ci,
            supersede: link.supersede,
            note: note(cx, &link, app_hook),
            branches: branches.into_iter().map(|branch| Choice { selected: branch == chosen, value: branch.to_string() }).collect(),
            head,
            last: last(web, cx, app).await?,
        })
    }
}

/// The newest deploy from GitHub, if it is among the newest builds.
async fn last(web: &Web, cx: &Cx, app: &App) -> Result<Option<(BuildView, GitView)>, Fault> {
    for build in web.reader.builds(app.id, 5).await? {
        if let Some(git) = web.reader.git_build(build.id).await? {
            return Ok(Some((BuildView::of(cx, &build), GitView::of(cx, &build, &git))));
        }
    }
    Ok(None)
}

fn trouble(cx: &Cx, link: &Link) -> Option<String> {
    Some(match link.trouble.as_str() {
        "revoked" => cx.t("gh-trouble-revoked"),
        "gone" => cx.t("gh-trouble-gone"),
        "uninstalled" => cx.t("gh-trouble-uninstalled"),
        "forbidden" => cx.t("gh-trouble-forbidden"),
        "branch_gone" => cx.t1("gh-trouble-branch", "branch", link.branch.as_ref().map(ToString::to_string).unwrap_or_default()),
        _ => return None,
    })
}

/// How pushes become known. A GitHub App has one hook for everything, so there is none of the link's.
fn note(cx: &Cx, link: &Link, app_hook: bool) -> String {
    match (link.hook_seen_at, link.hook_id, link.user_id) {
        (Some(at), ..) => cx.t1("gh-hook-seen", "time", cx.ago(&at)),
        (None, Some(_), _) => cx.t("gh-hook-silent"),
        (None, None, Some(_)) if app_hook => cx.t("gh-hook-silent"),
        (None, None, Some(_)) => cx.t("gh-polled"),
        (None, None, None) => cx.t("gh-polled-public"),
    }
}

impl HeadView {
    fn wrong(wrong: String) -> HeadView {
        HeadView { wrong: Some(wrong), ..HeadView::default() }
    }

    async fn see(web: &Web, cx: &Cx, link: &Link, branch: &BranchName) -> Result<HeadView, Fault> {
        match web.repositories.head(link, branch).await {
            Ok(head) => Ok(HeadView {
                sha: head.sha.short().to_owned(),
                url: format!("{}/commit/{}", link.url, head.sha),
                title: head.title().chars().take(120).collect(),
                author: head.author,
                wrong: None,
            }),
            Err(error) => match say::repository(cx.lang, &error) {
                Some(text) => Ok(HeadView::wrong(text)),
                None => Err(error.into()),
            },
        }
    }
}

async fn linked(web: &Web, app: &App) -> Result<Link, Fault> {
    Ok(web.repositories.link_of(app.id).await?.ok_or(RepositoryError::NotLinked)?)
}

/// The head of a branch, when another one is chosen.
pub async fn head(State(web): State<Web>, cx: Cx, AppAccess { app, .. }: Deployer, Query(wanted): Query<Wanted>) -> Page {
    let link = linked(&web, &app).await?;
    let branch = wanted.branch.unwrap_or_else(|| link.default_branch.clone());
    let commit = HeadView::see(&web, &cx, &link, &branch).await?;
    Ok(page(StatusCode::OK, &HeadPart { cx, commit }))
}

#[derive(Deserialize)]
pub struct Chosen {
    repository: String,
}

fn deploy_path(app: &App) -> String {
    format!("/apps/{}/deploy", app.name)
}

/// Connects one of the repositories that were found.
pub async fn connect(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, sent: Sent<Chosen>) -> Page {
    let name: RepoName = fields(sent)?.repository.parse().map_err(Fault::invalid)?;
    let outcome = web.repositories.connect(app.id, &name, &by).await;
    after(&cx, &deploy_path(&app), "flash-repository-connected", outcome.map(|link| link.name.to_string()))
}

/// Connects a public repository by its address.
pub async fn connect_public(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, sent: Sent<Chosen>) -> Page {
    let outcome = web.repositories.connect_public(app.id, &fields(sent)?.repository, &by).await;
    after(&cx, &deploy_path(&app), "flash-repository-connected", outcome.map(|link| link.name.to_string()))
}

pub async fn disconnect(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer) -> Page {
    let outcome = web.repositories.disconnect(app.id, &by).await;
    after(&cx, &deploy_path(&app), "flash-repository-disconnected", outcome.map(|()| String::new()))
}

#[derive(Deserialize)]
pub struct DeployBranch {
    branch: String,
}

fn branch_of(text: &str) -> Result<BranchName, RepositoryError> {
    text.parse().map_err(RepositoryError::BadName)
}

/// Deploy Branch: to the page where the build can be watched.
pub async fn deploy(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, sent: Sent<DeployBranch>) -> Page {
    let branch = branch_of(&fields(sent)?.branch);
    let outcome = match branch {
        Ok(branch) => web.repositories.deploy(app.id, &branch, &by).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(build) => Ok(Redirect::to(&format!("/apps/{}/builds/{}", app.name, build.id)).into_response()),
        Err(error) => after(&cx, &deploy_path(&app), "flash-failed", Err(error)),
    }
}

#[derive(Deserialize)]
pub struct Automatic {
    branch: String,
    wait_for_ci: Option<String>,
    supersede: Option<String>,
}

/// Enable Automatic Deploys.
pub async fn enable(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, sent: Sent<Automatic>) -> Page {
    let Automatic { branch, wait_for_ci, supersede } = fields(sent)?;
    let outcome = match branch_of(&branch) {
        Ok(branch) => {
            let wish = Wish { branch, wait_for_ci: wait_for_ci.is_some(), supersede: supersede.is_some() };
            web.repositories.follow(app.id, wish, &by).await
        }
        Err(error) => Err(error),
    };
    after(&cx, &deploy_path(&app), "flash-automatic-on", outcome.map(|()| branch))
}

/// Disable Automatic Deploys.
pub async fn disable(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer) -> Page {
    let outcome = web.repositories.unfollow(app.id, &by).await;
    after(&cx, &deploy_path(&app), "flash-automatic-off", outcome.map(|()| String::new()))
}

#[derive(Template)]
#[template(path = "deliveries.html")]
struct DeliveriesPage {
    cx: Cx,
    head: Head,
    rows: Vec<DeliveryRow>,
    note: String,
}

struct DeliveryRow {
    guid: String,
    what: String,
    short: String,
    who: String,
    verdict: Pill,
    build: Option<BuildId>,
    count: i64,
    at: Timestamp,
    /// Judging it once more may lead to something.
    again: bool,
}

/// What became of a delivery.
pub fn verdict(cx: &Cx, verdict: Verdict) -> Pill {
    let (class, key) = match verdict {
        Verdict::Received => ("warn live", "verdict-received"),
        Verdict::Deployed => ("ok", "verdict-deployed"),
        Verdict::Known => ("off", "verdict-known"),
        Verdict::OtherBranch => ("off", "verdict-other-branch"),
        Verdict::Tag => ("off", "verdict-tag"),
        Verdict::BranchDeleted => ("warn", "verdict-branch-deleted"),
        Verdict::BadSignature => ("bad", "verdict-bad-signature"),
        Verdict::Skipped => ("off", "verdict-skipped"),
        Verdict::Superseded => ("off", "verdict-superseded"),
        Verdict::WaitingForCi => ("warn live", "verdict-waiting-for-ci"),
        Verdict::CiFailed => ("bad", "verdict-ci-failed"),
        Verdict::Off => ("off", "verdict-off"),
        Verdict::Ping => ("ok", "verdict-ping"),
        Verdict::Ignored => ("off", "verdict-ignored"),
        Verdict::Unreachable => ("warn", "verdict-unreachable"),
        Verdict::Refused => ("bad", "verdict-refused"),
    };
    Pill { class, word: cx.t(key) }
}

fn row(cx: &Cx, one: Delivery) -> DeliveryRow {
    let genuine = !matches!(one.verdict, Verdict::BadSignature | Verdict::Ping | Verdict::Tag | Verdict::OtherBranch | Verdict::Received);
    DeliveryRow {
        what: if one.branch.is_empty() { one.event.clone() } else { format!("{} {}", one.event, one.branch) },
        short: one.sha.chars().take(8).collect(),
        who: one.who,
        verdict: verdict(cx, one.verdict),
        build: one.build_id,
        count: one.count,
        at: one.received_at,
        again: genuine,
        guid: one.guid,
    }
}

/// What GitHub told of the repository lately, and what became of it.
pub async fn deliveries(State(web): State<Web>, cx: Cx, AppAccess { app, .. }: Deployer) -> Page {
    let link = web.repositories.link_of(app.id).await?;
    let Seen { head, .. } = Head::see(&web, &cx, &app, Tab::Deploy).await?;
    let rows = web.repositories.deliveries(app.id).await?.into_iter().map(|one| row(&cx, one)).collect();
    let app_hook = web.connections.is_app().await?;
    let note = link.map(|link| note(&cx, &link, app_hook)).unwrap_or_default();
    Ok(page(StatusCode::OK, &DeliveriesPage { cx, head, rows, note }))
}

#[derive(Deserialize)]
pub struct Again {
    guid: String,
}

pub async fn redeliver(State(web): State<Web>, cx: Cx, AppAccess { app, .. }: Deployer, sent: Sent<Again>) -> Page {
    web.repositories.redeliver(app.id, &fields(sent)?.guid).await?;
    Ok(see_other(&format!("/apps/{}/github/deliveries", app.name), [cx.flash(true, "flash-redelivered", "")]))
}
