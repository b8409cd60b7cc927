//! The table `domains`: host names of apps' own.

use crate::{
    domain::{AppId, DomainId, Timestamp, hostname::Domain},
    store::{Reader, StoreError, Writer},
};

impl Reader {
    /// The host names of an app's own, in the order of the alphabet.
    pub async fn domains(&self, app: AppId) -> Result<Vec<Domain>, StoreError> {
        let rows = sqlx::query_as!(
            Domain,
            r#"select id as "id: DomainId", app_id as "app_id: AppId", hostname, created_at as "created_at: Timestamp",
                      updated_at as "updated_at: Timestamp"
               from domains where app_id = ? order by hostname"#,
            app
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// All apps' host names.
    pub async fn all_domains(&self) -> Result<Vec<(AppId, String)>, StoreError> {
        let rows = sqlx::query!(r#"select app_id as "app_id: AppId", hostname from domains"#).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(|row| (row.app_id, row.hostname)).collect())
    }
}

impl Writer {
    /// A taken name is a unique violation on `domains.hostname`.
    pub async fn insert_domain(&self, domain: &Domain) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into domains (id, app_id, hostname, created_at, updated_at) values (?, ?, ?, ?, ?)",
            domain.id,
            domain.app_id,
            domain.hostname,
            domain.created_at,
            domain.updated_at
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    pub async fn delete_domain(&self, domain: DomainId) -> Result<(), StoreError> {
        sqlx::query!("delete from domains where id = ?", domain).execute(self.pool()).await?;
        Ok(())
    }
}
