//! The table `releases`. A release is written in one transaction: number, slug, config snapshot,
//! the app's pointer and the event row, or none of them.

use sqlx::{Sqlite, Transaction};

use crate::{
    domain::{
        AppId, ConfigSetId, ReleaseId, ReleaseStatus, SlugId, Timestamp, UserId, Version, event::NewEvent, release::Release, slug::Slug,
        user::Actor,
    },
    store::{Reader, StoreError, Writer, config_sets, config_sets::SealedConfig, events, slugs},
};

macro_rules! select {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            Release,
            r#"select r.id as "id: ReleaseId", r.app_id as "app_id: AppId", r.version as "version: Version", r.description,
                      r.status as "status: ReleaseStatus", r.slug_id as "slug_id: SlugId", r.user_id as "user_id: UserId",
                      r.user_email, r.created_at as "created_at: Timestamp", r.updated_at as "updated_at: Timestamp",
                      coalesce(a.current_release_id = r.id, 0) as "current!: bool"
               from releases r join apps a on a.id = r.app_id "# + $condition
            $(, $argument)*
        )
    };
}

impl Reader {
    pub async fn release(&self, id: ReleaseId) -> Result<Option<Release>, StoreError> {
        Ok(select!("where r.id = ?", id).fetch_optional(&self.pool).await?)
    }

    pub async fn release_by_version(&self, app: AppId, version: Version) -> Result<Option<Release>, StoreError> {
        Ok(select!("where r.app_id = ? and r.version = ?", app, version).fetch_optional(&self.pool).await?)
    }

    /// The app's current release.
    pub async fn current_release(&self, app: AppId) -> Result<Option<Release>, StoreError> {
        Ok(select!("where a.id = ? and r.id = a.current_release_id", app).fetch_optional(&self.pool).await?)
    }

