//! Who may touch an app: its owner, and those it was opened to.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    accounts::Collaborator,
    api::{
        Api, Route,
        paging::list,
        reference::{Reference, app_reference, id_of},
    },
    apps::App,
    domain::Role,
    http::{Fault, Json, Owning, Viewer},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/apps/{app}/collaborators", all),
        Route::new(Method::POST, "/apps/{app}/collaborators", create),
        Route::new(Method::GET, "/apps/{app}/collaborators/{collaborator}", show),
        Route::new(Method::PATCH, "/apps/{app}/collaborators/{collaborator}", update),
        Route::new(Method::DELETE, "/apps/{app}/collaborators/{collaborator}", remove),
    ]
}

/// Heroku's word for a role.
fn word(role: Role) -> &'static str {
    match role {
        Role::View => "member",
        Role::Deploy => "collaborator",
        Role::Owner => "owner",
    }
}

/// Heroku's permissions of a role.
fn permissions(role: Role) -> Value {
    let all = ["view", "deploy", "operate", "manage"];
    let count = match role {
        Role::View => 1,
        Role::Deploy => 3,
        Role::Owner => 4,
    };
    all[..count].iter().map(|name| json!({ "name": name, "description": null })).collect()
}

fn shape(app: &App, one: &Collaborator) -> Value {
    json!({
        "app": app_reference(app),
        "created_at": one.created_at,
        "id": one.id,
        "permissions": permissions(one.role),
        "role": word(one.role),
        "updated_at": one.updated_at,
        "user": { "email": one.email, "federated": false, "id": one.user_id },
    })
}

fn owner_shape(app: &App) -> Value {
    json!({
        "app": app_reference(app),
        "created_at": app.created_at,
        "id": id_of("collaborator", &format!("{}|{}", app.id, app.owner_id)),
        "permissions": permissions(Role::Owner),
        "role": word(Role::Owner),
        "updated_at": app.created_at,
        "user": { "email": app.owner_email, "federated": false, "id": app.owner_id },
    })
}

async fn all(State(api): State<Api>, access: Viewer, headers: HeaderMap) -> Result<Response, Fault> {
    let others = api.reader.collaborators(access.app.id).await?;
    let shapes = std::iter::once(owner_shape(&access.app)).chain(others.iter().map(|one| shape(&access.app, one)));
    list(&headers, &["id", "created_at"], shapes.collect())
}

/// By address, or by the id of the account or of the collaboration.
async fn named(api: &Api, app: &App, named: &str) -> Result<Collaborator, Fault> {
    let is = |one: &Collaborator| {
        one.email.as_str().eq_ignore_ascii_case(named) || named.parse() == Ok(one.id) || named.parse() == Ok(one.user_id)
    };
    api.reader.collaborators(app.id).await?.into_iter().find(is).ok_or_else(|| Fault::not_found("collaborator"))
}

async fn show(State(api): State<Api>, access: Viewer, Path((_, who)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    Ok(Json(shape(&access.app, &named(&api, &access.app, &who).await?)))
}

/// `view` or `deploy`; Heroku's words do as well.
fn role(word: &str) -> Result<Role, Fault> {
    match word {
        "member" => Ok(Role::View),
        "collaborator" => Ok(Role::Deploy),
        other => other.parse().map_err(Fault::invalid),
    }
}

#[derive(Deserialize)]
struct New {
    user: Reference,
    role: Option<String>,
}

async fn create(State(api): State<Api>, access: Owning, Json(new): Json<New>) -> Result<(StatusCode, Json<Value>), Fault> {
    let role = new.role.as_deref().map_or(Ok(Role::Deploy), role)?;
    let one = api.accounts.collaborate(&access.app, &new.user.0, role).await?;
    Ok((StatusCode::CREATED, Json(shape(&access.app, &one))))
}

#[derive(Deserialize)]
struct Change {
    role: String,
}

async fn update(
    State(api): State<Api>,
    access: Owning,
    Path((_, who)): Path<(String, String)>,
    Json(change): Json<Change>,
) -> Result<Json<Value>, Fault> {
    let role = role(&change.role)?;
    let one = named(&api, &access.app, &who).await?;
    Ok(Json(shape(&access.app, &api.accounts.collaborate(&access.app, one.email.as_str(), role).await?)))
}

/// A collaborator may also leave by itself.
async fn remove(State(api): State<Api>, access: Viewer, Path((_, who)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    let leaving = who.eq_ignore_ascii_case(access.by.email.as_str()) || who.parse() == Ok(access.by.id);
    if access.app.owner_id != access.by.id && !leaving {
        return Err(Fault::forbidden(format!("Only the owner of {} may say who else may touch it.", access.app.name)));
    }
    let one = named(&api, &access.app, &who).await?;
    api.accounts.stop_collaborating(&access.app, one.user_id).await?;
    Ok(Json(shape(&access.app, &one)))
}
