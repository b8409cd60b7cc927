//! The tables `second_factors` and `recovery_codes`.

use sqlx::SqliteConnection;

use crate::{
    domain::{Timestamp, UserId},
    store::{Reader, StoreError},
};

/// A row of `second_factors`.
#[derive(Debug)]
pub struct SecondFactor {
    /// The shared secret in base32, sealed.
    pub sealed: Vec<u8>,
    /// None: it was never proved that the secret arrived.
    pub confirmed_at: Option<Timestamp>,
}

impl Reader {
    pub async fn second_factor(&self, user: UserId) -> Result<Option<SecondFactor>, StoreError> {
        Ok(sqlx::query_as!(
            SecondFactor,
            r#"select sealed, confirmed_at as "confirmed_at: Timestamp" from second_factors where user_id = ?"#,
            user
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// How many recovery codes of an account were not used yet.
    pub async fn recovery_codes_left(&self, user: UserId) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar!("select count(*) from recovery_codes where user_id = ? and used_at is null", user)
            .fetch_one(&self.pool)
            .await?)
    }
}

/// Puts an unconfirmed secret in the place of an unconfirmed one. False: one is confirmed already.
pub async fn propose(tx: &mut SqliteConnection, user: UserId, sealed: &[u8], now: Timestamp) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "insert into second_factors (user_id, sealed, created_at) values (?1, ?2, ?3)
         on conflict (user_id) do update set sealed = ?2, created_at = ?3, last_step = 0 where confirmed_at is null",
        user,
        sealed,
        now
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Uses up the code of a step. False: this step or a later one was used already.
pub async fn use_step(tx: &mut SqliteConnection, user: UserId, step: i64) -> Result<bool, StoreError> {
    let done =
        sqlx::query!("update second_factors set last_step = ?1 where user_id = ?2 and last_step < ?1", step, user).execute(tx).await?;
    Ok(done.rows_affected() > 0)
}

pub async fn confirm(tx: &mut SqliteConnection, user: UserId, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!("update second_factors set confirmed_at = ? where user_id = ?", now, user).execute(tx).await?;
    Ok(())
}

pub async fn remove(tx: &mut SqliteConnection, user: UserId) -> Result<(), StoreError> {
    sqlx::query!("delete from second_factors where user_id = ?", user).execute(&mut *tx).await?;
    sqlx::query!("delete from recovery_codes where user_id = ?", user).execute(tx).await?;
    Ok(())
}

pub async fn insert_recovery_code(tx: &mut SqliteConnection, user: UserId, hash: &[u8]) -> Result<(), StoreError> {
    sqlx::query!("insert into recovery_codes (user_id, code_hash) values (?, ?)", user, hash).execute(tx).await?;
    Ok(())
}

/// Uses a recovery code up. False: it is not one, or was used.
pub async fn use_recovery_code(tx: &mut SqliteConnection, user: UserId, hash: &[u8], now: Timestamp) -> Result<bool, StoreError> {
    let done =
        sqlx::query!("update recovery_codes set used_at = ? where user_id = ? and code_hash = ? and used_at is null", now, user, hash)
            .execute(tx)
            .await?;
    Ok(done.rows_affected() > 0)
}
