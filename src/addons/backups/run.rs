//! Works off the orders: a dump with its proof, a restore with its swap.

use std::{
    collections::BTreeMap,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    sync::atomic::Ordering,
    time::Duration,
};

use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::{
    BackupError, FOLDER, fetch, file,
    measured::{Count, Measured},
};
use crate::{
    addons::{Addon, AddonError, Addons, Inner, dump, internal_name, postgres::WATCHER, sql, sql::Names},
    domain::{
        BackupId,
        addon::AddonState,
        backup::{self, Backup, BackupKind, BackupSchedule},
    },
    fail_point,
    store::backups::{DumpFacts, address_place},
};

/// One order takes no longer than this.
const LONGEST: Duration = Duration::from_secs(3600);
/// What is not kept any longer is looked for after every order, and this often.
const HOUR_MILLIS: i64 = 3_600_000;
/// How often one is begun at most.
const ATTEMPTS: u32 = 3;
/// Between two notes of how far one is.
const NOTE: Duration = Duration::from_secs(1);
/// Who uses the server while a dump or restore runs, in the list of those who came in.
const VISITOR: &str = "siesta_backup";

impl Addons {
    /// Orders the dumps that are due, works off what waits, and lets go of what is not kept. The
    /// server calls it now and then and whenever `backups_activator` says so.
    pub async fn back_up(&self) {
        if !self.offered() {
            return;
        }
        let _working = self.inner.backups.working.lock().await;
        if let Err(error) = self.work_off().await {
            tracing::error!(%error, "backups could not be worked off; it is tried again");
        }
    }

    async fn work_off(&self) -> Result<(), BackupError> {
        let inner = &self.inner;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(inner.parts.config.options.data_dir.join(FOLDER))?;
        // Nothing runs now: what was begun was cut off.
        if inner.parts.reader.has_running_backup().await? {
            inner.tidy_up().await?;
            inner.parts.writer.put_off_all_backups().await?;
        }
        self.order_what_is_due().await?;
        let mut worked = false;
        while let Some(next) = inner.parts.reader.next_backup().await? {
            worked = true;
            if !inner.parts.writer.begin_backup(next.id, inner.parts.clock.now()).await? {
                continue;
            }
            if !inner.work_on(&next).await? {
                // Put off: not at once again.
                break;
            }
        }
        let (now, last) = (inner.parts.clock.now().millis(), inner.backups.expired_at.load(Ordering::SeqCst));
        if worked || now.saturating_sub(last) >= HOUR_MILLIS {
            inner.expire().await?;
            inner.backups.expired_at.store(now, Ordering::SeqCst);
        }
        Ok(())
    }

    /// A dump for each schedule whose time has come: one, however many were missed.
    async fn order_what_is_due(&self) -> Result<(), BackupError> {
        let parts = &self.inner.parts;
        let now = parts.clock.now();
        for due in parts.reader.due_backup_schedules(now).await? {
            let next_at = backup::next_at(due.hour, &due.time_zone, now).unwrap_or(now + Duration::from_secs(86_400));
            if let Some(addon) = parts.reader.addon(due.addon_id).await?.filter(|addon| addon.state != AddonState::Provisioning) {
                match self.capture(&addon, None).await {
                    // The last ones still wait.
                    Ok(_) | Err(BackupError::TooMany(_)) => {}
                    Err(error) => {
                        tracing::error!(addon = addon.name, %error, "no backup could be made");
                        let text = format!("The daily backup of {} FAILED: {error}", addon.name);
                        self.inner.write_to_owner(&addon, text.trim_end_matches('.')).await;
                        self.inner.say(&addon, text);
                    }
                }
            }
            parts.writer.set_backup_schedule(&BackupSchedule { next_at, ..due }).await?;
        }
        Ok(())
    }
}

impl Inner {
    /// Works on one order to its end. False: it is put off.
    async fn work_on(&self, order: &Backup) -> Result<bool, BackupError> {
        let token = CancellationToken::new();
        *self.backups.current() = Some((order.id, token.clone()));
        let work = async {
            let _hold = self.postgres.hold(VISITOR).await;
            match order.kind {
                BackupKind::Manual | BackupKind::Scheduled => self.dump_and_prove(order).await,
                BackupKind::Restore => self.restore_over(order).await,
            }
        };
        let outcome = tokio::select! {
            outcome = tokio::time::timeout(LONGEST, work) => outcome.unwrap_or(Err(BackupError::TooSlow(LONGEST.as_secs() / 60))),
            () = token.cancelled() => Err(BackupError::Cancelled),
        };
        *self.backups.current() = None;
        if order.kind == BackupKind::Restore && order.source_id.is_none() {
            // What was fetched is no backup of ours: another try fetches it again.
            let _ = tokio::fs::remove_file(file(&self.parts, order.id)).await;
        }
        // What cannot be tidied up now stays a running one, and is tidied up before anything else.
        self.tidy_up().await?;
        match outcome {
            Ok(rows) => {
                self.parts.writer.complete_backup(order.id, rows, self.parts.clock.now()).await?;
                if let Some(addon) = self.parts.reader.addon(order.addon_id).await? {
                    let done = match order.kind {
                        BackupKind::Restore => {
                            format!("Restored {} into {}", order.source_name.as_deref().unwrap_or("a backup"), addon.name)
                        }
                        _ => format!("Backup {} of {} is complete and verified: {rows} rows", order.name(), addon.name),
                    };
                    self.say(&addon, done);
                }
                Ok(true)
            }
            Err(error) if error.may_pass() && order.attempts + 1 < ATTEMPTS => {
                tracing::warn!(addon = order.addon_name, backup = order.name(), %error, "a backup is tried again");
                self.parts.writer.put_off_backup(order.id, &error.to_string()).await?;
                Ok(false)
            }
            Err(error) => {
                self.fail(order, &error).await?;
                Ok(true)
            }
        }
    }

