//! The table `builds`: the row is the queue.

use std::collections::HashSet;

use sqlx::types::Json;

use crate::{
    domain::{
        AppId, AppName, BuildId, BuildStatus, ReleaseId, SlugId, SourceId, Timestamp, UserId,
        build::{Build, Phase},
    },
    store::{
        Reader, StoreError, Writer,
        git_builds::{self, GitBuild},
    },
};

/// What a new row is made of.
#[derive(Clone, Debug)]
pub struct NewBuild {
    pub id: BuildId,
    pub app_id: AppId,
    pub user_id: UserId,
    pub user_email: String,
    pub source_id: Option<SourceId>,
    pub source_url: String,
    pub source_version: Option<String>,
    pub stack: String,
    pub output_hash: Vec<u8>,
    pub created_at: Timestamp,
}

/// A build that was claimed, and what it is made from.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub id: BuildId,
    pub app_id: AppId,
    pub source_id: Option<SourceId>,
    /// Counted from 1; more than one after the server died in the middle.
    pub attempt: i64,
}

/// A build that waits or runs, with its app.
#[derive(Clone, Debug)]
pub struct QueuedBuild {
    pub id: BuildId,
    pub app: AppName,
    pub by: String,
    pub status: BuildStatus,
    pub created_at: Timestamp,
}

/// How a build ended.
#[derive(Clone, Debug)]
pub struct Ending {
    pub status: BuildStatus,
    pub error: Option<String>,
    pub release_id: Option<ReleaseId>,
    pub slug_id: Option<SlugId>,
}

struct Row {
    id: BuildId,
    app_id: AppId,
    user_id: Option<UserId>,
    user_email: String,
    status: BuildStatus,
    source_url: String,
    source_version: Option<String>,
    stack: String,
    error: Option<String>,
    phases: Json<Vec<Phase>>,
    slug_id: Option<SlugId>,
    release_id: Option<ReleaseId>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
}

impl From<Row> for Build {
    fn from(row: Row) -> Build {
        Build {
            id: row.id,
            app_id: row.app_id,
            user_id: row.user_id,
            user_email: row.user_email,
            status: row.status,
            source_url: row.source_url,
            source_version: row.source_version,
            stack: row.stack,
            error: row.error,
            phases: row.phases.0,
            slug_id: row.slug_id,
            release_id: row.release_id,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
        }
    }
}

macro_rules! select {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            Row,
            r#"select id as "id: BuildId", app_id as "app_id: AppId", user_id as "user_id: UserId", user_email,
                      status as "status: BuildStatus", source_url, source_version, stack, error, phases as "phases: Json<Vec<Phase>>",
                      slug_id as "slug_id: SlugId", release_id as "release_id: ReleaseId", created_at as "created_at: Timestamp",
                      started_at as "started_at: Timestamp", finished_at as "finished_at: Timestamp"
               from builds "# + $condition
            $(, $argument)*
        )
    };
}

impl Reader {
    pub async fn build(&self, id: BuildId) -> Result<Option<Build>, StoreError> {
        Ok(select!("where id = ?", id).fetch_optional(&self.pool).await?.map(Build::from))
    }

