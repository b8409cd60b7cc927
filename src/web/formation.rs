//! Process types and dynos: the table with steppers, the Resources page, scale, restart, wake.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Query, State};
use http::StatusCode;
use serde::Deserialize;

use crate::{
    apps::App,
    domain::{DynoName, DynoState, ProcessType, Timestamp, formation::Quantity},
    dynos::{AppStatus, DynoError, DynoView, Which},
    http::{AppAccess, Deployer, Fault, Viewer},
    web::{
        Page, Web,
        addons::{AddonList, Search},
        app::{Head, Seen, Tab},
        cx::Cx,
        front::{Sent, fields},
        lang, page, say, see_other,
        state::Pill,
    },
};

#[derive(Template)]
#[template(path = "resources.html")]
struct ResourcesPage {
    cx: Cx,
    head: Head,
    formation: Vec<Process>,
    dynos: Vec<Dyno>,
    /// The memory cap of a dyno.
    size: String,
    plan: String,
    addons: AddonList,
}

/// One process type.
pub struct Process {
    pub name: String,
    pub command: String,
    pub state: Pill,
    pub count: u32,
    /// The plan has no room for another dyno of it.
    pub full: bool,
}

struct Dyno {
    name: String,
    state: Pill,
    version: String,
    since: Timestamp,
    /// What it uses now, once it was measured.
    memory: Option<String>,
}

/// The process types of an app with their counts, in Procfile order.
pub async fn processes(web: &Web, cx: &Cx, app: &App, status: Option<&AppStatus>) -> Result<Vec<Process>, Fault> {
    let limit = web.plans.of(app).dynos_per_type;
    let dynos = status.map_or(&[][..], |status| &status.dynos);
    let rows = web.dynos.formation(app.id).await?;
    let state = |process_type: &ProcessType| {
        dynos.iter().filter(|dyno| dyno.name.process_type == *process_type).map(|dyno| dyno.state).min_by_key(rank)
    };
    let process = |row: crate::dynos::FormationRow| Process {
        state: dyno_pill(cx, state(&row.process_type).unwrap_or(DynoState::Down)),
        name: row.process_type.to_string(),
        command: row.command,
        count: row.quantity,
        full: row.quantity >= limit,
    };
    Ok(rows.into_iter().map(process).collect())
}

/// The state of several dynos is that of the worst.
fn rank(state: &DynoState) -> u8 {
    match state {
        DynoState::Crashed => 0,
        DynoState::Starting => 1,
        DynoState::Up => 2,
        DynoState::Idle => 3,
        DynoState::Down | DynoState::Complete => 4,
    }
}

fn dyno_pill(cx: &Cx, state: DynoState) -> Pill {
    let (class, word) = match state {
        DynoState::Up => ("ok", cx.t("dyno-up")),
        DynoState::Starting => ("warn live", cx.t("dyno-starting")),
        DynoState::Crashed => ("bad", cx.t("state-crashed")),
        DynoState::Idle => ("sleep", cx.t("state-asleep")),
        DynoState::Down | DynoState::Complete => ("off", cx.t("state-off")),
    };
    Pill { class, word }
}

fn dyno(cx: &Cx, view: &DynoView, used: Option<u64>) -> Dyno {
    Dyno {
        name: view.name.to_string(),
        state: dyno_pill(cx, view.state),
        version: view.version.to_string(),
        since: view.since,
        memory: used.map(|bytes| lang::mebibytes(i64::try_from(bytes).unwrap_or(i64::MAX))),
    }
}

pub async fn resources(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Viewer, Query(search): Query<Search>) -> Page {
    let Seen { head, status, .. } = Head::see(&web, &cx, &app, Tab::Resources).await?;
    let formation = processes(&web, &cx, &app, status.as_ref()).await?;
    let used: BTreeMap<String, u64> =
        web.history.newest(app.id).into_iter().map(|(name, point)| (name.to_string(), point.used_bytes())).collect();
    let dynos = status.iter().flat_map(|status| &status.dynos);
    let dynos = dynos.map(|view| dyno(&cx, view, used.get(&view.name.to_string()).copied())).collect();
    let plan = web.plans.of(&app);
    let size = lang::mebibytes(plan.memory_bytes);
    let values = [
        ("plan", &*plan.name),
        ("memory", &*lang::mebibytes(plan.memory_bytes)),
        ("types", &plan.process_types.to_string()),
        ("dynos", &plan.dynos_per_type.to_string()),
        ("idle", &lang::rough(plan.idle_after)),
    ];
    let plan = cx.lang.with("plan-text", &values);
    let addons = AddonList::load(&web, &cx, &app, &by, &search).await?;
    Ok(page(StatusCode::OK, &ResourcesPage { cx, head, formation, dynos, size, plan, addons }))
}

#[derive(Deserialize)]
pub struct Scale {
    process: String,
    quantity: String,
}

pub async fn scale(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, sent: Sent<Scale>) -> Page {
    let Scale { process, quantity } = fields(sent)?;
    let process: ProcessType = process.parse()?;
    let quantity: Quantity = quantity.parse().map_err(Fault::invalid)?;
    let back = format!("/apps/{}/resources", app.name);
    match web.dynos.scale(app.id, &[(process.clone(), quantity)], &by).await {
        Ok(_) => Ok(see_other(&back, [cx.flash(true, "flash-scaled", process.as_str())])),
        Err(error) => failed(&cx, &back, error),
    }
}

/// Back to the page with what went wrong, or the fault when it is not the user's doing.
fn failed(cx: &Cx, back: &str, error: DynoError) -> Page {
    match say::dyno(cx.lang, &error) {
        Some(text) => Ok(see_other(back, [cx.flash(false, "flash-failed", &text)])),
        None => Err(error.into()),
    }
}

pub async fn restart(State(web): State<Web>, cx: Cx, AppAccess { app, .. }: Deployer) -> Page {
    let back = format!("/apps/{}", app.name);
    match web.dynos.restart(app.id, Which::All).await {
        Ok(()) => Ok(see_other(&back, [cx.flash(true, "flash-restarted", "")])),
        Err(error) => failed(&cx, &back, error),
    }
}

#[derive(Deserialize)]
pub struct Single {
    dyno: String,
}

/// Restarts one dyno.
pub async fn restart_one(State(web): State<Web>, cx: Cx, AppAccess { app, .. }: Deployer, sent: Sent<Single>) -> Page {
    let name: DynoName = fields(sent)?.dyno.parse().map_err(|_| Fault::not_found("dyno"))?;
    let (back, said) = (format!("/apps/{}/resources", app.name), name.to_string());
    match web.dynos.restart(app.id, Which::One(name)).await {
        Ok(()) => Ok(see_other(&back, [cx.flash(true, "flash-dyno-restarted", &said)])),
        Err(error) => failed(&cx, &back, error),
    }
}

pub async fn wake(State(web): State<Web>, cx: Cx, AppAccess { app, .. }: Deployer) -> Page {
    let back = format!("/apps/{}", app.name);
    match web.dynos.wake(app.id).await {
        Ok(()) => Ok(see_other(&back, [cx.flash(true, "flash-waking", "")])),
        Err(error) => failed(&cx, &back, error),
    }
}
