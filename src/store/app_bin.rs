//! The tables `app_bin` and `app_bin_attachments`: destroyed apps until they are purged.

use crate::{
    domain::{
        AddonId, AppId, AppName, AttachmentId, Timestamp, UserId,
        addon::AttachmentName,
        app::{App, BIN, BinnedApp},
        user::Actor,
    },
    store::{
        Reader, StoreError, Writer, addon_attachments,
        addon_attachments::NewAttachment,
        addon_bin,
        apps::{self, owned},
    },
};

macro_rules! select {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            BinnedApp,
            r#"select b.app_id as "id: AppId", b.name as "name: AppName", a.owner_id as "owner_id: UserId", b.user_email,
                      b.settled_at is not null as "settled!: bool", b.binned_at as "binned_at: Timestamp", b.purge_at as "purge_at: Timestamp",
                      (select count(*) from app_bin_attachments t where t.app_id = b.app_id) as "attachments!: u32"
               from app_bin b join apps a on a.id = b.app_id "# + $condition
            $(, $argument)*
        )
    };
}

/// How a restore ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restored {
    Done,
    /// It is not in the bin, or not put away yet.
    NotThere,
    /// Its owner has as many apps as the plan allows.
    NoRoom,
}

impl Reader {
    /// What an account has in the bin, newest first.
    pub async fn binned_apps_of(&self, owner: UserId) -> Result<Vec<BinnedApp>, StoreError> {
        Ok(select!("where a.owner_id = ? order by b.binned_at desc", owner).fetch_all(&self.pool).await?)
    }

    /// All that lies in the bin, oldest first.
    pub async fn binned_apps(&self) -> Result<Vec<BinnedApp>, StoreError> {
        Ok(select!("order by b.binned_at").fetch_all(&self.pool).await?)
    }
}

impl Writer {
    /// Puts an app into the bin: from here on it is gone for everybody. Its name, its own host names and
    /// its place in a pipeline are free. Once in is fine.
    pub async fn bin_app(&self, app: &App, by: &Actor, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let (id, email, purge_at) = (app.id, by.email.as_str(), now + BIN);
        let placeholder = format!("bin-{:016x}", rand::random::<u64>());
        let done = sqlx::query!(
            "insert into app_bin (app_id, name, user_email, binned_at, purge_at) select id, name, ?, ?, ? from apps where id = ?
             on conflict do nothing",
            email,
            now,
            purge_at,
            id
        );
        if done.execute(&mut *tx).await?.rows_affected() == 0 {
            return Ok(());
        }
        sqlx::query!("update apps set name = ?, updated_at = ? where id = ?", placeholder, now, id).execute(&mut *tx).await?;
        sqlx::query!(
            "insert into app_bin_attachments (app_id, addon_id, name)
             select app_id, addon_id, name from addon_attachments where app_id = ? and state in ('attaching', 'attached')",
            id
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!("delete from domains where app_id = ?", id).execute(&mut *tx).await?;
        sqlx::query!("delete from log_drains where app_id = ?", id).execute(&mut *tx).await?;
        sqlx::query!("delete from pipeline_couplings where app_id = ?", id).execute(&mut *tx).await?;
        sqlx::query!("delete from app_transfers where app_id = ?", id).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Nothing of a binned app runs any more, and its repository need not be known any longer.
    pub async fn settle_binned_app(&self, app: AppId, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query!("delete from repository_links where app_id = ?", app).execute(&mut *tx).await?;
        sqlx::query!("update app_bin set settled_at = ? where app_id = ? and settled_at is null", now, app).execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Brings an app back under a name, with the add-ons that are still there. A taken name is a unique
    /// violation on `apps.name`.
    pub async fn restore_app(
        &self,
        app: &BinnedApp,
        name: &AppName,
        (by, limit): (&Actor, u32),
        now: Timestamp,
    ) -> Result<Restored, StoreError> {
        let mut tx = self.begin().await?;
        let id = app.id;
        if owned(&mut tx, app.owner_id).await? >= i64::from(limit) {
            return Ok(Restored::NoRoom);
        }
        let attached = sqlx::query!(
            r#"select addon_id as "addon_id: AddonId", name as "name: AttachmentName" from app_bin_attachments where app_id = ? order by rowid"#,
            id
        )
        .fetch_all(&mut *tx)
        .await?;
        let gone = sqlx::query!("delete from app_bin where app_id = ? and settled_at is not null", id).execute(&mut *tx).await?;
        if gone.rows_affected() == 0 {
            return Ok(Restored::NotThere);
        }
        apps::rename(&mut tx, id, name, now).await?;
        for row in attached {
            addon_bin::take(&mut tx, row.addon_id, (id, by), now).await?;
            let there = sqlx::query_scalar!(
                r#"select exists (select 1 from addons where id = ? and state <> 'deprovisioning') as "there!: bool""#,
                row.addon_id
            );
            if there.fetch_one(&mut *tx).await? {
                let new = NewAttachment { id: AttachmentId::new(), addon: row.addon_id, app: id, name: &row.name, now };
                addon_attachments::insert(&mut tx, &new).await?;
            }
        }
        // A scheduler is attached to nothing: its jobs tell whose it is.
        let schedulers = sqlx::query_scalar!(
            r#"select distinct j.addon_id as "addon_id!: AddonId" from scheduler_jobs j join addon_bin b on b.addon_id = j.addon_id
               where j.app_id = ?"#,
            id
        );
        for scheduler in schedulers.fetch_all(&mut *tx).await? {
            addon_bin::take(&mut tx, scheduler, (id, by), now).await?;
        }
        tx.commit().await?;
        Ok(Restored::Done)
    }
}
