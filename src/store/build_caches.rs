//! The table `build_caches`: when the build cache of an app was last cleared.

use crate::{
    domain::{AppId, Timestamp},
    store::{Reader, StoreError, Writer},
};

impl Reader {
    /// When the build cache of an app was last cleared; None: never.
    pub async fn build_cache_cleared(&self, app: AppId) -> Result<Option<Timestamp>, StoreError> {
        let row = sqlx::query_scalar!(r#"select cleared_at as "at: Timestamp" from build_caches where app_id = ?"#, app);
        Ok(row.fetch_optional(&self.pool).await?)
    }
}

impl Writer {
    /// What was installed for an app until now is not used by its next build.
    pub async fn clear_build_cache(&self, app: AppId, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into build_caches (app_id, cleared_at) values (?, ?) on conflict (app_id) do update set cleared_at = excluded.cleared_at",
            app,
            now
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }
}
