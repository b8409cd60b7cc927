//! The table `app_transfers`: apps on their way to another owner.

use crate::{
    domain::{
        AppId, AppName, Timestamp, TransferId, UserId,
        app::{App, Transfer},
    },
    store::{Reader, StoreError, Writer},
};

impl Reader {
    /// The transfers an account sent or received, newest first.
    pub async fn transfers(&self, user: UserId) -> Result<Vec<Transfer>, StoreError> {
        let rows = sqlx::query_as!(
            Transfer,
            r#"select t.id as "id: TransferId", t.app_id as "app_id: AppId", a.name as "app_name: AppName",
                      t.owner_id as "owner_id: UserId", o.email as owner_email, t.recipient_id as "recipient_id: UserId",
                      r.email as recipient_email, t.state, t.created_at as "created_at: Timestamp",
                      t.updated_at as "updated_at: Timestamp"
               from app_transfers t join apps a on a.id = t.app_id join users o on o.id = t.owner_id
                    join users r on r.id = t.recipient_id
               where t.owner_id = ?1 or t.recipient_id = ?1 order by t.created_at desc, t.id"#,
            user
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }
}

impl Writer {
    /// An app with a transfer that waits is a unique violation on `app_transfers.app_id`.
    pub async fn insert_transfer(&self, id: TransferId, app: &App, recipient: UserId, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into app_transfers (id, app_id, owner_id, recipient_id, state, created_at, updated_at)
             values (?, ?, ?, ?, 'pending', ?, ?)",
            id,
            app.id,
            app.owner_id,
            recipient,
            now,
            now
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// False: it did not wait any more.
    pub async fn decline_transfer(&self, id: TransferId, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query!("update app_transfers set state = 'declined', updated_at = ? where id = ? and state = 'pending'", now, id)
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// False: it did not wait any more.
    pub async fn delete_transfer(&self, id: TransferId) -> Result<bool, StoreError> {
        let done = sqlx::query!("delete from app_transfers where id = ? and state = 'pending'", id).execute(self.pool()).await?;
        Ok(done.rows_affected() > 0)
    }

    /// The app gets its new owner; the old one stays a collaborator. False: it did not wait any more.
    pub async fn accept_transfer(&self, transfer: &Transfer, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let (id, app, old, new) = (transfer.id, transfer.app_id, transfer.owner_id, transfer.recipient_id);
        let done = sqlx::query!("update app_transfers set state = 'accepted', updated_at = ? where id = ? and state = 'pending'", now, id)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query!("update apps set owner_id = ?, updated_at = ? where id = ? and owner_id = ?", new, now, app, old)
            .execute(&mut *tx)
            .await?;
        sqlx::query!("delete from collaborators where app_id = ? and user_id = ?", app, new).execute(&mut *tx).await?;
        let collaborator = crate::domain::CollaboratorId::new();
        sqlx::query!(
            "insert into collaborators (id, app_id, user_id, role, created_at, updated_at) values (?, ?, ?, 'deploy', ?, ?)
             on conflict (app_id, user_id) do nothing",
            collaborator,
            app,
            old,
            now,
            now
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(true)
    }
}
