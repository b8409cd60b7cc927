//! Backups on the page of a database: list, capture, download, restore, delete, schedule.

use axum::{
    body::Body,
    extract::{Path, State},
    response::IntoResponse as _,
};
use http::{StatusCode, header};
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use crate::{
    addons::{Addon, BackupError},
    domain::{
        Timestamp,
        backup::{Backup, BackupSchedule, BackupState},
    },
    http::{AppAccess, Deployer, Fault, Owning},
    web::{
        Page, Web,
        addons::{owned_database, show},
        cx::Cx,
        form::Form,
        front::{Sent, fields},
        lang, say, see_other,
        state::Pill,
    },
};

/// What the page shows of backups.
pub struct Backups {
    pub rows: Vec<Row>,
    /// Names of those that can be restored.
    pub good: Vec<String>,
    pub schedule: Option<BackupSchedule>,
    /// The last dump could not be made or proved.
    pub broken: Option<String>,
    /// Something waits or runs: the page looks again by itself.
    pub live: bool,
}

/// One backup.
pub struct Row {
    pub name: String,
    pub state: Pill,
    pub at: Timestamp,
    pub size: String,
    pub rows: String,
    pub from: String,
    pub error: Option<String>,
    pub good: bool,
    pub ended: bool,
}

impl Backups {
    pub async fn load(web: &Web, cx: &Cx, addon: &Addon) -> Result<Backups, Fault> {
        let all: Vec<Backup> = web.reader.backups_of_addon(addon.id).await?.into_iter().filter(|one| one.app_id == addon.app_id).collect();
        let last_dump = all.iter().find(|one| one.is_dump() && one.finished_at.is_some() && one.state != BackupState::Cancelled);
        Ok(Backups {
            good: all.iter().filter(|one| one.is_good()).map(Backup::name).collect(),
            schedule: web.reader.backup_schedule(addon.id).await?,
            broken: last_dump.filter(|one| one.state == BackupState::Failed).map(|one| cx.t1("backup-broken", "name", one.name())),
            live: all.iter().any(|one| one.finished_at.is_none()),
            rows: all.iter().map(|one| row(cx, one)).collect(),
        })
    }
}

fn row(cx: &Cx, backup: &Backup) -> Row {
    let (class, word) = match backup.state {
        BackupState::Pending => ("warn", "backup-pending"),
        BackupState::Running => ("warn live", "backup-running"),
        BackupState::Completed if backup.is_dump() => ("ok", "backup-verified"),
        BackupState::Completed => ("ok", "backup-done"),
        BackupState::Failed => ("bad", "backup-failed"),
        BackupState::Cancelled => ("off", "backup-cancelled"),
    };
    Row {
        name: backup.name(),
        state: Pill { class, word: cx.t(word) },
        at: backup.finished_at.unwrap_or(backup.created_at),
        size: if backup.bytes > 0 { lang::bytes(backup.bytes) } else { String::new() },
        rows: backup.rows.map(|rows| rows.to_string()).unwrap_or_default(),
        from: backup.source_name.as_ref().map(|name| cx.t1("backup-from", "name", name)).unwrap_or_default(),
        error: backup.error.clone(),
        good: backup.is_good(),
        ended: backup.finished_at.is_some(),
    }
}

/// Back to the page of the add-on, with a message.
fn done(cx: &Cx, addon: &Addon, (key, value): (&str, &str), outcome: Result<(), BackupError>) -> Page {
    let back = format!("/apps/{}/addons/{}#backups", addon.app_name, addon.name);
    match outcome {
        Ok(()) => Ok(see_other(&back, [cx.flash(true, key, value)])),
        Err(error) => match say::backup(cx.lang, &error) {
            Some(text) => Ok(see_other(&back, [cx.flash(false, "flash-failed", &text)])),
            None => Err(error.into()),
        },
    }
}

