//! The backups of all databases on the page of the host: the newest dump of each, whether it is good,
//! and what went wrong; and when the whole server was last copied.

use std::collections::HashMap;

use crate::{
    audit,
    domain::{
        AddonId, Timestamp,
        addon::{Addon, AddonState},
        backup::{Backup, BackupState},
    },
    http::Fault,
    web::{Web, cx::Cx, lang, state::Pill},
};

/// The card.
pub struct Backups {
    /// Those that need somebody's eye first.
    pub rows: Vec<Row>,
    /// When a backup of everything was last handed out.
    pub whole: Option<Timestamp>,
}

/// One database.
pub struct Row {
    pub app: String,
    pub database: String,
    pub state: Pill,
    /// The newest dump that ended: `a002`.
    pub name: String,
    pub at: Option<Timestamp>,
    pub size: String,
    /// What went wrong with it, and what there is instead.
    pub note: String,
    /// Smaller is worse.
    rank: u8,
}

impl Backups {
    pub async fn load(web: &Web, cx: &Cx) -> Result<Backups, Fault> {
        let mut dumps: HashMap<AddonId, Vec<Backup>> = HashMap::new();
        for backup in web.reader.backups().await?.into_iter().filter(Backup::is_dump) {
            dumps.entry(backup.addon_id).or_default().push(backup);
        }
        let databases = web.reader.addons().await?.into_iter().filter(is_shown);
        let mut rows: Vec<Row> = databases.map(|addon| row(cx, &addon, dumps.get(&addon.id).map_or(&[], Vec::as_slice))).collect();
        rows.sort_by(|a, b| (a.rank, &a.app, &a.database).cmp(&(b.rank, &b.app, &b.database)));
        let whole =
            web.audit.recent(audit::BACKUP, 20).await?.into_iter().find(|entry| entry.via == "server" && entry.action == audit::BACKUP);
        Ok(Backups { rows, whole: whole.map(|entry| entry.at) })
    }
}

fn is_shown(addon: &Addon) -> bool {
    addon.is_database() && !matches!(addon.state, AddonState::Provisioning | AddonState::Deprovisioning)
}

/// `dumps` are those of the database, oldest first.
fn row(cx: &Cx, addon: &Addon, dumps: &[Backup]) -> Row {
    let ended = dumps.iter().rev().find(|dump| matches!(dump.state, BackupState::Completed | BackupState::Failed));
    let good = dumps.iter().rev().find(|dump| dump.is_good());
    let (rank, class, word) = match ended.map(|dump| dump.state) {
        Some(BackupState::Failed) => (0, "bad", "backup-failed"),
        None => (1, "off", "host-backup-none"),
        Some(_) => (2, "ok", "backup-verified"),
    };
    let instead = || match good {
        Some(dump) => {
            cx.lang.with("host-backup-good", &[("name", &dump.name()), ("time", &cx.ago(&dump.finished_at.unwrap_or(dump.created_at)))])
        }
        None => cx.t("host-backup-no-good"),
    };
    let note = match ended {
        Some(dump) if dump.state == BackupState::Failed => format!("{} {}", dump.error.as_deref().unwrap_or_default(), instead()),
        _ => String::new(),
    };
    Row {
        app: addon.app_name.to_string(),
        database: addon.name.clone(),
        state: Pill { class, word: cx.t(word) },
        name: ended.map(Backup::name).unwrap_or_default(),
        at: ended.map(|dump| dump.finished_at.unwrap_or(dump.created_at)),
        size: ended.filter(|dump| dump.is_good()).map(|dump| lang::bytes(dump.bytes)).unwrap_or_default(),
        note: note.trim().to_owned(),
        rank,
    }
}
