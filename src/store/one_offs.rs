//! The table `one_offs`: one-off dynos that wait for their client or run.

use crate::{
    domain::{AppId, DynoId, DynoName, ProcessType, ReleaseId, Timestamp, UserId},
    store::{Reader, StoreError, Writer},
};

/// One row.
#[derive(Clone, Debug)]
pub struct OneOffRow {
    pub id: DynoId,
    pub app_id: AppId,
    pub release_id: ReleaseId,
    pub process_type: ProcessType,
    pub number: i64,
    pub command: String,
    /// It belonged to a client.
    pub attached: bool,
    pub user_id: UserId,
    pub created_at: Timestamp,
    pub ends_at: Timestamp,
}

impl OneOffRow {
    pub fn name(&self) -> DynoName {
        DynoName { process_type: self.process_type.clone(), number: u32::try_from(self.number).unwrap_or(1) }
    }
}

impl Reader {
    /// All rows, oldest first.
    pub async fn one_offs(&self) -> Result<Vec<OneOffRow>, StoreError> {
        let rows = sqlx::query_as!(
            OneOffRow,
            r#"select id as "id: DynoId", app_id as "app_id: AppId", release_id as "release_id: ReleaseId",
                      process_type as "process_type: ProcessType", number, command, streams is not null as "attached!: bool",
                      user_id as "user_id: UserId", created_at as "created_at: Timestamp", ends_at as "ends_at: Timestamp"
               from one_offs order by created_at, id"#
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }
}

impl Writer {
    pub async fn insert_one_off(&self, row: &OneOffRow, streams: Option<&str>) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into one_offs (id, app_id, release_id, process_type, number, command, streams, user_id, created_at, ends_at)
             values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row.id,
            row.app_id,
            row.release_id,
            row.process_type,
            row.number,
            row.command,
            streams,
            row.user_id,
            row.created_at,
            row.ends_at
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    pub async fn delete_one_off(&self, id: DynoId) -> Result<(), StoreError> {
        sqlx::query!("delete from one_offs where id = ?", id).execute(self.pool()).await?;
        Ok(())
    }
}
