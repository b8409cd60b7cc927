//! Apps: create, list, show, rename, maintenance, destroy.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{
        Api, Route,
        account::require_self,
        paging::list,
        reference::{Flag, Reference, id_of},
    },
    apps::App,
    domain::{AppName, user::Actor},
    http::{CurrentUser, Deployer, Fault, Json, Owning, Viewer},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::POST, "/apps", create),
        Route::new(Method::GET, "/apps", all),
        Route::new(Method::GET, "/users/{account}/apps", all_of),
        Route::new(Method::GET, "/apps/{app}", show),
        Route::new(Method::PATCH, "/apps/{app}", update),
        Route::new(Method::DELETE, "/apps/{app}", destroy),
    ]
}

/// The stack in the short form it has inside other resources.
pub fn stack_reference(name: &str) -> Value {
    json!({ "id": id_of("stack", name), "name": name })
}

/// An app as clients see it.
pub async fn shape(api: &Api, app: &App) -> Result<Value, Fault> {
    let release = match app.current_release_id {
        Some(id) => api.reader.release(id).await?,
        None => None,
    };
    let slug = match release.and_then(|release| release.slug_id) {
        Some(id) => api.reader.slug(id).await?,
        None => None,
    };
    Ok(json!({
        "acm": false,
        "archived_at": null,
        "base_image_name": null,
        "build_stack": stack_reference(&app.stack),
        "buildpack_provided_description": slug.as_ref().map(|slug| slug.language.as_str()),
        "create_status": "complete",
        "created_at": app.created_at,
        "generation": "cedar",
        "git_url": format!("{}/{}.git", api.config.dashboard_url(), app.name),
        "id": app.id,
        "internal_routing": null,
        "maintenance": app.maintenance,
        "name": app.name,
        "organization": null,
        "owner": { "email": app.owner_email, "id": app.owner_id },
        "process_tier": api.plans.of(app).name,
        "region": { "id": id_of("region", "us"), "name": "us" },
        "released_at": app.released_at,
        "repo_size": null,
        "slug_size": slug.as_ref().map(|slug| slug.size),
        "space": null,
        "stack": stack_reference(&app.stack),
        "team": null,
        "updated_at": app.updated_at,
        "web_url": api.config.web_url(app.name.as_str()),
    }))
}

#[derive(Deserialize)]
struct New {
    name: Option<String>,
}

async fn create(State(api): State<Api>, CurrentUser(user): CurrentUser, Json(new): Json<New>) -> Result<(StatusCode, Json<Value>), Fault> {
    let name: Option<AppName> = new.name.filter(|name| !name.is_empty()).map(|name| name.parse()).transpose()?;
    let app = api.apps.create(name, &Actor { id: user.id, email: user.email }).await?;
    Ok((StatusCode::CREATED, Json(shape(&api, &app).await?)))
}

async fn all(State(api): State<Api>, CurrentUser(user): CurrentUser, headers: HeaderMap) -> Result<Response, Fault> {
    let mut shapes = Vec::new();
    for app in api.reader.apps_open_to(user.id).await? {
        shapes.push(shape(&api, &app).await?);
    }
    list(&headers, &["name", "id", "created_at", "updated_at"], shapes)
}

async fn all_of(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Path(named): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    require_self(&user, &named)?;
    all(State(api), CurrentUser(user), headers).await
}

async fn show(State(api): State<Api>, access: Viewer) -> Result<Json<Value>, Fault> {
    Ok(Json(shape(&api, &access.app).await?))
}

#[derive(Deserialize)]
struct Changes {
    name: Option<String>,
    maintenance: Option<Flag>,
    build_stack: Option<Reference>,
}

async fn update(State(api): State<Api>, access: Deployer, Json(changes): Json<Changes>) -> Result<Json<Value>, Fault> {
    let Deployer { mut app, by } = access;
    if let Some(Reference(stack)) = changes.build_stack
        && stack != app.stack
        && stack != id_of("stack", &app.stack).to_string()
    {
        return Err(Fault::invalid(format!("This server has one stack: {}.", app.stack)));
    }
    let name: Option<AppName> = changes.name.map(|name| name.parse()).transpose()?;
    if let Some(name) = name.filter(|name| *name != app.name) {
        if app.owner_id != by.id {
            return Err(Fault::forbidden(format!("Only the owner of {} may rename it.", app.name)));
        }
        app = api.apps.rename(app.id, name, &by).await?;
    }
    if let Some(Flag(on)) = changes.maintenance.filter(|Flag(on)| *on != app.maintenance) {
        app = api.apps.set_maintenance(app.id, on, &by).await?;
    }
    Ok(Json(shape(&api, &app).await?))
}

#[derive(Deserialize)]
struct Confirmation {
    confirm: Option<String>,
}

/// Answers with the app as it was. A `confirm` that names another app stops it.
async fn destroy(State(api): State<Api>, access: Owning, Json(body): Json<Confirmation>) -> Result<Json<Value>, Fault> {
    let Owning { app, by } = access;
    if body.confirm.is_some_and(|name| name != app.name.as_str()) {
        return Err(Fault {
            status: StatusCode::LOCKED,
            id: "confirmation_required",
            ..Fault::invalid(format!("Confirm with the name of the app: {}.", app.name))
        });
    }
    let last = shape(&api, &app).await?;
    api.apps.destroy(app.id, &by).await?;
    Ok(Json(last))
}
