//! The table `backup_schedules`: when a database is dumped by itself.

use sqlx::SqliteConnection;

use crate::{
    domain::{AddonId, Timestamp, backup::BackupSchedule},
    store::{Reader, StoreError, Writer},
};

macro_rules! select {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            BackupSchedule,
            r#"select addon_id as "addon_id: AddonId", hour as "hour: u8", time_zone, next_at as "next_at: Timestamp"
               from backup_schedules "# + $condition
            $(, $argument)*
        )
    };
}

impl Reader {
    pub async fn backup_schedule(&self, addon: AddonId) -> Result<Option<BackupSchedule>, StoreError> {
        Ok(select!("where addon_id = ?", addon).fetch_optional(&self.pool).await?)
    }

    /// Those whose time has come.
    pub async fn due_backup_schedules(&self, now: Timestamp) -> Result<Vec<BackupSchedule>, StoreError> {
        Ok(select!("where next_at <= ? order by next_at, addon_id", now).fetch_all(&self.pool).await?)
    }
}

impl Writer {
    pub async fn set_backup_schedule(&self, schedule: &BackupSchedule) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        insert(&mut tx, schedule).await?;
        Ok(tx.commit().await?)
    }

    /// False when there was none.
    pub async fn remove_backup_schedule(&self, addon: AddonId) -> Result<bool, StoreError> {
        let done = sqlx::query!("delete from backup_schedules where addon_id = ?", addon).execute(self.pool()).await?;
        Ok(done.rows_affected() > 0)
    }
}

/// Sets the schedule of a database: part of the transaction that makes one.
pub(super) async fn insert(tx: &mut SqliteConnection, schedule: &BackupSchedule) -> Result<(), StoreError> {
    let BackupSchedule { addon_id, hour, time_zone, next_at } = schedule;
    sqlx::query!(
        "insert into backup_schedules (addon_id, hour, time_zone, next_at) values (?, ?, ?, ?)
         on conflict (addon_id) do update set hour = excluded.hour, time_zone = excluded.time_zone, next_at = excluded.next_at",
        addon_id,
        hour,
        time_zone,
        next_at
    )
    .execute(tx)
    .await?;
    Ok(())
}
