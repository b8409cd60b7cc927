//! The list of apps, and making a new one.

use std::{cmp::Reverse, collections::HashMap, time::Duration};

use askama::Template;
use axum::{
    extract::{Query, State},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;

use crate::{
    accounts::User,
    apps::App,
    domain::{AppId, AppName, Timestamp, capacity::NoRoom, release::Release, user::Actor},
    http::{CurrentUser, Fault},
    web::{
        Page, Web,
        cx::Cx,
        form::Form,
        front::{Sent, fields},
        lang, page, say, see_other,
        state::{self, Awake, Pill},
    },
};

#[derive(Template)]
#[template(path = "apps.html")]
struct AppsPage {
    cx: Cx,
    /// Apps in the bin.
    binned: usize,
    /// Why no other app can wake just now.
    full: Option<Full>,
    rows: Vec<Row>,
    /// All the reader may open, shown or not.
    count: usize,
    wanted: Wanted,
}

/// A machine without room for one more dyno.
struct Full {
    why: String,
    /// Which app makes room, and when.
    next: Option<String>,
}

/// What the list is narrowed to, and its order.
#[derive(Default, Deserialize)]
pub struct Wanted {
    /// A part of a name.
    #[serde(default)]
    q: String,
    #[serde(default)]
    sort: Sort,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sort {
    #[default]
    Name,
    /// The last deployed first.
    Deploy,
    /// The longest awake first.
    Awake,
    #[serde(other)]
    Other,
}

struct Row {
    name: AppName,
    state: Pill,
    release: Option<(String, Timestamp)>,
    awake: Awake,
    used: Duration,
}

#[derive(Template)]
#[template(path = "new.html")]
struct NewPage {
    cx: Cx,
    form: Form,
    hint: NameHint,
}

#[derive(Template)]
#[template(path = "name_check.html")]
struct NameCheck {
    cx: Cx,
    hint: NameHint,
}

/// What stands below the name while it is typed.
enum NameHint {
    Empty,
    /// Free; the address the app will have.
    Free(String),
    Refused(String),
}

pub async fn list(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser, Query(wanted): Query<Wanted>) -> Page {
    // A question an app would be too many where there are hundreds.
    let (apps, building, releases, spans, binned) = tokio::try_join!(
        web.reader.apps_open_to(user.id),
        web.reader.apps_that_build(),
        web.reader.current_releases_open_to(user.id),
        web.reader.awake_spans_open_to(user.id, cx.now - state::WINDOW),
        web.reader.binned_apps_of(user.id),
    )?;
    let releases: HashMap<AppId, Release> = releases.into_iter().map(|release| (release.app_id, release)).collect();
    let full = full(&web, &cx, &user, &apps);
    let row = |app: App| {
        let status = state::status(&web, app.id);
        Row {
            state: Pill::of(&cx, status.as_ref(), building.contains(&app.id)),
            release: releases.get(&app.id).map(said),
            awake: state::awake_in(&web, &cx, (&app, status.as_ref()), spans.get(&app.id).map_or(&[], Vec::as_slice)),
            used: status.map_or(Duration::ZERO, |status| status.quota.used),
            name: app.name,
        }
    };
    let (count, part) = (apps.len(), wanted.q.trim().to_lowercase());
    let mut rows: Vec<Row> = apps.into_iter().filter(|app| app.name.as_str().contains(&part)).map(row).collect();
    match wanted.sort {
        Sort::Name | Sort::Other => {}
        Sort::Deploy => rows.sort_by_key(|row| Reverse(row.release.as_ref().map(|(_, at)| *at))),
        Sort::Awake => rows.sort_by_key(|row| Reverse(row.used)),
    }
    Ok(page(StatusCode::OK, &AppsPage { cx, binned: binned.len(), full, rows, count, wanted }))
}

/// Whether another app could wake, and which one makes room. Names of others' apps are theirs.
fn full(web: &Web, cx: &Cx, user: &User, apps: &[App]) -> Option<Full> {
    let why = web.host.would_fit(web.plans.of_account(user.id).memory_bytes).err()?;
    let next = web.dynos.next_to_sleep().filter(|_| matches!(why, NoRoom::Promised { .. } | NoRoom::Memory { .. }));
    let next = next.map(|(id, at)| {
        let time = lang::rough(at.since(cx.now));
        match apps.iter().find(|app| app.id == id) {
            Some(app) => cx.lang.with("full-next-own", &[("app", app.name.as_str()), ("time", &time)]),
            None => cx.t1("full-next", "time", time),
        }
    });
    Some(Full { why: say::no_room(cx.lang, &why), next })
}

fn said(release: &Release) -> (String, Timestamp) {
    (format!("{} {}", release.version, release.description), release.created_at)
}

pub async fn new_page(cx: Cx, _: CurrentUser) -> Page {
    Ok(page(StatusCode::OK, &NewPage { cx, form: Form::default(), hint: NameHint::Empty }))
}

#[derive(Deserialize)]
pub struct NewApp {
    #[serde(default)]
    name: String,
    /// Set by the button that only asks for a name.
    suggest: Option<String>,
}

/// Looks at a name while it is typed. Taking it is what decides; this is help only.
pub async fn check_name(State(web): State<Web>, cx: Cx, _: CurrentUser, Query(query): Query<NewApp>) -> Page {
    let hint = hint_for(&web, &cx, &query.name).await?;
    Ok(page(StatusCode::OK, &NameCheck { cx, hint }))
}

async fn hint_for(web: &Web, cx: &Cx, typed: &str) -> Result<NameHint, Fault> {
    if typed.is_empty() {
        return Ok(NameHint::Empty);
    }
    Ok(match typed.parse::<AppName>() {
        Err(error) => NameHint::Refused(say::app_name(cx.lang, error)),
        Ok(name) if web.reader.app_by_name(&name).await?.is_some() => NameHint::Refused(cx.t("name-taken")),
        Ok(name) => NameHint::Free(web.config.web_url(name.as_str())),
    })
}

pub async fn create(State(web): State<Web>, cx: Cx, CurrentUser(user): CurrentUser, sent: Sent<NewApp>) -> Page {
    let NewApp { name: typed, suggest } = fields(sent)?;
    if suggest.is_some() {
        let name = AppName::generate(rand::random());
        let hint = NameHint::Free(web.config.web_url(name.as_str()));
        return Ok(page(StatusCode::OK, &NewPage { cx, form: Form::default().filled("name", name.as_str()), hint }));
    }
    let name = match typed.as_str() {
        "" => None,
        typed => match typed.parse::<AppName>() {
            Ok(name) => Some(name),
            Err(error) => return Ok(refuse(cx.clone(), typed, "name", say::app_name(cx.lang, error))),
        },
    };
    match web.apps.create(name, &Actor { id: user.id, email: user.email }).await {
        Ok(app) => Ok(see_other(&format!("/apps/{}/deploy", app.name), [cx.flash(true, "flash-created", app.name.as_str())])),
        Err(error) => match say::app(cx.lang, &error) {
            Some((field, text)) => Ok(refuse(cx, &typed, field, text)),
            None => Err(error.into()),
        },
    }
}

fn refuse(cx: Cx, typed: &str, field: &'static str, text: String) -> Response {
    let hint = if field == "name" { NameHint::Refused(text.clone()) } else { NameHint::Empty };
    page(StatusCode::UNPROCESSABLE_ENTITY, &NewPage { cx, form: Form::default().filled("name", typed).wrong(field, text), hint })
}