    /// Drops what dumps and restores made in the server, and their containers. Only while none runs.
    pub(super) async fn tidy_up(&self) -> Result<(), BackupError> {
        self.postgres.ensure_up().await?;
        dump::clear_dead(&self.parts, &self.postgres).await?;
        let admin = self.postgres.admin("postgres").await?;
        for addon in self.parts.reader.addons().await? {
            sql::scratch::open(&admin, &addon.database).await?;
        }
        Ok(sql::scratch::drop_all(&admin).await?)
    }

    /// Does this, and meanwhile writes down how far it is and looks whether the disk has room for more.
    async fn noting<T>(
        &self,
        backup: BackupId,
        count: &Count,
        work: impl Future<Output = Result<T, impl Into<BackupError>>>,
    ) -> Result<T, BackupError> {
        let mut work = std::pin::pin!(work);
        let mut pace = tokio::time::interval_at(tokio::time::Instant::now() + NOTE, NOTE);
        loop {
            tokio::select! {
                done = &mut work => return done.map_err(Into::into),
                _ = pace.tick() => {
                    self.parts.host.has_disk()?;
                    self.parts.writer.set_backup_progress(backup, count.load(Ordering::Relaxed), None).await?;
                }
            }
        }
    }

    /// The role and the database of an order's add-on, also of one in the bin.
    async fn place(&self, order: &Backup) -> Result<(String, String), BackupError> {
        if let Some(Addon { role, database, .. }) = self.parts.reader.addon(order.addon_id).await? {
            return Ok((role, database));
        }
        let binned = self.parts.reader.binned(order.addon_id).await?.ok_or(AddonError::NoSuchAddon)?;
        Ok((binned.role, binned.database))
    }

    /// Makes a dump, restores it into a scratch database and counts. The rows it holds.
    async fn dump_and_prove(&self, order: &Backup) -> Result<u64, BackupError> {
        let facts = match self.parts.reader.dump_facts(order.id).await? {
            // Cut off after the dump: only the proof is missing.
            Some(facts) if file(&self.parts, order.id).exists() => facts,
            _ => self.dump(order).await?,
        };
        fail_point::reached("backup.dumped");
        self.prove(order, &facts).await
    }

    async fn dump(&self, order: &Backup) -> Result<DumpFacts, BackupError> {
        self.postgres.ensure_up().await?;
        let (role, database) = self.place(order).await?;
        // Rows are counted in the very moment the dump is made of.
        let watcher = self.postgres.watcher(&database).await?;
        let snapshot = sql::snapshot(&watcher).await?;
        let counts = sql::counts(&watcher).await?;
        self.parts.writer.set_backup_progress(order.id, 0, Some(sql::size(&watcher).await?)).await?;
        fail_point::reached("backup.begun");
        let (whole, part) = (file(&self.parts, order.id), file(&self.parts, order.id).with_extension("part"));
        let count = Count::default();
        let mut to = Measured::new(private_file(&part).await?, &count);
        let names = Names { role: &role, database: &database };
        self.noting(order.id, &count, self.dump_to(names, Some(&snapshot), &mut to)).await?;
        let (written, bytes, sha256) = to.finish();
        written.sync_all().await?;
        std::fs::rename(&part, &whole)?;
        let facts = DumpFacts { bytes, sha256, counts };
        self.parts.writer.set_dump_facts(order.id, &facts).await?;
        Ok(facts)
    }

    /// Restores a dump into a scratch database and compares the rows of every table.
    async fn prove(&self, order: &Backup, facts: &DumpFacts) -> Result<u64, BackupError> {
        self.postgres.ensure_up().await?;
        let (role, _) = self.place(order).await?;
        let admin = self.postgres.admin("postgres").await?;
        self.fill_scratch(&admin, (order, &file(&self.parts, order.id)), &role, Some(facts)).await?;
        fail_point::reached("backup.proved");
        Ok(facts.rows())
    }

