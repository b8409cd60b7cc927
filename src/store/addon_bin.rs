//! The table `addon_bin`: destroyed add-ons whose databases are still there.

use sqlx::SqliteConnection;

use crate::{
    domain::{AddonId, AppId, Timestamp, UserId, user::Actor},
    store::{Reader, StoreError, Writer, addon_attachments, addon_attachments::NewAttachment},
};

/// A destroyed add-on.
#[derive(Clone, Debug, PartialEq)]
pub struct Binned {
    pub addon_id: AddonId,
    pub name: String,
    pub service: String,
    pub plan: String,
    pub role: String,
    pub database: String,
    pub owner_id: UserId,
    /// The app it belonged to.
    pub app_name: String,
    pub destroyed_at: Timestamp,
    pub purge_at: Timestamp,
}

macro_rules! select {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            Binned,
            r#"select addon_id as "addon_id: AddonId", name, service, plan, role_name as role, database_name as "database",
                      owner_id as "owner_id: UserId", app_name, destroyed_at as "destroyed_at: Timestamp", purge_at as "purge_at: Timestamp"
               from addon_bin "# + $condition
            $(, $argument)*
        )
    };
}

impl Reader {
    /// What an account has in the bin, newest first.
    pub async fn binned_of(&self, owner: UserId) -> Result<Vec<Binned>, StoreError> {
        Ok(select!("where owner_id = ? order by destroyed_at desc", owner).fetch_all(&self.pool).await?)
    }

    /// One of the bin.
    pub async fn binned(&self, addon: AddonId) -> Result<Option<Binned>, StoreError> {
        Ok(select!("where addon_id = ?", addon).fetch_optional(&self.pool).await?)
    }

    /// What is due to be dropped for good.
    pub async fn binned_before(&self, now: Timestamp) -> Result<Vec<Binned>, StoreError> {
        Ok(select!("where purge_at <= ? order by purge_at", now).fetch_all(&self.pool).await?)
    }
}

impl Writer {
    pub async fn forget_binned(&self, addon: AddonId) -> Result<(), StoreError> {
        sqlx::query!("delete from addon_bin where addon_id = ?", addon).execute(self.pool()).await?;
        Ok(())
    }

    /// Takes an add-on out of the bin for an app, to be provisioned again over what is there.
    /// False when it is not there any more.
    pub async fn take_from_bin(
        &self,
        (addon, app, now): (AddonId, AppId, Timestamp),
        by: &Actor,
        attachment: Option<&NewAttachment<'_>>,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        if !take(&mut tx, addon, (app, by), now).await? {
            return Ok(false);
        }
        if let Some(attachment) = attachment {
            addon_attachments::insert(&mut tx, attachment).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}

/// Part of the transactions that bring an add-on back, to be provisioned again. False when it is not
/// in the bin.
pub(super) async fn take(
    tx: &mut SqliteConnection,
    addon: AddonId,
    (app, by): (AppId, &Actor),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (user, email) = (by.id, by.email.as_str());
    let done = sqlx::query!(
        "insert into addons (id, app_id, name, service, plan, state, role_name, database_name, sealed_password, user_id, user_email,
                             created_at, updated_at)
         select addon_id, ?, name, service, plan, 'provisioning', role_name, database_name, sealed_password, ?, ?, ?, ?
         from addon_bin where addon_id = ?",
        app,
        user,
        email,
        now,
        now,
        addon
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("delete from addon_bin where addon_id = ?", addon).execute(&mut *tx).await?;
    sqlx::query!(
        "insert into backup_schedules (addon_id, hour, time_zone, next_at)
         select id, 3, 'UTC', ? from addons where id = ? and service = 'heroku-postgresql' on conflict do nothing",
        now,
        addon
    )
    .execute(&mut *tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Part of the transaction that ends an add-on. A password that was being rotated may be either.
pub(super) async fn insert(tx: &mut SqliteConnection, addon: AddonId, now: Timestamp, purge_at: Timestamp) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into addon_bin (addon_id, name, service, plan, role_name, database_name, sealed_password, owner_id, app_name, destroyed_at,
                                purge_at)
         select d.id, d.name, d.service, d.plan, d.role_name, d.database_name, coalesce(d.sealed_next_password, d.sealed_password),
                a.owner_id, coalesce(b.name, a.name), ?, ?
         from addons d join apps a on a.id = d.app_id left join app_bin b on b.app_id = a.id where d.id = ?",
        now,
        purge_at,
        addon
    )
    .execute(tx)
    .await?;
    Ok(())
}
