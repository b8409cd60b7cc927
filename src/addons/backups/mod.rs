//! Backups of databases: dumps on demand and by a daily schedule, each restored into a scratch
//! database and counted before it is called good, and restores that take a database's place at once.
//!
//! A row is the order. `back_up` works them off one at a time and may be cut off anywhere: what waits
//! or was cut off is begun anew, and what a half one left in the server is dropped first.

mod fetch;
mod measured;
mod run;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Mutex, PoisonError, atomic::AtomicI64},
};

use tokio_util::sync::CancellationToken;

use crate::{
    addons::{Addon, AddonError, Addons, AddonsParts},
    domain::{
        AddonId, AppId, BackupId,
        addon::ServiceKind,
        backup::{self, Backup, BackupKind, BackupSchedule, BackupState, ScheduleFault},
        capacity::NoRoom,
        user::Actor,
    },
    engine::EngineError,
    scheduler::Activator,
    store::{
        StoreError,
        backups::{NewBackup, address_place},
    },
};

/// Orders of one database that may wait at once.
const WAITING: u32 = 3;
/// The folder of dumps in the data folder.
const FOLDER: &str = "dumps";

/// Why there is no backup or no restore.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("Couldn't find that backup.")]
    NoSuchBackup,
    #[error("{0} is no backup that can be restored or downloaded.")]
    NotGood(String),
    #[error("{0} is not at its end. Cancel it first.")]
    Unfinished(String),
    #[error("{WAITING} backups of {0} wait already. Try again when they are done.")]
    TooMany(String),
    #[error("The dump could not be made: {0}")]
    Dump(String),
    #[error("The dump could not be restored: {0}")]
    Restore(String),
    #[error("The file of the dump is not what was written: its checksum differs.")]
    Corrupt,
    #[error("The restored database has other rows than the dump: {table} has {found} instead of {expected}.")]
    Counts { table: String, found: String, expected: String },
    /// That address may not be asked, and why.
    #[error("{0}")]
    Address(String),
    #[error("The dump could not be fetched: {0}.")]
    Fetch(String),
    #[error("It was cancelled.")]
    Cancelled,
    #[error("It took longer than {0} minutes.")]
    TooSlow(u64),
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    #[error(transparent)]
    Schedule(#[from] ScheduleFault),
    #[error(transparent)]
    Addon(AddonError),
    #[error("The files of dumps failed: {0}")]
    Io(#[from] std::io::Error),
}

impl From<AddonError> for BackupError {
    fn from(error: AddonError) -> Self {
        match error {
            AddonError::Dump(why) => BackupError::Dump(why),
            AddonError::Load(why) => BackupError::Restore(why),
            other => BackupError::Addon(other),
        }
    }
}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        AddonError::from(error).into()
    }
}

impl From<EngineError> for BackupError {
    fn from(error: EngineError) -> Self {
        AddonError::from(error).into()
    }
}

impl From<tokio_postgres::Error> for BackupError {
    fn from(error: tokio_postgres::Error) -> Self {
        AddonError::from(error).into()
    }
}

impl BackupError {
    /// Another try may work: nothing is wrong with the dump itself.
    fn may_pass(&self) -> bool {
        !matches!(
            self,
            BackupError::Corrupt | BackupError::Counts { .. } | BackupError::Cancelled | BackupError::TooSlow(_) | BackupError::Address(_)
        )
    }
}

/// What the owner keeps of backups between its calls.
#[derive(Default)]
pub(super) struct Backups {
    activator: Activator,
    /// Held by whoever works.
    working: tokio::sync::Mutex<()>,
    /// What runs, and how it is told to end.
    current: Mutex<Option<(BackupId, CancellationToken)>>,
    /// When old ones were let go last, in milliseconds since the epoch.
    expired_at: AtomicI64,
}

