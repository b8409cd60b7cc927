//! What apps did in slots of ten minutes, as `metrics` writes it.

use crate::{
    domain::AppId,
    store::{Reader, StoreError, Writer},
};

/// One slot of one app.
#[derive(Clone, Debug)]
pub struct UsageSlot {
    pub app_id: AppId,
    /// Ten-minute slots since the epoch.
    pub slot: i64,
    pub data: Vec<u8>,
}

impl Reader {
    /// The slots of an app from this one on, oldest first.
    pub async fn usage_slots(&self, app: AppId, since: i64) -> Result<Vec<UsageSlot>, StoreError> {
        let query = sqlx::query_as!(
            UsageSlot,
            r#"select app_id as "app_id: AppId", slot, data from usage_slots where app_id = ? and slot >= ? order by slot"#,
            app,
            since
        );
        Ok(query.fetch_all(&self.pool).await?)
    }
}

impl Writer {
    /// Adds slots and drops those before `oldest`, in one transaction. An app that is gone is passed over.
    pub async fn keep_usage_slots(&self, slots: &[UsageSlot], oldest: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for UsageSlot { app_id, slot, data } in slots {
            sqlx::query!(
                "insert or replace into usage_slots (app_id, slot, data) select id, ?, ? from apps where id = ?",
                slot,
                data,
                app_id
            )
            .execute(&mut *tx)
            .await?;
        }
        sqlx::query!("delete from usage_slots where slot < ?", oldest).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }
}
