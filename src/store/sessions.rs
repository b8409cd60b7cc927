//! The table `sessions`: browser logins. Of the cookie's token only its SHA-256 is here.

use sqlx::SqliteConnection;

use crate::{
    domain::{SessionId, Timestamp, UserId, user::Session, user::User},
    store::{Reader, StoreError, Writer},
};

/// What a new row is made of.
#[derive(Debug)]
pub struct NewSession<'a> {
    pub token_hash: &'a [u8],
    pub user: UserId,
    pub now: Timestamp,
    pub expires_at: Timestamp,
    pub user_agent: &'a str,
    pub ip: &'a str,
}

impl Reader {
    /// The session of a token and its account.
    pub async fn session(&self, token_hash: &[u8]) -> Result<Option<(Session, User)>, StoreError> {
        let session = sqlx::query_as!(
            Session,
            r#"select id as "id: SessionId", user_id as "user_id: UserId", created_at as "created_at: Timestamp",
                      last_seen_at as "last_seen_at: Timestamp", expires_at as "expires_at: Timestamp", user_agent, ip
               from sessions where token_hash = ?"#,
            token_hash
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(session) = session else { return Ok(None) };
        Ok(self.user(session.user_id).await?.map(|user| (session, user)))
    }

    /// All sessions of an account, latest seen first.
    pub async fn sessions(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        let sessions = sqlx::query_as!(
            Session,
            r#"select id as "id: SessionId", user_id as "user_id: UserId", created_at as "created_at: Timestamp",
                      last_seen_at as "last_seen_at: Timestamp", expires_at as "expires_at: Timestamp", user_agent, ip
               from sessions where user_id = ? order by last_seen_at desc, id desc"#,
            user
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(sessions)
    }
}

impl Writer {
    pub async fn touch_session(&self, id: SessionId, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!("update sessions set last_seen_at = ? where id = ?", now, id).execute(self.pool()).await?;
        Ok(())
    }

    pub async fn delete_session(&self, token_hash: &[u8]) -> Result<(), StoreError> {
        sqlx::query!("delete from sessions where token_hash = ?", token_hash).execute(self.pool()).await?;
        Ok(())
    }

    /// Ends one session of an account; one that is not there is ended already.
    pub async fn delete_session_of(&self, user: UserId, id: SessionId) -> Result<(), StoreError> {
        sqlx::query!("delete from sessions where user_id = ? and id = ?", user, id).execute(self.pool()).await?;
        Ok(())
    }

    /// Removes sessions that ended by `now` or were last seen at or before `idle_since`.
    pub async fn delete_old_sessions(&self, now: Timestamp, idle_since: Timestamp) -> Result<(), StoreError> {
        sqlx::query!("delete from sessions where expires_at <= ? or last_seen_at <= ?", now, idle_since).execute(self.pool()).await?;
        Ok(())
    }
}

pub async fn insert(tx: &mut SqliteConnection, session: &NewSession<'_>) -> Result<(), StoreError> {
    let id = SessionId::new();
    sqlx::query!(
        "insert into sessions (id, token_hash, user_id, created_at, last_seen_at, expires_at, user_agent, ip)
         values (?, ?, ?, ?, ?, ?, ?, ?)",
        id,
        session.token_hash,
        session.user,
        session.now,
        session.now,
        session.expires_at,
        session.user_agent,
        session.ip
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Ends all sessions of an account.
pub async fn delete_all(tx: &mut SqliteConnection, user: UserId) -> Result<(), StoreError> {
    sqlx::query!("delete from sessions where user_id = ?", user).execute(tx).await?;
    Ok(())
}

/// Ends all sessions of an account but one.
pub async fn delete_others(tx: &mut SqliteConnection, user: UserId, kept: &[u8]) -> Result<(), StoreError> {
    sqlx::query!("delete from sessions where user_id = ? and token_hash <> ?", user, kept).execute(tx).await?;
    Ok(())
}