impl Backups {
    fn current(&self) -> std::sync::MutexGuard<'_, Option<(BackupId, CancellationToken)>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an order reads.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// The database.
    Itself,
    Dump(&'a Backup),
    /// An address of the user's.
    Elsewhere(&'a reqwest::Url),
}

/// The file of a dump.
fn file(parts: &AddonsParts, id: BackupId) -> PathBuf {
    parts.config.options.data_dir.join(FOLDER).join(format!("{id}.dump"))
}

impl Addons {
    /// Wakes `back_up` before its time.
    pub fn backups_activator(&self) -> Activator {
        self.inner.backups.activator.clone()
    }

    /// Orders a dump. `by` is None for the schedule.
    ///
    /// # Errors
    /// When too many wait, or the disk is nearly full.
    pub async fn capture(&self, addon: &Addon, by: Option<&Actor>) -> Result<Backup, BackupError> {
        self.inner.parts.host.has_disk()?;
        let kind = if by.is_some() { BackupKind::Manual } else { BackupKind::Scheduled };
        self.order(addon, kind, Source::Itself, by).await
    }

    /// Orders that a dump takes the place of a database. What was written since then is gone.
    ///
    /// # Errors
    /// When it is no good dump, or too many orders wait.
    pub async fn restore_backup(&self, addon: &Addon, source: &Backup, by: &Actor) -> Result<Backup, BackupError> {
        if !source.is_good() {
            return Err(BackupError::NotGood(source.name()));
        }
        self.inner.parts.host.has_disk()?;
        self.order(addon, BackupKind::Restore, Source::Dump(source), Some(by)).await
    }

    /// The same with a dump in PostgreSQL's custom format that lies at an address of https.
    ///
    /// # Errors
    /// When the address may not be asked, or too many orders wait.
    pub async fn restore_from(&self, addon: &Addon, url: &str, by: &Actor) -> Result<Backup, BackupError> {
        let url = fetch::checked(&self.inner.parts.egress, url)?;
        self.inner.parts.host.has_disk()?;
        self.order(addon, BackupKind::Restore, Source::Elsewhere(&url), Some(by)).await
    }

    async fn order(&self, addon: &Addon, kind: BackupKind, from: Source<'_>, by: Option<&Actor>) -> Result<Backup, BackupError> {
        super::must_be_database(addon)?;
        let parts = &self.inner.parts;
        let by_email = by.map_or("", |by| by.email.as_str());
        let id = BackupId::new();
        let source = if let Source::Dump(dump) = from { Some(dump) } else { None };
        let sealed = if let Source::Elsewhere(url) = from { Some(parts.keys.seal(&address_place(id), &url.as_str().into())) } else { None };
        let address =
            if let (Source::Elsewhere(url), Some(sealed)) = (from, &sealed) { url.host_str().zip(Some(&sealed[..])) } else { None };
        let new = NewBackup { id, addon, kind, source, address, by_email, now: parts.clock.now() };
        if !parts.writer.add_backup(&new, WAITING).await? {
            return Err(BackupError::TooMany(addon.name.clone()));
        }
        if kind != BackupKind::Scheduled {
            let did = if kind == BackupKind::Manual { "capture" } else { "restore" };
            let name = source.map(Backup::name).or_else(|| address.map(|(host, _)| host.to_owned())).unwrap_or_default();
            self.inner.note(addon, (did, &name), by_email).await?;
        }
        self.inner.backups.activator.activate();
        parts.reader.backup(new.id).await?.ok_or(BackupError::NoSuchBackup)
    }

    /// One of an app, by its number.
    pub async fn backup(&self, app: AppId, number: u32) -> Result<Backup, BackupError> {
        self.inner.parts.reader.backup_numbered(app, number).await?.ok_or(BackupError::NoSuchBackup)
    }

    /// Restores a good dump into a scratch database once more and counts. What fails is failed from then on.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn verify_backup(&self, backup: &Backup) -> Result<(), BackupError> {
        if !backup.is_good() {
            return Err(BackupError::NotGood(backup.name()));
        }
        let _working = self.inner.backups.working.lock().await;
        let checked = self.inner.verify_again(backup).await;
        self.inner.tidy_up().await?;
        match checked {
            Err(error) if !error.may_pass() || matches!(error, BackupError::Restore(_) | BackupError::Io(_)) => {
                self.inner.fail(backup, &error).await?;
                Err(error)
            }
            other => other,
        }
    }

    /// Ends one that waits or runs.
    ///
    /// # Errors
    /// When the store fails. One that has ended is fine.
    pub async fn cancel_backup(&self, backup: &Backup) -> Result<(), BackupError> {
        let now = self.inner.parts.clock.now();
        if self.inner.parts.writer.cancel_waiting_backup(backup.id, now).await? {
            return Ok(());
        }
        if let Some((_, token)) = self.inner.backups.current().as_ref().filter(|(id, _)| *id == backup.id) {
            token.cancel();
        }
        Ok(())
    }

    /// Deletes one that has ended, with its file.
    ///
    /// # Errors
    /// When it has not ended.
    pub async fn delete_backup(&self, backup: &Backup, by: &Actor) -> Result<(), BackupError> {
        if backup.finished_at.is_none() {
            return Err(BackupError::Unfinished(backup.name()));
        }
        self.inner.forget_backup(backup.id).await?;
        if let Ok(addon) = self.found(backup.addon_id).await {
            self.inner.note(&addon, ("delete-backup", &backup.name()), by.email.as_str()).await?;
        }
        Ok(())
    }

    /// A good dump and its length in bytes, to be read.
    ///
    /// # Errors
    /// When it is no good dump, or its file cannot be read.
    pub async fn open_backup(&self, backup: &Backup) -> Result<(tokio::fs::File, u64), BackupError> {
        if !backup.is_good() {
            return Err(BackupError::NotGood(backup.name()));
        }
        let file = tokio::fs::File::open(file(&self.inner.parts, backup.id)).await?;
        let length = file.metadata().await?.len();
        Ok((file, length))
    }

    /// Dumps a database every day at that hour from now on.
    ///
    /// # Errors
    /// When there is no such hour or time zone.
    pub async fn schedule_backups(&self, addon: AddonId, hour: u8, time_zone: &str) -> Result<BackupSchedule, BackupError> {
        let next_at = backup::next_at(hour, time_zone, self.inner.parts.clock.now())?;
        let schedule = BackupSchedule { addon_id: addon, hour, time_zone: time_zone.to_owned(), next_at };
        self.inner.parts.writer.set_backup_schedule(&schedule).await?;
        Ok(schedule)
    }

    /// No more dumps by the schedule. False when there was none.
    pub async fn unschedule_backups(&self, addon: AddonId) -> Result<bool, BackupError> {
        Ok(self.inner.parts.writer.remove_backup_schedule(addon).await?)
    }

    /// The schedule a database begins with.
    pub(super) fn first_schedule(&self, kind: ServiceKind, addon: AddonId) -> Option<BackupSchedule> {
        if kind != ServiceKind::Postgres {
            return None;
        }
        let (hour, time_zone) = backup::DEFAULT_HOUR;
        let next_at = backup::next_at(hour, time_zone, self.inner.parts.clock.now()).ok()?;
        Some(BackupSchedule { addon_id: addon, hour, time_zone: time_zone.to_owned(), next_at })
    }
}

impl super::Inner {
    /// Deletes row and file. The row goes first: a file without one is swept away.
    async fn forget_backup(&self, id: BackupId) -> Result<(), BackupError> {
        self.parts.writer.delete_backup(id).await?;
        match tokio::fs::remove_file(file(&self.parts, id)).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Deletes what is not kept any longer, and files nobody knows.
    async fn expire(&self) -> Result<(), BackupError> {
        self.parts.writer.forget_backups_of_the_gone().await?;
        let all = self.parts.reader.backups().await?;
        let databases: BTreeSet<AddonId> = all.iter().map(|one| one.addon_id).collect();
        for id in databases {
            let plan = match self.parts.reader.addon(id).await? {
                Some(addon) => addon.plan(),
                // In the bin: nothing new comes, nothing goes.
                None => continue,
            };
            let of_one: Vec<Backup> = all.iter().filter(|one| one.addon_id == id).cloned().collect();
            for expired in backup::expired(&of_one, plan.backups) {
                self.forget_backup(expired).await?;
            }
        }
        let known: BTreeSet<String> = self.parts.reader.backups().await?.iter().map(|one| format!("{}.dump", one.id)).collect();
        for entry in std::fs::read_dir(self.parts.config.options.data_dir.join(FOLDER))? {
            let entry = entry?;
            if !known.contains(&*entry.file_name().to_string_lossy()) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// It is failed, and everybody hears of it: its page, the app's log, the server's log, its activity.
    async fn fail(&self, backup: &Backup, error: &BackupError) -> Result<(), BackupError> {
        let state = if matches!(error, BackupError::Cancelled) { BackupState::Cancelled } else { BackupState::Failed };
        self.parts.writer.end_backup(backup.id, state, &error.to_string(), self.parts.clock.now()).await?;
        if state == BackupState::Cancelled {
            return Ok(());
        }
        tracing::error!(addon = backup.addon_name, backup = backup.name(), %error, "a backup failed");
        if let Some(addon) = self.parts.reader.addon(backup.addon_id).await? {
            let what = if backup.is_dump() { "Backup" } else { "Restore" };
            let text = format!("{what} {} of {} FAILED: {error}", backup.name(), addon.name);
            self.write_to_owner(&addon, text.trim_end_matches('.')).await;
            self.say(&addon, text);
            self.note(&addon, ("backup-failed", &backup.name()), &backup.by_email).await?;
        }
        Ok(())
    }
}
