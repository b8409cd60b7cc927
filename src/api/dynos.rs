//! Dynos: what runs, one-offs, restart, stop.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, Method, StatusCode};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{
        Api, Route,
        paging::list,
        reference::{Door, Reference, app_reference},
    },
    apps::App,
    domain::{DynoId, ProcessType},
    dynos::{DynoView, RunOrder, Streams, Which},
    http::{Deployer, Fault, Json, Viewer},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/apps/{app}/dynos", all),
        Route::new(Method::POST, "/apps/{app}/dynos", run),
        Route::new(Method::DELETE, "/apps/{app}/dynos", restart_all),
        Route::new(Method::GET, "/apps/{app}/dynos/{dyno}", show),
        Route::new(Method::POST, "/apps/{app}/dynos/{dyno}", run_inside),
        Route::new(Method::DELETE, "/apps/{app}/dynos/{dyno}", restart),
        Route::new(Method::POST, "/apps/{app}/dynos/{dyno}/actions/restart", restart),
        Route::new(Method::POST, "/apps/{app}/dynos/{dyno}/actions/stop", stop),
        Route::new(Method::DELETE, "/apps/{app}/formations/{type}", restart_type),
        Route::new(Method::POST, "/apps/{app}/formations/{type}/actions/stop", stop_type),
    ]
}

type Done = Result<(StatusCode, Json<Value>), Fault>;
const ACCEPTED: StatusCode = StatusCode::ACCEPTED;

pub(super) fn views(api: &Api, app: &App) -> Vec<DynoView> {
    let mut dynos = api.dynos.status(app.id).map(|status| status.borrow().dynos.clone()).unwrap_or_default();
    dynos.extend(api.dynos.one_offs(app.id));
    dynos
}

pub(super) fn shape(api: &Api, app: &App, dyno: &DynoView) -> Value {
    json!({
        "app": app_reference(app),
        "attach_url": null,
        "command": dyno.command,
        "created_at": dyno.since,
        "id": dyno.id,
        "name": dyno.name.to_string(),
        "release": { "id": dyno.release, "version": dyno.version },
        "size": api.plans.of(app).size_word(),
        "state": dyno.state,
        "type": dyno.name.process_type,
        "updated_at": dyno.since,
    })
}

async fn all(State(api): State<Api>, access: Viewer, headers: HeaderMap) -> Result<Response, Fault> {
    let dynos = views(&api, &access.app);
    list(&headers, &["name", "id", "created_at", "updated_at"], dynos.iter().map(|dyno| shape(&api, &access.app, dyno)).collect())
}

/// The dyno a path names, by its name or its id.
fn find(api: &Api, app: &App, named: &str) -> Result<DynoView, Fault> {
    let id: Option<DynoId> = named.parse().ok();
    let is = |dyno: &DynoView| Some(dyno.id) == id || dyno.name.to_string() == named;
    views(api, app).into_iter().find(is).ok_or_else(|| Fault::not_found("dyno"))
}

