//! The table `database_servers`: the superusers' passwords, sealed.

use crate::{
    domain::Timestamp,
    store::{Reader, StoreError, Writer},
};

/// The place a superuser's password is sealed for.
pub fn superuser_place(server: &str) -> String {
    format!("database_servers|{server}")
}

impl Reader {
    pub async fn superuser_password(&self, server: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(sqlx::query_scalar!("select sealed_password from database_servers where name = ?", server).fetch_optional(&self.pool).await?)
    }
}

impl Writer {
    /// Keeps the password that is there: the first one given to a server stays its own.
    pub async fn keep_superuser_password(&self, server: &str, sealed: &[u8], now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!("insert or ignore into database_servers (name, sealed_password, created_at) values (?, ?, ?)", server, sealed, now)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}
