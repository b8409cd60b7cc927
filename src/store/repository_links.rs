//! The table `repository_links`: which repository an app is deployed from, and how it is followed.

use crate::{
    domain::{AppId, BranchName, CommitSha, RepoName, Timestamp, UserId},
    store::{Reader, StoreError, Writer},
};

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub app_id: AppId,
    /// The repository's id at the host.
    pub host_id: i64,
    pub name: RepoName,
    pub url: String,
    pub private: bool,
    pub default_branch: BranchName,
    /// Whose access; None: public, connected by its address.
    pub user_id: Option<UserId>,
    /// Deployed by itself; None: off.
    pub branch: Option<BranchName>,
    pub wait_for_ci: bool,
    /// A newer push also ends a build that runs.
    pub supersede: bool,
    /// The last head that was deployed or passed over.
    pub decided_sha: Option<CommitSha>,
    pub etag: Option<String>,
    pub asked_at: Option<Timestamp>,
    /// At the host; None: it could not be made.
    pub hook_id: Option<i64>,
    /// SHA-256 of the token in the hook's address.
    pub hook_hash: Option<Vec<u8>>,
    pub hook_sealed: Option<Vec<u8>>,
    /// The last genuine delivery.
    pub hook_seen_at: Option<Timestamp>,
    /// `revoked`, `gone`, `uninstalled`, `forbidden`, `branch_gone`, or nothing.
    pub trouble: String,
    pub linked_at: Timestamp,
}

/// How an app follows its repository.
#[derive(Clone, Debug, PartialEq)]
pub struct Following {
    pub branch: Option<BranchName>,
    pub wait_for_ci: bool,
    pub supersede: bool,
    /// The head now: only what comes after it is deployed.
    pub decided_sha: Option<CommitSha>,
}

macro_rules! select {
    ($condition:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            Link,
            r#"select app_id as "app_id: AppId", host_id, name as "name: RepoName", url, private as "private: bool",
                      default_branch as "default_branch: BranchName", user_id as "user_id: UserId", branch as "branch: BranchName",
                      wait_for_ci as "wait_for_ci: bool", supersede as "supersede: bool", decided_sha as "decided_sha: CommitSha", etag,
                      asked_at as "asked_at: Timestamp", hook_id, hook_hash, hook_sealed, hook_seen_at as "hook_seen_at: Timestamp", trouble,
                      linked_at as "linked_at: Timestamp"
               from repository_links "# + $condition
            $(, $argument)*
        )
    };
}

impl Reader {
    pub async fn link(&self, app: AppId) -> Result<Option<Link>, StoreError> {
        Ok(select!("where app_id = ?", app).fetch_optional(&self.pool).await?)
    }

    /// The link whose hook has this token in its address.
    pub async fn link_by_hook(&self, hash: &[u8]) -> Result<Option<Link>, StoreError> {
        Ok(select!("where hook_hash = ?", hash).fetch_optional(&self.pool).await?)
    }

    /// The links of a repository.
    pub async fn links_of(&self, host_id: i64) -> Result<Vec<Link>, StoreError> {
        Ok(select!("where host_id = ?", host_id).fetch_all(&self.pool).await?)
    }

    /// The links of an owner's repositories.
    pub async fn links_of_owner(&self, login: &str) -> Result<Vec<Link>, StoreError> {
        let prefix = format!("{login}/");
        Ok(select!("where lower(substr(name, 1, length(?1))) = lower(?1)", prefix).fetch_all(&self.pool).await?)
    }

    /// Links through one person's access.
    pub async fn links_through(&self, user: UserId) -> Result<Vec<Link>, StoreError> {
        Ok(select!("where user_id = ?", user).fetch_all(&self.pool).await?)
    }

    /// Followed branches that were asked for before `own` (through somebody's access) or `public`.
    pub async fn links_due(&self, own: Timestamp, public: Timestamp) -> Result<Vec<AppId>, StoreError> {
        let ids = sqlx::query_scalar!(
            r#"select app_id as "app_id: AppId" from repository_links
               where branch is not null and (asked_at is null or asked_at <= case when user_id is null then ?1 else ?2 end)"#,
            public,
            own
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(ids)
    }
}

impl Writer {
    /// Links an app, in place of what it was linked to.
    pub async fn set_link(&self, link: &Link) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query!("delete from repository_links where app_id = ?", link.app_id).execute(&mut *tx).await?;
        sqlx::query!(
            "insert into repository_links (app_id, host_id, name, url, private, default_branch, user_id, branch, wait_for_ci,
                                           supersede, decided_sha, asked_at, hook_id, hook_hash, hook_sealed, hook_seen_at, trouble,
                                           linked_at)
             values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            link.app_id,
            link.host_id,
            link.name,
            link.url,
            link.private,
            link.default_branch,
            link.user_id,
            link.branch,
            link.wait_for_ci,
            link.supersede,
            link.decided_sha,
            link.asked_at,
            link.hook_id,
            link.hook_hash,
            link.hook_sealed,
            link.hook_seen_at,
            link.trouble,
            link.linked_at
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    pub async fn delete_link(&self, app: AppId) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query!("delete from repository_links where app_id = ?", app).execute(&mut *tx).await?;
        sqlx::query!("delete from deliveries where app_id = ?", app).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    pub async fn set_following(&self, app: AppId, how: &Following, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "update repository_links set branch = ?, wait_for_ci = ?, supersede = ?, decided_sha = ?, etag = null, asked_at = ?, trouble = ''
             where app_id = ?",
            how.branch,
            how.wait_for_ci,
            how.supersede,
            how.decided_sha,
            now,
            app
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// What is known of the head after it was asked for. A head that is not decided has no `etag`.
    pub async fn note_head(&self, app: AppId, decided: Option<&CommitSha>, etag: Option<&str>, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query!(
            "update repository_links set decided_sha = coalesce(?, decided_sha), etag = ?, asked_at = ?, trouble = '' where app_id = ?",
            decided,
            etag,
            now,
            app
        )
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// The head could not be asked for, or must be asked for at once (None).
    pub async fn note_asked(&self, app: AppId, at: Option<Timestamp>, trouble: &str) -> Result<(), StoreError> {
        sqlx::query!("update repository_links set asked_at = ?, etag = null, trouble = ? where app_id = ?", at, trouble, app)
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Forgets that the head was decided: it is judged once more.
    pub async fn forget_decision(&self, app: AppId) -> Result<(), StoreError> {
        sqlx::query!("update repository_links set decided_sha = null, etag = null where app_id = ?", app).execute(self.pool()).await?;
        Ok(())
    }

    /// The repository has another name, or another owner.
    pub async fn rename_link(&self, app: AppId, name: &RepoName, url: &str) -> Result<(), StoreError> {
        sqlx::query!("update repository_links set name = ?, url = ? where app_id = ?", name, url, app).execute(self.pool()).await?;
        Ok(())
    }

    pub async fn set_hook_id(&self, app: AppId, hook: i64) -> Result<(), StoreError> {
        sqlx::query!("update repository_links set hook_id = ? where app_id = ?", hook, app).execute(self.pool()).await?;
        Ok(())
    }
}
