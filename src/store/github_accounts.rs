//! The table `github_accounts`: people's accounts at the git host, tokens sealed.

use crate::{
    domain::{Timestamp, UserId},
    store::{Reader, StoreError, Writer},
};

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountRow {
    pub user_id: UserId,
    /// The account's id at the host.
    pub host_id: i64,
    pub login: String,
    pub scopes: String,
    pub sealed: Vec<u8>,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

macro_rules! select {
    ($condition:literal, $argument:expr) => {
        sqlx::query_as!(
            AccountRow,
            r#"select user_id as "user_id: UserId", host_id, login, scopes, sealed, expires_at as "expires_at: Timestamp",
                      revoked_at as "revoked_at: Timestamp"
               from github_accounts "#
                + $condition,
            $argument
        )
    };
}

impl Reader {
    pub async fn github_account(&self, user: UserId) -> Result<Option<AccountRow>, StoreError> {
        Ok(select!("where user_id = ?", user).fetch_optional(&self.pool).await?)
    }

    /// Whose account of the host has that name: who connected last, if it has changed hands.
    pub async fn github_account_by_login(&self, login: &str) -> Result<Option<AccountRow>, StoreError> {
        Ok(select!("where login = ? collate nocase order by updated_at desc limit 1", login).fetch_optional(&self.pool).await?)
    }

    /// Whose account of the host it is.
    pub async fn github_account_by_host(&self, host_id: i64) -> Result<Option<AccountRow>, StoreError> {
        Ok(select!("where host_id = ?", host_id).fetch_optional(&self.pool).await?)
    }
}

impl Writer {
    /// A host account that is somebody else's here is a unique violation on `github_accounts.host_id`.
    pub async fn set_github_account(&self, row: &AccountRow, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into github_accounts (user_id, host_id, login, scopes, sealed, expires_at, revoked_at, updated_at)
             values (?, ?, ?, ?, ?, ?, null, ?)
             on conflict (user_id) do update set host_id = excluded.host_id, login = excluded.login, scopes = excluded.scopes,
                 sealed = excluded.sealed, expires_at = excluded.expires_at, revoked_at = null, updated_at = excluded.updated_at",
            row.user_id,
            row.host_id,
            row.login,
            row.scopes,
            row.sealed,
            row.expires_at,
            now
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Notes that the host does not accept the token any more.
    pub async fn revoke_github_account(&self, user: UserId, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!("update github_accounts set revoked_at = coalesce(revoked_at, ?) where user_id = ?", now, user)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    pub async fn delete_github_account(&self, user: UserId) -> Result<(), StoreError> {
        sqlx::query!("delete from github_accounts where user_id = ?", user).execute(self.pool()).await?;
        Ok(())
    }
}
