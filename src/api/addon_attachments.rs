//! Attachments: an add-on under a name in an app.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    accounts::User,
    addons::Attachment,
    api::{Api, Route, addons, paging::list, reference::Reference},
    apps::App,
    domain::{AttachmentId, Role, user::Actor},
    http::{CurrentUser, Fault, Json, Viewer},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/addon-attachments", all),
        Route::new(Method::POST, "/addon-attachments", create),
        Route::new(Method::GET, "/addon-attachments/{attachment}", show),
        Route::new(Method::DELETE, "/addon-attachments/{attachment}", remove),
        Route::new(Method::GET, "/addons/{addon}/addon-attachments", of_addon),
        Route::new(Method::GET, "/apps/{app}/addon-attachments", of_app),
        Route::new(Method::GET, "/apps/{app}/addon-attachments/{attachment}", show_in),
        Route::new(Method::POST, "/actions/addon-attachments/resolve", resolve),
    ]
}

/// With its add-on in full, as clients ask for it with `Accept-Inclusion`.
async fn shape(api: &Api, attachment: &Attachment) -> Result<Value, Fault> {
    let addon = api.reader.addon(attachment.addon_id).await?.ok_or_else(|| Fault::not_found("add_on"))?;
    let addon = addons::shape(api, &addon).await?;
    let web_url = addon["web_url"].clone();
    Ok(json!({
        "addon": addon,
        "app": { "id": attachment.app_id, "name": attachment.app_name },
        "config_vars": [attachment.name.key().to_string()],
        "created_at": attachment.created_at,
        "id": attachment.id,
        "log_input_url": null,
        "name": attachment.name.to_string(),
        "namespace": null,
        "updated_at": attachment.updated_at,
        "web_url": web_url,
    }))
}

async fn listed(api: &Api, headers: &HeaderMap, attachments: &[Attachment]) -> Result<Response, Fault> {
    let mut shapes = Vec::new();
    for attachment in attachments {
        shapes.push(shape(api, attachment).await?);
    }
    list(headers, &["id", "name", "created_at", "updated_at"], shapes)
}

/// Attachments in the apps of an account.
async fn visible(api: &Api, user: &User) -> Result<Vec<Attachment>, Fault> {
    let mut attachments = Vec::new();
    for app in api.reader.apps_open_to(user.id).await? {
        attachments.extend(api.reader.attachments_of_app(app.id).await?);
    }
    Ok(attachments)
}

async fn visible_by_id(api: &Api, user: &User, named: &str) -> Result<Attachment, Fault> {
    let missing = || Fault::not_found("add_on attachment");
    let id: AttachmentId = named.parse().map_err(|_| missing())?;
    visible(api, user).await?.into_iter().find(|attachment| attachment.id == id).ok_or_else(missing)
}

async fn all(State(api): State<Api>, CurrentUser(user): CurrentUser, headers: HeaderMap) -> Result<Response, Fault> {
    listed(&api, &headers, &visible(&api, &user).await?).await
}

async fn of_app(State(api): State<Api>, access: Viewer, headers: HeaderMap) -> Result<Response, Fault> {
    listed(&api, &headers, &api.reader.attachments_of_app(access.app.id).await?).await
}

async fn of_addon(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Path(named): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let addon = addons::visible_by_name(&api, &user, &named).await?;
    let mut attachments = visible(&api, &user).await?;
    attachments.retain(|attachment| attachment.addon_id == addon.id);
    listed(&api, &headers, &attachments).await
}

async fn show(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    Ok(Json(shape(&api, &visible_by_id(&api, &user, &named).await?).await?))
}

async fn show_in(State(api): State<Api>, access: Viewer, Path((_, named)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    let id: Option<AttachmentId> = named.parse().ok();
    let mut attachments = api.reader.attachments_of_app(access.app.id).await?.into_iter();
    let is = |attachment: &Attachment| attachment.name.as_str().eq_ignore_ascii_case(&named) || Some(attachment.id) == id;
    let found = attachments.find(is).ok_or_else(|| Fault::not_found("add_on attachment"))?;
    Ok(Json(shape(&api, &found).await?))
}

#[derive(Deserialize)]
struct New {
    addon: Reference,
    app: Reference,
    name: Option<String>,
}

/// An app whose config vars the account may change.
async fn deployable(api: &Api, user: &User, named: &str) -> Result<App, Fault> {
    match api.reader.accessible_app(user.id, named).await? {
        Some((app, role)) if role >= Role::Deploy => Ok(app),
        Some((app, _)) => Err(Fault::forbidden(format!("Your role on the app {} is too small for that.", app.name))),
        None => Err(Fault::not_found("app")),
    }
}

/// Whoever attaches must be allowed to change the add-on's app and the app it goes to.
async fn create(State(api): State<Api>, CurrentUser(user): CurrentUser, Json(new): Json<New>) -> Result<(StatusCode, Json<Value>), Fault> {
    let app = deployable(&api, &user, &new.app.0).await?;
    let addon = addons::within(&api, &user, &new.addon.0, Role::Deploy).await?;
    let by = Actor { id: user.id, email: user.email };
    let attachment = api.addons.attach(addon.id, app.id, new.name.filter(|name| !name.is_empty()), &by).await?;
    Ok((StatusCode::CREATED, Json(shape(&api, &attachment).await?)))
}

async fn remove(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    let attachment = visible_by_id(&api, &user, &named).await?;
    deployable(&api, &user, &attachment.app_id.to_string()).await?;
    let last = shape(&api, &attachment).await?;
    let by = Actor { id: user.id, email: user.email };
    api.addons.detach(&attachment, &by).await?;
    Ok(Json(last))
}

#[derive(Deserialize)]
struct Question {
    addon_attachment: String,
    app: Option<Reference>,
    addon_service: Option<Reference>,
}

/// Attachments a text may mean: a name, a config var, an id, or the name of their add-on.
async fn resolve(State(api): State<Api>, CurrentUser(user): CurrentUser, Json(question): Json<Question>) -> Result<Json<Value>, Fault> {
    let missing = || Fault::not_found("add_on attachment");
    let mut attachments = visible(&api, &user).await?;
    if let Some(Reference(app)) = question.app {
        let (app, _) = api.reader.accessible_app(user.id, &app).await?.ok_or_else(|| Fault::not_found("app"))?;
        attachments.retain(|attachment| attachment.app_id == app.id);
    }
    let named = question.addon_attachment.rsplit("::").next().unwrap_or_default();
    let mut found = Vec::new();
    for attachment in attachments {
        let shape = shape(&api, &attachment).await?;
        let of_service =
            question.addon_service.as_ref().is_none_or(|service| shape["addon"]["addon_service"]["name"] == service.0.as_str());
        let is = |text: &str| text.eq_ignore_ascii_case(named);
        let names = [attachment.name.as_str(), attachment.name.key().as_str()].into_iter().any(is)
            || shape["id"] == named
            || shape["addon"]["name"] == named
            || shape["addon"]["id"] == named;
        if names && of_service {
            found.push(shape);
        }
    }
    if found.is_empty() { Err(missing()) } else { Ok(Json(found.into())) }
}
