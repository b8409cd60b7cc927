//! The table `one_time_links`: invitations, password resets, second steps of logins. Each works once.

use sqlx::SqliteConnection;

use crate::{
    domain::{Email, Timestamp, UserId},
    store::{Reader, StoreError, Writer},
};

/// What a link is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Purpose {
    /// Makes an account; of this address when it names one.
    Invite { email: Option<Email> },
    /// Sets a new password for this account.
    Reset { user: UserId },
    /// The password of this account was right; its code is wanted.
    SecondStep { user: UserId },
}

struct Row {
    purpose: String,
    user_id: Option<UserId>,
    email: Option<Email>,
}

impl Row {
    /// None: a purpose that this version does not know.
    fn purpose(self) -> Option<Purpose> {
        match (self.purpose.as_str(), self.user_id) {
            ("invite", None) => Some(Purpose::Invite { email: self.email }),
            ("reset", Some(user)) => Some(Purpose::Reset { user }),
            ("second step", Some(user)) => Some(Purpose::SecondStep { user }),
            _ => None,
        }
    }
}

impl Reader {
    /// What a link is good for at `now`; None when it was used, is too old or never was.
    pub async fn one_time_link(&self, token_hash: &[u8], now: Timestamp) -> Result<Option<Purpose>, StoreError> {
        let row = sqlx::query_as!(
            Row,
            r#"select purpose, user_id as "user_id: UserId", email as "email: Email" from one_time_links
               where token_hash = ? and used_at is null and expires_at > ?"#,
            token_hash,
            now
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.and_then(Row::purpose))
    }
}

impl Writer {
    pub async fn insert_one_time_link(
        &self,
        token_hash: &[u8],
        purpose: &Purpose,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let (word, user, email) = match purpose {
            Purpose::Invite { email } => ("invite", None, email.as_ref()),
            Purpose::Reset { user } => ("reset", Some(*user), None),
            Purpose::SecondStep { user } => ("second step", Some(*user), None),
        };
        sqlx::query!(
            "insert into one_time_links (token_hash, purpose, user_id, email, created_at, expires_at) values (?, ?, ?, ?, ?, ?)",
            token_hash,
            word,
            user,
            email,
            now,
            expires_at
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Removes links that ended by `now`.
    pub async fn delete_old_links(&self, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!("delete from one_time_links where expires_at <= ?", now).execute(self.pool()).await?;
        Ok(())
    }
}

/// Uses a link up; None when it is not valid any more.
pub async fn redeem(tx: &mut SqliteConnection, token_hash: &[u8], now: Timestamp) -> Result<Option<Purpose>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        r#"update one_time_links set used_at = ?1 where token_hash = ?2 and used_at is null and expires_at > ?1
           returning purpose, user_id as "user_id: UserId", email as "email: Email""#,
        now,
        token_hash
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.and_then(Row::purpose))
}

/// Makes all open reset links and half-done logins of an account worthless.
pub async fn withdraw_resets(tx: &mut SqliteConnection, user: UserId, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!("update one_time_links set used_at = ? where user_id = ? and used_at is null", now, user).execute(tx).await?;
    Ok(())
}