    /// The current releases of all apps an account may touch.
    pub async fn current_releases_open_to(&self, user: UserId) -> Result<Vec<Release>, StoreError> {
        let rows = select!(
            "where r.id = a.current_release_id
               and (a.owner_id = ? or exists (select 1 from collaborators c where c.app_id = a.id and c.user_id = ?))",
            user,
            user
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// The release the next one builds on: the current one, or a newer one whose release phase runs.
    pub async fn newest_release(&self, app: AppId) -> Result<Option<Release>, StoreError> {
        let release =
            select!("where a.id = ? and (r.id = a.current_release_id or r.status = 'pending') order by r.version desc limit 1", app);
        Ok(release.fetch_optional(&self.pool).await?)
    }

    /// All releases of an app, newest first.
    pub async fn releases(&self, app: AppId) -> Result<Vec<Release>, StoreError> {
        Ok(select!("where r.app_id = ? order by r.version desc", app).fetch_all(&self.pool).await?)
    }

    /// Releases that were being brought up when the server stopped or their app went into the bin, oldest
    /// first; not those of apps that still lie there.
    pub async fn pending_releases(&self) -> Result<Vec<Release>, StoreError> {
        let rows = select!(
            "where r.status = 'pending' and not exists (select 1 from app_bin b where b.app_id = r.app_id) order by r.created_at, r.version"
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }
}

/// What a new release points at.
pub enum NewSlug<'a> {
    /// No code (yet).
    None,
    /// A slug that is stored already.
    Stored(SlugId),
    /// A slug stored in the same transaction.
    New(&'a Slug),
}

/// What a new release is made of.
pub struct NewRelease<'a> {
    pub id: ReleaseId,
    pub description: String,
    pub status: ReleaseStatus,
    /// It becomes the app's current one at once; one with a release phase does so after it.
    pub current: bool,
    pub slug: NewSlug<'a>,
    pub config: SealedConfig,
    pub by: &'a Actor,
    pub event: Option<NewEvent>,
    pub now: Timestamp,
}

/// A transaction in which the next release of an app is prepared: nobody else writes meanwhile,
/// so what is read here is still true at the commit.
pub struct ReleaseDraft {
    tx: Transaction<'static, Sqlite>,
    app: AppId,
}

impl Writer {
    pub async fn draft_release(&self, app: AppId) -> Result<ReleaseDraft, StoreError> {
        Ok(ReleaseDraft::new(self.begin().await?, app))
    }

    /// Sets the status of a release that is still pending. False when it was not.
    pub async fn finish_release(&self, release: ReleaseId, status: ReleaseStatus, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query!("update releases set status = ?, updated_at = ? where id = ? and status = 'pending'", status, now, release)
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Makes a release current whose release phase has succeeded. False when a newer one is.
    pub async fn make_release_current(&self, release: ReleaseId, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update apps set current_release_id = ?, updated_at = ?, released_at = ?
             where id = (select app_id from releases where id = ? and status = 'pending')
               and not exists (select 1 from releases newer join releases r on r.id = ?
                               where newer.id = apps.current_release_id and newer.version > r.version)",
            release,
            now,
            now,
            release,
            release
        )
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Marks a pending release failed; if it is still the app's current one, the newest release
    /// that succeeded with code becomes current again, where there is one.
    pub async fn fail_release(&self, app: AppId, release: ReleaseId, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query!("update releases set status = 'failed', updated_at = ? where id = ? and status = 'pending'", now, release)
            .execute(&mut *tx)
            .await?;
        sqlx::query!(
            "update apps set current_release_id = coalesce(
                 (select id from releases where app_id = ? and status = 'succeeded' and slug_id is not null
                  order by version desc limit 1), current_release_id)
             where id = ? and current_release_id = ?",
            app,
            app,
            release
        )
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }
}

impl ReleaseDraft {
    pub(super) fn new(tx: Transaction<'static, Sqlite>, app: AppId) -> ReleaseDraft {
        ReleaseDraft { tx, app }
    }

    /// The app whose release this is.
    pub fn app(&self) -> AppId {
        self.app
    }

    /// What the next release builds on (`newest_release`): its code and config snapshot; None for an app that is gone or was just made.
    pub async fn current(&mut self) -> Result<Option<(Option<SlugId>, SealedConfig)>, StoreError> {
        let Some(config) = config_sets::current(&mut self.tx, self.app).await? else {
            return Ok(None);
        };
        let slug = sqlx::query_scalar!(
            r#"select r.slug_id as "slug_id: SlugId" from releases r join apps a on a.id = r.app_id
               where a.id = ? and (r.id = a.current_release_id or r.status = 'pending') order by r.version desc limit 1"#,
            self.app
        )
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(Some((slug, config)))
    }

    /// Writes the release; `commit` makes it true.
    pub async fn write(&mut self, new: NewRelease<'_>) -> Result<Release, StoreError> {
        let NewRelease { id, description, status, current, slug, config, by, event, now } = new;
        let slug_id = match slug {
            NewSlug::None => None,
            NewSlug::Stored(id) => Some(id),
            NewSlug::New(slug) => {
                slugs::insert(&mut self.tx, slug).await?;
                Some(slug.id)
            }
        };
        config_sets::insert(&mut self.tx, &config, now).await?;
        let mut release = Release {
            id,
            app_id: self.app,
            version: Version(0), // given by the insert
            description,
            status,
            slug_id,
            user_id: Some(by.id),
            user_email: by.email.to_string(),
            created_at: now,
            updated_at: now,
            current,
        };
        release.version = self.insert(&release, config.id).await?;
        if current {
            self.make_current(&release).await?;
        }
        if let Some(event) = event {
            events::insert(&mut *self.tx, self.app, &event, now).await?;
        }
        Ok(release)
    }

    async fn make_current(&mut self, release: &Release) -> Result<(), StoreError> {
        sqlx::query!(
            "update apps set current_release_id = ?, updated_at = ?, released_at = iif(? is null, released_at, ?) where id = ?",
            release.id,
            release.created_at,
            release.slug_id,
            release.created_at,
            self.app
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }

    /// Inserts the row under the next number of its app.
    async fn insert(&mut self, release: &Release, config: ConfigSetId) -> Result<Version, StoreError> {
        let version = sqlx::query_scalar!(
            r#"insert into releases (id, app_id, version, description, status, slug_id, config_set_id, user_id, user_email,
                                     created_at, updated_at)
               values (?, ?, (select coalesce(max(version), 0) + 1 from releases where app_id = ?), ?, ?, ?, ?, ?, ?, ?, ?)
               returning version as "version: Version""#,
            release.id,
            self.app,
            self.app,
            release.description,
            release.status,
            release.slug_id,
            config,
            release.user_id,
            release.user_email,
            release.created_at,
            release.updated_at
        )
        .fetch_one(&mut *self.tx)
        .await?;
        Ok(version)
    }
}
