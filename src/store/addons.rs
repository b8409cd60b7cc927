//! The table `addons`.

use crate::{
    domain::{
        AddonId, AppId, AppName, Timestamp, UserId,
        addon::{Addon, AddonState, RowAccount},
        backup::BackupSchedule,
        user::Actor,
    },
    store::{Reader, StoreError, Writer, addon_attachments, addon_attachments::NewAttachment, addon_bin, backup_schedules},
};

/// What a new row is made of. The password is sealed for `Addon::place`.
#[derive(Clone, Debug)]
pub struct NewAddon<'a> {
    pub id: AddonId,
    pub app: AppId,
    pub name: &'a str,
    pub service: &'a str,
    pub plan: &'a str,
    pub role: &'a str,
    pub database: &'a str,
    pub sealed_password: Vec<u8>,
    /// When it is dumped by itself.
    pub backups: Option<BackupSchedule>,
    pub by: &'a Actor,
    pub now: Timestamp,
}

/// The sealed passwords of an add-on.
#[derive(Clone, Debug)]
pub struct SealedPasswords {
    pub current: Vec<u8>,
    /// While it is being rotated.
    pub next: Option<Vec<u8>>,
}

/// The place a password is sealed for: it opens nowhere else.
pub fn password_place(addon: AddonId) -> String {
    format!("addons|{addon}")
}

struct Row {
    id: AddonId,
    app_id: AppId,
    app_name: AppName,
    name: String,
    service: String,
    plan: String,
    state: AddonState,
    role: String,
    database: String,
    error: Option<String>,
    row_count: i64,
    byte_count: i64,
    tables: u32,
    counted_at: Option<Timestamp>,
    warned: u32,
    over_since: Option<Timestamp>,
    locked_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Row> for Addon {
    fn from(row: Row) -> Addon {
        let Row { id, app_id, app_name, name, service, plan, state, role, database, error, .. } = row;
        let Row { tables, counted_at, warned, over_since, locked_at, created_at, updated_at, .. } = row;
        let account = RowAccount { rows: row.row_count.unsigned_abs(), warned, over_since, locked_at };
        let bytes = row.byte_count.unsigned_abs();
        Addon {
            id,
            app_id,
            app_name,
            name,
            service,
            plan,
            state,
            role,
            database,
            error,
            account,
            bytes,
            tables,
            counted_at,
            created_at,
            updated_at,
        }
    }
}

macro_rules! select {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            Row,
            r#"select d.id as "id: AddonId", d.app_id as "app_id: AppId", a.name as "app_name: AppName", d.name, d.service, d.plan,
                      d.state as "state: AddonState", d.role_name as role, d.database_name as "database", d.error, d.row_count,
                      d.byte_count, d.table_count as "tables: u32", d.counted_at as "counted_at: Timestamp", d.warned as "warned: u32",
                      d.over_since as "over_since: Timestamp", d.locked_at as "locked_at: Timestamp",
                      d.created_at as "created_at: Timestamp", d.updated_at as "updated_at: Timestamp"
               from addons d join apps a on a.id = d.app_id "# + $condition
            $(, $argument)*
        )
    };
}

impl Reader {
    pub async fn addon(&self, id: AddonId) -> Result<Option<Addon>, StoreError> {
        Ok(select!("where d.id = ?", id).fetch_optional(&self.pool).await?.map(Addon::from))
    }

    /// Add-ons an app owns, oldest first, without those on their way into the bin.
    pub async fn addons_of_app(&self, app: AppId) -> Result<Vec<Addon>, StoreError> {
        let rows = select!("where d.app_id = ? and d.state <> 'deprovisioning' order by d.created_at, d.id", app);
        Ok(rows.fetch_all(&self.pool).await?.into_iter().map(Addon::from).collect())
    }

    /// Every add-on there is.
    pub async fn addons(&self) -> Result<Vec<Addon>, StoreError> {
        Ok(select!("order by d.created_at, d.id").fetch_all(&self.pool).await?.into_iter().map(Addon::from).collect())
    }

    /// Add-ons something has still to be done for.
    pub async fn unsettled_addons(&self) -> Result<Vec<Addon>, StoreError> {
        let rows = select!(
            "where d.state <> 'provisioned'
                or exists (select 1 from addon_attachments t where t.addon_id = d.id and t.state in ('attaching', 'detaching'))
             order by d.created_at, d.id"
        );
        Ok(rows.fetch_all(&self.pool).await?.into_iter().map(Addon::from).collect())
    }

