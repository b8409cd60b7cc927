//! Dynos: what runs, restart, stop.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    api::{Api, Route, paging::list, reference::app_reference},
    apps::App,
    domain::DynoId,
    dynos::{DynoView, Which},
    http::{Deployer, Fault, Json, Viewer},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/apps/{app}/dynos", all),
        Route::new(Method::POST, "/apps/{app}/dynos", run),
        Route::new(Method::DELETE, "/apps/{app}/dynos", restart_all),
        Route::new(Method::GET, "/apps/{app}/dynos/{dyno}", show),
        Route::new(Method::DELETE, "/apps/{app}/dynos/{dyno}", restart),
        Route::new(Method::POST, "/apps/{app}/dynos/{dyno}/actions/restart", restart),
        Route::new(Method::POST, "/apps/{app}/dynos/{dyno}/actions/stop", stop),
        Route::new(Method::DELETE, "/apps/{app}/formations/{type}", restart_type),
        Route::new(Method::POST, "/apps/{app}/formations/{type}/actions/stop", stop_type),
    ]
}

type Done = Result<(StatusCode, Json<Value>), Fault>;
const ACCEPTED: StatusCode = StatusCode::ACCEPTED;

fn views(api: &Api, app: &App) -> Vec<DynoView> {
    api.dynos.status(app.id).map(|status| status.borrow().dynos.clone()).unwrap_or_default()
}

fn shape(api: &Api, app: &App, dyno: &DynoView) -> Value {
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

async fn run(_: Deployer) -> Fault {
    Fault::invalid("One-off dynos (`run`) are not available on this server yet. Add the command to your Procfile and scale it instead.")
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

async fn restart(State(api): State<Api>, access: Deployer, Path((_, named)): Path<(String, String)>) -> Done {
    api.dynos.restart(access.app.id, which(&api, &access.app, &named)?).await?;
    Ok((ACCEPTED, Json(json!({}))))
}

async fn stop(State(api): State<Api>, access: Deployer, Path((_, named)): Path<(String, String)>) -> Done {
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
