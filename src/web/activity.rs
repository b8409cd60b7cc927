//! What happened to an app, and its releases with their way back.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{Query, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    apps::App,
    domain::{
        ReleaseStatus, SlugId, Timestamp, Version,
        event::{Event, EventKind},
        release::{Release, short_commit},
    },
    http::{AppAccess, Deployer, Fault, Viewer},
    web::{
        Page, Web, addons,
        app::{Head, Seen, Tab},
        cx::Cx,
        front::{Sent, fields},
        page, release, see_other,
    },
};

/// Events that are looked through, the newest.
const LOOKED_AT: u32 = 1000;
/// Entries that are shown of those that fit.
const SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "activity.html")]
struct ActivityPage {
    cx: Cx,
    head: Head,
    days: Vec<Day>,
    kinds: Vec<Choice>,
    people: Vec<Choice>,
    releases: Vec<ReleaseRow>,
}

/// The entries of one day, in UTC.
struct Day {
    /// `2026-11-23`.
    date: String,
    feed: Vec<Entry>,
}

/// One entry of a menu.
struct Choice {
    value: String,
    word: String,
    selected: bool,
}

/// What the feed is narrowed to.
#[derive(Deserialize)]
pub struct Wanted {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    who: String,
}

/// One entry of the feed.
pub struct Entry {
    pub icon: &'static str,
    pub class: &'static str,
    pub text: String,
    pub by: String,
    pub at: Timestamp,
}

struct ReleaseRow {
    version: String,
    description: String,
    icon: &'static str,
    class: &'static str,
    by: String,
    at: Timestamp,
    current: bool,
    /// One can go back to it.
    eligible: bool,
}

/// The groups that events are chosen by, each with its key of words.
const GROUPS: [(&str, &str); 7] = [
    ("deploys", "kind-deploys"),
    ("config", "kind-config"),
    ("scale", "kind-scale"),
    ("awake", "kind-awake"),
    ("crashes", "crashes"),
    ("addons", "addons"),
    ("app", "kind-app"),
];

fn group_of(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Deploy | EventKind::Rollback => "deploys",
        EventKind::Config => "config",
        EventKind::Scale => "scale",
        EventKind::Wake | EventKind::Sleep | EventKind::Rest | EventKind::QuotaWarning => "awake",
        EventKind::Crash => "crashes",
        EventKind::Addon => "addons",
        EventKind::Rename | EventKind::Maintenance | EventKind::Restore => "app",
    }
}

/// The newest entries of an app's feed.
pub async fn feed(web: &Web, cx: &Cx, app: &App, count: u32) -> Result<Vec<Entry>, Fault> {
    Ok(web.reader.events(app.id, count).await?.into_iter().map(|event| entry(cx, event)).collect())
}

/// An event in the reader's words.
pub fn entry(cx: &Cx, event: Event) -> Entry {
    let word = |name: &str| spoken(&event.detail[name]);
    let (icon, class, text) = match event.kind {
        EventKind::Deploy => ("rocket", "ok", cx.t1("did-deploy", "commit", short_commit(&word("commit")))),
        EventKind::Config => ("key-round", "", config_text(cx, &event.detail)),
        EventKind::Rollback => ("rotate-ccw", "", cx.t1("did-rollback", "version", format!("v{}", word("to").trim_start_matches('v')))),
        EventKind::Scale => ("layers", "", cx.t1("did-scale", "formation", formation_text(&event.detail))),
        EventKind::Wake => ("sun", "ok", cx.t("did-wake")),
        EventKind::Sleep => ("moon", "sleep", cx.t("did-sleep")),
        EventKind::QuotaWarning => ("clock", "", cx.t("did-quota-warning")),
        EventKind::Rest => ("moon", "sleep", cx.t("did-rest")),
        EventKind::Crash => ("circle-x", "bad", cx.t1("did-crash", "dyno", word("dyno"))),
        EventKind::Rename => ("pencil", "", cx.t1("did-rename", "name", word("name"))),
        EventKind::Maintenance if event.detail["on"] == true => ("wrench", "", cx.t("did-maintenance-on")),
        EventKind::Maintenance => ("wrench", "", cx.t("did-maintenance-off")),
        EventKind::Restore => ("rotate-ccw", "ok", cx.t("did-restore")),
        EventKind::Addon => addons::told(cx, &word("did"), &word("addon"), &word("name")),
    };
    let by = if event.actor.is_empty() { why(cx, &word("why")) } else { event.actor };
    Entry { icon, class, text, by, at: event.at }
}

