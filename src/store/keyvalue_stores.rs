//! The table `keyvalue_stores`: what is set of a key-value store.

use crate::{
    domain::AddonId,
    store::{Reader, StoreError, Writer},
};

impl Reader {
    /// What a store does when it is full; None: what its plan says.
    pub async fn eviction_policy(&self, addon: AddonId) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar!("select policy from keyvalue_stores where addon_id = ?", addon).fetch_optional(&self.pool).await?)
    }
}

impl Writer {
    pub async fn set_eviction_policy(&self, addon: AddonId, policy: &str) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into keyvalue_stores (addon_id, policy) values (?, ?) on conflict (addon_id) do update set policy = excluded.policy",
            addon,
            policy
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }
}
