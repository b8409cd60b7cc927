//! The table `sources`: places to upload to, with the hashes of their two capabilities.

use crate::{
    domain::{AppId, SourceId, Timestamp, UserId},
    store::{Reader, StoreError, Writer},
};

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub id: SourceId,
    /// None: any app of its user.
    pub app_id: Option<AppId>,
    pub user_id: Option<UserId>,
    pub uploaded_at: Option<Timestamp>,
    pub expires_at: Timestamp,
}

/// What a new row is made of.
#[derive(Clone, Debug)]
pub struct NewSourceRow {
    pub id: SourceId,
    pub app_id: Option<AppId>,
    pub user_id: UserId,
    pub put_hash: Vec<u8>,
    pub get_hash: Vec<u8>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

macro_rules! select {
    ($condition:literal, $argument:expr) => {
        sqlx::query_as!(
            Source,
            r#"select id as "id: SourceId", app_id as "app_id: AppId", user_id as "user_id: UserId",
                      uploaded_at as "uploaded_at: Timestamp", expires_at as "expires_at: Timestamp"
               from sources "#
                + $condition,
            $argument
        )
    };
}

impl Reader {
    pub async fn source(&self, id: SourceId) -> Result<Option<Source>, StoreError> {
        Ok(select!("where id = ?", id).fetch_optional(&self.pool).await?)
    }

    /// The source a put_url names.
    pub async fn source_by_put(&self, hash: &[u8]) -> Result<Option<Source>, StoreError> {
        Ok(select!("where put_hash = ?", hash).fetch_optional(&self.pool).await?)
    }

    /// The source a get_url names.
    pub async fn source_by_get(&self, hash: &[u8]) -> Result<Option<Source>, StoreError> {
        Ok(select!("where get_hash = ?", hash).fetch_optional(&self.pool).await?)
    }

    /// Sources that are over: past their time and wanted by no build that waits or runs.
    pub async fn spent_sources(&self, now: Timestamp) -> Result<Vec<SourceId>, StoreError> {
        let ids = sqlx::query_scalar!(
            r#"select id as "id: SourceId" from sources where expires_at <= ?
               and id not in (select source_id from builds where source_id is not null and status in ('queued', 'running'))"#,
            now
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids)
    }
}

impl Writer {
    pub async fn insert_source(&self, row: &NewSourceRow) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into sources (id, app_id, user_id, put_hash, get_hash, created_at, expires_at) values (?, ?, ?, ?, ?, ?, ?)",
            row.id,
            row.app_id,
            row.user_id,
            row.put_hash,
            row.get_hash,
            row.created_at,
            row.expires_at
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Notes the upload; false when one was noted before.
    pub async fn mark_uploaded(&self, id: SourceId, size: i64, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query!("update sources set size = ?, uploaded_at = ? where id = ? and uploaded_at is null", size, now, id)
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    pub async fn delete_source(&self, id: SourceId) -> Result<(), StoreError> {
        sqlx::query!("delete from sources where id = ?", id).execute(self.pool()).await?;
        Ok(())
    }
}
