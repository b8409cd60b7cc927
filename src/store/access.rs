//! Which apps an account may touch: the one query behind every tenancy check.

use uuid::Uuid;

use crate::{
    domain::{AppId, AppName, ReleaseId, Timestamp, UserId, app::App},
    store::{Reader, StoreError},
};

impl Reader {
    /// The app of that name or id, if `user` may touch it. Not there and not theirs are the same.
    pub async fn accessible_app(&self, user: UserId, name_or_id: &str) -> Result<Option<App>, StoreError> {
        let id = name_or_id.parse::<Uuid>().ok().map(AppId);
        let app = sqlx::query_as!(
            App,
            r#"select apps.id as "id: AppId", apps.name as "name: AppName", owner_id as "owner_id: UserId",
                users.email as owner_email, number as "number: u32", maintenance as "maintenance: bool", stack,
                current_release_id as "current_release_id: ReleaseId", released_at as "released_at: Timestamp",
                apps.created_at as "created_at: Timestamp", apps.updated_at as "updated_at: Timestamp"
            from apps join users on users.id = apps.owner_id
            where owner_id = ?1 and (apps.id = ?2 or apps.name = ?3)"#,
            user,
            id,
            name_or_id
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(app)
    }

    /// All apps `user` may touch, by name.
    pub async fn accessible_apps(&self, user: UserId) -> Result<Vec<App>, StoreError> {
        let apps = sqlx::query_as!(
            App,
            r#"select apps.id as "id: AppId", apps.name as "name: AppName", owner_id as "owner_id: UserId",
                users.email as owner_email, number as "number: u32", maintenance as "maintenance: bool", stack,
                current_release_id as "current_release_id: ReleaseId", released_at as "released_at: Timestamp",
                apps.created_at as "created_at: Timestamp", apps.updated_at as "updated_at: Timestamp"
            from apps join users on users.id = apps.owner_id
            where owner_id = ? order by apps.name"#,
            user
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(apps)
    }
}
