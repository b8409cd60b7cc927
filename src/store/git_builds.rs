//! The table `git_builds`: builds whose source is a commit, and what the git host was told of them.

use sqlx::SqliteConnection;

use crate::{
    domain::{AppId, BranchName, BuildId, BuildStatus, CommitSha, RepoName, UserId},
    store::{Reader, StoreError, Writer},
};

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct GitBuild {
    pub build_id: BuildId,
    pub repository: RepoName,
    pub branch: BranchName,
    pub sha: CommitSha,
    /// The first line of the commit's message.
    pub title: String,
    /// Whose access; None: public.
    pub user_id: Option<UserId>,
    pub automatic: bool,
}

/// A build of which the host should hear.
#[derive(Clone, Debug, PartialEq)]
pub struct Untold {
    pub build_id: BuildId,
    pub app_id: AppId,
    pub status: BuildStatus,
    pub repository: RepoName,
    pub sha: CommitSha,
    pub user_id: UserId,
    pub deployment_id: Option<i64>,
}

/// After so many failed tries the host is not told.
const TRIES: i64 = 5;

impl Reader {
    pub async fn git_build(&self, build: BuildId) -> Result<Option<GitBuild>, StoreError> {
        let row = sqlx::query_as!(
            GitBuild,
            r#"select build_id as "build_id: BuildId", repository as "repository: RepoName", branch as "branch: BranchName",
                      sha as "sha: CommitSha", title, user_id as "user_id: UserId", automatic as "automatic: bool"
               from git_builds where build_id = ?"#,
            build
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row)
    }

    /// Automatic builds of an app that wait.
    pub async fn waiting_automatic_builds(&self, app: AppId) -> Result<Vec<BuildId>, StoreError> {
        let ids = sqlx::query_scalar!(
            r#"select b.id as "id: BuildId" from builds b join git_builds g on g.build_id = b.id
               where b.app_id = ? and b.status = 'queued' and g.automatic = 1"#,
            app
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids)
    }

    /// Builds whose status the host has not heard yet, oldest first.
    pub async fn untold_builds(&self) -> Result<Vec<Untold>, StoreError> {
        let rows = sqlx::query_as!(
            Untold,
            r#"select b.id as "build_id: BuildId", b.app_id as "app_id: AppId", b.status as "status: BuildStatus",
                      g.repository as "repository: RepoName", g.sha as "sha: CommitSha", g.user_id as "user_id!: UserId", g.deployment_id
               from git_builds g join builds b on b.id = g.build_id
               where g.told <> b.status and g.user_id is not null and g.tries < ? order by b.created_at limit 50"#,
            TRIES
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }
}

impl Writer {
    pub async fn set_deployment(&self, build: BuildId, deployment: i64) -> Result<(), StoreError> {
        sqlx::query!("update git_builds set deployment_id = ? where build_id = ?", deployment, build).execute(self.pool()).await?;
        Ok(())
    }

    /// The host was told this status.
    pub async fn note_told(&self, build: BuildId, status: BuildStatus) -> Result<(), StoreError> {
        sqlx::query!("update git_builds set told = ?, tries = 0 where build_id = ?", status, build).execute(self.pool()).await?;
        Ok(())
    }

    /// The host could not be told; `last`: it will not be tried again.
    pub async fn note_untold(&self, build: BuildId, last: bool) -> Result<(), StoreError> {
        let more = if last { TRIES } else { 1 };
        sqlx::query!("update git_builds set tries = tries + ? where build_id = ?", more, build).execute(self.pool()).await?;
        Ok(())
    }
}

/// Part of the transaction that queues the build.
pub async fn insert(tx: &mut SqliteConnection, row: &GitBuild) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into git_builds (build_id, repository, branch, sha, title, user_id, automatic) values (?, ?, ?, ?, ?, ?, ?)",
        row.build_id,
        row.repository,
        row.branch,
        row.sha,
        row.title,
        row.user_id,
        row.automatic
    )
    .execute(tx)
    .await?;
    Ok(())
}