    /// The newest builds of an app, newest first.
    pub async fn builds(&self, app: AppId, count: u32) -> Result<Vec<Build>, StoreError> {
        let rows = select!("where app_id = ? order by created_at desc, id desc limit ?", app, count).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(Build::from).collect())
    }

    pub async fn build_by_output(&self, hash: &[u8]) -> Result<Option<BuildId>, StoreError> {
        let id =
            sqlx::query_scalar!(r#"select id as "id: BuildId" from builds where output_hash = ?"#, hash).fetch_optional(&self.pool).await?;
        Ok(id)
    }

    /// Builds that wait or run.
    pub async fn unfinished_builds(&self, app: AppId) -> Result<Vec<BuildId>, StoreError> {
        let ids =
            sqlx::query_scalar!(r#"select id as "id: BuildId" from builds where app_id = ? and status in ('queued', 'running')"#, app)
                .fetch_all(&self.pool)
                .await?;
        Ok(ids)
    }

    /// Apps with a build that waits or runs.
    pub async fn apps_that_build(&self) -> Result<HashSet<AppId>, StoreError> {
        let ids = sqlx::query_scalar!(r#"select distinct app_id as "id: AppId" from builds where status in ('queued', 'running')"#);
        Ok(ids.fetch_all(&self.pool).await?.into_iter().collect())
    }

    /// Builds of all apps that wait or run, in the order in which they come.
    pub async fn build_queue(&self) -> Result<Vec<QueuedBuild>, StoreError> {
        let rows = sqlx::query_as!(
            QueuedBuild,
            r#"select b.id as "id: BuildId", a.name as "app: AppName", b.user_email as by, b.status as "status: BuildStatus",
                      b.created_at as "created_at: Timestamp"
               from builds b join apps a on a.id = b.app_id where b.status in ('queued', 'running')
               order by b.status = 'queued', b.created_at, b.id"#
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// Builds that wait.
    pub async fn queued_builds(&self) -> Result<Vec<BuildId>, StoreError> {
        let ids = sqlx::query_scalar!(r#"select id as "id: BuildId" from builds where status = 'queued'"#).fetch_all(&self.pool).await?;
        Ok(ids)
    }

    /// The slug and the release a build has made. A build's slug has the build's own id.
    pub async fn release_of_build(&self, id: BuildId) -> Result<Option<(SlugId, ReleaseId)>, StoreError> {
        let row = sqlx::query!(
            r#"select slug_id as "slug_id!: SlugId", id as "id: ReleaseId" from releases where slug_id = ? order by version limit 1"#,
            id
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| (row.slug_id, row.id)))
    }

    /// All builds marked as running.
    pub async fn running_builds(&self) -> Result<Vec<Claimed>, StoreError> {
        let rows = sqlx::query_as!(
            Claimed,
            r#"select id as "id: BuildId", app_id as "app_id: AppId", source_id as "source_id: SourceId", attempt
               from builds where status = 'running'"#
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }
}

impl Writer {
    /// Queues a build; one of a commit with its commit.
    pub async fn insert_build(&self, build: &NewBuild, git: Option<&GitBuild>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query!(
            "insert into builds (id, app_id, user_id, user_email, status, source_id, source_url, source_version, stack, output_hash,
                                 created_at)
             values (?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?)",
            build.id,
            build.app_id,
            build.user_id,
            build.user_email,
            build.source_id,
            build.source_url,
            build.source_version,
            build.stack,
            build.output_hash,
            build.created_at
        )
        .execute(&mut *tx)
        .await?;
        if let Some(git) = git {
            git_builds::insert(&mut tx, git).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Takes the oldest build that waits and whose app has none running.
    pub async fn claim_build(&self, now: Timestamp) -> Result<Option<Claimed>, StoreError> {
        let row = sqlx::query_as!(
            Claimed,
            r#"update builds set status = 'running', started_at = coalesce(started_at, ?1), attempt = attempt + 1
               where id = (select id from builds where status = 'queued'
                             and app_id not in (select app_id from builds where status = 'running')
                           order by created_at, id limit 1)
               returning id as "id!: BuildId", app_id as "app_id!: AppId", source_id as "source_id: SourceId", attempt as "attempt!: i64""#,
            now
        )
        .fetch_optional(self.pool())
        .await?;
        Ok(row)
    }

    /// Puts a build that was running back into the queue.
    pub async fn requeue_build(&self, id: BuildId) -> Result<(), StoreError> {
        sqlx::query!("update builds set status = 'queued', phases = '[]' where id = ? and status = 'running'", id)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    pub async fn set_build_phases(&self, id: BuildId, phases: &[Phase]) -> Result<(), StoreError> {
        let phases = Json(phases);
        sqlx::query!("update builds set phases = ? where id = ?", phases, id).execute(self.pool()).await?;
        Ok(())
    }

    /// Ends a build; false when it has ended before.
    pub async fn end_build(&self, id: BuildId, ending: &Ending, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update builds set status = ?, error = ?, release_id = ?, slug_id = ?, finished_at = ?
             where id = ? and status in ('queued', 'running')",
            ending.status,
            ending.error,
            ending.release_id,
            ending.slug_id,
            now,
            id
        )
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Cancels a build that still waits; false when it does not wait.
    pub async fn cancel_queued_build(&self, id: BuildId, error: &str, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update builds set status = 'cancelled', error = ?, finished_at = ? where id = ? and status = 'queued'",
            error,
            now,
            id
        )
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected() > 0)
    }
}
