//! Key-value stores as `redis:` commands of clients ask about them.

use axum::extract::{Path, State};
use http::Method;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    accounts::User,
    addons::{Addon, EVICTION_POLICIES},
    api::{Api, Route, addons::within},
    domain::{
        Role,
        addon::{AddonState, AttachmentState, ServiceKind},
        user::Actor,
    },
    http::{CurrentUser, Fault, Json},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/redis/v0/databases/{addon}", show),
        Route::new(Method::GET, "/redis/v0/databases/{addon}/wait", wait),
        Route::new(Method::GET, "/redis/v0/databases/{addon}/config", config),
        Route::new(Method::PATCH, "/redis/v0/databases/{addon}/config", change),
        Route::new(Method::POST, "/redis/v0/databases/{addon}/credentials_rotation", rotate),
    ]
}

/// A store of an app on which the account may deploy.
async fn store(api: &Api, user: &User, named: &str) -> Result<Addon, Fault> {
    let addon = within(api, user, named, Role::Deploy).await?;
    if addon.kind() == ServiceKind::KeyValue { Ok(addon) } else { Err(Fault::not_found("add_on")) }
}

async fn show(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    let addon = store(&api, &user, &named).await?;
    let attachments = api.reader.attachments_of_addon(addon.id).await?;
    let config = api.releases.config(addon.app_id).await?;
    let own = attachments.iter().find(|one| one.app_id == addon.app_id && one.state == AttachmentState::Attached);
    let url = own.and_then(|one| config.get(one.name.key().as_str())).map(|value| value.expose_secret().to_owned());
    let waiting = addon.state == AddonState::Provisioning;
    let line = |name: &str, value: String| json!({ "name": name, "values": [value] });
    Ok(Json(json!({
        "addon": { "id": addon.id, "name": addon.name },
        "info": [
            line("Plan", addon.plan().human_name.to_owned()),
            line("Status", if waiting { "preparing" } else { "available" }.to_owned()),
            line("Created", addon.created_at.to_jiff().strftime("%Y-%m-%d %H:%M UTC").to_string()),
            line("Connections", addon.plan().connections.to_string()),
            line("Maxmemory", format!("{} MB", addon.plan().bytes / 1024 / 1024)),
            line("Maxmemory Policy", api.addons.eviction_policy(&addon).await?),
            line("Persistence", "AOF".to_owned()),
        ],
        "name": addon.name,
        "plan": addon.plan,
        "resource_url": url,
        "waiting?": waiting,
    })))
}

async fn wait(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    let waiting = store(&api, &user, &named).await?.state == AddonState::Provisioning;
    Ok(Json(json!({ "waiting?": waiting, "message": if waiting { "preparing" } else { "available" } })))
}

fn config_shape(policy: &str) -> Value {
    let values: Map<String, Value> = EVICTION_POLICIES.iter().map(|(name, text)| ((*name).to_owned(), (*text).into())).collect();
    json!({ "maxmemory_policy": { "desc": "What happens when the memory is full", "value": policy, "values": values } })
}

async fn config(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    let addon = store(&api, &user, &named).await?;
    Ok(Json(config_shape(&api.addons.eviction_policy(&addon).await?)))
}

#[derive(Deserialize)]
struct Change {
    maxmemory_policy: String,
}

async fn change(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Path(named): Path<String>,
    Json(wanted): Json<Change>,
) -> Result<Json<Value>, Fault> {
    let addon = store(&api, &user, &named).await?;
    api.addons.set_eviction_policy(&addon, &wanted.maxmemory_policy).await?;
    Ok(Json(config_shape(&wanted.maxmemory_policy)))
}

async fn rotate(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    let addon = store(&api, &user, &named).await?;
    api.addons.rotate(addon.id, &Actor { id: user.id, email: user.email }).await?;
    Ok(Json(json!({ "message": "Credentials rotated." })))
}