/// A backup of the database, by its name.
async fn found(web: &Web, addon: &Addon, named: &str) -> Result<Backup, Fault> {
    let all = web.reader.backups_of_addon(addon.id).await?;
    let mut own = all.into_iter().filter(|one| one.app_id == addon.app_id);
    own.find(|one| one.name() == named).ok_or_else(|| Fault::not_found("backup"))
}

pub async fn capture(State(web): State<Web>, cx: Cx, AppAccess { app, by }: Deployer, Path((_, named)): Path<(String, String)>) -> Page {
    let addon = owned_database(&web, &app, &named).await?;
    done(&cx, &addon, ("flash-backup-ordered", ""), web.addons.capture(&addon, Some(&by)).await.map(drop))
}

pub async fn cancel(
    State(web): State<Web>,
    cx: Cx,
    AppAccess { app, .. }: Deployer,
    Path((_, named, backup)): Path<(String, String, String)>,
) -> Page {
    let addon = owned_database(&web, &app, &named).await?;
    let backup = found(&web, &addon, &backup).await?;
    done(&cx, &addon, ("flash-backup-cancelled", &backup.name()), web.addons.cancel_backup(&backup).await)
}

pub async fn delete(
    State(web): State<Web>,
    cx: Cx,
    AppAccess { app, by }: Owning,
    Path((_, named, backup)): Path<(String, String, String)>,
) -> Page {
    let addon = owned_database(&web, &app, &named).await?;
    let backup = found(&web, &addon, &backup).await?;
    done(&cx, &addon, ("flash-backup-deleted", &backup.name()), web.addons.delete_backup(&backup, &by).await)
}

/// The dump as a file.
pub async fn download(
    State(web): State<Web>,
    AppAccess { app, .. }: Deployer,
    Path((_, named, backup)): Path<(String, String, String)>,
) -> Page {
    let addon = owned_database(&web, &app, &named).await?;
    let backup = found(&web, &addon, &backup).await?;
    let (file, length) = web.addons.open_backup(&backup).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}-{}.dump\"", addon.name, backup.name())),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(ReaderStream::with_capacity(file, 128 * 1024))).into_response())
}

#[derive(Deserialize)]
pub struct Restore {
    backup: String,
    confirm: String,
}

pub async fn restore(
    State(web): State<Web>,
    cx: Cx,
    AppAccess { app, by }: Owning,
    Path((_, named)): Path<(String, String)>,
    sent: Sent<Restore>,
) -> Page {
    let Restore { backup, confirm } = fields(sent)?;
    let addon = owned_database(&web, &app, &named).await?;
    if confirm.trim() != app.name.as_str() {
        let form = Form::default().filled("backup", backup).wrong("restore", cx.t1("delete-mismatch", "name", &app.name));
        return show(&web, cx, &app, &addon, (StatusCode::UNPROCESSABLE_ENTITY, form, false)).await;
    }
    let backup = found(&web, &addon, &backup).await?;
    done(&cx, &addon, ("flash-backup-restoring", &backup.name()), web.addons.restore_backup(&addon, &backup, &by).await.map(drop))
}

#[derive(Deserialize)]
pub struct Schedule {
    /// Empty: no dumps by themselves.
    hour: String,
    #[serde(default)]
    time_zone: String,
}

pub async fn schedule(
    State(web): State<Web>,
    cx: Cx,
    AppAccess { app, .. }: Deployer,
    Path((_, named)): Path<(String, String)>,
    sent: Sent<Schedule>,
) -> Page {
    let Schedule { hour, time_zone } = fields(sent)?;
    let addon = owned_database(&web, &app, &named).await?;
    if hour.is_empty() {
        return done(&cx, &addon, ("flash-backup-unscheduled", ""), web.addons.unschedule_backups(addon.id).await.map(drop));
    }
    let time_zone = Some(time_zone.trim()).filter(|zone| !zone.is_empty()).unwrap_or("UTC");
    let set = web.addons.schedule_backups(addon.id, hour.parse().unwrap_or(u8::MAX), time_zone).await;
    done(&cx, &addon, ("flash-backup-scheduled", ""), set.map(drop))
}