    /// Who asked for an add-on, where that account is still there.
    pub async fn addon_actor(&self, id: AddonId) -> Result<Option<Actor>, StoreError> {
        let row = sqlx::query!(
            r#"select u.id as "id: UserId", u.email as "email: crate::domain::Email" from addons d join users u on u.id = d.user_id where d.id = ?"#,
            id
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| Actor { id: row.id, email: row.email }))
    }

    pub async fn addon_passwords(&self, id: AddonId) -> Result<Option<SealedPasswords>, StoreError> {
        let row = sqlx::query_as!(
            SealedPasswords,
            "select sealed_password as current, sealed_next_password as next from addons where id = ?",
            id
        );
        Ok(row.fetch_optional(&self.pool).await?)
    }
}

impl Writer {
    /// An add-on and its first attachment where it has one, or neither. False when the app has `limit` add-ons.
    pub async fn add_addon(&self, new: &NewAddon<'_>, attachment: Option<&NewAttachment<'_>>, limit: u32) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let (user, email) = (new.by.id, new.by.email.as_str());
        let done = sqlx::query!(
            "insert into addons (id, app_id, name, service, plan, state, role_name, database_name, sealed_password, user_id, user_email,
                                 created_at, updated_at)
             select ?, ?, ?, ?, ?, 'provisioning', ?, ?, ?, ?, ?, ?, ?
             where (select count(*) from addons where app_id = ?) < ?",
            new.id,
            new.app,
            new.name,
            new.service,
            new.plan,
            new.role,
            new.database,
            new.sealed_password,
            user,
            email,
            new.now,
            new.now,
            new.app,
            limit
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        if let Some(attachment) = attachment {
            addon_attachments::insert(&mut tx, attachment).await?;
        }
        if let Some(schedule) = &new.backups {
            backup_schedules::insert(&mut tx, schedule).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    pub async fn set_addon_state(&self, id: AddonId, state: AddonState, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "update addons set state = ?, error = null, updated_at = ? where id = ? and state <> 'deprovisioning'",
            state,
            now,
            id
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Why the last try did not work.
    pub async fn set_addon_error(&self, id: AddonId, error: &str) -> Result<(), StoreError> {
        sqlx::query!("update addons set error = ? where id = ?", error, id).execute(self.pool()).await?;
        Ok(())
    }

    /// Begins a rotation. False unless the add-on was at rest.
    pub async fn begin_rotation(&self, id: AddonId, sealed: &[u8], now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update addons set state = 'rotating', sealed_next_password = ?, updated_at = ? where id = ? and state = 'provisioned'",
            sealed,
            now,
            id
        )
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The next password is the current one.
    pub async fn finish_rotation(&self, id: AddonId, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "update addons set state = 'provisioned', sealed_password = coalesce(sealed_next_password, sealed_password),
                    sealed_next_password = null, error = null, updated_at = ? where id = ? and state = 'rotating'",
            now,
            id
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// Begins the end: every attachment is on its way out. False when there is no such add-on.
    pub async fn begin_deprovisioning(&self, id: AddonId, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done =
            sqlx::query!("update addons set state = 'deprovisioning', updated_at = ? where id = ?", now, id).execute(&mut *tx).await?;
        sqlx::query!(
            "update addon_attachments set state = 'detaching', updated_at = ? where addon_id = ? and state in ('attaching', 'attached')",
            now,
            id
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Moves an add-on into the bin, its attachments detached.
    pub async fn bin_addon(&self, id: AddonId, now: Timestamp, purge_at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        addon_bin::insert(&mut tx, id, now, purge_at).await?;
        sqlx::query!("update addon_attachments set state = 'detached', updated_at = ? where addon_id = ?", now, id)
            .execute(&mut *tx)
            .await?;
        sqlx::query!("delete from addons where id = ?", id).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// What a count found.
    pub async fn set_addon_count(
        &self,
        id: AddonId,
        account: &RowAccount,
        (bytes, tables): (u64, u32),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (rows, bytes) = (account.rows.cast_signed(), bytes.cast_signed());
        sqlx::query!(
            "update addons set row_count = ?, byte_count = ?, table_count = ?, counted_at = ?, warned = ?, over_since = ?, locked_at = ?
             where id = ?",
            rows,
            bytes,
            tables,
            now,
            account.warned,
            account.over_since,
            account.locked_at,
            id
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }
}