async fn show(State(api): State<Api>, access: Viewer, Path((_, named)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    let dyno = find(&api, &access.app, &named)?;
    Ok(Json(shape(&api, &access.app, &dyno)))
}

/// What to run, as clients write it (heroku.md 2.7).
#[derive(Deserialize)]
struct Run {
    command: String,
    #[serde(default)]
    attach: Option<bool>,
    #[serde(default)]
    env: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    force_no_tty: Option<bool>,
    #[serde(default)]
    size: Option<Reference>,
    #[serde(default, rename = "type")]
    process_type: Option<String>,
    #[serde(default)]
    time_to_live: Option<u64>,
}

impl Run {
    /// Clients send numbers among the values: `COLUMNS`.
    fn env(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.env.iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect()
    }
}

async fn run(
    State(api): State<Api>,
    access: Deployer,
    Door(door): Door,
    Json(wanted): Json<Run>,
) -> Result<(StatusCode, Json<Value>), Fault> {
    let own = api.plans.of(&access.app).size_word();
    if wanted.size.as_ref().is_some_and(|Reference(size)| !size.eq_ignore_ascii_case(&own)) {
        return Err(Fault::invalid(format!("Dynos of this app have one size: {own}.")));
    }
    let process_type: ProcessType = wanted.process_type.as_deref().unwrap_or("run").parse()?;
    if api.dynos.formation(access.app.id).await?.iter().any(|row| row.process_type == process_type) || process_type.is_release() {
        return Err(Fault::invalid(format!("`{process_type}` is a process type of the formation. Name the one-off dyno otherwise.")));
    }
    let order = RunOrder {
        command: wanted.command.clone(),
        process_type,
        env: wanted.env(),
        time_to_live: wanted.time_to_live.map(Duration::from_secs),
        by: access.by.clone(),
    };
    let (dyno, secret) = if wanted.attach.unwrap_or(false) {
        let streams = if wanted.force_no_tty.unwrap_or(false) { Streams::Pipes } else { Streams::Terminal };
        let (dyno, secret) = api.dynos.reserve(access.app.id, order, streams).await?;
        (dyno, Some(secret))
    } else {
        (api.dynos.run_detached(access.app.id, order).await?, None)
    };
    let mut body = shape(&api, &access.app, &dyno);
    if let Some(secret) = secret {
        let (host, port) = match door {
            Some(port) => ("localhost", port),
            None => (api.config.dashboard_host(), api.config.options.listen_tls.port()),
        };
        body["attach_url"] = json!(format!("rendezvous://{host}:{port}/{}", secret.expose_secret()));
    }
    Ok((StatusCode::CREATED, Json(body)))
}

/// `heroku run:inside`, which Heroku has for one kind of apps only.
async fn run_inside(access: Deployer) -> Fault {
    let app = &access.app.name;
    Fault::invalid(format!(
        "Nothing is run inside a dyno that serves. `heroku run --app {app} COMMAND` runs it beside, with the same code and config vars."
    ))
}

async fn restart_all(State(api): State<Api>, access: Deployer) -> Done {
    api.dynos.restart(access.app.id, Which::All).await?;
    Ok((ACCEPTED, Json(json!({}))))
}

/// A dyno, or all of a process type: clients send either here.
fn which(api: &Api, app: &App, named: &str) -> Result<Which, Fault> {
    match find(api, app, named) {
        Ok(dyno) => Ok(Which::One(dyno.name)),
        Err(fault) => match named.parse() {
            Ok(process_type) if views(api, app).iter().any(|dyno| dyno.name.process_type == process_type) => Ok(Which::Type(process_type)),
            _ => Err(fault),
        },
    }
}

/// Stops a one-off, which never restarts. False: the name is not one.
async fn end_one_off(api: &Api, app: &App, named: &str) -> Result<bool, Fault> {
    let one_offs = api.dynos.one_offs(app.id);
    let Ok(dyno) = find(api, app, named) else { return Ok(false) };
    let known = one_offs.iter().any(|one_off| one_off.id == dyno.id);
    if known {
        api.dynos.stop_one_off(app.id, &dyno.name).await?;
    }
    Ok(known)
}

async fn restart(State(api): State<Api>, access: Deployer, Path((_, named)): Path<(String, String)>) -> Done {
    if end_one_off(&api, &access.app, &named).await? {
        return Ok((ACCEPTED, Json(json!({}))));
    }
    api.dynos.restart(access.app.id, which(&api, &access.app, &named)?).await?;
    Ok((ACCEPTED, Json(json!({}))))
}

async fn stop(State(api): State<Api>, access: Deployer, Path((_, named)): Path<(String, String)>) -> Done {
    if end_one_off(&api, &access.app, &named).await? {
        return Ok((ACCEPTED, Json(json!({}))));
    }
    api.dynos.stop(access.app.id, which(&api, &access.app, &named)?).await?;
    Ok((ACCEPTED, Json(json!({}))))
}

async fn restart_type(State(api): State<Api>, access: Deployer, Path((_, named)): Path<(String, String)>) -> Done {
    api.dynos.restart(access.app.id, Which::Type(named.parse()?)).await?;
    Ok((ACCEPTED, Json(json!({}))))
}

async fn stop_type(State(api): State<Api>, access: Deployer, Path((_, named)): Path<(String, String)>) -> Done {
    api.dynos.stop(access.app.id, Which::Type(named.parse()?)).await?;
    Ok((ACCEPTED, Json(json!({}))))
}
