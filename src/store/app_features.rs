//! Features of an app that are switched on.

use std::collections::HashSet;

use crate::{
    domain::{AppId, Timestamp, feature::Feature},
    store::{Reader, StoreError, Writer},
};

impl Reader {
    /// The apps that have this feature on.
    pub async fn apps_with_feature(&self, feature: Feature) -> Result<HashSet<AppId>, StoreError> {
        let name = feature.as_str();
        let rows = sqlx::query!(r#"select app_id as "app_id: AppId" from app_features where name = ?"#, name).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|row| row.app_id).collect())
    }

    /// The features an app has on, by name, with the moment they were switched on.
    pub async fn app_features(&self, app: AppId) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let rows = sqlx::query!(r#"select name, enabled_at as "at: Timestamp" from app_features where app_id = ? order by name"#, app)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(|row| (row.name, row.at)).collect())
    }
}

impl Writer {
    /// Switches a feature on or off; so already is fine.
    pub async fn set_app_feature(&self, app: AppId, feature: Feature, enabled: bool, now: Timestamp) -> Result<(), StoreError> {
        let name = feature.as_str();
        if enabled {
            sqlx::query!("insert or ignore into app_features (app_id, name, enabled_at) values (?, ?, ?)", app, name, now)
                .execute(self.pool())
                .await?;
        } else {
            sqlx::query!("delete from app_features where app_id = ? and name = ?", app, name).execute(self.pool()).await?;
        }
        Ok(())
    }
}
