//! The tables `github_registration` and `github_states`: how this server is known at the git host,
//! and the web flows under way.

use sqlx::SqliteConnection;

use crate::{
    domain::{Timestamp, UserId},
    store::{Reader, StoreError, Writer},
};

/// The one row.
#[derive(Clone, Debug, PartialEq)]
pub struct RegistrationRow {
    /// `oauth` or `app`.
    pub kind: String,
    pub client_id: String,
    pub app_slug: String,
    pub sealed: Vec<u8>,
}

/// A web flow under way.
#[derive(Clone, Debug, PartialEq)]
pub struct StateRow {
    pub browser_hash: Vec<u8>,
    pub user_id: Option<UserId>,
    pub sealed: Vec<u8>,
    pub next: String,
    pub expires_at: Timestamp,
}

impl Reader {
    pub async fn github_registration(&self) -> Result<Option<RegistrationRow>, StoreError> {
        let row = sqlx::query_as!(RegistrationRow, "select kind, client_id, app_slug, sealed from github_registration")
            .fetch_optional(&self.pool)
            .await?;
        Ok(row)
    }
}

impl Writer {
    pub async fn set_github_registration(&self, row: &RegistrationRow, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into github_registration (id, kind, client_id, app_slug, sealed, updated_at) values (1, ?, ?, ?, ?, ?)
             on conflict (id) do update set kind = excluded.kind, client_id = excluded.client_id, app_slug = excluded.app_slug,
                                            sealed = excluded.sealed, updated_at = excluded.updated_at",
            row.kind,
            row.client_id,
            row.app_slug,
            row.sealed,
            now
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    pub async fn delete_github_registration(&self) -> Result<(), StoreError> {
        sqlx::query!("delete from github_registration").execute(self.pool()).await?;
        Ok(())
    }

    /// Notes a web flow; those whose time is over go.
    pub async fn insert_github_state(&self, state_hash: &[u8], row: &StateRow, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query!("delete from github_states where expires_at <= ?", now).execute(&mut *tx).await?;
        sqlx::query!(
            "insert into github_states (state_hash, browser_hash, user_id, sealed, next, expires_at) values (?, ?, ?, ?, ?, ?)",
            state_hash,
            row.browser_hash,
            row.user_id,
            row.sealed,
            row.next,
            row.expires_at
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes a web flow out: it is there once.
    pub async fn take_github_state(&self, state_hash: &[u8]) -> Result<Option<StateRow>, StoreError> {
        let mut tx = self.begin().await?;
        let row = taken(&mut tx, state_hash).await?;
        tx.commit().await?;
        Ok(row)
    }
}

async fn taken(tx: &mut SqliteConnection, state_hash: &[u8]) -> Result<Option<StateRow>, StoreError> {
    let row = sqlx::query_as!(
        StateRow,
        r#"delete from github_states where state_hash = ?
           returning browser_hash as "browser_hash!", user_id as "user_id: UserId", sealed as "sealed!", next as "next!",
                     expires_at as "expires_at!: Timestamp""#,
        state_hash
    )
    .fetch_optional(tx)
    .await?;
    Ok(row)
}