    /// A scratch database filled with a dump, with every row in its place where they are known; and how many.
    async fn fill_scratch(
        &self,
        admin: &Client,
        (order, dump): (&Backup, &Path),
        role: &str,
        facts: Option<&DumpFacts>,
    ) -> Result<(String, u64), BackupError> {
        let scratch = internal_name(sql::scratch::DATABASE);
        let names = Names { role, database: &scratch };
        sql::scratch::make(admin, names, WATCHER, &order.id.to_string()).await?;
        sql::hand_over(&self.postgres.admin(&scratch).await?, role).await?;
        fail_point::reached("backup.scratch");
        let count = Count::default();
        let mut from = Measured::new(tokio::fs::File::open(dump).await?, &count);
        self.noting(order.id, &count, self.load_from(names, &mut from)).await?;
        if facts.is_some_and(|facts| facts.sha256 != from.finish().2) {
            return Err(BackupError::Corrupt);
        }
        let found = sql::counts(&self.postgres.watcher(&scratch).await?).await?;
        if let Some(facts) = facts {
            compare(&facts.counts, &found)?;
        }
        Ok((scratch, found.values().sum()))
    }

    /// Puts a dump in the place of a database. Before the swap nothing of it has changed. The rows it has then.
    async fn restore_over(&self, order: &Backup) -> Result<u64, BackupError> {
        self.postgres.ensure_up().await?;
        let addon = self.parts.reader.addon(order.addon_id).await?.ok_or(AddonError::NoSuchAddon)?;
        let facts = match order.source_id {
            Some(source) => Some(self.parts.reader.dump_facts(source).await?.ok_or(BackupError::NoSuchBackup)?),
            None => None,
        };
        let admin = self.postgres.admin("postgres").await?;
        let mut rows = facts.as_ref().map(DumpFacts::rows);
        // Cut off after the swap: rows written since then stay.
        if sql::scratch::mark(&admin, &addon.database).await?.as_deref() != Some(&order.id.to_string()) {
            let dump = file(&self.parts, order.source_id.unwrap_or(order.id));
            if order.source_id.is_none() {
                self.fetch(order, &addon, &dump).await?;
            }
            let (scratch, found) = self.fill_scratch(&admin, (order, &dump), &addon.role, facts.as_ref()).await?;
            rows = Some(found);
            let _working = self.working.lock().await;
            fail_point::reached("restore.filled");
            sql::scratch::swap(&admin, &addon.database, &scratch, &internal_name(sql::scratch::REPLACED)).await?;
            fail_point::reached("restore.swapped");
        }
        let addon = self.parts.reader.addon(order.addon_id).await?.ok_or(AddonError::NoSuchAddon)?;
        let figures = self.count(&addon).await?;
        Ok(rows.unwrap_or(figures.rows))
    }

    /// Fetches the dump of an order from the address that was given.
    async fn fetch(&self, order: &Backup, addon: &Addon, dump: &Path) -> Result<(), BackupError> {
        let sealed = self.parts.reader.backup_address(order.id).await?.ok_or(BackupError::NoSuchBackup)?;
        let url = self.parts.keys.open(&address_place(order.id), &sealed).map_err(|_| AddonError::Sealed)?;
        let count = Count::default();
        let mut to = Measured::new(private_file(dump).await?, &count);
        self.noting(order.id, &count, fetch::fetch(&self.parts.egress, &url, addon.plan().bytes, &mut to)).await
    }

    /// The proof of a dump once more.
    pub(super) async fn verify_again(&self, backup: &Backup) -> Result<(), BackupError> {
        let facts = self.parts.reader.dump_facts(backup.id).await?.ok_or(BackupError::NoSuchBackup)?;
        let _hold = self.postgres.hold(VISITOR).await;
        let rows = self.prove(backup, &facts).await?;
        Ok(self.parts.writer.complete_backup(backup.id, rows, self.parts.clock.now()).await?)
    }
}

/// A new file only we can read.
async fn private_file(path: &Path) -> std::io::Result<tokio::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    tokio::fs::OpenOptions::from(options).open(path).await
}

/// Whether every table has the rows it had.
fn compare(expected: &BTreeMap<String, u64>, found: &BTreeMap<String, u64>) -> Result<(), BackupError> {
    let tables: std::collections::BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    for table in tables {
        let (there, here) = (expected.get(table), found.get(table));
        if there != here {
            let told = |count: Option<&u64>| count.map_or_else(|| "no such table".to_owned(), |count| format!("{count} rows"));
            return Err(BackupError::Counts { table: table.clone(), found: told(here), expected: told(there) });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_more_or_less_and_a_missing_table_are_told() {
        let counts = |pairs: &[(&str, u64)]| pairs.iter().map(|(table, rows)| ((*table).to_owned(), *rows)).collect::<BTreeMap<_, _>>();
        let dump = counts(&[("public.a", 3), ("public.b", 0)]);
        assert!(compare(&dump, &dump).is_ok());
        let said = |found: &[(&str, u64)]| compare(&dump, &counts(found)).map_err(|error| error.to_string());
        assert!(said(&[("public.a", 2), ("public.b", 0)]).unwrap_err().contains("public.a has 2 rows instead of 3 rows"));
        assert!(said(&[("public.a", 3)]).unwrap_err().contains("public.b has no such table instead of 0 rows"));
        assert!(said(&[("public.a", 3), ("public.b", 0), ("x.c", 1)]).is_err());
    }
}
