//! The table `config_sets`: sealed snapshots of config vars. Only ciphertext passes here.

use sqlx::{Sqlite, Transaction};

use crate::{
    domain::{AppId, ConfigSetId, ReleaseId, Timestamp},
    store::{Reader, StoreError},
};

/// A snapshot as stored.
#[derive(Clone, Debug)]
pub struct SealedConfig {
    pub id: ConfigSetId,
    pub app_id: AppId,
    pub sealed: Vec<u8>,
}

impl SealedConfig {
    /// The place a snapshot is sealed for: it opens nowhere else.
    pub fn place(app: AppId, id: ConfigSetId) -> String {
        format!("config_sets|{app}|{id}")
    }
}

impl Reader {
    /// The snapshot of a release.
    pub async fn config_of_release(&self, release: ReleaseId) -> Result<Option<SealedConfig>, StoreError> {
        let config = sqlx::query_as!(
            SealedConfig,
            r#"select c.id as "id: ConfigSetId", c.app_id as "app_id: AppId", c.sealed
               from releases r join config_sets c on c.id = r.config_set_id where r.id = ?"#,
            release
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(config)
    }
}

/// Part of the transaction that writes a release.
pub(super) async fn insert(tx: &mut Transaction<'static, Sqlite>, config: &SealedConfig, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into config_sets (id, app_id, sealed, created_at) values (?, ?, ?, ?)",
        config.id,
        config.app_id,
        config.sealed,
        now
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The snapshot the next release builds on, read under the write lock.
pub(super) async fn current(tx: &mut Transaction<'static, Sqlite>, app: AppId) -> Result<Option<SealedConfig>, StoreError> {
    let config = sqlx::query_as!(
        SealedConfig,
        r#"select c.id as "id: ConfigSetId", c.app_id as "app_id: AppId", c.sealed
           from apps a join releases r on r.app_id = a.id join config_sets c on c.id = r.config_set_id
           where a.id = ? and (r.id = a.current_release_id or r.status = 'pending') order by r.version desc limit 1"#,
        app
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(config)
}
