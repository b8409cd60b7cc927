//! The table `backups`: dumps of databases, and restores.

use std::collections::BTreeMap;

use crate::{
    domain::{
        AddonId, AppId, BackupId, Timestamp,
        addon::Addon,
        backup::{Backup, BackupKind, BackupState},
    },
    store::{Reader, StoreError, Writer},
};

/// What a new row is made of.
#[derive(Clone, Debug)]
pub struct NewBackup<'a> {
    pub id: BackupId,
    pub addon: &'a Addon,
    pub kind: BackupKind,
    /// Of a restore: the dump it reads.
    pub source: Option<&'a Backup>,
    /// Of a restore from elsewhere: the host it is fetched from, and its sealed address.
    pub address: Option<(&'a str, &'a [u8])>,
    /// Who asks; empty for the schedule.
    pub by_email: &'a str,
    pub now: Timestamp,
}

/// The place the address of a restore is sealed for: it opens nowhere else.
pub fn address_place(id: BackupId) -> String {
    format!("backups|{id}|url")
}

/// What a finished dump is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DumpFacts {
    pub bytes: u64,
    pub sha256: Vec<u8>,
    /// Rows by table, when it was made.
    pub counts: BTreeMap<String, u64>,
}

impl DumpFacts {
    pub fn rows(&self) -> u64 {
        self.counts.values().sum()
    }
}

struct Row {
    id: BackupId,
    app_id: AppId,
    addon_id: AddonId,
    addon_name: String,
    number: u32,
    kind: BackupKind,
    state: BackupState,
    source_id: Option<BackupId>,
    source_name: Option<String>,
    by_email: String,
    attempts: u32,
    database_bytes: i64,
    byte_count: i64,
    row_count: Option<i64>,
    verified_at: Option<Timestamp>,
    error: Option<String>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
}

impl From<Row> for Backup {
    fn from(row: Row) -> Backup {
        let Row { id, app_id, addon_id, addon_name, number, kind, state, source_id, source_name, by_email, attempts, .. } = row;
        let Row { verified_at, error, created_at, started_at, finished_at, .. } = row;
        let (database_bytes, bytes) = (row.database_bytes.unsigned_abs(), row.byte_count.unsigned_abs());
        let rows = row.row_count.map(i64::unsigned_abs);
        Backup {
            id,
            app_id,
            addon_id,
            addon_name,
            number,
            kind,
            state,
            source_id,
            source_name,
            by_email,
            attempts,
            database_bytes,
            bytes,
            rows,
            verified_at,
            error,
            created_at,
            started_at,
            finished_at,
        }
    }
}

macro_rules! select {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            Row,
            r#"select id as "id: BackupId", app_id as "app_id: AppId", addon_id as "addon_id: AddonId", addon_name,
                      number as "number: u32", kind as "kind: BackupKind", state as "state: BackupState",
                      source_id as "source_id: BackupId", source_name, by_email, attempts as "attempts: u32", database_bytes,
                      byte_count, row_count, verified_at as "verified_at: Timestamp", error, created_at as "created_at: Timestamp",
                      started_at as "started_at: Timestamp", finished_at as "finished_at: Timestamp"
               from backups "# + $condition
            $(, $argument)*
        )
    };
}

impl Reader {
    pub async fn backup(&self, id: BackupId) -> Result<Option<Backup>, StoreError> {
        Ok(select!("where id = ?", id).fetch_optional(&self.pool).await?.map(Backup::from))
    }

    /// One of an app, by its number.
    pub async fn backup_numbered(&self, app: AppId, number: u32) -> Result<Option<Backup>, StoreError> {
        Ok(select!("where app_id = ? and number = ?", app, number).fetch_optional(&self.pool).await?.map(Backup::from))
    }

    /// Those of an app, newest first.
    pub async fn backups_of_app(&self, app: AppId) -> Result<Vec<Backup>, StoreError> {
        let rows = select!("where app_id = ? order by number desc", app).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(Backup::from).collect())
    }

    /// Those of a database, newest first.
    pub async fn backups_of_addon(&self, addon: AddonId) -> Result<Vec<Backup>, StoreError> {
        let rows = select!("where addon_id = ? order by created_at desc, number desc", addon).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(Backup::from).collect())
    }

    /// Every one there is, oldest first.
    pub async fn backups(&self) -> Result<Vec<Backup>, StoreError> {
        Ok(select!("order by created_at, id").fetch_all(&self.pool).await?.into_iter().map(Backup::from).collect())
    }

    /// The one that has waited longest.
    pub async fn next_backup(&self) -> Result<Option<Backup>, StoreError> {
        let row = select!("where state = 'pending' order by created_at, id limit 1").fetch_optional(&self.pool).await?;
        Ok(row.map(Backup::from))
    }

    /// Whether one was begun and is not at its end.
    pub async fn has_running_backup(&self) -> Result<bool, StoreError> {
        let row = sqlx::query!(r#"select exists (select 1 from backups where state = 'running') as "some: bool""#);
        Ok(row.fetch_one(&self.pool).await?.some)
    }

    /// Where a restore fetches its dump, sealed; None where it reads one of ours, and at its end.
    pub async fn backup_address(&self, id: BackupId) -> Result<Option<Vec<u8>>, StoreError> {
        let row = sqlx::query!("select sealed_url from backups where id = ?", id).fetch_optional(&self.pool).await?;
        Ok(row.and_then(|row| row.sealed_url))
    }

    /// What a dump is; None before its end.
    pub async fn dump_facts(&self, id: BackupId) -> Result<Option<DumpFacts>, StoreError> {
        let row = sqlx::query!("select byte_count, sha256, table_counts from backups where id = ?", id).fetch_optional(&self.pool).await?;
        Ok(row.and_then(|row| {
            let counts = serde_json::from_str(&row.table_counts?).ok()?;
            Some(DumpFacts { bytes: row.byte_count.unsigned_abs(), sha256: row.sha256?, counts })
        }))
    }
}

