//! Backups as `pg:backups` of clients asks for them: transfers of an app, and daily schedules.

use axum::{
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, header};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::io::ReaderStream;

use crate::{
    addons::Addon,
    api::{Api, Route, addons::within, capability::DOWNLOAD_LIFE, log_sessions::STREAM_HEADERS, reference::BaseUrl},
    apps::App,
    domain::{
        BackupId, Role,
        addon::AttachmentState,
        backup::{Backup, BackupKind, BackupSchedule, BackupState},
        user::Actor,
    },
    http::{CurrentUser, Deployer, Fault, Json, Owning},
};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/client/v11/apps/{app}/transfers", all),
        Route::new(Method::GET, "/client/v11/apps/{app}/transfers/{transfer}", show),
        Route::new(Method::DELETE, "/client/v11/apps/{app}/transfers/{transfer}", delete),
        Route::new(Method::POST, "/client/v11/apps/{app}/transfers/{transfer}/actions/public-url", public_url),
        Route::new(Method::POST, "/client/v11/apps/{app}/transfers/{transfer}/actions/cancel", cancel),
        Route::new(Method::POST, "/client/v11/databases/{addon}/backups", capture),
        Route::new(Method::POST, "/client/v11/databases/{addon}/restores", restore),
        Route::new(Method::GET, "/client/v11/databases/{addon}/transfer-schedules", schedules),
        Route::new(Method::POST, "/client/v11/databases/{addon}/transfer-schedules", schedule),
        Route::new(Method::DELETE, "/client/v11/databases/{addon}/transfer-schedules/{schedule}", unschedule),
        Route::new(Method::GET, "/streams/backups/{token}", download),
    ]
}

/// How `restores` is told of a dump of ours: clients send back what a transfer has as its `to_url`.
const ADDRESS: &str = "siesta-backup:";

fn shape(backup: &Backup) -> Value {
    let is_dump = backup.is_dump();
    let (from_type, to_type) = if is_dump { ("pg_dump", "gof3r") } else { ("gof3r", "pg_restore") };
    let source = backup.source_name.clone().unwrap_or_default();
    let (from_name, to_name) = if is_dump { (backup.addon_name.as_str(), "BACKUP") } else { (source.as_str(), backup.addon_name.as_str()) };
    json!({
        "uuid": backup.id,
        "num": backup.number,
        "from_name": from_name,
        "from_type": from_type,
        "from_url": if is_dump { Value::Null } else { backup.source_id.map(|id| format!("{ADDRESS}{id}")).into() },
        "to_name": to_name,
        "to_type": to_type,
        "to_url": if is_dump { Value::from(format!("{ADDRESS}{}", backup.id)) } else { Value::Null },
        "created_at": backup.created_at,
        "started_at": backup.started_at,
        "finished_at": backup.finished_at,
        "canceled_at": backup.finished_at.filter(|_| backup.state == BackupState::Cancelled),
        "succeeded": backup.state == BackupState::Completed,
        "source_bytes": backup.database_bytes,
        "processed_bytes": backup.bytes,
        "warnings": 0,
        "logs": logs(backup),
        "options": {},
        "schedule": (backup.kind == BackupKind::Scheduled).then(|| json!({ "uuid": backup.addon_id })),
        "verified_at": backup.verified_at,
        "rows": backup.rows,
    })
}

/// What happened, as lines with times.
fn logs(backup: &Backup) -> Vec<Value> {
    let line = |at: crate::domain::Timestamp, message: String| json!({ "created_at": at, "message": message });
    let mut lines = Vec::new();
    if let Some(at) = backup.started_at {
        lines.push(line(at, if backup.is_dump() { "Dump begun".into() } else { "Restore begun".into() }));
    }
    if let Some(at) = backup.verified_at {
        let rows = backup.rows.unwrap_or_default();
        lines.push(line(at, format!("Verified: restored with all of its {rows} rows")));
    }
    if let Some(error) = &backup.error {
        lines.push(line(backup.finished_at.or(backup.started_at).unwrap_or(backup.created_at), error.clone()));
    }
    lines
}

async fn all(State(api): State<Api>, access: Deployer) -> Result<Json<Value>, Fault> {
    Ok(Json(api.reader.backups_of_app(access.app.id).await?.iter().map(shape).collect()))
}

/// A transfer of an app by its number or id.
async fn found(api: &Api, app: &App, named: &str) -> Result<Backup, Fault> {
    let backup = match (named.parse::<u32>(), named.parse::<BackupId>()) {
        (Ok(number), _) => api.reader.backup_numbered(app.id, number).await?,
        (_, Ok(id)) => api.reader.backup(id).await?.filter(|backup| backup.app_id == app.id),
        _ => None,
    };
    backup.ok_or_else(|| Fault::not_found("backup"))
}

