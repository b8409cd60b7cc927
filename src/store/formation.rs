//! The table `formation`: how many dynos of each process type shall run.

use crate::{
    domain::{AppId, FormationId, ProcessType, Timestamp},
    store::{Reader, StoreError, Writer},
};

/// A count as stored; its command comes from the slug.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredQuantity {
    pub id: FormationId,
    pub process_type: ProcessType,
    pub quantity: u32,
    pub updated_at: Timestamp,
}

impl Reader {
    pub async fn quantities(&self, app: AppId) -> Result<Vec<StoredQuantity>, StoreError> {
        let rows = sqlx::query_as!(
            StoredQuantity,
            r#"select id as "id: FormationId", process_type as "process_type: ProcessType", quantity as "quantity: u32",
                      updated_at as "updated_at: Timestamp"
               from formation where app_id = ? order by rowid"#,
            app
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }
}

impl Writer {
    /// Makes the formation fit a slug: new types are added with their first count, types that are
    /// gone are dropped, counts of the others stay.
    pub async fn fit_formation(&self, app: AppId, types: &[(ProcessType, u32)], now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let known = sqlx::query_scalar!(r#"select process_type as "process_type: ProcessType" from formation where app_id = ?"#, app)
            .fetch_all(&mut *tx)
            .await?;
        for gone in known.iter().filter(|known| types.iter().all(|(process_type, _)| process_type != *known)) {
            sqlx::query!("delete from formation where app_id = ? and process_type = ?", app, gone).execute(&mut *tx).await?;
        }
        for (process_type, quantity) in types.iter().filter(|(process_type, _)| !known.contains(process_type)) {
            let id = FormationId::new();
            sqlx::query!(
                "insert into formation (app_id, process_type, quantity, updated_at, id) values (?, ?, ?, ?, ?)",
                app,
                process_type,
                quantity,
                now,
                id
            )
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Sets counts, all or none.
    pub async fn set_quantities(&self, app: AppId, changes: &[(ProcessType, u32)], now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for (process_type, quantity) in changes {
            sqlx::query!(
                "update formation set quantity = ?, updated_at = ? where app_id = ? and process_type = ?",
                quantity,
                now,
                app,
                process_type
            )
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }
}
