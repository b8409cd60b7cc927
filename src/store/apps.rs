//! The table `apps`.

use sqlx::{Sqlite, SqliteConnection, Transaction};

use crate::{
    domain::{AppId, AppName, ReleaseId, Role, Timestamp, UserId, app::App, feature::Feature},
    store::{Reader, StoreError, Writer, releases::ReleaseDraft},
};

/// What a new row is made of; its number is given by the table.
#[derive(Clone, Debug)]
pub struct NewApp {
    pub id: AppId,
    pub name: AppName,
    pub owner: UserId,
    pub stack: String,
    pub now: Timestamp,
}

/// An app row joined with its owner's address.
struct Row {
    id: AppId,
    name: AppName,
    owner_id: UserId,
    owner_email: String,
    number: u32,
    maintenance: bool,
    stack: String,
    current_release_id: Option<ReleaseId>,
    released_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Row> for App {
    fn from(row: Row) -> App {
        let Row { id, name, owner_id, owner_email, number, maintenance, stack, current_release_id, released_at, created_at, updated_at } =
            row;
        App { id, name, owner_id, owner_email, number, maintenance, stack, current_release_id, released_at, created_at, updated_at }
    }
}

macro_rules! rows {
    ($bin:literal, $condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            Row,
            r#"select a.id as "id: AppId", a.name as "name: AppName", a.owner_id as "owner_id: UserId", u.email as owner_email,
                      a.number as "number: u32", a.maintenance as "maintenance: bool", a.stack,
                      a.current_release_id as "current_release_id: ReleaseId", a.released_at as "released_at: Timestamp",
                      a.created_at as "created_at: Timestamp", a.updated_at as "updated_at: Timestamp"
               from apps a join users u on u.id = a.owner_id and "# + $bin + "exists (select 1 from app_bin b where b.app_id = a.id) " + $condition
            $(, $argument)*
        )
    };
}

/// Apps that are there; what lies in the bin is gone for everybody but the bin.
macro_rules! select {
    ($condition:literal $(, $argument:expr)*) => { rows!("not ", $condition $(, $argument)*) };
}

impl Reader {
    pub async fn app(&self, id: AppId) -> Result<Option<App>, StoreError> {
        Ok(select!("where a.id = ?", id).fetch_optional(&self.pool).await?.map(App::from))
    }

    /// An app that lies in the bin, under its placeholder of a name.
    pub async fn app_in_bin(&self, id: AppId) -> Result<Option<App>, StoreError> {
        Ok(rows!("", "where a.id = ?", id).fetch_optional(&self.pool).await?.map(App::from))
    }

    /// How many apps there are.
    pub async fn count_apps(&self) -> Result<i64, StoreError> {
        let count = sqlx::query_scalar!("select count(*) from apps where id not in (select app_id from app_bin)");
        Ok(count.fetch_one(&self.pool).await?)
    }

    pub async fn app_by_name(&self, name: &AppName) -> Result<Option<App>, StoreError> {
        Ok(select!("where a.name = ?", name).fetch_optional(&self.pool).await?.map(App::from))
    }

    /// The app of that name or id and what `user` may do with it, None when nothing: the one query
    /// behind every tenancy check.
    pub async fn accessible_app(&self, user: UserId, name_or_id: &str) -> Result<Option<(App, Role)>, StoreError> {
        let id: Option<AppId> = name_or_id.parse().ok();
        let row = select!("where a.id = ? or a.name = ?", id, name_or_id).fetch_optional(&self.pool).await?;
        let Some(app) = row.map(App::from) else { return Ok(None) };
        let role = self.role_on(&app, user).await?;
        Ok(role.map(|role| (app, role)))
    }

    /// What an account may do with an app.
    pub async fn role_on(&self, app: &App, user: UserId) -> Result<Option<Role>, StoreError> {
        if app.owner_id == user { Ok(Some(Role::Owner)) } else { self.collaborator_role(app.id, user).await }
    }

