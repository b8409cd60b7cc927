//! Webhooks of an app, what they were told, and how that went.

use std::collections::HashMap;

use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{
        Api, Route,
        paging::list,
        reference::{app_reference, id_of},
    },
    apps::App,
    hooks_out::{DeliveryRow, EventRow, Wanted, Webhook},
    http::{Deployer, Fault, Json},
};

/// Where the answer tells the secret that deliveries are signed with.
const SECRET: &str = "heroku-webhook-secret";

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/apps/{app}/webhooks", all),
        Route::new(Method::POST, "/apps/{app}/webhooks", add),
        Route::new(Method::GET, "/apps/{app}/webhooks/{webhook}", show),
        Route::new(Method::PATCH, "/apps/{app}/webhooks/{webhook}", update),
        Route::new(Method::DELETE, "/apps/{app}/webhooks/{webhook}", remove),
        Route::new(Method::GET, "/apps/{app}/webhook-events", events),
        Route::new(Method::GET, "/apps/{app}/webhook-events/{event}", event),
        Route::new(Method::GET, "/apps/{app}/webhook-deliveries", deliveries),
        Route::new(Method::GET, "/apps/{app}/webhook-deliveries/{delivery}", delivery),
    ]
}

/// The address is whole, as it was given: like config vars, for those who may deploy.
fn shape(app: &App, webhook: &Webhook) -> Value {
    json!({
        "app": app_reference(app),
        "created_at": webhook.created_at,
        "id": webhook.id,
        "include": webhook.include,
        "level": webhook.level.as_str(),
        "updated_at": webhook.updated_at,
        "url": webhook.url().expose_secret(),
    })
}

fn event_shape(event: &EventRow) -> Value {
    json!({
        "created_at": event.created_at,
        "id": event.id,
        "include": event.topic,
        "payload": serde_json::from_str::<Value>(&event.body).unwrap_or_default(),
        "updated_at": event.created_at,
    })
}

fn delivery_shape(one: &DeliveryRow) -> Value {
    let attempt = one.last_at.map(|at| {
        json!({
            "code": one.last_code,
            "created_at": at,
            "error_class": one.last_error,
            "id": id_of("webhook-attempt", &format!("{}/{}", one.id, one.attempts)),
            "status": if one.status == "succeeded" { "succeeded" } else { "failed" },
            "updated_at": at,
        })
    });
    json!({
        "created_at": one.created_at,
        "event": { "id": one.event_id, "include": one.topic },
        "id": one.id,
        "last_attempt": attempt,
        "next_attempt_at": one.next_attempt_at,
        "num_attempts": one.attempts,
        "seq": one.seq,
        "status": one.status,
        "updated_at": one.updated_at,
        "webhook": { "id": one.webhook_id, "level": one.level },
    })
}

/// An answer with the secret beside it.
fn told(status: StatusCode, app: &App, webhook: &Webhook) -> Response {
    let mut response = (status, Json(shape(app, webhook))).into_response();
    if let Ok(mut secret) = HeaderValue::from_str(webhook.secret().expose_secret()) {
        secret.set_sensitive(true);
        response.headers_mut().insert(SECRET, secret);
    }
    response
}

async fn all(State(api): State<Api>, access: Deployer, headers: HeaderMap) -> Result<Response, Fault> {
    let webhooks = api.webhooks.of(access.app.id).await?;
    list(&headers, &["id", "created_at", "updated_at"], webhooks.iter().map(|webhook| shape(&access.app, webhook)).collect())
}

#[derive(Deserialize)]
struct New {
    url: String,
    include: Vec<String>,
    level: String,
    secret: Option<SecretString>,
    authorization: Option<SecretString>,
}

async fn add(State(api): State<Api>, access: Deployer, Json(new): Json<New>) -> Result<Response, Fault> {
    let New { url, include, level, secret, authorization } = new;
    let wanted = Wanted { url: Some(url), include: Some(include), level: Some(level), secret, authorization };
    let webhook = api.webhooks.add(access.app.id, wanted, &access.by).await?;
    Ok(told(StatusCode::CREATED, &access.app, &webhook))
}

async fn show(State(api): State<Api>, access: Deployer, Path((_, named)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    Ok(Json(shape(&access.app, &api.webhooks.find(access.app.id, &named).await?)))
}

#[derive(Deserialize)]
struct Changes {
    url: Option<String>,
    include: Option<Vec<String>>,
    level: Option<String>,
    secret: Option<SecretString>,
    authorization: Option<SecretString>,
}

async fn update(
    State(api): State<Api>,
    access: Deployer,
    Path((_, named)): Path<(String, String)>,
    Json(changes): Json<Changes>,
) -> Result<Response, Fault> {
    let Changes { url, include, level, secret, authorization } = changes;
    let new_secret = secret.is_some();
    let webhook = api.webhooks.update(access.app.id, &named, Wanted { url, include, level, secret, authorization }, &access.by).await?;
    Ok(if new_secret { told(StatusCode::OK, &access.app, &webhook) } else { Json(shape(&access.app, &webhook)).into_response() })
}

async fn remove(State(api): State<Api>, access: Deployer, Path((_, named)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    Ok(Json(shape(&access.app, &api.webhooks.remove(access.app.id, &named, &access.by).await?)))
}

async fn events(State(api): State<Api>, access: Deployer, headers: HeaderMap) -> Result<Response, Fault> {
    let events = api.webhooks.events(access.app.id).await?;
    list(&headers, &["id", "created_at"], events.iter().map(event_shape).collect())
}

async fn event(State(api): State<Api>, access: Deployer, Path((_, named)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    Ok(Json(event_shape(&api.webhooks.event(access.app.id, &named).await?)))
}

/// `?eq[status]=failed` shows those alone.
async fn deliveries(
    State(api): State<Api>,
    access: Deployer,
    Query(filter): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let wanted = filter.get("eq[status]");
    let mut deliveries = api.webhooks.deliveries(access.app.id).await?;
    deliveries.retain(|one| wanted.is_none_or(|status| *status == one.status));
    list(&headers, &["seq", "id", "created_at"], deliveries.iter().map(delivery_shape).collect())
}

async fn delivery(State(api): State<Api>, access: Deployer, Path((_, named)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    Ok(Json(delivery_shape(&api.webhooks.delivery(access.app.id, &named).await?)))
}
