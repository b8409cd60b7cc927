//! The table `app_buildpacks`: what clients named as an app's buildpacks.

use crate::{
    domain::AppId,
    store::{Reader, StoreError, Writer},
};

impl Reader {
    /// In their order.
    pub async fn buildpacks(&self, app: AppId) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query_scalar!("select buildpack from app_buildpacks where app_id = ? order by ordinal", app);
        Ok(rows.fetch_all(&self.pool).await?)
    }
}

impl Writer {
    /// Replaces the whole list.
    pub async fn set_buildpacks(&self, app: AppId, buildpacks: &[String]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query!("delete from app_buildpacks where app_id = ?", app).execute(&mut *tx).await?;
        for (ordinal, buildpack) in (0_i64..).zip(buildpacks) {
            sqlx::query!("insert into app_buildpacks (app_id, ordinal, buildpack) values (?, ?, ?)", app, ordinal, buildpack)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }
}