    /// All apps by name.
    pub async fn apps(&self) -> Result<Vec<App>, StoreError> {
        Ok(select!("order by a.name").fetch_all(&self.pool).await?.into_iter().map(App::from).collect())
    }

    /// The apps an account may touch, its own and others', by name.
    pub async fn apps_open_to(&self, user: UserId) -> Result<Vec<App>, StoreError> {
        let rows = select!(
            "where a.owner_id = ? or exists (select 1 from collaborators c where c.app_id = a.id and c.user_id = ?) order by a.name",
            user,
            user
        );
        Ok(rows.fetch_all(&self.pool).await?.into_iter().map(App::from).collect())
    }

    /// The apps an account owns, by name.
    pub async fn apps_of(&self, owner: UserId) -> Result<Vec<App>, StoreError> {
        Ok(select!("where a.owner_id = ? order by a.name", owner).fetch_all(&self.pool).await?.into_iter().map(App::from).collect())
    }
}

impl Writer {
    /// Begins a new app if its owner has fewer than `limit`, None when not: the row exists once its
    /// first release is committed. A taken name is a unique violation on `apps.name`. Numbers are
    /// never used again: the highest one ever given is kept in `settings`.
    pub async fn draft_app(&self, app: &NewApp, limit: u32) -> Result<Option<ReleaseDraft>, StoreError> {
        let mut tx = self.begin().await?;
        if owned(&mut tx, app.owner).await? >= i64::from(limit) {
            return Ok(None);
        }
        let number = next_number(&mut tx).await?;
        sqlx::query!(
            "insert into apps (id, name, owner_id, number, stack, created_at, updated_at) values (?, ?, ?, ?, ?, ?, ?)",
            app.id,
            app.name,
            app.owner,
            number,
            app.stack,
            app.now,
            app.now
        )
        .execute(&mut *tx)
        .await?;
        // What it begins with.
        let preboot = Feature::Preboot.as_str();
        sqlx::query!("insert into app_features (app_id, name, enabled_at) values (?, ?, ?)", app.id, preboot, app.now)
            .execute(&mut *tx)
            .await?;
        Ok(Some(ReleaseDraft::new(tx, app.id)))
    }

    /// Renames an app; a taken name is a unique violation on `apps.name`. False: no such app.
    pub async fn rename_app(&self, id: AppId, name: &AppName, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let renamed = rename(&mut tx, id, name, now).await?;
        tx.commit().await?;
        Ok(renamed)
    }

    /// False: no such app.
    pub async fn set_app_maintenance(&self, id: AppId, on: bool, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query!("update apps set maintenance = ?, updated_at = ? where id = ?", on, now, id).execute(self.pool()).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Removes an app and all rows that belong to it.
    pub async fn delete_app(&self, id: AppId) -> Result<(), StoreError> {
        sqlx::query!("delete from apps where id = ?", id).execute(self.pool()).await?;
        Ok(())
    }
}

pub(super) async fn rename(tx: &mut SqliteConnection, id: AppId, name: &AppName, now: Timestamp) -> Result<bool, StoreError> {
    let done = sqlx::query!("update apps set name = ?, updated_at = ? where id = ?", name, now, id).execute(tx).await?;
    Ok(done.rows_affected() > 0)
}

/// How many apps an account has, without those in the bin.
pub(super) async fn owned(tx: &mut SqliteConnection, owner: UserId) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!("select count(*) from apps where owner_id = ? and id not in (select app_id from app_bin)", owner);
    Ok(count.fetch_one(tx).await?)
}

/// The number after the highest one ever given, which is written down.
async fn next_number(tx: &mut Transaction<'static, Sqlite>) -> Result<i64, StoreError> {
    let number = sqlx::query_scalar!(
        r#"insert into settings (key, value) values ('last_app_number', '1')
           on conflict (key) do update set value = cast(cast(value as integer) + 1 as text)
           returning cast(value as integer) as "number!: i64""#
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(number)
}