impl Writer {
    /// A new one that waits, with the next number of its app. False when `most` of the database wait already.
    pub async fn add_backup(&self, new: &NewBackup<'_>, most: u32) -> Result<bool, StoreError> {
        let NewBackup { id, addon, kind, source, address, by_email, now } = new;
        let source_name = source.map(Backup::name).or_else(|| address.map(|(host, _)| host.to_owned()));
        let (source_id, sealed_url) = (source.map(|source| source.id), address.map(|(_, sealed)| sealed));
        let done = sqlx::query!(
            "insert into backups (id, app_id, addon_id, addon_name, number, kind, state, source_id, source_name, by_email, created_at,
                                  sealed_url)
             select ?, ?, ?, ?, (select coalesce(max(number), 0) + 1 from backups where app_id = ?), ?, 'pending', ?, ?, ?, ?, ?
             where (select count(*) from backups where addon_id = ? and state in ('pending', 'running')) < ?",
            id,
            addon.app_id,
            addon.id,
            addon.name,
            addon.app_id,
            kind,
            source_id,
            source_name,
            by_email,
            now,
            sealed_url,
            addon.id,
            most
        );
        Ok(done.execute(self.pool()).await?.rows_affected() > 0)
    }

    /// Begins one that waits. False when it does not wait any more.
    pub async fn begin_backup(&self, id: BackupId, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update backups set state = 'running', attempts = attempts + 1, byte_count = 0, error = null,
                    started_at = coalesce(started_at, ?) where id = ? and state = 'pending'",
            now,
            id
        );
        Ok(done.execute(self.pool()).await?.rows_affected() > 0)
    }

    /// How far it is.
    pub async fn set_backup_progress(&self, id: BackupId, bytes: u64, database_bytes: Option<u64>) -> Result<(), StoreError> {
        let (bytes, database_bytes) = (bytes.cast_signed(), database_bytes.map(u64::cast_signed));
        sqlx::query!(
            "update backups set byte_count = ?, database_bytes = coalesce(?, database_bytes) where id = ?",
            bytes,
            database_bytes,
            id
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// What the dump is that was written.
    pub async fn set_dump_facts(&self, id: BackupId, facts: &DumpFacts) -> Result<(), StoreError> {
        let (bytes, rows) = (facts.bytes.cast_signed(), facts.rows().cast_signed());
        let counts = serde_json::to_string(&facts.counts).unwrap_or_default();
        sqlx::query!(
            "update backups set byte_count = ?, row_count = ?, table_counts = ?, sha256 = ? where id = ?",
            bytes,
            rows,
            counts,
            facts.sha256,
            id
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Every row was found in its place: a dump was restored, or a restore is done.
    pub async fn complete_backup(&self, id: BackupId, rows: u64, now: Timestamp) -> Result<(), StoreError> {
        let rows = rows.cast_signed();
        sqlx::query!(
            "update backups set state = 'completed', row_count = ?, verified_at = ?, error = null, sealed_url = null,
                    finished_at = coalesce(finished_at, ?) where id = ?",
            rows,
            now,
            now,
            id
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// It ends, and why; a dump that was good is not any longer.
    pub async fn end_backup(&self, id: BackupId, state: BackupState, error: &str, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "update backups set state = ?, error = ?, verified_at = null, sealed_url = null, finished_at = coalesce(finished_at, ?)
             where id = ?",
            state,
            error,
            now,
            id
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// It is tried again later.
    pub async fn put_off_backup(&self, id: BackupId, error: &str) -> Result<(), StoreError> {
        sqlx::query!("update backups set state = 'pending', error = ? where id = ? and state = 'running'", error, id)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Those that were cut off by the end of the server wait again.
    pub async fn put_off_all_backups(&self) -> Result<(), StoreError> {
        sqlx::query!("update backups set state = 'pending' where state = 'running'").execute(self.pool()).await?;
        Ok(())
    }

    /// Ends one that waits. False when it does not wait any more.
    pub async fn cancel_waiting_backup(&self, id: BackupId, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update backups set state = 'cancelled', sealed_url = null, finished_at = ? where id = ? and state = 'pending'",
            now,
            id
        );
        Ok(done.execute(self.pool()).await?.rows_affected() > 0)
    }

    pub async fn delete_backup(&self, id: BackupId) -> Result<(), StoreError> {
        sqlx::query!("delete from backups where id = ? and state <> 'running'", id).execute(self.pool()).await?;
        Ok(())
    }

    /// Forgets those of databases that are neither there nor in the bin.
    pub async fn forget_backups_of_the_gone(&self) -> Result<(), StoreError> {
        sqlx::query!(
            "delete from backups where state <> 'running'
                and addon_id not in (select id from addons) and addon_id not in (select addon_id from addon_bin)"
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }
}
