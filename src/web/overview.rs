//! The Overview of an app, and the stream that says when it changed.

use std::convert::Infallible;

use askama::Template;
use axum::{
    extract::State,
    response::{
        IntoResponse,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::StreamExt;
use http::StatusCode;
use tokio_stream::wrappers::WatchStream;

use crate::{
    apps::App,
    domain::{DynoState, ReleaseStatus, Role, Timestamp, build::Build, log_line, release::Release},
    dynos::{AppPhase, AppStatus, Caller},
    http::{AppAccess, Fault, Viewer},
    logs::Filter,
    metrics::{Range, Usage},
    repositories::Link,
    web::{
        Page, Web,
        activity::{Entry, feed},
        addons, ansi,
        app::{Head, Seen, Tab},
        builds::BuildView,
        checklist::Checklist,
        cx::Cx,
        formation::{Process, processes},
        hint::HintView,
        lang,
        log::Tail,
        page,
        state::{self, Awake, Pill},
        why::{Answer, answers},
    },
};

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    cx: Cx,
    head: Head,
    blank: bool,
    asleep: bool,
    crash: Option<Crash>,
    hint: Option<HintView>,
    resting: Option<String>,
    quota_warning: Option<String>,
    build: Option<BuildView>,
    /// While it has no code and none is being built.
    checklist: Option<Checklist>,
    awake: Awake,
    release: Option<ReleaseView>,
    formation: Vec<Process>,
    tail: Tail,
    facts: Vec<(String, String)>,
    feed: Vec<Entry>,
    addons: Vec<addons::Row>,
    /// The last requests that kept it awake, and how many are open.
    callers: Vec<Caller>,
    open: usize,
    answers: Vec<Answer>,
    stats: Option<Stats>,
    source: Option<Source>,
    /// The owner first, each with a role.
    people: Vec<(String, String)>,
}

/// The platform's last word on a crash, and the last lines before it.
struct Crash {
    text: String,
    lines: Vec<String>,
}

/// Where its code comes from.
struct Source {
    name: String,
    url: String,
    /// The branch that is followed.
    automatic: Option<String>,
}

/// The last 24 hours in figures.
struct Stats {
    dynos_up: usize,
    dynos: usize,
    /// Of the largest dyno: now, or when one ran last.
    memory: Option<String>,
    /// No dyno runs; they did until then.
    as_of: Option<Timestamp>,
    memory_limit: String,
    requests: u64,
    errors: u64,
    p95: Option<String>,
}

/// The latest release with its build.
struct ReleaseView {
    version: String,
    description: String,
    class: &'static str,
    state: Pill,
    by: String,
    at: Timestamp,
    build: Option<BuildView>,
}

pub async fn overview(State(web): State<Web>, cx: Cx, AppAccess { app, .. }: Viewer) -> Page {
    let Seen { head, status, building } = Head::see(&web, &cx, &app, Tab::Overview).await?;
    let current = web.reader.current_release(app.id).await?;
    let blank = current.as_ref().is_none_or(|release| release.slug_id.is_none());
    let (callers, open) = web.dynos.kept_awake_by(app.id);
    let phase = status.as_ref().map(|status| status.phase);
    let link = web.reader.link(app.id).await?;
    let (events, builds) = (web.reader.events(app.id, 60).await?, web.reader.builds(app.id, 1).await?);
    let overview = OverviewPage {
        blank,
        asleep: phase == Some(AppPhase::Asleep),
        crash: if phase == Some(AppPhase::Crashed) { Some(why_crashed(&web, &cx, &app).await?) } else { None },
        hint: HintView::of_app(&web, &cx, &app, phase).await?,
        quota_warning: status.as_ref().and_then(|status| quota_warning(&cx, status, &cx.now)),
        resting: status.as_ref().and_then(|status| resting(&cx, status)),
        build: building.as_ref().map(|build| BuildView::of(&cx, build)),
        awake: state::awake(&web, &cx, &app, status.as_ref()).await?,
        formation: processes(&web, &cx, &app, status.as_ref()).await?,
        tail: Tail::load(&web, &app, &Filter::default(), 25).await?,
        facts: facts(&web, &cx, &app, current.as_ref()).await?,
        feed: feed(&web, &cx, &app, 6).await?,
        addons: addons::Row::all(&web, &cx, &app).await?,
        callers,
        open,
        answers: answers(&cx, status.as_ref(), &events, &builds),
        checklist: (blank && building.is_none()).then(|| Checklist::known(&cx, (&app, &head), link.as_ref())),
        source: link.map(Source::of),
        people: people(&web, &cx, &app).await?,
        stats: if blank { None } else { Some(stats(&web, &app, status.as_ref()).await?) },
        release: match current {
            Some(release) if !blank => Some(latest(&web, &cx, &app, release).await?),
            _ => None,
        },
        head,
        cx,
    };
    Ok(page(StatusCode::OK, &overview))
}

impl Source {
    fn of(link: Link) -> Source {
        Source { name: link.name.as_str().to_owned(), url: link.url, automatic: link.branch.map(|branch| branch.as_str().to_owned()) }
    }
}

async fn people(web: &Web, cx: &Cx, app: &App) -> Result<Vec<(String, String)>, Fault> {
    let word = |role: Role| match role {
        Role::Owner => cx.t("role-owner"),
        Role::Deploy => cx.t("role-deploy"),
        Role::View => cx.t("role-view"),
    };
    let others = web.reader.collaborators(app.id).await?.into_iter().map(|one| (one.email.to_string(), word(one.role)));
    Ok(std::iter::once((app.owner_email.clone(), word(Role::Owner))).chain(others).collect())
}

/// When it runs out, while most of it is used.
fn quota_warning(cx: &Cx, status: &AppStatus, now: &Timestamp) -> Option<String> {
    let until = status.quota.allow_until.filter(|_| status.quota_warning)?;
    Some(cx.t1("quota-warning-text", "left", lang::hours(until.since(*now))))
}

async fn stats(web: &Web, app: &App, status: Option<&AppStatus>) -> Result<Stats, Fault> {
    let past = web.history.of(app.id, Range::Day).await?;
    let mut day = Usage::default();
    past.values().for_each(|usage| day.add(usage));
    let dynos = status.map_or(&[][..], |status| &status.dynos);
    let dynos_up = dynos.iter().filter(|dyno| dyno.state == DynoState::Up).count();
    let now = web.history.newest(app.id).iter().map(|(_, point)| point.used_bytes()).max().filter(|_| dynos_up > 0);
    let last = past.iter().rev().find(|(_, usage)| usage.used_bytes > 0).map(|(at, usage)| (*at, usage.used_bytes));
    let used = now.or(last.map(|(_, bytes)| bytes));
    Ok(Stats {
        dynos_up,
        dynos: dynos.len(),
        memory: used.map(|bytes| lang::mebibytes(i64::try_from(bytes).unwrap_or(i64::MAX))),
        as_of: last.map(|(at, _)| at).filter(|_| dynos_up == 0),
        memory_limit: lang::mebibytes(web.plans.of(app).memory_bytes),
        requests: day.requests(),
        errors: day.statuses[3].into(),
        p95: day.times.percentile(0.95).map(|time| format!("{} ms", time.as_millis())),
    })
}

fn resting(cx: &Cx, status: &AppStatus) -> Option<String> {
    match status.phase {
        AppPhase::Resting { until } => Some(cx.t1("resting-text", "time", lang::hours(until.since(cx.now)))),
        _ => None,
    }
}

/// Lines of a crashed app that are shown above everything else.
const CRASH_LINES: usize = 10;

async fn why_crashed(web: &Web, cx: &Cx, app: &App) -> Result<Crash, Fault> {
    let lines = web.logs.recent(app.id, &Filter::default(), 200).await?;
    let own: Vec<_> = lines.iter().map(|(_, line)| line).filter(|line| line.ps != "router" && line.ps != "api").collect();
    let telling = |message: &str| message.starts_with("Error R") || message.starts_with("Process exited");
    let word = own.iter().rev().find(|line| line.source == log_line::Source::Heroku && telling(&line.message));
    Ok(Crash {
        text: word.map_or_else(|| cx.t("crashed-text"), |line| line.message.clone()),
        lines: own.iter().skip(own.len().saturating_sub(CRASH_LINES)).map(|line| ansi::to_text(&line.message)).collect(),
    })
}

async fn latest(web: &Web, cx: &Cx, app: &App, release: Release) -> Result<ReleaseView, Fault> {
    let builds = web.reader.builds(app.id, 20).await?;
    // A release that changed config vars alone runs what an earlier build made.
    let of = |build: &Build| build.release_id == Some(release.id) || (build.slug_id.is_some() && build.slug_id == release.slug_id);
    let (class, pill, word) = match release.status {
        ReleaseStatus::Succeeded => ("", "ok", cx.t("release-live")),
        ReleaseStatus::Pending => ("off", "warn live", cx.t("release-pending")),
        ReleaseStatus::Failed => ("bad", "bad", cx.t("release-failed")),
    };
    Ok(ReleaseView {
        version: release.version.to_string(),
        description: release.description,
        class,
        state: Pill { class: pill, word },
        by: release.user_email,
        at: release.created_at,
        build: builds.iter().find(|build| of(build)).map(|build| BuildView::of(cx, build)),
    })
}

/// What is good to know of an app: stack, language, size.
async fn facts(web: &Web, cx: &Cx, app: &App, release: Option<&Release>) -> Result<Vec<(String, String)>, Fault> {
    let mut facts = vec![(cx.t("stack"), app.stack.clone())];
    let slug = match release.and_then(|release| release.slug_id) {
        Some(slug) => web.reader.slug(slug).await?,
        None => None,
    };
    if let Some(slug) = slug {
        facts.push((cx.t("runtime"), slug.runtime));
        facts.push((cx.t("slug-size"), lang::bytes(slug.size)));
    }
    if let Some(at) = app.released_at {
        facts.push((cx.t("last-release"), cx.ago(&at)));
    }
    facts.push((cx.t("made-on"), app.created_at.to_jiff().strftime("%Y-%m-%d").to_string()));
    Ok(facts)
}

/// `GET /apps/{app}/events`: says `changed` whenever the app's state did; the page then asks anew.
/// Stays open after the app is destroyed: a page that reconnected would only find it gone.
pub async fn events(State(web): State<Web>, AppAccess { app, .. }: Viewer) -> Page {
    let status = web.dynos.status(app.id).ok_or_else(|| Fault::not_found("app"))?;
    let changes = WatchStream::from_changes(status).map(|_| Ok::<_, Infallible>(Event::default().event("changed").data("state")));
    Ok(Sse::new(changes.chain(futures_util::stream::pending())).keep_alive(KeepAlive::default()).into_response())
}
