//! `GET /metrics`: the numbers of every app in Prometheus' text format, for administrators.

use std::{collections::BTreeMap, fmt::Write};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{Method, header};

use crate::{
    api::{Api, Route},
    domain::{
        AddonId,
        backup::{Backup, BackupState},
    },
    dynos::AppPhase,
    http::{CurrentUser, Fault},
};

pub fn routes() -> Vec<Route> {
    vec![Route::new(Method::GET, "/metrics", metrics)]
}

const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// The families, each with its lines.
struct Families {
    awake: String,
    requests: String,
    memory: String,
    quota: String,
    backups: String,
}

/// The last dump of every database that came to its end.
fn newest_dumps(backups: Vec<Backup>) -> impl Iterator<Item = Backup> {
    let ended = |one: &Backup| one.is_dump() && one.finished_at.is_some() && one.state != BackupState::Cancelled;
    let newest: BTreeMap<AddonId, Backup> = backups.into_iter().filter(ended).map(|one| (one.addon_id, one)).collect();
    newest.into_values()
}

async fn metrics(State(api): State<Api>, CurrentUser(user): CurrentUser) -> Result<Response, Fault> {
    if !user.admin {
        return Err(Fault::forbidden("Only administrators may read the numbers of the whole server."));
    }
    let apps = api.reader.apps().await?;
    let mut families =
        Families { awake: String::new(), requests: String::new(), memory: String::new(), quota: String::new(), backups: String::new() };
    for app in &apps {
        let name = app.name.as_str();
        if let Some(status) = api.dynos.status(app.id) {
            let (awake, used) = {
                let status = status.borrow();
                (matches!(status.phase, AppPhase::Awake | AppPhase::Napping), status.quota.used)
            };
            line(&mut families.awake, format_args!("siesta_app_awake{{app=\"{name}\"}} {}", u8::from(awake)));
            line(&mut families.quota, format_args!("siesta_app_quota_used_seconds{{app=\"{name}\"}} {}", used.as_secs()));
        }
        for (class, count) in CLASSES.iter().zip(api.history.traffic().totals(app.id)) {
            line(&mut families.requests, format_args!("siesta_app_requests_total{{app=\"{name}\",class=\"{class}\"}} {count}"));
        }
        for (dyno, point) in api.history.newest(app.id) {
            let bytes = point.used_bytes();
            line(&mut families.memory, format_args!("siesta_dyno_memory_bytes{{app=\"{name}\",dyno=\"{dyno}\"}} {bytes}"));
        }
    }
    for backup in newest_dumps(api.reader.backups().await?) {
        let (addon, good) = (&backup.addon_name, u8::from(backup.is_good()));
        line(&mut families.backups, format_args!("siesta_backup_good{{addon=\"{addon}\"}} {good}"));
    }
    let queued = api.reader.queued_builds().await?.len();
    let text = [
        family("siesta_apps", "gauge", "Apps on this server.", &format!("siesta_apps {}\n", apps.len())),
        family("siesta_builds_queued", "gauge", "Builds that wait.", &format!("siesta_builds_queued {queued}\n")),
        family(
            "siesta_standbys",
            "gauge",
            "Sleeping apps whose next dyno stands by.",
            &format!("siesta_standbys {}\n", api.dynos.standbys()),
        ),
        family("siesta_app_awake", "gauge", "Whether the app is awake.", &families.awake),
        family("siesta_app_quota_used_seconds", "gauge", "Awake time that counts.", &families.quota),
        family("siesta_app_requests_total", "counter", "Answers to visitors since the start, by class of status.", &families.requests),
        family("siesta_backup_good", "gauge", "Whether the last backup was restored with every row.", &families.backups),
        family("siesta_dyno_memory_bytes", "gauge", "Largest working set of the last minute, swap included.", &families.memory),
    ];
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.concat()).into_response())
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(text, "{line}");
}

fn family(name: &str, kind: &str, help: &str, lines: &str) -> String {
    format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{lines}")
}
