//! The table `users`. Addresses are compared without case; the hash of a password never leaves
//! together with an account unless asked for.

use sqlx::SqliteConnection;

use crate::{
    domain::{Email, Timestamp, UserId, user::User},
    store::{Reader, StoreError, Writer},
};

/// What a new row is made of.
#[derive(Debug)]
pub struct NewUser<'a> {
    pub id: UserId,
    pub email: &'a Email,
    /// argon2id, PHC string; None: nobody can log in.
    pub password_hash: Option<&'a str>,
    pub admin: bool,
    pub system: bool,
    pub now: Timestamp,
}

macro_rules! select {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            User,
            r#"select u.id as "id: UserId", u.email as "email: Email", u.name, u.admin as "admin: bool", u.system as "system: bool",
                      u.language, u.theme, u.created_at as "created_at: Timestamp", u.updated_at as "updated_at: Timestamp",
                      u.suspended_at as "suspended_at: Timestamp"
               from users u "# + $condition
            $(, $argument)*
        )
    };
}

impl Reader {
    pub async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        Ok(select!("where u.id = ?", id).fetch_optional(&self.pool).await?)
    }

    pub async fn user_by_email(&self, email: &Email) -> Result<Option<User>, StoreError> {
        Ok(select!("where u.email = ?", email).fetch_optional(&self.pool).await?)
    }

    /// The account that owns the example until the claim.
    pub async fn system_user(&self) -> Result<Option<User>, StoreError> {
        Ok(select!("where u.system = 1").fetch_optional(&self.pool).await?)
    }

    /// All accounts of people, by address.
    pub async fn users(&self) -> Result<Vec<User>, StoreError> {
        Ok(select!("where u.system = 0 order by u.email").fetch_all(&self.pool).await?)
    }

    /// The argon2id hash of an account that can log in.
    pub async fn password_hash(&self, user: UserId) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar!("select password_hash from users where id = ?", user).fetch_optional(&self.pool).await?.flatten())
    }
}

impl Writer {
    pub async fn set_name(&self, user: UserId, name: &str, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!("update users set name = ?, updated_at = ? where id = ?", name, now, user).execute(self.pool()).await?;
        Ok(())
    }

    pub async fn set_language(&self, user: UserId, language: Option<&str>, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!("update users set language = ?, updated_at = ? where id = ?", language, now, user).execute(self.pool()).await?;
        Ok(())
    }

    pub async fn set_theme(&self, user: UserId, theme: Option<&str>, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!("update users set theme = ?, updated_at = ? where id = ?", theme, now, user).execute(self.pool()).await?;
        Ok(())
    }
}

/// Inserts an account. A taken address is a unique violation on `users.email`.
pub async fn insert(tx: &mut SqliteConnection, user: &NewUser<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into users (id, email, password_hash, admin, system, created_at, updated_at) values (?, ?, ?, ?, ?, ?, ?)",
        user.id,
        user.email,
        user.password_hash,
        user.admin,
        user.system,
        user.now,
        user.now
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The account as this transaction sees it.
pub async fn load(tx: &mut SqliteConnection, id: UserId) -> Result<User, StoreError> {
    Ok(select!("where u.id = ?", id).fetch_one(tx).await?)
}

pub async fn set_password_hash(tx: &mut SqliteConnection, user: UserId, hash: &str, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!("update users set password_hash = ?, updated_at = ? where id = ?", hash, now, user).execute(tx).await?;
    Ok(())
}

/// None lifts the suspension. False: no such account.
pub async fn set_suspended(tx: &mut SqliteConnection, user: UserId, at: Option<Timestamp>, now: Timestamp) -> Result<bool, StoreError> {
    let done =
        sqlx::query!("update users set suspended_at = ?, updated_at = ? where id = ? and system = 0", at, now, user).execute(tx).await?;
    Ok(done.rows_affected() > 0)
}

/// Gives the apps of the system account to a person.
pub async fn hand_over_system_apps(tx: &mut SqliteConnection, to: UserId, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query!("update apps set owner_id = ?, updated_at = ? where owner_id in (select id from users where system = 1)", to, now)
        .execute(tx)
        .await?;
    Ok(())
}
