//! The table `addon_attachments`.

use sqlx::SqliteConnection;

use crate::{
    domain::{
        AddonId, AppId, AppName, AttachmentId, Timestamp,
        addon::{Attachment, AttachmentName, AttachmentState},
    },
    store::{Reader, StoreError, Writer},
};

/// What a new row is made of; it begins as `attaching`.
#[derive(Clone, Debug)]
pub struct NewAttachment<'a> {
    pub id: AttachmentId,
    pub addon: AddonId,
    pub app: AppId,
    pub name: &'a AttachmentName,
    pub now: Timestamp,
}

macro_rules! select {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            Attachment,
            r#"select t.id as "id: AttachmentId", t.addon_id as "addon_id: AddonId", t.app_id as "app_id: AppId",
                      a.name as "app_name: AppName", t.name as "name: AttachmentName", t.state as "state: AttachmentState",
                      t.created_at as "created_at: Timestamp", t.updated_at as "updated_at: Timestamp"
               from addon_attachments t join apps a on a.id = t.app_id "# + $condition
            $(, $argument)*
        )
    };
}

impl Reader {
    pub async fn attachment(&self, id: AttachmentId) -> Result<Option<Attachment>, StoreError> {
        Ok(select!("where t.id = ? and t.state <> 'detached'", id).fetch_optional(&self.pool).await?)
    }

    /// What an app sees, oldest first, without what is on its way out.
    pub async fn attachments_of_app(&self, app: AppId) -> Result<Vec<Attachment>, StoreError> {
        let rows = select!("where t.app_id = ? and t.state in ('attaching', 'attached') order by t.created_at, t.id", app);
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// Where an add-on is attached, and where it is still being taken away.
    pub async fn attachments_of_addon(&self, addon: AddonId) -> Result<Vec<Attachment>, StoreError> {
        Ok(select!("where t.addon_id = ? and t.state <> 'detached' order by t.created_at, t.id", addon).fetch_all(&self.pool).await?)
    }

    /// Every attachment that stands or comes.
    pub async fn attachments(&self) -> Result<Vec<Attachment>, StoreError> {
        Ok(select!("where t.state in ('attaching', 'attached') order by t.app_id, t.created_at").fetch_all(&self.pool).await?)
    }

    /// Every name an add-on ever had in an app, and whether one has it now.
    pub async fn attachment_names(&self, app: AppId) -> Result<Vec<(AttachmentName, bool)>, StoreError> {
        let rows = sqlx::query!(
            r#"select name as "name!: AttachmentName", max(state <> 'detached') as "now!: bool" from addon_attachments where app_id = ? group by name"#,
            app
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| (row.name, row.now)).collect())
    }
}

impl Writer {
    /// A name that is taken in the app is a unique violation on `addon_attachments.name`.
    pub async fn add_attachment(&self, new: &NewAttachment<'_>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        insert(&mut tx, new).await?;
        Ok(tx.commit().await?)
    }

    /// Moves an attachment on from the state it was seen in; false when it was in another by then.
    pub async fn move_attachment(
        &self,
        id: AttachmentId,
        (from, to): (AttachmentState, AttachmentState),
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!("update addon_attachments set state = ?, updated_at = ? where id = ? and state = ?", to, now, id, from)
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Every attachment of an app that is about to go, without a release.
    pub async fn detach_app(&self, app: AppId, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!("update addon_attachments set state = 'detached', updated_at = ? where app_id = ?", now, app)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}

/// Part of the transaction that makes an add-on.
pub(super) async fn insert(tx: &mut SqliteConnection, new: &NewAttachment<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into addon_attachments (id, addon_id, app_id, name, state, created_at, updated_at) values (?, ?, ?, ?, 'attaching', ?, ?)",
        new.id,
        new.addon,
        new.app,
        new.name,
        new.now,
        new.now
    )
    .execute(tx)
    .await?;
    Ok(())
}
