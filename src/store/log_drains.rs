//! The table `log_drains`: where log lines are sent. Only sealed addresses pass here.

use crate::{
    domain::{AppId, DrainId, Timestamp},
    store::{Reader, StoreError, Writer},
};

/// One row.
#[derive(Clone, Debug)]
pub struct DrainRow {
    pub id: DrainId,
    pub app_id: AppId,
    pub sealed: Vec<u8>,
    pub token: String,
    pub created_at: Timestamp,
}

impl DrainRow {
    /// The place an address is sealed for: it opens nowhere else.
    pub fn place(app: AppId, id: DrainId) -> String {
        format!("log_drains|{app}|{id}")
    }
}

macro_rules! select {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            DrainRow,
            r#"select id as "id: DrainId", app_id as "app_id: AppId", sealed, token, created_at as "created_at: Timestamp"
               from log_drains "#
                + $condition
            $(, $argument)*
        )
    };
}

impl Reader {
    /// The drains of an app, oldest first.
    pub async fn drains_of(&self, app: AppId) -> Result<Vec<DrainRow>, StoreError> {
        Ok(select!("where app_id = ? order by id", app).fetch_all(&self.pool).await?)
    }

    /// All drains there are.
    pub async fn drains(&self) -> Result<Vec<DrainRow>, StoreError> {
        Ok(select!("order by id").fetch_all(&self.pool).await?)
    }
}

impl Writer {
    pub async fn insert_drain(&self, row: &DrainRow) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into log_drains (id, app_id, sealed, token, created_at) values (?, ?, ?, ?, ?)",
            row.id,
            row.app_id,
            row.sealed,
            row.token,
            row.created_at
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    pub async fn delete_drain(&self, id: DrainId) -> Result<(), StoreError> {
        sqlx::query!("delete from log_drains where id = ?", id).execute(self.pool()).await?;
        Ok(())
    }
}
