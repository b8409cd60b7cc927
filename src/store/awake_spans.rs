//! The table `awake_spans`: when an app was awake.

use crate::{
    domain::{AppId, Timestamp, quota::Span},
    store::{Reader, StoreError, Writer},
};

impl Reader {
    /// Spans that reach into the time since `since`, oldest first.
    pub async fn awake_spans(&self, app: AppId, since: Timestamp) -> Result<Vec<Span>, StoreError> {
        let spans = sqlx::query_as!(
            Span,
            r#"select started_at as "from: Timestamp", ended_at as "to: Timestamp" from awake_spans
               where app_id = ? and (ended_at is null or ended_at > ?) order by started_at, id"#,
            app,
            since
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(spans)
    }
}

impl Writer {
    /// Begins a span; one that is open already goes on.
    pub async fn begin_awake_span(&self, app: AppId, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into awake_spans (app_id, started_at)
             select ?, ? where not exists (select 1 from awake_spans where app_id = ? and ended_at is null)",
            app,
            now,
            app
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Ends the open span, if there is one; never before its start.
    pub async fn end_awake_span(&self, app: AppId, at: Timestamp) -> Result<(), StoreError> {
        sqlx::query!("update awake_spans set ended_at = max(started_at, ?) where app_id = ? and ended_at is null", at, app)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}
