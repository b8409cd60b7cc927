//! The table `settings`: one row a key.

use std::collections::BTreeSet;

use sqlx::SqliteConnection;

use crate::{
    domain::{Timestamp, user::SignUp},
    store::{Reader, StoreError, Writer},
};

impl Reader {
    async fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar!("select value from settings where key = ?", key).fetch_optional(&self.pool).await?)
    }

    /// Whether an administrator was ever made.
    pub async fn is_claimed(&self) -> Result<bool, StoreError> {
        Ok(self.setting("claimed_at").await?.is_some())
    }

    /// The ids of the keys that something in the state is sealed with (the four bytes after the format).
    pub async fn sealing_keys(&self) -> Result<BTreeSet<u32>, StoreError> {
        let heads = sqlx::query_scalar!(
            r#"select distinct substr(sealed, 2, 4) as "head!: Vec<u8>" from
               (select sealed from config_sets union all select sealed_password from addons union all select sealed from log_drains
                union all select sealed_password from database_servers)"#
        );
        let heads = heads.fetch_all(&self.pool).await?;
        Ok(heads.into_iter().filter_map(|head| head.try_into().ok().map(u32::from_be_bytes)).collect())
    }

    /// When something was written down last.
    pub async fn newest_event(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(sqlx::query_scalar!(r#"select max(at) as "at?: Timestamp" from events"#).fetch_one(&self.pool).await?)
    }

    /// Who may make an account; closed until somebody says otherwise.
    pub async fn sign_up_mode(&self) -> Result<SignUp, StoreError> {
        Ok(match self.setting("sign_up").await?.as_deref() {
            Some("open") => SignUp::Open,
            Some("invite") => SignUp::Invite,
            _ => SignUp::Closed,
        })
    }
}

impl Writer {
    /// Twelve hexadecimal digits that tell this server's containers from another's on the same
    /// host. Made at the first call and never changed.
    pub async fn instance_id(&self) -> Result<String, StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query!("insert or ignore into settings (key, value) values ('instance_id', lower(hex(randomblob(6))))")
            .execute(&mut *tx)
            .await?;
        let id = sqlx::query_scalar!("select value from settings where key = 'instance_id'").fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Forgets the id: the next call of `instance_id` makes another one.
    pub async fn forget_instance_id(&self) -> Result<(), StoreError> {
        sqlx::query!("delete from settings where key = 'instance_id'").execute(self.pool()).await?;
        Ok(())
    }

    pub async fn set_sign_up_mode(&self, mode: SignUp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        set_sign_up_mode(&mut tx, mode).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Marks the server as claimed; false when it was before.
pub async fn claim(tx: &mut SqliteConnection, now: Timestamp) -> Result<bool, StoreError> {
    let at = now.to_string();
    let done = sqlx::query!("insert or ignore into settings (key, value) values ('claimed_at', ?)", at).execute(tx).await?;
    Ok(done.rows_affected() > 0)
}

pub async fn set_sign_up_mode(tx: &mut SqliteConnection, mode: SignUp) -> Result<(), StoreError> {
    let word = match mode {
        SignUp::Open => "open",
        SignUp::Closed => "closed",
        SignUp::Invite => "invite",
    };
    sqlx::query!("insert into settings (key, value) values ('sign_up', ?) on conflict (key) do update set value = excluded.value", word)
        .execute(tx)
        .await?;
    Ok(())
}
