//! The table `slugs`.

use sqlx::{Sqlite, Transaction};

use crate::{
    domain::{AppId, Procfile, SlugId, Timestamp, slug::Slug},
    store::{Reader, StoreError},
};

struct Row {
    id: SlugId,
    app_id: AppId,
    commit_sha: Option<String>,
    code_file: String,
    deps_file: Option<String>,
    deps_key: String,
    stack: String,
    language: String,
    runtime: String,
    process_types: String,
    size: i64,
    created_at: Timestamp,
}

impl From<Row> for Slug {
    fn from(row: Row) -> Slug {
        Slug {
            id: row.id,
            app_id: row.app_id,
            commit: row.commit_sha,
            code_file: row.code_file,
            deps_file: row.deps_file,
            deps_key: row.deps_key,
            stack: row.stack,
            language: row.language,
            runtime: row.runtime,
            process_types: Procfile::from_json(&row.process_types),
            size: row.size.unsigned_abs(),
            created_at: row.created_at,
        }
    }
}

impl Reader {
    pub async fn slug(&self, id: SlugId) -> Result<Option<Slug>, StoreError> {
        let row = sqlx::query_as!(
            Row,
            r#"select id as "id: SlugId", app_id as "app_id: AppId", commit_sha, code_file, deps_file, deps_key, stack, language,
                      runtime, process_types, size, created_at as "created_at: Timestamp"
               from slugs where id = ?"#,
            id
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(Slug::from))
    }

    /// The newest slug of an app with these dependencies.
    pub async fn slug_with_deps(&self, app: AppId, deps_key: &str) -> Result<Option<Slug>, StoreError> {
        let row = sqlx::query_as!(
            Row,
            r#"select id as "id: SlugId", app_id as "app_id: AppId", commit_sha, code_file, deps_file, deps_key, stack, language,
                      runtime, process_types, size, created_at as "created_at: Timestamp"
               from slugs where app_id = ? and deps_key = ? order by created_at desc limit 1"#,
            app,
            deps_key
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(Slug::from))
    }

    /// All slugs of an app, newest first, each with whether one of its last `keep` releases (or the
    /// current one) runs it.
    pub async fn slugs_of(&self, app: AppId, keep: u32) -> Result<Vec<(Slug, bool)>, StoreError> {
        let kept: Vec<SlugId> = sqlx::query_scalar!(
            r#"select slug_id as "id!: SlugId" from releases where app_id = ?1 and slug_id is not null
                 and (id in (select id from releases where app_id = ?1 order by version desc limit ?2)
                      or id = (select current_release_id from apps where id = ?1))"#,
            app,
            keep
        )
        .fetch_all(&self.pool)
        .await?;
        let rows = sqlx::query_as!(
            Row,
            r#"select id as "id: SlugId", app_id as "app_id: AppId", commit_sha, code_file, deps_file, deps_key, stack, language,
                      runtime, process_types, size, created_at as "created_at: Timestamp"
               from slugs where app_id = ? order by created_at desc"#,
            app
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Slug::from).map(|slug| (kept.contains(&slug.id), slug)).map(|(kept, slug)| (slug, kept)).collect())
    }

    /// The stack images that slugs of the last `keep` releases of any app stand on, but for those of `without`.
    pub async fn stacks_in_use(&self, keep: u32, without: Option<AppId>) -> Result<std::collections::BTreeSet<String>, StoreError> {
        let rows = sqlx::query_scalar!(
            r#"select distinct slugs.stack
               from (select id, app_id, slug_id, row_number() over (partition by app_id order by version desc) as place
                     from releases where slug_id is not null) as release
               join slugs on slugs.id = release.slug_id
               join apps on apps.id = release.app_id
               where (release.place <= ?1 or release.id = apps.current_release_id) and (?2 is null or release.app_id <> ?2)"#,
            keep,
            without
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().collect())
    }

    /// Every archive any slug names.
    pub async fn slug_files(&self) -> Result<std::collections::BTreeSet<String>, StoreError> {
        let rows = sqlx::query!("select code_file, deps_file from slugs").fetch_all(&self.pool).await?;
        Ok(rows.into_iter().flat_map(|row| [Some(row.code_file), row.deps_file]).flatten().collect())
    }

    /// Every slug there is.
    pub async fn slugs(&self) -> Result<Vec<Slug>, StoreError> {
        let rows = sqlx::query_as!(
            Row,
            r#"select id as "id: SlugId", app_id as "app_id: AppId", commit_sha, code_file, deps_file, deps_key, stack, language,
                      runtime, process_types, size, created_at as "created_at: Timestamp"
               from slugs"#
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Slug::from).collect())
    }

    /// Every archive any other app's slugs name: equal files are stored once.
    pub async fn files_of_others(&self, app: AppId) -> Result<std::collections::BTreeSet<String>, StoreError> {
        let rows = sqlx::query!("select code_file, deps_file from slugs where app_id <> ?", app).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().flat_map(|row| [Some(row.code_file), row.deps_file]).flatten().collect())
    }
}

/// Part of the transaction that writes a release.
pub(super) async fn insert(tx: &mut Transaction<'static, Sqlite>, slug: &Slug) -> Result<(), StoreError> {
    let process_types = slug.process_types.to_json();
    let size = i64::try_from(slug.size).unwrap_or(i64::MAX);
    sqlx::query!(
        "insert into slugs (id, app_id, commit_sha, code_file, deps_file, deps_key, stack, language, runtime, process_types, size,
                            created_at)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        slug.id,
        slug.app_id,
        slug.commit,
        slug.code_file,
        slug.deps_file,
        slug.deps_key,
        slug.stack,
        slug.language,
        slug.runtime,
        process_types,
        size,
        slug.created_at
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