/// Why the platform did it.
fn why(cx: &Cx, word: &str) -> String {
    match word {
        "request" => cx.t("why-request"),
        "hand" => cx.t("why-hand"),
        "release" => cx.t("why-release"),
        "rested" => cx.t("why-rested"),
        "idle" => cx.t("why-idle"),
        other => other.to_owned(),
    }
}

/// A JSON value as words: lists with commas, objects not at all.
fn spoken(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Array(items) => items.iter().map(spoken).collect::<Vec<_>>().join(", "),
        Value::Null | Value::Bool(_) | Value::Object(_) => String::new(),
    }
}

fn config_text(cx: &Cx, detail: &Value) -> String {
    let (set, removed) = (spoken(&detail["set"]), spoken(&detail["removed"]));
    match (set.is_empty(), removed.is_empty()) {
        (_, true) => cx.t1("did-set", "keys", set),
        (true, false) => cx.t1("did-remove", "keys", removed),
        (false, false) => format!("{}; {}", cx.t1("did-set", "keys", set), cx.t1("did-remove", "keys", removed)),
    }
}

fn formation_text(detail: &Value) -> String {
    let counts = detail.as_object().into_iter().flatten();
    counts.map(|(name, count)| format!("{name}={}", spoken(count))).collect::<Vec<_>>().join(", ")
}

pub async fn activity(State(web): State<Web>, cx: Cx, AppAccess { app, .. }: Viewer, Query(wanted): Query<Wanted>) -> Page {
    let Seen { head, .. } = Head::see(&web, &cx, &app, Tab::Activity).await?;
    let events = web.reader.events(app.id, LOOKED_AT).await?;
    let kinds = GROUPS.iter().map(|(value, word)| Choice { value: (*value).to_owned(), word: cx.t(word), selected: *value == wanted.kind });
    let (kinds, people) = (kinds.collect(), people(&events, &wanted.who));
    let fits = |event: &Event| {
        (wanted.kind.is_empty() || group_of(event.kind) == wanted.kind) && (wanted.who.is_empty() || event.actor == wanted.who)
    };
    let days = days(&cx, events.into_iter().filter(fits).take(SHOWN));
    let kept = web.releases.kept_slugs(app.id).await?;
    let releases = web.reader.releases(app.id).await?.into_iter().map(|release| row(release, &kept)).collect();
    Ok(page(StatusCode::OK, &ActivityPage { cx, head, days, kinds, people, releases }))
}

/// Everybody who did something.
fn people(events: &[Event], chosen: &str) -> Vec<Choice> {
    let names: BTreeSet<&str> = events.iter().map(|event| event.actor.as_str()).filter(|actor| !actor.is_empty()).collect();
    names.into_iter().map(|name| Choice { value: name.to_owned(), word: name.to_owned(), selected: name == chosen }).collect()
}

fn days(cx: &Cx, events: impl Iterator<Item = Event>) -> Vec<Day> {
    let mut days: Vec<Day> = Vec::new();
    for event in events {
        let date = event.at.to_jiff().strftime("%Y-%m-%d").to_string();
        let entry = entry(cx, event);
        match days.last_mut() {
            Some(day) if day.date == date => day.feed.push(entry),
            _ => days.push(Day { date, feed: vec![entry] }),
        }
    }
    days
}

fn row(release: Release, kept: &BTreeSet<SlugId>) -> ReleaseRow {
    let (icon, class) = match release.status {
        ReleaseStatus::Succeeded => ("circle-check", "ok"),
        ReleaseStatus::Pending => ("clock", ""),
        ReleaseStatus::Failed => ("circle-x", "bad"),
    };
    let eligible = release::may_return(&release, kept);
    ReleaseRow {
        version: release.version.to_string(),
        description: release.description,
        icon,
        class,
        by: release.user_email,
        at: release.created_at,
        current: release.current,
        eligible,
    }
}

#[derive(Deserialize)]
pub struct RollBack {
    version: String,
}

pub async fn roll_back(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, sent: Sent<RollBack>) -> Page {
    let version: Version = fields(sent)?.version.parse().map_err(Fault::invalid)?;
    let release = web.reader.release_by_version(app.id, version).await?.ok_or_else(|| Fault::not_found("release"))?;
    let made = web.releases.rollback(app.id, release.id, &by).await?;
    let back = format!("/apps/{}/activity", app.name);
    Ok(see_other(&back, [cx.flash(true, "flash-rolled-back", &format!("{version} → {}", made.version))]))
}