async fn show(State(api): State<Api>, access: Deployer, Path((_, named)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    Ok(Json(shape(&found(&api, &access.app, &named).await?)))
}

async fn delete(State(api): State<Api>, access: Owning, Path((_, named)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    let backup = found(&api, &access.app, &named).await?;
    api.addons.delete_backup(&backup, &access.by).await?;
    Ok(Json(shape(&backup)))
}

async fn cancel(State(api): State<Api>, access: Deployer, Path((_, named)): Path<(String, String)>) -> Result<Json<Value>, Fault> {
    api.addons.cancel_backup(&found(&api, &access.app, &named).await?).await?;
    Ok(Json(json!({ "message": "Cancelled." })))
}

/// An address that gives the dump once, for a while, to whoever has it.
async fn public_url(
    State(api): State<Api>,
    access: Deployer,
    base: BaseUrl,
    Path((_, named)): Path<(String, String)>,
) -> Result<Json<Value>, Fault> {
    let backup = found(&api, &access.app, &named).await?;
    api.addons.open_backup(&backup).await?;
    let now = api.clock.now();
    let token = api.capabilities.open_download(backup.id, now);
    let url = format!("{}/streams/backups/{}", base.0, token.expose_secret());
    Ok(Json(json!({ "url": url, "expires_at": now + DOWNLOAD_LIFE })))
}

async fn download(State(api): State<Api>, Path(token): Path<String>) -> Result<Response, Fault> {
    let missing = || Fault::not_found("backup");
    let id = api.capabilities.take_download(&token.into(), api.clock.now()).ok_or_else(missing)?;
    let backup = api.reader.backup(id).await?.ok_or_else(missing)?;
    let (file, length) = api.addons.open_backup(&backup).await?;
    let name = format!("attachment; filename=\"{}-{}.dump\"", backup.addon_name, backup.name());
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((STREAM_HEADERS, headers, Body::from_stream(ReaderStream::with_capacity(file, 128 * 1024))).into_response())
}

async fn capture(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Path(named): Path<String>,
) -> Result<(StatusCode, Json<Value>), Fault> {
    let addon = within(&api, &user, &named, Role::Deploy).await?;
    let backup = api.addons.capture(&addon, Some(&Actor { id: user.id, email: user.email })).await?;
    Ok((StatusCode::CREATED, Json(shape(&backup))))
}

#[derive(Deserialize)]
struct Restore {
    backup_url: Option<String>,
}

/// Restores a dump of this server, of any app on which the account may deploy, or one at an address of https.
async fn restore(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Path(named): Path<String>,
    Json(wanted): Json<Restore>,
) -> Result<(StatusCode, Json<Value>), Fault> {
    let addon = within(&api, &user, &named, Role::Owner).await?;
    let url = wanted.backup_url.unwrap_or_default();
    let by = Actor { id: user.id, email: user.email };
    let Some(id) = url.strip_prefix(ADDRESS) else {
        let order = api.addons.restore_from(&addon, &url, &by).await?;
        return Ok((StatusCode::CREATED, Json(shape(&order))));
    };
    let missing = || Fault::not_found("backup");
    let source = api.reader.backup(id.parse::<BackupId>().map_err(|_| missing())?).await?.ok_or_else(missing)?;
    let role = api.reader.accessible_app(by.id, &source.app_id.to_string()).await?.map(|(_, role)| role);
    if role.is_none_or(|role| role < Role::Deploy) {
        return Err(missing());
    }
    let order = api.addons.restore_backup(&addon, &source, &by).await?;
    Ok((StatusCode::CREATED, Json(shape(&order))))
}

/// The variable by which its own app knows a database.
async fn var_of(api: &Api, addon: &Addon) -> Result<String, Fault> {
    let attachments = api.reader.attachments_of_addon(addon.id).await?;
    let own = attachments.iter().find(|one| one.app_id == addon.app_id && one.state == AttachmentState::Attached);
    Ok(own.map_or_else(|| addon.name.clone(), |one| one.name.key().to_string()))
}

async fn schedule_shape(api: &Api, addon: &Addon, schedule: &BackupSchedule) -> Result<Value, Fault> {
    Ok(json!({
        "uuid": addon.id,
        "name": var_of(api, addon).await?,
        "hour": schedule.hour,
        "timezone": schedule.time_zone,
        "next_at": schedule.next_at,
    }))
}

async fn schedules(State(api): State<Api>, CurrentUser(user): CurrentUser, Path(named): Path<String>) -> Result<Json<Value>, Fault> {
    let addon = within(&api, &user, &named, Role::Deploy).await?;
    match api.reader.backup_schedule(addon.id).await? {
        Some(schedule) => Ok(Json(json!([schedule_shape(&api, &addon, &schedule).await?]))),
        None => Ok(Json(json!([]))),
    }
}

/// The hour, which clients send as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Hour {
    Number(u8),
    Text(String),
}

#[derive(Deserialize)]
struct Schedule {
    hour: Hour,
    timezone: Option<String>,
}

async fn schedule(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Path(named): Path<String>,
    Json(wanted): Json<Schedule>,
) -> Result<(StatusCode, Json<Value>), Fault> {
    let addon = within(&api, &user, &named, Role::Deploy).await?;
    let hour = match wanted.hour {
        Hour::Number(hour) => hour,
        Hour::Text(text) => text.parse().unwrap_or(u8::MAX),
    };
    let schedule = api.addons.schedule_backups(addon.id, hour, wanted.timezone.as_deref().unwrap_or("UTC")).await?;
    Ok((StatusCode::CREATED, Json(schedule_shape(&api, &addon, &schedule).await?)))
}

async fn unschedule(
    State(api): State<Api>,
    CurrentUser(user): CurrentUser,
    Path((named, _)): Path<(String, String)>,
) -> Result<Json<Value>, Fault> {
    let addon = within(&api, &user, &named, Role::Deploy).await?;
    if !api.addons.unschedule_backups(addon.id).await? {
        return Err(Fault::not_found("schedule"));
    }
    Ok(Json(json!({ "message": "No more backups by the schedule." })))
}
