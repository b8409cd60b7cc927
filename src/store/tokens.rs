//! The table `tokens`: API tokens. Only the SHA-256 of a secret is here, and its first characters.

use crate::{
    domain::{Timestamp, TokenId, UserId, user::Token, user::User},
    store::{Reader, StoreError, Writer},
};

macro_rules! select {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            Token,
            r#"select id as "id: TokenId", user_id as "user_id: UserId", description, prefix, created_at as "created_at: Timestamp",
                      expires_at as "expires_at: Timestamp", last_used_at as "last_used_at: Timestamp"
               from tokens "# + $condition
            $(, $argument)*
        )
    };
}

impl Reader {
    /// The token with this hash and its account.
    pub async fn token(&self, token_hash: &[u8]) -> Result<Option<(Token, User)>, StoreError> {
        let Some(token) = select!("where token_hash = ?", token_hash).fetch_optional(&self.pool).await? else { return Ok(None) };
        Ok(self.user(token.user_id).await?.map(|user| (token, user)))
    }

    /// All tokens of an account, newest first.
    pub async fn tokens(&self, user: UserId) -> Result<Vec<Token>, StoreError> {
        Ok(select!("where user_id = ? order by id desc", user).fetch_all(&self.pool).await?)
    }
}

impl Writer {
    pub async fn insert_token(&self, token: &Token, token_hash: &[u8]) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into tokens (id, user_id, description, token_hash, prefix, created_at, expires_at) values (?, ?, ?, ?, ?, ?, ?)",
            token.id,
            token.user_id,
            token.description,
            token_hash,
            token.prefix,
            token.created_at,
            token.expires_at
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    pub async fn touch_token(&self, id: TokenId, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!("update tokens set last_used_at = ? where id = ?", now, id).execute(self.pool()).await?;
        Ok(())
    }

    /// Nothing happens when the account has no such token.
    pub async fn describe_token(&self, user: UserId, id: TokenId, description: &str) -> Result<(), StoreError> {
        let query = sqlx::query!("update tokens set description = ? where user_id = ? and id = ?", description, user, id);
        query.execute(self.pool()).await?;
        Ok(())
    }

    /// Nothing happens when the account has no such token.
    pub async fn replace_token(&self, user: UserId, id: TokenId, token_hash: &[u8], prefix: &str) -> Result<(), StoreError> {
        let query = sqlx::query!("update tokens set token_hash = ?, prefix = ? where user_id = ? and id = ?", token_hash, prefix, user, id);
        query.execute(self.pool()).await?;
        Ok(())
    }

    /// False: the account has no such token.
    pub async fn delete_token(&self, user: UserId, id: TokenId) -> Result<bool, StoreError> {
        let done = sqlx::query!("delete from tokens where user_id = ? and id = ?", user, id).execute(self.pool()).await?;
        Ok(done.rows_affected() > 0)
    }
}
