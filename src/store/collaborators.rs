//! The table `collaborators`: who besides its owner may touch an app.

use crate::{
    domain::{AppId, CollaboratorId, Email, Role, Timestamp, UserId, user::Collaborator},
    store::{Reader, StoreError, Writer},
};

struct Row {
    id: CollaboratorId,
    user_id: UserId,
    email: Email,
    role: String,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Row> for Collaborator {
    fn from(row: Row) -> Collaborator {
        let Row { id, user_id, email, role, created_at, updated_at } = row;
        Collaborator { id, user_id, email, role: parsed(&role), created_at, updated_at }
    }
}

/// A word of the table; what this version does not know counts as the least.
fn parsed(word: &str) -> Role {
    word.parse().unwrap_or(Role::View)
}

impl Reader {
    /// What a collaborator may do with an app; None for everybody else.
    pub(super) async fn collaborator_role(&self, app: AppId, user: UserId) -> Result<Option<Role>, StoreError> {
        let word = sqlx::query_scalar!("select role from collaborators where app_id = ? and user_id = ?", app, user);
        Ok(word.fetch_optional(&self.pool).await?.as_deref().map(parsed))
    }

    /// The collaborators of an app by address, without its owner.
    pub async fn collaborators(&self, app: AppId) -> Result<Vec<Collaborator>, StoreError> {
        let rows = sqlx::query_as!(
            Row,
            r#"select c.id as "id: CollaboratorId", c.user_id as "user_id: UserId", u.email as "email: Email", c.role,
                      c.created_at as "created_at: Timestamp", c.updated_at as "updated_at: Timestamp"
               from collaborators c join users u on u.id = c.user_id where c.app_id = ? order by u.email"#,
            app
        );
        Ok(rows.fetch_all(&self.pool).await?.into_iter().map(Collaborator::from).collect())
    }
}

impl Writer {
    /// Gives a role; one who has a role already gets the new one instead.
    pub async fn put_collaborator(&self, app: AppId, user: UserId, role: Role, now: Timestamp) -> Result<(), StoreError> {
        let (id, role) = (CollaboratorId::new(), role.as_str());
        sqlx::query!(
            "insert into collaborators (id, app_id, user_id, role, created_at, updated_at) values (?, ?, ?, ?, ?, ?)
             on conflict (app_id, user_id) do update set role = excluded.role, updated_at = excluded.updated_at",
            id,
            app,
            user,
            role,
            now,
            now
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// False: was none.
    pub async fn delete_collaborator(&self, app: AppId, user: UserId) -> Result<bool, StoreError> {
        let done = sqlx::query!("delete from collaborators where app_id = ? and user_id = ?", app, user).execute(self.pool()).await?;
        Ok(done.rows_affected() > 0)
    }
}
