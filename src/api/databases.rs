//! The data API: what `pg:` commands of clients ask about a database.

use axum::extract::{Path, State};
use http::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::{
    accounts::User,
    addons::{Addon, Figures},
    api::{Api, Route, addons::within},
    domain::{
        Role,
        addon::{AddonState, AttachmentState},
        user::Actor,
    },
    http::{CurrentUser, Fault, Json},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/client/v11/databases/{addon}", show),
        Route::new(Method::GET, "/client/v11/databases/{addon}/wait_status", wait_status),
        Route::new(Method::PUT, "/client/v11/databases/{addon}/reset", reset),
        Route::new(Method::POST, "/client/v11/databases/{addon}/connection_reset", connection_reset),
        Route::new(Method::POST, "/client/v11/databases/{addon}/credentials_rotation", rotate),
        Route::new(Method::GET, "/postgres/v0/databases/{addon}/credentials", credentials),
        Route::new(Method::POST, "/postgres/v0/databases/{addon}/credentials_rotation", rotate),
        Route::new(Method::GET, "/postgres/v0/databases/{addon}/credentials/{credential}", credential),
        Route::new(Method::POST, "/postgres/v0/databases/{addon}/credentials/{credential}/credentials_rotation", rotate_one),
    ]
}

fn megabytes(bytes: u64) -> String {
    let megabytes = bytes as f64 / (1024.0 * 1024.0);
    if megabytes < 1024.0 { format!("{megabytes:.1} MB") } else { format!("{:.2} GB", megabytes / 1024.0) }
}

/// The words of `pg:info`: its lines come from here, in this order.
fn info(addon: &Addon, figures: &Figures) -> Value {
    let plan = addon.plan();
    let over = |is_over: bool, near: bool| match (addon.account.locked_at, is_over, near) {
        (Some(_), true, _) => "Write access revoked",
        (None, true, _) => "Above limits, access disruption imminent",
        (_, false, true) => "In compliance, close to row limit",
        (_, false, false) => "In compliance",
    };
    let rows = format!("{}/{} ({})", figures.rows, plan.rows, over(figures.rows > plan.rows, figures.rows * 10 >= plan.rows * 7));
    let size = format!("{}/{} ({})", megabytes(figures.bytes), megabytes(plan.bytes), over(figures.bytes > plan.bytes, false));
    let line = |name: &str, value: String| json!({ "name": name, "values": [value] });
    json!([
        line("Plan", plan.human_name.to_owned()),
        line("Status", "Available".to_owned()),
        line("Connections", format!("{}/{}", figures.connections, plan.connections)),
        line("PG Version", figures.version.to_string()),
        line("Created", addon.created_at.to_jiff().strftime("%Y-%m-%d %H:%M UTC").to_string()),
        line("Data Size", size),
        line("Tables", figures.tables.to_string()),
        line("Rows", rows),
        line("Fork/Follow", "Unsupported".to_owned()),
        line("Rollback", "Unsupported".to_owned()),
        line("Continuous Protection", "Off".to_owned()),
        line("Add-on", addon.name.clone()),
    ])
}

async fn show(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    let addon = within(&api, &user, &named, Role::Deploy).await?;
    let info = match addon.state {
        AddonState::Provisioning => json!([{ "name": "Status", "values": ["Preparing"] }]),
        _ => {
            let figures = api.addons.count(&addon).await?;
            info(&within(&api, &user, &named, Role::Deploy).await?, &figures)
        }
    };
    Ok(Json(json!({
        "addon": { "id": addon.id, "name": addon.name },
        "info": info,
        "name": addon.name,
        "plan": addon.plan,
        "resource_url": config_url(&api, &addon).await?,
        "waiting?": addon.state == AddonState::Provisioning,
    })))
}

/// The address of the database as its own app has it; null before that.
async fn config_url(api: &Api, addon: &Addon) -> Result<Option<String>, Fault> {
    let attachments = api.reader.attachments_of_addon(addon.id).await?;
    let config = api.releases.config(addon.app_id).await?;
    let own = attachments.iter().find(|one| one.app_id == addon.app_id && one.state == AttachmentState::Attached);
    Ok(own.and_then(|one| config.get(one.name.key().as_str())).map(|value| value.expose_secret().to_owned()))
}

async fn wait_status(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    let addon = within(&api, &user, &named, Role::Deploy).await?;
    let waiting = addon.state == AddonState::Provisioning;
    let message = if waiting { "preparing" } else { "available" };
    Ok(Json(json!({ "waiting?": waiting, "message": message, "error?": waiting && addon.error.is_some() })))
}

async fn reset(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    let addon = within(&api, &user, &named, Role::Owner).await?;
    api.addons.reset(&addon, &actor(user)).await?;
    Ok(Json(json!({ "message": "Reset successful." })))
}

async fn connection_reset(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    let addon = within(&api, &user, &named, Role::Deploy).await?;
    api.addons.put_out(&addon).await?;
    Ok(Json(json!({ "message": "Connections terminated." })))
}

fn actor(user: User) -> Actor {
    Actor { id: user.id, email: user.email }
}

async fn rotate(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    let addon = within(&api, &user, &named, Role::Deploy).await?;
    api.addons.rotate(addon.id, &actor(user)).await?;
    Ok(Json(json!({ "message": "Credentials rotated." })))
}

/// There is one credential, and it is called `default`.
fn must_be_default(credential: &str) -> Result<(), Fault> {
    if credential == "default" { Ok(()) } else { Err(Fault::not_found("credential")) }
}

async fn rotate_one(state: State<Api>, user: CurrentUser, Path((named, credential)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    must_be_default(&credential)?;
    rotate(state, user, Path(named)).await
}

async fn credential_shape(api: &Api, addon: &Addon) -> Result<Value, Fault> {
    let url = config_url(api, addon).await?.ok_or_else(|| Fault::not_found("credential"))?;
    // `postgres://role:password@host:port/database`, as this server writes it.
    let parts: Vec<&str> = url.split(['/', ':', '@']).filter(|part| !part.is_empty()).collect();
    let [_, user, password, host, port, database] = parts[..] else { return Err(Fault::not_found("credential")) };
    Ok(json!({
        "credentials": [{ "password": password, "state": "active", "user": user }],
        "database": database,
        "host": host,
        "name": "default",
        "port": port.parse::<u16>().ok(),
        "state": "active",
    }))
}

async fn credentials(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    let addon = within(&api, &user, &named, Role::Deploy).await?;
    Ok(Json(json!([credential_shape(&api, &addon).await?])))
}

async fn credential(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Path((named, credential)): Path<(String, String)>,
) -> Result<Json<Value>, Fault> {
    let addon = within(&api, &user, &named, Role::Deploy).await?;
    must_be_default(&credential)?;
    Ok(Json(credential_shape(&api, &addon).await?))
}
